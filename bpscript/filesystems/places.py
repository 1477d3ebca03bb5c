"""How a script names files: `{disk:partition}/path`, files of a server, and in MrZip files of the operating system.

    {0:1}/etc/fstab      a file on disk 0, partition 1          language.md 4.1
    {:-1}linux.imz       a file in the cache
    help.bpb             a file of the server                   language.md 4.2
    /mnt/net/usr         MrZip: a path of the operating system  language.md 4.3
"""

import re
from dataclasses import dataclass

from ..base.errors import StorageError
from .filesystem import clean_path

_PLACE = re.compile(r"\{([^}]*)\}(.*)\Z", re.DOTALL)
_NUMBERS = re.compile(r"(\d*):(-?\d+)\Z")
_PARTITION_ONLY = re.compile(r"(?:(\d+):)?(\d+)\Z")


@dataclass(frozen=True, slots=True)
class DiskPlace:
    """A path on a partition; `disk` is None where the script left it out. `path` is clean: no leading slash, "" is the root."""

    disk: int | None
    partition: int
    path: str

    @property
    def disk_number(self) -> int:
        """The disk; 0 when it was left out."""
        return self.disk or 0

    def __str__(self) -> str:
        return f"{{{self.disk_number}:{self.partition}}}/{self.path}"


@dataclass(frozen=True, slots=True)
class ForeignPlace:
    """A file of a server: the name as the script has it."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class HostPlace:
    """MrZip: a path of the operating system, absolute or relative to the current directory."""

    path: str

    def __str__(self) -> str:
        return self.path


Place = DiskPlace | ForeignPlace | HostPlace


def parse_place(name: str, program: str) -> Place:
    """The place a file name means in a program ("BpBatch", "MrBatch", "MrZip"). Raises StorageError when it means none."""
    if name.startswith("{"):
        match = _PLACE.match(name)
        numbers = _NUMBERS.match(match[1]) if match else None
        if match is None or numbers is None:
            raise StorageError(f'"{name}" is not a file reference', hint='write "{disk:partition}/path", for example "{:1}/etc/fstab"')
        return DiskPlace(int(numbers[1]) if numbers[1] else None, int(numbers[2]), clean_path(match[2]))
    if not name:
        raise StorageError("the file name is empty")
    if "\0" in name:
        raise StorageError("a file name cannot hold the character code 0")
    if program == "MrZip":
        return HostPlace(name.replace("\\", "/"))
    return ForeignPlace(name.replace("\\", "/"))


def parse_tree_place(text: str, program: str) -> Place:
    """As `parse_place`, and also a partition alone: `1` or `0:1` (language.md 8.7, IncrUnzip)."""
    match = _PARTITION_ONLY.match(text)
    if match:
        return DiskPlace(int(match[1]) if match[1] else None, int(match[2]), "")
    return parse_place(text, program)
