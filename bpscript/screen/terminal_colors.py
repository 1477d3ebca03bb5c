"""Colours as a terminal takes them: exact, of 256, of 16, or none at all (https://no-color.org)."""

from collections.abc import Mapping
from enum import Enum, auto
from functools import lru_cache

from .palette import START_COLORS, TEXT_COLORS, Rgb, distance

# The order of ANSI colours (red is 1) against that of PC screens (blue is 1): ECMA-48 8.3.117.
_ANSI = (0, 4, 2, 6, 1, 5, 3, 7)


class Depth(Enum):
    """How many colours a terminal shows."""

    NONE = auto()
    ANSI = auto()       # 16, those of text screens
    INDEXED = auto()    # 256, as xterm has them
    EXACT = auto()      # 24 bits


def depth_of(environment: Mapping[str, str]) -> Depth:
    """What a terminal can do, as far as its environment tells."""
    terminal = environment.get("TERM", "")
    if environment.get("NO_COLOR"):
        return Depth.NONE
    if environment.get("COLORTERM", "").lower() in {"truecolor", "24bit"} or terminal.endswith("-direct"):
        return Depth.EXACT
    return Depth.INDEXED if "256color" in terminal else Depth.ANSI


class Styles:
    """The parameters of `CSI ... m` for two colours, without the reset in front."""

    def __init__(self, depth: Depth) -> None:
        self.depth = depth
        # A screen has few pairs of colours; a photograph has many, of which old ones may be forgotten.
        self.of = lru_cache(maxsize=16_384)(self._of)

    def _of(self, foreground: Rgb, background: Rgb) -> str:
        match self.depth:
            case Depth.NONE:
                return "7" if sum(background) > sum(foreground) else ""
            case Depth.ANSI:
                return f"{_ansi(foreground, 30)};{_ansi(background, 40)}"
            case Depth.INDEXED:
                return f"38;5;{_indexed(foreground)};48;5;{_indexed(background)}"
            case Depth.EXACT:
                return f"38;2;{_exact(foreground)};48;2;{_exact(background)}"


def _exact(color: Rgb) -> str:
    return f"{color[0]};{color[1]};{color[2]}"


@lru_cache(maxsize=4_096)
def _ansi(color: Rgb, base: int) -> int:
    number = min(range(16), key=lambda each: distance(TEXT_COLORS[each], color))
    return base + _ANSI[number % 8] + (60 if number > 7 else 0)


@lru_cache(maxsize=4_096)
def _indexed(color: Rgb) -> int:
    # The first 16 look different on every terminal; the cube and the greys behind it do not.
    return min(range(16, 256), key=lambda each: distance(START_COLORS[each], color))
