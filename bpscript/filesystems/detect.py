"""Which file system is on a device, how big it says it is, and its volume.

Order matters where an old signature may have survived: formatters of ext clear the boot sector, those of FAT and NTFS do not
reliably clear byte 1024. So a boot sector that makes sense wins over an ext superblock.
"""

from collections.abc import Callable

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..blocks.device import BlockDevice
from .filesystem import Family, Filesystem
from .signatures import wipe_signatures
from .swap import SwapSpace, detect_swap

__all__ = ["FILESYSTEMS", "detect", "family_of", "open_volume", "size_of", "wipe_signatures"]

_SMALLEST = 4096        # bytes; nothing we know fits in less


def _detect_ntfs(device: BlockDevice) -> str | None:
    return "NTFS" if device.read(3, 8) == b"NTFS    " and _ntfs_size(device) else None


def _ntfs_size(device: BlockDevice) -> int:
    """Source: Linux-NTFS documentation, "$Boot": bytes per sector at 11, sectors (without the backup boot sector) at 40."""
    sector = device.read(0, 48)
    return int.from_bytes(sector[11:13], "little") * int.from_bytes(sector[40:48], "little")


def _detect_exfat(device: BlockDevice) -> str | None:
    return "EXFAT" if device.read(3, 8) == b"EXFAT   " and 9 <= device.read(108, 1)[0] <= 12 else None


def _exfat_size(device: BlockDevice) -> int:
    """Source: Microsoft "exFAT file system specification", 3.1: VolumeLength at 72 (sectors), BytesPerSectorShift at 108."""
    sector = device.read(0, 112)
    return int.from_bytes(sector[72:80], "little") << sector[108]


def _detect_fat(device: BlockDevice) -> str | None:
    if device.read(0, 1) not in {b"\xeb", b"\xe9"}:     # BS_jmpBoot: spares every Linux partition the import
        return None
    from .fat import detect_fat  # noqa: PLC0415 - only when it may be one

    return detect_fat(device)


def _fat_size(device: BlockDevice) -> int:
    """Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03: BPB_BytsPerSec, BPB_TotSec16, BPB_TotSec32."""
    sector = device.read(0, 36)
    total = int.from_bytes(sector[19:21], "little") or int.from_bytes(sector[32:36], "little")
    return total * int.from_bytes(sector[11:13], "little")


def _detect_xfs(device: BlockDevice) -> str | None:
    return "XFS" if device.read(0, 4) == b"XFSB" else None


def _xfs_size(device: BlockDevice) -> int:
    """Source: "XFS Algorithms & Data Structures", superblocks: sb_blocksize at 4, sb_dblocks at 8, big-endian."""
    sector = device.read(0, 16)
    return int.from_bytes(sector[4:8], "big") * int.from_bytes(sector[8:16], "big")


def _detect_ext(device: BlockDevice) -> str | None:
    if device.read(1024 + 56, 2) != b"\x53\xef":
        return None
    from .ext import detect_ext  # noqa: PLC0415 - only when it may be one

    return detect_ext(device)


def _ext_size(device: BlockDevice) -> int:
    from .ext.superblock import Superblock  # noqa: PLC0415

    return Superblock.read(device).size


def _detect_f2fs(device: BlockDevice) -> str | None:
    return "F2FS" if device.read(1024, 4) == b"\x10\x20\xf5\xf2" and 12 <= device.read(1024 + 16, 1)[0] <= 16 else None


def _f2fs_size(device: BlockDevice) -> int:
    """Source: linux f2fs_fs.h, struct f2fs_super_block: log_blocksize at 16, block_count at 36."""
    sector = device.read(1024, 44)
    return int.from_bytes(sector[36:44], "little") << sector[16]


def _swap_size(device: BlockDevice) -> int:
    space = SwapSpace.parse(device)
    if space is None:
        raise FormatError("there is no swap space here")
    return space.size


def _detect_btrfs(device: BlockDevice) -> str | None:
    return "BTRFS" if device.size >= 0x11000 and device.read(0x10040, 8) == b"_BHRfS_M" else None


def _btrfs_size(device: BlockDevice) -> int:
    """Source: linux btrfs_tree.h, struct btrfs_super_block: dev_item.total_bytes at 0xD1 of the superblock at 64 KiB."""
    return int.from_bytes(device.read(0x10000 + 0xD1, 8), "little")


# Families in the order in which they are asked: detector, the kinds it can answer, size in bytes.
FILESYSTEMS: tuple[tuple[Callable[[BlockDevice], str | None], tuple[str, ...], Family, Callable[[BlockDevice], int]], ...] = (
    (_detect_ntfs, ("NTFS",), Family.NTFS, _ntfs_size),
    (_detect_exfat, ("EXFAT",), Family.NTFS, _exfat_size),      # language.md 9.6: it lives on partitions of NTFS's type
    (_detect_fat, ("FAT12", "FAT16", "FAT32"), Family.FAT, _fat_size),
    (_detect_xfs, ("XFS",), Family.LINUX, _xfs_size),
    (_detect_ext, ("EXT2", "EXT3", "EXT4"), Family.LINUX, _ext_size),
    (_detect_f2fs, ("F2FS",), Family.LINUX, _f2fs_size),
    (detect_swap, ("SWAP",), Family.SWAP, _swap_size),
    (_detect_btrfs, ("BTRFS",), Family.LINUX, _btrfs_size),
)


def detect(device: BlockDevice) -> str | None:
    """FAT12, FAT16, FAT32, EXT2, EXT3, EXT4, NTFS, EXFAT, SWAP, XFS, BTRFS or F2FS; None for anything else."""
    if device.size < _SMALLEST:
        return None
    for detector, _, _, _ in FILESYSTEMS:
        kind = detector(device)
        if kind is not None:
            return kind
    return None


def family_of(kind: str) -> Family:
    """The family (language.md 9.6) of a kind that `detect` answered, `Family.OTHER` for any other word."""
    for _, kinds, family, _ in FILESYSTEMS:
        if kind in kinds:
            return family
    return Family.OTHER


def size_of(device: BlockDevice, kind: str) -> int:
    """Bytes the file system says it covers; more than the device has when the partition or image was cut short.

    Raises FormatError when the device does not hold a `kind`.
    """
    for detector, kinds, _, size in FILESYSTEMS:
        if kind in kinds:
            if detector(device) != kind:
                raise FormatError(f"there is no {kind} file system here")
            return size(device)
    raise StorageError(f'"{kind}" is no kind of file system we know the size of')


def open_volume(device: BlockDevice, *, clock: Clock | None = None, code_page: str = "cp850", writable: bool = True) -> Filesystem:
    """The volume on a device, for reading and writing files.

    `code_page` is that of FAT's short names; `writable=False` never writes, not even a dirty mark. Raises StorageError when
    the file system is unknown or known by its signature only, FormatError when it is damaged.
    """
    time = Clock() if clock is None else clock
    kind = detect(device)
    family = None if kind is None else family_of(kind)
    if family is Family.FAT:
        from .fat import FatVolume  # noqa: PLC0415 - each run needs few of them

        return FatVolume.on(device, code_page=code_page, clock=time)
    if kind in {"EXT2", "EXT3", "EXT4"}:
        from .ext import ExtVolume  # noqa: PLC0415

        return ExtVolume.on(device, writable=writable, clock=time)
    if kind is None:
        raise StorageError("there is no file system we know on this partition", hint="format it first: Clean")
    raise StorageError(f"files on {kind} cannot be read or written; only whole partitions of that kind can be archived")
