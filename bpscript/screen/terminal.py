"""A terminal as output: a window with the canvas in it, in the alternate screen, so that what was there before comes back.

No curses: it looks up in a data base (which the boot environment does not have) what all terminals of today share, knows 256 pairs of
colours and no exact ones, and wants to own the keyboard too. We need nine sequences of ECMA-48, xterm and the VT100.

A terminal that was closed swallows what is written to it. One that reads slowly slows the painting down, and only that: what changed
in the meantime is painted in one go.
"""

import os
import select
from collections.abc import Mapping

from .canvas import Canvas, Span
from .terminal_cells import Window, window_rows
from .terminal_colors import Styles, depth_of
from .terminal_repaint import Shown, repaint

# Alternate screen, no wrapping at the right edge, pasted text in brackets, no cursor; and back.
_ENTER = "\033[?1049h\033[?7l\033[?2004h\033[?25l\033[0m\033[2J"
_LEAVE = "\033[r\033[0m\033[?7h\033[?2004l\033[?25h\033[?1049l"
_LEAVE_CONSOLE = "\033[r\033[0m\033[?7h\033[?25h\033[H\033[2J\033[?1049l"      # most Linux consoles have no alternate screen
_HIDE_CURSOR, _SHOW_CURSOR = "\033[?25l", "\033[?25h"
_FLICKERS = 200             # characters from which on the cursor would be seen running over the screen
_USUAL_SIZE = 24, 80        # lines and columns of a serial line, which does not tell


class TerminalOutput:
    """Paints on the terminal of a descriptor. It is taken with the first painting and given back by `close`."""

    def __init__(self, descriptor: int, environment: Mapping[str, str]) -> None:
        self._descriptor = descriptor
        self._environment = environment
        self._styles = Styles(depth_of(environment))
        self._canvas: Canvas | None = None
        self.is_suspended = False
        self._shown: Shown = []
        self._columns = 0
        self._window: Window | None = None
        self._cursor = ""           # what was sent to put it where it is
        self._is_open = False
        self._gone = False
        self._size_changed = False

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        """Show what changed. All cells are looked at, and those that look different are sent."""
        if self.is_suspended and canvas is self._canvas:
            return
        self.is_suspended = False
        self._canvas = canvas
        self._open()
        lines, columns = self._size()
        if (lines, columns) != (len(self._shown), self._columns) or self._size_changed:
            self._shown, self._columns, self._size_changed = [None] * lines, columns, False
        window = self._window = Window.place(canvas, lines, columns)
        black = (" ", self._styles.of(*[canvas.palette.colors[0]] * 2))
        wanted = [[black] * columns for _ in range(lines)]
        for line, row in window_rows(canvas, window, self._styles):
            wanted[line][window.left : window.left + window.width] = row
        text = repaint(self._shown, wanted)
        if text:
            self._cursor = self._cursor_sequence(window)
            self._write((_HIDE_CURSOR if len(text) > _FLICKERS else "") + text + self._cursor)

    def wait(self) -> None:
        """The script waits: put its cursor where it is."""
        if self._canvas is None or not self._is_open:
            return      # nothing was painted, or somebody else has the terminal
        window = Window.place(self._canvas, len(self._shown), self._columns)
        if window != self._window:      # a small one follows the cursor
            self.paint(self._canvas, [])
        cursor = self._cursor_sequence(window)
        if cursor != self._cursor:
            self._cursor = cursor
            self._write(cursor)

    def beep(self) -> None:
        """Ring."""
        self._write("\a")

    def resized(self, *, now: bool) -> None:
        """The window has another size: paint it anew, at once or with the next change."""
        self._size_changed = True
        if now and self._is_open and self._canvas is not None:
            self.paint(self._canvas, [])
            self.wait()

    def suspend(self) -> None:
        """Give the terminal to somebody else until another canvas than now is to be painted."""
        self.is_suspended = True
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        if self._is_open:
            self._is_open = False
            self._shown = []
            self._write(_LEAVE_CONSOLE if self._environment.get("TERM") == "linux" else _LEAVE)

    def _cursor_sequence(self, window: Window) -> str:
        """The cursor where the script's is; graphics have none."""
        assert self._canvas is not None
        if self._canvas.mode is not None:
            return _HIDE_CURSOR
        line, column = window.position(self._canvas)
        return f"\033[{line + 1};{column + 1}H{_SHOW_CURSOR}"

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._write(_ENTER)

    def _size(self) -> tuple[int, int]:
        """Lines and columns of the window, within reason."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            columns = lines = 0
        return min(lines or _USUAL_SIZE[0], 500), min(columns or _USUAL_SIZE[1], 1_000)

    def _write(self, text: str) -> None:
        data = memoryview(text.encode())
        while data and not self._gone:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:     # somebody made it non-blocking
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()
            except OSError:
                self._gone = True       # closed; the keyboard tells the script, or SIGHUP ends it
