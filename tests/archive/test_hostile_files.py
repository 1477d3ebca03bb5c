"""Archives of files made to harm: nothing outside the target, nothing half written, little memory and time."""

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from struct import pack, pack_into

import pytest
import zstandard
from _pytest.mark import ParameterSet

from bpscript.archive.incremental import pack_names, pack_removals
from bpscript.archive.plan import Planned
from bpscript.archive.positional import JoinedReader
from bpscript.archive.records import ChunkKind, ChunkRecord
from bpscript.archive.tar_layout import END
from bpscript.archive.tar_write import tar_header
from bpscript.archive.unpack import unpack
from bpscript.base.clock import Clock
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import FatVolume, format_fat
from bpscript.filesystems.filesystem import Facts, FileKind, Filesystem, UnixFacts
from bpscript.filesystems.folder import FolderVolume
from tests.archive.forge import KNOWN, PACKED, Section, chunks_of, forge, packed, zero_chunk
from tests.archive.test_hostile import EXPECTED, packed_of
from tests.bounded import Outcome, bounded

KIB, MIB = 1 << 10, 1 << 20
CLOCK = Clock(0)
FILE, DIRECTORY, SYMLINK = FileKind.FILE, FileKind.DIRECTORY, FileKind.SYMLINK
Entry = tuple[str, Facts, str | None, bytes]


# --- archives of ours ------------------------------------------------------------------------------------------------


def file(path: str, data: bytes = b"harm", link: str | None = None) -> Entry:
    return path, Facts(FILE, len(data), unix=UnixFacts()), link, data


def symlink(path: str, target: str) -> Entry:
    return path, Facts(SYMLINK, target=target, unix=UnixFacts(0o777)), None, b""


def node(path: str) -> Entry:
    return path, Facts(FileKind.BLOCK_DEVICE, unix=UnixFacts(0o666, device=(8, 0))), None, b""


def ours(*entries: Entry, names: bytes | None = None, removed: list[str] | None = None, more: bytes = b"") -> bytes:
    """An incremental archive; its table of names says what the entries are, unless it is given."""
    tar = b"".join(tar_header(path, facts, link) + data + bytes(-len(data) % 512) for path, facts, link, data in entries) + END
    codes = {FILE: "f", DIRECTORY: "d", SYMLINK: "l", FileKind.BLOCK_DEVICE: "b"}
    plan = [
        Planned(path, codes[facts.kind] if link is None else "h", facts.size if link is None else 0, facts.target or link or "")
        for path, facts, link, _ in entries
    ]
    sections = [Section(b"META", b"{}"), Section(b"NAME", pack_names(plan) if names is None else names)]
    if removed is not None:
        sections.append(Section(b"BASE", pack_removals(removed)))
    tar += more
    return forge(sections, chunks_of(tar + bytes(-len(tar) % 10240), 1 << 20), kind=2, size=(1 << 64) - 1)


