"""Where things stand in a TOML file: line and column of every key and of every element of an array.

`tomllib` tells what a file says, and places only of what it cannot read. This walks over text that `tomllib` has read without
complaint (so it need not check anything) and remembers where keys begin. Source: TOML 1.0.
"""

import re
import tomllib

Path = tuple[str | int, ...]            # ("hosts", "pc1", "mac", 0)
Place = tuple[int, int]                 # line and column, from 1, in characters

_BLANK = re.compile(r"(?:[ \t]|#[^\n]*)*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^\s,\]}#]+(?: \d\d:[^\s,\]}#]+)?")      # a date and a time may have a blank between them


def places(text: str) -> dict[Path, Place]:
    """The place of every key and array element in a valid TOML text."""
    walker = _Walker(text.replace("\r\n", "\n"))
    walker.document()
    return walker.found


class _Walker:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line, self._line_start, self._counted = 1, 0, 0
        self._tables: dict[Path, int] = {}      # how often an array of tables was opened
        self.found: dict[Path, Place] = {}

    def document(self) -> None:
        table: Path = ()
        self._skip(_BLANK_LINES)
        while self._position < len(self._text):         # each turn consumes a header or a pair
            if self._text.startswith("[", self._position):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK_LINES)

    def _header(self) -> Path:
        is_array = self._text.startswith("[[", self._position)
        self._position += 2 if is_array else 1
        self._skip(_BLANK)
        place = self._place()
        path = self._resolve(self._key())
        if is_array:
            number = self._tables.get(path, -1) + 1
            self._tables[path] = number
            self.found.setdefault(path, place)
            path = (*path, number)
        self._mark(path, place)
        self._skip(_BLANK)
        self._position += 2 if is_array else 1
        return path

    def _resolve(self, keys: Path) -> Path:
        """Below an array of tables a header means its last table."""
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in self._tables:
                path = (*path, self._tables[path])
        return (*path, keys[-1])

    def _pair(self, table: Path) -> None:
        place = self._place()
        path = (*table, *self._key())
        self._mark(path, place)
        self._skip(_BLANK)
        self._position += 1             # the equals sign
        self._skip(_BLANK)
        self._value(path)

    def _key(self) -> Path:
        keys: list[str | int] = []
        while True:
            match = _BARE_KEY.match(self._text, self._position)
            if match:
                keys.append(match[0])
            else:
                match = self._match(_STRING)
                keys.append(str(tomllib.loads(f"key = {match[0]}")["key"]))
            self._position = match.end()
            end = self._position
            self._skip(_BLANK)
            if not self._text.startswith(".", self._position):
                self._position = end
                return tuple(keys)
            self._position += 1
            self._skip(_BLANK)

    def _value(self, path: Path) -> None:
        if self._text.startswith("[", self._position):
            self._position += 1
            number = 0
            self._skip(_BLANK_LINES)
            while not self._text.startswith("]", self._position):
                self._mark((*path, number), self._place())
                self._value((*path, number))
                number += 1
                self._comma()
            self._position += 1
        elif self._text.startswith("{", self._position):
            self._position += 1
            self._skip(_BLANK_LINES)
            while not self._text.startswith("}", self._position):
                self._pair(path)
                self._comma()
            self._position += 1
        else:
            is_string = self._text[self._position] in "\"'"
            self._position = self._match(_STRING if is_string else _SCALAR).end()

    def _comma(self) -> None:
        self._skip(_BLANK_LINES)
        if self._text.startswith(",", self._position):
            self._position += 1
            self._skip(_BLANK_LINES)

    def _mark(self, path: Path, place: Place) -> None:
        """A dotted key is the place of the tables it makes, too."""
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], place)

    def _place(self) -> Place:
        self._line += self._text.count("\n", self._counted, self._position)
        self._line_start = self._text.rfind("\n", 0, self._position) + 1
        self._counted = self._position
        return self._line, self._position - self._line_start + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._position = self._match(pattern).end()

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self._text, self._position)
        assert match is not None, "tomllib read this text"
        return match
