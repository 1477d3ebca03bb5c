"""Archives of every kind, small, and ways to damage their bytes: what `test_damage` tries."""

import io
import random
import struct
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import UUID

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from bpscript.archive.capture import capture, survey
from bpscript.archive.disk_capture import capture_disk
from bpscript.archive.incremental import incremental_base, write_incremental
from bpscript.archive.positional import JoinedBytes, JoinedReader, Positional
from bpscript.archive.table import Signature
from bpscript.base.clock import Clock
from bpscript.base.entropy import Entropy
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import open_volume
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.swap import format_swap
from bpscript.partitions.plan import plan_partitions
from bpscript.partitions.table import read_table
from tests.archive.archives import MemorySink, opened
from tests.archive.memory_tree import MemoryTree, tree_of
from tests.oracles import run_tool

KIB = 1 << 10
CLOCK = Clock(1_700_000_000_000_000_000)
KEY = ECC.construct(curve="Ed25519", seed=bytes(range(32)))


class Sample(NamedTuple):
    """A good archive. `size` is that of the partition, 0 for archives of files; `cuts` are where fragments begin."""

    data: bytes
    size: int = 0
    cuts: tuple[int, ...] = ()
    is_signed: bool = False


class Region(NamedTuple):
    """A run of bytes of an archive and what it is."""

    name: str
    start: int
    end: int


# --- good archives ---------------------------------------------------------------------------------------------------


def _volume(kind: str) -> MemoryDevice:
    device = MemoryDevice(512 * KIB)
    if kind.startswith("FAT"):
        format_fat(device, 12, "DAMAGE", volume_id=0x12345678)
    else:
        format_ext(device, kind, "DAMAGE", UUID(int=5), UUID(int=6), clock=CLOCK)
    volume = open_volume(device, clock=CLOCK)
    volume.write_file("noise", [random.Random(1).randbytes(9000)])
    volume.write_file("zeros", [bytes(30000)])
    volume.write_file("text", [b"some text " * 9000])
    volume.close()
    return device


def _ntfs() -> MemoryDevice:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ntfs"
        with path.open("wb") as image:
            image.truncate(1_099_776)
        run_tool(["mkntfs", "-F", "-Q", "-q", "-s", "512", "-c", "512", path])
        return MemoryDevice(path.read_bytes())


def _swap() -> MemoryDevice:
    device = MemoryDevice(256 * KIB)
    format_swap(device, "DAMAGE", UUID(int=7))
    return device


def _raw() -> MemoryDevice:
    rng = random.Random(2)
    return MemoryDevice(rng.randbytes(20 * KIB) + bytes(200 * KIB) + rng.randbytes(1 * KIB) + bytes(15 * KIB))


def _full(device: MemoryDevice, *, chunk_size: int = 16 * KIB, signed: bool = False) -> Sample:
    sink = MemorySink()
    capture(survey(device, clock=CLOCK), sink, level=1, threads=1, chunk_size=chunk_size, sign=_sign if signed else None)
    return Sample(sink.data, device.size, is_signed=signed)


def _sign(text: bytes) -> Signature:
    return Signature(bytes(KEY.public_key().export_key(format="raw")), eddsa.new(KEY, "rfc8032").sign(text))


def _disk() -> Sample:
    """A whole disk: an MBR, a boot track, a FAT and a swap partition."""
    device = MemoryDevice(4 << 20)
    plan_partitions("BIGDOS:1 LINUX-SWAP:1", device, entropy=Entropy("damage")).apply(device)
    device.write(512, random.Random(4).randbytes(5000))
    table = read_table(device)
    for each, content in zip(table.partitions, (_volume("FAT12"), _swap()), strict=True):
        device.write(each.start, content.read(0, content.size))
    sink = MemorySink()
    capture_disk(device, sink, clock=CLOCK, level=1, threads=1, chunk_size=64 * KIB)
    return Sample(sink.data, device.size)


