"""What is read all the time of FAT volumes, and the constants of their specification.

Source of everything here: Microsoft "FAT: General Overview of On-Disk Format", version 1.03 (fatgen103), sections named
beside each record. Numbers are little-endian. Offsets are bytes from the start of the record.
"""

from struct import Struct as PackedStruct
from typing import NamedTuple, NewType

Cluster = NewType("Cluster", int)    # number of a cluster; the data area begins with cluster 2

# What every script that meets FAT reads, packed with `struct`: `boot_records.py` tells what each field is, and where.
BIOS_PARAMETER_BLOCK = PackedStruct("<3s8sHBHBHHBHHHII")
EXTENDED_BLOCK_16 = PackedStruct("<BBBI11s8s")
EXTENDED_BLOCK_32 = PackedStruct("<IHHIHH12sBBBI11s8s")
FS_INFO = PackedStruct("<4s480x4sII12x4s")
FS_INFO_MARKS = (b"RRaA", b"rrAa", b"\x00\x00\x55\xaa")     # around its two numbers


class BiosParameterBlock(NamedTuple):
    """The fields of `BIOS_PARAMETER_BLOCK`."""

    jump: bytes
    oem_name: bytes
    bytes_per_sector: int
    sectors_per_cluster: int
    reserved_sectors: int
    fat_count: int
    root_entries: int
    total_sectors_16: int
    media: int
    sectors_per_fat_16: int
    sectors_per_track: int
    heads: int
    hidden_sectors: int
    total_sectors_32: int


class ExtendedBlock16(NamedTuple):
    """The fields of `EXTENDED_BLOCK_16`."""

    drive_number: int
    state: int
    boot_signature: int
    volume_id: int
    label: bytes
    type_text: bytes


class ExtendedBlock32(NamedTuple):
    """The fields of `EXTENDED_BLOCK_32`."""

    sectors_per_fat_32: int
    flags: int
    version: int
    root_cluster: int
    info_sector: int
    backup_sector: int
    reserved: bytes
    drive_number: int
    state: int
    boot_signature: int
    volume_id: int
    label: bytes
    type_text: bytes


STATE_OFFSET = {12: 37, 16: 37, 32: 65}    # of `state` in the boot sector
STATE_DIRTY = 1

FS_INFO_SIZE = 512
UNKNOWN = 0xFFFFFFFF

BOOT_SIGNATURE = b"\x55\xaa"               # at offset 510 of the boot sector, whatever the sector size

# "FAT Type Determination": the count of clusters is the only legal way to tell the three apart.
MAX_CLUSTERS = {12: 4_084, 16: 65_524, 32: 0x0FFFFFF5}
MIN_CLUSTERS = {12: 1, 16: 4_085, 32: 65_525}

# "FAT Data Structure": values of an entry. Of the 32 bits of a FAT32 entry only 28 count, the others are kept as they are.
VALUE_MASK = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}
BAD_CLUSTER = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}
END_OF_CHAIN = {12: 0xFFF, 16: 0xFFFF, 32: 0x0FFFFFFF}     # written; 8 less and above are understood
FIRST_END = {12: 0xFF8, 16: 0xFFF8, 32: 0x0FFFFFF8}
CLEAN_SHUTDOWN = {12: 0, 16: 0x8000, 32: 0x08000000}       # bit of entry 1: volume was unmounted; FAT12 has none

# "FAT Directory Structure", and "FAT Long Directory Entries". Hot: packed with `struct`.
SLOT_SIZE = 32
# name, attributes, case flags, creation 10 ms, creation time, creation date, access date, cluster high, time, date, cluster low, size
SHORT_SLOT = PackedStruct("<11sBBBHHHHHHHI")
# ordinal, units 1-5, attributes, type, checksum, units 6-11, cluster (0), units 12-13
LONG_SLOT = PackedStruct("<B10sBBB12sH4s")
FREE_SLOT = 0xE5
END_SLOT = 0x00
LAST_LONG_SLOT = 0x40                      # bit of the ordinal
UNITS_PER_SLOT = 13                        # UTF-16 code units in a long-name slot
MAX_NAME_UNITS = 255
MAX_DIRECTORY_SLOTS = 65_536               # "File Allocation ... directories": 2 MiB, the limit of Windows and DOS
MAX_FILE_SIZE = 0xFFFFFFFF                 # bytes

READ_ONLY = 0x01
HIDDEN = 0x02
SYSTEM = 0x04
VOLUME_LABEL = 0x08
DIRECTORY = 0x10
ARCHIVE = 0x20
LONG_NAME = 0x0F                           # with mask 3F
LONG_NAME_MASK = 0x3F
SETTABLE_ATTRIBUTES = READ_ONLY | HIDDEN | SYSTEM | ARCHIVE

# Not in fatgen103 (there "reserved for use by Windows NT"): the short name is shown in lower case.
LOWER_BASE = 0x08
LOWER_EXTENSION = 0x10
