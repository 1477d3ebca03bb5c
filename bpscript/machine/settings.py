"""The variables that the machine itself looks at (`$CacheDisk`, `$Sector-Size` ...), as a script has them at this moment."""

from typing import Protocol


class Settings(Protocol):
    """Where the machine asks; a script's variables are one."""

    def get(self, name: str, /) -> str:
        """The value, "" when it is not set."""
        ...


class NoSettings:
    """Nothing is set."""

    def get(self, name: str, /) -> str:
        """Always empty."""
        return ""
