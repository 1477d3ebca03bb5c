"""Bytes of an image brought to other places of a device: who makes files says what belongs where, processes decode and write.

    image     |  chunk 0  |  chunk 1  |  chunk 2  |  chunk 3  | ...
    helper      0 ─► 1 ─► 2 ─►                                          as soon as everything about a chunk has been said
    here                                        ◄─ n-1 ◄─ n             from the end, when all files have been made

Processes, because threads would wait for the one that makes ten thousands of files, and it for them. They are made early, while this
one is small. A table of marks in shared memory says which chunk was begun and which is done. It is no lock: where both meet, both may
bring a chunk, and nothing is lost by that. A helper that finds something wrong ends and says nothing; what is not done after all have
ended is done here, and the error is raised here, as it would have been without it. That covers those too that somebody kills.

Where no process may be made (other threads run here, the archive comes from a server) threads bring everything at the end.
Every chunk is checked before anything of it is written.
"""

import os
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from mmap import mmap
from struct import Struct

from ..blocks.device import BlockDevice, Buffer
from .container import Archive, ChunkKind, ChunkRecord
from .crew import default_threads
from .forked import forked
from .full import AnyChunk, Chunks

WORTH_IT = 64               # chunks from which on processes are made
_BEGUN, _DONE = 1, 2        # marks
_HEAD = Struct("<QI")       # of what a helper is told of a chunk: its index, and bytes of pieces that follow
_FIELDS = 4                 # of a piece: start in the chunk, length, zeros behind it, place on the device; bytes, 64 bits each
_ZEROS = memoryview(bytes(1 << 16))


class Mover:
    """Brings bytes of `chunks` to `device`; use it in a `with`. What belongs before `first` goes through `front`, in this process.

    Say what belongs where with `bring`, let helpers go ahead with `passed`, end with `finish`.
    """

    def __init__(self, chunks: Chunks, device: BlockDevice, first: int, *, copies: bool) -> None:
        """`copies`: whether the device is good in a copy of this process."""
        self._chunks = chunks
        self._device = device
        self._first = first
        self._front: dict[int, array[int]] = {}
        self._table: dict[int, array[int]] = {}
        self._start = self._end = self._index = 0       # of the chunk that was asked for last
        self._passed = 0                # chunks before that one have been given to helpers
        self._announced = self._arrived = 0
        self._order: list[int] = []     # chunks with pieces that were given to helpers
        self._helpers: list[_Helper] = []
        self._marks = mmap(-1, max(1, len(chunks)))
        self._room: memoryview | None = None
        if copies and len(chunks) >= WORTH_IT and isinstance(chunks, Archive) and chunks.copies:
            with suppress(OSError):     # where no more processes may be made, threads do it
                for _ in range(default_threads() - 1):
                    self._helpers.append(_Helper(self._work, self._helpers))

    @property
    def copies(self) -> bool:
        """Whether copies of this process help, so that others may make some too."""
        return bool(self._helpers)

    def __enter__(self) -> "Mover":
        return self

    def __exit__(self, *exc: object) -> None:
        self._marks[:] = bytes((_BEGUN,)) * len(self._marks)        # whoever still has something to do leaves it
        for helper in self._helpers:
            helper.close()
        self._helpers.clear()

    # --- what is to be done ------------------------------------------------------------------------------------------

    def bring(self, source: int, length: int, offset: int, padding: int) -> None:
        """`length` bytes of the image from `source` on, and so many zeros behind them, belong at `offset` of the device."""
        self._announced += length
        table = self._table if offset >= self._first else self._front
        while length:
            if not self._start <= source < self._end:
                self._index = self._chunks.find(source)
                record = self._chunks.record(self._index)
                self._start, self._end = record.offset, record.offset + record.length
            step = min(length, self._end - source)
            pieces = table.get(self._index)
            if pieces is None:
                pieces = table[self._index] = array("Q")
            length -= step
            pieces.extend((source - self._start, step, 0 if length else padding, offset))
            source += step
            offset += step

    def passed(self, source: int) -> int:
        """Everything about the bytes before `source` has been said; how many more bytes have arrived."""
        if self._helpers:
            self._give_until(self._chunks.find(source))
            for helper in self._helpers:
                helper.pump()
        return self._more()

    def finish(self, front: BlockDevice, advance: Callable[[int], None]) -> None:
        """Bring what is left. Raises FormatError where the image is damaged, and what the device finds wrong.

        `advance` is told how many more bytes have arrived.
        """
        for index, pieces in self._front.items():
            self._bring_chunk(index, pieces, front)
        if not self._helpers:
            self._chunks.each(self._work_in_thread, tick=lambda: advance(self._more()))
        else:
            self._give_until(len(self._chunks))
            for index in reversed(self._order):
                if not self._marks[index]:
                    self._marks[index] = _BEGUN
                    self._bring_chunk(index, self._table[index], self._device)
                    self._marks[index] = _DONE
                    for helper in self._helpers:
                        helper.pump()
                    advance(self._more())
            for helper in self._helpers:
                helper.close()
            self._helpers.clear()
            for index in self._order:
                if self._marks[index] != _DONE:
                    self._bring_chunk(index, self._table[index], self._device)
        advance(self._announced - self._arrived)
        self._arrived = self._announced

    def _give_until(self, end: int) -> None:
        """Tell helpers what belongs where of the chunks before `end`."""
        for index in range(self._passed, end):
            pieces = self._table.get(index)
            if pieces is not None:
                helper = self._helpers[len(self._order) % len(self._helpers)]
                helper.tell(_HEAD.pack(index, len(pieces) * pieces.itemsize) + pieces.tobytes(), lambda index=index: not self._marks[index])    # type: ignore[misc]
                self._order.append(index)
        self._passed = max(self._passed, end)

    def _more(self) -> int:
        """How many bytes have arrived since it was asked last; all chunks count the same."""
        done = self._marks[:].count(_DONE)
        arrived = self._announced * done // max(1, len(self._table))
        more = max(0, arrived - self._arrived)
        self._arrived += more
        return more

    # --- doing it ----------------------------------------------------------------------------------------------------

    def _bring_chunk(self, index: int, pieces: "array[int]", device: BlockDevice) -> None:
        record = self._chunks.record(index)
        if record.kind is not ChunkKind.DATA:
            _write_zeros(device, pieces)
            return
        if self._room is None:
            self._room = memoryview(bytearray(self._chunks.chunk_size))
        data = self._room[: record.length]
        self._chunks.data_into(index, data)
        _write_own(device, data, pieces)

    def _work(self, go: int) -> None:
        """The life of a helper."""
        while (head := _read_all(go, _HEAD.size)) is not None:
            index, length = _HEAD.unpack(head)
            packed = _read_all(go, length)
            if packed is None:
                return
            if not self._marks[index]:
                self._marks[index] = _BEGUN
                self._bring_chunk(index, array("Q", packed), self._device)
                self._marks[index] = _DONE

    def _work_in_thread(self, chunk: AnyChunk) -> None:
        record: ChunkRecord = chunk.record
        index = self._chunks.find(record.offset)
        pieces = self._table.get(index)
        if pieces is None:
            return
        if record.kind is ChunkKind.DATA:
            _write_all(self._device, chunk.data(), pieces)
        else:
            chunk.check_zeros()
            _write_zeros(self._device, pieces)
        self._marks[index] = _DONE


