"""From expanded text to the tree of syntax.py, by grammar/bpbatch.lark, and the sentences for what does not fit.

Tokens are fed one by one, so that a line is read exactly as far as its shape goes: behind `If "a" == "b"` a nested command may
follow that is nobody's business yet. The tree is built bottom-up while reading, so that nothing here recurses.
"""

import re
from itertools import pairwise
from typing import NamedTuple, Protocol

from . import quick
from .automaton import Automaton, skip_blanks
from .expand import unescape
from .places import Expanded, Place, PlacedError
from .syntax import Absent, Comma, Node
from .tokens import Token, WrongTokenError

_CHUNK = re.compile(r'"(?:\\.|[^"\\])*"?|(?:\\.|[^\s"(),])+|.', re.DOTALL)
_OPENING = {"LPAR": ")", "LBRACE": "}", "LBRACKET": "]"}
_CLOSING = {"RPAR", "RBRACE", "RBRACKET"}
_UNFINISHED = {"MEASURE", "SIGN", "COLON"}       # a token that something must follow
_STARTS = {"STRING", "DIGITS", "HOLE", "WORD", "TENTHS", "LPAR", "MEASURE"}

# What may come, in words. The first entry whose terminals are all acceptable speaks for all of them.
_EXPECTATIONS: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(names.split()), words)
    for names, words in (
        ("STRING DIGITS WORD", "a string, a number or a name"),
        ("STRING DIGITS EXIST", "a test"),
        ("STRING DIGITS", "a value: a string or a number"),
        ("TIMES RPAR", "an operator (+ - * / %) or )"),
        ("RPAR", ")"),
        ("RBRACE", "}"),
        ("RBRACKET", "]"),
        ("COMPARISON", "an operator such as == or <"),
        ("DIGITS COLON", "a number or a colon (:)"),
        ("DIGITS", "a number"),
        ("STRING", "a string"),
        ("EQUALS", "="),
        ("COMMA", "a comma"),
        ("COLON", "a colon (:)"),
        ("WORD", "the name of a variable"),
    )
)


class Shape(NamedTuple):
    """What was read: its nodes, and the offset where it ended."""

    nodes: tuple[Node, ...]
    end: int


class About(Protocol):
    """What messages say of the command: its name, its usage, and how many values it takes at most."""

    @property
    def name(self) -> str: ...      # noqa: D102 - see above
    @property
    def usage(self) -> str: ...     # noqa: D102
    @property
    def most(self) -> int: ...      # noqa: D102


def parse(line: Expanded, start: int, shape: str, about: About) -> Shape:
    """Read the text from `start` as a shape, as far as it goes. Raises PlacedError."""
    plain = quick.read(line.text, start, shape)
    if plain is not None:
        return Shape(*plain)
    return parse_fully(line, start, shape, about)


def parse_fully(line: Expanded, start: int, shape: str, about: About) -> Shape:
    """The same by the machine alone."""
    automaton = Automaton(line.text, start, shape)
    end = start
    try:
        end = automaton.run()
        nodes = automaton.finish()
    except WrongTokenError:
        nodes = None
    if nodes is None or (shape == "values" and _touching(nodes) is not None):
        return _Reader(line, start, shape, about).read()        # once more, for the sentence that says what is wrong
    return Shape(nodes, end)


def _touching(nodes: tuple[Node, ...]) -> tuple[Node, Node] | None:
    """Two arguments of a list without a blank or comma between them."""
    for one, two in pairwise(nodes):
        if one.end == two.start and not isinstance(one, Comma | Absent) and not isinstance(two, Comma | Absent):
            return one, two
    return None


def found_at(text: str, position: int) -> str:
    """The word or string at a place, as a message shows it: quoted, in one line, and not too long."""
    match = _CHUNK.match(text, position)
    word = match[0] if match else ""
    shown = one_line(unescape(word))
    return shown if shown.startswith('"') and len(shown) > 1 else f'"{shown}"'


def _end_of_word(text: str, position: int) -> int:
    match = _CHUNK.match(text, position)
    return match.end() if match else position + 1


def one_line(text: str) -> str:
    """Text for a message: in one line, and not too long."""
    shown = visible(text[:80])
    return shown if len(shown) <= 60 else shown[:57] + "..."


