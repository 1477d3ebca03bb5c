"""What a script consists of, line by line: labels, variables that are set, files and labels that are named. For editors."""

from typing import NamedTuple

from .check.reading import Command, Reader, Reading, constant
from .names import fold
from .places import PlacedError
from .source import Line, LineKind, Source
from .syntax import Rest, Text, Word


class Symbol(NamedTuple):
    """A name in the text. `kind` is label, variable (where it is set), goto, file or use (of a variable); `line` and `column` count from 1."""

    kind: str
    name: str
    line: int
    column: int
    width: int

    def is_at(self, line: int, column: int) -> bool:
        """Whether a place is in it, or directly behind it."""
        return self.line == line and self.column <= column <= self.column + self.width


def outline(text: str, reader: Reader) -> list[Symbol]:
    """All symbols of a text, in order. Never an error."""
    found: list[Symbol] = []
    for line in Source.parse("", text).lines:
        if line.kind is LineKind.LABEL:
            name = line.text[1:].strip(" \t")
            found.append(Symbol("label", name, line.number, line.column, len(line.text)))
        elif line.kind is LineKind.COMMAND:
            found += line_symbols(line, reader)
    return found


def line_symbols(line: Line, reader: Reader) -> list[Symbol]:
    """The symbols of one line with commands."""
    reading: Reading = reader.read(line.text, ())
    found = [
        Symbol("use", used.written.strip("${}"), line.number, used.column + line.column - 1, used.width)
        for used in reading.used or reader.macros(line.text)
    ]
    for command in reading.commands:
        found += _of_command(command, line)
    return found


def _of_command(command: Command, line: Line) -> list[Symbol]:
    found: list[Symbol] = []
    for match in command.arguments:
        if not match.nodes:
            continue
        node, kind = match.nodes[0], match.parameter.type
        text = command.text
        start, end = text.column(node.start), text.column(node.start) + text.width(node.start, node.end)
        place = line.number, start + line.column - 1, end - start
        if command.is_open(node):
            continue
        if kind.sets_variable and isinstance(node, Word):
            found.append(Symbol("variable", node.text, *place))
        elif command.name == "Goto" and isinstance(node, Rest):
            found.append(Symbol("goto", str(constant(node, text)).strip('" \t').removeprefix(":").strip(" \t"), *place))
        elif kind.file_use is not None and isinstance(node, Text):
            try:
                found.append(Symbol("file", str(constant(node, text)), *place))
            except PlacedError:
                continue
    return found


def same_name(one: str, other: str) -> bool:
    """Whether two names of variables or labels are the same."""
    return fold(" ".join(one.split())) == fold(" ".join(other.split()))
