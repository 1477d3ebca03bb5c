"""A terminal that can only be written on (TERM=dumb, a raw serial line): what a script prints, as it prints it."""

import os

from .display import Display
from .screen import Area, Attribute

_KEPT = frozenset("\r\n\b\t")


class PlainDisplay(Display):
    """A screen on such a terminal: text that is printed elsewhere begins a new line. The log is not a part of it, it goes there by itself."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(modes=())
        self._descriptor = descriptor
        self._column = 0            # on the terminal
        self._jumped = False

    def move(self, line: int, column: int) -> None:
        """Put the cursor somewhere."""
        super().move(line, column)
        self._jumped = True

    def write(self, text: str) -> None:
        """Write at the cursor."""
        super().write(text)
        self._print(text)

    def _print(self, text: str) -> None:
        text = "".join(character if character in _KEPT or character.isprintable() else "?" for character in text)
        if self._jumped and self._column:
            self._send("\r\n")
        self._jumped = False
        self._send(text)
        last = text.rpartition("\n")[2].rpartition("\r")[2]
        self._column = len(last) if "\n" in text or "\r" in text else self._column + len(last)

    def fill(self, area: Area, character: str, attribute: Attribute) -> None:
        """Nothing is seen of it but that the next text stands elsewhere."""
        super().fill(area, character, attribute)
        self._jumped = True

    def log(self, text: str) -> None:
        """The log is written by somebody else, after `end_line`."""

    def prompt(self, text: str) -> None:
        """Show what is typed at a prompt."""
        self._print(text)

    def show_log(self, visible: bool) -> None:
        """It is always visible."""

    def beep(self) -> None:
        """Ring."""
        self._send("\a")

    def close(self) -> None:
        """End the last line."""
        self.end_line()

    def end_line(self) -> None:
        """Somebody else writes now: end the line that was begun."""
        if self._column:
            self._column = 0
            self._send("\r\n")

    def _send(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "replace"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return      # closed; the keyboard tells the script
