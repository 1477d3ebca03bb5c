"""The variables of a run (language.md 2.4, 6): names without regard to case, read-only and computed ones.

A special variable is registered by whoever owns it. Its default counts as defined: a text, or a function for what follows from
something else (`HelpFile` from `Basename`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..base.errors import StorageError
from ..language.names import fold

Default = str | Callable[[], str] | None


@dataclass(frozen=True, slots=True, eq=False)
class Special:
    """A variable the interpreter looks at.

    `accept` may change a new value, given the old and the new one; `listed` says whether it shows in lists of variables.
    """

    name: str
    default: Default = None
    read_only: bool = False
    listed: bool = True
    accept: Callable[[str, str], str] | None = None


class Variables:
    """Names and values."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._specials: dict[str, Special] = {}
        self._watchers: dict[str, Callable[[str], None]] = {}

    def register(self, special: Special) -> None:
        """Make a name special."""
        self._specials[fold(special.name)] = special

    def watch(self, name: str, changed: Callable[[str], None]) -> None:
        """Call a function with every new value of a variable."""
        self._watchers[fold(name)] = changed

    def find(self, key: str) -> str | None:
        """The value of a folded name; None when it is not defined."""
        value = self._values.get(key)
        if value is None and key in self._specials:
            default = self._specials[key].default
            return default() if callable(default) else default
        return value

    def get(self, name: str, /) -> str:
        """The value; "" when it is not defined."""
        return self.find(fold(name)) or ""

    def is_on(self, name: str) -> bool:
        """Whether a switch is on (language.md 3.6)."""
        return self.get(name).upper() == "ON"

    def is_read_only(self, name: str) -> bool:
        """Whether a script may not set it."""
        special = self._specials.get(fold(name))
        return special is not None and special.read_only

    def set(self, name: str, value: str) -> None:
        """Assign, as a script does. Raises StorageError for a read-only variable."""
        key = name.lower()
        special = self._specials.get(key)
        if special is not None:
            if special.read_only:
                raise StorageError(f'"{special.name}" is read-only')
            if special.accept is not None:
                value = special.accept(self.find(key) or "", value)
        self._values[key] = value
        if key not in self._names:
            self._names[key] = name
        if key in self._watchers:
            self._watchers[key](value)

    def define(self, name: str, value: str) -> None:
        """Assign from outside the script (`--set`, a BOOTP reply): read-only ones too. A character code 0 ends the value."""
        key = fold(name)
        self._names.setdefault(key, name)
        self._values[key] = value.partition("\0")[0]
        if key in self._watchers:
            self._watchers[key](self._values[key])

    def items(self) -> Iterator[tuple[str, str]]:
        """Every defined variable that is listed, sorted by name without regard to case."""
        keys = self._values.keys() | self._specials.keys()
        for key in sorted(keys):
            special = self._specials.get(key)
            value = self.find(key)
            if value is not None and (special is None or special.listed):
                yield (special.name if special is not None else self._names[key]), value
