"""The keyboards of a machine: the one at its screen and the serial line, whichever somebody types on."""

import os
import select
from collections.abc import Iterable
from time import monotonic

from ..screen.keyboard import Key
from ..screen.stdin import PipeKeyboard
from ..screen.terminal_keyboard import TerminalKeyboard


class Keyboards:
    """Keys of several terminals, in the order in which they come. One that has gone is left out."""

    live = True

    def __init__(self, descriptors: Iterable[int]) -> None:
        self._members = {descriptor: TerminalKeyboard(descriptor) for descriptor in descriptors}
        self._shown: TerminalKeyboard | None = None     # whose key was looked at: it is the next one, whatever is pressed elsewhere

    @property
    def ended(self) -> bool:
        """Whether all of them have gone."""
        return all(member.ended for member in self._members.values())

    @property
    def typed_on(self) -> int | None:
        """The terminal of the key that `peek` has shown."""
        return next((descriptor for descriptor, member in self._members.items() if member is self._shown), None)

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key; waits for it at most that long, without end for None."""
        deadline = None if timeout_s is None else monotonic() + timeout_s
        while True:
            found = self._ready()
            if found is not None:
                return found.peek()
            left = None if deadline is None else deadline - monotonic()
            if self.ended or (left is not None and left <= 0):
                return None
            poll = select.poll()
            for descriptor, member in self._members.items():
                if not member.ended:
                    poll.register(descriptor, select.POLLIN)
            poll.poll(None if left is None else left * 1000)

    def take(self) -> Key | None:
        """Remove the next key, waiting for it; None when no key will come."""
        if self.peek(None) is None:
            return None
        found, self._shown = self._shown, None
        assert found is not None
        return found.take()

    def close(self) -> None:
        """Give the terminals back as they were."""
        for member in self._members.values():
            member.close()

    def _ready(self) -> TerminalKeyboard | None:
        """The first one with a key."""
        if self._shown is None:
            self._shown = next((member for member in self._members.values() if member.peek() is not None), None)
        return self._shown


def keyboard_of_consoles(descriptors: Iterable[int]) -> Keyboards | PipeKeyboard:
    """The keyboard of a machine with these consoles; standard input when none of them is a terminal."""
    terminals = [descriptor for descriptor in descriptors if os.isatty(descriptor)]
    return Keyboards(terminals) if terminals else PipeKeyboard(0)
