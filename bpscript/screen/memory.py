"""A screen and a keyboard in memory: for `bpscript run` without a display, and for tests."""

from .keyboard import Key
from .screen import Area, Attribute


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


class MemoryScreen:
    """Cells of characters and attributes."""

    has_graphics = False

    def __init__(self, lines: int = 25, columns: int = 80) -> None:
        self._lines = lines
        self._columns = columns
        self.attribute = Attribute()
        self.cursor = (0, 0)
        self.log_visible = False
        self._cells = [[(" ", self.attribute)] * columns for _ in range(lines)]

    @property
    def size(self) -> tuple[int, int]:
        """Lines and columns."""
        return self._lines, self._columns

    def set_attribute(self, attribute: Attribute) -> None:
        """Write in other colours."""
        self.attribute = attribute

    def move(self, line: int, column: int) -> None:
        """Put the cursor somewhere on the screen."""
        self.cursor = min(max(line, 0), self._lines - 1), min(max(column, 0), self._columns - 1)

    def write(self, text: str) -> None:
        """Write at the cursor; the screen scrolls when its last line is full."""
        line, column = self.cursor
        for character in text:
            if character == "\r":
                column = 0
            elif character == "\n":
                line += 1
            elif character == "\b":
                column = max(0, column - 1)
            elif character.isprintable():
                if column == self._columns:
                    line, column = line + 1, 0
                    line = self._scrolled(line)
                self._cells[line][column] = (character, self.attribute)
                column += 1
            line = self._scrolled(line)
        self.cursor = line, column

    def fill(self, area: Area, character: str, attribute: Attribute) -> None:
        """Fill cells."""
        top, left = max(area.top, 0), max(area.left, 0)
        for line in self._cells[top : max(area.bottom, 0)]:
            width = len(line[left : max(area.right, 0)])
            line[left : left + width] = [(character, attribute)] * width
        self.move(area.top, area.left)

    def show_log(self, visible: bool) -> None:
        """Remember what is visible."""
        self.log_visible = visible

    def beep(self) -> None:
        """Nobody hears it."""

    def attribute_at(self, line: int, column: int) -> Attribute:
        """The colours of a cell."""
        return self._cells[line][column][1]

    def __str__(self) -> str:
        return "\n".join("".join(character for character, _ in line).rstrip() for line in self._cells).rstrip()

    def _scrolled(self, line: int) -> int:
        if line < self._lines:
            return line
        del self._cells[0]
        self._cells.append([(" ", self.attribute)] * self._columns)
        return self._lines - 1
