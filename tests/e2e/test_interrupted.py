"""Runs that are killed: afterwards the old state, the new one, or "not formatted"; nothing left lying about; running again ends right."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from tests.oracles import debugfs_tree, e2fsck, fsck_fat, mtools_tree

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
MIB = 1 << 20


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """source.img with files on a FAT and an ext2 partition, archives of both, of all kinds."""
    folder = tmp_path_factory.mktemp("master")
    rng = random.Random(5)
    (folder / "tree/sub").mkdir(parents=True)
    for number in range(60):
        (folder / f"tree/sub/file {number}").write_bytes(rng.randbytes(rng.randrange(40_000)))
    (folder / "tree/large").write_bytes(rng.randbytes(20 * MIB))
    script = "\n".join(f'FullZip "{{:{n}}}/" "full{n}.imz"\nIncrZip "{{:{n}}}/" "files{n}.imi"' for n in "12")
    (folder / "zip.mrz").write_text(script)
    for arguments in (
        ["disk", "create", "source.img", "110M", "--partitions", "BIGDOS:48 LINUX-EXT2:48", "--format"],
        ["disk", "put", "tree", "source.img:1/"], ["disk", "put", "tree", "source.img:2/"], ["run", "zip.mrz", "--disk", "source.img"],
    ):
        subprocess.run([sys.executable, "-m", "bpscript", *arguments], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def folder(master: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(master, tmp_path, dirs_exist_ok=True)


def wanted(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((folder / "tree").rglob("*")) if path.is_file()}


def run_and_kill(folder: Path, script: str, image: str, number: int, delay: float) -> bool:
    """Start a run and send it a signal; True when it was still at work."""
    (folder / script.partition(" ")[0]).write_text(script.partition(" ")[2])
    command = [sys.executable, "-m", "bpscript", "run", script.partition(" ")[0], "--disk", image, "--events", "events"]
    (folder / "events").unlink(missing_ok=True)
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None and not ((folder / "events").exists() and b'"progress"' in (folder / "events").read_bytes()):
        time.sleep(0.002)
    time.sleep(delay)
    child.send_signal(number)
    _, words = child.communicate(timeout=60)
    assert b"Traceback" not in words, words
    if number != signal.SIGKILL and child.returncode:
        assert child.returncode in {128 + number, -number}, words      # the interpreter was ending by itself
    return child.returncode != 0


def fresh(folder: Path, cli: Cli, number: str) -> None:
    """target.img: a healthy volume with one file on each partition."""
    done = cli("disk", "create", "target.img", "110M", "--partitions", "BIGDOS:48 LINUX-EXT2:48", "--format", "--force")
    assert done.returncode == 0, done.stderr
    (folder / "old").write_text("old")
    assert cli("disk", "put", "old", f"target.img:{number}/").returncode == 0


def tree_of(folder: Path, number: str, name: str) -> dict[str, bytes]:
    start = MIB if number == "1" else 49 * MIB
    if number == "1":
        fsck_fat(folder / "target.img", start)
        return mtools_tree(folder / "target.img", folder / name, start)
    e2fsck(folder / "target.img", start)
    return debugfs_tree(folder / "target.img", folder / name, start)


DELAYS = [0.0, 0.01, 0.03, 0.08]


def attempts(count: int) -> list[object]:
    """The first is tried always, the others in soak runs."""
    return [pytest.param(seed, marks=() if seed == 0 else pytest.mark.slow) for seed in range(count)]


@pytest.mark.parametrize("seed", attempts(8))
@pytest.mark.parametrize("number", ["1", pytest.param("2", marks=pytest.mark.slow)], ids=["FAT", "ext"])
def test_a_restore_that_is_killed(folder: Path, cli: Cli, number: str, seed: int) -> None:
    fresh(folder, cli, number)
    line = f'FullUnzip "full{number}.imz" {number}\n'
    (folder / "valid.bpb").write_text(f'if valid :{number} echo "valid"\n')
    delay = random.Random(seed).choice(DELAYS)
    killed = run_and_kill(folder, f"s.mrz {line}", "target.img", signal.SIGKILL, delay)
    if killed and cli("run", "valid.bpb", "--disk", "target.img").stdout == "valid\n":
        assert tree_of(folder, number, "between") in ({"old": b"old"}, wanted(folder))
    assert cli("run", "s.mrz", "--disk", "target.img").returncode == 0
    assert tree_of(folder, number, "end") == wanted(folder)


@pytest.mark.parametrize("seed", attempts(6))
@pytest.mark.parametrize("how", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM], ids=["KILL", "INT", "TERM"])
def test_an_archive_that_is_killed_while_it_is_made(folder: Path, cli: Cli, how: signal.Signals, seed: int) -> None:
    """The archive that was there stays, whole; only SIGKILL may leave a temporary file, and the next run is not troubled by it."""
    before = {name: (folder / name).read_bytes() for name in ("full2.imz", "files2.imi")}
    line = 'FullZip "{:2}/" "full2.imz"' if seed % 2 == 0 else 'IncrZip "{:2}/" "files2.imi"'
    run_and_kill(folder, f"s.mrz {line}\n", "source.img", how, random.Random(seed).choice(DELAYS))
    for name, content in before.items():
        done = cli("image", "verify", name)
        assert done.returncode == 0, done.stderr
        assert len((folder / name).read_bytes()) > len(content) // 2
    if how != signal.SIGKILL:
        expected = {"source.img", "tree", "zip.mrz", "s.mrz", "events", "full1.imz", "full2.imz", "files1.imi", "files2.imi"}
        assert {path.name for path in folder.iterdir()} <= expected
    assert cli("run", "s.mrz", "--disk", "source.img").returncode == 0
    assert cli("image", "verify", "full2.imz" if seed % 2 == 0 else "files2.imi").returncode == 0
    assert {path.name for path in folder.iterdir() if path.suffix in {".imz", ".imi"}} == {"full1.imz", "full2.imz", "files1.imi", "files2.imi"}


@pytest.mark.parametrize("seed", attempts(8))
@pytest.mark.parametrize("number", [pytest.param("1", marks=pytest.mark.slow), "2"], ids=["FAT", "ext"])
def test_unpacking_that_is_killed(folder: Path, cli: Cli, number: str, seed: int) -> None:
    """The volume may want a check (as after any power cut); unpacking again ends right."""
    fresh(folder, cli, number)
    run_and_kill(folder, f's.mrz IncrUnzip "files{number}.imi" "{{:{number}}}/"\n', "target.img", signal.SIGINT if seed % 2 == 0 else signal.SIGTERM, random.Random(seed).choice(DELAYS))
    found = tree_of(folder, number, "between")
    right = {**wanted(folder), "old": b"old"}
    assert {path: data for path, data in found.items() if right.get(path) != data} == {}, "half a file"
    assert cli("run", "s.mrz", "--disk", "target.img").returncode == 0
    assert tree_of(folder, number, "end") == right
    assert os.path.exists(folder / "old")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_that_arrives_in_a_destructor_ends_the_run_too(number: int, status: int) -> None:
    """Python drops what is raised there: with a Ctrl-C at the wrong moment the work would go on."""
    code = f"""
