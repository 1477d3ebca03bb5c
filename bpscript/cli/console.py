"""Screen, keyboard and log of `run` and `shell`: what people see of a script, and how they answer.

    none, png, ...     the log goes to standard output as it comes; keys come from standard input
    terminal           the screen is a window of the terminal; the log goes to its log view, and to standard output in the end
    a dumb terminal    what a script prints goes to the terminal line by line, between the lines of the log
"""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..base.errors import UsageError
from ..screen.outputs import open_screen
from ..screen.stdin import PipeKeyboard, keyboard_of

if TYPE_CHECKING:
    from ..screen.line_editor import LineEditor
    from ..screen.plain import PlainDisplay
    from ..screen.screen import Screen
    from ..screen.terminal import TerminalOutput
    from ..screen.terminal_keyboard import TerminalKeyboard

_MOST_IN_MEMORY = 8 << 20       # bytes of a log that waits for the end


class Console:
    """Standard output and input: the log as it comes."""

    owns_terminal = False       # no progress bar: the screen is there
    editor: "LineEditor | None" = None

    def __init__(self, screen: "Screen", keyboard: "TerminalKeyboard | PipeKeyboard | None") -> None:
        self.screen = screen
        self.keyboard = keyboard

    def open(self) -> None:
        """Take what is there already when the script begins; `close` gives it back."""

    def log(self, text: str) -> None:
        """Take log text."""
        sys.stdout.write(text.replace("\r\n", "\n").replace("\r", ""))
        sys.stdout.flush()

    def close(self) -> None:
        """Show the last picture, and give everything back."""
        try:
            self.screen.close()
        finally:
            if self.keyboard is not None:
                self.keyboard.close()


class PlainConsole(Console):
    """A dumb terminal: the log and what is printed take turns."""

    def __init__(self, screen: "PlainDisplay", keyboard: "TerminalKeyboard | PipeKeyboard | None") -> None:
        super().__init__(screen, keyboard)
        self._plain = screen

    def log(self, text: str) -> None:
        """Take log text."""
        self.end_line()
        super().log(text)

    def end_line(self) -> None:
        """Somebody else writes on the terminal now."""
        self._plain.end_line()


class TerminalConsole(Console):
    """A terminal: the log waits until the screen is closed."""

    owns_terminal = True

    def __init__(self, screen: "Screen", output: "TerminalOutput", keyboard: "TerminalKeyboard | PipeKeyboard | None", typing: "TerminalKeyboard | None") -> None:
        super().__init__(screen, keyboard)
        self._output = output
        self._typing = typing       # the keyboard of the terminal, also where the script's keys come from somewhere else
        from tempfile import SpooledTemporaryFile  # noqa: PLC0415 - costs every start milliseconds

        self._waiting = SpooledTemporaryFile(_MOST_IN_MEMORY, "w+", encoding="utf-8", newline="")  # noqa: SIM115 - closed below
        self._before: Any = None    # handler of SIGWINCH

    def open(self) -> None:
        """Take the terminal."""
        if self._typing is not None:
            self._typing.open()
        self._before = signal.signal(signal.SIGWINCH, self._resized)

    def log(self, text: str) -> None:
        """Keep log text, or show it while somebody sits at a prompt."""
        if self._output.is_suspended:
            super().log(text)
        else:
            self._waiting.write(text)

    def suspend(self) -> None:
        """Somebody sits at a prompt: the log is shown as it comes, until the script's screen is to be seen again."""
        if not self._output.is_suspended:
            self._output.suspend()
            self._print_log()

    def close(self) -> None:
        """Give the terminal back, then print the log."""
        try:
            super().close()
        finally:
            if self._typing is not None:
                self._typing.close()
            if self._before is not None:
                signal.signal(signal.SIGWINCH, self._before)
            try:
                self._print_log()
            except OSError as error:
                if error.errno != errno.EIO:    # the terminal has gone: the log is in --log-file, if anywhere
                    raise
            finally:
                self._waiting.close()

    def _print_log(self) -> None:
        """What waited for the terminal."""
        self._waiting.seek(0)
        while text := self._waiting.read(1 << 16):
            super().log(text)
        self._waiting.seek(0)
        self._waiting.truncate()

    def _resized(self, number: int, frame: object) -> None:
        # While a key is waited for nothing is half drawn.
        self._output.resized(now=self._typing is not None and self._typing.waiting)


@contextmanager
def open_console(mode: str, keys: str | None) -> Iterator[Console]:
    """The console of `--screen MODE`; keys come from standard input when `keys` is None. Raises UsageError."""
    with ExitStack() as stack:
        console = _terminal_console(keys, stack) if mode == "terminal" else Console(open_screen(mode), keyboard_of(0) if keys is None else None)
        stack.callback(console.close)
        console.open()
        yield console


@contextmanager
def open_shell_console(mode: str | None, keys: str | None) -> Iterator[Console]:
    """The console of `bpscript shell`: a terminal that is written on, with an editor for lines where there can be one. Raises UsageError."""
    if mode is not None or keys is not None or not (os.isatty(0) and os.isatty(1)):
        with open_console(mode or "none", keys) as console:
            yield console
        return
    from ..screen.plain import PlainDisplay  # noqa: PLC0415 - only on a terminal
    from ..screen.terminal_keyboard import TerminalKeyboard  # noqa: PLC0415

    keyboard = TerminalKeyboard(0)
    keyboard.open()         # what is typed while a command runs is not shown twice
    plain = PlainConsole(PlainDisplay(1), keyboard)
    plain.editor = _editor(plain.end_line, keyboard)
    try:
        yield plain
    finally:
        plain.close()


def is_usable() -> bool:
    """Whether standard input is a terminal that can show a screen."""
    return os.isatty(0) and os.environ.get("TERM", "dumb") not in {"", "dumb"}


def _editor(before: Callable[[], None], keyboard: "TerminalKeyboard") -> "LineEditor | None":
    """An editor of lines on standard input and output; None when they are no terminal, or prompt_toolkit is not installed."""
    from .line_editor import PromptEditor, is_available  # noqa: PLC0415 - only for terminals

    return PromptEditor(before, keyboard) if is_usable() and os.isatty(1) and is_available() else None


def _terminal_console(keys: str | None, stack: ExitStack) -> Console:
    from ..screen.display import Display  # noqa: PLC0415 - only on a terminal
    from ..screen.terminal_keyboard import TerminalKeyboard  # noqa: PLC0415

    descriptor = _terminal(stack)
    keyboard = keyboard_of(0) if keys is None else None
    typing = keyboard if isinstance(keyboard, TerminalKeyboard) else TerminalKeyboard(0) if os.isatty(0) else None
    if os.environ.get("TERM", "dumb") in {"", "dumb"}:
        from ..screen.plain import PlainDisplay  # noqa: PLC0415

        return PlainConsole(PlainDisplay(descriptor), keyboard)
    from ..screen.terminal import TerminalOutput  # noqa: PLC0415

    output = TerminalOutput(descriptor, os.environ)
    console = TerminalConsole(Display(output), output, keyboard, typing)
    if isinstance(keyboard, TerminalKeyboard):
        console.editor = _editor(console.suspend, keyboard)
    return console


def _terminal(stack: ExitStack) -> int:
    """A descriptor of the terminal to paint on: standard output, or where standard input comes from."""
    if os.isatty(1):
        return 1
    if os.isatty(0):
        with suppress(OSError):
            descriptor = os.open(os.ttyname(0), os.O_WRONLY | os.O_NOCTTY)
            stack.callback(os.close, descriptor)
            return descriptor
    raise UsageError("--screen terminal: neither standard output nor standard input is a terminal")
