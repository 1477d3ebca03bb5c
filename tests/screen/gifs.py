"""GIF files for tests, written by Pillow."""

import io

from PIL import Image

Rgb = tuple[int, int, int]


def gif(
    width: int, height: int, pixels: bytes, colors: list[Rgb], *, interlaced: bool = False, transparent: int | None = None
) -> bytes:
    """A GIF file from a byte a pixel."""
    image = Image.frombytes("P", (width, height), pixels)
    image.putpalette([level for color in colors for level in color])
    out = io.BytesIO()
    extra = {} if transparent is None else {"transparency": transparent}
    image.save(out, "GIF", interlace=int(interlaced), optimize=False, **extra)
    return out.getvalue()


def gradient(width: int, height: int, colors: list[Rgb]) -> bytes:
    """A GIF file with vertical stripes of the colours."""
    return gif(width, height, bytes(x * len(colors) // width for x in range(width)) * height, colors)
