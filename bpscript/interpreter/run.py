"""A run: the machine, the variables, the files that are running, and the loop that takes line after line.

Control flow is values. A command returns None, or

    NestedCommand   run this command next (If, At, Eval, a handler)
    Jump            go on at a label of the running file
    Enter, Leave    run another file or the prompt; leave the prompt
    Ended           the machine boots: the script is over

and the loop follows, so that a thousand nested commands and endless jumps need no stack.

Errors: a PlacedError gets file and line here and becomes a ScriptError. With `$ErrorMode` CONTINUE it is logged and the next line
runs; at a prompt it is shown and the prompt comes back; else the files end from the innermost on, each with its exit handler,
and the error is the outcome of the run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..base.errors import BpscriptError, ScriptError
from ..base.events import Event, Kind, Value, ignore
from ..base.text import decode
from ..language.expand import expand
from ..language.parser import one_line, visible
from ..language.places import Expanded, PlacedError, Segment
from ..language.source import Line, LineKind, make_line
from .frames import Frame
from .keys import Keys
from .lines import LinePlan, shown
from .nested import NestedCommand, NestedSource
from .pager import Pager
from .prepare import Statement
from .results import Ended, Enter, Jump, Leave
from .specials import register_specials
from .variables import Variables

if TYPE_CHECKING:
    from ..language.declare import CommandSet
    from ..language.evaluate import Values
    from ..machine.machine import Machine

__all__ = ["Ended", "Enter", "Jump", "Leave", "NestedCommand", "Outcome", "Run"]

MOST_INCLUDES = 64          # language.md 2.7
_ESCAPE = "\033"
_MOST_EVALS = 256           # texts of Eval that are kept prepared


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: by booting (the text of the `[boot]` line), by an error, or at its last line."""

    ended_by: str | None = None
    error: ScriptError | None = None


