"""Contents of files written by the processes that decode them: each case in a process of its own, which has one thread as the product has."""

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
PRELUDE = f"""
import os, signal, sys
from pathlib import Path
from bpscript.archive import ahead_processes, container, delivery
from bpscript.archive.container import Archive
from bpscript.archive.delivery import Delivery
from bpscript.archive.positional import open_from_host
from bpscript.base.errors import BpscriptError
from bpscript.blocks.file import FileDevice
container.WORTH_IT = 4
container.default_threads = lambda: 3
ahead_processes._RING = 16 * {CHUNK}
archive = Archive.open(open_from_host(Path(sys.argv[1])))
device = FileDevice(Path(sys.argv[2]))
goods = Delivery(device, {FIRST})

def children():
    return [int(number) for number in Path(f"/proc/self/task/{{os.getpid()}}/children").read_text().split()]

# Every chunk becomes two files: the second half with 96 zeros behind it comes first.
def each(at=-1, do=lambda: None):
    taken = 0
    for number, (record, data) in enumerate(archive.chunks(delivery=goods)):
        place = {FIRST} // 2 + number * 5000
        half = len(data) // 2
        for offset, part, padding in ((place, data[half:], 96), (place + len(data) - half + 96, data[:half], 0)):
            if goods.carry(offset, part, padding):
                taken += 1
            else:
                device.write(offset, bytes(part) + bytes(padding))
        if number == at:
            do()
    return taken
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "many.imz"
    with path.open("wb") as file, ArchiveWriter(file, Header(ArchiveKind.INCREMENTAL, CHUNK, None, {}, {b"NAME": b""}), level=1) as writer:
        for number in range(120):
            if number % 30 == 3:
                writer.add_zeros(CHUNK, used=True)
            writer.add((number + 1).to_bytes(2, "big") * (CHUNK // 2 - number))
        writer.finish()
    return path


def run(archive: Path, text: str) -> tuple[str, bytes]:
    """What a program prints, and what it left on a device that was full of something else."""
    target = archive.with_name("target")
    target.write_bytes(b"\xA5" * (130 * 5000))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{PRELUDE}{text}\narchive.close()\n", str(archive), str(target)],
        capture_output=True, text=True, timeout=60, check=False,
    )
    assert not done.stderr
    return done.stdout, target.read_bytes()


def expected(archive: Path) -> bytes:
    found = bytearray(b"\xA5" * (130 * 5000))
    for number, (_, data) in enumerate(opened(archive.read_bytes()).chunks()):
        half, place = len(data) // 2, FIRST // 2 + number * 5000
        piece = bytes(data[half:]) + bytes(96) + bytes(data[:half])
        found[place : place + len(piece)] = piece
    return bytes(found)


@pytest.mark.parametrize("ahead", [0, 2, 1000], ids=["all by others", "as it comes", "all here"])
def test_everything_arrives_whoever_writes_it(archive: Path, ahead: int) -> None:
    said, device = run(archive, f"ahead_processes._AHEAD = {ahead}\nprint(each(), children())")
    assert device == expected(archive)
    # Zeros lie in no ring, and the first bytes belong to somebody else.
    assert said == f"{2 * 120 - 2} []\n"


def test_what_killed_processes_did_not_write_is_written_all_the_same(archive: Path) -> None:
    said, device = run(archive, """
ahead_processes._AHEAD = 0
def kill():
    os.kill(children()[0], signal.SIGKILL)
taken = each(9, kill)
print(taken < 2 * 120 - 2, children())
""")
    assert device == expected(archive)
    assert said == "True []\n"


def test_what_processes_cannot_write_is_written_here(archive: Path) -> None:
    _, device = run(archive, """
ahead_processes._AHEAD = 0
ours, writev = os.getpid(), FileDevice.writev
def refuse(device, offset, buffers):
    if os.getpid() != ours:
        raise OSError(5, "Input/output error")
    writev(device, offset, buffers)
FileDevice.writev = refuse
each()
""")
    assert device == expected(archive)


def test_settled_means_written(archive: Path) -> None:
    said, device = run(archive, f"""
ahead_processes._AHEAD = 0
def look():
    goods.settle()
    print(device.read({FIRST} // 2 + 40 * 5000, 5000).hex())
each(40, look)
""")
    assert bytes.fromhex(said) == device[FIRST // 2 + 40 * 5000 :][:5000] == expected(archive)[FIRST // 2 + 40 * 5000 :][:5000]


@pytest.mark.parametrize("ahead", [0, 1000])
def test_an_error_of_the_device_is_told_here(archive: Path, ahead: int) -> None:
    said, _ = run(archive, f"""
ahead_processes._AHEAD = {ahead}
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300000, resource.RLIM_INFINITY))
try:
    each()
except BpscriptError as error:
    print(type(error).__name__, error, children())
""")
    assert said.startswith("NoSpaceError ")
    assert "the host has no room left for this image" in said
    assert said.endswith(" []\n")


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
