"""Keys from a file descriptor: a terminal on which somebody types, or a pipe or file with keys that were written down.

On a terminal every key counts at once (no line editing, no echo by the terminal); `close` gives it back as it was.
"""

import codecs
import os
import select
from collections import deque
from time import monotonic
from typing import Any

from .keyboard import Key

_ESCAPE_S = 0.05        # a key that comes this soon after Escape was typed with Alt held


class DescriptorKeyboard:
    """Keys from an open descriptor, in UTF-8. Nothing is read, and a terminal not touched, before a key is asked for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._keys: deque[Key] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._saved: list[Any] | None = None
        self.ended = False
        self.live = os.isatty(descriptor)

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key; waits for it at most that long, without end for None."""
        if self.live and self._saved is None:
            self._take_terminal()
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while not self._keys and not self.ended:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not self._has_input(left):
                return None
            self._read()
        return self._keys[0] if self._keys else None

    def take(self) -> Key | None:
        """Remove the next key, waiting for it; None when no key will come."""
        self.peek(None)
        return self._keys.popleft() if self._keys else None

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is not None:
            import termios  # noqa: PLC0415

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
            self._saved = None

    def _take_terminal(self) -> None:
        import termios  # noqa: PLC0415 - only on a terminal
        import tty  # noqa: PLC0415

        self._saved = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor, termios.TCSADRAIN)     # Ctrl-C still interrupts

    def _has_input(self, timeout_s: float | None) -> bool:
        poll = select.poll()        # unlike select(2), whatever the number of the descriptor
        poll.register(self._descriptor, select.POLLIN | select.POLLHUP)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))

    def _read(self) -> None:
        data = os.read(self._descriptor, 4096)
        self.ended = not data
        text = self._decoder.decode(data, final=self.ended)
        if self.live and text == "\033" and self._has_input(_ESCAPE_S):
            text += self._decoder.decode(os.read(self._descriptor, 4096))
        position = 0
        while position < len(text):
            character = text[position]
            alt = self.live and character == "\033" and position + 1 < len(text)
            if alt:
                position += 1
                character = text[position]
            position += 1
            self._keys.append(Key({"\n": "\r", "\177": "\b"}.get(character, character), alt))
