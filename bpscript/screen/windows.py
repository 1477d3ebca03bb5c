"""Windows: a frame that stands out, a title bar, and a shadow on what is behind.

    ┌────────────────────────┐
    │ title                  │▒
    ├────────────────────────┤▒
    │                        │▒
    └────────────────────────┘▒
      ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒
"""

from .canvas import Canvas
from .palette import Rgb
from .screen import CELL_HEIGHT, CELL_WIDTH, Box, Window

SHADOW = 6              # pixels
BAR_HEIGHT = 22
_EDGE = 3               # pixels between the outer edge and the title bar


def draw_window(canvas: Canvas, window: Window) -> None:
    """Draw a window; what is outside the screen is cut off."""
    x, y, width, height = window.box
    if width <= 0 or height <= 0:
        return
    _draw_shadow(canvas, window.box)
    canvas.draw_bar(window.box, 0)
    _draw_raised(canvas, Box(x + 1, y + 1, width - 2, height - 2), window.background)
    bar = Box(x + _EDGE, y + _EDGE, width - 2 * _EDGE, min(BAR_HEIGHT, height - 2 * _EDGE))
    _draw_raised(canvas, bar, window.bar)
    _draw_title(canvas, bar, window)


def _draw_title(canvas: Canvas, bar: Box, window: Window) -> None:
    if bar.height < CELL_HEIGHT:
        return
    room = (bar.width - CELL_WIDTH) // CELL_WIDTH
    title = window.title if len(window.title) <= room else window.title[: max(0, room - 1)] + "…"
    if room > 0 and title:
        canvas.draw_text(bar.x + CELL_WIDTH - 1, bar.y + (bar.height - CELL_HEIGHT) // 2, title, window.title_color)


def _draw_raised(canvas: Canvas, box: Box, color: int) -> None:
    """A surface with a light edge above and to the left, and a dark one below and to the right."""
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return
    light, dark = _shade(canvas, color, 1.0, 0.5), _shade(canvas, color, 0.0, 0.4)
    canvas.draw_bar(box, dark)
    canvas.draw_bar(Box(x, y, width - 1, height - 1), light)
    canvas.draw_bar(Box(x + 1, y + 1, width - 2, height - 2), color)


def _draw_shadow(canvas: Canvas, box: Box) -> None:
    """What is behind the right and the lower edge gets darker."""
    x, y, width, height = box
    for strip in (Box(x + width, y + SHADOW, SHADOW, height), Box(x + SHADOW, y + height, width - SHADOW, SHADOW)):
        canvas.change_colors(strip, lambda number: _shade(canvas, number, 0.0, 0.55))


def _shade(canvas: Canvas, number: int, towards: float, part: float) -> int:
    """The number of a colour that is lighter (towards 1) or darker (towards 0) by a part."""
    red, green, blue = (int(level + (255 * towards - level) * part) for level in canvas.palette.colors[number])
    color: Rgb = (red, green, blue)
    return canvas.palette.nearest(color)
