"""The Screen that scripts draw on, whatever shows it: a canvas, the log behind it, and an output.

                   ┌── canvas ──┐
    commands ──> Display      what is visible ──> Output: paint the cells that changed
                   └── log ─────┘

An output is asked to paint only what changed, and not more often than somebody could see it: a script that prints ten thousand lines
repaints a few times. `refresh` and `wait` paint at once.
"""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from .canvas import Canvas, Span
from .screen import MODES, Area, Attribute, Box, Glyphs, Mode, Picture, Progress, Strategy, Window

if TYPE_CHECKING:
    from .log_view import LogView
    from .progress import Overlay

_FRAME_S = 0.04     # between two paintings of a script that draws without waiting


class Output(Protocol):
    """Where a canvas is shown."""

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        """Show what changed; `canvas` may be another one than last time, then everything did."""
        ...

    def wait(self) -> None:
        """What is shown stays for a while: the script waits, or is over."""
        ...

    def beep(self) -> None:
        """Make a sound."""
        ...

    def close(self) -> None:
        """Give back what was taken."""
        ...


class NoOutput:
    """Nobody looks."""

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        """Nothing to do."""

    def wait(self) -> None:
        """Nothing to do."""

    def beep(self) -> None:
        """Nobody hears it."""

    def close(self) -> None:
        """Nothing to do."""


class Display:
    """A Screen on a canvas."""

    def __init__(self, output: Output | None = None, *, modes: Sequence[Mode] = MODES, lines: int = 25, columns: int = 80) -> None:
        self.modes = modes
        self.canvas = Canvas(lines, columns)
        self.log_visible = False
        self._text_size = lines, columns
        self._output = output or NoOutput()
        self._font: Glyphs | None = None
        self._log: LogView | None = None
        self._overlay: Overlay | None = None
        self._next_frame = 0.0

    @property
    def visible(self) -> Canvas:
        """The canvas that is shown now: the script's, or the one of the log."""
        return self._log_view().canvas if self.log_visible else self.canvas

    @property
    def mode(self) -> Mode | None:
        """The graphic mode; None in text mode."""
        return self.canvas.mode

    def set_mode(self, mode: Mode | None) -> None:
        """Go to another mode, with an empty screen."""
        attribute = self.canvas.attribute
        self.canvas = Canvas(*self._text_size, mode=mode, font=self._font)
        self.canvas.attribute = attribute
        if self._log is not None:
            self._log.set_mode(mode)
        self._drawn()

    @property
    def size(self) -> tuple[int, int]:
        """Lines and columns."""
        return self.canvas.lines, self.canvas.columns

    @property
    def cursor(self) -> tuple[int, int]:
        """Line and column of the cursor."""
        return self.canvas.cursor

    @property
    def attribute(self) -> Attribute:
        """The colours that text is written in."""
        return self.canvas.attribute

    def set_attribute(self, attribute: Attribute) -> None:
        """Write in other colours from now on."""
        self.canvas.attribute = attribute

    def move(self, line: int, column: int) -> None:
        """Put the cursor somewhere."""
        self.canvas.move(line, column)

    def write(self, text: str) -> None:
        """Write at the cursor."""
        self.canvas.write(text)
        self._drawn()

    def show_cursor(self, visible: bool) -> None:
        """Show or hide the cursor of what is visible."""
        self.visible.show_cursor(visible)

    def fill(self, area: Area, character: str, attribute: Attribute) -> None:
        """Fill cells."""
        self.canvas.fill(area, character, attribute)
        self._drawn()

    def load_font(self, font: Glyphs) -> None:
        """Write with other glyphs."""
        self._font = font
        self.canvas.set_font(font)
        self._drawn()

    def draw_bar(self, box: Box, color: int) -> None:
        """Fill pixels."""
        self.canvas.draw_bar(box, color)
        self._drawn()

    def draw_window(self, window: Window) -> None:
        """Draw a window."""
        from .windows import draw_window  # noqa: PLC0415 - not needed without graphics

        draw_window(self.canvas, window)
        self._drawn()

    def draw_text(self, x: int, y: int, text: str, color: int) -> None:
        """Draw text on what is there."""
        self.canvas.draw_text(x, y, text, color)
        self._drawn()

    def draw_picture(self, picture: Picture, x: int, y: int, strategy: Strategy) -> None:
        """Draw a picture."""
        from .pictures import draw_picture  # noqa: PLC0415 - not needed without pictures

        draw_picture(self.canvas, picture, x, y, strategy)
        self._drawn()

    def log(self, text: str) -> None:
        """Add to the log view."""
        self._log_view().write(text)
        if self.log_visible:
            self._drawn()

    def prompt(self, text: str) -> None:
        """Show what is typed at a prompt."""
        self.log(text)

    def show_log(self, visible: bool) -> None:
        """Show the log, or the canvas again."""
        if visible != self.log_visible:
            self.log_visible = visible
            if not visible:
                self._log_view().close()
            self.visible.change_all()
            self.refresh()

    def show_progress(self, progress: Progress | None) -> None:
        """Show a window over the canvas, or take it away."""
        from .progress import Overlay  # noqa: PLC0415 - only during long work

        if self._overlay is not None and (progress is None or self._overlay.canvas is not self.canvas):
            self._overlay.close()
            self._overlay = None
        if progress is not None:
            if self._overlay is None:
                self._overlay = Overlay.open(self.canvas, progress)
            self._overlay.update(progress)
        self.refresh()

    def beep(self) -> None:
        """Make a sound."""
        self._output.beep()

    def refresh(self) -> None:
        """Show what was drawn, now."""
        changes = self.visible.take_changes()
        if changes:
            self._output.paint(self.visible, changes)
        self._next_frame = monotonic() + _FRAME_S

    def wait(self) -> None:
        """Show what was drawn: the script waits."""
        self.refresh()
        self._output.wait()

    def close(self) -> None:
        """The script is over."""
        try:
            self.wait()
        finally:
            self._output.close()

    def _drawn(self) -> None:
        if monotonic() >= self._next_frame:
            self.refresh()

    def _log_view(self) -> "LogView":
        if self._log is None:
            from .log_view import LogView  # noqa: PLC0415 - many runs never show the log

            self._log = LogView(self._text_size, self.mode)
        return self._log
