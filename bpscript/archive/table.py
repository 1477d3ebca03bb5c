"""The end of an archive: table of all chunks with the root hash, optional signature, seek table for other programs.

The seek table's layout is from facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md.
"""

import sys
from array import array
from collections.abc import Iterator
from itertools import accumulate
from struct import Struct
from typing import NamedTuple

from ..base.errors import FormatError
from .records import (
    CHUNK_ENTRY,
    CHUNK_FRAME_SIZE,
    MAX_CHUNKS,
    MAX_SECTIONS,
    SEEK_TABLE_MAGIC,
    SIGNATURE_TAG,
    SKIPPABLE,
    TABLE_TAG,
    ChunkRecord,
    blake3_of,
    parse_chunk,
    skippable,
)

_TABLE_FIXED = Struct("<4sIQQ32s32s")      # tag, section count, chunk count, size, BLAKE3 of the header frame, of the entries
_TABLE_SECTION = Struct("<4sI32s")         # tag, length of the section frame, BLAKE3 of it
ROOT_SIZE = 32
_BATCH = 4096              # records that are looked at together: many enough to be fast, few enough to be small


class Table:
    """Every chunk, in order. `entries` are the 52-byte records, back to back; positions follow from them."""

    def __init__(self, size: int, header_digest: bytes, entries: bytes, sections: tuple[tuple[bytes, int, bytes], ...] = ()) -> None:
        self.size = size                    # bytes decoded
        self.header_digest = header_digest
        self.entries = entries
        self.sections = sections            # tag, length of the whole frame, BLAKE3 of it

    def __len__(self) -> int:
        return len(self.entries) // CHUNK_ENTRY.size

    def frame(self) -> bytes:
        """The table frame, its root hash at the end."""
        return skippable(self.payload())

    def payload(self) -> bytes:
        """What stands in the frame."""
        head = self._head(blake3_of(self.entries))
        return head + self.entries + blake3_of(head)

    @property
    def root(self) -> bytes:
        """The hash that stands for everything in the archive; what a signature signs."""
        return blake3_of(self._head(blake3_of(self.entries)))

    def _head(self, entries_digest: bytes) -> bytes:
        fixed = _TABLE_FIXED.pack(TABLE_TAG, len(self.sections), len(self), self.size, self.header_digest, entries_digest)
        return fixed + b"".join(_TABLE_SECTION.pack(*section) for section in self.sections)

    @classmethod
    def parse(cls, payload: bytes) -> "Table":
        """A table from the payload of its frame, hashes checked. Raises FormatError."""
        if len(payload) < _TABLE_FIXED.size + ROOT_SIZE or payload[:4] != TABLE_TAG:
            raise FormatError("archive: the table of chunks is missing or cut short")
        _, section_count, count, size, header_digest, entries_digest = _TABLE_FIXED.unpack_from(payload)
        head = _TABLE_FIXED.size + section_count * _TABLE_SECTION.size
        if section_count > MAX_SECTIONS or count > MAX_CHUNKS or len(payload) != head + count * CHUNK_ENTRY.size + ROOT_SIZE:
            raise FormatError(f"archive table: {count} chunks and {section_count} sections do not fill its {len(payload)} bytes")
        entries = payload[head : -ROOT_SIZE]
        if blake3_of(memoryview(payload)[:head]) != payload[-ROOT_SIZE:] or blake3_of(entries) != entries_digest:
            raise FormatError("archive table is damaged: its hash does not agree")
        sections = tuple(_TABLE_SECTION.iter_unpack(payload[_TABLE_FIXED.size : head]))
        return cls(size, header_digest, entries, sections)

    @property
    def frame_size(self) -> int:
        """Bytes of the table frame."""
        return SKIPPABLE.size + _TABLE_FIXED.size + len(self.sections) * _TABLE_SECTION.size + len(self.entries) + ROOT_SIZE

    def columns(self) -> Iterator[tuple["array[int]", "array[int]", "array[int]", "array[int]", "array[int]"]]:
        """Kind, lower and upper half of the offset, decoded and stored length of some thousands of chunks at a time, in order, each as a column."""
        view, width = memoryview(self.entries), CHUNK_ENTRY.size // 4
        for start in range(0, len(view), _BATCH * CHUNK_ENTRY.size):
            # Ten times faster than record by record: kind, two halves of the offset, and the lengths are words of 32 bits.
            words = array("I")
            words.frombytes(view[start : start + _BATCH * CHUNK_ENTRY.size])
            if sys.byteorder == "big":
                words.byteswap()
            yield words[::width], words[1::width], words[2::width], words[3::width], words[4::width]

    def chunk(self, index: int, chunk_size: int) -> ChunkRecord:
        """One record."""
        start = index * CHUNK_ENTRY.size
        return parse_chunk(self.entries[start : start + CHUNK_ENTRY.size], chunk_size)

    def positions(self, first: int, chunk_size: int) -> "array[int]":
        """Where the record of each chunk stands in the archive, and the end of the last.

        `first` is the end of the header frame. Every record is checked on the way. Raises FormatError.
        """
        positions = array("Q", [first])
        offset = number = 0
        for kinds, lower, upper, lengths, stored in self.columns():
            # What is plainly right is passed here; `chunk` looks at the rest, and has the words for what is wrong.
            for index, (kind, length, size) in enumerate(zip(kinds, lengths, stored, strict=True)):
                if kind or not 0 < size <= length <= chunk_size:        # 0 is DATA
                    self.chunk(number + index, chunk_size)
            offsets = array("Q", (low | high << 32 for low, high in zip(lower, upper, strict=True)))
            expected = array("Q", accumulate(lengths, initial=offset))
            if expected[:-1] != offsets:
                index = next(index for index, start in enumerate(offsets) if start != expected[index])
                raise FormatError(f"archive table: chunk {number + index} begins at {offsets[index]}, expected {expected[index]}")
            offset, number = expected[-1], number + len(kinds)
            ends = accumulate((CHUNK_FRAME_SIZE + size for size in stored), initial=positions.pop())
            positions.extend(ends)
        if offset != self.size:
            raise FormatError(f"archive table: chunks end at {offset}, the size is {self.size}")
        return positions

    def starts(self) -> "array[int]":
        """Where each chunk begins in the contents: where the one before ended, as `positions` has checked."""
        starts = array("Q", [0])
        for _, _, _, lengths, _ in self.columns():
            starts.extend(accumulate(lengths, initial=starts.pop()))
        starts.pop()
        return starts


