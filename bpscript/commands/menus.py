"""Menu files of the InCom boot ROM as scripts (language.md 8.4): texts are the rest of the line, without quotes.

At the end of a file that used `.KEY`, the interpreter waits for one of the keys or the default, then acts.
"""

from dataclasses import dataclass, field

from ..base.errors import StorageError
from ..interpreter.frames import FileFrame
from ..interpreter.results import Ended, Enter
from ..interpreter.run import Run
from ..language.arguments import RestText
from ..language.declare import command
from ..language.names import fold
from ..language.numbers import words_of
from ..language.source import Source
from ..screen.screen import Area, Attribute
from .arguments import Palette, Positive

_GROUP = "text output"


@dataclass
class Menu:
    """The keys of a file."""

    files: dict[str, str] = field(default_factory=dict)
    default: str = ""
    seconds: float = 0      # 0: no limit


@command(".ATT", group=_GROUP)
def att(run: Run, n: Palette = 7) -> None:
    """Set the colours of text.

    Args:
        n: 16 * background + foreground

    Examples:
        > .ATT 31
    """
    run.machine.screen.set_attribute(Attribute.from_number(n))


@command(".CLS", group=_GROUP)
def cls(run: Run, n: Palette | None = None) -> None:
    """Clear the screen.

    Args:
        n: 16 * background + foreground

    Examples:
        > .CLS 31
    """
    screen = run.machine.screen
    if n is not None:
        screen.set_attribute(Attribute.from_number(n))
    lines, columns = screen.size
    screen.fill(Area(0, 0, lines, columns), " ", screen.attribute)


@command(".POS", group=_GROUP, usage="[[x] y]")
def pos(run: Run, x: Positive | None = None, y: Positive | None = None) -> None:
    """Move the cursor; both count from 1.

    Args:
        x: column; alone it is the row
        y: row

    Examples:
        > .POS 10 5
    """
    column, row = (1, x) if y is None else (x, y)
    run.machine.screen.move((row or 1) - 1, (column or 1) - 1)


@command(".WRT", group=_GROUP, usage="text")
def wrt(run: Run, text: RestText) -> None:
    """Write text at the cursor.

    Args:
        text: the rest of the line

    Examples:
        > .WRT Your choice:
    """
    run.machine.screen.write(text)


@command(".WLN", group=_GROUP, usage="[text]")
def wln(run: Run, text: RestText = "") -> None:
    """Write text at the cursor and go to the next line.

    Args:
        text: the rest of the line

    Examples:
        > .WLN 1  Windows
    """
    run.machine.screen.write(f"{text}\r\n")


@command(".KEY", group=_GROUP, usage="key filename", untested="boots at the end of the file")
def key(run: Run, choice: RestText) -> None:
    """Say what a key boots; a file whose name ends in `.bpb` is included instead.

    Args:
        choice: the key and the name of the file

    Examples:
        > .KEY 1 dos.pxe
    """
    words = choice.split(maxsplit=1)
    if len(words) != 2 or len(words[0]) != 1:
        raise StorageError(f'expected a key and the name of a file, found "{choice}"')
    menu = run.frame.state(Menu)
    if not menu.files:
        run.frame.at_end.append((run.line, _choose))
    menu.files[fold(words[0])] = words[1]


@command(".DEF", group=_GROUP, usage="key [seconds]")
def default(run: Run, choice: RestText) -> None:
    """Say which key is assumed when none is pressed.

    Args:
        choice: the key, and the seconds until then; 0 or nothing is no limit

    Examples:
        > .DEF 1 30
    """
    words = words_of(choice)
    seconds = words[1] if len(words) > 1 else "0"
    whole, _, tenths = seconds.partition(".")
    if len(words) > 2 or len(words[0]) != 1 or not (whole + tenths).isdecimal() or len(seconds) > 9:
        raise StorageError(f'expected a key and perhaps seconds, found "{choice}"')
    menu = run.frame.state(Menu)
    menu.default, menu.seconds = fold(words[0]), float(seconds)


@command(".PWD", group=_GROUP, programs_note="always an error", usage="key cpasswd", untested="always an error")
def pwd(run: Run, choice: RestText = "") -> None:
    """A password for a key: always an error, so that nothing is left open by accident.

    Args:
        choice: the key and the encrypted password

    Examples:
        > .PWD 1 BpR8oiIlRR9bo
    """
    raise run.refuse(None, ".PWD is not implemented, so that nothing is left open by accident", hint="use GetPasswd and If ... Match-Passwd")


def _choose(run: Run) -> Ended | Enter:
    """Wait for a key of the menu and act."""
    menu = run.frame.state(Menu)
    chosen = _pressed(run, menu)
    file = menu.files[chosen]
    menu.files = {}
    if file.lower().endswith(".bpb"):
        data = run.machine.files.read(file)
        return run.enter(FileFrame(Source.parse(file, run.decode(data))))
    return Ended(f'tftpboot "{file}"', run.machine.boot.boot_file(run.machine.files, file))


def _pressed(run: Run, menu: Menu) -> str:
    left = menu.seconds
    has_default = menu.default in menu.files
    while True:
        if run.keys.live and left and has_default:
            started = run.machine.clock.now_ns()
            found = run.wait_for_key(left)
            left = max(0.01, left - (run.machine.clock.now_ns() - started) / 1e9)
            if found is None:
                return menu.default
        pressed = run.keys.take()
        if pressed is None:
            if has_default:
                return menu.default
            raise StorageError("end of keyboard input: no key of the menu was pressed")
        if fold(pressed) in menu.files:
            return fold(pressed)
        run.turns_to_log(pressed)
