r"""Escapes and macros: from a line as written to the text that the parser reads (language.md 2.3, 2.4).

In the expanded text a backslash is always followed by one character, which then has no meaning of its own. So the parser needs
to know nothing of octal codes, and a value that was inserted cannot end a string: its `"` comes as `\"`.

    written   set x = "a\101 $v"        with v = say "hi"
    expanded  set x = "a\A say \"hi\""

The scanner knows four states, because what an inserted character means depends on where it lands:

    outside      parsed as if typed, except that `"` and `\` are literal
    string       literal
    substitution `/x=y/` directly behind a string or another operator: literal

A *template* is the same text with macros left open: a NUL and a character that tells which macro (NUL cannot come from a script
or a value). The interpreter parses it once and fills in values from then on.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from .places import Expanded, PlacedError, Segment

HOLE = "\0"
FIRST_HOLE = 0xE000         # private use characters, so that nothing takes the index for a quote or a blank
MOST_HOLES = 0x1800

_MACRO = re.compile(r"\$(?:\{([^}]*)(\}?)|([A-Za-z_][A-Za-z0-9_+-]*))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_+-]*\Z")
_OCTAL = re.compile(r"[0-3][0-7]{2}")
_LETTERS = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "r": "\r"}
_OUTSIDE_RUN = re.compile(r'[^"\\$(){}\[\]/]+')
_STRING_RUN = re.compile(r'[^"\\$]+')
_SUBSTITUTION_RUN = re.compile(r"[^=/\\$]+")
_STRING = re.compile(r'"[^"]*"')
_BEHIND_VALUE = re.compile(r'["}\])]/')       # perhaps a substitution
_LITERAL_OUTSIDE = re.compile(r'["\\]')
_LITERAL_ANYWHERE = re.compile(r'["\\=/]')
_LITERAL_SUBSTITUTION = re.compile(r"[=/\\]")
_WHOLE = (Segment(0, 1, 0),)        # of a line without macros


class Where(Enum):
    """What a macro stands in."""

    OUTSIDE = "outside"
    STRING = "string"
    SUBSTITUTION = "substitution"


class Macro(NamedTuple):
    """A variable in a line. `names` are the names it may mean, longest first, each with the text that then follows it."""

    names: tuple[tuple[str, str], ...]
    where: Where

    def resolve(self, find: Callable[[str], str | None]) -> tuple[int, str]:
        """Which of the names is defined, and its value; the first and "" when none is."""
        for index, (name, _) in enumerate(self.names):
            value = find(name)
            if value is not None:
                return index, value
        return 0, ""


class Template(NamedTuple):
    """A line with its macros left open."""

    line: Expanded
    macros: tuple[Macro, ...]


def names_of(run: str) -> tuple[tuple[str, str], ...]:
    """The names that `$run` may mean: all of it, or what stands before a `-` or `+` in it, and the rest."""
    found = [(run.lower(), "")]
    cut = len(run)
    while (cut := max(run.rfind("-", 0, cut), run.rfind("+", 0, cut))) > 0:
        found.append((run[:cut].lower(), run[cut:]))
    return tuple(found)


def expand(line: str, column: int, find: Callable[[str], str | None], upper_code: Callable[[int], str]) -> Expanded:
    """The line with escapes and macros replaced.

    `column` is that of its first character; `find` gives the value of a variable by its folded name, None when it is not
    defined; `upper_code` gives the character of a code from 128 to 255 in the active code page. Raises PlacedError.
    """

    def value(macro: Macro) -> tuple[str, str]:
        index, text = macro.resolve(find)
        return text, macro.names[index][1] if text or index or find(macro.names[0][0]) is not None else ""

    return _Scanner(line, column, upper_code).scan(value)


def make_template(line: str, column: int, choices: dict[int, int], upper_code: Callable[[int], str]) -> Template:
    """The line with its macros left open; `choices` says which name macro n means, where that is not the first.

    Raises PlacedError.
    """
    return _plain_template(line, column, choices) or _any_template(line, column, choices, upper_code)


def _plain_template(line: str, column: int, choices: dict[int, int]) -> Template | None:
    """The template of a line without escapes and substitutions, in one go; None for any other line. A test lets both make the same ones."""
    if "\\" in line or line.count('"') % 2:
        return None
    if _BEHIND_VALUE.search(line) is not None and _BEHIND_VALUE.search(_STRING.sub('""', line)) is not None:
        return None
    if "$" not in line:
        return Template(Expanded(line, _WHOLE if column == 1 else (Segment(0, column, 0),)), ())
    segments = [Segment(0, column, 0)]
    macros: list[Macro] = []
    pieces: list[str] = []
    length = position = quotes = 0
    for match in _MACRO.finditer(line):
        name = match[3]
        start, end = match.span()
        in_braces = name is None
        if in_braces:
            name = match[1] if match[2] and _NAME.match(match[1]) else None
        if name is None or len(macros) >= MOST_HOLES:
            return None
        quotes += line.count('"', position, start)
        index = len(macros)
        macro = Macro(((name.lower(), ""),) if in_braces else names_of(name), Where.STRING if quotes % 2 else Where.OUTSIDE)
        macros.append(macro)
        pieces += (line[position:start], HOLE, chr(FIRST_HOLE + index))
        length += start - position
        segments.append(Segment(length, column + start, end - start))
        length += 2
        rest = macro.names[choices.get(index, 0)][1] if macro.where is Where.OUTSIDE else ""
        if rest:
            segments.append(Segment(length, column + end - len(rest), 0))
            pieces.append(rest)
            length += len(rest)
        segments.append(Segment(length, column + end, 0))
        position = end
    pieces.append(line[position:])
    return Template(Expanded("".join(pieces), tuple(segments)), tuple(macros))


def _any_template(line: str, column: int, choices: dict[int, int], upper_code: Callable[[int], str]) -> Template:
    """The same by the scanner."""
    macros: list[Macro] = []

    def hole(macro: Macro) -> tuple[str, str]:
        index = len(macros)
        macros.append(macro)
        if index >= MOST_HOLES:
            raise TooManyMacrosError
        # Text behind the name is part of the value inside a string; outside it is parsed.
        rest = macro.names[choices.get(index, 0)][1] if macro.where is Where.OUTSIDE else ""
        return HOLE + chr(FIRST_HOLE + index), rest

    expanded = _Scanner(line, column, upper_code).scan(hole)
    return Template(expanded, tuple(macros))


class TooManyMacrosError(Exception):
    """A line has more macros than a template can number."""


def unescape(text: str) -> str:
    """Text of an expanded line without its backslashes."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if "\\" in text else text


