"""What an editor asks about a text: completion, hover, where something is defined. Lines and columns count from 0, in characters."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..commands import COMMANDS
from ..language.check.codes import RULES
from ..language.check.reading import Reader
from ..language.completion import Candidate, Known, complete
from ..language.names import fold
from ..language.outline import Symbol, outline, same_name
from ..language.specials import about_variable
from ..partitions.types import GPT_TYPES, MBR_TYPES

_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"\.?[A-Za-z][A-Za-z0-9_.+-]*")
_CODE = re.compile(r"\bBP\d{3}\b", re.IGNORECASE)
_MOST_FILES = 200       # shown for one beginning of a name

_READERS = {program: Reader(COMMANDS, program) for program in ("MrBatch", "MrZip")}


class Target(NamedTuple):
    """A place to go to; `path` is None for the text itself."""

    path: Path | None
    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True)
class Page:
    """A text as the editor has it, where it lies, and the folder that plays the server."""

    text: str
    path: Path
    root: Path

    @property
    def program(self) -> str:
        """What runs it."""
        return "MrZip" if self.path.suffix.lower() == ".mrz" else "MrBatch"

    @property
    def lines(self) -> list[str]:
        """Its lines without their ends."""
        return _LINE_END.split(self.text)

    def line(self, number: int) -> str:
        """One line; "" beyond the end."""
        lines = self.lines
        return lines[number] if 0 <= number < len(lines) else ""

    def symbols(self) -> list[Symbol]:
        """Its outline."""
        return outline(self.text, _READERS[self.program])


def completions(page: Page, line: int, column: int) -> list[Candidate]:
    """What may be written at a place."""
    symbols = page.symbols()
    known = Known(
        variables=[each.name for each in symbols if each.kind == "variable"],
        labels=[each.name for each in symbols if each.kind == "label"],
        files=lambda begun: _files(page.root, begun),
        program=page.program,
    )
    return complete(page.line(line), column, COMMANDS, known)


def hover(page: Page, line: int, column: int) -> str | None:
    """What the word at a place means, as Markdown."""
    text = page.line(line)
    for symbol in page.symbols():
        if symbol.is_at(line + 1, column + 1):
            about = _about(page, symbol)
            if about is not None:
                return about
    word = next((match[0] for match in _WORD.finditer(text) if match.start() <= column <= match.end()), None)
    if word is None:
        return None
    if text.lstrip(" \t").startswith("#"):
        rule = RULES.get(word.upper()) if _CODE.fullmatch(word) else None
        return None if rule is None else f"```text\n{rule.page()}\n```"
    declaration = COMMANDS.get(word)
    if declaration is not None and not _in_string(text, column):
        return f"```text\n{declaration.help_text()}\n```"
    if fold(word).upper() in MBR_TYPES and "setpartitions" in text.lower():
        return f"partition type {word.upper()}: byte {MBR_TYPES[word.upper()]} (0x{MBR_TYPES[word.upper()]:02X}) in an MBR"
    if fold(word).upper() in GPT_TYPES and "setpartitions" in text.lower():
        return f"partition type {word.upper()} of a GPT: {str(GPT_TYPES[word.upper()]).upper()}"
    return None


def _about(page: Page, symbol: Symbol) -> str | None:
    if symbol.kind in {"use", "variable"}:
        about = about_variable(symbol.name)
        if about is not None:
            return f"**${symbol.name}**: {about}"
        places = [str(each.line) for each in page.symbols() if each.kind == "variable" and same_name(each.name, symbol.name)]
        return f"**${symbol.name}** is set in line {', '.join(places)}" if places else f"**${symbol.name}** is not set in this file"
    if symbol.kind == "goto":
        found = definition(page, symbol.line - 1, symbol.column - 1)
        return None if found is None else f"label in line {found.line + 1}"
    return None


def definition(page: Page, line: int, column: int) -> Target | None:
    """Where the thing at a place is: a label, the file of an Include, the first line that sets a variable."""
    symbols = page.symbols()
    at = next((each for each in symbols if each.is_at(line + 1, column + 1)), None)
    if at is None:
        return None
    if at.kind == "file":
        return _file(page, at.name)
    wanted = "label" if at.kind == "goto" else "variable"
    if at.kind not in {"goto", "use"}:
        return None
    found = next((each for each in symbols if each.kind == wanted and same_name(each.name, at.name)), None)
    return None if found is None else Target(None, found.line - 1, found.column - 1, found.width)


def _file(page: Page, name: str) -> Target | None:
    """A file of the server, or in MrZip one beside the script."""
    if name.startswith("{") or "\0" in name:
        return None
    folder = page.path.parent if page.program == "MrZip" else page.root
    path = folder / name.replace("\\", "/").lstrip("/")
    return Target(path, 0, 0, 0) if path.is_file() else None


def _files(root: Path, begun: str) -> Iterable[str]:
    """Names of files below the root that begin like this."""
    if begun.startswith("{"):
        return []
    folder, slash, last = begun.replace("\\", "/").rpartition("/")
    try:
        if ".." in folder.split("/"):
            return []
        names = sorted((root / folder).iterdir())
    except (OSError, ValueError):
        return []
    return [
        f"{folder}{slash}{each.name}{'/' if each.is_dir() else ''}"
        for each in names
        if fold(each.name).startswith(fold(last)) and not each.name.startswith(".")
    ][:_MOST_FILES]


def _in_string(text: str, column: int) -> bool:
    """Whether a place lies between quotes."""
    return len(re.findall(r'(?<!\\)"', text[:column])) % 2 == 1
