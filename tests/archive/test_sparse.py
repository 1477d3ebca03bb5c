"""Holes of an image file: they are not read, and change no byte of the archive."""

import os
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from bpscript.archive.capture import capture, survey
from bpscript.archive.container import Archive
from bpscript.archive.filters import Filters
from bpscript.archive.full import FullImage
from bpscript.archive.incremental import write_incremental
from bpscript.archive.records import MAX_ZERO_CHUNK, ChunkKind
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.ext import ExtVolume
from bpscript.filesystems.filesystem import Filesystem
from bpscript.filesystems.folder import FolderVolume
from tests.archive.archives import MemorySink, opened
from tests.archive.memory_tree import MemoryTree
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


def incremental(volume: Filesystem) -> bytes:
    sink = MemorySink()
    write_incremental(sink, volume, "", level=1, filters=Filters().leave_out("lost+found"))
    return sink.data


def test_a_file_with_holes_gives_the_same_incremental_archive_from_a_folder_a_partition_and_what_reads_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with (folder / "file").open("wb") as file:
        for at in (1000, 3 * MIB + 7, 9 * MIB - 4):
            os.pwrite(file.fileno(), b"data", at)
        file.truncate(12 * MIB)
    os.utime(folder / "file", (1_000_000_000, 1_000_000_000))       # mke2fs takes whole seconds over
    tree = MemoryTree()
    facts = FolderVolume(folder).stat("file")
    tree.write_file("file", [(folder / "file").read_bytes()], None, facts)
    mke2fs(tmp_path / "ext4", 32 * MIB, "-t", "ext4", "-b", "4096", "-d", folder)
    from_folder, in_order = incremental(FolderVolume(folder)), incremental(tree)
    with FileDevice(tmp_path / "ext4") as device:
        partition = ExtVolume.on(device, clock=CLOCK)
        from_partition = incremental(partition)
    for data in (from_folder, from_partition):
        for one, other in zip(opened(data).chunks(), opened(in_order).chunks(), strict=True):
            assert (one[0].offset, one[0].kind, one[0].length) == (other[0].offset, other[0].kind, other[0].length)
            assert one[1] == other[1]


def test_a_sparse_file_of_a_terabyte_is_captured_by_its_data(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)
        os.pwrite(file.fileno(), b"data", (1 << 40) - 4)
    archive = opened(incremental(FolderVolume(tmp_path)))
    last = archive.record(len(archive) - 1)
    assert last.offset + last.length > 1 << 40
    assert archive.data(archive.find((1 << 40) + 1000)).count(b"data") == 1
