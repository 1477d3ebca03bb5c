"""Text output (language.md 8.4): the screen of characters. These commands never write to the log."""

from ..interpreter.nested import NestedCommand
from ..interpreter.run import Run
from ..language.declare import command
from ..screen.screen import Area, Attribute
from .arguments import COLORS, AreaNumbers, Color, ColorArgument, Pattern, ScreenPosition

_GROUP = "text output"


@command("Print", group=_GROUP)
def print_(run: Run, text: str | int) -> None:
    r"""Write text at the cursor and move it.

    Args:
        text: a string or a number; `\r\n` goes to the next line

    Examples:
        > Print "Hello\r\n"
    """
    run.machine.screen.write(str(text))


class FirstColorArgument(ColorArgument):
    """A foreground colour, or both colours in one number, which has up to 255."""

    def __init__(self) -> None:
        super().__init__(255)


class FirstColor(int):
    """The first argument of TextAttr."""

    ARGUMENT = FirstColorArgument()


@command("TextAttr", group=_GROUP, usage=("fg bg", "n"))
def text_attr(run: Run, foreground: FirstColor, background: Color | None = None) -> None:
    """Set the colours of text: two colours, or 16 * background + foreground in one number.

    Args:
        foreground: colour of the characters, or both
        background: colour behind them

    Examples:
        > TextAttr Yellow Blue
        > TextAttr 31
    """
    if background is None:
        run.machine.screen.set_attribute(Attribute.from_number(foreground))
    elif foreground >= len(COLORS):
        raise run.refuse(0, f"there is no colour {foreground}: expected 0 to 15")
    else:
        run.machine.screen.set_attribute(Attribute(foreground, background))


@command("At", group=_GROUP, usage="line,col [command]")
def at(run: Run, line: ScreenPosition, column: ScreenPosition, command: NestedCommand | None = None) -> NestedCommand | None:
    """Move the cursor, then run a command.

    Args:
        line: from 0; beyond the screen is its edge
        column: from 0; beyond the screen is its edge
        command: the command

    Examples:
        > At 10,20 Print "Gnats"
    """
    run.machine.screen.move(line, column)
    return command


@command("Clear", group=_GROUP)
def clear(run: Run, col: Color = 0, pattern: Pattern = 219, area: AreaNumbers | None = None) -> None:
    """Fill the screen or an area with a character, and put the cursor in its upper left corner.

    Args:
        col: colour of the characters
        pattern: a string of one character, or its code
        area: top, left, bottom and right, with commas or blanks; the last line and column belong to it

    Examples:
        > Clear
        > Clear Blue " " 2,3,4,5
    """
    lines, columns = run.machine.screen.size
    top, left, bottom, right = area if area is not None else (0, 0, lines - 1, columns - 1)
    character = pattern if isinstance(pattern, str) else bytes([pattern]).decode(run.code_page, "replace")
    screen = run.machine.screen
    screen.fill(Area(top, left, bottom + 1, right + 1), character, Attribute(col, screen.attribute.background))
