"""Finding and checking the frames around the chunks: header, end of the archive, table, signature, seek table, sections.

Everything a hostile archive can get wrong is refused here, with allocations bounded by the bytes that are really there.
"""

from array import array
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from ..base.errors import FormatError
from ..base.sources import Reader
from . import records
from .positional import JoinedBytes, Positional, read_exactly
from .records import (
    CHUNK_FRAME_SIZE,
    CHUNK_TAG,
    HEADER_TAG,
    MAX_CHUNKS,
    MAX_HEADER,
    MAX_SECTIONS,
    OUR_MAGIC,
    SECTION_TAG,
    SEEK_TABLE_MAGIC,
    SIGNATURE_TAG,
    SKIPPABLE,
    TABLE_TAG,
    Header,
    blake3_of,
)
from .table import (
    SEEK_ENTRY_SIZE,
    SEEK_FOOTER_SIZE,
    SIGNATURE_FRAME_SIZE,
    Signature,
    Table,
    seek_table,
    seek_table_size,
)

_MAX_TABLE = 1 << 30        # bytes of a table
_MAX_SEEK_TABLE = 64 + SEEK_ENTRY_SIZE * (2 * MAX_CHUNKS + MAX_SECTIONS + 3)    # bytes: header, records, frames, sections, table, signature


class FoundHeader(NamedTuple):
    """The header, and what identifies its frame."""

    header: Header
    digest: bytes       # BLAKE3 of the frame
    end: int            # bytes of the frame


class Tail(NamedTuple):
    """What stands behind the chunks, and where each chunk's record is."""

    table: Table
    signature: Signature | None
    positions: "array[int]"


def is_ours(start: bytes) -> bool:
    """Whether bytes are the beginning of an archive of ours, perhaps damaged: by the magic number or the tag, one is enough.

    What is not ours is taken for an image or a tar of somebody else, which nothing protects; damage must not lead there.
    """
    return start[:4] == _START[:4] or start[8:12] == _START[8:12]


_START = SKIPPABLE.pack(OUR_MAGIC, 0) + HEADER_TAG


def ends_like_ours(source: Positional) -> bool:
    """Whether bytes end with a seek table: what begins with anything but a frame then has lost its beginning."""
    if source.size < SEEK_FOOTER_SIZE:
        return False
    length = seek_table_size(source.read(source.size - SEEK_FOOTER_SIZE, SEEK_FOOTER_SIZE))
    return length is not None and length < source.size


def read_header(read: Callable[[int, int], bytes], size: int | None, known: Iterable[bytes]) -> FoundHeader:
    """`read(offset, length)` is called in order; `size` is None for a stream."""
    if size is not None and size < SKIPPABLE.size:
        raise FormatError(f"not an archive: only {size} bytes")
    start = read(0, SKIPPABLE.size)
    magic, length = SKIPPABLE.unpack(start)
    if magic != OUR_MAGIC:
        raise FormatError("not an archive: it does not begin with an archive header")
    if length > MAX_HEADER or (size is not None and SKIPPABLE.size + length > size):
        raise FormatError(f"archive header has {length} bytes, more than {'allowed' if size is None else 'there are'}")
    payload = read(SKIPPABLE.size, length)
    if payload[:4] != HEADER_TAG:
        raise FormatError("not an archive: it does not begin with an archive header")
    return FoundHeader(records.parse_header(payload, known), blake3_of(start + payload), SKIPPABLE.size + length)


def next_frame(stream: Reader) -> tuple[bytes, bytes]:
    """Tag and payload of the next skippable frame of ours."""
    magic, length = SKIPPABLE.unpack(read_exactly(stream, SKIPPABLE.size, "archive"))
    if magic != OUR_MAGIC or length > _MAX_TABLE:
        raise FormatError(f"archive: unexpected frame (magic {magic:08X}, {length} bytes)")
    tag = read_exactly(stream, min(length, 4), "archive")
    if length > MAX_HEADER and tag != TABLE_TAG:
        raise FormatError(f"archive: frame {repr(tag)[1:]} has {length} bytes, at most {MAX_HEADER} are allowed")
    payload = tag + read_exactly(stream, length - len(tag), "archive")
    if payload[:4] == CHUNK_TAG and length != CHUNK_FRAME_SIZE - SKIPPABLE.size:
        raise FormatError(f"archive: a chunk record has {length} bytes")
    return payload[:4], payload


def finish_stream(stream: Reader, table: Table, header: FoundHeader) -> Signature | None:
    """Read and check what follows the table: an optional signature, and the seek table."""
    signature = None
    while True:
        start = read_exactly(stream, SKIPPABLE.size, "archive")
        magic, length = SKIPPABLE.unpack(start)
        if magic == SEEK_TABLE_MAGIC:
            expected = seek_table_of(table, header, signature)
            if SKIPPABLE.size + length != len(expected) or start + read_exactly(stream, length, "archive") != expected:
                raise FormatError("archive: its seek table does not agree with the table of chunks")
            return signature
        if magic != OUR_MAGIC or SKIPPABLE.size + length != SIGNATURE_FRAME_SIZE or signature is not None:
            raise FormatError("archive: its seek table is missing")
        signature = Signature.parse(read_exactly(stream, length, "archive"))