def _fragments() -> Sample:
    whole = _full(_volume("FAT12"))
    positions = [start for _, start, _ in regions(whole.data)]
    third = len(whole.data) // 3
    cuts = tuple(min(positions, key=lambda position: abs(position - at)) for at in (third, 2 * third))
    return whole._replace(cuts=cuts)


def files_before() -> MemoryTree:
    """What is in the directory that archives of files are unpacked into."""
    return tree_of({"dir/changed": b"old contents", "gone/away": b"was in the base", "other": b"not in any archive"})


def _incremental(base: bytes | None = None) -> Sample:
    tree = tree_of({"dir/noise": random.Random(3).randbytes(5000), "dir/changed": b"new", "empty": b"", "long": b"a line of text\n" * 120_000, "z": b"last"})
    tree.make_symlink("link", "dir/noise")
    tree.make_hard_link("second name", "z")
    sink = MemorySink()
    write_incremental(sink, tree, base=None if base is None else incremental_base(opened(base)), level=1, threads=1)
    return Sample(sink.data)


def _difference() -> Sample:
    sink = MemorySink()
    write_incremental(sink, files_before(), level=1, threads=1)
    return _incremental(sink.data)


_MAKERS: dict[str, Callable[[], Sample]] = {
    "FAT": lambda: _full(_volume("FAT12")),
    "ext2": lambda: _full(_volume("EXT2")),
    "ext4": lambda: _full(_volume("EXT4")),
    "NTFS": lambda: _full(_ntfs(), chunk_size=64 * KIB),
    "swap": lambda: _full(_swap(), chunk_size=4 * KIB),
    "raw": lambda: _full(_raw()),
    "disk": _disk,
    "signed": lambda: _full(_raw(), signed=True),
    "fragments": _fragments,
    "incremental": _incremental,
    "difference": _difference,
}
KINDS = tuple(_MAKERS)


@cache
def sample(kind: str) -> Sample:
    """A good archive of a kind."""
    return _MAKERS[kind]()


# --- where what is ---------------------------------------------------------------------------------------------------


@cache
def regions(data: bytes) -> tuple[Region, ...]:
    """Every byte of an archive, in pieces that mean something (FORMAT.md)."""
    return tuple(_regions(data))


def _regions(data: bytes) -> Iterator[Region]:
    position, stored, number = 0, 0, -1
    while position < len(data):
        if stored:
            yield from _cut(f"frame {number}", position, (4, 1), stored)      # magic, descriptor, the rest
            position, stored = position + stored, 0
            continue
        magic, length = struct.unpack_from("<II", data, position)
        end = position + 8 + length
        tag = data[position + 8 : position + 12] if magic == 0x184D2A5B else b"seek"
        if tag == b"bpsC":
            number += 1
            stored = struct.unpack_from("<I", data, position + 28)[0]
            yield from _cut(f"record {number}", position, (8, 4, 4, 8, 4, 4, 32), 64)
        elif tag == b"bpsH":
            yield from _cut("header", position, (8, 4, 2, 2, 4, 4, 8), 32)
            at = position + 32
            for _ in range(struct.unpack_from("<I", data, position + 20)[0]):
                size = struct.unpack_from("<I", data, at + 12)[0]
                yield from _cut(f"header section {data[at : at + 4].decode()}", at, (4, 4, 4, 4), 16 + size)
                at += 16 + size
            yield Region("header hash", at, end)
        elif tag == b"bpsT":
            count = struct.unpack_from("<I", data, position + 12)[0]
            head = 12 + 84 + 40 * count
            yield from _cut("table", position, (8, 4, 4, 8, 8, 32, 32), head)
            yield from _cut("table entries", position + head, (), length + 8 - head - 32)
            yield Region("root hash", end - 32, end)
        elif tag == b"bpsG":
            yield from _cut("signature", position, (8, 4, 4, 32, 64), 112)
        elif tag == b"seek":
            yield from _cut("seek table", position, (8,), length + 8 - 9)
            yield from _cut("seek footer", end - 9, (4, 1, 4), 9)
        else:
            yield from _cut(f"section {tag.decode()}", position, (8, 4, 16), length + 8)
        if not stored:
            position = end
        else:
            position += 64