def visible(text: str) -> str:
    """Text with control characters as octal codes, as a script would write them."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\{ord(c):03o}" for c in text)


class _Reader:
    def __init__(self, line: Expanded, start: int, shape: str, about: About) -> None:
        self.line = line
        self.start = start
        self.shape = shape
        self.about = about
        self.tokens: list[Token] = []
        self.open: list[Token] = []     # brackets
        self.started = 0                # values begun ...
        self.complete = 0               # ... and complete
        self.end = start                # where the last complete one ends

    def read(self) -> Shape:
        """Feed tokens until one does not fit; then the shape must be complete."""
        automaton = Automaton(self.line.text, self.start, self.shape)
        try:
            while (token := automaton.next_token()) is not None and automaton.feed(token):
                self._note(token)
            nodes = automaton.finish()
        except WrongTokenError as error:
            raise self._error_at(error.start, error.end, error.message) from None
        if nodes is None:
            raise self._error(automaton.position, automaton)
        self._check_blanks(nodes)
        return Shape(nodes, self.tokens[-1].end if self.tokens else self.start)

    def _note(self, token: Token) -> None:
        """Count values and brackets, for messages."""
        kind = token.type
        if not self.open and kind in _STARTS and not (self.tokens and self.tokens[-1].type == "MEASURE"):
            self.started += 1
        if kind in _OPENING:
            self.open.append(token)
        elif kind in _CLOSING:
            self.open.pop()
        self.tokens.append(token)
        if not self.open and kind not in _UNFINISHED:
            self.complete = self.started
            self.end = token.end

    def _check_blanks(self, nodes: tuple[Node, ...]) -> None:
        """Arguments of a list are separated by blanks or commas."""
        if self.shape != "values":
            return
        text = self.line.text
        pair = _touching(nodes)
        if pair is not None:
            one, two = pair
            strings = text[one.end - 1] == '"' and text[two.start] == '"'
            what = "two strings must be separated by a blank" if strings else "a blank is missing"
            raise self._error_at(two.start, two.end, f"{what} before {found_at(text, two.start)}")

    def _error(self, problem: int, automaton: Automaton) -> PlacedError:
        """The sentence for text that does not fit its shape: what was found and what could have come."""
        line, text = self.line, self.line.text
        if self.shape == "values" and self.complete >= self.about.most:
            return unexpected(line, skip_blanks(text, self.end))
        if (unclosed := unclosed_error(line, problem)) is not None:
            return unclosed
        if problem >= len(text) and self.open:
            opening = self.open[0]
            offset = opening.start
            return self._error_at(offset, offset + 1, f'missing "{_OPENING[opening.type]}"')
        expected = self._expected(automaton)
        if problem >= len(text):
            return self._too_short(expected)
        found = found_at(text, problem)
        kind = "the string " if text[problem] == '"' else ""
        return self._error_at(problem, _end_of_word(text, problem), f"expected {expected}, found {kind}{found}")

    def _error_at(self, start: int, end: int, message: str) -> PlacedError:
        return PlacedError.at(Place(self.line, start, end), message)

    def _too_short(self, expected: str) -> PlacedError:
        line = self.line
        message, hint = f"{self.about.name} needs more: expected {expected}", f"usage: {self.about.usage}"
        for segment in line.segments:
            if segment.offset == len(line.text) and segment.width:      # an empty value is what is missing
                return PlacedError(message, segment.column, segment.width, hint=hint)
        last = self.tokens[-1] if self.tokens else None
        if last is None:
            return PlacedError.at(Place(line, self.start, self.start), message, hint=hint)
        return PlacedError.at(Place(line, last.start, last.end), message, hint=hint)

    def _expected(self, automaton: Automaton) -> str:
        if self.tokens and self.tokens[-1].type == "MEASURE":
            return f"a string after {self.tokens[-1]}"
        if self.tokens and self.tokens[-1].type == "CI":
            return "a string behind ci"
        accepted = automaton.accepted()
        if self.shape == "assignment":
            accepted -= {"WORD"} if "STRING" in accepted else set()
        for terminals, words in _EXPECTATIONS:
            if terminals <= accepted:
                return words
        return "nothing more"


def unclosed_error(line: Expanded, problem: int) -> PlacedError | None:
    """The error when what is wrong at a place is a string or substitution without end."""
    operator = line.unclosed_operator
    if operator is not None and problem >= operator:
        return PlacedError.at(
            Place(line, operator, len(line.text)),
            f'missing "{line.operator_part}" in the substitution: expected /old=new/',
            hint="write a blank before a / that divides",
        )
    if line.unclosed is not None and problem >= line.unclosed:
        return unclosed_quote(line)
    return None


def unexpected(line: Expanded, offset: int) -> PlacedError:
    """The error for text behind the last argument."""
    error = unclosed_error(line, offset)
    return error or PlacedError.at(Place(line, offset, len(line.text)), f"unexpected text {found_at(line.text, offset)}")


def unclosed_quote(line: Expanded) -> PlacedError:
    """The error for a string without end."""
    start = line.unclosed or 0
    return PlacedError.at(Place(line, start, len(line.text)), "missing closing quote", hint=r'a quote inside a string is written \"')
