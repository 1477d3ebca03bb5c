"""A place on a disk as people name it outside scripts: `disk.img:1/etc/fstab`, `disk.img:1`, `disk.img`.

An existing file of the whole name wins; else the first `:` that is followed by digits and then `/` or the end separates.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..base.errors import UsageError
from ..filesystems.filesystem import clean_path

_SEPARATOR = re.compile(r":(\d+)(?=/|\Z)")


class DiskImagePlace(NamedTuple):
    """An image, a partition of it or None for the whole disk, and a clean path ("" is the root)."""

    image: Path
    partition: int | None
    path: str

    @classmethod
    def parse(cls, text: str) -> "DiskImagePlace":
        """The place a text names. The image need not exist."""
        match = None if Path(text).exists() else _SEPARATOR.search(text)
        if match is None:
            return cls(Path(text), None, "")
        return cls(Path(text[: match.start()]), int(match[1]), clean_path(text[match.end() :]))

    def need_partition(self) -> int:
        """The partition. Raises UsageError when the place names the whole disk."""
        if self.partition is None:
            raise UsageError(f"{self.image}: no partition given", hint=f"write {self.image}:1 or {self.image}:1/path")
        return self.partition

    def __str__(self) -> str:
        return str(self.image) + ("" if self.partition is None else f":{self.partition}") + (f"/{self.path}" if self.path else "")
