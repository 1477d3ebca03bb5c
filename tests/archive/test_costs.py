"""What work must not cost: reading twice, searching for holes that are not there, memory that was given up."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.full import FullImage
from bpscript.archive.marking import HEAD
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from tests.archive.archives import MemorySink

KIB, MIB = 1 << 10, 1 << 20
CHUNK = 64 * KIB


class Counted(MemoryDevice):
    """Notes where whole chunks are read, behind the head."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads: list[int] = []

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        if offset >= HEAD and memoryview(buffer).nbytes == CHUNK:
            self.reads.append(offset)
        super().readinto(offset, buffer)


def test_restoring_again_reads_every_chunk_once() -> None:
    content = random.Random(1).randbytes(8 * MIB)
    sink = MemorySink()
    capture(survey(MemoryDevice(content), clock=Clock(0)), sink, level=1, chunk_size=CHUNK)
    target = Counted(content)
    target.write(3 * MIB + CHUNK, b"damage")        # not in a chunk that is probed, and then compared once more
    with FullImage.open(MemoryDevice(sink.data)) as image:
        done = restore(image, target)
    assert target.read(0, len(content)) == content
    assert (done.written, done.equal) == (CHUNK, len(content) - CHUNK)
    assert sorted(target.reads) == list(range(HEAD, len(content), CHUNK))


@pytest.fixture
def seeks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The kinds of seeks that were made."""
    made: list[int] = []
    seek = os.lseek

    def noted(descriptor: int, offset: int, how: int) -> int:
        made.append(how)
        return seek(descriptor, offset, how)

    monkeypatch.setattr(os, "lseek", noted)
    return made


def test_a_file_without_holes_is_not_searched_for_them(tmp_path: Path, seeks: list[int]) -> None:
    path = tmp_path / "dense"
    path.write_bytes(b"\xa5" * MIB)
    with FileDevice(path) as device:
        seeks.clear()
        assert list(device.data_ranges(4096, MIB // 2)) == [(4096, 4096 + MIB // 2)]
        assert not seeks
        device.zero(MIB // 2, MIB // 4)
        if path.stat().st_blocks * 512 >= MIB:
            pytest.skip("this host makes no holes")
        assert list(device.data_ranges(0, MIB)) == [(0, MIB // 2), (3 * MIB // 4, MIB)]


# Blocks of 8 MiB with something small behind each of them, after one of 20 MiB has taught the C library not to map them.
GIVEN_UP = """
from bpscript.base.allocator import give_back_large_blocks
give_back_large_blocks()
lesson = b"x" * (20 << 20)
del lesson
large, small = [], []
for number in range(16):
    large.append(b"x" * (8 << 20))
    small.append(b"x" * 100_000)
large.clear()
resident = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(resident >> 10)
"""


def test_large_blocks_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", GIVEN_UP], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60      # MiB; the blocks were 128
