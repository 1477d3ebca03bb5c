"""Reading archives from anywhere, on every kind of place they can lie."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from bpscript.archive.positional import (
    DescriptorBytes,
    JoinedBytes,
    JoinedReader,
    SeekingBytes,
    close,
    fragment_name,
    open_from_host,
    open_from_source,
    open_from_volume,
    open_pieces,
    positional,
    read_exactly,
)
from bpscript.base.errors import FormatError, NotFoundError, StorageError
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.cache import CacheVolume, format_cache
from bpscript.filesystems.ext import ExtVolume, format_ext
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import Filesystem
from bpscript.network.folder import FolderSource

DATA = random.Random(5).randbytes(100_000) + bytes(50_000) + random.Random(6).randbytes(70_001)


def fat(folder: Path) -> Filesystem:
    device = MemoryDevice(4 << 20)
    format_fat(device, 12)
    return FatVolume.on(device)


def ext(folder: Path) -> Filesystem:
    device = FileDevice.create(folder / "ext.img", 8 << 20)
    format_ext(device, "EXT4")
    return ExtVolume.on(device)


def cache(folder: Path) -> Filesystem:
    device = MemoryDevice(4 << 20)
    format_cache(device)
    return CacheVolume.on(device)


@pytest.mark.parametrize("make", [fat, ext, cache])
def test_a_file_on_a_disk_is_read_from_anywhere(make: Callable[[Path], Filesystem], tmp_path: Path) -> None:
    volume = make(tmp_path)
    # Between the pieces of another file, so that it lies in several runs.
    volume.write_file("other", [bytes(40_000)])
    volume.write_file("file", [DATA[:60_000]])
    volume.remove("other")
    volume.write_file("file", [DATA], len(DATA))
    found = open_from_volume(volume, "file")
    assert not isinstance(found, JoinedReader)
    check_everywhere(found)


def check_everywhere(found: JoinedBytes | DescriptorBytes | SeekingBytes | object) -> None:
    assert isinstance(found, JoinedBytes | DescriptorBytes | SeekingBytes)
    assert found.size == len(DATA)
    rng = random.Random(7)
    for _ in range(60):
        start = rng.randrange(len(DATA))
        length = rng.randrange(min(9000, len(DATA) - start + 1))
        assert found.read(start, length) == DATA[start : start + length]
    assert found.read(0, len(DATA)) == DATA
    with pytest.raises(FormatError):
        found.read(len(DATA) - 5, 6)


def test_files_of_the_host_and_of_a_folder_server_are_read_from_anywhere_in_fragments_too(tmp_path: Path) -> None:
    for number, start in enumerate((0, 100_000, 100_001)):
        end = (100_000, 100_001, len(DATA))[number]
        (tmp_path / fragment_name("x", number)).write_bytes(DATA[start:end])
    for found in (open_from_host(tmp_path / "x"), open_from_source(FolderSource(tmp_path), "x")):
        check_everywhere(found)
        close(found)


def test_nothing_stays_open_when_a_fragment_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    (tmp_path / "x.001").write_bytes(DATA)
    opened: list[IO[bytes]] = []

    def open_one(name: str) -> IO[bytes]:
        if name.endswith("2"):
            raise StorageError("gone")
        opened.append((tmp_path / name).open("rb", buffering=0))
        return opened[-1]

    with pytest.raises(StorageError, match="gone"):
        open_pieces("x", open_one, lambda name: name <= "x.002")
    assert [file.closed for file in opened] == [True, True]


def test_a_pipe_is_read_in_order() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"abcdef")
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        assert positional(pipe, "pipe") is None
        joined = JoinedReader(pipe)
        assert read_exactly(joined, 4, "pipe") == b"abcd"
        with pytest.raises(FormatError, match="pipe ends 3 bytes too early"):
            read_exactly(joined, 5, "pipe")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing: no such file"):
        open_from_host(tmp_path / "nothing")
    with pytest.raises(NotFoundError, match="nothing: no such file"):
        DescriptorBytes.open(tmp_path / "nothing")
    with pytest.raises(StorageError):
        open_from_host(tmp_path)
