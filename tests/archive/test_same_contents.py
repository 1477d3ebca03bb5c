"""Two files compared where they lie: against Python's own comparison, and a sparse file of a terabyte in no time."""

import os
import random
from pathlib import Path

import pytest

from bpscript.archive.same_contents import FileAt, first_difference
from bpscript.base.clock import Clock
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.filesystem import Filesystem
from bpscript.filesystems.folder import FolderVolume
from tests.archive.memory_tree import MemoryTree
from tests.oracles import mke2fs

MIB, TIB = 1 << 20, 1 << 40
CLOCK = Clock(1_700_000_000_000_000_000)


def volume_with(path: Path, contents: bytes) -> Filesystem:
    """An ext4 volume with a file of these contents, put there by mke2fs: runs of zeros become holes."""
    folder = path.with_suffix(".tree")
    folder.mkdir()
    (folder / "file").write_bytes(contents)
    mke2fs(path, 24 * MIB, "-t", "ext4", "-b", "1024", "-d", folder)
    return open_volume(FileDevice(path, writable=False), clock=CLOCK, writable=False)


def contents(rng: random.Random) -> bytearray:
    """A few MiB: data and long runs of zeros by turns."""
    data = bytearray()
    for _ in range(rng.randrange(1, 8)):
        data += bytes(rng.randrange(700_000)) if rng.random() < 0.5 else rng.randbytes(rng.randrange(400_000))
    return data


@pytest.mark.parametrize("seed", range(6))
def test_a_file_with_holes_differs_where_its_bytes_do(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    original = contents(rng)
    changed = bytearray(original)
    if changed and seed:        # the first is equal
        at = rng.randrange(len(changed))
        changed[at] ^= 0x40
    first = volume_with(tmp_path / "one", bytes(original))
    other = volume_with(tmp_path / "other", bytes(changed))
    plain = MemoryTree()
    plain.write_file("file", [bytes(changed)])
    (tmp_path / "folder").mkdir()
    with (tmp_path / "folder" / "file").open("wb") as file:
        for start in range(0, len(changed), 4096):
            if any(changed[start : start + 4096]):
                os.pwrite(file.fileno(), changed[start : start + 4096], start)
        file.truncate(len(changed))
    counted: list[int] = []
    for volume in (other, plain, FolderVolume(tmp_path / "folder")):
        counted.clear()
        found = first_difference(FileAt(first, "file"), FileAt(volume, "file"), len(original), counted.append)
        if original == changed:
            assert (found, sum(counted)) == (None, len(original))
        else:
            assert found is not None
            assert found == sum(counted) <= at < found + MIB


@pytest.mark.parametrize("more", [b"", b"x", bytes(MIB + 1)])
def test_the_longer_file_differs_at_the_end_of_the_shorter(tmp_path: Path, more: bytes) -> None:
    first = volume_with(tmp_path / "one", b"data" * 1000)
    other = volume_with(tmp_path / "other", b"data" * 1000 + more)
    for one, two in ((first, other), (other, first)):
        assert first_difference(FileAt(one, "file"), FileAt(two, "file"), 4000, lambda _: None) == (4000 if more else None)


def test_a_sparse_file_of_a_terabyte_is_compared_by_its_data(tmp_path: Path) -> None:
    volumes = []
    for name, last in (("one", b"data"), ("same", b"data"), ("other", b"date")):
        folder = tmp_path / f"{name}.tree"
        folder.mkdir()
        with (folder / "file").open("wb") as file:
            file.write(b"start")
            file.seek(TIB - len(last))
            file.write(last)
        mke2fs(tmp_path / name, 64 * MIB, "-t", "ext4", "-b", "4096", "-d", folder)
        volumes.append(open_volume(FileDevice(tmp_path / name, writable=False), clock=CLOCK, writable=False))
    one, same, other = (FileAt(volume, "file") for volume in volumes)
    passed: list[int] = []
    assert first_difference(one, same, TIB, passed.append) is None
    assert sum(passed) == TIB
    assert first_difference(one, other, TIB, lambda _: None) == TIB - 4096


def test_a_file_of_the_host_that_is_cut_off_is_not_taken_for_a_hole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10_000))
    assert FolderVolume(tmp_path).data_ranges("file", 2 * MIB) == [(0, 2 * MIB)]
