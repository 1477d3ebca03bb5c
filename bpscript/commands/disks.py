"""Commands for partition tables and partitions (language.md 8.7, 9)."""

from ..base.errors import StorageError
from ..base.events import progress
from ..base.units import MIB
from ..filesystems.head import forget
from ..interpreter.run import Run
from ..language.arguments import Skippable
from ..language.declare import command
from ..machine.formatting import format_partition, geometry_of
from ..partitions.boot import boot_partition, set_boot_partition, write_boot_code
from ..partitions.partition import CACHE, MBR
from ..partitions.plan import plan_partitions
from .arguments import PartitionNumbers, VariableName

_WIPE_STEP = 64 << 20     # bytes zeroed between two progress reports
_HEAD = 68 << 10          # bytes in which a file system is recognised; that of btrfs at 64 KiB is the last


@command("GetPartitions", group="disks and files")
def get_partitions(run: Run, name: VariableName, disk: int = 0) -> None:
    """Store the partition list of a disk, in the form that SetPartitions takes.

    Args:
        name: the variable
        disk: number of the disk

    Examples:
        > GetPartitions p
    """
    found = run.machine.disks[disk]
    for warning in found.table().warnings:
        run.warn(f"disk {disk}: {warning}")
    run.variables.set(name, found.partition_list())


@command("SetPartitions", group="disks and files", writes_disk=True, usage='"list" [disk]')
def set_partitions(run: Run, partitions: str, disk: int = 0) -> None:
    """Write the partition table of a disk. An entry that stays as it is keeps its data.

    Args:
        partitions: blank-separated Type:Size entries, sizes in MB; `EMPTY` for an unused entry, `*` for all that remains; a list
            that begins with GPT makes a GUID partition table
        disk: number of the disk

    Examples:
        > SetPartitions "linux-ext2:40 linux-swap:8"
        > SetPartitions "GPT EFI:16 LINUX-EXT2:*"
    """
    target = run.machine.disks[disk]
    plan = plan_partitions(
        partitions,
        target.device,
        geometry=geometry_of(target, run.variables.get("Disk-Geometry")),
        cache_size=_megabytes(run, "CacheSize"),
        disk_guid=run.variables.get("Disk-GUID"),
        entropy=run.machine.entropy,
        sector_size=target.sector_size,
        detect=lambda entry: target.kind_of(entry.number),
    )
    for warning in plan.warnings:
        run.warn(warning)
    target.forget()
    plan.apply(target.device)


@command("GetBootPart", group="disks and files")
def get_boot_part(run: Run, name: VariableName, disk: int = 0) -> None:
    """Store the number of the partition with the boot flag, 0 if there is none.

    Args:
        name: the variable
        disk: number of the disk

    Examples:
        > GetBootPart b
    """
    run.variables.set(name, str(boot_partition(run.machine.disks[disk].table())))


@command("SetBootPart", group="disks and files", writes_disk=True)
def set_boot_part(run: Run, partition: int, disk: int = 0) -> None:
    """Set the boot flag of a partition and clear it everywhere else.

    Args:
        partition: number of the partition; 0 clears the flag everywhere
        disk: number of the disk

    Examples:
        > SetBootPart 1
    """
    target = run.machine.disks[disk]
    if partition != 0:
        target.entry(partition)
    table = target.table()
    target.forget()
    set_boot_partition(target.device, table, partition)


@command("Blank", group="disks and files", writes_disk=True)
def blank(run: Run, partition: int, disk: int = 0) -> None:
    """Fill a partition with zeros.

    Args:
        partition: number of the partition; -1 is the cache
        disk: number of the disk

    Examples:
        > Blank 1
    """
    target = run.machine.disks[disk]
    if partition == MBR:
        raise StorageError("Blank 0 would destroy the partition table", hint="Clean 0 writes fresh boot code and keeps the table")
    area = target.need_cache_area() if partition == CACHE else target.partition(partition)
    target.forget(partition)
    forget(area, _HEAD)     # first: a run that is cut off leaves no file system of which a part is gone
    with progress(run.machine.events, f"Blank {partition}", area.size) as state:
        for offset in range(0, area.size, _WIPE_STEP):
            length = min(_WIPE_STEP, area.size - offset)
            area.zero(offset, length)
            state.advance(length)
    area.flush()
    if partition > 0 and target.entry(partition).is_extended:
        target.forget()


@command("Clean", group="disks and files", writes_disk=True)
def clean(run: Run, partitions: PartitionNumbers, disk: Skippable[int] = 0, label: str = "") -> None:
    """Format partitions by their type in the table: FAT, Linux (see $Linux-FS) and swap; an extended partition gets an empty table.

    Args:
        partitions: a number, or a string of numbers; 0 writes fresh boot code and keeps the table, -1 empties the cache
        disk: number of the disk
        label: label of FAT and Linux volumes

    Examples:
        > Clean 1
        > Clean "1 2" 0 "DATA"
    """
    target = run.machine.disks[disk]
    for number in partitions:
        if number > 0:
            target.entry(number)        # all must exist before the first is formatted
    for number in partitions:
        if number == MBR:
            write_boot_code(target.device)
            target.forget()
        elif number == CACHE:
            target.format_cache()
        else:
            format_partition(
                target,
                number,
                label=label,
                linux_kind=run.variables.get("Linux-FS").upper(),
                geometry=geometry_of(target, run.variables.get("Disk-Geometry")),
                entropy=run.machine.entropy,
                clock=run.machine.clock,
            )


def _megabytes(run: Run, name: str) -> int:
    """A variable that holds MB, in bytes."""
    text = run.variables.get(name).strip() or "0"
    if not text.isdecimal() or len(text) > 9:
        raise StorageError(f'${name} is "{text}"; expected a number of MB')
    return int(text) * MIB