def _cut(name: str, start: int, lengths: tuple[int, ...], size: int) -> Iterator[Region]:
    """Fields of these lengths, and what is left of `size`."""
    end = start + size
    for number, length in enumerate(lengths):
        yield Region(f"{name}, field {number}", start, start + length)
        start += length
    if start < end:
        yield Region(name, start, end)


# --- damage ----------------------------------------------------------------------------------------------------------


def flips(data: bytes, count: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Archives with one byte or bit changed, in every region in turn; what was done, and the bytes."""
    where = list(regions(data))
    assert sum(region.end - region.start for region in where) == len(data)
    rng.shuffle(where)
    for number in range(count):
        region = where[number % len(where)]
        at = rng.randrange(region.start, region.end)
        yield flipped(data, at, 1 << rng.randrange(8) if number % 2 else rng.randrange(1, 256), region.name)


def flipped(data: bytes, at: int, bits: int, region: str) -> tuple[str, bytes]:
    """One byte changed."""
    damaged = bytearray(data)
    damaged[at] ^= bits
    return f"byte {at} ({region}) xor {bits:02X}", bytes(damaged)


def larger_damage(data: bytes, count: int, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Bytes or blocks swapped, sectors zeroed or doubled, bytes lost or put in, whole frames swapped."""
    frames = [region for region in regions(data) if not region.name.endswith(tuple(f"field {n}" for n in range(1, 9)))]
    while count:
        way = rng.randrange(7)
        a, b = sorted(rng.randrange(len(data)) for _ in range(2))
        length = rng.choice([1, 4, 52, 64, 512])
        cut, part = data[:a], data[a : a + length]
        if way == 0:
            damaged, words = cut + data[b : b + 1] + data[a + 1 : b] + data[a : a + 1] + data[b + 1 :], f"bytes {a} and {b} swapped"
        elif way == 1 and a + length <= b <= len(data) - length:
            damaged = cut + data[b : b + length] + data[a + length : b] + part + data[b + length :]
            words = f"{length} bytes at {a} and {b} swapped"
        elif way == 2:
            sector = a // 512 * 512
            damaged, words = data[:sector] + bytes(min(512, len(data) - sector)) + data[sector + 512 :], f"sector at {sector} zeroed"
        elif way == 3:
            damaged, words = cut + data[b : b + length] + data[a + len(data[b : b + length]) :], f"{length} bytes at {b} over {a}"
        elif way == 4:
            damaged, words = cut + data[a + length :], f"{length} bytes lost at {a}"
        elif way == 5:
            damaged, words = cut + rng.randbytes(length) + data[a:], f"{length} bytes put in at {a}"
        else:
            one, two = sorted(rng.sample(frames, 2), key=lambda region: region.start)
            if one.end > two.start:
                continue
            damaged = data[: one.start] + data[two.start : two.end] + data[one.end : two.start] + data[one.start : one.end] + data[two.end :]
            words = f"{one.name} and {two.name} swapped"
        if damaged != data:
            count -= 1
            yield words, damaged


# --- opening ---------------------------------------------------------------------------------------------------------


def whole(data: bytes, cuts: tuple[int, ...]) -> Positional:
    """As bytes that can be read from anywhere, in fragments where there are cuts."""
    edges = [0, *(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [MemoryDevice(data[a:b]) for a, b in pairwise(edges)]
    return JoinedBytes(parts) if cuts else parts[0]


def stream(data: bytes) -> JoinedReader:
    """As a pipe gives them."""
    return JoinedReader(io.BytesIO(data))
