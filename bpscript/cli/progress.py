"""The progress bar of long commands: bytes, rate and time left, on a terminal only."""

import os
import sys
from time import monotonic

from ..base.events import Event, Kind, Sink, ignore
from ..base.units import format_size

_DELAY_S = 0.5      # shorter work shows no bar at all
_BAR = 24           # characters


class ProgressBar:
    """An event sink that keeps one line on standard error up to date."""

    def __init__(self, width: int = 79) -> None:
        self._width = width
        self._task = ""
        self._started = 0.0
        self._shown = False

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind is Kind.PROGRESS:
            self._progress(str(event.data["task"]), int(event.data["done"] or 0), int(event.data["total"] or 0))
        elif event.kind in {Kind.LOG, Kind.COMMAND_FINISHED, Kind.ERROR, Kind.WARNING, Kind.NOTE}:
            self.clear()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._shown = False

    def _progress(self, task: str, done: int, total: int) -> None:
        now = monotonic()
        if task != self._task or done == 0:
            self._task, self._started = task, now
        elapsed = now - self._started
        if elapsed < _DELAY_S:
            return
        sys.stderr.write("\r" + line(task, done, total, elapsed, self._width).ljust(self._width))
        sys.stderr.flush()
        self._shown = True


def line(task: str, done: int, total: int, elapsed_s: float, width: int) -> str:
    """What the bar shows, at most `width` characters."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    tail = f" {format_size(done)}  {format_size(int(rate))}/s"
    bar = ""
    if total > 0:
        filled = min(_BAR, _BAR * done // total)
        bar = f" [{'#' * filled}{'.' * (_BAR - filled)}] {min(100, 100 * done // total)} %"
        left = (total - done) / rate if rate > 0 else 0
        tail += f"  {int(left) // 60}:{int(left) % 60:02d} left"
    room = width - len(bar) - len(tail)
    return (task if len(task) <= room else task[: max(0, room - 1)] + "…") + bar + tail


def progress_sink() -> Sink:
    """A bar when standard error is a terminal, else nothing."""
    if not sys.stderr.isatty():
        return ignore
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
    except OSError:
        width = 79
    return ProgressBar(width)
