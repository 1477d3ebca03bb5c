"""Writing the container: see the top of `container.py`, which offers everything here too."""

import threading
from array import array
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..base.allocator import give_back_large_blocks, keep_large_blocks
from ..base.errors import UsageError
from ..blocks.device import Buffer
from . import records
from .crew import default_threads
from .pool import Job, Pool
from .records import MAX_SIZE, MAX_ZERO_CHUNK, SECTION_TAG, ChunkKind, ChunkRecord, Header, blake3_of, skippable
from .table import SIGNED_TEXT, Signature, Table, seek_table

LEVELS = range(-5, 20)      # of zstd; negative ones are faster and pack less, 0 is zstd's own default (3)
_WAITING = 16 << 20        # bytes of chunks that wait to be packed or written
_MUCH = 64 << 20           # bytes
LONG_CHUNK_SIZE = records.MAX_CHUNK     # with long matching: a match reaches no farther than its chunk (FORMAT.md, 3)


def check_level(level: int) -> int:
    """The level itself. Raises UsageError when there is none of this number."""
    if level not in LEVELS:
        raise UsageError(f"level {level}: expected {LEVELS[0]} (fastest) to {LEVELS[-1]} (smallest)")
    return level


class FrameSink(Protocol):
    """Takes the archive frame by frame, so that fragments can be cut at frame borders."""

    def write(self, frame: bytes, /) -> object:
        """Append one whole frame."""
        ...


class Summary(NamedTuple):
    """What was written: bytes of contents, of them not zeros, bytes of the archive, and the root hash."""

    size: int
    data: int
    stored: int
    root: bytes


class _Zeros(NamedTuple):
    offset: int
    length: int
    kind: ChunkKind