# zstd_seekable_compression_format.md, "Seek_Table_Entries" without checksums, "Seek_Table_Footer".
_SEEK_FOOTER = Struct("<IBI")              # number of frames, descriptor, magic
_SEEKABLE_MAGIC = 0x8F92EAB1
SEEK_FOOTER_SIZE = _SEEK_FOOTER.size
SEEK_ENTRY_SIZE = 8


def seek_table(frames: "array[int]") -> bytes:
    """The seek table frame. `frames`: compressed and decompressed size of every frame before it, skippable ones with 0."""
    little = array("I", frames)
    if array("H", [1]).tobytes() != b"\1\0":
        little.byteswap()
    return skippable(little.tobytes() + _SEEK_FOOTER.pack(len(frames) // 2, 0, _SEEKABLE_MAGIC), SEEK_TABLE_MAGIC)


def seek_table_size(footer: bytes) -> int | None:
    """Bytes of the whole seek table frame, from its last 9; None when that is no footer of ours."""
    count, descriptor, magic = _SEEK_FOOTER.unpack(footer)
    if magic != _SEEKABLE_MAGIC or descriptor != 0:
        return None
    return int(SKIPPABLE.size + count * SEEK_ENTRY_SIZE + _SEEK_FOOTER.size)


_SIGNATURE = Struct("<4sI32s64s")          # tag, algorithm (1 = Ed25519), public key, signature
SIGNED_TEXT = b"bpscript archive root\0"   # what is signed: this text, then the root hash
SIGNATURE_FRAME_SIZE = SKIPPABLE.size + _SIGNATURE.size
ED25519 = 1


class Signature(NamedTuple):
    """An Ed25519 signature (RFC 8032) over SIGNED_TEXT and the root hash."""

    public_key: bytes
    signature: bytes

    def frame(self) -> bytes:
        """The signature frame."""
        return skippable(_SIGNATURE.pack(SIGNATURE_TAG, ED25519, self.public_key, self.signature))

    @classmethod
    def parse(cls, payload: bytes) -> "Signature":
        """A signature from the payload of its frame. Raises FormatError."""
        if len(payload) != _SIGNATURE.size or payload[:4] != SIGNATURE_TAG:
            raise FormatError(f"archive signature has {len(payload)} bytes, expected {_SIGNATURE.size}")
        _, algorithm, public_key, signature = _SIGNATURE.unpack(payload)
        if algorithm != ED25519:
            raise FormatError(f"archive signature: unknown algorithm {algorithm}")
        return cls(public_key, signature)

    def check(self, root: bytes) -> None:
        """Raise FormatError unless the signature is one of this root hash by its own key. Whose key that is, is another question."""
        from ..crypto.signatures import is_valid  # noqa: PLC0415 - few archives are signed

        if not is_valid(self.public_key, SIGNED_TEXT + root, self.signature):
            raise FormatError("archive signature is damaged: by the key beside it, it is not one of this archive")
