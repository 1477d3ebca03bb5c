"""A partclone image that comes in order: batches of blocks are read under a lock, checked and handed out in several threads.

What a worker gets is a chunk: a run of used blocks, or several with small gaps between them that read as zeros.

    batch       |aaaa|bb|cccccccccc|              used blocks, one behind the other
    partition   ···aaaa·bb··················cccccccccc···
    chunks         |aaaa·bb|                |cccccccccc|

Hashes of chunks are kept when the stream has passed, so that what was written can be compared with them.
"""

import threading
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from blake3 import blake3

from ..base.errors import FormatError
from ..base.units import KIB, MIB
from .container import ChunkKind, ChunkRecord
from .crew import Crew, default_threads
from .full import AnyChunk
from .packing import UnpackedReader
from .partclone import PartcloneHeader, Strips, read_bitmap, widen_checksum

_CHUNK = MIB
_NEAR = 64 * KIB        # larger gaps end a chunk
_HASH = 8               # bytes kept of the hash of each chunk: to find what a disk did not keep, not what somebody forged

Runs = list[tuple[int, int]]


class PartcloneStream:
    """The chunks of a partclone image, once and in order."""

    is_stream = True
    chunk_size = _CHUNK

    def __init__(self, reader: UnpackedReader) -> None:
        """Take header and bitmap. Raises FormatError."""
        self._reader = reader
        self.header = PartcloneHeader.read(reader.read_exactly)
        self.used = read_bitmap(self.header, reader.read_exactly)
        self.header = widen_checksum(self.header, self.used, reader.peek)
        self._strips = Strips(self.header, self.used)
        self._starts = array("Q")
        self._lengths = array("I")
        self._hashes = bytearray()
        self._ended = self._is_complete = False
        self._number = 0            # of the next batch
        self._range = 0             # the used range that comes next, and where in it
        self._position = self.used.starts[0] if len(self.used) else 0
        self._before: bytes | None = None
        self._first = self._read(bytearray(self._strips.stored_range(0)[1])) if self._strips.count else None
        if self._first is not None:
            self._first = self._first.checked(self._strips)

    @property
    def size(self) -> int:
        """Bytes of the partition."""
        return self.header.size

    def start(self, length: int) -> bytes:
        """The first bytes of the partition, at most 1 MiB of them; before anything else is read."""
        start = bytearray(min(length, MIB, self.size))
        if self._first is not None:
            position = 0
            for first, last in self._first.runs:
                if first >= len(start):
                    break
                piece = self._first.data[position : position + min(last, len(start)) - first]
                start[first : first + len(piece)] = piece
                position += last - first
        return bytes(start)

    def __len__(self) -> int:
        return len(self._starts) if self._ended else 0

    def record(self, index: int) -> ChunkRecord:
        """A chunk that was there, when all has passed."""
        if not self._ended:
            raise FormatError("this image can be read in order only")
        digest = bytes(self._hashes[index * _HASH : index * _HASH + _HASH])
        return ChunkRecord(self._starts[index], self._lengths[index], 0, ChunkKind.DATA, digest)

    def find(self, offset: int) -> int:
        """Not in a stream."""
        raise FormatError("this image can be read in order only")

    def data_into(self, index: int, room: memoryview) -> None:
        """Not in a stream."""
        raise FormatError("this image can be read in order only")

    def data(self, index: int) -> bytes:
        """Not in a stream."""
        raise FormatError("this image can be read in order only")

    def agrees(self, record: ChunkRecord, data: memoryview) -> bool:
        """True when `data` has the hash of the chunk."""
        return bool(blake3(data).digest(_HASH) == record.digest)

    def each(
        self, work: Callable[[AnyChunk], None], *, threads: int | None = None, tick: Callable[[], None] = lambda: None
    ) -> None:
        """Call `work` for every chunk, in several threads. Raises FormatError when the image is damaged or cut short."""
        if self._is_complete:
            raise FormatError("this image can be read only once")
        lock = threading.Lock()

        def loop() -> None:
            worker = _Worker(self._strips)
            while not crew.stopping:
                with lock:
                    batch = self._next(worker.room)
                if batch is None:
                    return
                for chunk in worker.chunks(batch):
                    with lock:
                        self._note(chunk.record)
                    work(chunk)

        crew = Crew(loop, threads or default_threads())
        crew.run(tick)
        self._ended = True

    def chunks(self) -> Iterator[tuple[ChunkRecord, memoryview]]:
        """Every chunk of data in order; a view is valid until the next step. What lies between is not used."""
        if self._is_complete:
            raise FormatError("this image can be read only once")
        worker = _Worker(self._strips)
        while (batch := self._next(worker.room)) is not None:
            for chunk in worker.chunks(batch):
                self._note(chunk.record)
                yield chunk.record, chunk.data()
        self._ended = True

    def close(self) -> None:
        """Close what the image is read from."""
        self._reader.close()

    def _note(self, record: ChunkRecord) -> None:
        self._starts.append(record.offset)
        self._lengths.append(record.length)
        self._hashes += record.digest

    def _next(self, room: bytearray) -> "_Batch | None":
        """The next batch, read into `room`; None behind the last."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._number < self._strips.count:
            return self._read(room)
        if not self._is_complete:
            if self._reader.readinto(bytearray(1)):
                raise FormatError("the partclone image goes on behind its last used block")
            self._is_complete = True
        return None

    def _read(self, room: bytearray) -> "_Batch":
        position, length = self._strips.stored_range(self._number)
        view = memoryview(room)[:length]
        count = self._reader.readinto(view)
        if count != length:
            raise FormatError(f"the partclone image ends {self._strips.stored - position - count} bytes too early")
        batch = _Batch(view, self._runs(self._strips.length(self._number)), self._number, self._before)
        if self._strips.runs_on:
            self._before = bytes(view[length - self.header.checksum_size :][:4])
        self._number += 1
        return batch

    def _runs(self, length: int) -> Runs:
        """Where the next `length` used bytes belong."""
        runs = []
        while length:
            end = self.used.ends[self._range]
            step = min(length, end - self._position)
            runs.append((self._position, self._position + step))
            length, self._position = length - step, self._position + step
            if self._position == end:
                self._range += 1
                self._position = self.used.starts[self._range] if self._range < len(self.used) else 0
        return runs


@dataclass(slots=True)
class _Batch:
    data: memoryview
    runs: Runs
    number: int
    before: bytes | None            # the checksum before it, when they run on
    is_checked: bool = False

    def checked(self, strips: Strips) -> "_Batch":
        """With its checksums compared and taken out."""
        if not self.is_checked:
            self.data, self.is_checked = strips.check(self.number, self.data, self.before), True
        return self


class StreamChunk:
    """A chunk in the hands of a worker."""

    def __init__(self, record: ChunkRecord, data: memoryview) -> None:
        self.record = record
        self._data = data

    def data(self) -> memoryview:
        """The bytes, checked; valid until the worker's next chunk."""
        return self._data

    def check_zeros(self) -> None:
        """There are none."""


