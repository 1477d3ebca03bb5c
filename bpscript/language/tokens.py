"""Tokens: pieces of a line with their kind and place."""

from typing import NamedTuple


class Token(NamedTuple):
    """A terminal of the grammar, its text, and where it stands."""

    type: str
    text: str
    start: int
    end: int

    def __str__(self) -> str:
        return self.text


class WrongTokenError(Exception):
    """A token that the grammar accepts and the language does not; raised while the tree is built."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end
