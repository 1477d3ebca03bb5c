"""The archive container: chunks of a long run of bytes, each in a Zstandard frame of its own, with hashes and a table.

Writing: chunks in order, compressed in threads, the same bytes whatever the number of threads.

    with ArchiveWriter(sink, Header(ArchiveKind.INCREMENTAL, meta={...}), level=3) as writer:
        writer.add(data)                      # at most header.chunk_size bytes; they must not change any more
        writer.add_later(length, produce)     # `produce()` gives the bytes, in a worker thread
        writer.add_zeros(length, used=False)
        writer.add_section(b"NAME", content)  # after the last chunk
        summary = writer.finish()             # table and seek table; without it the archive is incomplete

`sink` is anything with `write(frame)`; `archive/destinations.py` has those that cut fragments and replace a file when all is there.

Reading:

    archive = Archive.open(positional)        # from anywhere: header, table and fragments are checked here
    archive = Archive.open_stream(reader)     # in order only: the table is checked when the last chunk was given
    archive.header, archive.table, archive.size, archive.section(b"NAME")
    for chunk, data in archive.chunks():      # in order, decoded ahead in threads; `data` is valid until the next step
    archive.each(work)                        # work(chunk) in several threads, any order; chunk.data() decodes
    archive.data(index)                       # one chunk, by a table lookup (`find(offset)` gives the index)

Nothing is handed out before its length, checksum and BLAKE3 were found right. Damage raises FormatError.
"""

import threading
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ..base.buffers import large_buffer
from ..base.errors import FormatError
from ..base.sources import Reader
from ..blocks.device import Buffer
from . import records
from .crew import Crew, default_threads
from .opening import (
    SECTION_START,
    FoundHeader,
    Tail,
    check_tag,
    find_end,
    finish_stream,
    next_frame,
    open_section,
    read_header,
    read_tail,
    section_flags,
    seek_table_of,
)
from .positional import JoinedBytes, Positional, close, read_exactly
from .records import (
    CHUNK_FRAME_SIZE,
    CHUNK_TAG,
    MAX_HEADER,
    OUR_MAGIC,
    SECTION_TAG,
    SEEK_TABLE_MAGIC,
    SKIPPABLE,
    TABLE_TAG,
    ArchiveKind,
    ChunkKind,
    ChunkRecord,
    Header,
    blake3_of,
    parse_chunk,
    skippable,
)
from .table import Signature, Table
from .writer import ArchiveWriter, FrameSink, Summary

if TYPE_CHECKING:
    from .frames import Decoder

__all__ = ["Archive", "ArchiveKind", "ArchiveWriter", "Chunk", "ChunkKind", "ChunkRecord", "FrameSink", "Header", "Signature", "Summary"]

_Frame = tuple[int, ChunkRecord, Callable[[], Buffer]]      # index, record, and a way to get the data frame

KNOWN_SECTIONS = (b"NAME", b"BASE")      # sections of incremental archives, see FORMAT.md


class Chunk:
    """A chunk in the hands of a worker."""

    def __init__(self, index: int, record: ChunkRecord, decoder: "Decoder", frame: Callable[[], Buffer]) -> None:
        self.index = index
        self.record = record
        self._decoder = decoder
        self._frame = frame

    def data(self) -> memoryview:
        """Decode and check a DATA chunk; the view is valid until the worker gets its next chunk. Raises FormatError."""
        return self._decoder.decode(self.record, self._frame())

    def check_zeros(self) -> None:
        """Raise FormatError unless the frame of a ZERO or UNUSED chunk is right."""
        from .frames import check_zero_frame  # noqa: PLC0415 - zstandard is slow to load

        check_zero_frame(self.record, self._frame())


