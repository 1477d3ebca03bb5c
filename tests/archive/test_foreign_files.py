import bz2
import gzip
import io
import lzma
import os
import random
import stat
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.archive.filters import Filters
from bpscript.archive.packing import Prefixed, packing_of, unpacked
from bpscript.archive.positional import JoinedReader, SeekingBytes
from bpscript.archive.unpack import unpack
from bpscript.base.errors import FormatError, NoSpaceError, StorageError
from bpscript.base.events import Event, Kind
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import FileKind, Filesystem, walk
from tests.archive.archives import host_file
from tests.archive.memory_tree import MemoryTree
from tests.oracles import run_tool

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress, "zstd": zstandard.ZstdCompressor(write_checksum=True).compress}


def bytes_of(data: bytes, *, stream: bool = False) -> SeekingBytes | JoinedReader:
    return JoinedReader(io.BytesIO(data)) if stream else SeekingBytes(io.BytesIO(data), "x.tar")


def contents(volume: Filesystem) -> dict[str, bytes | None]:
    return {path: volume.open(path).read() if facts.kind is FileKind.FILE else None for path, facts in walk(volume)}


def fat() -> FatVolume:
    device = MemoryDevice(2 << 20)
    format_fat(device, 12)
    return FatVolume.on(device)


def tar_of(files: list[tuple[str, bytes, bytes]], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of (name, type, contents or link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, kind, data in files:
            info = tarfile.TarInfo(name)
            info.type, info.mtime = kind, 1_000_000_000
            if kind in {tarfile.SYMTYPE, tarfile.LNKTYPE}:
                info.linkname = data.decode()
                archive.addfile(info)
            else:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


SMALL = tar_of([("./d", tarfile.DIRTYPE, b""), ("./d/a", tarfile.REGTYPE, b"1" * 3000), ("s", tarfile.SYMTYPE, b"d/a"), ("h", tarfile.LNKTYPE, b"d/a")])


# --- tar -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", [None, *PACKERS])
@pytest.mark.parametrize("stream", [False, True])
def test_a_tar_of_any_packing_is_unpacked(packing: str | None, stream: bool) -> None:
    data = SMALL if packing is None else PACKERS[packing](SMALL)
    target, dos = MemoryTree(), fat()
    unpack(bytes_of(data, stream=stream), "drivers", target, "x")
    assert contents(target) == {"x": None, "x/d": None, "x/d/a": b"1" * 3000, "x/h": b"1" * 3000, "x/s": None}
    unpack(bytes_of(data, stream=stream), "drivers", dos, verify=True)
    assert contents(dos) == {"d": None, "d/a": b"1" * 3000, "h": b"1" * 3000, "s": b"1" * 3000}


@pytest.mark.parametrize("options", [[], ["-z"], ["-j"], ["-J"], ["--zstd"], ["--format=v7"], ["--format=pax"]])
def test_what_gnu_tar_makes_is_unpacked(options: list[str], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub dir").mkdir(parents=True)
    (tree / "sub dir" / "big").write_bytes(random.Random(3).randbytes(2_500_000))
    (tree / "x").write_bytes(b"x")
    os.link(tree / "x", tree / "y")
    run_tool(["tar", *options, "-C", tree, "-cf", tmp_path / "t", "."])
    target = MemoryTree()
    with host_file(tmp_path / "t") as data:
        unpack(data, "t", target)
    assert contents(target) == {
        "sub dir": None, "sub dir/big": (tree / "sub dir" / "big").read_bytes(), "x": b"x", "y": b"x",
    }


def test_an_incremental_dump_of_gnu_tar_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"1")
    run_tool(["tar", "-C", tmp_path / "tree", "-g", tmp_path / "state", "-V", "label", "-cf", tmp_path / "t", "."])
    target = MemoryTree()
    with host_file(tmp_path / "t") as data:
        unpack(data, "t", target)
    assert contents(target) == {"a": b"1"}


def test_of_a_path_that_is_there_twice_the_last_one_counts() -> None:
    data = tar_of([("d", tarfile.DIRTYPE, b""), ("a", tarfile.REGTYPE, b"old"), ("d", tarfile.DIRTYPE, b""), ("a", tarfile.REGTYPE, b"new!")])
    target = MemoryTree()
    summary = unpack(bytes_of(data), "t", target)
    assert contents(target) == {"a": b"new!", "d": None}
    assert summary.files == 1
    twice = tar_of([("a", tarfile.REGTYPE, b"old"), ("h", tarfile.LNKTYPE, b"a"), ("a", tarfile.REGTYPE, b"new")])
    with pytest.raises(FormatError, match='"a" is there twice'):
        unpack(bytes_of(twice), "t", target)


def test_filters_apply_to_a_foreign_tar() -> None:
    target = MemoryTree()
    unpack(bytes_of(SMALL), "t", target, filters=Filters().leave_out("d/*").leave_out("s"))
    assert contents(target) == {"d": None, "h": b"1" * 3000}


def test_access_control_lists_that_are_lost_are_told() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"SCHILY.acl.access": "user::rw-"}
        archive.addfile(info)
    told: list[Event] = []
    unpack(bytes_of(buffer.getvalue()), "t.tar", MemoryTree(), events=told.append)
    assert [event.data["text"] for event in told if event.kind is Kind.WARNING] == ["1 access control list of t.tar left out"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("x", tarfile.REGTYPE, b""), ("../a", tarfile.REGTYPE, b"")], 't: "../a" has the path "../a", which may leave the tree'),
        ([("x", tarfile.REGTYPE, b""), ("h", tarfile.LNKTYPE, b"no")], '"h" is a hard link to "no", which is no earlier file'),
        ([("s", tarfile.SYMTYPE, b"/etc"), ("s/passwd", tarfile.REGTYPE, b"")], '"s/passwd" lies in "s", which is not a directory'),
        ([("s/passwd", tarfile.REGTYPE, b""), ("s", tarfile.SYMTYPE, b"/etc")], '"s" is both'),
    ],
)
def test_a_hostile_tar_is_refused_before_anything_is_written(files: list[tuple[str, bytes, bytes]], message: str) -> None:
    for target in (MemoryTree(), fat()):
        with pytest.raises(FormatError, match=message):
            unpack(bytes_of(tar_of(files)), "t", target, "x")
        assert contents(target) == {}


