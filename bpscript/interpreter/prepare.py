"""From the text of a command to a statement that can run: name, shape, and each argument bound to its parameter.

    Copy "a$n" {1}      name -> declaration -> shape of the arguments -> nodes -> parameters -> Statement

A statement is made once for a line and run with the values of the line's macros.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..base.errors import BpscriptError, ScriptError
from ..language.arguments import CommandArgument, Condition, RefusedArgument, SignedText
from ..language.binding import NAME, Match, find_command, match_arguments, read_nodes
from ..language.declare import Declaration, Parameter
from ..language.evaluate import Constant, Values, evaluator
from ..language.expand import parts_of
from ..language.places import Expanded, Place, PlacedError
from ..language.syntax import NUMERIC, VALUE_NODES, Absent, Node, Pair, Rest, Signed, Tenths, Test, Word
from .culprit import find_culprit
from .nested import NestedCommand, NestedSource

if TYPE_CHECKING:
    from .run import Run

Raw = Callable[["Run", Values], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """An argument and its parameter. `constant` holds the converted value when it is known; `raw` computes it before that."""

    parameter: Parameter
    place: Place | None         # None for one that was left out
    raw: Raw
    constant: bool
    value: object
    operands: tuple[Place, ...] = ()    # of a test

    def parts(self, run: "Run", values: Values) -> list[tuple[str, object, Place]]:
        """Name, value and place of what was given: the operands of a test one by one."""
        if self.place is None:
            return []
        value = self.raw(run, values)
        if isinstance(value, Condition):
            return [("", operand, place) for operand, place in zip((value.left, value.right), self.operands, strict=False)]
        return [(self.parameter.name, value, self.place)]

    def compute(self, run: "Run", values: Values) -> object:
        """The value that the command gets. Raises PlacedError."""
        if self.constant:
            return self.value
        return _converted(self.parameter, self.raw(run, values), self.place)


class Statement:
    """A command with its arguments."""

    __slots__ = ("_arguments", "_bound", "_constants", "_function", "_skipped", "_writes_disk", "declaration", "start", "text")

    def __init__(self, declaration: Declaration, bound: Sequence[Bound], text: Expanded, start: int, *, skipped: bool) -> None:
        self.declaration = declaration
        self.text = text
        self.start = start
        self._bound = tuple(bound)
        self._function = declaration.function
        self._writes_disk = declaration.writes_disk
        self._skipped = skipped         # checked, but without effect (graphics in MrZip)
        self._constants = tuple(each.value for each in bound) if all(each.constant for each in bound) else None
        self._arguments = tuple(_getter(each) for each in bound)

    def execute(self, run: "Run", values: Values) -> Any:  # noqa: ANN401 - one of the results, see interpreter/results.py
        """Run it. Raises PlacedError, or ScriptError from a file that was included."""
        arguments = self._constants
        if arguments is None:
            arguments = tuple([get(run, values) for get in self._arguments])
        if self._skipped:
            return None
        try:
            if self._writes_disk:
                return self._written(run, arguments)
            return self._function(run, *arguments)
        except (PlacedError, ScriptError, BrokenPipeError):
            raise       # placed already; or nobody reads the log any more, which is no error of the script
        except BpscriptError as error:
            raise self._placed(error.message, error.hint, run, values) from error
        except RefusedArgument as error:
            raise self._placed(error.message, error.hint, run, values) from error
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise self._placed(f"{name}{error.strerror or error}", None, run, values) from error

    def _written(self, run: "Run", arguments: tuple[object, ...]) -> Any:  # noqa: ANN401
        """Run a command that writes: between two commands the disks are whole, whatever came of it."""
        run.is_writing = True
        try:
            result = self._function(run, *arguments)
        except BpscriptError:
            with suppress(BpscriptError):       # the first error is the one to report
                run.machine.disks.flush()
            run.is_writing = False
            raise
        run.machine.disks.flush()
        run.is_writing = False
        return result

    def place_of(self, index: int) -> Place:
        """Where argument `index` stands; the command's name when it was left out."""
        return (self._bound[index].place if index < len(self._bound) else None) or self.place

    @property
    def place(self) -> Place:
        """Where the name stands."""
        match = NAME.match(self.text.text, self.start)
        return Place(self.text, self.start, match.end() if match else self.start + 1)

    def _placed(self, message: str, hint: str | None, run: "Run", values: Values) -> PlacedError:
        """An error of the command, under the argument that it speaks of."""
        message = " ".join(message.splitlines())
        given = [part for each in self._bound for part in each.parts(run, values)]
        omitted = [(each.parameter.name, each.value) for each in self._bound if each.place is None]
        return PlacedError.at(find_culprit(message, given, omitted) or self.place, message, hint=hint)


def prepare(text: Expanded, start: int, run: "Run") -> Statement:
    """The statement of the command that begins at `start`. Raises PlacedError."""
    head = find_command(text, start, run.commands, run.machine.program, at_prompt=run.at_prompt)
    declaration = head.declaration
    matches = match_arguments(declaration, read_nodes(text, head.arguments, declaration), text, head.place)
    skipped = declaration.no_effect_in_mrzip and run.machine.program == "MrZip"
    return Statement(declaration, [_bound(each, text, run) for each in matches], text, start, skipped=skipped)


