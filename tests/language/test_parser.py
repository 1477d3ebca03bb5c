"""Shapes of lines, and the sentences for what does not fit."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.language import syntax
from bpscript.language.expand import expand
from bpscript.language.numbers import HIGHEST, LOWEST, NumberRangeError, number_of, words_of
from bpscript.language.parser import parse
from bpscript.language.places import PlacedError
from bpscript.language.syntax import Measure, Number, Operation, Pair, Replacement, Selection, Text, Word


class _About(NamedTuple):
    name: str
    usage: str
    most: int


def read(text: str, shape: str = "values", most: int = 99) -> tuple[object, ...]:
    line = expand(text, 1, lambda name: None, chr)
    found = parse(line, 0, shape, _About("Name", "Name usage", most))
    return (*found.nodes, line.text[found.end :])


def test_values() -> None:
    text, number, word, operation, rest = read('"a" -5 word (1-2)')
    assert isinstance(text, Text)
    assert isinstance(number, Number)
    assert number.value == -5
    assert isinstance(word, Word)
    assert isinstance(operation, Operation)
    assert (operation.operator, rest) == ("-", "")


def test_operators_of_a_string_nest_outwards() -> None:
    node, _ = read('"a b"/a=c/{1}[0-2]')
    assert isinstance(node, Selection)
    assert node.kind == "characters"
    assert isinstance(node.text, Selection)
    assert isinstance(node.text.text, Replacement)


def test_a_division_stands_apart() -> None:
    node, _ = read('(@"abc" / 2)')
    assert isinstance(node, Operation)
    assert isinstance(node.left, Measure)


@pytest.mark.parametrize("command", ['echo "x"', "input x", "inx", "not", "-5", ".WRT it's", "exist", "(1"])
def test_a_test_ends_where_its_command_begins(command: str) -> None:
    node, rest = read(f'ci "a" == "b" {command}', "test")
    assert isinstance(node, syntax.Test)
    assert node.ignore_case
    assert str(rest).strip() == command


def test_the_words_of_tests_are_words_elsewhere() -> None:
    assert [node.text for node in read('"abc" in')[1:2] if isinstance(node, Word)] == ["in"]
    assert [node.text for node in read("not ci exist valid in match-expr")[:-1] if isinstance(node, Word)] == [
        "not", "ci", "exist", "valid", "in", "match-expr",
    ]  # fmt: skip


def test_disk_and_partition_as_one_value() -> None:
    _, pair, _ = read('"a" 0:1')
    assert isinstance(pair, Pair)


@pytest.mark.parametrize(
    ("text", "shape", "message", "column"),
    [
        ("(1 + 2 + 3)", "values", 'expected ), found "+"', 8),
        ("(1 2)", "values", 'expected an operator (+ - * / %) or ), found "2"', 4),
        ('("3" + 4)', "values", 'expected a number, found the string "3"', 2),
        ('"a""b"', "values", 'two strings must be separated by a blank before "b"', 4),
        ("1-5", "values", 'a blank is missing before "-5"', 2),
        ("(1", "values", 'missing ")"', 1),
        ('"a"{0', "values", 'missing "}"', 4),
        ("@5", "values", 'expected a string after @, found "5"', 2),
        ("2147483648", "values", f"2147483648 is out of range: numbers go from {LOWEST} to {HIGHEST}", 1),
        ("x 5", "assignment", 'expected =, found "5"', 3),
        ("x =", "assignment", "Name needs more: expected a value: a string or a number", 3),
        ("1 2", "position", 'expected a comma, found "2"', 3),
        ("1 = 1", "test", '"=" is no operator: expected ==, !=, <>, <, >, <= or >=', 3),
        ('"5" == 5', "test", "cannot compare a string with a number: expected a string", 8),
        ("ci 1 == 1", "test", "ci belongs before strings, not before a numeric test", 1),
        ('ci exist "x"', "test", "ci belongs before strings, not before exist", 1),
        ("valid 1", "test", "Name needs more: expected", 7),
        ("-x", "filter", "expected a string", 2),
        ('- "x"', "filter", "a filter has its - directly before the string", 1),
        ("-0.5", "values", "a duration cannot be negative: -0.5", 1),
    ],
)
def test_what_does_not_fit(text: str, shape: str, message: str, column: int) -> None:
    with pytest.raises(PlacedError) as raised:
        read(text, shape)
    assert raised.value.message.startswith(message)
    assert raised.value.column == column


def test_a_broken_value_too_many_is_unexpected_text() -> None:
    with pytest.raises(PlacedError) as raised:
        read('"a" # a comment', most=1)
    assert (raised.value.message, raised.value.column) == ('unexpected text "#"', 5)


@given(st.integers(-(10**12), 10**12), st.integers(0, 12))
def test_numbers_have_32_bits(value: int, zeros: int) -> None:
    text = ("-" if value < 0 else "") + "0" * zeros + str(abs(value))
    if LOWEST <= value <= HIGHEST:
        assert number_of(text) == value
    else:
        with pytest.raises(NumberRangeError):
            number_of(text)


def test_a_number_of_a_million_digits_is_refused_at_once() -> None:
    with pytest.raises(NumberRangeError):
        number_of("9" * 1_000_000)
    assert number_of("0" * 1_000_000 + "7") == 7


def test_words_end_at_four_kinds_of_blanks_only() -> None:
    assert words_of(" a\tb\r\nc\vd\u00a0e ") == ["a", "b", "c\vd\u00a0e"]
