"""A screen and a keyboard in memory: for `bpscript run` without a display, and for tests."""

from .display import Display
from .keyboard import Key
from .screen import MODES, Attribute


class ScriptedKeyboard:
    """Keys that were written down before: like a person who types only while the program waits. LF is the Return key, too."""

    live = False

    def __init__(self, text: str = "") -> None:
        self._keys = text.replace("\n", "\r")
        self._position = 0

    @property
    def ended(self) -> bool:
        """Whether all keys are used up."""
        return self._position >= len(self._keys)

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key; never waits, since no key can come later."""
        return None if self.ended else Key(self._keys[self._position])

    def take(self) -> Key | None:
        """Remove the next key."""
        key = self.peek()
        self._position += key is not None
        return key


class MemoryScreen(Display):
    """A screen that nobody sees; it prints itself as text."""

    def __init__(self, lines: int = 25, columns: int = 80, *, has_graphics: bool = False) -> None:
        super().__init__(modes=MODES if has_graphics else (), lines=lines, columns=columns)

    def attribute_at(self, line: int, column: int) -> Attribute:
        """The colours of a cell with a character."""
        cell = self.canvas.row(line)[column]
        assert cell is not None
        return cell[1]

    def __str__(self) -> str:
        return str(self.visible)
