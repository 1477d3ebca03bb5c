"""The log page by page (language.md 6, `$PauseLog`): in a boot environment nobody can scroll back."""

from ..machine.machine import Machine
from .keys import Keys
from .variables import Variables

_MORE = "-- more --"


class Pager:
    """Writes to the log view; where the machine wants it, waits for a key after each page that is visible."""

    def __init__(self, machine: Machine, keys: Keys, variables: Variables) -> None:
        self._screen = machine.screen
        self._keys = keys
        self._variables = variables
        self._pauses = machine.pauses_log
        self._lines = 0         # since the last key
        self._keys_taken = 0

    def write(self, text: str) -> None:
        """Add to the log view."""
        if not (self._pauses and self._screen.log_visible and self._keys.live and self._variables.is_on("PauseLog")):
            self._screen.log(text)
            self._lines = 0
            return
        lines, columns = self._screen.size
        for line in text.splitlines(keepends=True):
            if self._keys.taken != self._keys_taken:
                self._keys_taken, self._lines = self._keys.taken, 0     # who pressed a key has read what was there
            if self._lines >= lines - 1:
                self._pause()
            self._screen.log(line)
            self._lines += max(1, -(-len(line.rstrip("\r\n")) // columns)) if line.endswith("\n") else 0

    def _pause(self) -> None:
        self._screen.log(_MORE)
        self._keys.take()
        self._screen.log("\r" + " " * len(_MORE) + "\r")
        self._lines, self._keys_taken = 0, self._keys.taken
