"""The Screen protocol: what a script shows. Character cells in every mode, and pixels with a palette in the graphic ones.

    commands ──> Screen ──> Canvas ──> Output      a terminal, the frame buffer, PNG files, or nothing (tests, `--screen none`)
                 (Display)  (cells, pixels)

Nobody above knows what is underneath. `Display` is the one Screen there is; outputs differ (see `display.py`).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

LIGHT_GRAY, BLACK = 7, 0
CELL_WIDTH, CELL_HEIGHT = 8, 16     # pixels
TRANSPARENT = -1                    # a background: what was there before stays


class Attribute(NamedTuple):
    """Colours of a character: 0 to 15, in pictures any of the palette; the background may be TRANSPARENT."""

    foreground: int = LIGHT_GRAY
    background: int = BLACK

    @classmethod
    def from_number(cls, number: int) -> "Attribute":
        """From 16 * background + foreground, 0 to 255."""
        return cls(number % 16, number // 16)


class Area(NamedTuple):
    """Cells of a screen, counted from 0; the ends are not part of it."""

    top: int
    left: int
    bottom: int
    right: int


class Box(NamedTuple):
    """Pixels of a screen, counted from the upper left corner; they may lie outside of it."""

    x: int
    y: int
    width: int
    height: int


class Mode(NamedTuple):
    """A graphic mode, in pixels."""

    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """From "800x600". Raises ValueError."""
        width, _, height = text.lower().partition("x")
        return cls(int(width), int(height))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


MODES = (Mode(800, 600), Mode(640, 480), Mode(1024, 768), Mode(1280, 1024))     # the first is used by default


class Strategy(StrEnum):
    """What a new picture does when the palette has no room for its colours (see `palette.py`)."""

    BEST = "Best-Colors"
    SPARE = "Spare-Colors"
    SHARE = "Share-Colors"
    REUSE = "Reuse-Colors"


class Picture(NamedTuple):
    """A picture with at most 256 colours: a byte a pixel, line by line; `transparent` is the colour that is not drawn.

    It is drawn `left` and `top` pixels away from where its place is said to be.
    """

    width: int
    height: int
    pixels: bytes
    colors: tuple[tuple[int, int, int], ...]
    transparent: int | None = None
    left: int = 0
    top: int = 0


class Window(NamedTuple):
    """A window: where, its colours, and a title that may be empty."""

    box: Box
    background: int = LIGHT_GRAY
    bar: int = 1
    title: str = ""
    title_color: int = 15


class Progress(NamedTuple):
    """How far long work is: bytes, `total` 0 when nobody knows; and where its window is to be."""

    task: str
    done: int
    total: int
    elapsed_s: float
    x: int
    y: int


class Glyphs(Protocol):
    """A font: what characters look like."""

    def __contains__(self, character: str) -> bool:
        """Whether it has a character."""
        ...

    def rows(self, character: str) -> bytes:
        """16 bytes, from top to bottom; the highest bit is the leftmost pixel."""
        ...


class Screen(Protocol):
    """What a script shows. Positions count from 0; what is outside the screen is clipped to its edge."""

    @property
    def modes(self) -> Sequence[Mode]:
        """The graphic modes that can be shown, the preferred one first; none when pictures cannot be drawn."""
        ...

    @property
    def mode(self) -> Mode | None:
        """The graphic mode; None in text mode."""
        ...

    def set_mode(self, mode: Mode | None) -> None:
        """Go to a graphic mode, or to text mode: the screen is empty then, and the palette as at the start."""
        ...

    # Text, in every mode

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

    def show_cursor(self, visible: bool) -> None:
        """Show or hide the cursor: it is shown while the script waits for text, and hidden before anything else is drawn."""
        ...

    def fill(self, area: Area, character: str, attribute: Attribute) -> None:
        """Fill cells, and put the cursor in their upper left corner."""
        ...

    def load_font(self, font: Glyphs) -> None:
        """Write with other glyphs; in text mode what is on the screen changes too."""
        ...

    # Pixels, only in a graphic mode

    def draw_bar(self, box: Box, color: int) -> None:
        """Fill pixels."""
        ...

    def draw_window(self, window: Window) -> None:
        """Draw a window."""
        ...

    def draw_text(self, x: int, y: int, text: str, color: int) -> None:
        """Draw text with its upper left corner there; what is behind it stays."""
        ...

    def draw_picture(self, picture: Picture, x: int, y: int, strategy: Strategy) -> None:
        """Draw a picture with its upper left corner there."""
        ...

    # The log, and showing it all

    def log(self, text: str) -> None:
        """Add to the log view, whether it is visible or not."""
        ...

    def prompt(self, text: str) -> None:
        """Show on the log view what is typed at a prompt, which is no part of the log."""
        ...

    @property
    def log_visible(self) -> bool:
        """Whether the log is shown instead of the screen."""
        ...

    def show_log(self, visible: bool) -> None:
        """Show the log instead of the screen, or the screen again."""
        ...

    def show_progress(self, progress: Progress | None) -> None:
        """Show how far work is in a window over the screen; None takes it away, and nothing else is drawn before that."""
        ...

    def beep(self) -> None:
        """Make a sound."""
        ...

    def refresh(self) -> None:
        """Show what was drawn, now: before something that may take long. Without it, it is shown soon after the next drawing."""
        ...

    def wait(self) -> None:
        """Show what was drawn: the script waits here for a key or for time to pass."""
        ...

    def close(self) -> None:
        """The script is over: show its last picture, and give back what was taken (a terminal, a file)."""
        ...
