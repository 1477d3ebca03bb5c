"""Graphics (language.md 8.5): without a display, or with `$VESA` off, the commands are checked and do nothing."""

from typing import Literal

from ..base.errors import StorageError
from ..interpreter.run import Run
from ..interpreter.specials import MODES
from ..language.arguments import Skippable
from ..language.declare import command
from .arguments import FileName, Palette, Point

_GROUP = "graphics"
Strategy = Literal["Best-Colors", "Spare-Colors", "Share-Colors", "Reuse-Colors"]


@command("InitGraph", group=_GROUP, no_effect_in_mrzip=True, since="3.0, mode 3.15")
def init_graph(run: Run, mode: str | None = None) -> None:
    """Turn graphics on.

    Args:
        mode: 640x480, 800x600, 1024x768 or 1280x1024; the first of $VESA-Modes by default

    Examples:
        > InitGraph "800x600"
    """
    if mode is None:
        return
    found = run.variables.get("VESA-Modes").split() if run.variables.is_on("VESA") else MODES
    if mode.lower() not in MODES or mode.lower() not in found:
        raise StorageError(f'there is no graphics mode "{mode}"', hint=f"modes are {', '.join(found)}")


@command("CloseGraph", group=_GROUP, no_effect_in_mrzip=True)
def close_graph(run: Run) -> None:
    """Go back to text mode.

    Examples:
        > CloseGraph
    """


@command("DrawBar", group=_GROUP, no_effect_in_mrzip=True)
def draw_bar(  # noqa: PLR0917 - the language has as many
    run: Run, x: int, y: int, width: int, height: int, col: Palette
) -> None:
    """Draw a filled bar.

    Args:
        x: left edge in pixels
        y: upper edge in pixels
        width: in pixels
        height: in pixels
        col: its colour, 0 to 255

    Examples:
        > DrawBar 10 10 200 20 Blue
    """


@command("DrawWindow", group=_GROUP, no_effect_in_mrzip=True, since="3.0, title 3.14")
def draw_window(  # noqa: PLR0917 - the language has as many
    run: Run,
    x: int,
    y: int,
    width: int,
    height: int,
    bg: Skippable[Palette] = 7,
    bar: Skippable[Palette] = 1,
    title: str = "",
    title_col: Palette = 15,
) -> None:
    """Draw a window, perhaps with a title.

    Args:
        x: left edge in pixels
        y: upper edge in pixels
        width: in pixels
        height: in pixels
        bg: background colour
        bar: colour of the title bar
        title: the title; it may follow directly after the size
        title_col: colour of the title

    Examples:
        > DrawWindow 150 200 400 160 "Identity check"
    """


@command("DrawText", group=_GROUP, no_effect_in_mrzip=True)
def draw_text(run: Run, x: int, y: int, text: str, col: Palette | None = None) -> None:
    """Draw text on a transparent background.

    Args:
        x: left edge in pixels
        y: upper edge in pixels
        text: the text
        col: its colour; that of other text by default

    Examples:
        > DrawText 220 240 "Name:" Black
    """


@command("DrawGif", group=_GROUP, no_effect_in_mrzip=True)
def draw_gif(run: Run, file: FileName, point: Point = (0, 0), strategy: Strategy = "Best-Colors") -> None:
    """Draw a GIF picture.

    Args:
        file: the picture
        point: left and upper edge in pixels
        strategy: what to do when 256 colours do not suffice

    Examples:
        > DrawGif "logo.gif" 100 50
    """