class _Helper:
    """A process with the pipe that tells it what to do."""

    def __init__(self, work: Callable[[int], None], before: "Iterable[_Helper]") -> None:
        go, self._go = os.pipe()
        os.set_blocking(self._go, False)
        self._waiting: deque[tuple[bytes, Callable[[], bool]]] = deque()      # to be told, if still true
        self._rest = memoryview(b"")        # of what the pipe had no room for
        try:
            self._process = forked(lambda: work(go), [self._go, *(helper._go for helper in before)])
        except OSError:
            os.close(self._go)
            raise
        finally:
            os.close(go)

    def tell(self, message: bytes, wanted: Callable[[], bool]) -> None:
        """Have it told, unless it is not wanted any more when there is room in the pipe."""
        self._waiting.append((message, wanted))

    def pump(self) -> None:
        """Tell it as much as the pipe takes now."""
        try:
            while self._rest or self._waiting:
                if not self._rest:
                    message, wanted = self._waiting.popleft()
                    if not wanted():
                        continue
                    self._rest = memoryview(message)
                self._rest = self._rest[os.write(self._go, self._rest) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:     # it has ended: what it did not do is done by others
            self._rest = memoryview(b"")
            self._waiting.clear()

    def close(self) -> None:
        """Wait until it has done what it was told."""
        os.close(self._go)
        os.waitpid(self._process, 0)


def _write_own(device: BlockDevice, data: memoryview, pieces: "array[int]") -> None:
    """Write pieces of a buffer that may be changed: what lies beside each other in it and on the device goes in one write."""
    begin = end = target = 0        # of what waits to be written
    for at in range(0, len(pieces), _FIELDS):
        start, length, padding, offset = pieces[at : at + _FIELDS]
        if start != end or offset != target + end - begin:
            if begin < end:
                device.write(target, data[begin:end])
            begin, target = start, offset
        end = start + length
        if padding:
            following = pieces[at + _FIELDS] if at + _FIELDS < len(pieces) else -1
            if following == end + padding and pieces[at + _FIELDS + 3] == offset + length + padding:
                data[end : end + padding] = _ZEROS[:padding]
                end += padding
            else:
                device.writev(target, [data[begin:end], *_zeros(padding)])
                begin = end = target = 0
    if begin < end:
        device.write(target, data[begin:end])


def _write_all(device: BlockDevice, data: memoryview, pieces: "array[int]") -> None:
    """Write pieces of a buffer that must stay as it is."""
    for at in range(0, len(pieces), _FIELDS):
        start, length, padding, offset = pieces[at : at + _FIELDS]
        device.writev(offset, [data[start : start + length], *_zeros(padding)])


def _write_zeros(device: BlockDevice, pieces: "array[int]") -> None:
    for at in range(0, len(pieces), _FIELDS):
        _, length, padding, offset = pieces[at : at + _FIELDS]
        device.zero(offset, length + padding)


def _zeros(length: int) -> list[Buffer]:
    return [_ZEROS[: min(len(_ZEROS), length - at)] for at in range(0, length, len(_ZEROS))]


def _read_all(descriptor: int, length: int) -> bytes | None:
    """So many bytes of a pipe; None when it ends before."""
    found = os.read(descriptor, length) if length else b""
    while len(found) < length:
        more = os.read(descriptor, length - len(found))
        if not more:
            return None
        found += more
    return found
