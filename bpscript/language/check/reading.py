"""A line as the checker sees it: its commands, from the outer to the inner one, with their arguments still unexpanded.

    If "$x" == "1" At 3,4 Print "hello"      three commands: If, At, Print

A line is read once with holes where its macros stand (`language/expand.py`). Where a macro stands for something that is no number (a
command, several words, a part of a label), samples are put in its place: the first one with which the line makes sense counts, and what the
sample touches is unknown. A line that no sample saves is wrong whatever the value is, at least in front of the macro.

What was read is kept by the text of the line: an editor asks again with every key.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from ..arguments import CommandArgument, RefusedArgument
from ..automaton import skip_blanks
from ..binding import (
    Match,
    UnavailableCommandError,
    UnknownCommandError,
    find_command,
    match_arguments,
    plain_matches,
    read_nodes,
)
from ..declare import CommandSet, Declaration
from ..evaluate import Constant, evaluator
from ..expand import HOLE, Macro, TooManyMacrosError, Where, expand, make_template, unescape
from ..places import Expanded, Place, PlacedError
from ..syntax import VALUE_NODES, Node, Number, Rest, Tenths, Test, Text, Word

# A number, a word, several numbers, a place on the screen or on a disk, a whole test, half a calculation.
_SAMPLES = ("1", "x", "1 1", "1 1 1", "1 1 1 1", "1,1", "0:1", "1 == 1", "x x", "(1", "1)")
_SET = re.compile(r"(?i)(?<![^ \t])set[ \t]+([A-Za-z_][A-Za-z0-9_+-]*)[ \t]*=")
_CODE_PAGE = "cp850"
_PLAIN = (Text, Number)


class Used(NamedTuple):
    """A variable that a line uses: the names it may mean (longest first, each with the rest of the text), and where."""

    names: tuple[tuple[str, str], ...]
    written: str
    column: int
    width: int
    outside: bool


class Problem(NamedTuple):
    """What is wrong with a line by itself. Columns count from 1 in the line without blanks around it."""

    code: str
    message: str
    column: int
    width: int
    hint: str | None = None


class Command(NamedTuple):
    """One command of a line. `start` is its offset in the text."""

    declaration: Declaration
    place: Place
    arguments: tuple[Match, ...]
    text: Expanded
    start: int
    name: str       # as it is declared, whatever alias was written

    def argument(self, name: str) -> Node | None:
        """The node of a parameter that takes one; None when it was left out."""
        for match in self.arguments:
            if match.parameter.name == name:
                return match.nodes[0] if match.nodes else None
        return None

    def is_open(self, node: Node) -> bool:
        """Whether a macro stands in the node."""
        text = self.text
        return len(text.segments) > 1 and has_macro(text, node.start, node.end)


class Reading(NamedTuple):
    """A line read. `is_opaque` is one that could be any command; `meant` are variables that a line which is wrong was meant to set."""

    commands: tuple[Command, ...] = ()
    used: tuple[Used, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_opaque: bool = False
    meant: tuple[str, ...] = ()


def has_macro(text: Expanded, start: int, end: int) -> bool:
    """Whether a value, or a hole for one, stands between two offsets."""
    if text.text.find(HOLE, start, end) >= 0:
        return True
    for segment in text.segments:
        if segment.offset > end:
            return False
        if segment.width and segment.offset >= start:
            return True
    return False


class Reader:
    """Reads lines of one program ("MrBatch", "MrZip"); keeps what it has read."""

    def __init__(self, commands: CommandSet, program: str) -> None:
        self._commands = commands
        self._program = program
        self.read: Callable[[str, tuple[int, ...]], Reading] = lru_cache(8192)(self._read)
        self.macros: Callable[[str], tuple[Used, ...]] = lru_cache(8192)(self._macros)

    def _macros(self, text: str) -> tuple[Used, ...]:
        """The variables of a line, () where it cannot be scanned."""
        if "$" not in text:
            return ()
        try:
            template = make_template(text, 1, {}, _upper_code)
        except (PlacedError, TooManyMacrosError):
            return ()
        return _used(text, template.line, template.macros)

    def _read(self, text: str, choices: tuple[int, ...]) -> Reading:
        """A line without blanks around it; `choices` says which of its names each macro means."""
        found = self._read_as_it_is(text, choices)
        if not found.problems and not found.is_opaque:
            return found
        return found._replace(meant=tuple(_SET.findall(text)))      # one mistake shall not bring others

    def _read_as_it_is(self, text: str, choices: tuple[int, ...]) -> Reading:
        if "\0" in text:
            return Reading(problems=(Problem("BP101", "a NUL character is not allowed in a script", text.index("\0") + 1, 1),))
        try:
            template = make_template(text, 1, dict(enumerate(choices)), _upper_code)
        except PlacedError as error:
            return Reading(problems=(_problem("BP101", error),))
        except TooManyMacrosError:
            return Reading(is_opaque=True)
        used = _used(text, template.line, template.macros)
        if not template.line.text.strip(" \t\r\n"):
            return Reading()
        found, problem = self._commands_of(template.line)
        outside = () if problem is None else tuple(each for each in used if each.outside)
        if not outside:
            return Reading(found, used, _with(found, problem))
        chosen = frozenset(each.names[choices[index] if index < len(choices) else 0][0] for index, each in enumerate(used))
        return self._sampled(text, outside, chosen, Reading(found, used, _with(found, problem)))

    def _sampled(self, text: str, outside: tuple[Used, ...], chosen: frozenset[str], plain: Reading) -> Reading:
        """A line whose macros bring more than numbers; `chosen` are the variables that they mean."""
        used = plain.used
        first = min(each.column for each in outside)
        if first == 1 or text[: first - 1].isspace():
            return Reading(used=used, is_opaque=True)
        last: Problem | None = None
        for sample in _SAMPLES:
            try:
                line = expand(text, 1, _finder(chosen, sample), _upper_code)
            except PlacedError:
                continue
            if not line.text.strip(" \t\r\n"):
                continue
            found, problem = self._commands_of(line)
            if problem is None:
                return Reading(found, used, _with(found, None))
            last = last or problem
        problem = plain.problems[-1]
        if problem.code == "BP102" and any(problem.column <= each.column < problem.column + problem.width for each in outside):
            return Reading(plain.commands, used, is_opaque=True)      # a part of the name
        if problem.column < first or (last is not None and last.column < first):
            return plain        # what was typed in front of the first macro is wrong
        at = next((each for each in outside if each.column <= problem.column < each.column + _name_width(each, chosen)), None)
        if at is None:
            return Reading(plain.commands, used, (*plain.problems[:-1], problem._replace(code="BP109")))
        wanted_string = "expected a string" in problem.message
        if wanted_string and at is not None:
            message = f"{at.written} stands outside quotes, where {plain.commands[-1].name if plain.commands else 'the command'} expects a string"
            if not plain.commands:
                message = f"{at.written} stands outside quotes, where a string is expected"
            return Reading(plain.commands, used, (Problem("BP108", message, at.column, at.width, f'write "{at.written}"'),))
        # A value could bring what is missing: an operator, a keyword. Not sure enough to complain.
        return Reading(plain.commands, used, is_opaque=True)

    def _commands_of(self, line: Expanded) -> tuple[tuple[Command, ...], Problem | None]:
        """All commands of a line, as far as they can be read, and what is wrong with the next one."""
        found: list[Command] = []
        start = skip_blanks(line.text, 0)
        while True:
            try:
                head = find_command(line, start, self._commands, self._program)
            except UnknownCommandError as error:
                return tuple(found), _problem("BP102", error)
            except UnavailableCommandError as error:
                return tuple(found), _problem("BP103", error)
            except PlacedError as error:
                return tuple(found), _problem("BP101", error)
            declaration = head.declaration
            try:
                nodes = read_nodes(line, head.arguments, declaration)
                matches = plain_matches(declaration, nodes) or tuple(match_arguments(declaration, nodes, line, head.place))
            except PlacedError as error:
                is_unfinished = line.unclosed is not None or line.unclosed_operator is not None
                return tuple(found), _problem("BP101" if is_unfinished else "BP104", error)
            found.append(Command(declaration, head.place, matches, line, start, declaration.name))
            nested = matches[-1] if matches else None
            if nested is None or not nested.nodes or not isinstance(nested.parameter.type, CommandArgument):
                return tuple(found), None
            start = nested.nodes[0].start


def _name_width(used: Used, chosen: frozenset[str]) -> int:
    """How much of a macro is the name, of `$n-1` perhaps only `$n`."""
    return used.width - next((len(rest) for key, rest in used.names if key in chosen), 0)


def _used(text: str, line: Expanded, macros: tuple[Macro, ...]) -> tuple[Used, ...]:
    if not macros:
        return ()
    holes = [segment for segment in line.segments if segment.width]     # one for each macro
    return tuple(
        [
            Used(macro.names, text[column - 1 : column - 1 + width], column, width, macro.where is Where.OUTSIDE)
            for macro, (_, column, width) in zip(macros, holes, strict=True)
        ]
    )


def _problem(code: str, error: PlacedError) -> Problem:
    return Problem(code, error.message, error.column, error.width, error.hint)


def _with(commands: tuple[Command, ...], problem: Problem | None) -> tuple[Problem, ...]:
    """Problems of constants first, then what could not be read."""
    found = [each for command in commands for each in _constants(command)]
    return tuple(found) if problem is None else (*found, problem)


def _constants(command: Command) -> list[Problem]:
    """What is wrong with the constants among the arguments."""
    found: list[Problem] = []
    for match in command.arguments:
        if not match.nodes or isinstance(match.parameter.type, CommandArgument):
            continue
        nodes = match.nodes
        if isinstance(nodes[0], Test):
            nodes = tuple(each for each in (nodes[0].left, nodes[0].right) if each is not None)
        for node in nodes:
            converts = match.parameter.type.converts
            if not converts and (isinstance(node, _PLAIN) or not isinstance(node, VALUE_NODES)):
                continue        # nothing can be wrong with it
            if command.is_open(node):
                continue
            try:
                value = constant(node, command.text)
                if value is None or not converts:
                    continue
                match.parameter.type.convert(value)
            except RefusedArgument as error:
                place = Place(command.text, node.start, node.end)
                found.append(Problem("BP105", error.message, place.column, place.width, error.hint))
            except PlacedError as error:
                found.append(_problem("BP106", error))
    return found


def constant(node: Node, text: Expanded) -> str | int | float | None:
    """The value of a node without macros; None where it has none. Raises PlacedError when it cannot be computed."""
    if isinstance(node, Text):
        return "".join([part for part in node.parts if isinstance(part, str)])      # all of them are
    if isinstance(node, Word):
        return node.text
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Tenths):
        return node.value / 10
    if isinstance(node, Rest):
        return unescape(text.text[node.start : node.end])
    if not isinstance(node, VALUE_NODES):
        return None
    found = evaluator(node, text)
    return found.value if isinstance(found, Constant) else found(())


def _finder(chosen: frozenset[str], sample: str) -> Callable[[str], str | None]:
    return lambda name: sample if name in chosen else None


def _upper_code(code: int) -> str:
    return bytes([code]).decode(_CODE_PAGE)
