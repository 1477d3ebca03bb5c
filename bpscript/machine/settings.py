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


class LateSettings:
    """Settings of a run: nothing is set until the script's variables exist and are put in place."""

    def __init__(self) -> None:
        self.source: Settings = NoSettings()

    def get(self, name: str, /) -> str:
        """What the source says."""
        return self.source.get(name)