def _bound(match: Match, text: Expanded, run: "Run") -> Bound:
    """A parameter with its argument or default. Raises PlacedError."""
    parameter = match.parameter
    if not match.nodes:
        return Bound(parameter, None, lambda run, values: parameter.default, constant=True, value=parameter.default)
    if parameter.type.count == 1:
        return _argument(parameter, match.nodes[0], text, run)
    evaluators = [evaluator(node, text) for node in match.nodes if isinstance(node, NUMERIC)]
    where = Place(text, match.nodes[0].start, match.nodes[-1].end)

    def raw(run: "Run", values: Values) -> object:
        return tuple(each.value if isinstance(each, Constant) else each(values) for each in evaluators)

    return Bound(parameter, where, raw, constant=False, value=None)


def _argument(parameter: Parameter, node: Node, text: Expanded, run: "Run") -> Bound:
    """A node as the argument of a parameter; constants are converted here. Raises PlacedError."""
    place = Place(text, node.start, node.end)
    constant, raw = _raw(parameter, node, text, run)
    operands = _operands(node, text) if isinstance(node, Test) else ()
    if not constant:
        return Bound(parameter, place, raw, constant=False, value=None, operands=operands)
    value = _converted(parameter, raw(run, ()), place)
    if parameter.type.sets_variable and run.variables.is_read_only(str(value)):
        raise PlacedError.at(place, f'"{value}" is a read-only variable')
    return Bound(parameter, place, raw, constant=True, value=value, operands=operands)


def _raw(parameter: Parameter, node: Node, text: Expanded, run: "Run") -> tuple[bool, Raw]:
    """Whether the value of a node is the same every time, and how to compute it."""
    match node:
        case Word():
            return True, lambda run, values: node.text
        case Tenths():
            return True, lambda run, values: node.value / 10
        case Signed():
            signed = evaluator(node.text, text)
            if isinstance(signed, Constant):
                return True, lambda run, values: SignedText(node.sign, str(signed.value))
            return False, lambda run, values: SignedText(node.sign, str(signed(values)))
        case Pair():
            return _pair(node, text)
        case Rest():
            if isinstance(parameter.type, CommandArgument):
                source = NestedSource(text, node.start)
                return False, lambda run, values: NestedCommand(source, values, run.line)
            parts = parts_of(text.text[node.start : node.end])
            return not any(isinstance(part, int) for part in parts), lambda run, values: "".join(
                [part if isinstance(part, str) else values[part] for part in parts]
            )
        case Test():
            return _condition(node, text)
    assert isinstance(node, VALUE_NODES)
    found = evaluator(node, text)
    if isinstance(found, Constant):
        return True, lambda run, values: found.value
    return False, lambda run, values: found(values)


def _operands(node: Test, text: Expanded) -> tuple[Place, ...]:
    """Where the two sides of a test stand."""
    return tuple(Place(text, each.start, each.end) for each in (node.left, node.right) if each is not None)


def _condition(node: Test, text: Expanded) -> tuple[bool, Raw]:
    left = Constant("") if isinstance(node.left, Absent) else evaluator(node.left, text)
    right = Constant("") if node.right is None else evaluator(node.right, text)
    negated, ignore_case, operator = node.negated, node.ignore_case, node.operator
    if isinstance(left, Constant) and isinstance(right, Constant):
        known = Condition(negated, ignore_case, operator, None if isinstance(node.left, Absent) else left.value, right.value)
        return True, lambda run, values: known
    get_left = (lambda values: left.value) if isinstance(left, Constant) else left
    get_right = (lambda values: right.value) if isinstance(right, Constant) else right
    absent = isinstance(node.left, Absent)
    return False, lambda run, values: Condition(
        negated, ignore_case, operator, None if absent else get_left(values), get_right(values)
    )


def _pair(node: Pair, text: Expanded) -> tuple[bool, Raw]:
    disk = Constant(0) if node.disk is None else evaluator(node.disk, text)
    partition = evaluator(node.partition, text)

    def raw(run: "Run", values: Values) -> object:
        return tuple(each.value if isinstance(each, Constant) else each(values) for each in (disk, partition))

    return isinstance(disk, Constant) and isinstance(partition, Constant), raw


def _converted(parameter: Parameter, value: Any, place: Place | None) -> object:  # noqa: ANN401 - any of the values
    try:
        return parameter.type.convert(value)
    except RefusedArgument as error:
        assert place is not None
        raise PlacedError.at(place, error.message, hint=error.hint) from None


def _getter(bound: Bound) -> Callable[["Run", Values], object]:
    """The quickest way to an argument's value."""
    if bound.constant:
        value = bound.value
        return lambda run, values: value
    if type(bound.parameter.type).convert is _IDENTITY:
        return bound.raw
    return bound.compute


_IDENTITY = CommandArgument.convert     # of ArgumentType: passes the value on