class ArchiveWriter:
    """Writes an archive to a sink. See the top of this module."""

    def __init__(
        self, sink: FrameSink, header: Header, *, level: int = 3, threads: int | None = None, long: bool = False
    ) -> None:
        self.chunk_size = header.chunk_size     # no chunk is longer (bytes)
        self._size = header.size
        self._sink = sink
        self._level = check_level(level)
        self._long = long
        if long:
            give_back_large_blocks()
        # From so many bytes on the allocator is told what is to come: asking takes as long as packing a few chunks.
        self._keep_blocks_at = MAX_SIZE if long else _MUCH
        self._local = threading.local()
        count = threads or default_threads()
        self._pool = Pool(count)
        # Chunks in memory at most, those in work included; runs of zeros between them count too.
        self._window = count + min(count + 2, _WAITING // header.chunk_size - 1)
        # Chunks being made, zeros, and None where zeros end.
        self._pending: deque[Job[tuple[ChunkRecord, bytes]] | _Zeros | None] = deque()
        self._zeros: _Zeros | None = None       # the end of what was taken from `_pending`, when that is zeros: they may go on
        self._offset = 0
        self._data = 0
        self._stored = 0
        self._frames = array("I")       # compressed and decompressed size of every frame
        self._entries = bytearray()
        self._sections: list[tuple[bytes, int, bytes]] = []
        frame = header.frame()
        self._header_digest = blake3_of(frame)
        self._write(frame, 0)

    @property
    def offset(self) -> int:
        """Bytes of contents added so far: where the next chunk begins."""
        return self._offset

    def add(self, data: Buffer) -> None:
        """Append a chunk. The buffer belongs to the writer until `finish`."""
        self.add_later(memoryview(data).nbytes, lambda: data)

    def add_later(self, length: int, produce: Callable[[], Buffer]) -> None:
        """Append a chunk whose bytes are got in a worker thread; `produce` may give a buffer that its thread uses again."""
        if not 0 < length <= self.chunk_size:
            raise ValueError(f"a chunk has 1 to {self.chunk_size} bytes, not {length}")
        offset = self._offset
        self._offset += length
        self._data += length
        self._pending.append(self._pool.submit(lambda: self._encode(offset, length, produce)))
        if self._offset >= self._keep_blocks_at:
            keep_large_blocks()
            self._keep_blocks_at = MAX_SIZE
        while len(self._pending) > self._window:
            self._write_oldest()

    def add_stored(self, record: ChunkRecord, fetch: Callable[[], bytes]) -> None:
        """Append a DATA chunk as it is stored in another archive, at the same offset; `fetch` is called in a worker thread."""
        if record.offset != self._offset or record.length > self.chunk_size:
            raise ValueError(f"a chunk of {record.length} bytes at {record.offset} does not belong at {self._offset}")
        self._offset += record.length
        self._data += record.length
        self._pending.append(self._pool.submit(lambda: (record, fetch())))
        while len(self._pending) > self._window:
            self._write_oldest()

    def add_zeros(self, length: int, *, used: bool) -> None:
        """Append zeros, any number. `used` says whether they are contents or stand for blocks nobody uses."""
        if length:
            self._pending.append(_Zeros(self._offset, length, ChunkKind.ZERO if used else ChunkKind.UNUSED))
            self._offset += length

    def end_zeros(self) -> None:
        """No chunk of zeros reaches over this place."""
        self._pending.append(None)

    def add_section(self, tag: bytes, content: bytes, *, optional: bool = False) -> None:
        """Append what is known only now; readers get it by `Archive.section`."""
        self._drain()
        frame = skippable(SECTION_TAG + records.pack_section(tag, content, optional=optional))
        self._sections.append((tag, len(frame), blake3_of(frame)))
        self._write(frame, 0)

    def finish(self, sign: Callable[[bytes], Signature] | None = None) -> Summary:
        """Write table, signature and seek table. `sign` gets the text to sign."""
        self._drain()
        if self._size not in {None, self._offset}:
            raise ValueError(f"the header says {self._size} bytes, {self._offset} were added")
        table = Table(self._offset, self._header_digest, bytes(self._entries), tuple(self._sections))
        root = table.root
        self._write(table.frame(), 0)
        if sign is not None:
            self._write(sign(SIGNED_TEXT + root).frame(), 0)
        self._write(seek_table(self._frames), 0)
        self._pool.close()
        return Summary(self._offset, self._data, self._stored, root)

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.close()

    def _encode(self, offset: int, length: int, produce: Callable[[], Buffer]) -> tuple[ChunkRecord, bytes]:
        from .frames import Encoder  # noqa: PLC0415 - zstandard is slow to load

        encoder: Encoder | None = getattr(self._local, "encoder", None)
        if encoder is None:
            encoder = self._local.encoder = Encoder(self._level, self.chunk_size, long=self._long)
        record, frame = encoder.encode(offset, produce())
        if record.length != length:
            raise ValueError(f"chunk at {offset}: {record.length} bytes instead of {length}")
        return record, frame

    def _drain(self) -> None:
        while self._pending:
            self._write_oldest()
        self._write_zeros()

    def _write_oldest(self) -> None:
        found = self._pending.popleft()
        if found is None:
            self._write_zeros()
            return
        if isinstance(found, _Zeros):
            self._add_to_zeros(found)
            return
        record, frame = found.result()
        if record.kind is ChunkKind.ZERO:
            self._data -= record.length
            self._add_to_zeros(_Zeros(record.offset, record.length, record.kind))
        else:
            self._write_zeros()
            self._write_chunk(record, frame)

    def _add_to_zeros(self, found: "_Zeros") -> None:
        """Zeros are written as few chunks: the same ones whether they were read, or known from a hole of the source."""
        if self._zeros is not None and self._zeros.kind is found.kind:
            found = _Zeros(self._zeros.offset, self._zeros.length + found.length, found.kind)
        else:
            self._write_zeros()
        self._zeros = found

    def _write_zeros(self) -> None:
        if self._zeros is None:
            return
        from .frames import zeros  # noqa: PLC0415 - zstandard is slow to load

        offset, length, kind = self._zeros
        self._zeros = None
        while length:
            step = min(length, MAX_ZERO_CHUNK)
            self._write_chunk(*zeros(offset, step, kind))
            offset += step
            length -= step

    def _write_chunk(self, chunk: ChunkRecord, frame: bytes) -> None:
        self._entries += chunk.entry()
        self._write(chunk.frame(), 0)
        self._write(frame, chunk.length)

    def _write(self, frame: bytes, decoded: int) -> None:
        self._sink.write(frame)
        self._frames.append(len(frame))
        self._frames.append(decoded)
        self._stored += len(frame)