class _Worker:
    """The buffers of a thread."""

    def __init__(self, strips: Strips) -> None:
        self._strips = strips
        self.room = bytearray(strips.stored_range(0)[1] if strips.count else 0)
        self._spread = memoryview(bytearray(_CHUNK))

    def chunks(self, batch: _Batch) -> Iterator[StreamChunk]:
        """The chunks of a batch, each valid until the next one is asked for."""
        data = batch.checked(self._strips).data
        position = 0
        for runs in _grouped(batch.runs):
            start, end = runs[0][0], runs[-1][1]
            length = sum(last - first for first, last in runs)
            view = data[position : position + length] if len(runs) == 1 else self._scatter(runs, data[position : position + length])
            position += length
            yield StreamChunk(ChunkRecord(start, end - start, 0, ChunkKind.DATA, blake3(view).digest(_HASH)), view)

    def _scatter(self, runs: Runs, data: memoryview) -> memoryview:
        start, position = runs[0][0], 0
        for first, last in runs:
            self._spread[first - start : last - start] = data[position : position + last - first]
            position += last - first
        for (_, first), (last, _) in pairwise(runs):
            self._spread[first - start : last - start] = bytes(last - first)
        return self._spread[: runs[-1][1] - start]


def _grouped(runs: Runs) -> Iterator[Runs]:
    """Runs that lie near each other, in groups that span at most a chunk; longer ones are cut."""
    group: Runs = []
    for start, end in runs:
        first = start
        while first < end:
            if group and (first - group[-1][1] > _NEAR or first - group[0][0] >= _CHUNK):
                yield group
                group = []
            last = min(end, (group[0][0] if group else first) + _CHUNK)
            group.append((first, last))
            first = last
    if group:
        yield group