def names(size: int, text: bytes) -> bytes:
    content = text * (size // len(text))
    section = Section(b"NAME", packed_of(content), KNOWN | PACKED, len(content))
    return forge([Section(b"META", b"{}"), section], chunks_of(END.ljust(10240, b"\0"), 1 << 20), kind=2, size=(1 << 64) - 1)


OURS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path that climbs": (lambda: ours(file("../outside/new")), "table of names is damaged"),
    "a path that climbs in the middle": (lambda: ours(file("a/../../outside/new")), "table of names is damaged"),
    "an absolute path": (lambda: ours(file("/outside/new")), "table of names is damaged"),
    "the directory itself": (lambda: ours(file(".")), "table of names is damaged"),
    "an empty path": (lambda: ours(file("x"), names=b"f4\0\0\0"), "table of names is damaged"),
    "a NUL in a path": (lambda: ours(file("x"), names=b"f4\0a\0b\0\0\0"), "table of names is damaged"),
    "a path twice": (lambda: ours(file("a"), file("a")), "a path twice"),
    "a link, then a file below it": (lambda: ours(symlink("way", "../outside"), file("way/new")), "not a directory"),
    "a link, then the file it leads to": (lambda: ours(symlink("way", "../outside/old"), file("way")), "a path twice"),
    "a file below a file": (lambda: ours(file("a"), file("a/b")), "not a directory"),
    "a hard link to outside": (lambda: ours(file("a", b"", "../outside/old")), "no earlier file"),
    "a hard link to itself": (lambda: ours(file("a", b"", "a")), "no earlier file"),
    "a hard link to what comes later": (lambda: ours(file("a", b"", "b"), file("b")), "no earlier file"),
    "a hard link to a directory": (lambda: ours(("d", Facts(DIRECTORY, unix=UnixFacts(0o755)), None, b""), file("a", b"", "d")), "no earlier file"),
    "below a link that is there already": (lambda: ours(file("there/new")), "is a symlink on the target"),
    "removing outside": (lambda: ours(file("a"), removed=["../outside/old"]), "list of removed files is damaged"),
    "removing below a link": (lambda: ours(file("a"), removed=["there/old"]), "|not a directory|in the way"),
    "names that the stream does not have": (lambda: ours(file("a"), names=b"f4\0a\0\0f4\0b\0\0"), "not in the archive"),
    "a stream with more than the names": (lambda: ours(file("a"), file("b"), names=b"f4\0a\0\0"), "does not agree"),
    "a file of an exabyte": (lambda: ours(file("a"), names=b"f%d\0a\0\0" % (1 << 60)), "too few|need"),
    "a file of a TiB that is not there": (lambda: ours(file("a"), names=b"f%d\0a\0\0" % (1 << 40)), "too few|need|beyond its end"),
    "a size of a hundred digits": (lambda: ours(file("a"), names=b"f" + b"9" * 100 + b"\0a\0\0"), "table of names is damaged"),
    "a quarter GiB of no names": (lambda: names(255 * MIB, b"\0"), "more than 2097152 entries"),
    "very long names": (lambda: ours(file("x"), names=b"f4\0" + b"a/" * 12_000 + b"x\0\0"), "inside each other|does not agree|255 bytes"),
    "a name of a MiB": (lambda: ours(file("x"), names=b"f4\0" + b"a" * MIB + b"\0\0"), "255"),
    "a table of names of another kind": (lambda: ours(file("x"), names=b"x4\0a\0\0"), "table of names is damaged"),
    "a device": (lambda: ours(node("disk")), ""),
    "gigabytes of zeros behind the end": (lambda: forge([Section(b"META", b"{}"), Section(b"NAME", b"")], _zeros_behind(), kind=2, size=(1 << 64) - 1), "behind its end mark"),
}


def _zeros_behind() -> list[tuple[ChunkRecord, bytes]]:
    return [zero_chunk(n << 28, 1 << 28, ChunkKind.ZERO) for n in range(200)]


# --- tar and zip of others -------------------------------------------------------------------------------------------


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as made:
        for info, data in entries:
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    found.pax_headers = {key.replace("_", "."): value for key, value in pax.items()}
    return found


def header(name: bytes, size: bytes, kind: bytes = b"0", link: bytes = b"", at: dict[int, bytes] | None = None) -> bytes:
    """A header whose checksum is right, whatever else it says."""
    block = bytearray(512)
    for offset, value in {0: name, 100: b"0000644\0", 108: b"0000000\0", 116: b"0000000\0", 124: size, 136: b"0" * 11, 156: kind, 157: link, 257: b"ustar  \0", **(at or {})}.items():
        block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    pack_into("8s", block, 148, b"%06o\0 " % sum(block))
    return bytes(block)


def octal(number: int) -> bytes:
    return b"%011o\0" % number


def base256(number: int) -> bytes:
    return b"\x80" + number.to_bytes(11, "big")


def pax(*records: bytes, kind: bytes = b"x", size: int | None = None) -> bytes:
    data = b"".join(records)
    return header(b"pax", octal(len(data) if size is None else size), kind) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes, length: int | None = None) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    said = next(n for n in range(len(body) + 1, len(body) + 12) if n == len(body) + len(str(n)))
    return str(said if length is None else length).encode() + body


def sparse_00(count: int) -> bytes:
    """The oldest pax way: each hole says its name again."""
    records = [record(b"GNU.sparse.size", b"%d" % (count * 1024))]
    for number in range(count):
        records += [record(b"GNU.sparse.offset", b"%d" % (number * 1024)), record(b"GNU.sparse.numbytes", b"0")]
    return pax(*records) + header(b"f", octal(0))


def sparse_10(text: bytes, stored: int = 512, real: int = 1 << 40) -> bytes:
    keys = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0") + record(b"GNU.sparse.name", b"f") + record(b"GNU.sparse.realsize", b"%d" % real)
    return pax(keys) + header(b"f", octal(stored)) + text.ljust(stored + (-stored % 512), b"0")


def many_globals() -> bytes:
    keys = b"".join(record(b"k%d" % number, b"v") for number in range(100_000))
    return pax(keys, kind=b"g") + header(b"f", octal(0)) * 100_000


