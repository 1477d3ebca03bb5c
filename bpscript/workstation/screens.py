"""The screen of a workstation: its frame buffer, from the moment a script shows something on it.

Until then, and on a machine without one, the log and what is printed go to the consoles as text. They go there afterwards too: the
serial line sees them, and the console of the frame buffer has them when the picture is taken away.
"""

from contextlib import suppress

from ..base.errors import UsageError
from ..screen.display import Display
from ..screen.framebuffer import FrameBufferOutput, open_frame_buffer
from ..screen.screen import Attribute
from .console import Console

_BLANK = (" ", Attribute())


class WorkstationScreen(Display):
    """A screen on a frame buffer, when there is one, and on consoles."""

    def __init__(self, console: Console, output: FrameBufferOutput | None) -> None:
        super().__init__(output, modes=() if output is None else output.modes)
        self._console = console
        self._has_output = output is not None
        self._taken = False

    @classmethod
    def open(cls, console: Console, device: str = "/dev/fb0", *, graphics: bool = True) -> "WorkstationScreen":
        """The frame buffer of the machine, if it has one that we can write and `graphics` are wanted."""
        output = None
        if graphics:
            with suppress(UsageError):
                output = open_frame_buffer(device)
        return cls(console, output)

    def write(self, text: str) -> None:
        """Write at the cursor, and to the consoles."""
        self._console.write(text)
        super().write(text)

    def log(self, text: str) -> None:
        """Add to the log, which the consoles show."""
        self._console.write(text)
        super().log(text)

    def refresh(self) -> None:
        """Show what was drawn. The frame buffer is not taken for an empty screen, nor for the log alone, which the console shows."""
        if not self._taken:
            self._taken = self._has_output and not self.log_visible and self._has_content()
            if not self._taken:
                return
        super().refresh()

    def wait(self) -> None:
        """The script waits."""
        self.refresh()

    def _has_content(self) -> bool:
        canvas = self.canvas
        return canvas.mode is not None or any(cell != _BLANK for line in range(canvas.lines) for cell in canvas.row(line))
