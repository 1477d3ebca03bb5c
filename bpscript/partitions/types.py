"""Partition types: the names of the language, the bytes of an MBR and the GUIDs of a GPT (language.md 9.1, 9.5, 9.6).

A type is an `int` in an MBR (the type byte, 0 for an unused entry) and a `UUID` in a GPT (all zeros when unused).
"""

from typing import Literal
from uuid import UUID

PartitionType = int | UUID
Scheme = Literal["MBR", "GPT"]

ENTRIES_PER_TABLE = 4       # of an MBR and of every table inside an extended partition
MAX_TABLES = 256            # nested tables of an MBR disk that are read or written: far more than any system mounts

UNUSED_NAMES = frozenset({"EMPTY", "UNUSED"})
EXTENDED_TYPES = frozenset({0x05, 0x0F})
PROTECTIVE = 0xEE           # the MBR entry that stands for a whole GPT (UEFI 2.10, 5.2.3)
NO_GUID = UUID(int=0)

MBR_TYPES = {
    "FAT16": 0x04,
    "EXT": 0x05,
    "BIGDOS": 0x06,
    "NTFS": 0x07,
    "FAT32": 0x0B,
    "FAT32-LBA": 0x0C,
    "BIGDOS-LBA": 0x0E,
    "EXT-LBA": 0x0F,
    "LINUX-SWAP": 0x82,
    "LINUX-EXT2": 0x83,
}

BASIC_DATA = UUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
EFI_SYSTEM = UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
LINUX_FILES = UUID("0FC63DAF-8483-4772-8E79-3D69D8477DE4")
LINUX_ROOT = UUID("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709")
LINUX_SWAP = UUID("0657FD6D-A4AB-43C4-84E5-0933C84B4F4F")

# UEFI 2.10, table 5.7; the Linux ones from the Discoverable Partitions Specification.
GPT_TYPES = {
    "EFI": EFI_SYSTEM,
    "MSR": UUID("E3C9E316-0B5C-4DB8-817D-F92DF00215AE"),
    "FAT16": BASIC_DATA,
    "BIGDOS": BASIC_DATA,
    "BIGDOS-LBA": BASIC_DATA,
    "FAT32": BASIC_DATA,
    "FAT32-LBA": BASIC_DATA,
    "NTFS": BASIC_DATA,
    "LINUX-EXT2": LINUX_FILES,
    "LINUX-SWAP": LINUX_SWAP,
    "LINUX-ROOT": LINUX_ROOT,
    "BIOS-BOOT": UUID("21686148-6449-6E6F-744E-656564454649"),
}

BASIC_DATA_NAMES = frozenset(name for name, guid in GPT_TYPES.items() if guid == BASIC_DATA)
FAT16_NAMES = frozenset({"FAT16", "BIGDOS", "BIGDOS-LBA"})

_BYTE_NAMES = {byte: name for name, byte in MBR_TYPES.items()}
_GUID_NAMES = {guid: name for name, guid in GPT_TYPES.items() if guid != BASIC_DATA}
_NAMES_FOUND = {"FAT12": "BIGDOS", "FAT16": "BIGDOS", "FAT32": "FAT32"}     # what a file system on basic data reads as

# The families are those of `Filesystem.family`, by their names: partitions and file systems do not know each other.
_FAT16_WIDTHS = frozenset({"FAT12", "FAT16"})
_FAT32_WIDTHS = frozenset({"FAT32"})
_FAT_WIDTHS: dict[PartitionType, frozenset[str]] = {
    0x01: _FAT16_WIDTHS, 0x04: _FAT16_WIDTHS, 0x06: _FAT16_WIDTHS, 0x0E: _FAT16_WIDTHS,
    0x0B: _FAT32_WIDTHS, 0x0C: _FAT32_WIDTHS,
}
_FAMILIES: dict[PartitionType, frozenset[str]] = {
    **dict.fromkeys(_FAT_WIDTHS, frozenset({"FAT"})),
    0x07: frozenset({"NTFS"}),
    0x82: frozenset({"swap"}),
    0x83: frozenset({"Linux"}),
    EFI_SYSTEM: frozenset({"FAT"}),
    BASIC_DATA: frozenset({"FAT", "NTFS"}),
    LINUX_FILES: frozenset({"Linux"}),
    LINUX_ROOT: frozenset({"Linux"}),
    LINUX_SWAP: frozenset({"swap"}),
}
_FORMATS = {
    "1": "FAT", "FAT16": "FAT", "BIGDOS": "FAT", "BIGDOS-LBA": "FAT",
    "FAT32": "FAT32", "FAT32-LBA": "FAT32", "EFI": "FAT32",
    "LINUX-EXT2": "LINUX", "LINUX-ROOT": "LINUX", "LINUX-SWAP": "SWAP", "EXT": "EXTENDED", "EXT-LBA": "EXTENDED",
}


def type_word(kind: PartitionType, name: str = "", found: str | None = None) -> str:
    """The word of `GetPartitions` for a type.

    GPT basic data says too little: there the entry's `name` decides when it is a word that `SetPartitions` writes, then the
    file system `found` on the partition (FAT12, FAT16, FAT32, ...), then it is NTFS.
    """
    if isinstance(kind, int):
        return _BYTE_NAMES.get(kind, str(kind))
    if kind != BASIC_DATA:
        return _GUID_NAMES.get(kind, str(kind).upper())
    return name if name in BASIC_DATA_NAMES else _NAMES_FOUND.get(found or "", "NTFS")


def families_of(kind: PartitionType) -> frozenset[str]:
    """Families of file systems that belong on a type ("FAT", "Linux", "NTFS", "swap"); "other" stands for raw archives only."""
    return _FAMILIES.get(kind, frozenset({"other"}))


def fat_widths_of(kind: PartitionType) -> frozenset[str] | None:
    """The FAT widths a type allows, as kinds of volume ("FAT12", "FAT16", "FAT32"); None where any will do."""
    return _FAT_WIDTHS.get(kind)


def format_of(word: str) -> str | None:
    """What `Clean` makes of a type word: FAT (12 or 16 by size), FAT32, LINUX, SWAP, EXTENDED; None: it cannot."""
    return _FORMATS.get(word)
