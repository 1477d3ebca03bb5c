"""Graphics (language.md 8.5): without a display, or with `$VESA` off, the commands are checked and do nothing."""

from typing import Literal

from ..base.errors import StorageError
from ..interpreter.run import Run
from ..language.arguments import Skippable
from ..language.declare import command
from ..screen.screen import MODES, Box, Mode, Screen, Strategy, Window
from .arguments import FileName, Palette, Point

_GROUP = "graphics"
_MOST_GIF = 16 << 20        # bytes: several times what the largest mode takes without any compression
StrategyName = Literal["Best-Colors", "Spare-Colors", "Share-Colors", "Reuse-Colors"]


@command("InitGraph", group=_GROUP, no_effect_in_mrzip=True, since="3.0, mode 3.15")
def init_graph(run: Run, mode: str | None = None) -> None:
    """Turn graphics on.

    Args:
        mode: 640x480, 800x600, 1024x768 or 1280x1024; the first of $VESA-Modes by default

    Examples:
        > InitGraph "800x600"
    """
    is_on = run.variables.is_on("VESA")
    if mode is not None:
        wanted = mode.lower()
        found = run.variables.get("VESA-Modes").lower().split() if is_on else [str(each) for each in MODES]
        if wanted not in {str(each) for each in MODES} or wanted not in found:
            raise StorageError(f'there is no graphics mode "{mode}"', hint=f"modes are {', '.join(found)}" if found else None)
    if is_on and run.machine.screen.modes:
        run.machine.screen.set_mode(_default_mode(run) if mode is None else Mode.parse(mode))


@command("CloseGraph", group=_GROUP, no_effect_in_mrzip=True)
def close_graph(run: Run) -> None:
    """Go back to text mode.

    Examples:
        > CloseGraph
    """
    if run.machine.screen.mode is not None:
        run.machine.screen.set_mode(None)


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
    screen = _graphic_screen(run)
    if screen is not None:
        screen.draw_bar(Box(x, y, width, height), col)


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
    screen = _graphic_screen(run)
    if screen is not None:
        screen.draw_window(Window(Box(x, y, width, height), bg, bar, title, title_col))


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
    screen = _graphic_screen(run)
    if screen is not None:
        screen.draw_text(x, y, text, screen.attribute.foreground if col is None else col)


@command("DrawGif", group=_GROUP, no_effect_in_mrzip=True)
def draw_gif(run: Run, file: FileName, point: Point = (0, 0), strategy: StrategyName = "Best-Colors") -> None:
    """Draw a GIF picture.

    Args:
        file: the picture
        point: left and upper edge in pixels
        strategy: what to do when 256 colours do not suffice

    Examples:
        > DrawGif "logo.gif" 100 50
    """
    screen = _graphic_screen(run)
    if screen is not None:
        from ..screen.gif import read_gif  # noqa: PLC0415 - few scripts draw pictures

        assert screen.mode is not None
        with run.machine.files.caching(if_asked=True) as files:
            picture = read_gif(files.read(file, _MOST_GIF), file, screen.mode)
        x, y = point
        screen.draw_picture(picture, x, y, Strategy(strategy))


def _graphic_screen(run: Run) -> Screen | None:
    """The screen in a graphic mode, which is turned on when none is; None without a display or with `$VESA` off."""
    screen = run.machine.screen
    if not screen.modes or not run.variables.is_on("VESA"):
        return None
    if screen.mode is None:
        screen.set_mode(_default_mode(run))
    return screen


def _default_mode(run: Run) -> Mode:
    """The first of `$VESA-Modes`."""
    first = run.variables.get("VESA-Modes").lower().partition(" ")[0]
    known = {str(mode): mode for mode in MODES}
    if first not in known:
        raise run.refuse(None, f'"{first}", the first of $VESA-Modes, is no graphics mode', hint=f"modes are {', '.join(known)}")
    return known[first]
