"""Tokens to tree: one function for each rule of grammar/bpbatch.lark. It only builds; meaning lives in the interpreter."""

import re
from collections.abc import Callable
from typing import Any, cast

from .expand import FIRST_HOLE, parts_of, unescape
from .numbers import NumberRangeError, number_of
from .syntax import (
    TEXTUAL,
    Absent,
    Comma,
    Measure,
    Node,
    Number,
    NumberHole,
    Numeric,
    Operation,
    Pair,
    Part,
    Replacement,
    Selection,
    Signed,
    Tenths,
    Test,
    Text,
    Textual,
    Word,
)
from .tokens import Token, WrongTokenError

_COMPARISONS = {"==", "!=", "<", ">", ">=", "<="}
_SUBSTITUTION = re.compile(r"/((?:\\.|\0.|[^\\])(?:\\.|\0.|[^\\=])*)=((?:\\.|\0.|[^\\/])*)/", re.DOTALL)


def _checked_number(digits: str, start: int, end: int) -> int:
    try:
        return number_of(digits)
    except NumberRangeError as error:
        raise WrongTokenError(str(error), start, end) from None


def _span(token: Token) -> tuple[int, int]:
    return token.start, token.end


def _no_ci(ignore_case: Token | None, keyword: Token) -> None:
    if ignore_case is not None:
        raise WrongTokenError(f"ci belongs before strings, not before {keyword}", *_span(ignore_case))


def _no_values(children: list[Any]) -> list[Node]:
    """The start of a list."""
    return []


def _more_values(children: list[Any]) -> list[Node]:
    """One more argument or comma; the list grows in place."""
    found, last = children
    found.append(Comma(*_span(last)) if isinstance(last, Token) else last)
    return cast(list[Node], found)


def _value(children: list[Any]) -> Any:  # noqa: ANN401 - one of the nodes
    """One argument; as a shape of its own it is a list of one."""
    last = children[-1]
    if isinstance(last, Token):
        start, end = _span(last)
        if last.type == "TENTHS":
            if len(children) == 2:
                raise WrongTokenError(f"a duration cannot be negative: {children[0]}{last}", _span(children[0])[0], end)
            whole, _, decimals = str(last).partition(".")
            return Tenths(_checked_number(whole, start, end) * 10 + int(decimals[0]), str(last), start, end)
        return Word(unescape(str(last)), start, end)
    return last


def _single(children: list[Any]) -> tuple[Node, ...]:
    """The shape of one argument."""
    return (children[0],)


def _position(children: list[Any]) -> tuple[Node, ...]:
    """Two arguments with a comma."""
    return children[0], children[2]


def _assignment(children: list[Any]) -> tuple[Node, ...]:
    """A name and what it gets."""
    name = children[0]
    return Word(unescape(str(name)), *_span(name)), children[2]


def _place(children: list[Any]) -> tuple[Node, ...]:
    """Disk and partition, each of which may be absent."""
    disk, colon, partition = children
    if disk is None and colon is None:
        return ()
    if disk is None:
        disk = Absent(_span(colon)[0], _span(colon)[0])
    return (disk,) if partition is None else (disk, partition)


def _pair(children: list[Any]) -> Pair:
    """Disk and partition as one argument."""
    disk, colon, partition = children
    return Pair(disk, partition, _span(colon)[0] if disk is None else disk.start, partition.end)


def _filter(children: list[Any]) -> tuple[Node, ...]:
    """A sign and a string, or nothing."""
    sign, text = children
    if sign is None:
        return ()
    start, end = _span(sign)
    if end != text.start:
        raise WrongTokenError(f"a filter has its {sign} directly before the string", start, end)
    return (Signed(str(sign), text, start, text.end),)


def _optional(children: list[Any]) -> Token | None:
    """`not` or `ci`, where it stands."""
    return cast(Token | None, children[0])


