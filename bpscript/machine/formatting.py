"""Formatting a partition by its type, as `Clean` and `disk create --format` do (language.md 8.7)."""

from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.errors import StorageError
from ..filesystems.detect import detect
from ..partitions.geometry import Geometry, firmware_geometry, parse_geometry
from .disk import Disk

LINUX_KINDS = ("EXT2", "EXT3", "EXT4")


def geometry_of(disk: Disk, setting: str) -> Geometry:
    """Heads and sectors of a disk: the value of `$Disk-Geometry`, or what firmware makes of its size."""
    return parse_geometry(setting) if setting else firmware_geometry(disk.device.size)


def format_partition(
    disk: Disk, number: int, *, label: str, linux_kind: str, geometry: Geometry, entropy: Entropy, clock: Clock
) -> None:
    """Quick-format a partition by its type; an extended partition gets an empty table.

    `linux_kind` is what a Linux partition gets: EXT2, EXT3 or EXT4. Raises StorageError for a type that cannot be formatted.
    """
    entry = disk.entry(number)
    device = disk.partition(number)
    wanted = entry.format(detect(device) if not entry.is_extended else None)
    disk.forget(number)
    match wanted:
        case "EXTENDED":
            from ..partitions.boot import clean_extended  # noqa: PLC0415 - brings boot code

            disk.forget()
            clean_extended(disk.device, disk.table(), number)
            disk.forget()
        case "FAT" | "FAT32":
            from ..filesystems.fat.format import format_fat  # noqa: PLC0415

            format_fat(
                device,
                32 if wanted == "FAT32" else None,
                label,
                hidden_sectors=hidden_sectors(disk, number),
                heads=geometry.heads,
                sectors_per_track=geometry.sectors,
                volume_id=int.from_bytes(entropy.bytes(4, f"volume id {disk.number}:{number}"), "little"),
                sector_size=disk.sector_size,
            )
        case "LINUX":
            from ..filesystems.ext.format import format_ext  # noqa: PLC0415

            if linux_kind not in LINUX_KINDS:
                raise StorageError(f'$Linux-FS is "{linux_kind}"; expected EXT2, EXT3 or EXT4')
            purpose = f"{disk.number}:{number}"
            format_ext(
                device, linux_kind, label=label, uuid=entropy.uuid(purpose), hash_seed=entropy.uuid(f"{purpose} hash"), clock=clock,
                block_size=disk.sector_size if disk.sector_size > 512 else None,      # Linux mounts no smaller blocks
            )
        case "SWAP":
            from ..filesystems.swap import format_swap  # noqa: PLC0415 - each partition needs one of these

            format_swap(device, label="", uuid=entropy.uuid(f"{disk.number}:{number}"))
        case _:
            raise StorageError(
                f"partition {number} of disk {disk.number} has type {entry.word()}, which cannot be formatted",
                hint="Clean formats FAT, Linux and swap partitions",
            )


def hidden_sectors(disk: Disk, number: int) -> int:
    """Sectors before a partition, from the start of the disk also for a logical one: only so does its boot sector find it."""
    return disk.entry(number).start // disk.sector_size
