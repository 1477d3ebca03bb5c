"""Keys from standard input or another descriptor: a terminal on which somebody types, or a pipe or file with keys written down."""

import codecs
import os
import select
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .keyboard import Key

if TYPE_CHECKING:
    from .terminal_keyboard import TerminalKeyboard


class PipeKeyboard:
    """Keys that a pipe or file holds, in UTF-8, literally. Nothing is read before a key is asked for."""

    live = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._keys: deque[Key] = deque()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._ended = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN | select.POLLHUP)

    @property
    def ended(self) -> bool:
        """Whether all keys are used up."""
        return self._ended and not self._keys

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key; waits for it at most that long, without end for None."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while not self._keys and not self._ended:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not self._poll.poll(None if left is None else left * 1000):
                return None
            data = os.read(self._descriptor, 4096)
            self._ended = not data
            text = self._decoder.decode(data, final=self._ended)
            self._keys.extend(Key({"\n": "\r", "\177": "\b"}.get(character, character)) for character in text)
        return self._keys[0] if self._keys else None

    def take(self) -> Key | None:
        """Remove the next key, waiting for it; None when no key will come."""
        return self._keys.popleft() if self.peek(None) is not None else None

    def close(self) -> None:
        """Nothing was changed."""


def keyboard_of(descriptor: int) -> "TerminalKeyboard | PipeKeyboard":
    """The keyboard behind a descriptor. `close` it in the end."""
    if not os.isatty(descriptor):
        return PipeKeyboard(descriptor)
    from .terminal_keyboard import TerminalKeyboard  # noqa: PLC0415 - only on a terminal

    return TerminalKeyboard(descriptor)
