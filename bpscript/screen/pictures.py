"""A picture on a canvas: its colours get numbers of the palette, then its pixels are put there."""

from collections import Counter

from .canvas import Canvas
from .screen import Box, Picture, Strategy


def draw_picture(canvas: Canvas, picture: Picture, x: int, y: int, strategy: Strategy) -> None:
    """Draw with the upper left corner at x, y; what is outside the screen is cut off."""
    x, y = x + picture.left, y + picture.top
    box = Box(x, y, picture.width, picture.height)
    counts = Counter(picture.pixels)
    weights = [counts[index] for index in range(len(picture.colors))]
    if picture.transparent is not None and picture.transparent < len(weights):
        weights[picture.transparent] = 0
    covered = box if picture.transparent is None else Box(x, y, 0, 0)       # behind holes older pixels stay
    allocation = canvas.palette.allocate(picture.colors, weights, canvas.used_colors(covered), strategy)
    canvas.renumber(allocation.moved)
    if allocation.changed:
        canvas.change_all()
    pixels = picture.pixels.translate(bytes(allocation.numbers).ljust(256, b"\0"))
    masks = None
    if picture.transparent is not None:
        holes = bytes(0 if index == picture.transparent else 255 for index in range(256))
        masks = _rows(picture.pixels.translate(holes), picture.width)
    canvas.draw_rows(box, _rows(pixels, picture.width), masks)


def _rows(pixels: bytes, width: int) -> list[bytes]:
    return [pixels[start : start + width] for start in range(0, len(pixels), width)]