class Archive:
    """An archive that was opened. See the top of this module."""

    def __init__(
        self, header: FoundHeader, tail: Tail | None, source: Positional | None, stream: Reader | None, known: Iterable[bytes]
    ) -> None:
        self.header = header.header
        self.table = tail.table if tail else None       # None until a stream has ended
        self.signature = tail.signature if tail else None
        self._header = header
        self._known = frozenset(known)
        self._source = source
        self._stream = stream
        self._positions = tail.positions if tail else array("Q")     # of every record, and the end of the last
        self._stream_sections: dict[bytes, bytes] = {}
        self._starts: array[int] | None = None
        self._rest: Iterator[_Frame] | None = None      # of a stream: what was not read yet
        self._decoder: Decoder | None = None

    # --- opening -----------------------------------------------------------------------------------------------------

    @classmethod
    def open(cls, source: Positional, known: Iterable[bytes] = KNOWN_SECTIONS) -> "Archive":
        """Check header, table and fragments. Raises FormatError."""
        header = read_header(source.read, source.size, known)
        archive = cls(header, read_tail(source, header, find_end(source)), source, None, known)
        archive._check_borders()
        archive._check_tags()
        return archive

    @classmethod
    def open_stream(cls, reader: Reader, known: Iterable[bytes] = KNOWN_SECTIONS) -> "Archive":
        """Check the header. Raises FormatError."""
        return cls(read_header(lambda _, length: read_exactly(reader, length, "archive"), None, known), None, None, reader, known)

    def close(self) -> None:
        """Close what the archive is read from."""
        close(self._source)
        close(self._stream)

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- what is known -----------------------------------------------------------------------------------------------

    @property
    def size(self) -> int | None:
        """Bytes of contents; None in a stream that does not say so in its header and has not ended."""
        return self.header.size if self.table is None else self.table.size

    @property
    def chunk_size(self) -> int:
        """No DATA chunk is longer (bytes)."""
        return self.header.chunk_size

    @property
    def is_stream(self) -> bool:
        """True when it can be read only once, in order."""
        return self._source is None

    @property
    def copies(self) -> bool:
        """Whether it is good in a copy of this process now: read from a file of the host at given places, by the only thread there is."""
        return isinstance(self._source, JoinedBytes) and self._source.on_host and threading.active_count() == 1

    @property
    def stored_size(self) -> int:
        """Bytes of header, chunks and records; 0 for a stream."""
        return self._positions[-1] if self._positions else 0

    def __len__(self) -> int:
        """Number of chunks, 0 for a stream that has not ended."""
        return 0 if self.table is None else len(self.table)

    def record(self, index: int) -> ChunkRecord:
        """A chunk's record from the table."""
        return self._need_table().chunk(index, self.header.chunk_size)

    def find(self, offset: int) -> int:
        """The index of the chunk that holds the byte at `offset` of the contents."""
        if self._starts is None:
            self._starts = self._need_table().starts()
        return bisect_right(self._starts, offset) - 1

    def section(self, tag: bytes) -> bytes | None:
        """A section of the header or of those after the chunks; None when there is none. Raises FormatError.

        Of a section that is not known and larger than 1 MiB there are no contents.
        """
        if tag in self.header.sections:
            return self.header.sections[tag]
        if self._source is None:
            return self._stream_sections.get(tag)
        position = self._positions[-1]
        for name, length, digest in self._need_table().sections:
            if name == tag:
                if length > MAX_HEADER:
                    raise FormatError(f"archive section {repr(tag)[1:]} has {length} bytes, at most {MAX_HEADER} are allowed")
                return open_section(self._source.read(position, length), tag, digest, self._known)
            position += length
        return None

    def agrees(self, record: ChunkRecord, data: memoryview) -> bool:
        """True when `data` has the BLAKE3 of the DATA chunk."""
        return blake3_of(data) == record.digest

    # --- reading -----------------------------------------------------------------------------------------------------

    def data(self, index: int) -> bytes:
        """The contents of one chunk, of any kind. Raises FormatError."""
        record = self.record(index)
        if record.kind is not ChunkKind.DATA:
            return bytes(record.length)
        return bytes(self._own_decoder().decode(record, self._fetch(index, record, bytearray(record.stored))))

    def data_into(self, index: int, room: memoryview) -> None:
        """Put the contents of a DATA chunk into `room`, as long as the chunk. Raises FormatError."""
        record = self.record(index)
        self._own_decoder().decode(record, self._fetch(index, record, _thread_buffer(record.stored)), room)

    def _own_decoder(self) -> "Decoder":
        if self._decoder is None:
            self._decoder = self._new_decoder()
        return self._decoder

    def stored(self, index: int) -> bytes:
        """The frame of a DATA chunk as it is stored, checked; may be called by several threads. Raises FormatError."""
        record = self.record(index)
        frame = bytes(self._fetch(index, record, bytearray(record.stored)))
        self._new_decoder().decode(record, frame)
        return frame

    def chunks(self, threads: int | None = None) -> Iterator[tuple[ChunkRecord, memoryview]]:
        """Every chunk in order with its contents (zeros too, in pieces of at most `chunk_size`), decoded ahead in threads or processes.

        A view is valid until the next step. In a stream the table is checked before the iteration ends.
        """
        from .ahead import decode_ahead  # noqa: PLC0415 - who restores blocks does not need them in order
        from .ahead_processes import WORTH_IT, decode_in_processes  # noqa: PLC0415

        count = threads or default_threads()
        if count > 1 and len(self) >= WORTH_IT and self.copies:
            return decode_in_processes(self._frame, len(self), self._new_decoder, self.header.chunk_size, count - 1)
        return decode_ahead(self._frames(), self._new_decoder, self.header.chunk_size, count)

    def each(
        self, work: Callable[[Chunk], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None,
        window: tuple[int, int] | None = None,
    ) -> None:
        """Call `work` for every chunk, in several threads, in any order. The first error ends it and is raised.

        `tick` is called in this thread, about ten times a second and at the end. In a stream the table is checked at the end.
        `window` asks for the chunks of a part of the contents only; in a stream one window must follow the other.
        """
        frames = self._frames() if window is None else self._frames_within(*window)
        lock = threading.Lock()

        def loop() -> None:
            decoder = self._new_decoder()
            while not crew.stopping:
                with lock:
                    found = next(frames, None)
                if found is None:
                    return
                index, record, fetch = found
                work(Chunk(index, record, decoder, fetch))

        crew = Crew(loop, threads or default_threads())
        crew.run(tick)

    def verify(
        self, tick: Callable[[int], None] = lambda _: None, damaged: Callable[[ChunkRecord, FormatError], None] | None = None,
        *, threads: int | None = None, also: Callable[[ChunkRecord], None] = lambda _: None,
    ) -> None:
        """Decode and check everything: chunks, their records, sections, a signature (by the key
        that it names itself). `tick` gets the bytes done so far.

        Raises FormatError; but of a damaged chunk `damaged` is told instead, where it is given, one call at a time. `also` is
        called with the record of every chunk that was found right, in several threads.
        """
        done = [0]
        lock = threading.Lock()

        def check(chunk: Chunk) -> None:
            try:
                self._check_record(chunk.index, chunk.record)
                if chunk.record.kind is ChunkKind.DATA:
                    chunk.data()
                else:
                    chunk.check_zeros()
            except FormatError as error:
                if damaged is None:
                    raise
                with lock:
                    damaged(chunk.record, error)
            else:
                also(chunk.record)
            with lock:
                done[0] += chunk.record.length

        self.each(check, threads=threads, tick=lambda: tick(done[0]))
        self._check_sections()

    def check_around(self) -> None:
        """Check what stands around the chunks, not the chunks: their records, and sections. Raises FormatError."""
        for index in range(len(self)):
            self._check_record(index, self.record(index))
        self._check_sections()

    def stored_frames(self) -> Iterator[bytes]:
        """Every frame as it is stored, in order, chunks checked: for an archive that can be read from anywhere."""
        from .frames import check_zero_frame  # noqa: PLC0415 - zstandard is slow to load

        source = self._source
        if source is None:
            raise FormatError("this archive can be read in order only; copying needs one that can be read from anywhere")
        yield source.read(0, self._header.end)
        decoder = self._new_decoder()
        for index, record, fetch in self._frames():
            self._check_record(index, record)
            frame = bytes(fetch())
            if record.kind is ChunkKind.DATA:
                decoder.decode(record, frame)
            else:
                check_zero_frame(record, frame)
            yield record.frame()
            yield frame
        position, magic = self._positions[-1], OUR_MAGIC
        while magic != SEEK_TABLE_MAGIC:        # ends: `open` has seen the seek table behind these frames
            magic, length = SKIPPABLE.unpack(source.read(position, SKIPPABLE.size))
            yield source.read(position, SKIPPABLE.size + length)
            position += SKIPPABLE.size + length

    def signed(self, signature: Signature) -> tuple[int, bytes]:
        """Where what follows the table begins in an archive with a table, and the bytes that belong there with this signature."""
        table = self._need_table()
        position = self._positions[-1] + sum(length for _, length, _ in table.sections) + table.frame_size
        return position, signature.frame() + seek_table_of(table, self._header, signature)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _new_decoder(self) -> "Decoder":
        from .frames import Decoder  # noqa: PLC0415 - zstandard is slow to load

        return Decoder(self.header.chunk_size)

    def _need_table(self) -> Table:
        if self.table is None:
            raise FormatError("this archive can be read in order only")
        return self.table

    def _fetch(self, index: int, record: ChunkRecord, buffer: bytearray | memoryview) -> memoryview:
        assert self._source is not None
        view = memoryview(buffer)[: record.stored]
        self._source.readinto(self._positions[index] + CHUNK_FRAME_SIZE, view)
        return view

    def _check_borders(self) -> None:
        """No fragment of another archive is in between."""
        for border in self._source.borders if isinstance(self._source, JoinedBytes) else ():
            index = bisect_right(self._positions, border - 1)
            if index < len(self):
                self._check_record(index, self.record(index))

    def _check_sections(self) -> None:
        """Sections after the chunks, and the signature."""
        if self.table is not None:
            for tag, _, _ in self.table.sections:
                self.section(tag)
            if self.signature is not None:
                self.signature.check(self.table.root)

    def _check_tags(self) -> None:
        """Sections after the chunks are known or optional, and there once."""
        position, seen = self._positions[-1], {records.META, *self.header.sections}
        for tag, length, _ in self._need_table().sections:
            start = self._source.read(position, min(length, SECTION_START)) if self._source is not None else b""
            check_tag(tag, section_flags(start), seen, self._known)
            seen.add(tag)
            position += length

    def _check_record(self, index: int, record: ChunkRecord) -> None:
        """The record before a chunk must be the table's: those who can read in order only have nothing else."""
        if self._source is not None and self._source.read(self._positions[index], CHUNK_FRAME_SIZE) != record.frame():
            raise FormatError(
                f"archive: the record of the chunk at {record.offset} is not the table's",
                hint="is a fragment of another archive between the others?",
            )

    def _frames(self) -> "Iterator[_Frame]":
        """Index, record and a way to get the data frame, in order."""
        if self._source is None:
            yield from self._stream_frames()
            return
        for index in range(len(self)):
            yield self._frame(index)

    def _frames_within(self, start: int, end: int) -> "Iterator[_Frame]":
        """The chunks from `start` to `end`, which must be borders of chunks. Raises FormatError where they are not."""
        border = FormatError(f"archive: no chunk ends where the part from byte {start} to {end} begins or ends")
        if self._source is not None:
            first = self.find(start) if start < end else 0
            last = first if start >= end else len(self) if end == self.size else self.find(end)
            if start < end and (self.record(first).offset != start or (last < len(self) and self.record(last).offset != end)):
                raise border
            for index in range(first, last):
                yield self._frame(index)
            return
        if self._rest is None:
            self._rest = self._stream_frames()
        while start < end:
            found = next(self._rest, None)
            if found is None or found[1].offset != start or start + found[1].length > end:
                raise border
            start += found[1].length
            yield found
        if end == self.header.size and next(self._rest, None) is not None:      # this reads and checks the table
            raise border

    def _frame(self, index: int) -> "_Frame":
        record = self.record(index)
        return index, record, lambda: self._fetch(index, record, _thread_buffer(record.stored))

    def _stream_frames(self) -> "Iterator[_Frame]":
        from blake3 import blake3  # noqa: PLC0415 - slow to load

        stream = self._stream
        if stream is None:
            raise FormatError("this archive can be read only once")
        self._stream = None
        entries = blake3()
        offset = index = 0
        sections: list[tuple[bytes, int, bytes]] = []
        room = MAX_HEADER
        while True:
            tag, payload = next_frame(stream)
            if tag == CHUNK_TAG and not sections:
                record = parse_chunk(payload[4:], self.header.chunk_size)
                if record.offset != offset:
                    raise FormatError(f"archive: chunk {index} begins at {record.offset}, expected {offset}")
                frame = read_exactly(stream, record.stored, "archive")
                entries.update(payload[4:])
                yield index, record, lambda frame=frame: frame      # type: ignore[misc]
                offset += record.length
                index += 1
            elif tag == SECTION_TAG and len(sections) < records.MAX_SECTIONS:
                whole = skippable(payload)
                name, flags, content, _ = records.unpack_section(memoryview(payload)[4:], room, self._known)
                room -= len(content)
                check_tag(name, flags, {records.META, *self.header.sections, *self._stream_sections}, self._known)
                self._stream_sections[name] = content
                sections.append((name, len(whole), blake3_of(whole)))
            elif tag == TABLE_TAG:
                table = Table.parse(payload)
                mine = (offset, self._header.digest, entries.digest(), tuple(sections))
                if mine != (table.size, table.header_digest, blake3_of(table.entries), table.sections):
                    raise FormatError("archive: the table at its end does not agree with what came before")
                if self.header.size not in {None, table.size}:
                    raise FormatError(f"archive: header says {self.header.size} bytes, table {table.size}")
                self.signature = finish_stream(stream, table, self._header)
                self.table = table
                return
            else:
                raise FormatError(f"archive: unexpected frame {repr(tag)[1:]} after byte {offset} of the contents")


_buffers = threading.local()


def _thread_buffer(size: int) -> memoryview:
    """A buffer of this thread, at least `size` bytes, used again and again."""
    buffer: memoryview | None = getattr(_buffers, "buffer", None)
    if buffer is None or len(buffer) < size:
        buffer = _buffers.buffer = large_buffer(max(size, records.MIB))
    return buffer
