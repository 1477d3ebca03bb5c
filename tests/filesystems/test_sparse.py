"""Files with holes: found in what is written, not read where they are, and no room is asked for them."""

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.archive.build import build_volume
from bpscript.archive.filters import Filters
from bpscript.archive.incremental import filter_incremental, unpack_incremental, write_incremental
from bpscript.archive.positional import open_from_host
from bpscript.archive.readback_files import check_incremental
from bpscript.archive.trees import copy_tree
from bpscript.archive.unpack import unpack
from bpscript.base.clock import Clock
from bpscript.base.errors import NoSpaceError, StorageError
from bpscript.base.zeros import ZEROS, zeros
from bpscript.blocks.device import Buffer
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext import ExtVolume
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, UnixFacts
from bpscript.filesystems.folder import FolderVolume
from bpscript.filesystems.sparse import PIECE, WithHoles, contents_of, gathered, pieces, room, stored
from tests.archive.archives import MemorySink, opened
from tests.archive.memory_tree import MemoryTree
from tests.oracles import e2fsck, mke2fs, run_tool

MIB, TIB = 1 << 20, 1 << 40
CLOCK = Clock(1_700_000_000_000_000_000)
SHORT = r"the files need 7\d\.\d MB, there are 55\.9 MB free"
FACTS = Facts(FileKind.FILE, TIB, 10**18, unix=UnixFacts(0o640))

# Runs of zeros and of data around the borders that count.
runs = st.lists(st.tuples(st.sampled_from([1, 100, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE - 7, 5 * PIECE]), st.booleans()), max_size=8)
cuts = st.lists(st.sampled_from([PIECE, PIECE + 1, PIECE + 4096, 2 * PIECE - 1, 3 * PIECE]), min_size=1, max_size=12)


def joined(found: list[bytes | int]) -> bytes:
    return b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in found)


