"""The commonest arguments without the parser's machine, which takes three times as long: plain strings and one word of them, numbers, words, variables,
and calculations with one operator, with blanks between them.

    Copy "a$n" "b" 3          If "$x" == "y" ...          Set n = ($n + 1)          At 3,10 ...          Set first = "$x"{0}

What is not as plain as that gives None, and then `parser.py` reads it. Where this reads something, it reads what the machine reads: a test lets
both read the same texts.
"""

import re

from .expand import FIRST_HOLE, HOLE, parts_of
from .syntax import Absent, Comma, Measure, Node, Number, NumberHole, Operation, Selection, Tenths, Test, Text, Word

_CHARACTERS = r'[^"\\]*(?:\\.[^"\\]*)*'
_STRING = rf'"(?P<string>{_CHARACTERS})"(?:\{{(?P<index>[0-9]{{1,9}})\}})?(?![/{{\[])'
_DIGITS = r"(?P<digits>[0-9]{1,9})(?![^ \t,])"
_TENTHS = r"(?P<tenths>[0-9]{1,8}\.[0-9]+)(?![^ \t,])"
_OPERAND = r"[0-9]{1,9}|\0."
_CALCULATION = rf"\([ \t]*(?P<left>{_OPERAND})[ \t]*(?:(?P<operator>[-+*/%])[ \t]*(?P<right>{_OPERAND})[ \t]*)?\)(?![^ \t,])"
_MEASURE = rf'[@#]"(?P<measured>{_CHARACTERS})"(?![/{{\[])'
_HOLE = r"\0(?P<hole>.)(?![^ \t,])"
# Behind a string the tables take `in` and `match-...` for operators, wherever they stand.
_WORD = r"(?P<word>(?![iI][nN](?:[ \t,-]|\Z)|[mM][aA][tT][cC][hH]-)[A-Za-z][A-Za-z0-9_-]*)(?![^ \t,])"
_ITEM = re.compile(rf"[ \t]*(?:{_STRING}|{_DIGITS}|{_HOLE}|{_WORD}|(?P<comma>,)|{_CALCULATION}|{_MEASURE}|{_TENTHS})", re.DOTALL)
_VALUE = re.compile(rf"[ \t]*(?:{_STRING}|{_DIGITS}|{_HOLE}|{_CALCULATION}|{_MEASURE}|{_TENTHS})", re.DOTALL)
_NAME = re.compile(r"[ \t]*(?P<name>[A-Za-z][A-Za-z0-9_-]*)[ \t]*=(?![=<>!])")
_NOT = re.compile(r"[ \t]*(not|ci)(?=[ \t]+)", re.IGNORECASE)
_COMPARISON = re.compile(r"[ \t]*(==|!=|<>|<=|>=|=<|=>|<|>)(?![=<>!])")
_SEARCH = re.compile(r'[ \t]*(match-expr|match-passwd|in-file|in)(?=[ \t]*")', re.IGNORECASE)
_EXIST = re.compile(r"[ \t]*(exist)(?=[ \t])", re.IGNORECASE)
_VALID = re.compile(r"[ \t]*(valid)[ \t]+(:)(?=[0-9])", re.IGNORECASE)
_REST = re.compile(r"[ \t]*(?=[A-Za-z.$]|\Z)")      # what may follow without belonging to what was read
_BLANKS = re.compile(r"[ \t]*")
_COMMA = re.compile(r"[ \t]*,")
_IS_STRING = frozenset({"string", "index"})
_OPERATORS = {"<>": "!=", "=>": ">=", "=<": "<="}

Found = tuple[tuple[Node, ...], int]


def read(text: str, start: int, shape: str) -> Found | None:
    """The nodes of a shape and where they end, or None for what is not plain."""
    if shape == "values":
        return _values(text, start)
    if shape == "single":
        return _single(text, start)
    if shape == "assignment":
        return _assignment(text, start)
    if shape == "position":
        return _position(text, start)
    return _test(text, start) if shape == "test" else None


def _node(match: re.Match[str]) -> Node:
    """The node of an item; its place is without the blanks in front."""
    kind = match.lastgroup
    end = match.end()
    if kind == "string":
        return Text(parts_of(match["string"]), match.start("string") - 1, end)
    if kind == "digits":
        return Number(int(match["digits"]), match.start("digits"), end)
    if kind == "word":
        return Word(match["word"], match.start("word"), end)
    if kind == "hole":
        return NumberHole(ord(match["hole"]) - FIRST_HOLE, match.start("hole") - 1, end)
    if kind == "comma":
        return Comma(match.start("comma"), end)
    if kind == "index":
        start, quote = match.start("string") - 1, match.end("string") + 1
        text = Text(parts_of(match["string"]), start, quote)
        return Selection(text, "words", Number(int(match["index"]), *match.span("index")), None, start, end)
    if kind == "left":      # parentheses around one number mean nothing
        return _operand(match, "left")
    if kind == "right":
        return Operation(_operand(match, "left"), match["operator"], _operand(match, "right"), match.string.rindex("(", 0, match.start("left")), end)
    if kind == "measured":
        start = match.start("measured") - 1
        return Measure(match.string[start - 1], Text(parts_of(match["measured"]), start, end), start - 1, end)
    written = match["tenths"]
    whole, _, decimals = written.partition(".")
    return Tenths(int(whole) * 10 + int(decimals[0]), written, match.start("tenths"), end)