class Run:
    """What commands work with."""

    def __init__(self, machine: "Machine", commands: "CommandSet", log: Callable[[str], None], basename: str = "") -> None:
        self.machine = machine
        self.commands = commands
        self.variables = Variables()
        self.keys = Keys(machine.keyboard, machine.screen, machine.clock)
        self._pager = Pager(machine, self.keys, self.variables)
        self.code_page = "cp850"        # a codec of Python
        self.events = machine.events
        self.frames: list[Frame] = []
        self.line: Line = make_line(0, "")      # the one that runs
        self.log_sink = log
        self.is_writing = False                 # a command on disks; still true when it was torn off
        self._origin: Line = self.line          # where the command that runs was written
        self._statement: Statement | None = None
        self._at_line_start = True
        self._tracing = False
        self._continues = False                 # $ErrorMode is CONTINUE
        self._evals: dict[tuple[str, int, int], NestedSource] = {}
        register_specials(self, basename)
        self.variables.watch("Trace", self._trace_changed)
        self.variables.watch("ErrorMode", self._error_mode_changed)
        machine.settings.source = self.variables
        machine.files.note = self.note

    # What commands use ---------------------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        """The file that is running."""
        return self.frames[-1]

    @property
    def at_prompt(self) -> bool:
        """Whether the command was typed at a prompt."""
        return bool(self.frames) and self.frames[-1].is_prompt

    @property
    def tracing(self) -> bool:
        """Whether `$Trace` is on."""
        return self._tracing

    def log(self, text: str) -> None:
        """Write to the log, and to the records that `CaptureLog` keeps."""
        for frame in self.frames:
            if frame.capture is not None:
                frame.capture.append(text)
        self._write_log(text)

    def note(self, text: str) -> None:
        """A line of the interpreter's own, for information."""
        self._tagged("note", text, Kind.NOTE)

    def warn(self, text: str) -> None:
        """A line of the interpreter's own, about something that may be wrong."""
        self._tagged("warning", text, Kind.WARNING)

    def upper_code(self, code: int) -> str:
        """The character of a code from 128 on in the active code page. Raises UnicodeDecodeError."""
        return bytes([code]).decode(self.code_page)

    def decode(self, data: bytes) -> str:
        """A script's text from its bytes (language.md 2.2)."""
        return decode(data, iso_latin=self.variables.is_on("IsoLatin"), code_page=self.code_page).text

    def enter(self, frame: Frame) -> Enter:
        """Run a file or the prompt: return this. Raises PlacedError when that is too deep."""
        if sum(not each.is_prompt for each in self.frames) > MOST_INCLUDES or len(self.frames) > 2 * MOST_INCLUDES:
            raise self.refuse(0, f"files are nested more than {MOST_INCLUDES} deep")
        return Enter(frame)

    def refuse(self, argument: int | None, message: str, hint: str | None = None) -> PlacedError:
        """An error of the running command, under its argument of that index; under its name for None."""
        assert self._statement is not None
        place = self._statement.place if argument is None else self._statement.place_of(argument)
        return PlacedError.at(place, message, hint=hint)

    def command_from(self, text: str) -> NestedCommand | None:
        """A command from a string, expanded again; errors point at the running command's first argument. None for nothing."""
        assert self._statement is not None
        place = self._statement.place_of(0)
        column, width = place.column, place.width
        line = make_line(self.line.number, text.replace("\r", " ").replace("\n", " "))
        if line.kind is not LineKind.COMMAND:
            return None
        try:
            expanded = expand(line.text, 1, self.variables.find, self.upper_code)
        except PlacedError as error:
            raise PlacedError(error.message, column, width, hint=error.hint) from None
        if not expanded.text.strip(" \t\r\n"):
            return None
        if self._tracing:
            self.log(f"+ {shown(line, self)}\r\n")
        key = (expanded.text, column, width)
        source = self._evals.get(key)
        if source is None:
            if len(self._evals) >= _MOST_EVALS:
                self._evals.clear()
            there = Expanded(
                expanded.text, (Segment(0, column, width),), expanded.unclosed, expanded.unclosed_operator, expanded.operator_part
            )
            start = len(expanded.text) - len(expanded.text.lstrip(" \t\r\n"))
            source = self._evals[key] = NestedSource(there, start)
        return NestedCommand(source, (), self.line)

    def read_line(
        self, most: int | None = None, echo: str | None = None, show: Callable[[str], None] | None = None
    ) -> str | None:
        """Characters up to Return, shown on the screen as typed or as `echo`; None when the keys run out before (language.md 8.3)."""
        typed: list[str] = []
        screen = self.machine.screen
        show = show or screen.write
        begun = False
        while True:
            screen.show_cursor(True)
            try:
                key = self.keys.take(within_line=begun)
            finally:
                screen.show_cursor(False)
            begun = True
            if key is None:
                return None
            if key == "\r":
                show("\r\n")
                return "".join(typed)
            if key == "\b":
                if typed:
                    typed.pop()
                    show("\b \b")
            elif (key.isprintable() or ord(key) >= 160) and (most is None or len(typed) < most):
                typed.append(key)
                show(echo or key)

    def wait_for_key(self, seconds: float) -> str | None:
        """The next key that is the script's own, if it comes within that time; it stays there (language.md 8.3)."""
        end = monotonic() + seconds
        while True:
            key = self.keys.wait(seconds)
            if key is None or self.frame.handler_for(key) is not None or not self._escape_pressed(key):
                return key
            seconds = max(0.0, end - monotonic())

    def key_handler(self) -> NestedCommand | None:
        """The handler of the next key, which is then taken; None when there is no key or nobody handles it."""
        key = self.keys.peek()
        handler = None if key is None else self.frame.handler_for(key)
        if handler is not None:
            self.keys.drop()
        return handler

    # The loop --------------------------------------------------------------------------------------------------------

    def execute(self, frame: Frame) -> Outcome:
        """Run a file to its end."""
        try:
            return Outcome(ended_by=self._drive(frame))
        except ScriptError as error:
            return Outcome(error=error)
        finally:
            self.frames.clear()

    def perform(self, statement: Statement, values: "Values") -> Any:  # noqa: ANN401 - one of the results
        """Run a statement of the line, telling those who listen."""
        self._statement = statement
        if statement.declaration.may_take_long:
            self.machine.screen.refresh()
        stage = self.machine.stage
        if self.events is ignore and not stage.watches:
            return statement.execute(self, values)
        facts: dict[str, Value] = {"name": statement.declaration.name, "file": self.frame.name, "line": self.line.number}
        self.events(Event(Kind.COMMAND_STARTED, facts))
        started = monotonic()
        try:
            if stage.watches:
                return stage.perform(statement.declaration.name, self.frame.name, self.line.number, lambda: statement.execute(self, values))
            return statement.execute(self, values)
        finally:
            self.events(Event(Kind.COMMAND_FINISHED, {**facts, "seconds": round(monotonic() - started, 6)}))

    def _drive(self, frame: Frame) -> str | None:
        """Run a frame and all it enters. Returns the boot text, None at the end. Raises ScriptError."""
        base = len(self.frames)
        self.frames.append(frame)
        while len(self.frames) > base:
            try:
                ended = self._run_lines(self.frames[-1])
            except PlacedError as error:
                self._failed(self._script_error(error), base)
                continue
            except BpscriptError as error:      # of what was still to be done at the end of a file
                self._failed(self._script_error(PlacedError(error.message, self.line.column, hint=error.hint)), base)
                continue
            except KeyboardInterrupt:
                if self.is_writing or not any(each.is_prompt for each in self.frames):
                    raise
                self._failed(self._script_error(PlacedError("interrupted", self.line.column)), base)
                continue
            if ended is not None:
                del self.frames[base:]
                self._tagged("boot", ended.boot, Kind.BOOT, ended.facts)
                return ended.boot
        return None

    def _run_lines(self, frame: Frame) -> Ended | None:
        """Run lines until another frame runs. Raises PlacedError."""
        watches_keys = self.keys.live and not frame.is_prompt      # what is typed ahead at a prompt is the next command
        while True:
            line = frame.next_line(self)
            if line is None:
                result = self._end_of_frame(frame)
            elif line.kind is not LineKind.COMMAND:
                continue
            else:
                self.line = self._origin = line
                plan = line.plan
                if not isinstance(plan, LinePlan):
                    plan = line.plan = LinePlan(line)
                if self._tracing:
                    self.log(f"+ {shown(line, self)}\r\n")
                if watches_keys and self._key_pressed(frame):
                    result = self._settled(self.key_handler())
                    if result is None:
                        self._origin = line
                        result = plan.execute(self)
                else:
                    result = plan.execute(self)
            if result is None:
                if self.frames[-1:] != [frame]:
                    return None
                continue
            result = self._settled(result)
            if result is not None:
                ended = self._change(frame, result)
                if ended is not None or self.frames[-1:] != [frame]:
                    return ended

    def _settled(self, result: Any) -> Any:  # noqa: ANN401 - one of the results
        """Run nested commands until there is something else to do."""
        while result.__class__ is NestedCommand:
            self._origin = result.line
            result = result.execute(self)
        return result

    def _change(self, frame: Frame, result: Jump | Enter | Leave | Ended) -> Ended | None:
        """Go on somewhere else."""
        match result:
            case Jump(label):
                hint = frame.jump(label)
                if hint is not None:
                    raise self.refuse(0, f'there is no label "{one_line(label)}" in {frame.name}', hint or None)
            case Enter(entered):
                self.frames.append(entered)
            case Leave():
                self.frames.pop()
            case Ended():
                return result
        return None

    def _end_of_frame(self, frame: Frame) -> Any:  # noqa: ANN401 - one of the results
        """What is still to be done at the end of a file; then the file is left."""
        if frame.at_end:
            self.line, action = frame.at_end.pop(0)
            self._origin = self.line
            return action(self)
        if frame.exit_handler is not None:
            handler, frame.exit_handler = frame.exit_handler, None
            self.line = handler.line
            return handler
        self._leave(frame)
        return None

    def _leave(self, frame: Frame) -> None:
        if frame.capture is not None:
            frame.capture = None
            self.warn(f"a capture was still active at the end of {frame.name}: dropped")
        self.frames.remove(frame)

    def _key_pressed(self, frame: Frame) -> bool:
        """With a terminal keys are looked at before each command: is there one with a handler? Escape shows the log."""
        key = self.keys.peek()
        if key is None:
            return False
        if frame.handler_for(key) is not None:
            return True
        self._escape_pressed(key)
        return False

    def _escape_pressed(self, key: str) -> bool:
        """Escape on a terminal shows the log, and the screen again; it is no key of the script then."""
        if not self.turns_to_log(key):
            return False
        self.keys.drop()
        return True

    def turns_to_log(self, key: str) -> bool:
        """Whether a key is the one that shows the log, and the screen again; it does so then."""
        if key != _ESCAPE or not self.keys.live or not self.variables.is_on("AutoShowLog"):
            return False
        screen = self.machine.screen
        screen.show_log(not screen.log_visible)
        return True

    # Errors ------------------------------------------------------------------------------------------------------------

    def _script_error(self, error: PlacedError) -> ScriptError:
        """The error with its file and line. A handler's place is the command that ran it."""
        line = self.line
        here = self._origin is line
        column, width = (error.column, error.width) if here else (line.column, len(line.text.split(maxsplit=1)[0]) if line.text else 1)
        return ScriptError(
            visible(" ".join(error.message.splitlines())), self.frame.name, line.number, column, line.written, width, hint=error.hint
        )

    def _failed(self, error: ScriptError, base: int) -> None:
        """Decide what an error ends. Raises it when it ends everything."""
        self.events(Event(Kind.ERROR, {"text": error.message, "file": error.file, "line": error.line, "column": error.column}))
        prompts = [index for index, frame in enumerate(self.frames) if frame.is_prompt and index >= base]
        if prompts:
            self._unwind(prompts[-1] + 1)
            self.warn(str(error) if error.hint is None else f"{error} ({error.hint})")
        elif self._continues:
            self.variables.define("LastError", error.message)
            self.warn(str(error))
        else:
            self._unwind(base)
            raise error

    def _unwind(self, depth: int) -> None:
        """End files by an error, from the innermost on: their exit handlers run first."""
        while len(self.frames) > depth:
            frame = self.frames[-1]
            if frame.exit_handler is not None:
                handler, frame.exit_handler = frame.exit_handler, None
                self._last_words(handler)
            self._leave(frame)

    def _last_words(self, handler: NestedCommand) -> None:
        """An exit handler after an error: what goes wrong in it is logged, and there is no way back into the file."""
        self.line = self._origin = handler.line
        try:
            result = self._settled(handler)
            match result:
                case Enter(frame):
                    self._drive(frame)
                case Jump(label):
                    self.warn(f'Goto "{one_line(label)}" in the exit handler is ignored: the file ended by an error')
                case Ended(boot, facts):
                    self._tagged("boot", boot, Kind.BOOT, facts)
        except PlacedError as error:
            self.warn(str(self._script_error(error)))
        except ScriptError as error:
            self.warn(str(error))

    # The log -----------------------------------------------------------------------------------------------------------

    def _write_log(self, text: str) -> None:
        if not text:
            return
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()     # a lone surrogate is no character
        self._at_line_start = text.endswith("\n")
        self.log_sink(text)
        self._pager.write(text)
        if self.events is not ignore:
            self.events(Event(Kind.LOG, {"text": text}))

    def _tagged(self, tag: str, text: str, kind: Kind, facts: Mapping[str, Value] = MappingProxyType({})) -> None:
        """A line that begins with a tag; not part of a capture."""
        start = "" if self._at_line_start else "\r\n"
        self._at_line_start = True
        line = f"{start}[{tag}] {text}\r\n"
        self.log_sink(line)
        self._pager.write(line)
        self.events(Event(kind, {"text": text, **facts}))

    def _trace_changed(self, value: str) -> None:
        self._tracing = value.upper() == "ON"

    def _error_mode_changed(self, value: str) -> None:
        self._continues = value.upper() == "CONTINUE"
