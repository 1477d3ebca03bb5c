"""Which file systems may stand on which types of partition (language.md 9.6)."""

from ..filesystems.detect import family_of
from ..filesystems.filesystem import Family
from ..partitions.partition import Partition


def belongs_on(kind: str, entry: Partition) -> bool:
    """Whether a file system may stand on a partition of this type (language.md 9.6)."""
    families = entry.families
    if family_of(kind) not in families:
        return False
    # Types 1, 4, 6, 14 want FAT12 or FAT16, types 11 and 12 want FAT32; GPT basic data takes any.
    if family_of(kind) is Family.FAT and entry.fat_widths is not None:
        return kind in entry.fat_widths
    return True
