"""The tree of a command line: frozen records with their place in the expanded text (half-open, in characters).

A `NumberHole` or an int in the parts of a text stands where a variable was: the line is parsed once and the value filled in
each time it runs. The tree can be as deep as the line is long, so whoever walks it does so with a stack of his own.
"""

from dataclasses import dataclass

Part = str | int        # a piece of text, or the index of a macro whose value stands there


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A number as written."""

    value: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class NumberHole:
    """A number from a variable: the value of macro `index`."""

    index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """`(left operator right)`."""

    left: "Numeric"
    operator: str
    right: "Numeric"
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """`@text`, its length in characters, or `#text`, its number of words."""

    kind: str
    text: "Textual"
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A string between quotes."""

    parts: tuple[Part, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """`text/old=new/`."""

    text: "Textual"
    old: tuple[Part, ...]
    new: tuple[Part, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """`text{first-last}`, words, or `text[first-last]`, characters; `last` is None when there is one index."""

    text: "Textual"
    kind: str
    first: "Numeric"
    last: "Numeric | None"
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A bare word: a variable's name, a keyword, a colour."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Tenths:
    """Digits, a point and digits: a duration, in tenths of a second."""

    value: int
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Comma:
    """A comma between arguments."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Absent:
    """An argument that was left out where the shape has a place for it: `HdBoot :1` has no disk."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Signed:
    """A sign and a string: `-"*.swp"`."""

    sign: str
    text: "Textual"
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """`disk:partition`; the disk is None when it was left out."""

    disk: "Numeric | None"
    partition: "Numeric"
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """The rest of the line: a nested command, a label, a text without quotes."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Test:
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
