"""The event stream: everything that long work and scripts report, in one small record.

Consumers (progress bar, JSON event log, fleet view, replay record) are callables; nothing prints from inside the engine.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic
from types import MappingProxyType
from typing import NamedTuple, Self


class Kind(StrEnum):
    """What happened. The names are part of the JSON form (see the manual) and do not change silently."""

    COMMAND_STARTED = "command-started"      # name, file, line
    COMMAND_FINISHED = "command-finished"    # name, file, line, seconds
    PROGRESS = "progress"                    # task, done, total (bytes; total 0 when unknown)
    FILE_WRITTEN = "file-written"            # path, size
    LOG = "log"                              # text
    NOTE = "note"                            # text
    WARNING = "warning"                      # text
    ERROR = "error"                          # text, file, line, column
    BOOT = "boot"                            # text
    TRANSFER = "transfer"                    # protocol, client, path, outcome, size (bytes), seconds, and more by protocol
    LEASE = "lease"                          # text, action, mac, address, host, uuid, interface, seconds
    BOOT_PROGRAM = "boot-program"            # text, action, mac, address, host, uuid, interface, firmware, file, script


Value = str | int | float | bool | None


class _Event(NamedTuple):
    kind: Kind
    data: Mapping[str, Value]
    time_s: float


class Event(_Event):
    """One thing that happened; `time_s` is seconds on a monotonic clock, by default now."""

    __slots__ = ()

    def __new__(cls, kind: Kind, data: Mapping[str, Value] = MappingProxyType({}), time_s: float | None = None) -> Self:
        """What happened and its facts; see `Kind` for the keys."""
        return super().__new__(cls, kind, data, monotonic() if time_s is None else time_s)


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The sink of those who do not listen."""


class Progress:
    """Bytes done of a long task, reported at most every `interval_s` seconds (and at the end)."""

    def __init__(self, sink: Sink, task: str, total: int, interval_s: float = 0.1) -> None:
        self._sink = sink
        self._task = task
        self._total = total
        self._interval_s = interval_s
        self._last = 0.0
        self.done = 0

    def advance(self, length: int) -> None:
        """Add `length` bytes."""
        self.done += length
        now = monotonic()
        if now - self._last >= self._interval_s:
            self._last = now
            self.report()

    def report(self) -> None:
        """Send the state as it is."""
        self._sink(Event(Kind.PROGRESS, {"task": self._task, "done": self.done, "total": self._total}))


@contextmanager
def progress(sink: Sink, task: str, total: int) -> Iterator[Progress]:
    """A long task: reports its start, its steps and its end."""
    state = Progress(sink, task, total)
    state.report()
    yield state
    state.report()
