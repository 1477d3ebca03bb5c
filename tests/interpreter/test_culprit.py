"""Under which argument the caret of an error stands."""

import pytest

from bpscript.interpreter.culprit import find_culprit
from bpscript.language.places import Expanded, Place, Segment

LINE = Expanded("x" * 40, (Segment(0, 1, 0),))
ARGUMENTS = [("source", "{1:2}/a", Place(LINE, 5, 6)), ("dest", "dir\\file", Place(LINE, 15, 16)), ("partition", 3, Place(LINE, 25, 26))]


@pytest.mark.parametrize(
    ("message", "column"),
    [
        ('no file "{1:2}/a"', 6),
        ('no file "a"', 6),
        ('"dir/file" is a directory', 16),
        ('no directory "dir"', 16),
        ("disk 0 has no partition 3", 26),
        ("disk 1 has no partition 2", 6),
        ("disk 0 is busy", None),
        ("$Verify is wrong", None),
        ("something else", None),
    ],
)
def test_the_argument_that_a_message_is_about(message: str, column: int | None) -> None:
    place = find_culprit(message, ARGUMENTS, [("disk", 0)])
    assert (None if place is None else place.column) == column


def test_the_only_argument_is_to_blame() -> None:
    place = find_culprit("too small", ARGUMENTS[2:], [("disk", 0)])
    assert place is not None
    assert place.column == 26
    assert find_culprit("no disk 0", ARGUMENTS[2:], [("disk", 0)]) is None


def test_an_empty_argument_is_found() -> None:
    place = find_culprit("the file name is empty", [*ARGUMENTS, ("dest", "", Place(LINE, 30, 30))], [])
    assert place is not None
    assert place.column == 31
