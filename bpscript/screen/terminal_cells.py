"""What a window of a terminal shows of a canvas: characters as such, pictures as half blocks.

    text mode    the canvas in the middle of the window; of a larger one that part which holds the cursor
    graphics     a window that is large enough has a cell for each cell of the canvas, 8 x 16 pixels; a smaller one a cell for more
                 pixels: pictures shrink, texts keep their characters and begin where they would

A half block is the character U+2580 in the colour of the upper half on that of the lower one; each is the mean of nine pixels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .canvas import Canvas, Cell
from .palette import Rgb
from .screen import CELL_HEIGHT, CELL_WIDTH, TRANSPARENT, Attribute
from .terminal_colors import Depth, Styles

WindowCell = tuple[str, str]        # a character and its style
Row = list[WindowCell]

_MOST_STRETCH = 4 / 3               # how much wider than high a picture may become to fill a window of 80 x 24
_UPPER_HALF, _FULL = "\u2580", "\u2588"
_SHADES = " \u2591\u2592\u2593\u2588"
_BLACK = (0, 0, 0)
_DRAWN_CHARACTERS = range(0x2500, 0x25A0)       # frames, blocks and shades: part of the picture when it shrinks


class Window(NamedTuple):
    """Where the canvas lies: `height` x `width` cells at `top`, `left`, beginning with the canvas's `first_line`, `first_column`."""

    top: int
    left: int
    height: int
    width: int
    first_line: int = 0
    first_column: int = 0

    @classmethod
    def place(cls, canvas: Canvas, lines: int, columns: int) -> "Window":
        """For a window of so many lines and columns."""
        if canvas.mode is None:
            height, width = min(lines, canvas.lines), min(columns, canvas.columns)
            line, column = canvas.cursor
            first_line = max(0, min(line, canvas.lines - 1) - height + 1)
            first_column = max(0, min(column, canvas.columns - 1) - width + 1)
        else:
            first_line = first_column = 0
            across, down = min(1.0, columns / canvas.columns), min(1.0, lines / canvas.bands)
            across, down = min(across, down * _MOST_STRETCH), min(down, across * _MOST_STRETCH)
            height, width = max(1, round(canvas.bands * down)), max(1, round(canvas.columns * across))
        return cls((lines - height) // 2, (columns - width) // 2, height, width, first_line, first_column)

    def position(self, canvas: Canvas) -> tuple[int, int]:
        """Where the cursor of a text screen is in the window."""
        line, column = canvas.cursor
        return self.top + line - self.first_line, self.left + min(column, canvas.columns - 1) - self.first_column


def window_rows(canvas: Canvas, window: Window, styles: Styles) -> Iterator[tuple[int, Row]]:
    """The rows of the window that the canvas covers, by their number in the window."""
    colors = canvas.palette.colors
    if canvas.mode is None:
        columns = slice(window.first_column, window.first_column + window.width)
        for line in range(window.height):
            cells = canvas.row(window.first_line + line)[columns]
            yield window.top + line, [
                (cell[0], styles.of(colors[cell[1].foreground], colors[cell[1].background])) if cell is not None else (" ", "") for cell in cells
            ]
        return
    picture = _Picture(canvas, window, styles)
    rows = [picture.row(line) for line in range(window.height)]
    if window.height == canvas.bands and window.width == canvas.columns:
        for line, row in enumerate(rows):
            for column, cell in enumerate(canvas.row(line)):
                if cell is not None:
                    row[column] = picture.letter(cell, line, column)
    else:
        _place_texts(canvas, window, picture, rows)
    yield from enumerate(rows, window.top)


class _Picture:
    """The pixels of a canvas as half blocks."""

    def __init__(self, canvas: Canvas, window: Window, styles: Styles) -> None:
        self._canvas = canvas
        self._styles = styles
        self._pixels = canvas.pixels()
        self._colors = canvas.palette.colors
        self._across = canvas.columns * CELL_WIDTH / window.width           # pixels for each cell of the window
        self._down = canvas.bands * CELL_HEIGHT / window.height
        thirds = (1 / 6, 3 / 6, 5 / 6)
        self._xs = [min(canvas.width - 1, int((column + third) * self._across)) for column in range(window.width) for third in thirds]
        self._ys = thirds
        self._means: dict[bytes, Rgb] = {}

    def row(self, line: int) -> Row:
        """A row of the window."""
        upper, lower = self._half(line), self._half(line + 0.5)
        if self._styles.depth is Depth.NONE:
            return [(_SHADES[min(4, (sum(above) + sum(below)) * 5 // 1530)], "") for above, below in zip(upper, lower, strict=True)]
        of = self._styles.of
        return [
            (" ", of(_BLACK, above)) if above == below else (_UPPER_HALF, of(above, below)) for above, below in zip(upper, lower, strict=True)
        ]

    def letter(self, cell: tuple[str, Attribute], line: int, column: int) -> WindowCell:
        """A cell of the canvas as a cell of the window."""
        character, attribute = cell
        foreground, background = attribute.foreground, attribute.background
        if background == TRANSPARENT:
            background = self._behind(line, column, foreground)
        return character, self._styles.of(self._colors[foreground], self._colors[background])

    def _behind(self, line: int, column: int, foreground: int) -> int:
        """The colour behind a character that was drawn on what was there."""
        width, height, left = self._canvas.width, self._canvas.height, column * CELL_WIDTH
        rows = range(line * CELL_HEIGHT, min((line + 1) * CELL_HEIGHT, height))
        counted = Counter(b"".join(self._pixels[y * width + left : y * width + left + CELL_WIDTH] for y in rows))
        return next((color for color, _ in counted.most_common() if color != foreground), foreground)

    def _half(self, line: float) -> list[Rgb]:
        """The colours of the upper halves of a row; half a row further, of the lower ones."""
        width, last = self._canvas.width, self._canvas.height - 1
        samples = []
        for part in self._ys:
            start = min(last, int((line + part / 2) * self._down)) * width
            samples.append(bytes(map(self._pixels[start : start + width].__getitem__, self._xs)))
        one, two, three = samples
        return [self._mean(one[at : at + 3] + two[at : at + 3] + three[at : at + 3]) for at in range(0, len(one), 3)]

    def _mean(self, samples: bytes) -> Rgb:
        found = self._means.get(samples)
        if found is None:
            picked = [self._colors[number] for number in samples]
            red, green, blue = (sum(part) // len(picked) for part in zip(*picked, strict=True))
            found = self._means[samples] = (red, green, blue)
        return found


def _place_texts(canvas: Canvas, window: Window, picture: _Picture, rows: list[Row]) -> None:
    """Put the texts of a canvas into a window that is smaller: where they would begin, or on the nearest line with room."""
    taken: list[set[int]] = [set() for _ in rows]
    for line in range(canvas.bands):
        for column, text in _texts(canvas.row(line)):
            cells = [picture.letter(cell, line, at) for at, cell in enumerate(text, column)]
            left = min(round(column * window.width / canvas.columns), max(0, window.width - len(cells)))
            cells = cells[: window.width - left]
            wanted = min(len(rows) - 1, round(line * window.height / canvas.bands))
            places = range(left - 1, left + len(cells) + 1)
            for at in (wanted, wanted + 1, wanted - 1):
                if 0 <= at < len(rows) and taken[at].isdisjoint(places):
                    rows[at][left : left + len(cells)] = cells
                    taken[at].update(range(left, left + len(cells)))
                    break


def _texts(row: Sequence[Cell]) -> Iterator[tuple[int, list[tuple[str, Attribute]]]]:
    """Words of a line that stand together, with the column where they begin."""
    text: list[tuple[str, Attribute]] = []
    start = blanks = 0
    for column, cell in enumerate((*row, None)):
        is_letter = cell is not None and not cell[0].isspace() and ord(cell[0]) not in _DRAWN_CHARACTERS
        if is_letter:
            assert cell is not None
            if not text:
                start = column
            text.append(cell)
            blanks = 0
        elif text and cell is not None and cell[0] == " " and not blanks:
            text.append(cell)
            blanks = 1
        elif text:
            yield start, text[: len(text) - blanks]
            text, blanks = [], 0
