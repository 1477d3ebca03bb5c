"""Chunks in order, decoded ahead by processes of their own: for one who takes them and has work of his own in Python.

Threads share one interpreter, and a thread that decodes needs it some ten times for every chunk: where tens of thousands of small
files are made meanwhile, both sides wait for each other, and a third of the time is lost. Processes share nothing but memory:

    process 0   |chunk 0|chunk 2|chunk 4|...     a ring of slots each, in shared memory
    process 1   |chunk 1|chunk 3|chunk 5|...
                    │ "done" by a pipe              ▲ "slot is free" by another
                    ▼                               │
    taken in order: 0, 1, 2, ...  ──────────────────┘

With "slot is free" a process is told what to write of it to a device (`delivery.py`), if it is ahead; else that is done here. Whoever
writes the bytes, they were checked before anybody saw them.

A process that finds something wrong ends, and says nothing: what it did not deliver is decoded or written here, and the error is raised
here, as it would have been without it. That also covers a process that somebody kills: a slot is filled anew only after what was to be
written of it was said to be written, so until then its bytes are there.
"""

import gc
import os
import select
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from mmap import mmap
from typing import TYPE_CHECKING

from ..blocks.device import Buffer
from .records import MIB, ChunkKind, ChunkRecord

if TYPE_CHECKING:
    from .delivery import Delivery, Piece
    from .frames import Decoder

WORTH_IT = 64               # chunks from which on processes are made: each costs about 5 ms
_RING = 8 * MIB             # of decoded chunks, for each process
_NICENESS = 1               # who takes the chunks goes first
_AHEAD = 2                  # decoded chunks that wait to be taken: from here on a process has time to write
_DECODED, _WRITTEN = b"d", b"w"
_HEARD_AT_ONCE = 64         # bytes
_COUNT_SIZE = 4             # bytes; of pieces, before them

Frame = Callable[[int], tuple[int, ChunkRecord, Callable[[], Buffer]]]      # by the index of its chunk


def decode_in_processes(
    frame: Frame, total: int, new_decoder: Callable[[], "Decoder"], chunk_size: int, count: int, *, delivery: "Delivery | None" = None
) -> Iterator[tuple[ChunkRecord, memoryview]]:
    """What `decode_ahead` gives, of `total` chunks, by `count` processes. Only while this process has one thread: a copy of it has no others.

    `delivery` is told whose chunk it is that was given; it is to be settled before the iteration is left.
    What fetches a frame must be good in a copy of this process: bytes that are read from a descriptor at given places.
    """
    from .frames import check_zero_frame  # noqa: PLC0415 - zstandard is slow to load

    own: Decoder | None = None
    zeros = memoryview(bytes(min(chunk_size, MIB)))
    helpers: list[_Helper] = []
    try:
        with suppress(OSError):     # where no more processes may be made, their chunks are decoded here
            for number in range(count):
                helpers.append(_Helper(frame, range(number, total, count), new_decoder, chunk_size, before=helpers, delivery=delivery))
        for index in range(total):
            _, record, fetch = frame(index)
            if record.kind is not ChunkKind.DATA:
                check_zero_frame(record, fetch())
                for start in range(0, record.length, len(zeros)):
                    yield record, zeros[: min(len(zeros), record.length - start)]
                continue
            helper = helpers[index % count] if index % count < len(helpers) else None
            view = None if helper is None else helper.take(record.length)
            if view is None:
                own = own or new_decoder()
                view = own.decode(record, fetch())
            if delivery is not None:
                delivery.at_hand = helper
            yield record, view
            if helper is not None:
                helper.give_back()
        if delivery is not None:
            delivery.settle()
    finally:
        if delivery is not None:
            delivery.at_hand = None
            delivery.writers.clear()
        for helper in helpers:
            helper.close()


