"""One way to write a script: the spelling of commands and keywords, and the blanks. What it means never changes.

    if   not exist "a.txt"   ECHO"none"         If not exist "a.txt" Echo "none"
    set n=($n+1)                                Set n = ($n+1)
    at 3 , 4 print   (1+2)                      At 3,4 Print (1 + 2)

Only blanks between tokens and the case of words change. Next to a macro no blank comes or goes, because its value is read as if it were typed
(`$n-1` may even be another variable than `$n - 1`). Every line is read again afterwards: one that would not mean the same stays as it was.
Lines that cannot be read only lose the blanks around them. Comments, strings, the encoding, line ends and what stands behind a byte 26 stay.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..base.errors import BpscriptError
from .arguments import CommandArgument
from .automaton import Automaton, skip_blanks
from .binding import NAME, Match, match_arguments, read_nodes
from .declare import CommandSet, Declaration
from .expand import HOLE, TooManyMacrosError, make_template, unescape
from .names import fold
from .places import Expanded, Place
from .source import LineKind, make_line
from .syntax import Node, Rest, Word
from .tokens import Token

_LINE_END = re.compile(r"(\r\n|\r|\n)")
_BLANKS = re.compile(r"[ \t]+")
_MOST_BLANK_LINES = 1
_KEYWORDS = {"MATCH": {"match-expr": "Match-Expr", "match-passwd": "Match-Passwd"}}
_OPERATORS = {"<>": "!=", "=>": ">=", "=<": "<="}
_LOWER = {"NOT", "CI", "EXIST", "VALID", "IN"}
_BETWEEN = {"TIMES", "SIGN", "COMPARISON", "EQUALS"}
_OPENING, _CLOSING = {"LPAR", "LBRACE", "LBRACKET"}, {"RPAR", "RBRACE", "RBRACKET"}
_OPERANDS = {"DIGITS", "HOLE", "RPAR", "STRING", "SUBSTITUTION", "RBRACE", "RBRACKET"}


class _Piece(NamedTuple):
    """A token of a line: its kind, how it is written now, and where it stood (indices into the line)."""

    kind: str
    text: str
    start: int
    end: int


def format_bytes(data: bytes, commands: CommandSet) -> bytes:
    """A script file in the one way to write it. Any bytes are taken; only blanks and the case of words are different."""
    # Nothing beyond ASCII is looked at, so one encoding serves for all: every byte is a character of it.
    mark = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return mark + format_script(data[len(mark) :].decode("latin-1"), commands).encode("latin-1")


def format_script(text: str, commands: CommandSet) -> str:
    """The same for a text."""
    head, end_of_file, tail = text.partition("\x1a")
    pieces = _LINE_END.split(head)
    lines, ends = pieces[::2], pieces[1::2]
    kept: list[str] = []
    blank = _MOST_BLANK_LINES       # none at the beginning
    for index, line in enumerate(lines):
        written = format_line(line, commands)
        end = ends[index] if index < len(ends) else ""
        if not written and end:
            blank += 1
            if blank > _MOST_BLANK_LINES:
                continue
        elif written:
            blank = 0
        kept.append(written + end)
    return "".join(kept) + end_of_file + tail


def format_line(line: str, commands: CommandSet) -> str:
    """One line without its end."""
    if "\0" in line:
        return line
    found = make_line(1, line)
    if found.kind is LineKind.COMMENT:
        return found.text
    if found.kind is LineKind.LABEL:
        return ":" + _BLANKS.sub(" ", found.text[1:].strip(" \t"))
    text = found.text
    for choices in _choices(text):
        try:
            written = _Line(text, commands, choices).written()
            if written == text or meaning(text, commands, choices) == meaning(written, commands, choices):
                return written
        except (BpscriptError, TooManyMacrosError, _Unreadable):
            continue
    return text


def _choices(text: str) -> Iterator[dict[int, int]]:
    """What the macros may mean: all of `$n-1` is the name of a variable, or the part before the last sign is, or the first part."""
    yield {}
    try:
        macros = make_template(text, 1, {}, _upper_code).macros
    except (BpscriptError, TooManyMacrosError):
        return
    several = {index: len(macro.names) - 1 for index, macro in enumerate(macros) if len(macro.names) > 1}
    if several:
        yield dict.fromkeys(several, 1)
        if any(last > 1 for last in several.values()):
            yield several


class _Unreadable(Exception):  # noqa: N818 - an answer: the line stays as it is
    """The line cannot be taken apart."""


class _Line:
    """A line taken apart into tokens of the text as it was written."""

    def __init__(self, text: str, commands: CommandSet, choices: dict[int, int]) -> None:
        self._text = text
        self._commands = commands
        self._template = make_template(text, 1, choices, _upper_code).line
        self._pieces: list[_Piece] = []

    def written(self) -> str:
        """The line anew. Raises BpscriptError or _Unreadable for one that cannot be read."""
        line = self._template
        start = skip_blanks(line.text, 0)
        while True:
            match = NAME.match(line.text, start)
            if match is None or HOLE in match[0]:
                raise _Unreadable
            declaration = self._commands.get(unescape(match[0]))
            if declaration is None:
                raise _Unreadable
            # An alias keeps its own name.
            names = {fold(name): name for name in (declaration.name, *declaration.aliases)}
            self._add("NAME", names.get(fold(match[0]), match[0]), start, match.end())
            arguments = skip_blanks(line.text, match.end())
            rest = self._arguments(declaration, arguments)
            if rest is None:
                break
            if not isinstance(declaration.parameters[-1].type, CommandArgument):
                self._add("REST", None, rest, len(line.text))
                break
            start = rest
        return self._joined()

    def _arguments(self, declaration: Declaration, start: int) -> int | None:
        """The tokens of the arguments; gives where the rest of the line begins."""
        line = self._template
        nodes = read_nodes(line, start, declaration)
        # The whole line must be right, arguments too: half of it could be read in another way.
        matches = list(match_arguments(declaration, nodes, line, Place(line, 0, 0)))
        spelling = dict(_spellings(matches))
        end = nodes[-1].start if nodes and isinstance(nodes[-1], Rest) else len(line.text)
        if declaration.shape is not None:
            automaton = Automaton(line.text, start, declaration.shape)
            while automaton.position < end and (token := automaton.next_token()) is not None and token.start < end and automaton.feed(token):
                self._add(token.type, _respelled(token, spelling.get(token.start)), token.start, token.end)
        return nodes[-1].start if nodes and isinstance(nodes[-1], Rest) and nodes[-1].end > nodes[-1].start else None

    def _add(self, kind: str, text: str | None, start: int, end: int) -> None:
        """A token; `text` None is as it is written."""
        first, last = self._index(start), self._index(end)
        written = self._text[first:last]
        self._pieces.append(_Piece(kind, written if text is None or "\\" in written else text, first, last))

    def _index(self, offset: int) -> int:
        """Where an offset of the template was written, as an index into the line."""
        line = self._template
        if offset >= len(line.text):
            return len(self._text)
        return line.column(offset) - 1

    def _joined(self) -> str:
        """The tokens with blanks between them."""
        pieces = self._pieces
        found = [pieces[0].text]
        brackets: list[str] = []        # that are open
        for index in range(1, len(pieces)):
            before, piece = pieces[index - 1], pieces[index]
            gap = self._text[before.end : piece.start]
            if gap.strip(" \t"):
                raise _Unreadable       # an escaped character between two tokens
            if before.kind in _OPENING:
                brackets.append(before.kind)
            elif before.kind in _CLOSING and brackets:
                brackets.pop()
            found += [self._blank(index, gap, brackets[-1] if brackets else None), piece.text]
        return "".join(found)

    def _blank(self, index: int, gap: str, depth: str | None) -> str:
        """What stands in front of a token; `depth` is the innermost bracket around it."""
        pieces = self._pieces
        before, piece = pieces[index - 1], pieces[index]
        if before.kind == "HOLE" or piece.kind == "HOLE" or "$" in (self._text[before.end - 1 : before.end], piece.text[:1]):
            return " " if gap else ""       # no blank comes or goes next to a macro
        one, two = before.kind, piece.kind
        if (two in _BETWEEN and self._is_tight(index + 1)) or (one in _BETWEEN and self._is_tight(index - 1)):
            return " " if gap else ""       # an operator with a macro close to one side looks the same on the other
        if one == "NAME" or two in {"NAME", "REST"}:
            return " "
        if two in {"SUBSTITUTION", "LBRACE", "LBRACKET", "COMMA", "RPAR", "RBRACE", "RBRACKET"}:
            return ""
        if one in {"COMMA", "LPAR", "LBRACE", "LBRACKET", "MEASURE"}:
            return ""
        if one == "COLON":
            return ""
        if two == "COLON":
            return " " if one == "VALID" else ""
        if two == "TIMES" or one == "TIMES":
            return " " if depth == "LPAR" else ""
        if two == "SIGN":
            if depth is None:
                return " "
            return " " if depth == "LPAR" and one in _OPERANDS | {"SIGN", "TIMES"} else ""
        if one == "SIGN":
            is_operator = depth is not None and index >= 2 and pieces[index - 2].kind in _OPERANDS
            return " " if is_operator and depth == "LPAR" else ""
        return " "

    def _is_tight(self, index: int) -> bool:
        """Whether a token has no blank before it, and one of the two is a macro."""
        if not 0 < index < len(self._pieces):
            return False
        before, piece = self._pieces[index - 1], self._pieces[index]
        return before.end == piece.start and "HOLE" in {before.kind, piece.kind}


def _spellings(matches: list[Match]) -> list[tuple[int, str]]:
    """Where words stand that have a spelling of their own: keywords, colours."""
    found = []
    for match in matches:
        words = {fold(word): word for word in match.parameter.type.words}
        for node in match.nodes:
            if isinstance(node, Word) and fold(node.text) in words:
                found.append((node.start, words[fold(node.text)]))
    return found


def _respelled(token: Token, spelling: str | None) -> str | None:
    if token.type in _LOWER:
        return token.text.lower()
    if token.type == "MATCH":
        return _KEYWORDS["MATCH"][token.text.lower()]
    if token.type == "COMPARISON":
        return _OPERATORS.get(token.text, token.text)
    if token.type == "WORD":
        return spelling
    return None


def meaning(text: str, commands: CommandSet, choices: dict[int, int] | None = None) -> list[object]:
    """What a line says, without places: commands, their arguments, and the macros. Raises BpscriptError for a line that cannot be read."""
    template = make_template(text, 1, choices or {}, _upper_code)
    line = template.line
    found: list[object] = [[(macro.names, macro.where) for macro in template.macros]]
    start = skip_blanks(line.text, 0)
    while True:
        match = NAME.match(line.text, start)
        declaration = None if match is None else commands.get(unescape(match[0]))
        if match is None or declaration is None:
            raise BpscriptError("unknown command")
        nodes = read_nodes(line, skip_blanks(line.text, match.end()), declaration)
        matches = list(match_arguments(declaration, nodes, line, Place(line, 0, 0)))
        found.append((declaration.name, tuple(_bare(node, each, line) for each in matches for node in each.nodes)))
        last = nodes[-1] if nodes else None
        if not isinstance(last, Rest) or not declaration.takes_rest or not isinstance(declaration.parameters[-1].type, CommandArgument):
            return found
        start = last.start


def _bare(node: Node, match: Match, line: Expanded) -> object:
    """A node without its place."""
    if isinstance(node, Rest):
        return "" if isinstance(match.parameter.type, CommandArgument) else line.text[node.start : node.end].rstrip(" \t\r\n")
    if isinstance(node, Word):
        return "word", fold(node.text) if match.parameter.type.words else node.text
    return _without_places(node)


def _without_places(node: object) -> object:
    # A stack of our own: a tree can be as deep as the line is long.
    out: list[object] = []
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, tuple) and hasattr(each, "_fields"):
            fields = [value for name, value in zip(each._fields, each, strict=True) if name not in {"start", "end"}]
            out.append((type(each).__name__, len(fields)))
            todo += reversed(fields)
        elif isinstance(each, tuple):
            out.append(len(each))
            todo += reversed(each)
        else:
            out.append(each)
    return tuple(out)


def _upper_code(code: int) -> str:
    return chr(code)        # nothing of the kind has a meaning