@given(runs, cuts, st.booleans())
def test_every_aligned_piece_of_zeros_is_in_a_hole_and_nothing_else(given_runs: list[tuple[int, bool]], lengths: list[int], known: bool) -> None:
    data = b"".join(bytes(length) if empty else b"d" * length for length, empty in given_runs)
    chunks: list[bytes | memoryview] = []
    position = number = 0
    while position < len(data):
        part = data[position : position + lengths[number % len(lengths)]]
        chunks.append(ZEROS[: len(part)] if known and not any(part) else part)
        position, number = position + len(part), number + 1
    found = [piece if isinstance(piece, int) else bytes(piece) for piece in pieces(chunks)]
    assert joined(found) == data
    holes: set[int] = set()
    position = 0
    for piece in found:
        if isinstance(piece, int):
            assert position % PIECE == piece % PIECE == 0
            holes.update(range(position // PIECE, (position + piece) // PIECE))
            position += piece
        else:
            assert piece
            position += len(piece)
    assert holes == {number for number in range(len(data) // PIECE) if not any(data[number * PIECE : (number + 1) * PIECE])}


@given(runs, cuts, st.sampled_from([700, 4096, PIECE - 1, PIECE + 5]))
def test_gathered_chunks_give_the_same_pieces_however_they_come(given_runs: list[tuple[int, bool]], lengths: list[int], step: int) -> None:
    data = b"".join(bytes(length) if empty else b"d" * length for length, empty in given_runs)

    def shape(chunks: list[bytes]) -> list[int | bytes]:
        """Holes, and the data between them in one piece each."""
        found: list[int | bytes] = []
        for piece in pieces(gathered(chunks)):
            if isinstance(piece, int) or not found or isinstance(found[-1], int):
                found.append(piece if isinstance(piece, int) else bytes(piece))
            else:
                found[-1] += bytes(piece)
        return found

    by_steps = [data[at : at + step] for at in range(0, len(data), step)]
    assert shape(by_steps) == shape([data]) == shape([data[: lengths[0]], data[lengths[0] :]])


@given(runs)
def test_small_chunks_pass_as_they_are(given_runs: list[tuple[int, bool]]) -> None:
    data = b"".join(bytes(length) if empty else b"d" * length for length, empty in given_runs)
    chunks = [data[at : at + 5000] for at in range(0, len(data), 5000)]
    assert list(pieces(chunks)) == chunks


def test_a_hole_of_a_terabyte_is_one_number() -> None:
    assert list(pieces([b"x" * PIECE, *zeros(TIB)])) == [b"x" * PIECE, TIB]


@pytest.mark.parametrize("page", [4096, 16384])
def test_a_swap_file_keeps_its_zeros(page: int, tmp_path: Path) -> None:
    """The kernel refuses a swap file with holes."""
    head = bytes(page - 10) + b"SWAPSPACE2"
    assert list(pieces([head + bytes(MIB - page), bytes(MIB)])) == [head + bytes(MIB - page), bytes(MIB)]
    with closing(FolderVolume(tmp_path)) as folder:
        folder.write_file("swapfile", [head + bytes(MIB - page), bytes(MIB)], 2 * MIB)
        assert (tmp_path / "swapfile").stat().st_blocks * 512 >= 2 * MIB
        os.truncate(tmp_path / "swapfile", 3 * MIB)
        assert stored(folder, "swapfile", 3 * MIB) == 3 * MIB


@pytest.mark.parametrize(
    ("ranges", "size", "expected"),
    [
        ([], 0, 0),
        ([], TIB, 0),
        ([], TIB + 5, 5),
        ([(5, 6)], TIB, PIECE),
        ([(5, 6), (PIECE - 1, PIECE + 1)], TIB, 2 * PIECE),
        ([(0, 10), (3 * PIECE, 3 * PIECE + 1)], 3 * PIECE + 1, PIECE + 1),
    ],
)
def test_room_of_ranges(ranges: list[tuple[int, int]], size: int, expected: int) -> None:
    assert room(ranges, size) == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of a TiB that holds three pieces of data, and a small one."""
    path = tmp_path / "folder"
    path.mkdir()
    with (path / "lastlog").open("wb") as file:
        file.write(b"start")
        file.seek(TIB // 2 + 7)
        file.write(b"middle" * MIB)
        file.seek(TIB - 3)
        file.write(b"end")
    (path / "small").write_bytes(b"small")
    return path


def volume_on(path: Path, size: int = 64 * MIB) -> ExtVolume:
    mke2fs(path, size, "-t", "ext4", "-b", "4096")
    return ExtVolume.on(FileDevice(path), clock=CLOCK)


def check(volume: Filesystem) -> None:
    """All that the file holds, wherever it is now."""
    with closing(volume.open("lastlog")) as reader:
        assert volume.stat("lastlog").size == TIB
        for at, data in ((0, b"start\0"), (TIB // 2 + 6, b"\0" + b"middle" * MIB + b"\0"), (TIB - 4, b"\0end")):
            reader.seek(at)     # type: ignore[attr-defined]
            assert reader.read(len(data)) == data
    with closing(volume.open("small")) as reader:
        assert reader.read() == b"small"
    assert stored(volume, "lastlog", TIB) == 6 * MIB + 3 * PIECE


def incremental(path: Path) -> bytes:
    sink = MemorySink()
    with closing(FolderVolume(path)) as volume:
        write_incremental(sink, volume, "", level=1)
    return sink.data


def test_a_sparse_file_of_a_terabyte_is_copied_to_a_small_partition_and_back(folder: Path, tmp_path: Path) -> None:
    with closing(FolderVolume(folder)) as source, closing(volume_on(tmp_path / "one")) as volume:
        copy_tree(source, "", volume, "")
        check(volume)
        with closing(volume_on(tmp_path / "two")) as other:
            copy_tree(volume, "", other, "")
            check(other)
        (tmp_path / "back").mkdir()
        with closing(FolderVolume(tmp_path / "back")) as back:
            copy_tree(volume, "", back, "", filters=Filters().leave_out("lost+found"))
            check(back)
    e2fsck(tmp_path / "one")
    e2fsck(tmp_path / "two")
    assert (tmp_path / "back" / "lastlog").stat().st_blocks * 512 < 8 * MIB


def test_a_sparse_file_of_a_terabyte_is_unpacked_on_a_small_partition_and_in_a_folder(folder: Path, tmp_path: Path) -> None:
    archive = opened(incremental(folder))
    with closing(volume_on(tmp_path / "image")) as volume:
        unpack_incremental(archive, volume)
        unpack_incremental(archive, volume, verify=True)        # over what is there
        check(volume)
    e2fsck(tmp_path / "image")
    (tmp_path / "out").mkdir()
    with closing(FolderVolume(tmp_path / "out")) as out:
        unpack_incremental(archive, out)
        check(out)
    assert (tmp_path / "out" / "lastlog").stat().st_blocks * 512 < 8 * MIB


def test_a_volume_made_of_a_folder_is_as_large_as_what_is_stored(folder: Path, tmp_path: Path) -> None:
    with closing(FolderVolume(folder)) as source, build_volume(source, "EXT4", temp_folder=tmp_path, clock=CLOCK) as device:
        assert device.size < 64 * MIB
        with closing(ExtVolume.on(device, clock=CLOCK, writable=False)) as volume:
            check(volume)
        with device.path.open("rb") as image:
            (tmp_path / "copy").write_bytes(image.read())
    e2fsck(tmp_path / "copy")


def test_an_archive_filtered_keeps_its_holes(folder: Path) -> None:
    expected = opened(incremental(folder))
    (folder / "other").write_bytes(b"other" * 1000)
    sink = MemorySink()
    filter_incremental(opened(incremental(folder)), sink, Filters().leave_out("other"), level=1)
    found = opened(sink.data)
    assert [found.record(index) for index in range(len(found))] == [expected.record(index) for index in range(len(expected))]


def test_what_does_not_fit_without_its_holes_is_refused_before_the_first_write(folder: Path, tmp_path: Path) -> None:
    with (folder / "lastlog").open("r+b") as file:
        file.seek(TIB // 4)
        file.write(b"more" * (16 * MIB))
    archive = opened(incremental(folder))
    with closing(volume_on(tmp_path / "image")) as volume:
        free = volume.usage().free
        with closing(FolderVolume(folder)) as source, pytest.raises(NoSpaceError, match=SHORT):
            copy_tree(source, "", volume, "")
        with pytest.raises(NoSpaceError, match=SHORT):
            unpack_incremental(archive, volume)
        assert volume.usage().free == free
        assert [name for name, _ in volume.entries("")] == ["lost+found"]


@pytest.mark.parametrize("size", [TIB, None])
def test_a_file_that_fills_the_volume_in_spite_of_its_holes_leaves_nothing_behind(size: int | None, tmp_path: Path) -> None:
    with closing(volume_on(tmp_path / "image")) as volume:
        volume.write_file("before", [b"before" * 50_000])
        volume.flush()
        free = volume.usage().free
        chunks: Iterator[Buffer] = (chunk for _ in range(100) for chunk in (memoryview(b"d" * MIB), *zeros(5 * MIB)))
        with pytest.raises(NoSpaceError, match='"file" does not fit'):
            volume.write_file("file", WithHoles(chunks, MIB), size, FACTS)
        assert volume.usage().free == free
        assert not volume.exists("file")
        assert volume.check() == []
    e2fsck(tmp_path / "image")


def test_holes_are_used_for_what_comes_later(tmp_path: Path) -> None:
    """Data as large as the free room, an announced size of a TiB: what growing took ahead must not be missing."""
    with closing(volume_on(tmp_path / "image")) as volume:
        count = (volume.usage().free - MIB) // PIECE
        chunks = [part for _ in range(count) for part in (b"d" * PIECE, ZEROS[:PIECE])]
        volume.write_file("file", WithHoles(chunks, count * PIECE), len(chunks) * PIECE, FACTS)
        assert stored(volume, "file", len(chunks) * PIECE) == count * PIECE
        with closing(volume.open("file")) as reader:
            assert reader.read() == b"".join(chunks)
        assert volume.check() == []
    e2fsck(tmp_path / "image")


def test_a_file_that_grows_or_shrinks_while_it_is_copied_is_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with (tmp_path / "in" / "file").open("wb") as file:
        file.truncate(8 * MIB)
        os.pwrite(file.fileno(), b"data", 6 * MIB)
    with closing(FolderVolume(tmp_path / "in")) as source, closing(volume_on(tmp_path / "image")) as volume:
        for size, words in ((8 * MIB - 1, "longer than the announced"), (8 * MIB + 1, "not the announced")):
            with pytest.raises(StorageError, match=words):
                volume.write_file("file", contents_of(source, "file", size), size, FACTS)
        assert not volume.exists("file")


def test_volumes_that_read_in_order_only_are_read_whole() -> None:
    tree = MemoryTree()
    data = b"data" + bytes(3 * MIB)
    tree.write_file("file", [data])
    assert b"".join(contents_of(tree, "file", len(data))) == data
    assert stored(tree, "file", len(data)) == len(data)


@pytest.mark.parametrize(
    ("kind", "block", "size"),
    [("ext2", 1024, 17_247_252_480), ("ext2", 2048, 275_415_851_008), ("ext3", 4096, 2_196_873_666_560), ("ext4", 1024, 4_398_046_510_080), ("ext4", 4096, 17_592_186_040_320)],
)
def test_a_file_is_at_most_as_large_as_the_kernel_reads(kind: str, block: int, size: int, tmp_path: Path) -> None:
    """The sizes are those up to which Linux 6.18 let a file be truncated (ftruncate(2)) on such volumes."""
    mke2fs(tmp_path / "image", 64 * MIB, "-t", kind, "-b", str(block))
    with closing(ExtVolume.on(FileDevice(tmp_path / "image"), clock=CLOCK)) as volume:
        assert volume.largest_file == size
        words = rf'"file" is too large: on this volume a file can have at most {size} bytes'
        for announced in (size + 1, None):
            if announced is None and size > TIB:
                continue        # seconds for each
            with pytest.raises(StorageError, match=words):
                volume.write_file("file", WithHoles(zeros(size + 1), 0), announced, FACTS)
        if size < 3 * TIB:
            volume.write_file("file", WithHoles([b"d" * PIECE, *zeros(size - PIECE - 5), b"e" * 5], 2 * PIECE), size, FACTS)
            assert volume.stat("file").size == size
        assert volume.check() == []
    e2fsck(tmp_path / "image")


@pytest.mark.parametrize("kind", ["fat", "ext2"])
def test_what_is_larger_than_a_file_can_be_is_refused_before_the_first_write(kind: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"a")
    size = (5 << 30) if kind == "fat" else (20 << 30)
    with (tmp_path / "in" / "large").open("wb") as file:
        file.truncate(size)
    archive = opened(incremental(tmp_path / "in"))
    path = tmp_path / "image"
    with path.open("wb") as image:
        image.truncate(64 << 30)
    if kind == "fat":
        with FileDevice(path) as device:
            format_fat(device, 32, "")
    else:
        mke2fs(path, 64 << 30, "-t", "ext2", "-b", "1024", "-E", "lazy_itable_init=1")
    with closing(open_volume(FileDevice(path), clock=CLOCK)) as volume:
        before = [name for name, _ in volume.entries("")]
        with closing(FolderVolume(tmp_path / "in")) as source:
            for attempt in (partial(copy_tree, source, "", volume, ""), partial(unpack_incremental, archive, volume)):
                with pytest.raises(StorageError, match=r'"large" has .*; a file on (FAT32|EXT2) can have at most (4\.0|16\.1) GB'):
                    attempt()
        assert [name for name, _ in volume.entries("")] == before


@pytest.mark.parametrize("options", [["--format=gnu"], ["--format=pax"]])
def test_a_tar_that_knows_of_holes_is_unpacked_on_a_small_partition(options: list[str], folder: Path, tmp_path: Path) -> None:
    run_tool(["tar", "--sparse", "--sort=name", *options, "-C", folder, "-cf", tmp_path / "t.tar", "lastlog", "small"])
    data = open_from_host(tmp_path / "t.tar")
    with closing(volume_on(tmp_path / "image")) as volume:
        unpack(data, "t.tar", volume, "", verify=True)
        check(volume)
    e2fsck(tmp_path / "image")


def test_an_archive_of_a_sparse_file_is_compared_with_its_source_by_what_is_stored(folder: Path) -> None:
    data = incremental(folder)
    with closing(FolderVolume(folder)) as source:
        check_incremental(MemoryDevice(data), source, "")
        with (folder / "lastlog").open("r+b") as file:
            status = os.fstat(file.fileno())
            os.pwrite(file.fileno(), b"x", TIB // 3)
            os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(StorageError, match='the archive differs from its source in the contents of "lastlog"'):
            check_incremental(MemoryDevice(data), source, "")
