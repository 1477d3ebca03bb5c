"""Holes of an image file: they are not read, and change no byte of the archive."""

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive
from bpscript.archive.full import FullImage
from bpscript.archive.records import MAX_ZERO_CHUNK, ChunkKind
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from tests.archive.archives import MemorySink, opened
from tests.oracles import e2fsck, mke2fs

MIB, GIB = 1 << 20, 1 << 30
CLOCK = Clock(1_700_000_000_000_000_000)


class CountingDevice(FileDevice):
    """Counts the bytes that are read."""

    count = 0

    def read(self, offset: int, length: int) -> bytes:
        self.count += length
        return super().read(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        self.count += memoryview(buffer).nbytes
        super().readinto(offset, buffer)


def archive_of(path: Path) -> tuple[bytes, int]:
    """The archive of an image, and how many bytes were read for it."""
    sink = MemorySink()
    device = CountingDevice(path, writable=False)
    with device:
        capture(survey(device, clock=CLOCK), sink, level=1)
    return sink.data, device.count


@pytest.fixture(params=["ext4", "raw"])
def sparse(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image with data, used zeros and unused room, its zeros all holes."""
    path = tmp_path / "sparse"
    with path.open("w+b") as file:
        file.truncate(300 * MIB)
        if request.param == "raw":
            for at in (5 * MIB + 7, 40 * MIB, 299 * MIB):
                file.seek(at)
                file.write(b"data" * 1000)
    if request.param == "ext4":
        mke2fs(path, 300 * MIB, "-t", "ext4", "-E", "lazy_itable_init=1")
    return path


def test_holes_and_written_zeros_give_the_same_archive(sparse: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    subprocess.run(["cp", "--sparse=never", sparse, full], check=True)
    without_holes, all_read = archive_of(full)
    with_holes, read = archive_of(sparse)
    assert with_holes == without_holes
    assert read < all_read / 2
    archive = opened(with_holes)
    records = [archive.record(index) for index in range(len(archive))]
    for one, other in pairwise(records):
        assert one.kind is ChunkKind.DATA or one.kind is not other.kind or one.length == MAX_ZERO_CHUNK


def test_a_huge_sparse_volume_takes_the_work_of_what_is_in_it(tmp_path: Path) -> None:
    path, target = tmp_path / "huge", tmp_path / "target"
    mke2fs(path, 256 * GIB, "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1")
    with target.open("wb") as file:
        file.truncate(256 * GIB)
    data, read = archive_of(path)
    image = FullImage(Archive.open(MemoryDevice(data)))
    assert image.used.total > 4 * GIB                   # inode tables that nobody wrote yet
    assert read < 200 * MIB
    assert len(image.archive) < 2000
    with FileDevice(target) as device:
        restore(image, device, clock=CLOCK)
    e2fsck(target)
    assert target.stat().st_blocks * 512 < 400 * MIB
