"""What trees that can only be read have in common: every method that writes refuses."""

from collections.abc import Iterable, Iterator
from typing import NoReturn

from ..base.errors import ReadOnlyError
from ..blocks.device import Buffer
from ..filesystems.filesystem import Facts, Problem, Usage


class ReadOnlyTree:
    """Base of volumes that are a view of an archive."""

    def usage(self) -> Usage:
        """Nothing is free."""
        return Usage(0, 0)

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Refuse."""
        _refuse()

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Refuse."""
        _refuse()

    def set_facts(self, path: str, facts: Facts) -> None:
        """Refuse."""
        _refuse()

    def remove(self, path: str) -> None:
        """Refuse."""
        _refuse()

    def rename(self, old: str, new: str) -> None:
        """Refuse."""
        _refuse()

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """None: it lies on no device of its own."""
        return iter(())

    def check(self) -> list[Problem]:
        """Nothing: `image verify` checks archives."""
        return []

    def flush(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Nothing to give back."""


def _refuse() -> NoReturn:
    raise ReadOnlyError("an archive cannot be written to")
