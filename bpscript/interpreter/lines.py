"""How a line runs again and again: parsed once with holes where its macros stand, filled with their values each time.

A plan of a line has three ways to run, tried in this order:

1. no macros: one statement, made once;
2. a template for the present meaning of its macros, when every value outside strings is a number with blanks or operators
   around it: such a value cannot change the shape of the line;
3. otherwise the line is expanded and the expanded text parsed; the last texts are kept.

What 1 and 2 do is what 3 would do: tests/interpreter/test_lines.py runs random lines both ways.
"""

import re
from typing import TYPE_CHECKING, Any

from ..language.automaton import skip_blanks
from ..language.expand import HOLE, Macro, Template, TooManyMacrosError, Where, expand, make_template
from ..language.places import Expanded, PlacedError
from ..language.source import Line
from .prepare import Statement, prepare

if TYPE_CHECKING:
    from .run import Run

_NUMBER = re.compile(r"[+-]?[0-9]+\Z")
_UPPER_CODE = re.compile(r"\\[23][0-7][0-7]")
_SAFE_BEFORE = frozenset(" \t([{,=<>!+-*/%:")
_SAFE_BEHIND = frozenset(" \t)]},=<>!+-*/%:")
_MOST_KEPT = 256        # texts a line remembers


class LinePlan:
    """What is known of one line."""

    __slots__ = ("_kept", "_line", "_macros", "_statement", "_templates", "_uses_code_page")

    def __init__(self, line: Line) -> None:
        self._line = line
        self._statement: Statement | None = None
        self._macros: tuple[tuple[str, Macro, Where], ...] | None = None
        self._templates: dict[str, Statement | None] = {}
        self._kept: dict[str, tuple[Statement | None, Expanded]] = {}
        self._uses_code_page = _UPPER_CODE.search(line.text) is not None

    def execute(self, run: "Run") -> Any:  # noqa: ANN401 - one of the results, see interpreter/results.py
        """Run the line. Raises PlacedError."""
        if self._statement is not None:
            return run.perform(self._statement, ())
        macros = self._macros
        if macros is None:
            return self._first_time(run)
        find = run.variables.find
        values: list[str] = []
        key = ""
        for name, macro, where in macros:
            value = find(name)
            if value is None:
                index, value = macro.resolve(find)
                if index and where is Where.OUTSIDE:
                    key += f"{len(values)}:{index} "
                elif index:
                    value += macro.names[index][1]
            if where is Where.OUTSIDE:
                if not (value.isdecimal() and value.isascii()) and not _NUMBER.match(value):
                    return self._expanded(run)
            elif where is Where.SUBSTITUTION and not value:
                return self._expanded(run)
            values.append(value)
        try:
            statement = self._templates[key]
        except KeyError:
            statement = self._templates[key] = self._prepare_template(key, run)
        if statement is None:
            return self._expanded(run)
        return run.perform(statement, values)

    def _first_time(self, run: "Run") -> Any:  # noqa: ANN401
        """Find out what kind of line it is."""
        line = self._line
        if line.nul_column:
            raise PlacedError("a NUL character is not allowed in a script", line.nul_column)
        if self._uses_code_page:
            return self._expanded(run)
        try:
            template = make_template(line.text, line.column, {}, run.upper_code)
        except TooManyMacrosError:
            return self._expanded(run)
        if template.macros:
            self._macros = tuple((macro.names[0][0], macro, macro.where) for macro in template.macros)
            return self.execute(run)
        self._statement = prepare(template.line, 0, run)
        return run.perform(self._statement, ())

    def _prepare_template(self, key: str, run: "Run") -> Statement | None:
        """The statement for one meaning of the macros; None when the line has to be expanded each time."""
        choices = {int(macro): int(name) for macro, name in (pair.split(":") for pair in key.split())}
        try:
            template = make_template(self._line.text, self._line.column, choices, run.upper_code)
            return prepare(template.line, 0, run) if _is_safe(template) else None
        except PlacedError:
            return None     # expanding it shows the error as it is with the values

    def _expanded(self, run: "Run") -> Any:  # noqa: ANN401
        """Run the line by its expanded text."""
        line = self._line
        expanded = expand(line.text, line.column, run.variables.find, run.upper_code)
        kept = self._kept.get(expanded.text)
        if kept is None or kept[1].segments != expanded.segments:
            start = skip_blanks(expanded.text, 0)
            statement = prepare(expanded, start, run) if start < len(expanded.text) else None
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            kept = self._kept[expanded.text] = statement, expanded
        return None if kept[0] is None else run.perform(kept[0], ())


def _is_safe(template: Template) -> bool:
    """Whether a number in each hole outside strings stays a word of its own."""
    text = template.line.text
    position = text.find(HOLE)
    for macro in template.macros:
        if macro.where is Where.OUTSIDE:
            behind = text[position + 2 : position + 3]
            if (position and text[position - 1] not in _SAFE_BEFORE) or (behind and behind not in _SAFE_BEHIND):
                return False
        position = text.find(HOLE, position + 2)
    return True


def shown(line: Line, run: "Run") -> str:
    """The line with its macros replaced, as `$Trace` shows it: escapes stay as they were written."""
    position, pieces = 0, []
    text = line.text
    for match in re.finditer(r"\\.|\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_+-]*))", text, re.DOTALL):
        if match[0].startswith("\\"):
            continue
        pieces.append(text[position : match.start()])
        if match[1] is not None:
            pieces.append(run.variables.get(match[1]))
        else:
            from ..language.expand import names_of  # noqa: PLC0415

            macro = Macro(names_of(match[2]), Where.OUTSIDE)
            index, value = macro.resolve(run.variables.find)
            found = index or run.variables.find(macro.names[0][0]) is not None
            pieces.append(value + (macro.names[index][1] if found else ""))
        position = match.end()
    return "".join(pieces) + text[position:]