def many_extensions() -> bytes:
    return b"".join(pax(*(record(b"k%d.%d" % (n, m), b"v" * 50) for m in range(1000))) for n in range(40)) + header(b"f", octal(0))


def zip_of(name: str, data: bytes, method: int = zipfile.ZIP_DEFLATED, **changes: int) -> bytes:
    """A zip of one file; its directory then says something else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        made.writestr(zipfile.ZipInfo(name), data, method)
    found = bytearray(buffer.getvalue())
    at = found.index(b"PK\1\2")
    for key, value in changes.items():
        pack_into("<I", found, at + {"size": 24, "packed": 20, "offset": 42, "crc": 16}[key], value)
    return bytes(found)


def zip_bomb(method: int, data: bytes, size: int) -> bytes:
    """A zip with one entry whose packed bytes are given; `size` is what it says they become."""
    local = pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, method, 0, 0, 0, len(data), size, 1, 0) + b"f" + data
    entry = pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, method, 0, 0, 0, len(data), size, 1, 0, 0, 0, 0, 0, 0) + b"f"
    return local + entry + pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)


def bzip2_bomb() -> bytes:
    return bz2.compress(bytes(45_899_235)) * 200


def overlapping_zip() -> bytes:
    """A thousand entries that all are the same packed bytes."""
    data = zip_of("f", bytes(MIB))
    at = data.index(b"PK\1\2")
    entries = b"".join(data[at : at + 28] + pack("<H", 4) + data[at + 30 : at + 46] + b"%04d" % number for number in range(1000))
    local = data[:26] + pack("<H", 1) + data[28:at]
    return local + entries + pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1000, 1000, len(entries), at, 0)


def zip_link_then_below() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        way = zipfile.ZipInfo("way")
        way.create_system, way.external_attr = 3, 0o120777 << 16
        made.writestr(way, "../outside")
        made.writestr(zipfile.ZipInfo("way/new"), "harm")
    return buffer.getvalue()


def zstd_bomb(entries: bytes = b"") -> bytes:
    """16 GiB of zeros in half a MiB, behind some bytes."""
    return zstandard.ZstdCompressor(write_checksum=True).compress(entries) + packed(b"\0", 1 << 30) * 16


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path that climbs": (lambda: tar((info("../outside/new"), b"harm")), "leave the tree"),
    "an absolute path": (lambda: tar((info("/outside/new"), b"harm")), "not inside the tree"),
    "a link, then a file below it": (lambda: tar((info("way", tarfile.SYMTYPE, "../outside"), b""), (info("way/new"), b"harm")), "not a directory"),
    "a link, a directory, then a file below it": (
        lambda: tar((info("way", tarfile.SYMTYPE, "../outside"), b""), (info("way", tarfile.DIRTYPE), b""), (info("way/new"), b"harm")), ""
    ),
    "a hard link to outside": (lambda: tar((info("a", tarfile.LNKTYPE, "../outside/old"), b"")), "leave the tree"),
    "a hard link through a link": (lambda: tar((info("way", tarfile.SYMTYPE, "../outside"), b""), (info("a", tarfile.LNKTYPE, "way/old"), b"")), "no earlier file"),
    "below a link that is there already": (lambda: tar((info("there/new"), b"harm")), "is a symlink on the target"),
    "a size beyond 2^64": (lambda: header(b"f", base256(1 << 70)), "impossible size"),
    "a size of 2^60": (lambda: header(b"f", base256(1 << 60)), "need|too few"),
    "a negative size": (lambda: header(b"f", b"\xff" * 12), "impossible size"),
    "a pax record longer than its header": (lambda: pax(record(b"path", b"x", 9999)) + header(b"f", octal(0)), "is damaged"),
    "a pax record of length 0": (lambda: pax(b"0 path=x\n") + header(b"f", octal(0)), "is damaged"),
    "a pax record without an end": (lambda: pax(b"9" * 40) + header(b"f", octal(0)), "is damaged"),
    "a pax header of 4 GiB": (lambda: pax(record(b"path", b"x"), size=(1 << 32) - 1), "at most 4194304"),
    "a pax size that lies": (lambda: pax(record(b"size", b"1" * 19)) + header(b"f", octal(0)), "impossible size|need|too few"),
    "a pax time of a million digits": (lambda: pax(record(b"mtime", b"9" * 1_000_000)) + header(b"f", octal(0)), "impossible time"),
    "a hundred thousand global keys": (many_globals, "more than 1024 keys"),
    "extended headers without end": (many_extensions, "extended headers for one entry"),
    "a path of a thousand directories": (lambda: pax(record(b"path", b"d/" * 15_000 + b"f")) + header(b"f", octal(0)) + END, "inside each other"),
    "sparse 0.0 with a map of 60,000 holes": (lambda: sparse_00(60_000), "|end mark|ends|need"),
    "sparse 0.1 with a map of noise": (lambda: pax(record(b"GNU.sparse.size", b"9"), record(b"GNU.sparse.map", b"1,2,x")) + header(b"f", octal(0)), "damaged map"),
    "sparse 0.1 with a huge map": (lambda: pax(record(b"GNU.sparse.size", b"9"), record(b"GNU.sparse.map", b"0," * 1_500_000 + b"0")) + header(b"f", octal(0)), "damaged map"),
    "sparse 1.0 with a billion holes": (lambda: sparse_10(b"1000000000\n"), "too many holes"),
    "sparse 1.0 whose map never ends": (lambda: sparse_10(b"200000\n" + b"0\n" * 100_000, 200_704), "damaged map|ends"),
    "sparse 1.0 of a TiB": (lambda: sparse_10(b"0\n", 512, 1 << 40) + END, "|need|too few|can have at most"),
    "sparse 1.0 of 20 TiB": (lambda: sparse_10(b"0\n", 512, 20 << 40) + END, "need|too few|can have at most"),
    "sparse 1.0 out of order": (lambda: sparse_10(b"2\n4096\n512\n0\n512\n", 1536), "out of order"),
    "old sparse of an exabyte": (lambda: header(b"f", octal(0), b"S", at={386: base256(0) + base256(0), 483: base256(1 << 59)}) + END, "need|too few|can have at most"),
    "old sparse with extensions without end": (lambda: header(b"f", octal(0), b"S", at={482: b"\1", 483: octal(9)}) + (bytes(504) + b"\1" + bytes(7)) * 50_000, "too many holes|ends|damaged map"),
    "16 GiB behind the end mark": (lambda: zstd_bomb(END), "behind its end mark"),
    "16 GiB of a file": (lambda: zstd_bomb(header(b"f", base256(16 << 30))), "need|too few"),
    "a gzip of 4 GiB": (lambda: gzip_bomb(header(b"f", base256(4 << 30))), "need|too few"),
    "an xz that wants 4 GiB of memory": (lambda: xz_with_dictionary(), "damaged"),      # noqa: PLW0108 - defined below
    "bzip2 of 9 GB": (lambda: bz2.compress(header(b"f", base256(9_179_847_000))) + bzip2_bomb(), "need|too few"),
    "a zip path that climbs": (lambda: zip_of("../outside/new", b"harm"), "not inside the tree"),
    "a zip path with backslashes": (lambda: zip_of("..\\outside\\new", b"harm").replace(b"\x14\x03", b"\x14\x00"), "|not inside the tree"),
    "a zip link, then a file below it": (zip_link_then_below, "not a directory"),
    "a zip that says too little": (lambda: zip_of("f", b"x" * 1000, size=10), "damaged"),
    "a zip that says too much": (lambda: zip_of("f", b"x" * 1000, size=100_000), "damaged|has 1000 bytes"),
    "a zip that says a petabyte": (lambda: zip_of("f", b"x" * 1000, size=0xFFFFFFF0), "need|too few"),
    "a zip with an entry beyond its end": (lambda: zip_of("f", b"x", offset=0x7FFFFFFF), "damaged"),
    "a zip of deflate that never ends": (lambda: zip_bomb(8, deflate_bomb(), 1000), "damaged"),
    "a zip of bzip2 that never ends": (lambda: zip_bomb(12, bzip2_bomb(), 1000), "damaged"),
    "a zip of LZMA that never ends": (lambda: zip_bomb(14, lzma_bomb(), 1000), "damaged"),
    "a zip of LZMA that wants 4 GiB": (lambda: zip_bomb(14, b"\x05\0\x05\0\x5d\xff\xff\xff\xff" + b"\0" * 100, 1000), "bytes of memory"),
    "a zip whose entries overlap": (overlapping_zip, "need|too few"),
    "a zip that is one link of a MiB": (lambda: zip_of("f", b"x" * MIB), ""),
}


def gzip_bomb(start: bytes) -> bytes:
    return gzip.compress(start) + gzip.compress(bytes(16 * MIB), 9) * 256


def deflate_bomb() -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(made.compress(bytes(MIB)) for _ in range(100)) + made.flush()


def lzma_bomb() -> bytes:
    made = lzma.compress(bytes(80 * MIB), lzma.FORMAT_ALONE, preset=0)
    return b"\x05\0\x05\0" + made[:5] + made[13:]


def xz_with_dictionary() -> bytes:
    """An xz whose block header asks for a dictionary of 4 GiB - 1; its CRC-32 is right (The .xz File Format 3.1)."""
    data = bytearray(lzma.compress(bytes(1000), lzma.FORMAT_XZ))
    at = data.index(b"\x21\x01", 12)        # filter id LZMA2, one byte of properties
    data[at + 2] = 40                       # 5.3.1: 4 GiB - 1
    size = (data[12] + 1) * 4
    pack_into("<I", data, 12 + size - 4, zlib.crc32(data[12 : 12 + size - 4]))
    return bytes(data)


# --- the targets -----------------------------------------------------------------------------------------------------


Target = tuple[Path, Callable[[], Filesystem]]


def everywhere(cases: Iterable[str]) -> list[ParameterSet]:
    """Every case on a folder; those about paths and links on ext4 and FAT too, the others there in soak runs."""
    return [
        pytest.param(
            case, kind, id=f"{case}-{kind}",
            marks=() if kind == "folder" or (kind == "ext4" and re.search(r"path|link|outside", case)) else pytest.mark.slow,
        )
        for case in cases for kind in ("folder", "ext4", "FAT")
    ]


@pytest.fixture
def place(kind: str, tmp_path: Path) -> Iterator[Target]:
    """A target with a link `there` that leads out of it, and the folder beside a folder target."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/old").write_text("untouched")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/there").symlink_to("../outside")
    device = MemoryDevice(2 * MIB)

    def make() -> Filesystem:
        if kind == "folder":
            return FolderVolume(tmp_path / "target")
        if kind == "FAT":
            format_fat(device, 12)
            return FatVolume.on(device, clock=CLOCK)
        format_ext(device, "EXT4", clock=CLOCK)
        volume = open_volume(device, clock=CLOCK)
        volume.make_dir("outside")
        volume.write_file("outside/old", [b"untouched"])
        volume.make_dir("target")
        volume.make_symlink("target/there", "../outside")  # type: ignore[attr-defined]
        return volume

    yield tmp_path, make
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["old"]
    assert (tmp_path / "outside/old").read_text() == "untouched"
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "target"}
    assert not [path.name for path in (tmp_path / "target").iterdir() if path.name.startswith(".")], "a temporary file was left"