def find_end(source: Positional) -> int:
    """Where the archive ends: what follows are fragments left over from an older, longer archive. Raises FormatError."""
    for end in [source.size, *reversed(source.borders if isinstance(source, JoinedBytes) else [])]:
        if end < SEEK_FOOTER_SIZE:
            continue
        length = seek_table_size(source.read(end - SEEK_FOOTER_SIZE, SEEK_FOOTER_SIZE))
        if length is None or length > min(end, _MAX_SEEK_TABLE):
            continue
        # The frames that the table counts must reach exactly to the table itself.
        frames = array("I")
        frames.frombytes(source.read(end - length + SKIPPABLE.size, length - SKIPPABLE.size - SEEK_FOOTER_SIZE))
        if sum(frames[::2]) == end - length:
            return end
    missing = f' "{source.following}"' if isinstance(source, JoinedBytes) and source.following else ""
    raise FormatError(f"archive is incomplete: it is cut short, or fragment{missing} is missing")


def read_tail(source: Positional, header: FoundHeader, end: int) -> Tail:
    """Table, signature and seek table, checked against each other and the header."""
    footer = source.read(end - SEEK_FOOTER_SIZE, SEEK_FOOTER_SIZE)
    seek_length = seek_table_size(footer)
    assert seek_length is not None      # find_end saw it
    found = source.read(end - seek_length, seek_length)
    lengths = array("I")
    lengths.frombytes(found[SKIPPABLE.size : -SEEK_FOOTER_SIZE])
    position = end - seek_length
    signature = None
    for length in reversed(lengths[-4::2]):     # the table is the last frame, or the signature is and the table before it
        position -= length
        if position < header.end or not SKIPPABLE.size < length <= _MAX_TABLE:
            break
        frame = source.read(position, length)
        magic, inner = SKIPPABLE.unpack_from(frame)
        tag = frame[SKIPPABLE.size : SKIPPABLE.size + 4]
        if magic != OUR_MAGIC or inner != length - SKIPPABLE.size:
            break
        if tag == TABLE_TAG:
            table = Table.parse(frame[SKIPPABLE.size :])
            positions = _check_table(table, header, position)
            if found != seek_table_of(table, header, signature):
                raise FormatError("archive: its seek table does not agree with the table of chunks")
            return Tail(table, signature, positions)
        if tag != SIGNATURE_TAG or length != SIGNATURE_FRAME_SIZE or signature is not None:
            break
        signature = Signature.parse(frame[SKIPPABLE.size :])
    raise FormatError("archive: the table of chunks is missing or damaged")


def _check_table(table: Table, header: FoundHeader, position: int) -> "array[int]":
    """Positions of the chunks, when table, header and the place of the table agree."""
    if table.header_digest != header.digest:
        raise FormatError("archive: header and table do not belong together; are fragments of two archives mixed?")
    if header.header.size not in {None, table.size}:
        raise FormatError(f"archive: header says {header.header.size} bytes, table {table.size}")
    positions = table.positions(header.end, header.header.chunk_size)
    if positions[-1] + sum(length for _, length, _ in table.sections) != position:
        raise FormatError(f"archive: chunks and sections end at byte {positions[-1]}, the table begins at {position}")
    return positions


def seek_table_of(table: Table, header: FoundHeader, signature: Signature | None) -> bytes:
    """The seek table that an archive with this table must have."""
    frames = array("I", [header.end, 0])
    for _, _, _, lengths, stored in table.columns():
        some = array("I", (CHUNK_FRAME_SIZE, 0, 0, 0)) * len(lengths)
        some[2::4], some[3::4] = stored, lengths
        frames.extend(some)
    for _, size, _ in table.sections:
        frames.extend((size, 0))
    frames.extend((table.frame_size, 0))
    if signature is not None:
        frames.extend((SIGNATURE_FRAME_SIZE, 0))
    return seek_table(frames)


SECTION_START = SKIPPABLE.size + 12     # bytes: frame header, tag of the frame, tag and flags of the section


def section_flags(start: bytes) -> int:
    """The flags of a section, from the beginning of its frame."""
    return int.from_bytes(start[SECTION_START - 4 :], "little")


def check_tag(tag: bytes, flags: int, seen: Collection[bytes], known: Collection[bytes]) -> None:
    """Raise FormatError for a section after the chunks that is there twice, or neither known nor optional."""
    if tag in seen:
        raise FormatError(f"archive: section {repr(tag)[1:]} stands twice")
    if tag not in known and not flags & records.FLAG_OPTIONAL:
        raise FormatError(f"archive needs section {repr(tag)[1:]}, which this program does not know")


def open_section(frame: bytes, tag: bytes, digest: bytes, known: Collection[bytes]) -> bytes:
    """The contents of a section frame. Raises FormatError when it is not the one that the table names."""
    if blake3_of(frame) != digest or frame[SKIPPABLE.size : SKIPPABLE.size + 4] != SECTION_TAG:
        raise FormatError(f"archive section {repr(tag)[1:]} is damaged: its hash does not agree")
    name, _, content, _ = records.unpack_section(memoryview(frame)[SKIPPABLE.size + 4 :], MAX_HEADER, known)
    if name != tag:
        raise FormatError(f"archive section {repr(tag)[1:]} is named {repr(name)[1:]} inside")
    return content
