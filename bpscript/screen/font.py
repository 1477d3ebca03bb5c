"""What characters look like: the built-in font of 8 x 16 pixels, and fonts that `LoadFont` brings.

The built-in one is in `font.hex`, with its origin and licence; it has every character of the code pages 437 and 850, of the
other code pages of Europe, and more.
"""

from collections.abc import Mapping
from functools import cache
from pkgutil import get_data

from ..base.errors import FormatError

HEIGHT = 16
FONT_SIZE = 256 * HEIGHT        # bytes of a font file (language.md 8.8)
UNKNOWN = "?"              # stands for characters that a font does not have

# What a PC shows for codes that are no text: 1 to 31 and 127; a blank and a hyphen that are not to break, or only there.
CONTROL_CHARACTERS = {
    **dict(enumerate("☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼", 1)),
    127: "⌂",
    160: " ",
    173: "-",
}


class Font:
    """Glyphs by character."""

    def __init__(self, glyphs: Mapping[str, bytes]) -> None:
        self._glyphs = glyphs

    def __contains__(self, character: str) -> bool:
        return character in self._glyphs

    def rows(self, character: str) -> bytes:
        """The 16 rows of a character, the highest bit leftmost; of "?" when the font does not have it."""
        return self._glyphs.get(character) or self._glyphs[UNKNOWN]

    @classmethod
    def from_codes(cls, data: bytes, characters: str, name: str, rest: "Font") -> "Font":
        """Glyphs for the 256 characters of a code page (NUL where it has none), and those of `rest`. Raises FormatError for a wrong size."""
        if len(data) != FONT_SIZE:
            raise FormatError(f'"{name}" is no font: it has {len(data)} bytes, expected {FONT_SIZE}')
        loaded: dict[str, bytes] = {}
        for code, character in enumerate(characters):
            if character != "\0":
                loaded.setdefault(CONTROL_CHARACTERS.get(ord(character), character), data[code * HEIGHT : (code + 1) * HEIGHT])
        return cls({**rest._glyphs, **loaded})


@cache
def built_in_font() -> Font:
    """The font that is there without `LoadFont`."""
    glyphs = {}
    data = get_data(__package__, "font.hex")      # not importlib.resources: see base/resources.py
    assert data is not None
    for line in data.decode("ascii").splitlines():
        if not line.startswith("#"):
            code, _, rows = line.partition(":")
            glyphs[chr(int(code, 16))] = bytes.fromhex(rows)
    return Font(glyphs)
