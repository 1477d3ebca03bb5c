"""Sparse disks in files, and short ways to lay them out and read them."""

from pathlib import Path

from bpscript.base.entropy import Entropy
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.partitions.plan import Plan, plan_partitions
from bpscript.partitions.table import Table, read_table


def sparse(path: Path, megabytes: int, extra: int = 0) -> FileDevice:
    """A new sparse image of so many MB and `extra` bytes."""
    with path.open("wb") as image:
        image.truncate(megabytes * MIB + extra)
    return FileDevice(path)


def put(device: BlockDevice, text: str, sector_size: int = 512, cache_size: int = 0, seed: str = "test") -> Plan:
    """SetPartitions."""
    plan = plan_partitions(text, device, sector_size=sector_size, cache_size=cache_size, entropy=Entropy(seed))
    plan.apply(device)
    return plan


def listed(device: BlockDevice, sector_size: int = 512) -> str:
    """GetPartitions."""
    return read_table(device, sector_size).to_list()


def places(table: Table) -> dict[int, tuple[float, float]]:
    """Start and size in MB, by number."""
    return {each.number: (each.start / MIB, each.size / MIB) for each in table.partitions}


def spread(list_text: str, device: BlockDevice) -> dict[int, tuple[float, float]]:
    """`places` after SetPartitions."""
    put(device, list_text)
    return places(read_table(device))
