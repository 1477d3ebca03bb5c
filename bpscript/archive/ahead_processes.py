"""Chunks in order, decoded ahead by processes of their own: for one who takes them and has work of his own in Python.

Threads share one interpreter, and a thread that decodes needs it some ten times for every chunk: where tens of thousands of small
files are made meanwhile, both sides wait for each other, and a third of the time is lost. Processes share nothing but memory:

    process 0   |chunk 0|chunk 2|chunk 4|...     a ring of slots each, in shared memory
    process 1   |chunk 1|chunk 3|chunk 5|...
                    │ "done" by a pipe              ▲ "slot is free" by another
                    ▼                               │
    taken in order: 0, 1, 2, ...  ──────────────────┘

A process that finds something wrong ends, and says nothing: what it did not deliver is decoded here, and the error is raised here, as
it would have been without it. That also covers a process that somebody kills.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from mmap import mmap
from typing import TYPE_CHECKING

from ..base.zeros import zeros
from ..blocks.device import Buffer
from .forked import forked
from .records import MIB, ChunkKind, ChunkRecord

if TYPE_CHECKING:
    from .frames import Decoder

WORTH_IT = 64               # chunks from which on processes are made: each costs about 5 ms
_RING = 8 * MIB             # of decoded chunks, for each process
_NICENESS = 1               # who takes the chunks goes first

Frame = Callable[[int], tuple[int, ChunkRecord, Callable[[], Buffer]]]      # by the index of its chunk


def decode_in_processes(
    frame: Frame, total: int, new_decoder: Callable[[], "Decoder"], chunk_size: int, count: int
) -> Iterator[tuple[ChunkRecord, memoryview]]:
    """What `decode_ahead` gives, of `total` chunks, by `count` processes. Only while this process has one thread: a copy of it has no others.

    What fetches a frame must be good in a copy of this process: bytes that are read from a descriptor at given places.
    """
    from .frames import check_zero_frame  # noqa: PLC0415 - zstandard is slow to load

    own: Decoder | None = None
    helpers: list[_Helper] = []
    try:
        with suppress(OSError):     # where no more processes may be made, their chunks are decoded here
            for number in range(count):
                helpers.append(_Helper(frame, range(number, total, count), new_decoder, chunk_size, helpers))
        for index in range(total):
            _, record, fetch = frame(index)
            if record.kind is not ChunkKind.DATA:
                check_zero_frame(record, fetch())
                for piece in zeros(record.length, chunk_size):
                    yield record, piece
                continue
            helper = helpers[index % count] if index % count < len(helpers) else None
            view = None if helper is None else helper.take(record.length)
            if view is None:
                own = own or new_decoder()
                view = own.decode(record, fetch())
            yield record, view
            if helper is not None:
                helper.give_back()
    finally:
        for helper in helpers:
            helper.close()


class _Helper:
    """A process that decodes some chunks into its ring."""

    def __init__(self, frame: Frame, indices: range, new_decoder: Callable[[], "Decoder"], chunk_size: int, before: "Sequence[_Helper]") -> None:
        self._chunk_size = chunk_size
        self._slots = max(2, _RING // chunk_size)
        self._ring = mmap(-1, self._slots * chunk_size)
        self._view = memoryview(self._ring)
        self._ready = 0         # chunks that are decoded and not taken
        self._next = 0          # slot
        done, say_done = os.pipe()
        go, self._say_go = os.pipe()
        self._done = done
        # The pipes of those before have their ends in a copy too, and would never end.
        foreign = [done, self._say_go, *(descriptor for helper in before for descriptor in (helper._done, helper._say_go))]
        try:
            self._process = forked(lambda: self._work(frame, indices, new_decoder(), go, say_done), foreign)
        except OSError:
            os.close(done)
            os.close(self._say_go)
            raise
        finally:
            os.close(say_done)
            os.close(go)

    def take(self, length: int) -> memoryview | None:
        """The next chunk; None when the process has ended without it."""
        if not self._ready:
            self._ready = len(os.read(self._done, self._slots))
            if not self._ready:
                return None
        self._ready -= 1
        start = self._next * self._chunk_size
        self._next = (self._next + 1) % self._slots
        return self._view[start : start + length]

    def give_back(self) -> None:
        """The chunk that was taken last is not needed any more."""
        with suppress(BrokenPipeError):     # it has nothing left to do
            os.write(self._say_go, b"\0")

    def close(self) -> None:
        """End the process. The ring goes when nobody looks into it any more."""
        os.close(self._say_go)
        os.close(self._done)
        os.waitpid(self._process, 0)

    def _work(self, frame: Frame, indices: range, decoder: "Decoder", go: int, say_done: int) -> None:
        """The life of the process. It ends early when its chunks are not wanted any more: both pipes tell."""
        os.nice(_NICENESS)
        free, slot = self._slots, 0
        for index in indices:
            _, record, fetch = frame(index)
            if record.kind is not ChunkKind.DATA:
                continue
            while not free:
                free = len(os.read(go, self._slots))
                if not free:
                    return
            free -= 1
            start = slot * self._chunk_size
            decoder.decode(record, fetch(), self._view[start : start + record.length])
            os.write(say_done, b"\0")
            slot = (slot + 1) % self._slots
