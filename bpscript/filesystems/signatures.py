"""Where file systems and volume managers keep the bytes by which they are recognised, and how to make them forgotten.

Sources: util-linux `libblkid/src/superblocks/*.c` and `wipefs(8)` for the places and magic strings; for each kind the header
named beside it.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ..base.units import KIB
from ..blocks.device import BlockDevice

SWAP_PAGE_SIZES = (4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB)    # pages of the machines Linux runs on


class Signature(NamedTuple):
    """Magic bytes at an offset in bytes; a negative offset counts from the end of the device."""

    name: str
    offset: int
    magic: bytes


SIGNATURES = (
    Signature("MBR or boot sector", 510, b"\x55\xaa"),
    Signature("NTFS", 3, b"NTFS    "),
    Signature("NTFS backup", -512 + 3, b"NTFS    "),
    Signature("EXFAT", 3, b"EXFAT   "),
    Signature("EXFAT backup", 12 * 512 + 3, b"EXFAT   "),
    Signature("FAT12", 0x36, b"FAT12   "),
    Signature("FAT16", 0x36, b"FAT16   "),
    Signature("FAT32", 0x52, b"FAT32   "),
    Signature("FAT32 backup", 6 * 512 + 0x52, b"FAT32   "),
    Signature("EXT", 1024 + 56, b"\x53\xef"),                               # e2fsprogs ext2_fs.h: s_magic
    Signature("XFS", 0, b"XFSB"),                                           # xfsprogs xfs_format.h: sb_magicnum
    Signature("F2FS", 1024, b"\x10\x20\xf5\xf2"),                           # linux f2fs_fs.h: F2FS_SUPER_MAGIC
    Signature("F2FS backup", 4096 + 1024, b"\x10\x20\xf5\xf2"),
    Signature("BTRFS", 64 * KIB + 64, b"_BHRfS_M"),                         # linux btrfs_tree.h: BTRFS_MAGIC
    Signature("BTRFS mirror", 64 * 1024 * KIB + 64, b"_BHRfS_M"),
    Signature("BTRFS mirror", 256 * 1024 * 1024 * KIB + 64, b"_BHRfS_M"),
    *(Signature("SWAP", page - 10, magic) for page in SWAP_PAGE_SIZES for magic in (b"SWAPSPACE2", b"SWAP-SPACE")),
    *(Signature("hibernation", page - 10, b"S1SUSPEND") for page in SWAP_PAGE_SIZES),
    Signature("REISERFS", 64 * KIB + 52, b"ReIsEr"),
    Signature("JFS", 32 * KIB, b"JFS1"),
    Signature("NILFS", 1024 + 6, b"\x34\x34"),
    Signature("BCACHEFS", 4 * KIB + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
    Signature("ISO9660", 32 * KIB + 1, b"CD001"),
    Signature("UDF", 32 * KIB + 1, b"BEA01"),
    Signature("SQUASHFS", 0, b"hsqs"),
    Signature("LUKS", 0, b"LUKS\xba\xbe"),
    Signature("LUKS2 copy", 16 * KIB, b"SKUL\xba\xbe"),
    *(Signature("LVM", sector * 512, b"LABELONE") for sector in range(4)),
    Signature("RAID 1.1", 0, b"\xfc\x4e\x2b\xa9"),                          # linux md_p.h: MD_SB_MAGIC
    Signature("RAID 1.2", 4 * KIB, b"\xfc\x4e\x2b\xa9"),
    Signature("RAID 1.0", -8 * KIB, b"\xfc\x4e\x2b\xa9"),
    Signature("RAID 0.90", -64 * KIB, b"\xfc\x4e\x2b\xa9"),
    Signature("GPT", 512, b"EFI PART"),
    Signature("GPT, 4096-byte sectors", 4096, b"EFI PART"),
    Signature("GPT backup", -512, b"EFI PART"),
    Signature("GPT backup, 4096-byte sectors", -4096, b"EFI PART"),
)


def position(signature: Signature, size: int) -> int | None:
    """Where the magic lies on a device of `size` bytes; None when the device has no such place.

    The ends of RAID 1.0 and 0.90 are rounded down as Linux does it: to 4 KiB and to 64 KiB.
    """
    if signature.offset >= 0:
        start = signature.offset
    elif signature.name == "RAID 1.0":
        start = (size + signature.offset) & -4096
    elif signature.name == "RAID 0.90":
        start = (size & -(64 * KIB)) + signature.offset
    else:
        start = size + signature.offset
    return start if 0 <= start <= size - len(signature.magic) else None


def present(device: BlockDevice, signature: Signature) -> bool:
    """True when the magic bytes are there."""
    start = position(signature, device.size)
    return start is not None and device.read(start, len(signature.magic)) == signature.magic


def wipe_signatures(device: BlockDevice, keep: Iterable[tuple[int, int]] = ()) -> list[str]:
    """Zero the magic bytes of every file system, swap space or volume manager found, and name them.

    `keep`: half-open ranges in bytes that belong to the file system now on the device and are not touched. Call it before
    formatting without `keep`, or after a restore with the ranges that were written.
    """
    kept = list(keep)
    wiped = []
    for signature in SIGNATURES:
        start = position(signature, device.size)
        if start is None or device.read(start, len(signature.magic)) != signature.magic:
            continue
        end = start + len(signature.magic)
        if any(first < end and start < last for first, last in kept):
            continue
        device.zero(start, end - start)
        wiped.append(signature.name)
    return wiped
