"""Monitoring (language.md 8.1): the log, captures, interactive mode and help."""

from collections.abc import Iterator

from ..base.errors import BpscriptError
from ..interpreter.frames import PromptFrame
from ..interpreter.results import Enter, Leave
from ..interpreter.run import Run
from ..language.arguments import ArgumentType
from ..language.declare import command
from ..language.syntax import TEXTUAL, Node, Word
from .arguments import NewFileName

_GROUP = "monitoring"


@command("Log", group=_GROUP)
def log(run: Run, text: str | int) -> None:
    """Write text to the log; no line end is added.

    Args:
        text: a string or a number

    Examples:
        > Log "working..."
    """
    run.log(str(text))


@command("Echo", group=_GROUP)
def echo(run: Run, text: str | int = "") -> None:
    """Write text and a line end to the log.

    Args:
        text: a string or a number

    Examples:
        > Echo "hello"
        > Echo
    """
    run.log(f"{text}\r\n")


@command("ShowLog", group=_GROUP)
def show_log(run: Run) -> None:
    """Show the log on the screen.

    Examples:
        > ShowLog
    """
    run.machine.screen.show_log(True)


@command("HideLog", group=_GROUP)
def hide_log(run: Run) -> None:
    """Show the screen instead of the log.

    Examples:
        > HideLog
    """
    run.machine.screen.show_log(False)


@command("CaptureLog", group=_GROUP)
def capture_log(run: Run) -> None:
    """Record all log output from now on, until EndCapture in the same file.

    Examples:
        > CaptureLog
    """
    if any(frame.capture is not None for frame in run.frames):
        raise run.refuse(None, "a capture is active already", hint="EndCapture ends it, in the file that began it")
    run.frame.capture = []


@command("EndCapture", group=_GROUP, writes_disk=True, untested="needs a capture")
def end_capture(run: Run, filename: NewFileName = "") -> None:
    """End the record that CaptureLog began, and write it to a file; without one, drop it.

    Args:
        filename: the file to write, in UTF-8

    Examples:
        > EndCapture "{:1}/host.txt"
    """
    captured = run.frame.capture
    if captured is None:
        raise run.refuse(None, "there is no capture to end in this file", hint="CaptureLog begins one")
    run.frame.capture = None
    if filename:
        data = "".join(captured).encode("utf-8", "replace")
        run.machine.files.write(filename, [data], len(data))


@command("Beep", group=_GROUP, since="3.14")
def beep(run: Run) -> None:
    """Make a sound.

    Examples:
        > Beep
    """
    run.machine.screen.beep()


@command("Interact", group=_GROUP)
def interact(run: Run) -> Enter:
    """Read commands from the keyboard until Quit, then go on.

    Examples:
        > Interact
    """
    return run.enter(PromptFrame())


@command("Quit", group="interactive only", interactive_only=True)
def quit_(run: Run) -> Leave:
    """Leave interactive mode.

    Examples:
        > Quit
    """
    return Leave()


@command("Exit", group="interactive only", interactive_only=True)
def exit_(run: Run) -> Leave:
    """Leave interactive mode.

    Examples:
        > Exit
    """
    return Leave()


class TopicArgument(ArgumentType):
    """A bare word or a string."""

    expected = "a topic"

    def accepts(self, node: Node) -> bool:
        """Words and strings."""
        return isinstance(node, (*TEXTUAL, Word))


class Topic(str):
    """What Help is asked about."""

    ARGUMENT = TopicArgument()
    __slots__ = ()


@command("Help", group=_GROUP)
def help_(run: Run, topic: Topic | None = None) -> None:
    """Show a topic of $HelpFile, or its index; the built-in help if there is no such file. Never an error.

    A help file has its topics behind lines `:name`; what stands before the first one is the index.

    Args:
        topic: the name of a topic

    Examples:
        > Help Copy
    """
    try:
        text = run.decode(run.machine.files.read(run.variables.get("HelpFile")))
    except (BpscriptError, OSError):
        run.log("\r\n".join(_built_in(run, topic or "")) + "\r\n")
    else:
        run.log("\r\n".join(_topic(text.splitlines(), topic or "")) + "\r\n")


def _topic(lines: list[str], topic: str) -> Iterator[str]:
    """The lines of a topic; of the index when there is none of that name."""
    starts = {line[1:].strip().lower(): number for number, line in enumerate(lines) if line.startswith(":")}
    start = starts.get(topic.lower(), -1) if topic else -1
    for line in lines[start + 1 :]:
        if line.startswith(":"):
            return
        yield line


def _built_in(run: Run, topic: str) -> Iterator[str]:
    declaration = run.commands.get(topic) if topic else None
    if declaration is not None:
        yield from declaration.help_text().splitlines()
        return
    for each in sorted(run.commands, key=lambda found: found.name.lower()):
        yield f"{each.name:14} {each.summary}"
