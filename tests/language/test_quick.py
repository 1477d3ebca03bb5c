"""What is read without the machine is what the machine reads."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bpscript.commands import COMMANDS
from bpscript.language import quick
from bpscript.language.parser import parse_fully
from bpscript.language.places import Expanded, PlacedError, Segment
from tests.grammar.test_cases import ALL_CASES

SHAPES = ("values", "single", "assignment", "test", "position", "place", "filter")
ABOUT = next(each for each in COMMANDS if each.name == "Echo")
PIECES = (
    '"a"', '"a"{1}', '"b c"{\0\ue001}', "(1+ \0\ue000)", "( 2)", "(1-2", '@"a"', '#"b c"/', "2.5", "1.", "match-passwd", "in-file", '"b c"', '""', r'"\""', '"\0\ue000"', "5", "007", "-3", "2147483648", "1.5", "\0\ue001", "x", "os-1", "not", "ci", "exist", "valid", ":", ":1", ",", "=", "==",
    "<>", "=<", "=>=", " ", "  ", "\t", "(", ")", "(1+2)", "/a=b/", "{1}", "[0-2]", "@", "#", "+", "-", "*", "in", "match-expr", "echo", ".wrt", "\\", "\r", "$", "\u00e9", "A_b", "%",
)  # fmt: skip


def same(text: str, shape: str) -> bool:
    """Compare both; True when the quick one read something."""
    found = quick.read(text, 0, shape)
    if found is None:
        return False
    line = Expanded(text, (Segment(0, 1, 0),))
    try:
        fully = parse_fully(line, 0, shape, ABOUT)
    except PlacedError as error:
        raise AssertionError(f"{text!r} as {shape}: read as {found}, refused by the machine: {error}") from error
    assert (fully.nodes, fully.end) == found, (text, shape)
    return True


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.sampled_from(SHAPES))
@example("not exist \"a\" echo", "test")
@example("valid :1 echo", "test")
@example("ci \"a\"==\"b\" echo", "test")
@example("not \"a\" == \"b\"", "test")
@example("5 == 5", "test")
def test_both_read_the_same(text: str, shape: str) -> None:
    same(text, shape)


@settings(max_examples=500)
@example("2.5 == 3", "test")
@example("3 == 2.5", "test")
@example("3 == ( 2)", "test")
@given(st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join), st.sampled_from(SHAPES))
def test_both_read_the_same_with_blanks(text: str, shape: str) -> None:
    same(text, shape)


def test_both_read_the_lines_of_all_cases_in_the_same_way() -> None:
    """Whatever shape they are taken for."""
    lines = {line for case in ALL_CASES for line in case.script.decode("latin-1").splitlines() if "\0" not in line}
    read = sum(same(line.partition(" ")[2], shape) for line in sorted(lines) for shape in SHAPES)
    assert read > 1000


@pytest.mark.parametrize(
    ("text", "shape"),
    [('"a" "b" 3', "values"), ('"c" echo', "single"), ("0.5 echo", "single"), ('x = "text"', "assignment"), ("n=5", "assignment"),
     ("(1 + 2)", "values"), ('set @"a b"', "values"), ("x = (\0\ue000-1)", "assignment"), ('x = "a b"{1}', "assignment"), ("1,2 print", "position"),
     ('ci "a" match-expr "b" echo', "test"), ('"a" in "b" echo', "test"), ('#"a" < 2 echo', "test"), ('"a"{0} == "b"{1} echo', "test"),
     ('"a" == "b" echo', "test"), ("1 < 2 echo", "test"), ('not exist "a" echo', "test"), ("valid :1 echo", "test")],
)  # fmt: skip
def test_the_commonest_are_read(text: str, shape: str) -> None:
    assert same(text, shape)
