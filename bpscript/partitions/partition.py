"""One used entry of a partition table, whatever the table."""

from typing import NamedTuple
from uuid import UUID

from .types import EXTENDED_TYPES, PartitionType, families_of, fat_widths_of, format_of, type_word

MBR = 0         # the number that stands for the master boot record
CACHE = -1      # the number that stands for the cache


class Partition(NamedTuple):
    """A used entry; positions are bytes from the start of the disk.

    `number` is the language's (9.2), not Linux's. `boot` is the boot flag of an MBR or the legacy-boot attribute of a GPT.
    `guid`, `attributes` and `name` are those of a GPT entry.
    """

    number: int
    type: PartitionType
    start: int
    size: int
    boot: bool = False
    guid: UUID | None = None
    attributes: int = 0
    name: str = ""

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.start + self.size

    @property
    def is_extended(self) -> bool:
        """True for an extended partition, which holds a table and no file system."""
        return self.type in EXTENDED_TYPES

    @property
    def is_logical(self) -> bool:
        """True when it is an entry of a table inside an extended partition."""
        return isinstance(self.type, int) and self.number > 4

    @property
    def families(self) -> frozenset[str]:
        """Families of file systems that belong here, by their names (language.md 9.6)."""
        return families_of(self.type)

    @property
    def fat_widths(self) -> frozenset[str] | None:
        """FAT kinds that belong here ("FAT12", "FAT16", "FAT32"); None where any will do."""
        return fat_widths_of(self.type)

    def word(self, found: str | None = None) -> str:
        """The type as `GetPartitions` writes it; `found` is the file system on it, asked for on GPT basic data only."""
        return type_word(self.type, self.name, found)

    def format(self, found: str | None = None) -> str | None:
        """What `Clean` makes of it: FAT (12 or 16 by size), FAT32, LINUX, SWAP, EXTENDED; None: it cannot."""
        return format_of(self.word(found))