class _Helper:
    """A process that decodes some chunks into its ring, and writes what it is told of them."""

    def __init__(
        self, frame: Frame, indices: range, new_decoder: Callable[[], "Decoder"], chunk_size: int, *,
        before: "Sequence[_Helper]", delivery: "Delivery | None",
    ) -> None:
        self._chunk_size = chunk_size
        self._slots = max(2, _RING // chunk_size)
        self.ring = mmap(-1, self._slots * chunk_size)
        self._view = memoryview(self.ring)
        self._delivery = delivery
        self.address = 0 if delivery is None else delivery.address_of(self.ring)
        self.pieces: list[Piece] = []               # to be written of the chunk that was taken last
        self._unsettled: deque[list[Piece]] = deque()       # given to the process, which did not say yet that they are written
        self._ready = 0         # chunks that are decoded and not taken
        self._next = 0          # slot
        done, say_done = os.pipe()
        go, self._say_go = os.pipe()
        self._done = done
        os.set_blocking(done, False)
        self._waiting = select.poll()
        self._waiting.register(done, select.POLLIN)
        # Ctrl-C is for us; the moment before the copy knows that must not come in between.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self._process = os.fork()
            if self._process == 0:
                try:
                    signal.signal(signal.SIGINT, signal.SIG_IGN)
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                    os.close(done)
                    os.close(self._say_go)
                    for helper in before:       # their pipes have their ends here too, and would never end
                        os.close(helper._done)
                        os.close(helper._say_go)
                    self._work(frame, indices, new_decoder(), go, say_done)
                finally:
                    os._exit(0)
        except OSError:
            for descriptor in (done, say_done, go, self._say_go):
                os.close(descriptor)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(say_done)
        os.close(go)
        if delivery is not None:
            delivery.writers.append(self)

    def take(self, length: int) -> memoryview | None:
        """The next chunk; None when the process has ended without it."""
        while not self._ready:
            if not self._listen(wait=True):
                return None
        self._ready -= 1
        start = self._next * self._chunk_size
        self._next = (self._next + 1) % self._slots
        return self._view[start : start + length]

    def give_back(self) -> None:
        """The chunk that was taken last is not needed any more, but for the pieces that are to be written of it."""
        if self.pieces:
            self._listen(wait=False)
            if self._ready < _AHEAD:
                self._write_here()
        pieces, self.pieces = self.pieces, []
        if pieces:
            self._unsettled.append(pieces)
        message = memoryview(_packed(pieces))
        with suppress(BrokenPipeError):     # it has nothing left to do, or was killed: `settle` finds out
            while message:
                message = message[os.write(self._say_go, message) :]

    def settle(self) -> None:
        """All pieces are on the device afterwards, whoever writes them."""
        self._write_here()
        while self._unsettled and self._listen(wait=True):
            pass
        while self._unsettled:
            self.pieces = self._unsettled[0]
            self._write_here()
            self._unsettled.popleft()

    def _write_here(self) -> None:
        if self.pieces and self._delivery is not None:
            from .delivery import write_pieces  # noqa: PLC0415 - few archives are read for that

            write_pieces(self._delivery.device, self._view, self.pieces)
            self.pieces = []

    def _listen(self, *, wait: bool) -> bool:
        """Note what the process says; False when it has ended, or, if it is not to be waited for, says nothing."""
        if wait:
            self._waiting.poll()
        try:
            heard = os.read(self._done, _HEARD_AT_ONCE)
        except BlockingIOError:
            return False
        self._ready += heard.count(_DECODED)
        for _ in range(heard.count(_WRITTEN)):
            self._unsettled.popleft()
        return bool(heard)

    def close(self) -> None:
        """End the process. The ring goes when nobody looks into it any more."""
        os.close(self._say_go)
        os.close(self._done)
        os.waitpid(self._process, 0)

    def _work(self, frame: Frame, indices: range, decoder: "Decoder", go: int, say_done: int) -> None:
        """The life of the process. It ends early when its chunks are not wanted any more: both pipes tell."""
        gc.disable()
        os.nice(_NICENESS)
        free, slot = self._slots, 0
        told = select.poll()
        told.register(go, select.POLLIN)
        for index in indices:
            _, record, fetch = frame(index)
            if record.kind is not ChunkKind.DATA:
                continue
            while not free or told.poll(0):
                if not self._obey(go, say_done):
                    return
                free += 1
            free -= 1
            start = slot * self._chunk_size
            decoder.decode(record, fetch(), self._view[start : start + record.length])
            os.write(say_done, _DECODED)
            slot = (slot + 1) % self._slots
        while self._obey(go, say_done):
            pass

    def _obey(self, go: int, say_done: int) -> bool:
        """A slot is free, after its pieces were written; False when nothing is wanted any more."""
        count = _read_all(go, _COUNT_SIZE)
        if count is None:
            return False
        length = int.from_bytes(count, "little")
        if not length:
            return True
        from .delivery import PIECE  # noqa: PLC0415 - as above

        packed = _read_all(go, length * PIECE.size)
        if packed is None:
            return False
        self.pieces = list(PIECE.iter_unpack(packed))
        self._write_here()
        os.write(say_done, _WRITTEN)
        return True


def _packed(pieces: "list[Piece]") -> bytes:
    count = len(pieces).to_bytes(_COUNT_SIZE, "little")
    if not pieces:
        return count
    from .delivery import PIECE  # noqa: PLC0415 - as above

    return count + b"".join(PIECE.pack(*piece) for piece in pieces)


def _read_all(descriptor: int, length: int) -> bytes | None:
    """So many bytes of a pipe; None when it ends before."""
    found = b""
    while len(found) < length:
        more = os.read(descriptor, length - len(found))
        if not more:
            return None
        found += more
    return found