def _operand(match: re.Match[str], name: str) -> Number | NumberHole:
    """A number of a calculation."""
    written = match[name]
    return NumberHole(ord(written[1]) - FIRST_HOLE, *match.span(name)) if written[0] == HOLE else Number(int(written), *match.span(name))


def _values(text: str, start: int) -> Found | None:
    """All arguments, to the end of the text."""
    nodes: list[Node] = []
    position = end = start
    length = len(text)
    while True:
        match = _ITEM.match(text, position)
        if match is None:
            blanks = _BLANKS.match(text, position)
            return (tuple(nodes), end) if blanks is not None and blanks.end() == length else None
        node = _node(match)
        if nodes and node.start == position and not isinstance(node, Comma) and not isinstance(nodes[-1], Comma):
            return None     # no blank between the two
        nodes.append(node)
        position = end = match.end()


def _single(text: str, start: int) -> Found | None:
    """One argument, and then a command or nothing."""
    match = _VALUE.match(text, start)
    if match is None or not _ends(text, match.end()):
        return None
    return (_node(match),), match.end()


def _position(text: str, start: int) -> Found | None:
    """Two values with a comma, and then a command or nothing."""
    first = _VALUE.match(text, start)
    comma = None if first is None else _COMMA.match(text, first.end())
    second = None if comma is None else _VALUE.match(text, comma.end())
    if first is None or second is None or not _ends(text, second.end()):
        return None
    return (_node(first), _node(second)), second.end()


def _assignment(text: str, start: int) -> Found | None:
    """A name and a value, and nothing more."""
    name = _NAME.match(text, start)
    match = None if name is None else _VALUE.match(text, name.end())
    if name is None or match is None:
        return None
    blanks = _BLANKS.match(text, match.end())
    if blanks is None or blanks.end() != len(text):
        return None
    return (Word(name["name"], name.start("name"), name.end("name")), _node(match)), match.end()


def _test(text: str, start: int) -> Found | None:
    """A comparison of two plain values, `exist` with a string, `valid` of a partition of disk 0."""
    words: dict[str, int] = {}
    position = start
    while (word := _NOT.match(text, position)) is not None:
        name = word[1].lower()
        if name in words or "ci" in words:
            return None
        words[name] = word.start(1)
        position = word.end()
    first = min(words.values(), default=-1)
    negated, ignores_case = "not" in words, "ci" in words
    keyword = _EXIST.match(text, position)
    if keyword is not None:
        match = _VALUE.match(text, keyword.end())
        if ignores_case or match is None or match.lastgroup != "string" or not _ends(text, match.end()):
            return None
        begin = first if negated else keyword.start(1)
        return (Test(negated, False, "exist", _node(match), None, begin, match.end()),), match.end()  # type: ignore[arg-type]  # it is a Text
    keyword = _VALID.match(text, position)
    if keyword is not None:
        match = _VALUE.match(text, keyword.end())
        if ignores_case or match is None or match.lastgroup != "digits" or not _ends(text, match.end()):
            return None
        colon = keyword.start(2)
        begin = first if negated else keyword.start(1)
        return (Test(negated, False, "valid", Absent(colon, colon), _node(match), begin, match.end()),), match.end()  # type: ignore[arg-type]
    left = _VALUE.match(text, position)
    operator = None if left is None else _COMPARISON.match(text, left.end()) or _SEARCH.match(text, left.end())
    right = None if operator is None else _VALUE.match(text, operator.end())
    if left is None or operator is None or right is None or not _ends(text, right.end()):
        return None
    if "tenths" in {left.lastgroup, right.lastgroup}:
        return None     # a test has whole numbers only
    are_strings = left.lastgroup in _IS_STRING, right.lastgroup in _IS_STRING
    is_search = operator.re is _SEARCH
    if are_strings[0] is not are_strings[1] or ((ignores_case or is_search) and not are_strings[0]):
        return None
    one, other = _node(left), _node(right)
    begin = first if words else one.start
    name = operator[1].lower() if is_search else _OPERATORS.get(operator[1], operator[1])
    return (Test(negated, ignores_case, name, one, other, begin, other.end),), right.end()  # type: ignore[arg-type]  # both are values


def _ends(text: str, position: int) -> bool:
    """Whether what follows is a command, or nothing."""
    return _REST.match(text, position) is not None and _is_apart(text, position)


def _is_apart(text: str, position: int) -> bool:
    """Whether a blank follows, or nothing."""
    return position == len(text) or text[position] in " \t"