def _comparison(children: list[Any]) -> tuple[Node, ...]:
    """`[not] [ci] left operator right`."""
    negated, ignore_case, left, operator, right = children
    word = str(operator).lower()
    word = {"<>": "!=", "=>": ">=", "=<": "<="}.get(word, word)
    if operator.type == "COMPARISON" and word not in _COMPARISONS:
        raise WrongTokenError(f'"{operator}" is no operator: expected ==, !=, <>, <, >, <= or >=', *_span(operator))
    strings = isinstance(left, TEXTUAL), isinstance(right, TEXTUAL)
    if operator.type != "COMPARISON":
        if not strings[0]:
            raise WrongTokenError(f"{operator} needs a string before it, found a number", *_span(operator))
        if not strings[1]:
            raise WrongTokenError(f"expected a string behind {operator}, found a number", right.start, right.end)
    elif strings[0] is not strings[1]:
        kinds = ("a number", "a string")
        found, expected = kinds[strings[1]], kinds[strings[0]]
        raise WrongTokenError(f"cannot compare {expected} with {found}: expected {expected}", right.start, right.end)
    if ignore_case is not None and not strings[0]:
        raise WrongTokenError("ci belongs before strings, not before a numeric test", *_span(ignore_case))
    start = _span(negated or ignore_case)[0] if negated or ignore_case else left.start
    return (Test(negated is not None, ignore_case is not None, word, left, right, start, right.end),)


def _existence(children: list[Any]) -> tuple[Node, ...]:
    """`[not] exist "file"`."""
    negated, ignore_case, keyword, text = children
    _no_ci(ignore_case, keyword)
    return (Test(negated is not None, False, "exist", text, None, _span(negated or keyword)[0], text.end),)


def _validity(children: list[Any]) -> tuple[Node, ...]:
    """`[not] valid [disk]:partition`."""
    negated, ignore_case, keyword, disk, colon, partition = children
    _no_ci(ignore_case, keyword)
    left = Absent(_span(colon)[0], _span(colon)[0]) if disk is None else disk
    return (Test(negated is not None, False, "valid", left, partition, _span(negated or keyword)[0], partition.end),)


def _literal(children: list[Any]) -> Number:
    """Digits, perhaps with a sign."""
    start, end = _span(children[-1])
    if len(children) == 2:
        sign_start, sign_end = _span(children[0])
        if sign_end != start:
            raise WrongTokenError(f"expected a number, found {children[0]} alone: a sign belongs to the digits behind it", sign_start, sign_end)
        start = sign_start
    return Number(_checked_number("".join(child.text for child in children), start, end), start, end)


def _hole(children: list[Any]) -> NumberHole:
    """A number that is filled in later."""
    token = children[0]
    return NumberHole(ord(token.text[1]) - FIRST_HOLE, *_span(token))


def _group(children: list[Any]) -> Numeric:
    """Parentheses around one number mean nothing."""
    return cast(Numeric, children[1])


def _operation(children: list[Any]) -> Operation:
    """`(left operator right)`."""
    opening, left, operator, right, closing = children
    return Operation(left, str(operator), right, _span(opening)[0], _span(closing)[1])


def _measure(children: list[Any]) -> Measure:
    """`@text` or `#text`."""
    kind, text = children
    return Measure(str(kind), text, _span(kind)[0], text.end)


def _string(children: list[Any]) -> Text:
    """A string without its quotes."""
    token = children[0]
    return Text(parts_of(token.text[1:-1]), *_span(token))


def _replacement(children: list[Any]) -> Replacement:
    """`text/old=new/`."""
    text, token = children
    match = _SUBSTITUTION.fullmatch(token.text)
    assert match is not None
    old: tuple[Part, ...] = parts_of(match[1])
    return Replacement(text, old, parts_of(match[2]), text.start, _span(token)[1])


def _selection(children: list[Any]) -> Selection:
    """`text{n}`, `text[n]` and their ranges."""
    text, opening, first, sign, last, closing = children
    if sign is not None and str(sign) != "-":
        raise WrongTokenError(f'expected - or {closing}, found "{sign}"', *_span(sign))
    kind = "words" if opening.text == "{" else "characters"
    return Selection(cast(Textual, text), kind, first, last, text.start, _span(closing)[1])


# The functions by the names that the grammar gives its rules.
RULES: dict[str, Callable[[list[Any]], Any]] = {
    "no_values": _no_values,
    "more_values": _more_values,
    "value": _value,
    "single": _single,
    "position": _position,
    "assignment": _assignment,
    "place": _place,
    "pair": _pair,
    "filter": _filter,
    "negation": _optional,
    "sensitivity": _optional,
    "comparison": _comparison,
    "existence": _existence,
    "validity": _validity,
    "literal": _literal,
    "hole": _hole,
    "group": _group,
    "operation": _operation,
    "measure": _measure,
    "string": _string,
    "replacement": _replacement,
    "selection": _selection,
}
