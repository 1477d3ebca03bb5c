"""Lines that somebody types at a prompt: who edits them, and whom the editor asks for help. Without an editor they are read key by key."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Offer(NamedTuple):
    """A text that may stand from `start` on, counted from the beginning of the line, and what is to say about it."""

    text: str
    start: int
    about: str


class Assistant(Protocol):
    """Who knows the language."""

    def offers(self, line: str) -> Sequence[Offer]:
        """What may stand at the end of this line."""
        ...

    def usage(self, line: str) -> str:
        """The usage of the command under the cursor, in one line; "" where there is none."""
        ...

    def help(self, line: str) -> str:
        """The whole help of the command under the cursor; "" where there is none."""
        ...


class LineEditor(Protocol):
    """Who edits lines."""

    def read(self, assistant: Assistant) -> str | None:
        """The next line; None when no more will come."""
        ...
