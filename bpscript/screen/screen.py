"""The Screen protocol: character cells with attributes. Pictures are drawn by those screens that can."""

from dataclasses import dataclass
from typing import Protocol

LIGHT_GRAY, BLACK = 7, 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """Colours of a character, 0 to 15."""

    foreground: int = LIGHT_GRAY
    background: int = BLACK

    @classmethod
    def from_number(cls, number: int) -> "Attribute":
        """From 16 * background + foreground, 0 to 255."""
        return cls(number % 16, number // 16)


@dataclass(frozen=True, slots=True)
class Area:
    """Cells of a screen, counted from 0; the ends are not part of it."""

    top: int
    left: int
    bottom: int
    right: int


class Screen(Protocol):
    """What a script shows. Positions count from 0; what is outside the screen is clipped to its edge."""

    @property
    def has_graphics(self) -> bool:
        """Whether pictures can be drawn."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Lines and columns."""
        ...

    @property
    def cursor(self) -> tuple[int, int]:
        """Line and column of the cursor."""
        ...

    @property
    def attribute(self) -> Attribute:
        """The colours that text is written in."""
        ...

    def set_attribute(self, attribute: Attribute) -> None:
        """Write in other colours from now on."""
        ...

    def move(self, line: int, column: int) -> None:
        """Put the cursor somewhere."""
        ...

    def write(self, text: str) -> None:
        """Write at the cursor and move it; CR and LF move it to the left edge and one line down, BS one to the left."""
        ...

    def fill(self, area: Area, character: str, attribute: Attribute) -> None:
        """Fill cells, and put the cursor in their upper left corner."""
        ...

    def show_log(self, visible: bool) -> None:
        """Show the log instead of the screen, or the screen again."""
        ...

    def beep(self) -> None:
        """Make a sound."""
        ...
