"""On-disk records of FAT volumes outside the FAT and the directories: the boot sector and FSInfo.

Source: Microsoft "FAT: General Overview of On-Disk Format", version 1.03 (fatgen103), sections named beside each record. Numbers are
little-endian. Who only reads them uses the packed forms of `layout.py`, which a test holds against these: construct takes longer to
import than many a script runs.
"""

from construct import Bytes, Const, Int8ul, Int16ul, Int32ul, Padding, Struct

# "Boot Sector and BPB", first part, the same on FAT12, FAT16 and FAT32.
BIOS_PARAMETER_BLOCK = Struct(
    "jump" / Bytes(3),                     # +0   EB xx 90 or E9 xx xx
    "oem_name" / Bytes(8),                 # +3   informational only
    "bytes_per_sector" / Int16ul,          # +11  512, 1024, 2048 or 4096
    "sectors_per_cluster" / Int8ul,        # +13  power of two, 1 to 128
    "reserved_sectors" / Int16ul,          # +14  counts sector 0 itself, so at least 1
    "fat_count" / Int8ul,                  # +16  2, rarely 1
    "root_entries" / Int16ul,              # +17  slots of the fixed root directory; 0 on FAT32
    "total_sectors_16" / Int16ul,          # +19  0: see total_sectors_32
    "media" / Int8ul,                      # +21  F8 for disks, F0 and F9 to FF for removable ones
    "sectors_per_fat_16" / Int16ul,        # +22  0 on FAT32
    "sectors_per_track" / Int16ul,         # +24  as firmware reports the disk
    "heads" / Int16ul,                     # +26  as firmware reports the disk
    "hidden_sectors" / Int32ul,            # +28  sectors before the volume: first LBA of the partition
    "total_sectors_32" / Int32ul,          # +32  used when total_sectors_16 is 0
)

# "Fat12 and Fat16 Structure Starting at Offset 36"
EXTENDED_BLOCK_16 = Struct(
    "drive_number" / Int8ul,               # +36  80 hex for disks
    "state" / Int8ul,                      # +37  reserved in fatgen103; Windows NT and Linux: bit 0 is "not unmounted"
    "boot_signature" / Int8ul,             # +38  29 hex: the next three fields are there; 28 hex: only the first of them
    "volume_id" / Int32ul,                 # +39
    "label" / Bytes(11),                   # +43  copy of the root directory's label, or "NO NAME    "
    "type_text" / Bytes(8),                # +54  "FAT12   " ...: informational, never used to tell the type
)

# "FAT32 Structure Starting at Offset 36"
EXTENDED_BLOCK_32 = Struct(
    "sectors_per_fat_32" / Int32ul,        # +36
    "flags" / Int16ul,                     # +40  bit 7: only the FAT numbered in bits 0-3 is kept up to date
    "version" / Int16ul,                   # +42  0.0 is the only one
    "root_cluster" / Int32ul,              # +44  first cluster of the root directory
    "info_sector" / Int16ul,               # +48  sector of FSInfo, usually 1
    "backup_sector" / Int16ul,             # +50  sector of the copy of the boot sector, usually 6; 0: none
    "reserved" / Bytes(12),                # +52
    "drive_number" / Int8ul,               # +64
    "state" / Int8ul,                      # +65  as above
    "boot_signature" / Int8ul,             # +66
    "volume_id" / Int32ul,                 # +67
    "label" / Bytes(11),                   # +71
    "type_text" / Bytes(8),                # +82  "FAT32   "
)

# "FAT32 FSInfo Sector Structure and Backup Boot Sector"
FS_INFO = Struct(
    Const(b"RRaA"),                        # +0
    Padding(480),                          # +4
    Const(b"rrAa"),                        # +484
    "free_clusters" / Int32ul,             # +488  FFFFFFFF: not known
    "next_free" / Int32ul,                 # +492  where to look for free clusters first; FFFFFFFF: not known
    Padding(12),                           # +496
    Const(b"\x00\x00\x55\xaa"),            # +508
)