def parts_of(text: str) -> tuple[str | int, ...]:
    """Text of an expanded line in pieces: characters, and indices of the macros that were left open."""
    if HOLE not in text:
        return (unescape(text),) if text else ()
    found: list[str | int] = []
    pieces = text.split(HOLE)
    if pieces[0]:
        found.append(unescape(pieces[0]))
    for piece in pieces[1:]:
        found.append(ord(piece[0]) - FIRST_HOLE)
        if piece[1:]:
            found.append(unescape(piece[1:]))
    return tuple(found)


def fill(line: Expanded, start: int, values: Sequence[str]) -> tuple[Expanded, int]:
    """A template with values in its holes, as `expand` makes it where they bring no syntax; and where `start` then is."""
    pieces: list[str] = []
    segments: list[Segment] = []
    length = moved = 0
    ends = [*(segment.offset for segment in line.segments[1:]), len(line.text)]
    for segment, end in zip(line.segments, ends, strict=True):
        text = line.text[segment.offset : end]
        if text.startswith(HOLE):
            text = _LITERAL_ANYWHERE.sub(r"\\\g<0>", values[ord(text[1]) - FIRST_HOLE]) + text[2:]
        if segment.offset <= start:
            moved = length + start - segment.offset
        segments.append(Segment(length, segment.column, segment.width))
        pieces.append(text)
        length += len(text)
    return Expanded("".join(pieces), tuple(segments)), moved


def _escaped(character: str) -> str:
    """A character without meaning of its own; letters and digits never have one."""
    return character if character.isascii() and character.isalnum() else "\\" + character


