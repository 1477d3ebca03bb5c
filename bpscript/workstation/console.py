"""The consoles of the machine: everything is said on each of them, the frame buffer's and the serial line's."""

import os
from contextlib import suppress
from pathlib import Path

from ..base.events import Event, Kind
from ..base.units import format_size
from ..screen.stdin import PipeKeyboard
from .keyboards import Keyboards, keyboard_of_consoles

_ACTIVE = Path("/sys/class/tty/console/active")     # names, the one of /dev/console last

_DEVICES = Path("/dev")
_OUTPUT = 1


class Console:
    """Text for people. A console that cannot be written to (a serial line nobody has plugged in) is left out."""

    def __init__(self, descriptors: list[int]) -> None:
        self._descriptors = descriptors
        self._at_line_start = True

    @classmethod
    def open(cls, active: Path = _ACTIVE, devices: Path = _DEVICES) -> "Console":
        """All consoles of the kernel; standard output when it names none."""
        return cls(_opened(active, devices))

    def reopen(self) -> None:
        """The consoles of the kernel anew: what was opened before, a hang-up has cut off."""
        for descriptor in self._descriptors:
            if descriptor != _OUTPUT:
                os.close(descriptor)
        self._descriptors = _opened(_ACTIVE, _DEVICES)

    def keyboard(self) -> Keyboards | PipeKeyboard:
        """Keys from all of them. `close` it in the end."""
        return keyboard_of_consoles(self._descriptors)

    def write(self, text: str) -> None:
        """Text with line ends of any kind."""
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        data = text.replace("\r\n", "\n").replace("\r", "").encode("utf-8", "replace")
        for descriptor in self._descriptors:
            with suppress(OSError):
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]

    def line(self, text: str) -> None:
        """A line of its own."""
        self.write(("" if self._at_line_start else "\n") + text + "\n")


def _opened(active: Path, devices: Path) -> list[int]:
    found = []
    with suppress(OSError):
        for name in active.read_text(encoding="ascii").split():
            with suppress(OSError):
                found.append(os.open(devices / name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    return found or [_OUTPUT]


class ConsoleProgress:
    """Says every few seconds how far long work is: a console without places has no bar."""

    def __init__(self, console: Console, interval_s: float = 5.0) -> None:
        self._console = console
        self._interval_s = interval_s
        self._task = ""
        self._next = 0.0

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind is not Kind.PROGRESS:
            return
        task, done, total = str(event.data["task"]), int(event.data["done"] or 0), int(event.data["total"] or 0)
        if task != self._task:
            self._task, self._next = task, event.time_s + self._interval_s
        elif event.time_s >= self._next:
            self._next = event.time_s + self._interval_s
            part = f" of {format_size(total)}, {100 * done // total} %" if total else ""
            self._console.line(f"[progress] {task}: {format_size(done)}{part}")
