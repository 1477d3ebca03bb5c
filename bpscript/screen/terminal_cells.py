"""What a window of a terminal shows of a canvas: characters as such, pictures as half blocks.

    text mode    the canvas in the middle of the window; of a larger one that part which holds the cursor
    graphics     a window that is large enough has a cell for each cell of the canvas, 8 x 16 pixels; a smaller one a cell for more
                 pixels: pictures shrink, texts keep their characters and begin where they would

A half block is the character U+2580 in the colour of the upper half on that of the lower one; each is the mean of nine pixels.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from .canvas import Canvas
from .palette import Rgb
from .screen import CELL_HEIGHT, CELL_WIDTH, TRANSPARENT
from .terminal_colors import Depth, Styles

WindowCell = tuple[str, str]        # a character and its style
Row = list[WindowCell]

_MOST_STRETCH = 4 / 3               # how much wider than high a picture may become to fill a window of 80 x 24
_UPPER_HALF = "\u2580"
_THIRDS = (1 / 6, 3 / 6, 5 / 6)
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
    picture.place_texts(rows)
    yield from enumerate(rows, window.top)


class _Letter(NamedTuple):
    """A character in a picture: its pixel place and its colours."""

    y: int
    x: int
    character: str
    foreground: int
    background: int

    @property
    def is_aligned(self) -> bool:
        """Whether it is in a cell."""
        return not (self.x % CELL_WIDTH or self.y % CELL_HEIGHT)


class _Picture:
    """A canvas in a graphic mode: its pixels without characters, as half blocks, and the characters to put over them."""

    def __init__(self, canvas: Canvas, window: Window, styles: Styles) -> None:
        self._canvas = canvas
        self._window = window
        self._styles = styles
        self._pixels = bytearray(canvas.pixels())
        self._colors = canvas.palette.colors
        self._letters = sorted(self._taken_off())
        self._across = canvas.columns * CELL_WIDTH / window.width           # pixels for each cell of the window
        self._down = canvas.bands * CELL_HEIGHT / window.height
        self._xs = [min(canvas.width - 1, int((column + third) * self._across)) for column in range(window.width) for third in _THIRDS]
        self._means: dict[bytes, Rgb] = {}

    def row(self, line: int) -> Row:
        """A row of the window, without characters."""
        upper, lower = self._half(line), self._half(line + 0.5)
        if self._styles.depth is Depth.NONE:
            return [(_SHADES[min(4, (sum(above) + sum(below)) * 5 // 1530)], "") for above, below in zip(upper, lower, strict=True)]
        of = self._styles.of
        return [
            (" ", of(_BLACK, above)) if above == below else (_UPPER_HALF, of(above, below)) for above, below in zip(upper, lower, strict=True)
        ]

    def place_texts(self, rows: list[Row]) -> None:
        """Put the texts where they would begin, or on the nearest line with room; those that are in cells of the canvas come first."""
        taken: list[set[int]] = [set() for _ in rows]
        for text in sorted(self._texts(), key=lambda text: not text[0].is_aligned):
            width = (text[-1].x - text[0].x) // CELL_WIDTH + 1
            left = min(int(max(0, text[0].x) / self._across + 0.5), max(0, len(rows[0]) - width))
            wanted = min(len(rows) - 1, int(max(0, text[0].y) / self._down + 0.5))
            places = range(left - 1, left + width + 1)
            for line in (wanted, wanted + 1, wanted - 1):
                if 0 <= line < len(rows) and taken[line].isdisjoint(places):
                    taken[line].update(range(left, left + width))
                    self._put(rows[line], left, text)
                    break

    def _put(self, row: Row, left: int, text: list[_Letter]) -> None:
        column = left
        for number, letter in enumerate(text):
            style = self._styles.of(self._colors[letter.foreground], self._colors[letter.background])
            cells = [(letter.character, style)]
            if number and letter.x > text[number - 1].x + CELL_WIDTH:
                cells.insert(0, (" ", style))
            for cell in cells:
                if column < len(row):
                    row[column] = cell
                column += 1

    def _taken_off(self) -> Iterator[_Letter]:
        """All characters, and take them off the pixels: around the cells that they get in the window nothing is to be left of them."""
        canvas = self._canvas
        for (x, y), (character, color) in canvas.drawn.items():
            if ord(character) not in _DRAWN_CHARACTERS:
                background = self._behind(x, y, color)
                self._wipe(x, y, color, background)
                yield _Letter(y, x, character, color, background)
        for line in range(canvas.bands):
            for column, cell in enumerate(canvas.row(line)):
                if cell is not None and cell[0] != " " and cell[1].background != TRANSPARENT and ord(cell[0]) not in _DRAWN_CHARACTERS:
                    x, y = column * CELL_WIDTH, line * CELL_HEIGHT
                    self._wipe(x, y, cell[1].foreground, cell[1].background)
                    yield _Letter(y, x, cell[0], cell[1].foreground, cell[1].background)

    def _texts(self) -> Iterator[list[_Letter]]:
        """Letters that stand together on a line, with at most a blank between them."""
        text: list[_Letter] = []
        for letter in self._letters:
            if text and (letter.y != text[-1].y or not 0 < letter.x - text[-1].x <= 2 * CELL_WIDTH or (letter.x - text[-1].x) % CELL_WIDTH):
                yield text
                text = []
            text.append(letter)
        if text:
            yield text

    def _rows(self, x: int, y: int) -> Iterator[tuple[int, int]]:
        """Where the rows of pixels of a character begin and end."""
        left, right = max(0, x), min(self._canvas.width, x + CELL_WIDTH)
        for each in range(max(0, y), min(self._canvas.height, y + CELL_HEIGHT)):
            yield each * self._canvas.width + left, each * self._canvas.width + right

    def _behind(self, x: int, y: int, foreground: int) -> int:
        """The colour behind a character that was drawn on what was there: the most frequent one."""
        counted = Counter(b"".join(self._pixels[start:end] for start, end in self._rows(x, y)))
        return next((color for color, _ in counted.most_common() if color != foreground), foreground)

    def _wipe(self, x: int, y: int, foreground: int, background: int) -> None:
        old, new = bytes([foreground]), bytes([background])
        for start, end in self._rows(x, y):
            self._pixels[start:end] = self._pixels[start:end].replace(old, new)

    def _half(self, line: float) -> list[Rgb]:
        """The colours of the upper halves of a row; half a row further, of the lower ones."""
        width, last = self._canvas.width, self._canvas.height - 1
        samples = []
        for part in _THIRDS:
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
