"""Control (language.md 8.2): where a script goes on, and when."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..base.errors import NotFoundError, StorageError
from ..base.resources import keyboard_layout
from ..filesystems.places import ForeignPlace, HostPlace
from ..interpreter.frames import FileFrame
from ..interpreter.nested import NestedCommand
from ..interpreter.results import Ended, Enter, Jump
from ..interpreter.run import Run
from ..language.declare import command
from ..language.numbers import words_of
from ..language.patterns import compile_pattern
from ..language.source import Source
from .arguments import Date, Duration, FileName, IfTest, Label, Time, VariableName

_GROUP = "control"
_MOST_WORD_FILE = 64 << 20      # bytes of a file that In-File looks at


@command("Include", group=_GROUP)
def include(run: Run, file: FileName) -> Enter:
    """Load a script and run it, then go on here. Variables are shared, labels are not.

    Keyboard layouts come along: "keymaps/de.bpb" (de-CH, es, fr, fr-CH, it, pt, sv, uk) if the server has no such file.

    Args:
        file: the script; no extension is added

    Examples:
        > Include "site.bpb"
    """
    caller = next((frame for frame in reversed(run.frames) if isinstance(frame, FileFrame)), None)
    server_part = folder = ""
    name = file
    place = run.machine.files.place(file)
    if isinstance(place, ForeignPlace):
        from ..network.foreign import parse_foreign  # noqa: PLC0415 - loads the socket module

        server_part = parse_foreign(file).server_part
        inherited = "" if caller is None else caller.server_part
        if inherited and not server_part:
            server_part, name = inherited, f"{inherited}:{file}"
    elif isinstance(place, HostPlace):
        if caller is not None and caller.folder and not place.path.startswith("/"):
            name = f"{caller.folder}/{place.path}"
        folder = name.replace("\\", "/").rpartition("/")[0]
    elif caller is not None:
        folder = caller.folder
    try:
        data = run.machine.files.read(name)
    except NotFoundError:
        layout = keyboard_layout(file)
        if layout is None:
            raise
        data = layout
    return run.enter(FileFrame(Source.parse(file, run.decode(data)), server_part=server_part, folder=folder))


@command("OnExit", group=_GROUP)
def on_exit(run: Run, handler: NestedCommand | None = None) -> None:
    """Set the command that runs when this file ends; without one, remove it.

    Args:
        handler: the command; its variables are replaced now

    Examples:
        > OnExit Echo "done"
        > OnExit
    """
    if handler is not None:
        handler.check(run)
    run.frame.exit_handler = handler


@command("Goto", group=_GROUP, untested="needs a label", usage="label")
def goto(run: Run, label: Label) -> Jump:
    """Go on behind a label of this file.

    Args:
        label: the label; quotes around it and a colon in front are accepted

    Examples:
        > Goto start
    """
    return Jump(label)


@command("Eval", group=_GROUP)
def evaluate(run: Run, command: str) -> NestedCommand | None:
    r"""Expand a string once more and run it as a line.

    Args:
        command: the line

    Examples:
        > Eval "Echo \"\$Basename\""
    """
    return run.command_from(command)


@command("If", group=_GROUP, since="3.0, `valid` 3.19", usage="[not] [ci] test command")
def if_(run: Run, test: IfTest, command: NestedCommand) -> NestedCommand | None:
    """Run a command if a test succeeds.

    Tests: expr OP expr, "str" OP "str", "str" Match-Expr "pattern", "str" Match-Passwd "crypted", "str" in "words",
    "str" in-file "filename", exist "filename", valid [disk]:partition. OP is ==, !=, <>, <, >, >=, => , <= or =<.
    `ci` before a string compares without regard to case.

    Args:
        test: what must be true
        command: what to run

    Examples:
        > If "$Program" == "MrZip" Echo "building"
        > If not exist "x.bpb" Echo "no such file"
    """
    negated, ignore_case, operator, left, right = test
    compare = _COMPARISONS.get(operator)
    if compare is None:
        holds = _TESTS[operator](run, left, right, ignore_case)
    else:
        secrets = run.machine.secrets
        if operator in _EQUALITIES and (left in secrets or right in secrets):
            secrets.add(str(left), str(right))      # what a password is compared with is one
        holds = compare(str(left).lower(), str(right).lower()) if ignore_case else compare(left, right)
    return command if run.machine.stage.decide(holds is not negated) else None


@command("Delay", group=_GROUP)
def delay(run: Run, dur: Duration) -> NestedCommand | None:
    """Wait. A key with a handler ends the wait and runs it.

    Args:
        dur: seconds, with up to a tenth

    Examples:
        > Delay 0.1
    """
    if run.keys.live:
        started = run.machine.clock.now_ns()
        key = run.wait_for_key(dur)
        if key is None:
            return None
        if run.frame.handler_for(key) is None:
            run.keys.sleep(dur - (run.machine.clock.now_ns() - started) / 1e9)
    elif (key := run.keys.peek()) is None or run.frame.handler_for(key) is None:
        run.keys.sleep(dur)
        return None
    return run.key_handler()


@command("GetTime", group=_GROUP)
def get_time(run: Run, name: VariableName) -> None:
    """Store the time as HH:MM:SS.

    Args:
        name: the variable

    Examples:
        > GetTime now
    """
    run.variables.set(name, run.machine.clock.local().strftime("%H:%M:%S"))


@command("GetDate", group=_GROUP)
def get_date(run: Run, name: VariableName) -> None:
    """Store the date as YY/MM/DD.

    Args:
        name: the variable

    Examples:
        > GetDate today
    """
    run.variables.set(name, run.machine.clock.local().strftime("%y/%m/%d"))


@command("SetTime", group=_GROUP)
def set_time(run: Run, time: Time) -> None:
    """Set the clock of the script; the host's is never changed.

    Args:
        time: HH:MM:SS

    Examples:
        > SetTime "12:30:00"
    """
    hours, minutes, seconds = time
    run.machine.clock.set_local(run.machine.clock.local().replace(hour=hours, minute=minutes, second=seconds, microsecond=0))


@command("SetDate", group=_GROUP)
def set_date(run: Run, date: Date) -> None:
    """Set the date of the script; the host's is never changed.

    Args:
        date: YY/MM/DD, where 70 to 99 mean 19YY and 00 to 69 mean 20YY, or YYYY/MM/DD

    Examples:
        > SetDate "99/12/31"
    """
    now = run.machine.clock.local()
    try:
        run.machine.clock.set_local(datetime.combine(datetime(*date), now.time()))
    except (ValueError, OverflowError) as error:
        raise StorageError(f"{date[0]}/{date[1]:02}/{date[2]:02} is no date for the clock: {error}") from error


@command("PowerOff", group=_GROUP, ends_script=True, since="3.13", untested="ends the script")
def power_off(run: Run) -> Ended:
    """Turn the machine off; the script is over.

    Examples:
        > PowerOff
    """
    if not run.variables.is_on("APM"):
        raise StorageError("this machine cannot turn itself off: $APM is not ON")
    return Ended("poweroff", run.machine.boot.power_off())


_EQUALITIES = frozenset({"==", "!="})
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def _matches_pattern(run: Run, text: str, pattern: str, ignore_case: bool) -> bool:
    if ignore_case:
        return compile_pattern(pattern.lower())(text.lower())
    return compile_pattern(pattern)(text)


def _matches_password(run: Run, text: str, crypted: str, ignore_case: bool) -> bool:
    from ..crypto.unix_crypt import matches  # noqa: PLC0415 - few scripts need it

    run.machine.secrets.add(text, crypted)
    spellings = dict.fromkeys((text, text.lower(), text.upper()) if ignore_case else (text,))
    for spelling in spellings:
        try:
            encoded = spelling.encode(run.code_page)
        except UnicodeEncodeError:
            encoded = spelling.encode()
        if matches(encoded, crypted):
            return True
    return False


def _is_word_of(run: Run, text: str, words: str, ignore_case: bool) -> bool:
    if ignore_case:
        return text.lower() in words_of(words.lower())
    return text in words_of(words)


def _is_word_of_file(run: Run, text: str, file: str, ignore_case: bool) -> bool:
    data = run.machine.files.read(file)
    if len(data) > _MOST_WORD_FILE:
        raise StorageError(f'"{file}" is too large for a list of words: {len(data)} bytes, at most {_MOST_WORD_FILE}')
    return _is_word_of(run, text, run.decode(data).removeprefix("\ufeff"), ignore_case)


def _exists(run: Run, file: str, nothing: str, ignore_case: bool) -> bool:
    return run.machine.files.exists(file)


def _is_valid(run: Run, disk: int | None, partition: int, ignore_case: bool) -> bool:
    return run.machine.is_valid(disk or 0, partition)


_TESTS: dict[str, Callable[..., bool]] = {
    "match-expr": _matches_pattern,
    "match-passwd": _matches_password,
    "in": _is_word_of,
    "in-file": _is_word_of_file,
    "exist": _exists,
    "valid": _is_valid,
}
