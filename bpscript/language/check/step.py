"""A command at work, as the rules see it: its arguments, what is known when it runs, and where what they find is reported."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..declare import Declaration
from ..evaluate import evaluator
from ..expand import FIRST_HOLE, HOLE
from ..places import Place, PlacedError
from ..syntax import NUMERIC, TEXTUAL, Node, Rest, Text
from .program import Program
from .reading import Command, Used, constant
from .state import State

if TYPE_CHECKING:
    from .walk import Walk


@dataclass(slots=True, eq=False)
class Step:
    """A command at work: on which line, with what known, whether only a test led here."""

    walk: "Walk"
    index: int
    command: Command
    used: tuple[Used, ...]
    state: State
    conditional: bool
    guards: tuple[Command, ...]
    at: Place | None = None         # errors stand here: the argument of the Eval that the command came from
    sampled: bool = False           # some of its text is not known
    later: bool = False             # it is a handler's

    @property
    def program(self) -> Program:
        """The whole program."""
        return self.walk.program

    def value(self, node: Node | None) -> str | int | float | None:
        """The value of a node, None when it is not known."""
        if node is None:
            return None
        command = self.command
        if not command.is_open(node):
            try:
                return constant(node, command.text)
            except PlacedError:
                return None
        if self.sampled or HOLE not in command.text.text or not isinstance(node, (*TEXTUAL, *NUMERIC, Rest)):
            return None
        if isinstance(node, Text):
            return self._joined(node)
        values: list[str] = []
        written = command.text.text[node.start : node.end]
        for number, each in enumerate(self.used):
            text = self.text_of(each) if HOLE + chr(FIRST_HOLE + number) in written else ""
            if text is None:
                return None
            values.append(text)
        if isinstance(node, Rest):
            for number, text in enumerate(values):
                written = written.replace(HOLE + chr(FIRST_HOLE + number), text)
            return written
        if not all(_fits(each, text) for each, text in zip(self.used, values, strict=True)):
            return None
        found = evaluator(node, command.text)
        return found(values) if callable(found) else found.value    # PlacedError: the calculation fails

    def _joined(self, node: Text) -> str | None:
        pieces: list[str] = []
        for part in node.parts:
            text = part if isinstance(part, str) else self.text_of(self.used[part])
            if text is None:
                return None
            pieces.append(text)
        return "".join(pieces)

    def known_text(self, node: Node | None) -> str | None:
        """The value of a text node, when it is known."""
        try:
            found = self.value(node)
        except PlacedError:
            return None
        return found if isinstance(found, str) else None

    def text(self, name: str) -> str | None:
        """The value of a text argument, when it is known and given."""
        return self.known_text(self.command.argument(name))

    def number(self, name: str, default: int | None = None) -> int | None:
        """The value of a number argument, when it is known; `default` when it was left out."""
        node = self.command.argument(name)
        if node is None:
            return default
        try:
            found = self.value(node)
        except PlacedError:
            return None
        return found if isinstance(found, int) else None

    def text_of(self, used: Used) -> str | None:
        """The text that a macro stands for, when it is known."""
        key, rest = used.names[self.program.choice(used)]
        value = self.state.values.get(key)
        if value is None:
            return None
        return value if used.outside else value + rest

    def prefix(self, node: Node | None) -> str:
        """The beginning of a string up to its first unknown macro."""
        if not isinstance(node, Text) or self.sampled:
            return ""
        found = ""
        for part in node.parts:
            text = part if isinstance(part, str) else self.text_of(self.used[part])
            if text is None:
                break
            found += text
        return "" if HOLE not in self.command.text.text and self.command.is_open(node) else found

    def used_in(self, node: Node) -> list[Used]:
        """The macros that stand in a node."""
        start, end = self.command.text.column(node.start), self.command.text.column(node.end)
        return [each for each in self.used if start <= each.column < end]

    def place(self, node: Node | None = None) -> Place:
        """Where a node stands; the command's name without one."""
        return self.command.place if node is None else Place(self.command.text, node.start, node.end)

    def report(self, code: str, node: Node | Place | None, message: str, hint: str | None = None, *, inside: tuple[int, int] | None = None) -> None:
        """Something is wrong. `inside` is where in a plain string: offset and length."""
        if self.at is not None:
            self.walk.report(self.index, code, self.at.column, self.at.width, message, hint)
            return
        place = node if isinstance(node, Place) else self.place(node)
        column, width = place.column, place.width
        if inside is not None and isinstance(node, Text) and width == node.end - node.start:
            column, width = column + 1 + inside[0], inside[1]
        self.walk.report(self.index, code, column, width, message, hint)


def _fits(used: Used, value: str) -> bool:
    """Whether a value outside quotes stays one number."""
    return not used.outside or value.removeprefix("-").isdecimal()


Rule = Callable[[Step], None]


@dataclass(slots=True, eq=False)
class Rules:
    """What looks at commands, and what changes the state: by the name of the command ("$": the macros of a line).

    `wide` are rules that look at every command whose declaration has what they are about.
    """

    checks: dict[str, list[Rule]] = field(default_factory=dict)
    effects: dict[str, list[Rule]] = field(default_factory=dict)
    wide: list[tuple[Callable[[Declaration], bool], Rule]] = field(default_factory=list)
    _of: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    _sets: dict[str, bool] = field(default_factory=dict)

    def of(self, declaration: Declaration) -> tuple[Rule, ...]:
        """All checks of a command."""
        name = declaration.name
        if name not in self._of:
            wide = [rule for applies, rule in self.wide if applies(declaration)]
            self._of[name] = (*self.checks.get(name, ()), *wide)
        return self._of[name]

    def sets(self, declaration: Declaration) -> bool:
        """`sets_variables`, worked out once for each command."""
        name = declaration.name
        if name not in self._sets:
            self._sets[name] = sets_variables(declaration)
        return self._sets[name]


def names_files(declaration: Declaration) -> bool:
    """Whether an argument names a file, a place on a disk, or is a test (which may)."""
    return any(
        each.type.file_use is not None or each.type.shape == "test" or each.name in {"destpath", "command_line"} for each in declaration.parameters
    )


def sets_variables(declaration: Declaration) -> bool:
    """Whether an argument names a variable that gets a value."""
    return any(each.type.sets_variable for each in declaration.parameters)