import signal, sys, time
from argparse import Namespace
from bpscript.cli import main

class Busy:
    def __del__(self):
        signal.raise_signal({int(number)})

def verb(options):
    busy = Busy()
    del busy
    time.sleep(20)
    return 0

main._parser = lambda arguments: type("Parser", (), {{"parse_args": lambda self, arguments: Namespace(function=verb)}})()
sys.exit(main.main(["verb"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "ignored" not in done.stderr


def test_any_other_mistake_in_a_destructor_is_shown() -> None:
    code = """
import sys
from argparse import Namespace
from bpscript.cli import main

class Wrong:
    def __del__(self):
        raise ValueError("a mistake")

def verb(options):
    Wrong()
    return 0

main._parser = lambda arguments: type("Parser", (), {"parse_args": lambda self, arguments: Namespace(function=verb)})()
sys.exit(main.main(["verb"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 0
    assert "ValueError: a mistake" in done.stderr


# Clean: FAT and swap are written by us, ext by a child, mke2fs

CLEANED = {"FAT": "BIGDOS:200", "EXT2": "LINUX-EXT2:8000", "EXT4": "LINUX-EXT2:8000", "SWAP": "LINUX-SWAP:200"}     # mke2fs is to take long enough to be met


MOST_ATTEMPTS = 40


def children_of(process: int) -> list[int]:
    """The children of a process that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == process and state != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("kind", CLEANED)
def test_clean_that_is_stopped(kind: str, how: signal.Signals, tmp_path: Path, cli: Cli) -> None:
    """The child ends with us; the partition is the old one, the new one, or not formatted; doing it again ends right."""
    setting = f'set linux-fs = "{kind}"\n' if kind.startswith("EXT") else ""
    (tmp_path / "old").write_text("old")
    copy = 'copy "old" "{:1}/old"\n' if kind != "SWAP" else ""
    (tmp_path / "first.bpb").write_text(f'{setting}setpartitions "{CLEANED[kind]}"\nclean 1 0 "OLD"\n{copy}')
    (tmp_path / "valid.bpb").write_text('if valid :1 echo "valid"\n')
    (tmp_path / "clean.bpb").write_text(f'{setting}clean 1 0 "NEW"\n')
    assert cli("run", "first.bpb", "--disk", f"disk.img:{int(CLEANED[kind].partition(':')[2]) + 10}M").returncode == 0
    stopped, events = 0, tmp_path / "events"
    for attempt, delay in enumerate(cycle((0.0, 0.003, 0.02))):
        if attempt >= 3 and (stopped or attempt == MOST_ATTEMPTS):      # on a fast machine it is often done before the signal comes
            break
        events.unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-m", "bpscript", "run", "clean.bpb", "--disk", "disk.img", "--events", "events"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        programs: list[int] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and child.poll() is None and not programs:
            if kind.startswith("EXT"):
                programs = children_of(child.pid)
            elif events.exists() and b'"Clean"' in events.read_bytes():
                break
        time.sleep(delay)
        child.send_signal(how)
        _, words = child.communicate(timeout=60)
        assert b"Traceback" not in words, words
        assert child.returncode in {0, 128 + how, -how}, words
        stopped += child.returncode != 0
        assert not [each for each in programs if Path(f"/proc/{each}").exists()], "mke2fs works on"
        if kind != "SWAP" and cli("run", "valid.bpb", "--disk", "disk.img").stdout == "valid\n":
            (e2fsck if kind.startswith("EXT") else fsck_fat)(tmp_path / "disk.img", MIB)
    assert stopped, "no run was stopped in time"
    assert cli("run", "clean.bpb", "--disk", "disk.img").returncode == 0
    assert cli("run", "valid.bpb", "--disk", "disk.img").stdout == "valid\n"
    if kind != "SWAP":
        assert "old" not in cli("disk", "ls", "disk.img:1").stdout.split()
