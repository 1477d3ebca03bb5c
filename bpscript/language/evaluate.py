"""Expressions at work: a tree becomes a short program for a stack, so that no depth of brackets is too deep.

A step takes the stack and the values of the line's macros. Numbers are int, strings are str. What is the same every time is
computed once, when the line is prepared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .numbers import HIGHEST, LOWEST, NumberRangeError, number_of, words_of
from .places import Expanded, Place, PlacedError
from .syntax import (
    Measure,
    Number,
    NumberHole,
    Numeric,
    Operation,
    Part,
    Replacement,
    Selection,
    Text,
    Textual,
)

Value = str | int
Values = Sequence[str]
Step = Callable[[list[Value], Values], None]
Evaluator = Callable[[Values], Value]


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A value that is known when the line is prepared."""

    value: Value


def evaluator(node: Textual | Numeric, line: Expanded) -> Constant | Evaluator:
    """How to compute a string or number of a line. Raises PlacedError, also later from the evaluator."""
    if isinstance(node, Number):
        return Constant(node.value)
    if isinstance(node, Text):
        return _joined(node.parts)
    if isinstance(node, NumberHole):
        return _number(node, line)
    program: list[Step] = []
    uses_macros = False
    # Two passes with a stack of our own: nodes in reverse order, operands behind their operators.
    todo: list[Textual | Numeric] = [node]
    while todo:
        each = todo.pop()
        match each:
            case Number():
                program.append(_push(each.value))
            case NumberHole():
                uses_macros = True
                program.append(_push_computed(_number(each, line)))
            case Text():
                joined = _joined(each.parts)
                uses_macros |= not isinstance(joined, Constant)
                program.append(_push(joined.value) if isinstance(joined, Constant) else _push_computed(joined))
            case Operation():
                program.append(_arithmetic(each, line))
                todo += (each.left, each.right)
            case Measure():
                program.append(_length if each.kind == "@" else _count)
                todo.append(each.text)
            case Replacement():
                uses_macros |= not all(isinstance(part, str) for part in (*each.old, *each.new))
                program.append(_replace(each))
                todo.append(each.text)
            case Selection():
                program.append(_select(each, line))
                todo += (each.text, each.first)
                if each.last is not None:
                    todo.append(each.last)
    steps = tuple(reversed(program))
    if not uses_macros:
        try:
            return Constant(_run(steps, ()))
        except PlacedError:
            pass    # it is an error when it runs, not when it is prepared
    return lambda values: _run(steps, values)


def _run(steps: tuple[Step, ...], values: Values) -> Value:
    stack: list[Value] = []
    for step in steps:
        step(stack, values)
    return stack[0]


def _joined(parts: tuple[Part, ...]) -> Constant | Callable[[Values], str]:
    """A string from its pieces."""
    if len(parts) == 0:
        return Constant("")
    if len(parts) == 1:
        only = parts[0]
        if isinstance(only, str):
            return Constant(only)
        return lambda values: values[only]
    return lambda values: "".join([part if isinstance(part, str) else values[part] for part in parts])


def _number(node: NumberHole, line: Expanded) -> Callable[[Values], int]:
    """A number from a variable."""
    index, place = node.macro, Place(line, node.start, node.end)

    def number(values: Values) -> int:
        try:
            return number_of(values[index])
        except NumberRangeError as error:
            raise PlacedError.at(place, str(error)) from None

    return number


def _push(value: Value) -> Step:
    return lambda stack, values: stack.append(value)


def _push_computed(compute: Evaluator) -> Step:
    return lambda stack, values: stack.append(compute(values))


def _length(stack: list[Value], values: Values) -> None:
    stack[-1] = len(str(stack[-1]))


def _count(stack: list[Value], values: Values) -> None:
    stack[-1] = len(words_of(str(stack[-1])))


def _quotient(left: int, right: int) -> int:
    """Division that truncates toward zero, as in C."""
    return abs(left) // abs(right) * (1 if (left < 0) is (right < 0) else -1)


_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": int.__add__,
    "-": int.__sub__,
    "*": int.__mul__,
    "/": _quotient,
    "%": lambda left, right: left - right * _quotient(left, right),     # the sign of the left operand
}


def _arithmetic(node: Operation, line: Expanded) -> Step:
    compute, divides, place = _OPERATIONS[node.operator], node.operator in "/%", Place(line, node.start, node.end)

    def step(stack: list[Value], values: Values) -> None:
        right, left = stack.pop(), stack[-1]
        assert isinstance(left, int)
        assert isinstance(right, int)
        if divides and right == 0:
            raise PlacedError.at(place, f"division of {left} by zero")
        result = compute(left, right)
        if not LOWEST <= result <= HIGHEST:
            raise PlacedError.at(place, f"({left} {node.operator} {right}) is {result}, out of range: numbers go from {LOWEST} to {HIGHEST}")
        stack[-1] = result

    return step


def _replace(node: Replacement) -> Step:
    old, new = _joined(node.old), _joined(node.new)

    def step(stack: list[Value], values: Values) -> None:
        text = str(stack[-1])
        searched = str(old.value if isinstance(old, Constant) else old(values))
        stack[-1] = text.replace(searched, str(new.value if isinstance(new, Constant) else new(values)))

    return step


def _select(node: Selection, line: Expanded) -> Step:
    places = [Place(line, index.start, index.end) for index in (node.first, node.last) if index is not None]
    words = node.kind == "words"

    def step(stack: list[Value], values: Values) -> None:
        indices = stack[len(stack) - len(places) :]
        del stack[len(stack) - len(places) :]
        for index, place in zip(indices, places, strict=True):
            if int(index) < 0:
                raise PlacedError.at(place, f"the index {index} is negative; {node.kind} are counted from 0")
        first, last = int(indices[0]), int(indices[-1])
        text = str(stack[-1])
        stack[-1] = " ".join(words_of(text)[first : last + 1]) if words else text[first : last + 1]

    return step
