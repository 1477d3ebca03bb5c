"""The 256 colours of a graphic mode, and how pictures share them (language.md 8.5, `DrawGif`).

At the start they are those that terminals have, too: 16 of text, a cube of 6 x 6 x 6 and 24 greys. A number is *free* when no pixel
of the screen has it, apart from those that the new picture will cover; 0 to 15 never change and are never free. Each colour of a
new picture that is there exactly is shared; the others, those of most pixels first:

    Best-Colors     a free number; when there is none, one that older pictures use least: their pixels get the nearest colour
    Spare-Colors    near a colour in use: both become their mean, weighted by pixels; else a free number; else the mean again
    Share-Colors    near a colour in use: that one as it is; else a free number; else the nearest colour in use
    Reuse-Colors    the nearest of all 256 as they are
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .screen import Strategy

Rgb = tuple[int, int, int]

# The 16 colours of a VGA text screen: what the names of language.md 3.4 look like.
TEXT_COLORS: tuple[Rgb, ...] = (
    (0x00, 0x00, 0x00), (0x00, 0x00, 0xAA), (0x00, 0xAA, 0x00), (0x00, 0xAA, 0xAA),
    (0xAA, 0x00, 0x00), (0xAA, 0x00, 0xAA), (0xAA, 0x55, 0x00), (0xAA, 0xAA, 0xAA),
    (0x55, 0x55, 0x55), (0x55, 0x55, 0xFF), (0x55, 0xFF, 0x55), (0x55, 0xFF, 0xFF),
    (0xFF, 0x55, 0x55), (0xFF, 0x55, 0xFF), (0xFF, 0xFF, 0x55), (0xFF, 0xFF, 0xFF),
)  # fmt: skip
FIXED = len(TEXT_COLORS)
_LEVELS = (0x00, 0x5F, 0x87, 0xAF, 0xD7, 0xFF)
_NEAR = 9 * 16 * 16     # of `distance`: 16 steps of 256 in each of red, green and blue

START_COLORS: tuple[Rgb, ...] = (
    *TEXT_COLORS,
    *((red, green, blue) for red in _LEVELS for green in _LEVELS for blue in _LEVELS),
    *((level, level, level) for level in range(0x08, 0xF8, 10)),
)


def distance(one: Rgb, other: Rgb) -> int:
    """How different two colours look: squares, weighted as the eye does."""
    return 2 * (one[0] - other[0]) ** 2 + 4 * (one[1] - other[1]) ** 2 + 3 * (one[2] - other[2]) ** 2


@dataclass
class Allocation:
    """The numbers a picture got, and new numbers for older pixels that lost theirs."""

    numbers: list[int]
    moved: dict[int, int] = field(default_factory=dict)
    changed: bool = False       # whether colours that are on the screen look different now


class Palette:
    """What the numbers 0 to 255 look like."""

    def __init__(self) -> None:
        self.colors: list[Rgb] = list(START_COLORS)

    def nearest(self, color: Rgb, numbers: Iterable[int] = range(256)) -> int:
        """The number of those given that looks most like a colour."""
        return min(numbers, key=lambda number: distance(self.colors[number], color))

    def allocate(self, wanted: Sequence[Rgb], weights: Sequence[int], used: Mapping[int, int], strategy: Strategy) -> Allocation:
        """Numbers for the colours of a picture.

        `weights` are how many of its pixels have each, `used` how many pixels of the rest of the screen have each number.
        """
        return _Allocator(self, wanted, weights, used, strategy).run()


class _Allocator:
    """The work of one picture."""

    def __init__(
        self, palette: Palette, wanted: Sequence[Rgb], weights: Sequence[int], used: Mapping[int, int], strategy: Strategy
    ) -> None:
        self._palette = palette
        self._colors = palette.colors
        self._wanted = wanted
        self._weights = weights
        self._strategy = strategy
        self._in_use = dict.fromkeys(range(FIXED), 0) | dict(used)      # number -> pixels
        self._free = [number for number in range(FIXED, 256) if number not in self._in_use]     # taken from the end
        self._older = sorted((number for number in used if number >= FIXED), key=lambda number: -used[number])    # as well
        self._mine: set[int] = set()
        self._lost: dict[int, Rgb] = {}     # what older pixels looked like whose number was taken away
        self._changed = False

    def run(self) -> Allocation:
        """Find a number for each colour, those of most pixels first."""
        numbers = [0] * len(self._wanted)
        order = sorted((index for index, weight in enumerate(self._weights) if weight), key=lambda index: -self._weights[index])
        if self._strategy is Strategy.REUSE:
            for index in order:
                numbers[index] = self._palette.nearest(self._wanted[index])
            return Allocation(numbers)
        exact = {color: number for number, color in enumerate(self._colors) if number not in self._in_use}
        exact |= {self._colors[number]: number for number in sorted(self._in_use, reverse=True)}    # those in use win
        rest = []
        for index in order:
            number = exact.get(self._wanted[index])
            if number is None:
                rest.append(index)
            else:
                numbers[index] = self._take(number, index)
        for index in rest:
            numbers[index] = self._take(self._choose(index), index)
        moved = {number: self._palette.nearest(color, self._in_use) for number, color in self._lost.items()}
        return Allocation(numbers, moved, self._changed or bool(moved))

    def _take(self, number: int, index: int) -> int:
        """A number is used by the picture from now on."""
        self._in_use[number] = self._in_use.get(number, 0) + self._weights[index]
        self._mine.add(number)
        if number in self._free:
            self._free.remove(number)
        return number

    def _choose(self, index: int) -> int:
        color = self._wanted[index]
        if self._strategy is Strategy.BEST:
            return self._set(self._free[-1], color) if self._free else self._take_away(color)
        near = self._palette.nearest(color, self._in_use)
        if distance(self._colors[near], color) > _NEAR and self._free:
            return self._set(self._free[-1], color)
        return near if self._strategy is Strategy.SHARE else self._blend(near, index)

    def _set(self, number: int, color: Rgb) -> int:
        self._colors[number] = color
        return number

    def _take_away(self, color: Rgb) -> int:
        """The number that older pictures use least; the nearest colour when there is none."""
        while self._older:
            number = self._older.pop()
            if number not in self._mine:
                self._lost[number] = self._colors[number]
                self._in_use[number] = 0
                return self._set(number, color)
        return self._palette.nearest(color, self._in_use)

    def _blend(self, near: int, index: int) -> int:
        """Change a colour in use, so that old and new pixels are equally far from what they should be."""
        color = self._wanted[index]
        if near < FIXED:
            if distance(self._colors[near], color) <= _NEAR:
                return near
            changeable = [number for number in self._in_use if number >= FIXED]
            if not changeable:
                return near
            near = self._palette.nearest(color, changeable)
        old, new = self._in_use[near], self._weights[index]
        red, green, blue = ((old * was + new * wanted) // (old + new) for was, wanted in zip(self._colors[near], color, strict=True))
        self._changed = self._changed or (red, green, blue) != self._colors[near]
        return self._set(near, (red, green, blue))
