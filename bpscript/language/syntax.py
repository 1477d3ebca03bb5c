"""The tree of a command line: frozen records with their place in the expanded text (half-open, in characters).

A `NumberHole` or an int in the parts of a text stands where a variable was: the line is parsed once and the value filled in
each time it runs. The tree can be as deep as the line is long, so whoever walks it does so with a stack of his own.

Named tuples, because a short script should start at once: a class of them is made in a tenth of the time of a frozen dataclass.
"""

from typing import NamedTuple

Part = str | int        # a piece of text, or the index of a macro whose value stands there


class Number(NamedTuple):
    """A number as written."""

    value: int
    start: int
    end: int


class NumberHole(NamedTuple):
    """A number from a variable: the value of macro number `macro`."""

    macro: int
    start: int
    end: int


class Operation(NamedTuple):
    """`(left operator right)`."""

    left: "Numeric"
    operator: str
    right: "Numeric"
    start: int
    end: int


class Measure(NamedTuple):
    """`@text`, its length in characters, or `#text`, its number of words."""

    kind: str
    text: "Textual"
    start: int
    end: int


class Text(NamedTuple):
    """A string between quotes."""

    parts: tuple[Part, ...]
    start: int
    end: int


class Replacement(NamedTuple):
    """`text/old=new/`."""

    text: "Textual"
    old: tuple[Part, ...]
    new: tuple[Part, ...]
    start: int
    end: int


class Selection(NamedTuple):
    """`text{first-last}`, words, or `text[first-last]`, characters; `last` is None when there is one index."""

    text: "Textual"
    kind: str
    first: "Numeric"
    last: "Numeric | None"
    start: int
    end: int


class Word(NamedTuple):
    """A bare word: a variable's name, a keyword, a colour."""

    text: str
    start: int
    end: int


class Tenths(NamedTuple):
    """Digits, a point and digits: a duration, in tenths of a second."""

    value: int
    text: str
    start: int
    end: int


class Comma(NamedTuple):
    """A comma between arguments."""

    start: int
    end: int


class Absent(NamedTuple):
    """An argument that was left out where the shape has a place for it: `HdBoot :1` has no disk."""

    start: int
    end: int


class Signed(NamedTuple):
    """A sign and a string: `-"*.swp"`."""

    sign: str
    text: "Textual"
    start: int
    end: int


class Pair(NamedTuple):
    """`disk:partition`; the disk is None when it was left out."""

    disk: "Numeric | None"
    partition: "Numeric"
    start: int
    end: int


class Rest(NamedTuple):
    """The rest of the line: a nested command, a label, a text without quotes."""

    start: int
    end: int


class Test(NamedTuple):
    """What stands between `If` and its command.

    `operator` is a comparison, "match-expr", "match-passwd", "in", "in-file", "exist" or "valid" (all in lower case); `exist`
    has only `left`; for `valid`, `left` is the disk (or Absent) and `right` the partition.
    """

    negated: bool
    ignore_case: bool
    operator: str
    left: "Textual | Numeric | Absent"
    right: "Textual | Numeric | None"
    start: int
    end: int


Textual = Text | Replacement | Selection
Numeric = Number | NumberHole | Operation | Measure
Node = Textual | Numeric | Word | Tenths | Comma | Absent | Signed | Pair | Rest | Test
TEXTUAL = (Text, Replacement, Selection)
NUMERIC = (Number, NumberHole, Operation, Measure)
VALUE_NODES = (*TEXTUAL, *NUMERIC)
