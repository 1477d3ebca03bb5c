"""A TOML table that is read key by key, so that everything wrong in it, also a key that nobody asked for, is told with its place."""

from collections.abc import Mapping
from typing import Any, NoReturn

from ..base.errors import UsageError
from ..base.toml_places import Path, Place
from ..language.names import did_you_mean

_KINDS: Mapping[type, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", dict: "a table"}


class Table:
    """One table of a file. Every method raises UsageError, `FILE:LINE:COLUMN: ...`, for a value of another kind."""

    def __init__(self, file: str, path: Path, content: Mapping[str, Any], places: Mapping[Path, Place]) -> None:
        self._file = file
        self._path = path
        self._content = content
        self._places = places
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._content

    @property
    def line(self) -> int:
        """The line of its header, from 1."""
        return self._places.get(self._path, (1, 1))[0]

    def fail(self, key: str | None, message: str, hint: str | None = None) -> NoReturn:
        """Refuse the file at a key, or at the table itself."""
        line, column = self._places.get(self._path if key is None else (*self._path, key), (self.line, 1))
        raise UsageError(f"{self._file}:{line}:{column}: {message}", hint=hint)

    def value(self, key: str, *kinds: type) -> Any:  # noqa: ANN401 - any kind that TOML has
        """The value, of one of the kinds; None when the key is missing."""
        self._asked.add(key)
        found = self._content.get(key)
        if found is not None and type(found) not in kinds:
            self.fail(key, f'"{key}" is {_KINDS.get(type(found), "a date or time")}; expected {" or ".join(_KINDS[kind] for kind in kinds)}')
        return found

    def text(self, key: str) -> str | None:
        """A text."""
        found: str | None = self.value(key, str)
        return found

    def number(self, key: str) -> float | None:
        """A number that is not negative."""
        found: float | None = self.value(key, int, float)
        if found is not None and not 0 <= found < float("inf"):
            self.fail(key, f'"{key}" is {found}; expected a number that is not negative')
        return found

    def whole(self, key: str) -> int | None:
        """A whole number that is not negative."""
        found: int | None = self.value(key, int)
        if found is not None and found < 0:
            self.fail(key, f'"{key}" is {found}; expected a number that is not negative')
        return found

    def flag(self, key: str) -> bool | None:
        """true or false."""
        found: bool | None = self.value(key, bool)
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; one text is a list of one."""
        found = self.value(key, list, str)
        if isinstance(found, str):
            return (found,)
        if found is not None and not all(isinstance(each, str) for each in found):
            self.fail(key, f'"{key}" holds something else than texts')
        return tuple(found or ())

    def pairs(self, key: str) -> dict[str, str]:
        """A table of texts."""
        found = self.value(key, dict) or {}
        for name, value in found.items():
            if not isinstance(value, str):
                self.fail(key, f'"{key}": the value of "{name}" is {_KINDS.get(type(value), "a date or time")}; expected a text')
        return dict(found)

    def table(self, key: str) -> "Table":
        """A table below this one; an empty one when it is missing."""
        return Table(self._file, (*self._path, key), self.value(key, dict) or {}, self._places)

    def finish(self) -> None:
        """Refuse keys that nobody asked for."""
        for key in self._content:
            if key not in self._asked:
                self.fail(key, f'there is no key "{key}"', did_you_mean(key, self._asked) or f"keys are {', '.join(sorted(self._asked))}")
