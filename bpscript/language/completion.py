"""What may be written at a place of a line: for the prompt and for editors.

    Full|                   commands
    If not exist "a" Go|    commands again: the nested one
    Echo "$BOOTP-H|         variables
    Goto in|                labels
    TextAttr Ye|            colours, keywords, names of variables: what the argument's type has words for
    SetPartitions "FAT|     partition types
    Set ErrorMode = "C|     the values that a special variable takes
    FullUnzip "a" 1|        partitions and disks, by the names of the parameters

`usage_at` and `help_at` say what the command under the cursor is for.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..base.errors import BpscriptError
from ..partitions.types import GPT_TYPES, MBR_TYPES
from .arguments import CommandArgument, FileUse
from .automaton import skip_blanks
from .binding import NAME, read_nodes
from .declare import CommandSet, Declaration, Parameter
from .expand import unescape
from .names import fold
from .places import Expanded, Segment
from .specials import SPECIALS, VALUES, about_variable, reply_names, special
from .syntax import Comma, Rest

_MACRO = re.compile(r"\$(\{?)([A-Za-z_][A-Za-z0-9_+-]*)?\Z")
_WORD = re.compile(r"[^\s\"(),=]*\Z")
_STRING = re.compile(r'"(?:\\.|[^"\\])*(?:"|\Z)')
_TESTS = ("not", "ci", "exist", "valid")
_OPERATORS = ("==", "!=", "<", ">", "<=", ">=", "Match-Expr", "Match-Passwd", "in", "in-file")


class Candidate(NamedTuple):
    """One way to go on. `start` is where the text that it replaces begins (an index into the line).

    `kind` is command, variable, label, keyword, type, value, number or file.
    """

    text: str
    kind: str
    about: str
    start: int


Found = Iterable[tuple[str, str]]       # texts, and what is to say about each


class Known(NamedTuple):
    """What is known around the line: names of the script's variables, its labels, how files are found by the beginning of a name, the
    numbers of the partitions of disk 0 and of the disks, and what a variable holds (None: nothing is known of it)."""

    variables: Iterable[str] = ()
    labels: Iterable[str] = ()
    files: Callable[[str], Iterable[str]] = lambda prefix: ()
    program: str = "MrBatch"
    partitions: Callable[[], Found] = lambda: ()
    disks: Callable[[], Found] = lambda: ()
    value: Callable[[str], str | None] = lambda name: None
    at_prompt: bool = False


def complete(line: str, position: int, commands: CommandSet, known: Known | None = None) -> list[Candidate]:
    """What may stand at `position` (an index into the line), given what is in front of it. Never an error."""
    text = line[:position]
    known = known or Known()
    stripped = text.lstrip(" \t")
    if stripped.startswith(("#", ":")):
        return []
    macro = _open_macro(text)
    if macro is not None:
        return _variables(macro[0], macro[1], known, braces=macro[2])
    return _in_command(text, len(text) - len(stripped), commands, known)


def _open_macro(text: str) -> tuple[str, int, bool] | None:
    """The name of a variable that is being written, where it begins, and whether a brace was opened."""
    match = _MACRO.search(text)
    if match is None or (len(text[: match.start()]) - len(text[: match.start()].rstrip("\\"))) % 2:
        return None
    name = match[2] or ""
    return name, len(text) - len(name), bool(match[1])


def _variables(name: str, start: int, known: Known, *, braces: bool = False) -> list[Candidate]:
    spellings: dict[str, str] = {}
    for each in (*known.variables, *(one.name for one in SPECIALS), *reply_names()):
        if each.startswith("BOOTP-Option-") and not fold(name).startswith("bootp-o"):
            continue
        spellings.setdefault(fold(each), each)
    close = "}" if braces else ""
    return [
        Candidate(spelling + close, "variable", known.value(spelling) or about_variable(spelling) or "", start)
        for key, spelling in sorted(spellings.items())
        if key.startswith(fold(name))
    ]


def usage_at(text: str, commands: CommandSet) -> str:
    """The usage of the command at the end of the text, and what the argument there is for; "" where there is no command."""
    start, declaration, arguments = _innermost(text, len(text) - len(text.lstrip(" \t")), commands)
    if declaration is None:
        whole = commands.get(text[start:])
        return "" if whole is None else whole.usage
    in_string = _open_string(text, arguments)
    word = _WORD.search(text, arguments)
    end = in_string if in_string is not None else len(text) if word is None else word.start()
    parameter = _parameter(text[:end], arguments, declaration)
    return declaration.usage + ("" if parameter is None else f"   {parameter.display}: {parameter.about}")


def help_at(text: str, commands: CommandSet) -> str:
    """The help of the command at the end of the text; "" where there is none."""
    start, declaration, _ = _innermost(text, len(text) - len(text.lstrip(" \t")), commands)
    found = declaration or commands.get(text[start:])
    return "" if found is None else found.help_text()


def _in_command(text: str, start: int, commands: CommandSet, known: Known) -> list[Candidate]:
    """In the command that is being written."""
    start, declaration, arguments = _innermost(text, start, commands)
    if declaration is None:
        return _commands(text[start:], start, commands, known) if arguments == 0 else []
    return _in_arguments(text, arguments, declaration, known)


def _innermost(text: str, start: int, commands: CommandSet) -> tuple[int, Declaration | None, int]:
    """Walk from the outer command to the one that is being written: where it begins, what it is, and where its arguments begin.

    Without a declaration its name is being written (then the last number is 0), or there is no such command.
    """
    line = Expanded(text, (Segment(0, 1, 0),))
    while True:
        match = NAME.match(text, start)
        if match is None or match.end() == len(text):
            return start, None, 0
        declaration = commands.get(unescape(match[0]))
        arguments = skip_blanks(text, match.end())
        if declaration is None:
            return start, None, arguments
        nested = _nested_start(line, arguments, declaration)
        if nested is None:
            return start, declaration, arguments
        start = nested


def _commands(begun: str, start: int, commands: CommandSet, known: Known) -> list[Candidate]:
    found = []
    for declaration in commands:
        if (declaration.mrzip_only and known.program != "MrZip") or (declaration.interactive_only and not known.at_prompt):
            continue
        found += [
            Candidate(name, "command", declaration.summary, start)
            for name in (declaration.name, *declaration.aliases)
            if fold(name).startswith(fold(begun))
        ]
    return sorted(found, key=lambda each: fold(each.text))


def _nested_start(line: Expanded, arguments: int, declaration: Declaration) -> int | None:
    """Where the command inside a command begins, None when it has none or is not reached yet."""
    if not declaration.takes_rest or not isinstance(declaration.parameters[-1].type, CommandArgument):
        return None
    if declaration.shape is None:
        return arguments
    try:
        nodes = read_nodes(line, arguments, declaration)
    except BpscriptError:
        return None
    if nodes and isinstance(nodes[-1], Rest):
        return nodes[-1].start
    ends_blank = line.text[-1:] in {" ", "\t"}
    return len(line.text) if nodes and ends_blank and len(nodes) >= len(declaration.parameters) - 1 else None


def _in_arguments(text: str, arguments: int, declaration: Declaration, known: Known) -> list[Candidate]:
    in_string = _open_string(text, arguments)
    if declaration.name == "Goto":
        begun = text[arguments:].lstrip('":')
        return _matching(known.labels, begun, len(text) - len(begun), "label")
    word = _WORD.search(text, arguments)
    start = in_string + 1 if in_string is not None else word.start() if word is not None else len(text)
    parameter = _parameter(text[: in_string if in_string is not None else start], arguments, declaration)
    if declaration.shape == "test":
        if in_string is not None:
            return _files(text, start, known) if re.search(r"\b(?:exist|in-file)\s*\Z", text[:in_string], re.IGNORECASE) else []
        if re.match(r"(?:not\s+)?valid\s", text[arguments:], re.IGNORECASE):
            return _numbers(known.partitions(), text, ":")
        return _test_words(text, arguments, start)
    if parameter is None:
        return []
    kind = parameter.type
    if in_string is None:
        if declaration.shape == "place":
            return _numbers(known.partitions(), text, ":")
        if parameter.name in {"partition", "partitions"}:
            return _numbers(known.partitions(), text)
        if parameter.name == "disk":
            return _numbers(known.disks(), text)
        if kind.sets_variable:
            return _variables(text[start:], start, known)
        return _matching(kind.words, text[start:], start, "keyword")
    if declaration.name == "SetPartitions":
        return _types(text, start)
    if declaration.name == "Set":
        return _values(text, arguments, start)
    if isinstance(kind.file_use, FileUse):
        return _files(text, start, known)
    return []


def _open_string(text: str, start: int) -> int | None:
    """Where a string begins that is not closed yet."""
    position = start
    while (position := text.find('"', position)) >= 0:
        match = _STRING.match(text, position)
        assert match is not None
        if match.end() == len(text) and (len(match[0]) < 2 or not match[0].endswith('"')):
            return position
        position = match.end()
    return None


def _numbers(found: Found, text: str, before: str = "") -> list[Candidate]:
    """Numbers that stand for something, which is said beside them."""
    begun = text[len(text.rstrip("0123456789:-")) :]
    start = len(text) - len(begun)
    return [Candidate(before + number, "number", about, start) for number, about in found if (before + number).startswith(begun)]


def _parameter(text: str, arguments: int, declaration: Declaration) -> Parameter | None:
    """The argument that is being written, by how many are complete in front of it."""
    line = Expanded(text, (Segment(0, 1, 0),))
    if declaration.shape == "assignment":
        return declaration.parameters[1 if "=" in text[arguments:] else 0]
    try:
        nodes = read_nodes(line, arguments, declaration) if arguments < len(text) else ()
        count = sum(not isinstance(node, Comma) for node in nodes)
    except BpscriptError:
        count = len(text[arguments:].replace(",", " ").split())
    for parameter in declaration.parameters:
        count -= parameter.type.count
        if count < 0:
            return parameter
    return None


def _test_words(text: str, arguments: int, start: int) -> list[Candidate]:
    before = text[arguments:start].rstrip()
    words = _OPERATORS if before and before[-1] in '"0123456789)}]/' else _TESTS
    return _matching(words, text[start:], start, "keyword")


def _types(text: str, start: int) -> list[Candidate]:
    """Partition types: the word of the list that is being written."""
    words = text[start:]
    begun = re.split(r"\s", words)[-1]
    if ":" in begun:
        return []
    is_gpt = words.split()[:1] == ["GPT"] and words != begun
    names = (*(GPT_TYPES if is_gpt else MBR_TYPES), "EMPTY", *(() if words != begun else ("GPT",)))
    return _matching(names, begun, len(text) - len(begun), "type")


def _values(text: str, arguments: int, start: int) -> list[Candidate]:
    name = text[arguments:].partition("=")[0].strip()
    found = special(name) if name else None
    return [] if found is None else _matching([each for each in VALUES.get(fold(name), ()) if each], text[start:], start, "value")


def _files(text: str, start: int, known: Known) -> list[Candidate]:
    return [Candidate(name, "file", "", start) for name in known.files(text[start:])]


def _matching(names: Iterable[str], begun: str, start: int, kind: str) -> list[Candidate]:
    return [Candidate(name, kind, "", start) for name in _unique(names) if fold(name).startswith(fold(begun))]


def _unique(names: Iterable[str]) -> Iterator[str]:
    yield from dict.fromkeys(names)
