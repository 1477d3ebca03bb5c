"""Threads that share one job (decode and write, read and compare)."""

import os
import threading
from collections.abc import Callable

_POLL_S = 0.1


def default_threads() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0))


class Crew:
    """Threads that all run one loop; the first error stops the others and is raised in the thread that waits."""

    def __init__(self, loop: Callable[[], None], threads: int) -> None:
        self.stopping = False
        self._loop = loop
        self._error: BaseException | None = None
        self._left = threads
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def run(self, tick: Callable[[], None]) -> None:
        """Start, wait for all, call `tick` meanwhile. Ctrl-C stops the crew after the chunks at hand."""
        for thread in self._threads:
            thread.start()
        try:
            with self._changed:
                while self._left:
                    self._changed.wait(_POLL_S)
                    tick()
        finally:
            self.stopping = True
            for thread in self._threads:
                thread.join()
        if self._error is not None:
            raise self._error
        tick()

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException as error:      # raised again in the thread that waits
            with self._changed:
                self._error = self._error or error
                self.stopping = True
        finally:
            with self._changed:
                self._left -= 1
                self._changed.notify_all()
