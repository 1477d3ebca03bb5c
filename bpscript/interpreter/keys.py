"""Key presses as a script sees them: remapped, waited for in real time, with handlers (language.md 2.9, 8.3)."""

from ..base.clock import Clock
from ..screen.keyboard import Key, Keyboard
from ..screen.screen import Screen


class Keys:
    """The keyboard of a run."""

    def __init__(self, keyboard: Keyboard, screen: Screen, clock: Clock) -> None:
        self._keyboard = keyboard
        self._screen = screen
        self._clock = clock
        self._plain: dict[str, str] = {}
        self._alt: dict[str, str] = {}
        self.taken = 0          # how many keys were taken, by whoever

    @property
    def live(self) -> bool:
        """Whether somebody may press a key at any moment."""
        return self._keyboard.live

    def remap(self, pairs: dict[str, str], *, alt: bool = False) -> None:
        """Change the layout: all pairs act on the unmapped key, later ones win."""
        (self._alt if alt else self._plain).update(pairs)

    def peek(self) -> str | None:
        """The next key, which stays there; None if there is none now."""
        return self._mapped(self._keyboard.peek())

    def take(self, *, within_line: bool = False) -> str | None:
        """Remove the next key, and wait for it; None when no key will ever come. `within_line`: the script waits for more than one."""
        if within_line:
            self._screen.refresh()
        else:
            self._screen.wait()
        if self._keyboard.live:
            self._keyboard.peek(None)
        self.taken += 1
        return self._mapped(self._keyboard.take())

    def drop(self) -> None:
        """Remove the next key, which is there."""
        self.taken += 1
        self._keyboard.take()

    def wait(self, seconds: float) -> str | None:
        """The next key if it comes within that time; it stays there. Without one the whole time passes."""
        self._screen.wait()
        key = self._keyboard.peek(seconds)
        if key is None and self._keyboard.ended and seconds > 0:
            self._clock.sleep(seconds)
        return self._mapped(key)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._screen.wait()
        if seconds > 0:
            self._clock.sleep(seconds)

    def _mapped(self, key: Key | None) -> str | None:
        if key is None:
            return None
        if key.alt:
            return self._alt.get(key.character, key.character)
        return self._plain.get(key.character, key.character)
