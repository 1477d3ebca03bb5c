"""Archives whose every hash is right, whatever they say: only what the numbers mean is left to refuse them."""

from array import array
from collections.abc import Iterable, Sequence
from functools import cache
from struct import pack
from typing import NamedTuple

import zstandard
from blake3 import blake3

from bpscript.archive.records import CHUNK_ENTRY, SKIPPABLE, ChunkKind, ChunkRecord, skippable, zero_frame
from bpscript.archive.table import Table, seek_table

KNOWN, OPTIONAL, PACKED = 0, 1, 2


class Section(NamedTuple):
    """A section as it is stored; `length` is what it says to unpack to (None: the truth)."""

    tag: bytes
    content: bytes
    flags: int = KNOWN
    length: int | None = None

    def stored(self) -> bytes:
        length = len(self.content) if self.length is None else self.length
        return pack("<4sIII", self.tag, self.flags, length, len(self.content)) + self.content


def bomb(tag: bytes, size: int, *, flags: int = KNOWN, fill: bytes = b"\0") -> Section:
    """A section of `size` times the same byte."""
    return Section(tag, packed(fill, size), flags | PACKED, size)


@cache
def packed(fill: bytes, size: int) -> bytes:
    """A frame of `size` times the same byte, made little by little."""
    made = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj(size=size)
    step = fill * (1 << 20)
    parts = [made.compress(step) for _ in range(size >> 20)]
    return b"".join([*parts, made.compress(fill * (size & 0xFFFFF)), made.flush()])


def data_chunk(offset: int, data: bytes) -> tuple[ChunkRecord, bytes]:
    """An honest chunk."""
    frame = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data)
    return ChunkRecord(offset, len(data), len(frame), ChunkKind.DATA, blake3(data).digest()), frame


def zero_chunk(offset: int, length: int, kind: ChunkKind = ChunkKind.UNUSED) -> tuple[ChunkRecord, bytes]:
    """An honest run of zeros."""
    frame = zero_frame(length)
    return ChunkRecord(offset, length, len(frame), kind), frame


def chunks_of(data: bytes, chunk_size: int) -> list[tuple[ChunkRecord, bytes]]:
    """Contents cut into chunks."""
    return [data_chunk(start, data[start : start + chunk_size]) for start in range(0, len(data), chunk_size)]


def forge(
    sections: Iterable[Section], chunks: Sequence[tuple[ChunkRecord, bytes]], *, kind: int = 1, chunk_size: int = 1 << 20, size: int | None = None,
    behind: Iterable[Section] = (), table_size: int | None = None,
) -> bytes:
    """The archive. `size` of the header: by default what the chunks hold."""
    held = sum(record.length for record, _ in chunks)
    stored = [section.stored() for section in sections]
    head = pack("<4sHHIIQ", b"bpsH", 1, kind, chunk_size, len(stored), held if size is None else size) + b"".join(stored)
    header = skippable(head + blake3(head).digest())
    parts = [header]
    frames = array("I", [len(header), 0])
    for record, frame in chunks:
        parts += [record.frame(), frame]
        frames.extend((SKIPPABLE.size + 4 + CHUNK_ENTRY.size, 0, len(frame), record.length))
    listed = []
    for section in behind:
        frame = skippable(b"bpsS" + section.stored())
        parts.append(frame)
        listed.append((section.tag, len(frame), blake3(frame).digest()))
        frames.extend((len(frame), 0))
    entries = b"".join(record.entry() for record, _ in chunks)
    table = Table(held if table_size is None else table_size, blake3(header).digest(), entries, tuple(listed)).frame()
    frames.extend((len(table), 0))
    return b"".join([*parts, table, seek_table(frames)])
