"""Bytes brought by other processes, or by threads: each case in a process of its own, which has one thread as the product has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.archive.container import ArchiveKind, ArchiveWriter, Header
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem
from tests.archive.archives import opened
from tests.oracles import run_tool

MIB = 1 << 20
CHUNK = 4096
FIRST = 8192
SIZE = 700_000
# Half a chunk, with a bit of the next, and 96 zeros behind it: (source, length, place on the device, zeros).
PLAN = [(source, 3000, FIRST // 2 + number * 4000, 96) for number, source in enumerate(range(0, 120 * CHUNK, 3500))]
PRELUDE = f"""
import os, signal, sys, threading
from pathlib import Path
from bpscript.archive import mover
from bpscript.archive.container import Archive
from bpscript.archive.mover import Mover
from bpscript.archive.positional import open_from_host
from bpscript.base.errors import BpscriptError
from bpscript.blocks.file import FileDevice
mover.WORTH_IT = 4
mover.default_threads = lambda: 3
archive = Archive.open(open_from_host(Path(sys.argv[1])))
device = FileDevice(Path(sys.argv[2]))
plan = {PLAN}

def children():
    return [int(number) for number in Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()]

def bring(copies=True, at=-1, do=lambda moving: None, passed=True):
    told = 0
    def advance(more):
        nonlocal told
        told += more
    with Mover(archive, device, {FIRST}, copies=copies) as moving:
        for number, (source, length, place, zeros) in enumerate(plan):
            moving.bring(source, length, place, zeros)
            if passed:
                advance(moving.passed(source))
            if number == at:
                do(moving)
        moving.finish(device, advance)
    return told
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "many.imz"
    with path.open("wb") as file, ArchiveWriter(file, Header(ArchiveKind.INCREMENTAL, CHUNK, None, {}, {b"NAME": b""}), level=1) as writer:
        for number in range(120):
            if number % 30 == 3:
                writer.add_zeros(CHUNK, used=True)
            writer.add((number + 1).to_bytes(2, "big") * (CHUNK // 2))
        writer.finish()
    return path


def run(archive: Path, text: str) -> tuple[str, bytes]:
    """What a program prints, and what it left on a device that was full of something else."""
    target = archive.with_name("target")
    target.write_bytes(b"\xA5" * SIZE)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{PRELUDE}{text}\nprint(children())\narchive.close()\n", str(archive), str(target)],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert not done.stderr
    return done.stdout, target.read_bytes()


def expected(archive: Path) -> bytes:
    with opened(archive.read_bytes()) as whole:
        contents = b"".join(bytes(data) for _, data in whole.chunks())
    found = bytearray(b"\xA5" * SIZE)
    for source, length, place, zeros in PLAN:
        found[place : place + length + zeros] = contents[source : source + length] + bytes(zeros)
    return bytes(found)


@pytest.mark.parametrize("how", ["", "copies=False", "passed=False"], ids=["by processes", "by threads", "all said at the end"])
def test_everything_arrives_whoever_brings_it(archive: Path, how: str) -> None:
    said, device = run(archive, f"print(bring({how}))")
    assert device == expected(archive)
    assert said == f"{3000 * len(PLAN)}\n[]\n"


def test_processes_bring_what_was_passed_while_files_are_made(archive: Path) -> None:
    said, device = run(archive, """
import time
def look(moving):
    started = time.monotonic()
    while moving._marks[2] != mover._DONE and time.monotonic() < started + 20:
        moving.passed(0)
    print(len(children()), device.read(16200, 20).hex())
bring(at=60, do=look)
""")
    wanted = expected(archive)
    assert device == wanted
    assert said == f"2 {wanted[16200:16220].hex()}\n[]\n"


@pytest.mark.parametrize("at", [0, 60, 135])
def test_what_killed_processes_did_not_bring_is_brought_all_the_same(archive: Path, at: int) -> None:
    said, device = run(archive, f"""
def kill(moving):
    for number in children():
        os.kill(number, signal.SIGKILL)
print(bring(at={at}, do=kill))
""")
    assert device == expected(archive)
    assert said == f"{3000 * len(PLAN)}\n[]\n"


def test_a_process_that_is_stopped_loses_nothing_when_it_is_killed_with_a_chunk_begun(archive: Path) -> None:
    _, device = run(archive, """
work = Mover._bring_chunk
ours = os.getpid()
def die(self, index, pieces, device):
    if os.getpid() != ours:
        os._exit(3)
    work(self, index, pieces, device)
Mover._bring_chunk = die
bring()
""")
    assert device == expected(archive)


def test_what_processes_cannot_write_is_written_here(archive: Path) -> None:
    _, device = run(archive, """
ours, write = os.getpid(), FileDevice.write
def refuse(device, offset, data):
    if os.getpid() != ours:
        raise OSError(5, "Input/output error")
    write(device, offset, data)
FileDevice.write = refuse
bring()
""")
    assert device == expected(archive)


def test_where_no_process_may_be_made_threads_bring_everything(archive: Path) -> None:
    said, device = run(archive, """
def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")
descriptors = len(os.listdir("/proc/self/fd"))
os.fork = refuse
bring()
print(len(os.listdir("/proc/self/fd")) - descriptors)
""")
    assert said == "0\n[]\n"
    assert device == expected(archive)


def test_nobody_and_nothing_is_left_when_the_rest_is_not_wanted(archive: Path) -> None:
    said, _ = run(archive, """
descriptors = len(os.listdir("/proc/self/fd"))
def stop(moving):
    raise KeyboardInterrupt
try:
    bring(at=100, do=stop)
except KeyboardInterrupt:
    print(len(os.listdir("/proc/self/fd")) - descriptors)
""")
    assert said == "0\n[]\n"


@pytest.mark.parametrize("copies", [True, False])
def test_damage_is_told_and_never_written(archive: Path, copies: bool) -> None:
    with opened(archive.read_bytes()) as whole:
        frame, offset = whole.stored(60), whole.record(60).offset
    data = bytearray(archive.read_bytes())
    data[data.index(frame) + len(frame) // 2] ^= 0x55
    archive.write_bytes(data)
    said, device = run(archive, f"""
try:
    bring(copies={copies})
except BpscriptError as error:
    print(error)
""")
    assert said.startswith(f"archive chunk at {offset}")
    assert said.endswith("\n[]\n")
    for source, length, place, _ in PLAN:
        if offset <= source and source + length <= offset + CHUNK:
            assert device[place : place + length] == b"\xA5" * length


@pytest.mark.parametrize("copies", [True, False])
def test_an_error_of_the_device_is_told_here(archive: Path, copies: bool) -> None:
    said, _ = run(archive, f"""
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300000, resource.RLIM_INFINITY))
try:
    bring(copies={copies})
except BpscriptError as error:
    print(type(error).__name__, error)
""")
    assert said.startswith("NoSpaceError ")
    assert "the host has no room left for this image" in said
    assert said.endswith("\n[]\n")


def test_helpers_end_with_the_one_who_made_them(archive: Path) -> None:
    said, _ = run(archive, """
def die(moving):
    print(*children(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
bring(at=60, do=die)
""")
    for number in map(int, said.split()):
        for _ in range(200):
            if not os.path.exists(f"/proc/{number}"):
                break
            subprocess.run(["sleep", "0.02"], check=True)
        assert not os.path.exists(f"/proc/{number}")


def _fill(volume: Filesystem) -> None:
    for folder in range(10):
        volume.make_dir(f"d{folder}")
        for number in range(200):
            size = 1 + (folder * 200 + number) * 7919 % 50_000
            volume.write_file(f"d{folder}/f{number}", [os.urandom(size)], size, Facts(FileKind.FILE, size, 10**18 + number))
    volume.write_file("large", [os.urandom(MIB) + bytes(MIB) + os.urandom(12345) for _ in range(20)])


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_what_was_on_a_smaller_target_before_does_not_show(tmp_path: Path, block_size: int) -> None:
    """Neither behind the ends of files nor where nothing lies, and what was copied is what the archive holds (--verify)."""
    with FileDevice.create(tmp_path / "source", 160 * MIB) as device:
        format_ext(device, "EXT4", "label", block_size=block_size)
        volume = open_volume(device)
        _fill(volume)
        volume.close()
    program = [sys.executable, "-m", "bpscript", "image"]
    subprocess.run([*program, "capture", "source", "archive.imz", "--no-verify"], cwd=tmp_path, check=True, capture_output=True)
    before = b"\xA5" * 64
    target = tmp_path / "target"
    target.write_bytes(before * (128 * MIB // 64))
    subprocess.run([*program, "restore", "archive.imz", "target", "--verify"], cwd=tmp_path, check=True, capture_output=True)
    run_tool(["e2fsck", "-fn", target])
    assert before not in target.read_bytes()
    assert target.stat().st_blocks * 512 < 110 * MIB      # what is free is a hole


def test_holes_need_no_room_on_a_smaller_partition(tmp_path: Path) -> None:
    """A file with a hole of more than the whole partition, and one with holes between its pieces."""
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "log").open("wb") as file:
        os.truncate(file.fileno(), 3 << 30)
        os.pwrite(file.fileno(), b"hello", 2 << 30)
    with (tree / "nothing").open("wb") as file:
        os.truncate(file.fileno(), 5 << 30)
    with (tree / "pieces").open("wb") as file:
        for number in range(20):
            os.pwrite(file.fileno(), bytes((number + 65,)) * 5000, number * MIB)
    source, target = tmp_path / "source", tmp_path / "target"
    for path, size in ((source, 48 * MIB), (target, 32 * MIB)):
        with path.open("wb") as file:
            os.truncate(file.fileno(), size)
    run_tool(["mke2fs", "-q", "-t", "ext4", "-d", tree, source])
    run_tool(["debugfs", "-w", "-R", "rmdir lost+found", source])
    program = [sys.executable, "-m", "bpscript", "image"]
    subprocess.run([*program, "capture", "source", "archive.imz", "--no-verify"], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([*program, "restore", "archive.imz", "target"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "GB written" not in done.stdout
    run_tool(["e2fsck", "-fn", target])
    with FileDevice(target, writable=False) as device:
        volume = open_volume(device, writable=False)
        assert (volume.stat("log").size, volume.stat("nothing").size) == (3 << 30, 5 << 30)
        assert volume.open("pieces").read() == (tree / "pieces").read_bytes()
        volume.close()
    run_tool(["debugfs", "-R", f"dump log {tmp_path / 'log'}", target])
    with (tmp_path / "log").open("rb") as file:
        assert os.pread(file.fileno(), 10, (2 << 30) - 2) == b"\0\0hello\0\0\0"
    (tmp_path / "log").unlink()