def attempt(data: bytes, place: Target, *, stream: bool, memory: int = 150) -> Outcome:
    def use() -> None:
        volume = place[1]()
        root = "" if volume.kind == "FOLDER" or volume.kind.startswith("FAT") else "target"
        if volume.kind == "FOLDER":         # the host may have room for anything; a disk has not
            usage = volume.usage
            volume.usage = lambda: usage().__class__(64 * MIB, 64 * MIB)  # type: ignore[method-assign]
        try:
            unpack(JoinedReader(io.BytesIO(data)) if stream else MemoryDevice(data), "the archive", volume, root)
        finally:
            assert volume.check() == []
            volume.close()

    return bounded(use, memory=memory)


def judge(outcome: Outcome, expected: str) -> None:
    assert not outcome.error or outcome.error in EXPECTED, f"{outcome.error}: {outcome.message}"
    assert "\n" not in outcome.message
    assert len(outcome.message) < 600
    if expected and not expected.startswith("|"):
        assert outcome.error, "it was accepted"
    assert not outcome.error or re.search(expected.strip("|"), outcome.message), outcome.message


@pytest.mark.parametrize(("case", "kind"), everywhere(OURS))
def test_a_hostile_incremental_archive(case: str, kind: str, place: Target) -> None:
    make, expected = OURS[case]
    data = make()
    for stream in (False, True):
        # A table of names may have 256 MiB (FORMAT.md, 2); that is the one thing that may take more.
        outcome = attempt(data, place, stream=stream, memory=280 if "no names" in case else 150)
        judge(outcome, "|" if kind == "FAT" and "link that is there" in case else expected)


@pytest.mark.parametrize(("case", "kind"), everywhere(FOREIGN))
def test_a_hostile_tar_or_zip(case: str, kind: str, place: Target) -> None:
    make, expected = FOREIGN[case]
    judge(attempt(make(), place, stream=False), "|" if kind == "FAT" and "link that is there" in case else expected)
