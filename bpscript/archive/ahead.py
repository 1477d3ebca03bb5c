"""Chunks in order, decoded ahead in threads for one who takes them one by one.

    frames ──► jobs ──► threads decode into a ring of buffers ──► taken in order, each buffer goes back into the ring

A ring with more buffers than threads: a chunk that takes long does not make the other threads wait. Plain queues and locks, because
a pool with futures costs as much per chunk as reading it.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ..base.zeros import zeros
from ..blocks.device import Buffer
from .records import MIB, ChunkKind, ChunkRecord

if TYPE_CHECKING:
    from .frames import Decoder

_SPARE = 6      # buffers that wait to be taken while every thread fills one more: while small files are made, large ones come ahead
_SPARE_ROOM = 16 * MIB      # bytes of them: chunks of archives made with long matching have 16 MiB each

Frames = Iterable[tuple[int, ChunkRecord, Callable[[], Buffer]]]


class _Job:
    """One DATA chunk on its way."""

    __slots__ = ("decoder", "done", "error", "fetch", "record", "view")

    def __init__(self, record: ChunkRecord, decoder: "Decoder", fetch: Callable[[], Buffer]) -> None:
        self.record = record
        self.decoder = decoder
        self.fetch = fetch
        self.view = memoryview(b"")
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()


def decode_ahead(
    frames: Frames, new_decoder: Callable[[], "Decoder"], chunk_size: int, threads: int
) -> Iterator[tuple[ChunkRecord, memoryview]]:
    """Every chunk with its contents, zeros in pieces of at most `chunk_size` bytes. A view is valid until the next step.

    Raises FormatError where a chunk is damaged, after all chunks before it were given.
    """
    from .frames import check_zero_frame  # noqa: PLC0415 - zstandard is slow to load

    jobs: SimpleQueue[_Job | None] = SimpleQueue()
    stopping = threading.Event()

    def decode() -> None:
        while (job := jobs.get()) is not None:
            try:
                if not stopping.is_set():
                    job.view = job.decoder.decode(job.record, job.fetch())
            except BaseException as error:      # raised again where the chunk is taken
                job.error = error
            finally:
                job.done.release()

    ring = threads + max(1, min(_SPARE, _SPARE_ROOM // chunk_size))
    free = [new_decoder() for _ in range(ring)]
    pending: deque[tuple[ChunkRecord, _Job | None]] = deque()
    coming = iter(frames)
    workers = [threading.Thread(target=decode, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        while True:
            while free and len(pending) < ring and (found := next(coming, None)) is not None:
                _, record, fetch = found
                job = None
                if record.kind is ChunkKind.DATA:
                    job = _Job(record, free.pop(), fetch)
                    jobs.put(job)
                else:
                    check_zero_frame(record, fetch())
                pending.append((record, job))
            if not pending:
                return
            record, job = pending.popleft()
            if job is None:
                for view in zeros(record.length, chunk_size):
                    yield record, view
                continue
            job.done.acquire()
            if job.error is not None:
                raise job.error
            yield record, job.view
            free.append(job.decoder)
    finally:
        stopping.set()
        for _ in workers:
            jobs.put(None)
        for worker in workers:
            worker.join()
