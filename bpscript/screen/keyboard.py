"""The Keyboard protocol: where key presses come from."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Key:
    """A key press: one character (Return is CR, Escape 033, Backspace BS), and whether Alt was held."""

    character: str
    alt: bool = False


class Keyboard(Protocol):
    """Keys in the order they were pressed."""

    @property
    def live(self) -> bool:
        """Whether somebody may press a key at any moment; False for keys that were written down before."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no key will ever come again."""
        ...

    def peek(self, timeout_s: float | None = 0) -> Key | None:
        """The next key, which stays there; waits for it at most that long, without end for None. None if none came."""
        ...

    def take(self) -> Key | None:
        """Remove the next key and give it back; None if there is none."""
        ...
