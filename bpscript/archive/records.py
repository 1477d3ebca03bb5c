"""The frames of an archive as bytes: layouts, bounds, parse and build. FORMAT.md describes the same for other programs.

An archive is a sequence of Zstandard frames (RFC 8878). Ours stand in skippable frames whose first four bytes are a tag:

    bpsH   header                first of all
    bpsC   chunk record          before each data frame
    bpsS   section               between the last chunk and the table
    bpsT   table of all chunks   after the sections
    bpsG   signature             optional, after the table
           seek table            last; facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import NamedTuple

from ..base.errors import FormatError

# RFC 8878 3.1.2: magic 184D2A5?h, then the length of what follows; both little-endian.
SKIPPABLE = Struct("<II")
OUR_MAGIC = 0x184D2A5B             # not 5E (seek table) and not 50 (pzstd)
SEEK_TABLE_MAGIC = 0x184D2A5E
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

VERSION = 1
KIB, MIB = 1 << 10, 1 << 20
MAX_SIZE = 1 << 60                 # bytes of a partition or tar stream; keeps all sums far from 64 bits
MAX_CHUNK = 16 * MIB               # bytes of a data chunk
MAX_ZERO_CHUNK = 256 * MIB         # bytes of a chunk of zeros
MAX_HEADER = 256 * MIB             # bytes of the header frame, sections unpacked
MAX_SECTIONS = 64
MAX_CHUNKS = 1 << 24
MAX_META = 1 * MIB                 # bytes of the JSON section
UNKNOWN_SIZE = (1 << 64) - 1

CHUNK_TAG = b"bpsC"
HEADER_TAG = b"bpsH"
SECTION_TAG = b"bpsS"
TABLE_TAG = b"bpsT"
SIGNATURE_TAG = b"bpsG"
NO_HASH = bytes(32)


class ArchiveKind(IntEnum):
    """What the data frames hold, one after the other."""

    FULL = 1            # a partition, byte for byte; unused blocks are zeros
    INCREMENTAL = 2     # a tar stream
    DISK = 3            # a whole disk, byte for byte; what nobody uses is zeros


class ChunkKind(IntEnum):
    """What a chunk holds."""

    DATA = 0            # a Zstandard frame with content checksum; BLAKE3 of the decoded bytes in the record
    ZERO = 1            # zeros that belong to the contents: written when restoring
    UNUSED = 2          # zeros that stand for blocks nobody uses: left as they are when restoring


class ChunkRecord(NamedTuple):
    """One chunk: where it belongs and what its data frame must be."""

    offset: int             # bytes, in the decoded stream; each chunk begins where the one before ended
    length: int             # bytes decoded
    stored: int             # bytes of the data frame that follows the record
    kind: ChunkKind = ChunkKind.DATA
    digest: bytes = NO_HASH  # BLAKE3 of the decoded bytes; zeros for ZERO and UNUSED

    def entry(self) -> bytes:
        """The 52 bytes that stand in the record and again in the table."""
        return CHUNK_ENTRY.pack(self.kind, self.offset, self.length, self.stored, self.digest)

    def frame(self) -> bytes:
        """The whole skippable frame, 64 bytes."""
        return skippable(CHUNK_TAG + self.entry())


CHUNK_ENTRY = Struct("<IQII32s")        # kind, offset, length, stored, digest
CHUNK_FRAME_SIZE = SKIPPABLE.size + len(CHUNK_TAG) + CHUNK_ENTRY.size
assert CHUNK_FRAME_SIZE == 64


def parse_chunk(entry: bytes | memoryview, chunk_size: int) -> ChunkRecord:
    """A record from its 52 bytes, every number checked. Raises FormatError."""
    kind, offset, length, stored, digest = CHUNK_ENTRY.unpack(entry)
    if kind > ChunkKind.UNUSED:
        raise FormatError(f"archive chunk at {offset}: unknown kind {kind}")
    chunk = ChunkRecord(offset, length, stored, ChunkKind(kind), digest)
    if kind == ChunkKind.DATA:
        # RFC 8878 has no frame longer than its content by more than 3 bytes for each 128 KiB block and 22 for the rest.
        if not 0 < length <= chunk_size or not 0 < stored <= length + length // (128 * KIB) * 3 + 64:
            raise FormatError(f"archive chunk at {offset}: impossible length {length}, stored as {stored}")
    elif not 0 < length <= MAX_ZERO_CHUNK or stored != zero_frame_size(length) or digest != NO_HASH:
        raise FormatError(f"archive chunk at {offset}: impossible run of {length} zeros, stored as {stored}")
    return chunk


def skippable(payload: bytes | memoryview, magic: int = OUR_MAGIC) -> bytes:
    """A skippable frame."""
    return SKIPPABLE.pack(magic, len(payload)) + payload


# --- frames of zeros -------------------------------------------------------------------------------------------------

_BLOCK = 128 * KIB          # RFC 8878 3.1.1.2.4: the largest block
_ZERO_HEADER = Struct("<4sBBQ")    # magic; descriptor; window; content size


def zero_frame_size(length: int) -> int:
    """Bytes of `zero_frame(length)`."""
    return _ZERO_HEADER.size + 4 * -(-length // _BLOCK)


@lru_cache(maxsize=4)
def zero_frame(length: int) -> bytes:
    """The one Zstandard frame that stands for `length` zeros: blocks of one repeated byte (RFC 8878 3.1.1.2, RLE_Block).

    No content checksum: a reader compares the frame itself with this one. Window 128 KiB, so that any decoder takes it.
    """
    full, rest = divmod(length, _BLOCK)
    sizes = [_BLOCK] * full + ([rest] if rest else [])
    # Frame header descriptor C0h: content size in 8 bytes, not single segment, no checksum, no dictionary.
    # Window descriptor 38h: exponent 7, mantissa 0: 1 << (10 + 7).
    # Block header, 3 bytes: bit 0 last block, bits 1-2 type (1 = RLE), bits 3-23 size.
    blocks = [((size << 3) | (1 << 1)).to_bytes(3, "little") + b"\0" for size in sizes]
    blocks[-1] = ((sizes[-1] << 3) | (1 << 1) | 1).to_bytes(3, "little") + b"\0"
    return _ZERO_HEADER.pack(ZSTD_MAGIC, 0xC0, 0x38, length) + b"".join(blocks)


# --- header ----------------------------------------------------------------------------------------------------------

_HEADER_FIXED = Struct("<4sHHIIQ")     # tag, version, kind, chunk size, section count, size
_SECTION_FIXED = Struct("<4sIII")      # tag, flags, length unpacked, length stored
HEADER_LIMIT = SKIPPABLE.size + MAX_HEADER
FLAG_OPTIONAL = 1                      # a reader that does not know the section may pass over it
FLAG_ZSTD = 2                          # stored as one Zstandard frame
META, USED, BOOT, TABLE_BYTES = b"META", b"USED", b"BOOT", b"TABL"
_MAX_UNKNOWN = 1 * MIB
_SECTION_LIMITS = {META: MAX_META, USED: 8 + 8 * (4 << 20), BOOT: 64 * KIB}     # bytes; USED: see `ranges.py`
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


class Header(NamedTuple):
    """What stands at the beginning. `size` is None where the writer does not know it (a stream)."""

    kind: ArchiveKind
    chunk_size: int = MIB
    size: int | None = None
    meta: Mapping[str, Json] = MappingProxyType({})
    sections: Mapping[bytes, bytes] = MappingProxyType({})      # tag → contents; without META
    optional: frozenset[bytes] = frozenset()                           # sections that other readers may pass over

    def frame(self) -> bytes:
        """The header frame."""
        meta = json.dumps(dict(self.meta), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        sections = {META: meta, **self.sections}
        size = UNKNOWN_SIZE if self.size is None else self.size
        parts = [_HEADER_FIXED.pack(HEADER_TAG, VERSION, self.kind, self.chunk_size, len(sections), size)]
        for tag, content in sections.items():
            parts.append(pack_section(tag, content, optional=tag in self.optional))
        payload = b"".join(parts)
        return skippable(payload + blake3_of(payload))

    def with_meta(self, **changes: Json) -> "Header":
        """The same with some values of META changed."""
        return self._replace(meta={**self.meta, **changes})


def pack_section(tag: bytes, content: bytes, *, optional: bool = False) -> bytes:
    """A section as it stands in the header or in a section frame; packed when that is shorter."""
    import zstandard  # noqa: PLC0415 - slow, and `--version` does not need it

    flags = FLAG_OPTIONAL if optional else 0
    stored = content
    if len(content) > 256:
        packed = zstandard.ZstdCompressor(level=6, write_checksum=True, write_content_size=True).compress(content)
        if len(packed) < len(content):
            stored, flags = packed, flags | FLAG_ZSTD
    return _SECTION_FIXED.pack(tag, flags, len(content), len(stored)) + stored


def unpack_section(data: memoryview, room: int, known: Collection[bytes]) -> tuple[bytes, int, bytes, int]:
    """Tag, flags, contents and how many bytes of `data` it took; at most `room` bytes of contents. Raises FormatError.

    A few KiB can stand for all that `room` allows: what is not known and larger than a MiB is passed over, its contents are b"".
    """
    if len(data) < _SECTION_FIXED.size:
        raise FormatError("archive: a section is cut short")
    tag, flags, length, stored = _SECTION_FIXED.unpack_from(data)
    end = _SECTION_FIXED.size + stored
    name = repr(tag)[1:]
    if end > len(data) or length > room or (stored != length and not flags & FLAG_ZSTD):
        raise FormatError(f"archive: section {name} has impossible lengths ({length} bytes in {stored}, {len(data)} there)")
    if length > _SECTION_LIMITS.get(tag, MAX_HEADER):
        raise FormatError(f"archive: section {name} has {length} bytes, at most {_SECTION_LIMITS[tag]} are allowed")
    if length > _MAX_UNKNOWN and flags & FLAG_OPTIONAL and tag not in known:
        return tag, flags, b"", end
    content = bytes(data[_SECTION_FIXED.size : end])
    if flags & FLAG_ZSTD:
        from .frames import decode_small  # noqa: PLC0415 - frames needs this module

        content = decode_small(content, length, f"section {name}")
    return tag, flags, content, end


def parse_header(payload: bytes, known: Iterable[bytes]) -> Header:
    """A header from the payload of its frame. Raises FormatError; a section that is neither known nor optional is refused."""
    if len(payload) < _HEADER_FIXED.size + 32 or payload[:4] != HEADER_TAG:
        raise FormatError("not an archive: no header at its beginning")
    tag, version, kind, chunk_size, section_count, size = _HEADER_FIXED.unpack_from(payload)
    if version != VERSION:
        raise FormatError(f"archive has format version {version}, this program reads version {VERSION}")
    if blake3_of(memoryview(payload)[:-32]) != payload[-32:]:
        raise FormatError("archive header is damaged: its hash does not agree")
    if kind not in set(ArchiveKind) or not 0 < chunk_size <= MAX_CHUNK or section_count > MAX_SECTIONS:
        raise FormatError(f"archive header: impossible values (kind {kind}, chunk size {chunk_size}, {section_count} sections)")
    if size != UNKNOWN_SIZE and size > MAX_SIZE:
        raise FormatError(f"archive header: impossible size {size}")
    sections: dict[bytes, bytes] = {}
    optional = set()
    rest, room = memoryview(payload)[_HEADER_FIXED.size : -32], MAX_HEADER
    known = {META, USED, BOOT, TABLE_BYTES, *known}
    for _ in range(section_count):
        tag, flags, content, taken = unpack_section(rest, room, known)
        rest, room = rest[taken:], room - len(content)
        if flags & FLAG_OPTIONAL:
            optional.add(tag)
        elif tag not in known:
            raise FormatError(f"archive needs section {repr(tag)[1:]}, which this program does not know")
        if tag in sections:
            raise FormatError(f"archive header: section {repr(tag)[1:]} stands twice")
        sections[tag] = content
    if len(rest):
        raise FormatError(f"archive header: {len(rest)} bytes after the last section")
    meta = _parse_meta(sections.pop(META, b"{}"))
    return Header(ArchiveKind(kind), chunk_size, None if size == UNKNOWN_SIZE else size, meta, sections, frozenset(optional))


def _parse_meta(data: bytes) -> dict[str, Json]:
    try:
        meta = json.loads(data.decode())
    except (ValueError, RecursionError) as error:       # UnicodeDecodeError is a ValueError
        raise FormatError(f"archive header: section META is no JSON: {error}") from error
    if not isinstance(meta, dict):
        raise FormatError("archive header: section META is not an object")
    return meta


def blake3_of(data: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3, 32 bytes."""
    import blake3  # noqa: PLC0415 - as above

    digest: bytes = blake3.blake3(data).digest()
    return digest
