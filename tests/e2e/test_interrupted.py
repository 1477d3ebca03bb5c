"""Runs that are killed: afterwards the old state, the new one, or "not formatted"; nothing left lying about; running again ends right."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