class _Scanner:
    def __init__(self, line: str, column: int, upper_code: Callable[[int], str]) -> None:
        self.line = line
        self.first_column = column
        self.upper_code = upper_code
        self.pieces: list[str] = []
        self.length = 0
        self.segments = [Segment(0, column, 0)]
        self.where = Where.OUTSIDE
        self.after_value = False            # directly behind a string or its operators
        self.brackets: list[bool] = []      # open brackets: whether each is an operator of a string
        self.start = 0                      # offset of the string or substitution that is open
        self.in_new = False                 # in the y of /x=y/
        self.at_first = False               # the next character is the first of x

    def scan(self, value: Callable[[Macro], tuple[str, str]]) -> Expanded:
        line, position = self.line, 0
        while position < len(line):
            c = line[position]
            if c == "\\":
                position = self._escape(position)
            elif c == "$" and (match := _MACRO.match(line, position)):
                macro = self._macro(match)
                text, rest = value(macro)
                self._insert(text, rest, position, match.end() - position)
                position = match.end()
            else:
                position = self._typed(line, position)
        operator = ""
        if self.where is Where.SUBSTITUTION:
            operator = "/" if self.in_new else "="
        return Expanded(
            "".join(self.pieces),
            tuple(self.segments),
            self.start if self.where is Where.STRING else None,
            self.start if self.where is Where.SUBSTITUTION else None,
            operator,
        )

    def _put(self, text: str) -> None:
        self.pieces.append(text)
        self.length += len(text)

    def _typed(self, text: str, position: int, literal: str = "") -> int:
        """Take characters that are as typed, up to the next one that matters; `literal` holds those without meaning."""
        c = text[position]
        if self.where is Where.STRING:
            if c == '"':
                self.where = Where.OUTSIDE
                self.after_value = True
                self._put(c)
                return position + 1
            match = _STRING_RUN.match(text, position)
        elif self.where is Where.SUBSTITUTION:
            if self.at_first:
                self.at_first = False
                self._put(c)
                return position + 1
            if c in {"=", "/"}:
                if c == "/" and self.in_new:
                    self.where = Where.OUTSIDE
                    self.after_value = True
                elif c == "=":
                    self.in_new = True
                self._put(c)
                return position + 1
            match = _SUBSTITUTION_RUN.match(text, position)
        else:
            match = _OUTSIDE_RUN.match(text, position)
            if match is None:
                self._mark(c, literal)
                return position + 1
            self.after_value = False
        run = match[0] if match else c
        self._put(run)
        return position + len(run)

    def _mark(self, c: str, literal: str) -> None:
        """A character outside strings that may open or close something."""
        behind, self.after_value = self.after_value, False
        if c in literal:
            self._put("\\" + c)
            return
        if c == '"':
            self.where = Where.STRING
            self.start = self.length
        elif c == "/" and behind:
            self.where = Where.SUBSTITUTION
            self.start = self.length
            self.in_new = False
            self.at_first = True
        elif c in "({[":
            self.brackets.append(behind and c != "(")
        elif c in ")}]" and self.brackets:
            self.after_value = self.brackets.pop()
        self._put(c)

    def _escape(self, position: int) -> int:
        line = self.line
        self.after_value = False
        self.at_first = False
        if position + 1 == len(line):
            self._put("\\\\")
            return position + 1
        octal = _OCTAL.match(line, position + 1)
        if octal:
            code = int(octal[0], 8)
            column = self.first_column + position
            if code == 0:
                raise PlacedError(r"\000 is not allowed: no text can hold the character code 0", column, 4)
            try:
                character = chr(code) if code < 128 else self.upper_code(code)
            except UnicodeDecodeError:
                raise PlacedError(f"the active code page has no character \\{octal[0]}", column, 4) from None
            self._put(_escaped(character))
            self.segments.append(Segment(self.length, column + 4, 0))
            return position + 4
        c = line[position + 1]
        escaped = _escaped(_LETTERS.get(c, c))
        self._put(escaped)
        if len(escaped) == 1:
            self.segments.append(Segment(self.length, self.first_column + position + 2, 0))
        return position + 2

    def _macro(self, match: re.Match[str]) -> Macro:
        if match[3] is not None:
            return Macro(names_of(match[3]), self.where)
        column = self.first_column + match.start()
        if not match[2]:
            raise PlacedError("${ without } on the line", column, 2, hint=r"a dollar sign before { is written \$")
        if not _NAME.match(match[1]):
            raise PlacedError(
                f"${{{match[1]}}} is no variable: a name is made of letters, digits, _, - and +, and starts with a letter or _",
                column,
                len(match[0]),
            )
        return Macro(((match[1].lower(), ""),), self.where)

    def _insert(self, text: str, rest: str, position: int, width: int) -> None:
        column = self.first_column + position
        self.segments.append(Segment(self.length, column, width))
        if text:
            if self.where is Where.STRING:
                self._put(_LITERAL_OUTSIDE.sub(r"\\\g<0>", text))
            elif self.where is Where.SUBSTITUTION:
                self._put(_LITERAL_SUBSTITUTION.sub(r"\\\g<0>", text))
                self.at_first = False
            else:
                self._insert_outside(text)
        if rest:
            # Typed text that follows the name that was found.
            self.segments.append(Segment(self.length, column + width - len(rest), 0))
            if self.where is Where.OUTSIDE:
                self.after_value = False
            self._put(rest)
        self.segments.append(Segment(self.length, column + width, 0))

    def _insert_outside(self, text: str) -> None:
        """Inserted text counts as typed, but for quotes and backslashes; it may open a substitution and go on in it."""
        position = 0
        while position < len(text):
            if self.where is Where.OUTSIDE and text[position] in '"\\$':
                if text[position] == "$":
                    self.after_value = False
                    self._put("$")
                else:
                    self._mark(text[position], '"\\')
                position += 1
            elif self.where is Where.SUBSTITUTION and text[position] in "\\$":
                self.at_first = False
                self._put("\\" + text[position])
                position += 1
            else:
                position = self._typed(text, position)
