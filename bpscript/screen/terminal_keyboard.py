"""Keys from a terminal on which somebody types: a window, a serial line, the Linux console.

Every key counts at once: no line editing and no echo by the terminal. Ctrl-C still interrupts; Ctrl-S, Ctrl-Q, Ctrl-V, Ctrl-Z and
Ctrl-\\ are keys like others, because they would stop or kill the program in the middle of its picture. `close` gives the terminal
back as it was.
"""

import os
import select
from time import monotonic
from typing import Any

from .key_decoder import KeyDecoder
from .keyboard import Key
from .linux_console import LinuxConsole

_ESCAPE_S = 0.05        # what comes this soon after Escape belongs to it
_CHUNK = 4096           # bytes


class TerminalKeyboard:
    """Keys from the descriptor of a terminal, in UTF-8. Nothing is read, and the terminal not touched, before a key is asked for."""

    live = True

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = KeyDecoder()
        self._saved: list[Any] | None = None
        self._console: LinuxConsole | None = None
        self._ended = False
        self.waiting = False            # for a key, right now: signal handlers may draw
        self._poll = select.poll()      # unlike select(2), whatever the number of the descriptor
        self._poll.register(descriptor, select.POLLIN)

    @property
    def ended(self) -> bool:
        """Whether the terminal has gone."""
        return self._ended and not self._decoder.keys

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key; waits for it at most that long, without end for None."""
        self.open()
        keys = self._decoder.keys
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while not keys and not self._ended:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if self._decoder.is_open:
                if not self._has_input(_ESCAPE_S):
                    self._decoder.pause()
                    continue
            elif not self._has_input(left):
                return None
            self._read()
        return keys[0] if keys else None

    def take(self) -> Key | None:
        """Remove the next key, waiting for it; None when no key will come."""
        return self._decoder.keys.popleft() if self.peek(None) is not None else None

    def typed_ahead(self) -> str:
        """Remove the characters that were read and not taken: for somebody else who reads the terminal now."""
        keys = self._decoder.keys
        text = "".join(key.character for key in keys if not key.alt)
        keys.clear()
        return text

    def give_back(self, text: str) -> None:
        """What somebody else has read and not used, as the terminal sent it."""
        self._decoder.feed(text.encode("utf-8", "replace"))

    def open(self) -> None:
        """Take the terminal: from now on typed characters are keys, and not shown by it."""
        if self._saved is not None or self._ended:
            return
        import termios  # noqa: PLC0415 - only on a terminal

        try:
            self._saved = termios.tcgetattr(self._descriptor)
            changed = [*self._saved[:6], list(self._saved[6])]
            changed[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP)
            changed[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            off = os.fpathconf(self._descriptor, "PC_VDISABLE")
            for key in (termios.VQUIT, termios.VSUSP):
                changed[6][key] = bytes([off & 0xFF])
            changed[6][termios.VMIN], changed[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._descriptor, termios.TCSANOW, changed)
        except (termios.error, OSError):
            self._ended = True      # it was closed under us
            self._saved = None
        else:
            self._console = LinuxConsole.take(self._descriptor)

    def close(self) -> None:
        """Give the terminal back as it was."""
        if self._saved is None:
            return
        import termios  # noqa: PLC0415

        saved, self._saved = self._saved, None
        if self._console is not None:
            self._console.give_back()
        try:
            # Not TCSADRAIN: a terminal that reads no more would keep us for ever.
            termios.tcsetattr(self._descriptor, termios.TCSANOW, saved)
        except (termios.error, OSError):
            self._ended = True      # gone, and its state with it

    def _has_input(self, timeout_s: float | None) -> bool:
        self.waiting = True
        try:
            return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))
        finally:
            self.waiting = False

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _CHUNK)
        except OSError:
            data = b""      # EIO: hung up
        if data:
            self._decoder.feed(data)
        else:
            self._ended = True
            self._decoder.end()