def test_a_foreign_tar_that_does_not_fit_is_refused_before_anything_is_written() -> None:
    target = fat()
    data = gzip.compress(tar_of([("a", tarfile.REGTYPE, b"1"), ("b", tarfile.REGTYPE, bytes(3 << 20))]))
    with pytest.raises(NoSpaceError, match="too few"):
        unpack(bytes_of(data), "t", target)
    with pytest.raises(StorageError, match="differ only in case"):
        unpack(bytes_of(tar_of([("a", tarfile.REGTYPE, b""), ("A", tarfile.REGTYPE, b"")])), "t", target)
    assert contents(target) == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "t is no archive of files: neither an incremental archive, nor tar, nor zip"),
        (b"MZ" * 600, "t is no archive of files"),
        (b"\x7fELF" + bytes(2000), "t is no archive of files"),
        (gzip.compress(b"hello"), "t ends in the middle of a header"),
        (gzip.compress(b"hello" * 200), "t: no tar header at byte 0"),
    ],
)
def test_something_else_is_no_archive_of_files(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        unpack(bytes_of(data), "t", MemoryTree())


# --- packing ---------------------------------------------------------------------------------------------------------


@given(data=st.binary(max_size=3000), packing=st.sampled_from(sorted(PACKERS)), step=st.integers(1, 500), members=st.integers(1, 3))
@settings(deadline=None)
def test_packed_streams_of_several_members_come_back(data: bytes, packing: str, step: int, members: int) -> None:
    whole = PACKERS[packing](data) * members
    if packing in {"gzip", "xz"}:
        whole += bytes(8)       # padding
    assert packing_of(whole[:6]) == packing
    pieces = [whole[i : i + step] for i in range(0, len(whole), step)]
    assert b"".join(unpacked(pieces, packing, "x")) == data * members


@pytest.mark.parametrize("packing", PACKERS)
def test_damage_of_packed_streams_is_told(packing: str) -> None:
    data = PACKERS[packing](random.Random(1).randbytes(3000))
    for length in (0, 5, len(data) // 2, len(data) - 1):
        with pytest.raises(FormatError, match=r"archive\.x is (cut short|damaged)"):
            list(unpacked([data[:length]] if length else [], packing, "archive.x"))
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    with pytest.raises(FormatError, match=r"archive\.x is damaged"):
        list(unpacked([bytes(damaged)], packing, "archive.x"))
    with pytest.raises(FormatError, match=r"archive\.x is (cut short|damaged)"):
        list(unpacked([data + b"rubbish behind the end"], packing, "archive.x"))


@pytest.mark.parametrize("packing", PACKERS)
def test_bombs_come_in_pieces(packing: str) -> None:
    bomb = PACKERS[packing](bytes(60 << 20))
    sizes = [len(piece) for piece in unpacked([bomb], packing, "x")]
    assert sum(sizes) == 60 << 20
    assert max(sizes) <= 48 << 20


@given(data=st.binary(max_size=200), packing=st.sampled_from(sorted(PACKERS)))
def test_any_bytes_unpack_or_raise_format_error(data: bytes, packing: str) -> None:
    start = PACKERS[packing](b"x")[:8]
    with suppress(FormatError):
        list(unpacked([start + data], packing, "x"))


def test_bytes_read_before_come_first() -> None:
    reader = Prefixed(b"abc", io.BytesIO(b"def"))
    assert [reader.read(2), reader.read(2), reader.read()] == [b"ab", b"c", b"def"]
    assert Prefixed(b"abc", io.BytesIO(b"def")).read() == b"abcdef"


# --- zip -------------------------------------------------------------------------------------------------------------


def zip_of(*files: tuple[str, bytes, int, int]) -> bytes:
    """A zip of (name, contents, system, external attributes)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")     # a name twice is what some tests want
        for name, data, system, attributes in files:
            info = zipfile.ZipInfo("x", (2001, 9, 9, 1, 46, 40))
            info.filename, info.create_system, info.external_attr = name, system, attributes
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


@pytest.mark.parametrize("stream", [False, True])
def test_a_zip_of_unix_comes_with_modes_and_links(stream: bool) -> None:
    data = zip_of(
        ("d/", b"", 3, (stat.S_IFDIR | 0o750) << 16), ("d/run", b"#!" * 2000, 3, (stat.S_IFREG | 0o755) << 16),
        ("link", b"d/run", 3, (stat.S_IFLNK | 0o777) << 16),
    )
    target = MemoryTree()
    unpack(bytes_of(data, stream=stream), "t.zip", target, verify=True)
    assert contents(target) == {"d": None, "d/run": b"#!" * 2000, "link": None}
    run, link = target.stat("d/run"), target.stat("link")
    assert run.unix is not None
    assert (run.unix.mode, link.target) == (0o755, "d/run")
    dos = fat()
    unpack(bytes_of(data, stream=stream), "t.zip", dos)
    assert contents(dos)["link"] == b"#!" * 2000


def test_a_zip_of_dos_comes_with_attributes_and_local_times() -> None:
    data = zip_of(("DIR\\IO.SYS", b"io", 0, 0x27), ("UMLAUT Ä.TXT", b"", 0, 0x20))
    target = fat()
    unpack(bytes_of(data), "t.zip", target)
    facts = target.stat("DIR/IO.SYS")
    assert facts.dos is not None
    assert facts.dos.attributes == 0x27
    assert facts.mtime_ns == time.mktime((2001, 9, 9, 1, 46, 40, 0, 0, -1)) * 10**9
    assert sorted(contents(target)) == ["DIR", "DIR/IO.SYS", "UMLAUT Ä.TXT"]


def test_what_the_zip_program_of_python_makes_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "a").write_bytes(b"1" * 9999)
    run_tool(["python3", "-m", "zipfile", "-c", tmp_path / "t.zip", tmp_path / "tree"])
    target = MemoryTree()
    with host_file(tmp_path / "t.zip") as data:
        unpack(data, "t.zip", target)
    assert contents(target) == {"tree": None, "tree/sub": None, "tree/sub/a": b"1" * 9999}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (zip_of(("../x", b"", 3, 0)), '"../x" is a path that is not inside the tree'),
        (zip_of(("/x", b"", 3, 0)), "not inside the tree"),
        (zip_of(("..\\x", b"", 0, 0)), "not inside the tree"),
        (zip_of(("a//b", b"", 3, 0)), "not inside the tree"),
        (zip_of(("a", b"", 3, 0), ("a", b"", 3, 0)), 'there twice'),
        (zip_of(("l", b"", 3, stat.S_IFLNK << 16)), '"l" is a link to nowhere'),
        (zip_of(("l", bytes(40_000), 3, stat.S_IFLNK << 16)), '"l" is a symbolic link of 40000 bytes'),
        (zip_of(("a", b"abc", 3, 0))[:-10], "is a damaged zip archive"),
        (b"PK\3\4" + bytes(100), "is a damaged zip archive"),
        (zip_of(("a", b"abc" * 100, 3, 0)).replace(b"\x00\x00\x08\x00", b"\x01\x00\x08\x00"), "is encrypted|is damaged"),
    ],
)
def test_a_hostile_zip_is_refused_before_anything_is_written(data: bytes, message: str) -> None:
    target = MemoryTree()
    with pytest.raises(FormatError, match=message):
        unpack(bytes_of(data), "t.zip", target, "new")
    assert contents(target) == {}


def test_damaged_contents_of_a_zip_leave_no_file() -> None:
    data = bytearray(zip_of(("a", random.Random(5).randbytes(2000), 3, 0)))
    data[1000] ^= 1
    target = MemoryTree()
    with pytest.raises(FormatError, match=r't\.zip: "a" is damaged'):
        unpack(bytes_of(bytes(data)), "t.zip", target)
    assert contents(target) == {}


@given(position=st.integers(0, 400), value=st.binary(min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_any_zip_unpacks_or_raises(position: int, value: bytes) -> None:
    """Invariant: FormatError or StorageError, or files that stay inside."""
    data = bytearray(zip_of(("d/a", b"1" * 100, 3, 0o644 << 16), ("l", b"d/a", 3, (stat.S_IFLNK | 0o777) << 16), ("b", b"2", 0, 0x20)))
    position %= len(data)
    data[position : position + len(value)] = value
    with suppress(FormatError, StorageError):
        unpack(bytes_of(bytes(data)), "t.zip", MemoryTree())
