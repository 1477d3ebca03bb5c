"""A script as lines: line ends, end of file, comments and labels (language.md 2.1, 2.6)."""

import re
from dataclasses import dataclass, field
from enum import Enum

from .names import fold

_LINE_END = re.compile(r"\r\n|\r|\n")
_BLANKS = re.compile(r"[ \t]+")
_DOS_END_OF_FILE = "\x1a"
_BYTE_ORDER_MARK = "\ufeff"


class LineKind(Enum):
    """What a line is, decided before anything is expanded."""

    COMMAND = "command"
    COMMENT = "comment"     # or empty
    LABEL = "label"


@dataclass(slots=True, eq=False)
class Line:
    """One line. `text` is without blanks around it, `column` (from 1) is where it begins, `written` is the line as it was.

    `plan` belongs to the interpreter: what it has prepared to run the line again.
    """

    number: int
    written: str
    text: str
    column: int
    kind: LineKind
    plan: object = None

    @property
    def nul_column(self) -> int:
        """Where a NUL character stands, which no script may hold; 0 when there is none."""
        return self.written.find("\0") + 1


@dataclass(slots=True)
class Source:
    """A script: its name as the user gave it, its lines, and where its labels are."""

    name: str
    lines: list[Line]
    labels: dict[str, int] = field(default_factory=dict)     # to the index of the line

    @classmethod
    def parse(cls, name: str, text: str) -> "Source":
        """A script from its text. Never an error: what is wrong with a line shows when it runs."""
        text = text.removeprefix(_BYTE_ORDER_MARK).partition(_DOS_END_OF_FILE)[0]
        pieces = _LINE_END.split(text)
        if pieces[-1] == "":
            pieces.pop()
        source = cls(name, [make_line(number, written) for number, written in enumerate(pieces, start=1)])
        for index, line in enumerate(source.lines):
            if line.kind is LineKind.LABEL:
                source.labels.setdefault(label_key(line.text[1:]), index)
        return source


def make_line(number: int, written: str) -> Line:
    """One line from what is written."""
    text = written.strip(" \t")
    kind = LineKind.COMMENT if not text or text[0] == "#" else LineKind.LABEL if text[0] == ":" else LineKind.COMMAND
    if "\0" in text:
        kind = LineKind.COMMAND      # an error, wherever it stands
    column = len(written) - len(written.lstrip(" \t")) + 1
    return Line(number, written, text, column, kind)


def label_key(text: str) -> str:
    """The form in which labels are compared: blanks collapsed, ASCII letters in lower case."""
    return fold(_BLANKS.sub(" ", text.strip(" \t")))
