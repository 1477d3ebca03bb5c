"""The 256 colours of a graphic mode, and how pictures share them (language.md 8.5, `DrawGif`).

At the start they are those that terminals have, too: 16 of text, a cube of 6 x 6 x 6 and 24 greys. Pictures take numbers of the cube
from 231 downwards, then the greys. A number is *free* when no pixel
of the screen has it, apart from those that the new picture will cover; 0 to 15 never change and are never free. Each colour of a
new picture that is there exactly is shared; the others, those of most pixels first:

    Best-Colors     a free number; when there is none, one that older pictures use least: their pixels get the nearest colour
    Spare-Colors    near a colour in use: both become their mean, weighted by pixels; else a free number; else the two colours that are
                    nearest to each other become their mean, whether they are old or new, and make room
    Share-Colors    near a colour in use: that one as it is; else a free number; else the nearest colour in use
    Reuse-Colors    the nearest of all 256 as they are
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

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
# In which order pictures take free numbers, the last first: a script that uses greys and dark colours finds them for long.
_FREE_ORDER = (*range(232, 256), *range(FIXED, 232))
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


class Allocation(NamedTuple):
    """The numbers a picture got, and new numbers for older pixels that lost theirs."""

    numbers: list[int]
    moved: Mapping[int, int] = MappingProxyType({})
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
        unique: Counter[Rgb] = Counter()
        for color, weight in zip(wanted, weights, strict=True):
            if weight:
                unique[color] += weight
        colors = sorted(unique, key=lambda color: -unique[color])
        allocation = _Allocator(self, colors, [unique[color] for color in colors], used, strategy).run()
        numbers = dict(zip(colors, allocation.numbers, strict=True))
        return allocation._replace(numbers=[numbers.get(color, 0) for color in wanted])


class _Allocator:
    """The work of one picture; its colours differ from each other, and come in the order of their weights."""

    def __init__(
        self, palette: Palette, wanted: Sequence[Rgb], weights: Sequence[int], used: Mapping[int, int], strategy: Strategy
    ) -> None:
        self._palette = palette
        self._colors = palette.colors
        self._wanted = wanted
        self._weights = weights
        self._strategy = strategy
        self._used = used
        self._in_use = dict.fromkeys(range(FIXED), 0) | dict(used)      # number -> pixels
        self._free = [number for number in _FREE_ORDER if number not in self._in_use]     # taken from the end
        self._older = sorted((number for number in used if number >= FIXED), key=lambda number: -used[number])    # as well
        self._mine: set[int] = set()
        self._lost: dict[int, Rgb] = {}     # what older pixels looked like whose number was taken away
        self._numbers = [0] * len(wanted)
        self._moved: dict[int, int] = {}    # numbers of older pixels whose colour became one with another
        self._neighbours: dict[int, tuple[int, int]] = {}       # number -> distance and number of the nearest other one
        self._changed = False

    def run(self) -> Allocation:
        """Find a number for each colour, those of most pixels first."""
        numbers = self._numbers
        if self._strategy is Strategy.REUSE:
            return Allocation([self._palette.nearest(color) for color in self._wanted])
        exact = {color: number for number, color in enumerate(self._colors) if number not in self._in_use}
        exact |= {self._colors[number]: number for number in sorted(self._in_use, reverse=True)}    # those in use win
        rest = []
        for index, color in enumerate(self._wanted):
            number = exact.get(color)
            if number is None:
                rest.append(index)
            else:
                numbers[index] = self._take(number, index)
        for index in rest:
            numbers[index] = self._take(self._choose(index), index)
        lost = {number: self._palette.nearest(color, self._in_use) for number, color in self._lost.items()}
        moved = self._moved | lost
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
        far = distance(self._colors[near], color)
        if far > _NEAR and self._free:
            return self._set(self._free[-1], color)
        if self._strategy is Strategy.SHARE or (near < FIXED and far <= _NEAR):
            return near
        return self._blend(near, index) if far <= _NEAR else self._make_room(near, far, index)

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
        """Change a colour in use, so that old and new pixels share the difference."""
        self._mean(near, self._in_use[near], self._wanted[index], self._weights[index])
        return near

    def _mean(self, number: int, weight: int, color: Rgb, other: int) -> None:
        old = self._colors[number]
        red, green, blue = ((was * weight + level * other) // max(1, weight + other) for was, level in zip(old, color, strict=True))
        self._colors[number] = (red, green, blue)
        self._changed = self._changed or self._colors[number] != old
        self._neighbours.pop(number, None)

    def _make_room(self, near: int, far: int, index: int) -> int:
        """No number is free: of all colours that may change, and the new one, those two become one that are nearest to each other."""
        changeable = [number for number in self._in_use if number >= FIXED]
        # What changed has no neighbour now, and is not to be anybody's; where it is near others, it finds them itself.
        known = self._neighbours
        stale = [number for number in changeable if number not in known or known[number][1] not in known]
        self._neighbours |= {number: self._neighbour(number, changeable) for number in stale}
        kept = min(changeable, key=lambda number: self._neighbours[number])
        apart, given = self._neighbours[kept]
        if far <= apart:
            return near if near < FIXED else self._blend(near, index)
        self._mean(kept, self._in_use[kept], self._colors[given], self._in_use[given])
        self._in_use[kept] += self._in_use.pop(given)
        self._numbers[:] = [kept if number == given else number for number in self._numbers]
        self._moved = {old: kept if new == given else new for old, new in self._moved.items()}
        if given in self._used:
            self._moved.setdefault(given, kept)
        self._neighbours.pop(given)
        return self._set(given, self._wanted[index])

    def _neighbour(self, number: int, among: Sequence[int]) -> tuple[int, int]:
        color = self._colors[number]
        return min(((distance(self._colors[other], color), other) for other in among if other != number), default=(1 << 30, number))
