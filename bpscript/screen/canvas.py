"""The canvas: what is on the screen, in cells and in pixels. Every output shows this one model.

    text mode       25 x 80 cells; pixels are made of them when somebody asks (8 x 16 each)
    graphic modes   a byte a pixel, a number of the palette; cells lie over them, 8 x 16 pixels each

A cell holds the character that was written there last, or None once something else was drawn over it: a terminal shows
characters as such and the rest as coloured blocks. Text on a transparent background (DrawText) is in the cell that
it covers most of, with the background TRANSPARENT, and in `drawn` with its place to the pixel.

When the height is no multiple of 16, a last band of cells is cut off by the edge: it can be filled but not written to.

Changes are kept as one span of cells for each line, which costs next to nothing; `take_changes` hands them out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from .font import CONTROL_CHARACTERS, UNKNOWN, built_in_font
from .palette import Palette
from .screen import CELL_HEIGHT, CELL_WIDTH, TRANSPARENT, Area, Attribute, Box, Glyphs, Mode

Cell = tuple[str, Attribute] | None

_TAB = 8            # columns
_CURSOR_HEIGHT = 2  # pixels, above the lowest one
_EMPTY = Attribute()
_ACTING = "\a\b\t\n\v\r"      # are no characters here: the bell and the vertical tab do nothing
_CONTROL = re.compile(f"([{_ACTING}])")
_MOST_GLYPHS = 4_096    # characters in their colours that are kept ready


class Span(NamedTuple):
    """Cells of one line that changed: columns `left` to before `right`."""

    line: int
    left: int
    right: int


class Saved(NamedTuple):
    """What was in an area, to be put back."""

    area: Area
    cells: list[list[Cell]]
    pixels: list[bytes]
    drawn: dict[tuple[int, int], tuple[str, int]]


class Canvas:
    """Cells, pixels and a palette."""

    def __init__(self, lines: int = 25, columns: int = 80, *, mode: Mode | None = None, font: Glyphs | None = None) -> None:
        if mode is not None:
            lines, columns = mode.height // CELL_HEIGHT, mode.width // CELL_WIDTH
        self.mode = mode
        self.lines, self.columns = lines, columns
        self.width, self.height = mode or Mode(columns * CELL_WIDTH, lines * CELL_HEIGHT)
        self.palette = Palette()
        self.attribute = _EMPTY
        self.cursor = (0, 0)
        self.cursor_visible = False
        self.bands = -(-self.height // CELL_HEIGHT)
        self.drawn: dict[tuple[int, int], tuple[str, int]] = {}     # x and y: a character that was drawn there, and its colour
        self._font = font
        self._cells: list[list[Cell]] = [[(" ", _EMPTY)] * columns for _ in range(self.bands)]
        self._pixels = None if mode is None else bytearray(self.width * self.height)
        self._stale: set[int] = set()           # lines of a text screen whose pixels are not made yet
        self._glyphs: dict[tuple[str, Attribute], list[bytes]] = {}
        self._masks: dict[str, bytes] = {}
        self._under_cursor: list[bytes] = []
        self._left = [0] * self.bands           # of what changed in each line
        self._right = [columns] * self.bands

    # Looking at it -----------------------------------------------------------------------------------------------------

    def row(self, line: int) -> Sequence[Cell]:
        """The cells of a line (of `bands`); None where a picture is."""
        return self._cells[line]

    def pixels(self) -> bytearray:
        """All pixels, line by line; they change with the canvas and are not to be written to."""
        if self._pixels is None:
            self._pixels = bytearray(self.width * self.height)
            self._stale.update(range(self.bands))
            if self.cursor_visible:
                self._draw_cursor()
        while self._stale:
            self._paint(self._stale.pop(), 0, self.columns)
        return self._pixels

    def take_changes(self) -> list[Span]:
        """What changed since this was asked last, from top to bottom."""
        changes = [Span(line, left, right) for line, (left, right) in enumerate(zip(self._left, self._right, strict=True)) if left < right]
        self._left = [self.columns] * self.bands
        self._right = [0] * self.bands
        return changes

    def change_all(self) -> None:
        """Say that everything changed."""
        self._mark(0, self.bands, 0, self.columns)

    def __str__(self) -> str:
        lines = ("".join(" " if cell is None else cell[0] for cell in line).rstrip() for line in self._cells[: self.lines])
        return "\n".join(lines).rstrip()

    # Text --------------------------------------------------------------------------------------------------------------

    def set_font(self, font: Glyphs) -> None:
        """Write with other glyphs; in text mode all cells change."""
        self._font = font
        self._glyphs.clear()
        self._masks.clear()
        if self.mode is None:
            self._pixels = None
            self.change_all()

    def move(self, line: int, column: int) -> None:
        """Put the cursor somewhere on the screen."""
        self.cursor = min(max(line, 0), self.lines - 1), min(max(column, 0), self.columns - 1)

    def show_cursor(self, visible: bool) -> None:
        """Show where typed text will appear; it must be hidden again before anything is drawn."""
        if visible != self.cursor_visible:
            self.cursor_visible = visible
            if self._pixels is not None:
                self._draw_cursor() if visible else self._take_cursor_away()
            line, column = self.cursor
            column = min(column, self.columns - 1)
            self._mark(line, line + 1, column, column + 1)

    def write(self, text: str) -> None:
        """Write at the cursor; the screen scrolls when its last line is full."""
        line, column = self.cursor
        for piece in _CONTROL.split(text):
            if piece in _ACTING:
                if piece == "\r":
                    column = 0
                elif piece == "\n":
                    line += 1
                elif piece == "\b":
                    column = max(0, column - 1)
                elif piece == "\t":
                    column = min((column // _TAB + 1) * _TAB, self.columns - 1)
                line = self._scrolled(line)
                continue
            shown, done = self._printable(piece), 0
            while done < len(shown):
                if column == self.columns:
                    line, column = self._scrolled(line + 1), 0
                part = shown[done : done + self.columns - column]
                self._put(line, column, part)
                column += len(part)
                done += len(part)
        self.cursor = line, column

    def fill(self, area: Area, character: str, attribute: Attribute) -> None:
        """Fill cells, and put the cursor in their upper left corner."""
        character = self._printable(character) or " "
        top, left = max(area.top, 0), max(area.left, 0)
        bottom = self.bands if area.bottom >= self.lines else area.bottom
        right = min(area.right, self.columns)
        if left < right:
            for line in range(top, bottom):
                self._cells[line][left:right] = [(character, attribute)] * (right - left)
                self._change(line, left, right)
            self._mark(top, bottom, left, right)
        self.move(area.top, area.left)

    def _put(self, line: int, column: int, text: str) -> None:
        end = column + len(text)
        self._cells[line][column:end] = [(character, self.attribute) for character in text]
        self._left[line] = min(self._left[line], column)
        self._right[line] = max(self._right[line], end)
        self._change(line, column, end)

    def _scrolled(self, line: int) -> int:
        if line < self.lines:
            return line
        del self._cells[0]
        self._cells.insert(self.lines - 1, [(" ", self.attribute)] * self.columns)
        if self.mode is None:
            self._stale.update(range(self.lines))
        else:
            pixels, band, end = self.pixels(), CELL_HEIGHT * self.width, self.lines * CELL_HEIGHT * self.width
            pixels[: end - band] = pixels[band:end]
            self.drawn = {(x, y - CELL_HEIGHT): letter for (x, y), letter in self.drawn.items() if y >= CELL_HEIGHT}
            self._paint(self.lines - 1, 0, self.columns)
        self._mark(0, self.lines, 0, self.columns)
        return self.lines - 1

    # Pixels ------------------------------------------------------------------------------------------------------------

    def draw_bar(self, box: Box, color: int) -> None:
        """Fill pixels."""
        left, top, right, bottom = self._clip(box)
        if left >= right or top >= bottom:
            return
        pixels, row = self.pixels(), bytes([color]) * (right - left)
        for start in range(top * self.width + left, bottom * self.width + left, self.width):
            pixels[start : start + len(row)] = row
        self._cover(left, top, right, bottom)

    def draw_text(self, x: int, y: int, text: str, color: int) -> None:
        """Draw text on what is there; what is outside the screen is cut off."""
        text = self._printable(text)
        first = max(0, -x // CELL_WIDTH)        # whole characters outside are not even looked at
        text, x = text[first : first + self.columns + 2], x + first * CELL_WIDTH
        masks = [self._mask(character) for character in text]
        rows = [b"".join(mask[at : at + CELL_WIDTH] for mask in masks) for at in range(0, CELL_WIDTH * CELL_HEIGHT, CELL_WIDTH)]
        box = Box(x, y, CELL_WIDTH * len(text), CELL_HEIGHT)
        self.draw_rows(box, [bytes([color]) * box.width] * CELL_HEIGHT, rows)
        self._note_text(box, text, color)

    def draw_rows(self, box: Box, rows: Sequence[bytes], masks: Sequence[bytes] | None = None) -> None:
        """Put rows of pixels into a box: all of them, or those where a mask has 255 and not 0."""
        left, top, right, bottom = self._clip(box)
        if left >= right or top >= bottom:
            return
        pixels, cut = self.pixels(), slice(left - box.x, right - box.x)
        for y in range(top, bottom):
            start, end = y * self.width + left, y * self.width + right
            row = rows[y - box.y][cut]
            if masks is not None:
                mask = int.from_bytes(masks[y - box.y][cut], "little")
                before = int.from_bytes(pixels[start:end], "little")
                row = (before ^ (before ^ int.from_bytes(row, "little")) & mask).to_bytes(end - start, "little")
            pixels[start:end] = row
        self._cover(left, top, right, bottom)

    def change_colors(self, box: Box, change: Callable[[int], int]) -> None:
        """Replace the colours in a box by what a function makes of each; characters there stay characters."""
        left, top, right, bottom = self._clip(box)
        if left >= right or top >= bottom:
            return
        pixels, length = self.pixels(), right - left
        starts = range(top * self.width + left, bottom * self.width + left, self.width)
        table = bytearray(256)
        for number in set().union(*(pixels[start : start + length] for start in starts)):
            table[number] = change(number)
        for start in starts:
            pixels[start : start + length] = pixels[start : start + length].translate(table)
        for at in self._drawn_in(left, top, right, bottom):
            self.drawn[at] = self.drawn[at][0], change(self.drawn[at][1])
        self._mark(top // CELL_HEIGHT, -(-bottom // CELL_HEIGHT), left // CELL_WIDTH, -(-right // CELL_WIDTH))

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Colours of the palette got other numbers: change all pixels and characters that have them."""
        if numbers:
            pixels, table = self.pixels(), bytes(numbers.get(number, number) for number in range(256))
            pixels[:] = pixels.translate(table)
            for row in self._cells:
                row[:] = [cell if cell is None else (cell[0], _renumbered(cell[1], table)) for cell in row]
            self.drawn = {at: (character, table[color]) for at, (character, color) in self.drawn.items()}
            self._glyphs.clear()
            self.change_all()

    def used_colors(self, without: Box) -> Counter[int]:
        """How many pixels have each colour, apart from those in a box."""
        left, top, right, bottom = self._clip(without)
        pixels, width = self.pixels(), self.width
        if left < right and top < bottom:
            sides = [
                pixels[start : start + length]
                for y in range(top, bottom)
                for start, length in ((y * width, left), (y * width + right, width - right))
            ]
            pixels = pixels[: top * width] + b"".join(sides) + pixels[bottom * width :]
        return Counter(pixels)

    def save(self, area: Area) -> Saved:
        """Remember an area."""
        area = Area(max(area.top, 0), max(area.left, 0), min(area.bottom, self.bands), min(area.right, self.columns))
        cells = [self._cells[line][area.left : area.right] for line in range(area.top, area.bottom)]
        rows = [] if self.mode is None else [bytes(self.pixels()[start:end]) for start, end in self._rows_of(area)]
        return Saved(area, cells, rows, dict(self.drawn))

    def restore(self, saved: Saved) -> None:
        """Put back what was there."""
        area = saved.area
        self.drawn = dict(saved.drawn)
        for line, cells in enumerate(saved.cells, area.top):
            self._cells[line][area.left : area.right] = cells
        if self.mode is None:
            self._stale.update(range(area.top, area.bottom))
        else:
            pixels = self.pixels()
            for (start, end), row in zip(self._rows_of(area), saved.pixels, strict=True):
                pixels[start:end] = row
        self._mark(area.top, area.bottom, area.left, area.right)

    def _draw_cursor(self) -> None:
        pixels = self.pixels()
        for start, end in self._cursor_rows():
            self._under_cursor.append(bytes(pixels[start:end]))
            pixels[start:end] = bytes([self.attribute.foreground]) * CELL_WIDTH

    def _take_cursor_away(self) -> None:
        pixels = self.pixels()
        for (start, end), row in zip(self._cursor_rows(), self._under_cursor, strict=True):
            pixels[start:end] = row
        self._under_cursor.clear()

    def _cursor_rows(self) -> list[tuple[int, int]]:
        """Where the rows of pixels of the cursor begin and end: it lies under a character."""
        line, column = self.cursor
        column = min(column, self.columns - 1)
        return list(self._rows_of(Area(line, column, line + 1, column + 1)))[-_CURSOR_HEIGHT - 1 : -1]

    # Inside ------------------------------------------------------------------------------------------------------------

    def _printable(self, text: str) -> str:
        """One character for each cell: those of a PC for control codes, a question mark for what the font does not have."""
        if text.isascii() and text.isprintable():
            return text
        font = self._known_font()
        shown = (CONTROL_CHARACTERS.get(ord(character), character) for character in text)
        return "".join(character if character in font else UNKNOWN for character in shown if character.isprintable())

    def _rows_of(self, area: Area) -> Iterable[tuple[int, int]]:
        """Where the rows of pixels of an area begin and end."""
        left, right = area.left * CELL_WIDTH, area.right * CELL_WIDTH
        for y in range(area.top * CELL_HEIGHT, min(area.bottom * CELL_HEIGHT, self.height)):
            yield y * self.width + left, y * self.width + right

    def _clip(self, box: Box) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what is on the screen."""
        return max(box.x, 0), max(box.y, 0), min(box.x + box.width, self.width), min(box.y + box.height, self.height)

    def _mark(self, top: int, bottom: int, left: int, right: int) -> None:
        """Cells changed."""
        for line in range(top, bottom):
            self._left[line] = min(self._left[line], left)
            self._right[line] = max(self._right[line], right)

    def _cover(self, left: int, top: int, right: int, bottom: int) -> None:
        """Something was drawn over these pixels: cells there are no characters any more."""
        first, last = left // CELL_WIDTH, -(-right // CELL_WIDTH)
        lines = range(top // CELL_HEIGHT, -(-bottom // CELL_HEIGHT))
        for line in lines:
            self._cells[line][first:last] = [None] * (last - first)
        self._forget_drawn(left, top, right, bottom)
        self._mark(lines.start, lines.stop, first, last)

    def _drawn_in(self, left: int, top: int, right: int, bottom: int) -> list[tuple[int, int]]:
        """Characters whose middle is there."""
        half_width, half_height = CELL_WIDTH // 2, CELL_HEIGHT // 2
        return [(x, y) for x, y in self.drawn if left <= x + half_width < right and top <= y + half_height < bottom]

    def _forget_drawn(self, left: int, top: int, right: int, bottom: int) -> None:
        for at in self._drawn_in(left, top, right, bottom):
            del self.drawn[at]

    def _note_text(self, box: Box, text: str, color: int) -> None:
        """Remember drawn text, and in the cells that it covers most of."""
        for x, character in zip(range(box.x, box.x + box.width, CELL_WIDTH), text, strict=True):
            if character != " " and -CELL_WIDTH < x < self.width and -CELL_HEIGHT < box.y < self.height:
                self.drawn[x, box.y] = character, color
        line, column = (box.y + CELL_HEIGHT // 2) // CELL_HEIGHT, (box.x + CELL_WIDTH // 2) // CELL_WIDTH
        if 0 <= line < self.bands:
            attribute = Attribute(color, TRANSPARENT)
            for at, character in enumerate(text, column):
                if 0 <= at < self.columns:
                    self._cells[line][at] = (character, attribute)

    def _change(self, line: int, left: int, right: int) -> None:
        """Other characters are there: their pixels are made now, or on a text screen when somebody asks for them."""
        if self.mode is None:
            self._stale.add(line)
        else:
            self._forget_drawn(left * CELL_WIDTH, line * CELL_HEIGHT, right * CELL_WIDTH, (line + 1) * CELL_HEIGHT)
            self._paint(line, left, right)

    def _paint(self, line: int, left: int, right: int) -> None:
        """Make pixels of characters."""
        assert self._pixels is not None
        glyphs = [self._glyph(cell) for cell in self._cells[line][left:right] if cell is not None]
        length = (right - left) * CELL_WIDTH
        for y, row in zip(range(line * CELL_HEIGHT, self.height), zip(*glyphs, strict=True), strict=False):
            at = y * self.width + left * CELL_WIDTH
            self._pixels[at : at + length] = b"".join(row)

    def _glyph(self, cell: tuple[str, Attribute]) -> list[bytes]:
        """The rows of a character in its colours."""
        found = self._glyphs.get(cell)
        if found is None:
            if len(self._glyphs) >= _MOST_GLYPHS:
                self._glyphs.clear()
            character, attribute = cell
            table = bytes([attribute.background]) * 255 + bytes([attribute.foreground])
            colored = self._mask(character).translate(table)
            found = self._glyphs[cell] = [colored[at : at + CELL_WIDTH] for at in range(0, len(colored), CELL_WIDTH)]
        return found

    def _mask(self, character: str) -> bytes:
        """The pixels of a character: 255 where it is, 0 where it is not."""
        mask = self._masks.get(character)
        if mask is None:
            bits = _bits()
            mask = self._masks[character] = b"".join(bits[row] for row in self._known_font().rows(character))
        return mask

    def _known_font(self) -> Glyphs:
        if self._font is None:
            self._font = built_in_font()
        return self._font


def _renumbered(attribute: Attribute, table: bytes) -> Attribute:
    background = attribute.background
    return Attribute(table[attribute.foreground], background if background == TRANSPARENT else table[background])


@cache
def _bits() -> list[bytes]:
    """What eight pixels look like, as bytes of 0 and 255."""
    return [bytes(255 if row & 128 >> bit else 0 for bit in range(CELL_WIDTH)) for row in range(256)]
