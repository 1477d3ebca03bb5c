"""Threads that take jobs as they come (compress), and give back what came of each."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Job(Generic[T]):
    """Work that a thread of a `Pool` does."""

    __slots__ = ("_done", "_error", "_result", "_work")

    def __init__(self, work: Callable[[], T]) -> None:
        self._work: Callable[[], T] | None = work
        self._result: list[T] = []
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def run(self) -> None:
        """Do it; an error is kept for `result`."""
        assert self._work is not None
        try:
            self._result.append(self._work())
        except BaseException as error:      # raised again in the thread that waits
            self._error = error
        finally:
            self._work = None               # with all that it holds: the result is what counts now
            self._done.release()

    def result(self) -> T:
        """What came of it, once: waits for it, and raises what the work raised."""
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._result.pop()


class Pool:
    """Threads that do jobs, those first that came first.

    `concurrent.futures` does it too, but takes 7 ms to load and costs as much per job as reading a chunk.
    """

    def __init__(self, threads: int) -> None:
        self._count = threads
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stopping = False

    def submit(self, work: Callable[[], T]) -> Job[T]:
        """Have something done."""
        job = Job(work)
        self._jobs.put(job.run)
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._loop, daemon=True)
            self._threads.append(thread)
            thread.start()
        return job

    def close(self) -> None:
        """Wait for the jobs at hand and stop; what has not begun is not done any more."""
        self._stopping = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _loop(self) -> None:
        while (run := self._jobs.get()) is not None and not self._stopping:
            run()
