"""Files whose contents somebody else brings: what `make_files` says of their places is where they are read from afterwards."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bpscript.base.errors import StorageError
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.elsewhere import Elsewhere
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.filesystem import Extent, Facts, FileKind, Filesystem, MakesManyFiles, NewFile, UnixFacts
from tests.oracles import run_tool

MIB = 1 << 20
SOURCE = os.urandom(3 * MIB)
FORMATS: dict[str, Callable[[FileDevice], object]] = {
    "EXT2": lambda device: format_ext(device, "EXT2", "", block_size=1024),
    "EXT4": lambda device: format_ext(device, "EXT4", "", block_size=4096),
    "FAT16": lambda device: format_fat(device, 16, ""),
    "FAT32": lambda device: format_fat(device, 32, ""),
}


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(volume: Filesystem, folder: str, files: list[NewFile]) -> None:
    assert isinstance(volume, MakesManyFiles)
    made = 0
    while made < len(files):
        count = volume.make_files(folder, files[made:])
        if not count:       # which may be for files that have their contents with them
            name, data, about = files[made]
            assert isinstance(data, memoryview)
            volume.write_file(f"{folder}/{name}", (data,), len(data), about)
        made += count or 1


def facts(size: int, **more: bytes) -> Facts:
    xattrs = {f"user.{name}": value for name, value in more.items()}
    return Facts(FileKind.FILE, size, 10**18, unix=UnixFacts(0o640, 5, 6, 10**18, 10**18, xattrs=xattrs))


def test_contents_are_where_the_volume_said(tmp_path: Path, kind: str) -> None:
    """Whole files of many sizes, files in pieces, with holes and attributes (where there are such), and small ones between them."""
    brought: list[tuple[int, int, int, int]] = []

    def bring(source: int, length: int, offset: int, zeros: int) -> None:
        brought.append((source, length, offset, zeros))

    unix = kind.startswith("EXT")
    wanted: dict[str, bytes] = {}
    files: list[NewFile] = []
    with FileDevice.create(tmp_path / "volume", 64 * MIB) as device:
        FORMATS[kind](device)
        volume = open_volume(device)
        volume.make_dir("d")
        for number in range(300):
            size, at = 1 + number * number * 17 % 90_000, number * 8000
            files.append(NewFile(f"file {number}", Elsewhere((Extent(0, at, size),), size, bring), facts(size)))
            wanted[f"d/file {number}"] = SOURCE[at : at + size]
            if number % 50 == 9:
                files.append(NewFile(f"here {number}", memoryview(b"here"), facts(4)))
                wanted[f"d/here {number}"] = b"here"
        pieces = (Extent(0, MIB, 8192), Extent(8192, 1000, 4096), Extent(12288, 2 * MIB, 70_001))
        files.append(NewFile("in pieces", Elsewhere(pieces, 82_289, bring), facts(82_289, note=b"kept") if unix else facts(82_289)))
        wanted["d/in pieces"] = b"".join(SOURCE[offset : offset + length] for _, offset, length in pieces)
        if unix:
            files.append(NewFile("holes", Elsewhere((Extent(8192, 5, 4096), Extent(1 << 20, 77, 3)), 3 * MIB, bring), facts(3 * MIB)))
            wanted["d/holes"] = (bytes(8192) + SOURCE[5:4101]).ljust(MIB, b"\0") + SOURCE[77:80] + bytes(2 * MIB - 3)
        make(volume, "d", files)
        volume.close()
        assert all(one[2] + one[1] + one[3] <= other[2] for one, other in pairwise(sorted(brought, key=lambda each: each[2])))
        for source, length, offset, zeros in brought:
            device.write(offset, SOURCE[source : source + length] + bytes(zeros))
        volume = open_volume(device, writable=False)
        for path, data in wanted.items():
            assert volume.open(path).read() == data, path
        found = volume.stat("d/in pieces").unix
        if unix:
            assert found is not None
            assert (found.mode, found.uid, found.gid, found.xattrs) == (0o640, 5, 6, {"user.note": b"kept"})
        volume.close()
    run_tool(["e2fsck", "-fn", tmp_path / "volume"] if unix else ["fsck.fat", "-n", tmp_path / "volume"])


def test_what_does_not_fit_is_refused(tmp_path: Path, kind: str) -> None:
    with FileDevice.create(tmp_path / "volume", 40 * MIB) as device:
        FORMATS[kind](device)
        volume = open_volume(device)
        files = [NewFile("large", Elsewhere((Extent(0, 0, 50 * MIB),), 50 * MIB, lambda *_: None), facts(50 * MIB))]
        with pytest.raises(StorageError, match="large"):
            make(volume, "", files)
        volume.close()
    run_tool(["e2fsck", "-fn", tmp_path / "volume"] if kind.startswith("EXT") else ["fsck.fat", "-n", tmp_path / "volume"])


def test_fat_leaves_files_with_holes(tmp_path: Path) -> None:
    with FileDevice.create(tmp_path / "volume", 40 * MIB) as device:
        FORMATS["FAT16"](device)
        volume = open_volume(device)
        assert isinstance(volume, MakesManyFiles)
        assert volume.make_files("", [NewFile("holes", Elsewhere((Extent(8192, 5, 4096),), 20_000, lambda *_: None), facts(20_000))]) == 0
        volume.close()
