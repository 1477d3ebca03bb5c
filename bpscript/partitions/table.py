"""A disk's partition table, whatever its kind, and the ranges of bytes that follow from it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import FormatError, NotFoundError
from ..base.units import MIB
from ..blocks.device import BlockDevice
from ..blocks.slice import SliceDevice
from .mbr import SECTOR, has_gpt_magic, has_signature, is_table, parse_entries, read_chain
from .partition import Partition
from .types import ENTRIES_PER_TABLE, PROTECTIVE, Scheme

if TYPE_CHECKING:
    from .gpt import Gpt

__all__ = ["Partition", "Table", "cache_range", "end_of_last_partition", "open_partition", "read_table"]

Detect = Callable[[Partition], str | None]
SECTOR_SIZES = (512, 4096)


class Table(NamedTuple):
    """What the table of a disk says. `scheme` is None for a disk without one.

    `partitions` holds the used entries by number. `table_starts[n]` (bytes) is where an MBR disk keeps entries 4n+1 to 4n+4;
    `gpt` is the table as found on a GPT disk. `warnings` say what was wrong but did not stop the reading.
    """

    scheme: Scheme | None
    disk_size: int
    sector_size: int = 512
    partitions: tuple[Partition, ...] = ()
    warnings: tuple[str, ...] = ()
    table_starts: tuple[int, ...] = (0,)
    gpt: "Gpt | None" = None

    def get(self, number: int) -> Partition | None:
        """A used entry, or None."""
        return next((each for each in self.partitions if each.number == number), None)

    def listed_mb(self, partition: Partition) -> int:
        """The size `GetPartitions` gives (language.md 9.3): to the nearest MB, the first logical one from its table on."""
        return listed_mb(partition.end - self.counted_from(partition))

    def to_list(self, detect: Detect | None = None) -> str:
        """The list `GetPartitions` gives; `detect` names the file system (FAT16, ...) on GPT basic data without a name of ours."""
        words = ["EMPTY"] * (self.partitions[-1].number if self.partitions else 0)
        for each in self.partitions:
            words[each.number - 1] = f"{word_of(each, detect)}:{self.listed_mb(each)}"
        return " ".join(["GPT", *words] if self.scheme == "GPT" else words)

    def counted_from(self, partition: Partition) -> int:
        """Where the listed size begins: at the table in front of the first ordinary entry inside an extended partition."""
        if not partition.is_logical or partition.is_extended:
            return partition.start
        index = (partition.number - 1) // ENTRIES_PER_TABLE
        ordinary = (
            each.number for each in self.partitions if (each.number - 1) // ENTRIES_PER_TABLE == index and not each.is_extended
        )
        return self.table_starts[index] if partition.number == min(ordinary) else partition.start


def listed_mb(size: int) -> int:
    """A size in MB as `GetPartitions` rounds it: to the nearest, and at least 1."""
    return max(1, (size + MIB // 2) // MIB)


def word_of(partition: Partition, detect: Detect | None) -> str:
    """The type word of an entry, asking for the file system only where the entry says too little."""
    word = partition.word()
    return partition.word(detect(partition)) if detect is not None and word == "NTFS" and partition.name != "NTFS" else word


def read_table(device: BlockDevice, sector_size: int = 512) -> Table:
    """Read the table of a disk.

    Raises FormatError for a GPT of which both copies are damaged, or which is made for another sector size. Anything else that
    is wrong is among the warnings.
    """
    size = device.size
    if size < max(SECTOR, sector_size):
        return Table(None, size, sector_size)
    sector = device.read(0, SECTOR)
    if not has_signature(sector):
        return _without_mbr(device, sector_size)
    if not is_table(sector):
        return Table(None, size, sector_size, warnings=("sector 0 has a signature but holds no partition table",))
    if _is_volume(sector):
        return Table(None, size, sector_size)
    if any(entry.type == PROTECTIVE for entry in parse_entries(sector)):
        return _behind_protective_mbr(device, sector, sector_size)
    chain = read_chain(device, sector_size)
    warnings = [*chain.warnings, *_doubts(chain.partitions, size)]
    if has_gpt_magic(device, sector_size):
        warnings.append("the disk still has a GPT header, but its MBR does not announce it: the MBR counts")
    return Table("MBR", size, sector_size, _in_order(chain.partitions), tuple(warnings), chain.table_starts)


def _is_volume(sector: bytes) -> bool:
    """True for the boot sector of a FAT, exFAT or NTFS volume without boot code: zeros stand where an MBR has its entries.

    The fields are those that all three share (fatgen103, "Boot Sector and BPB"; NTFS $Boot): a jump, bytes per sector, sectors per cluster.
    """
    if any(entry.is_used for entry in parse_entries(sector)):
        return False
    named = sector[3:11] in {b"NTFS    ", b"EXFAT   "}
    sensible = int.from_bytes(sector[11:13], "little") in {512, 1024, 2048, 4096} and sector[13].bit_count() == 1
    return sector[0] in {0xEB, 0xE9} and (named or sensible)


def _without_mbr(device: BlockDevice, sector_size: int) -> Table:
    """No MBR signature: a whole GPT still counts, so that nobody takes its partitions for free space."""
    if has_gpt_magic(device, sector_size):
        from .gpt import read_gpt  # noqa: PLC0415 - brings construct, which few scripts need

        try:
            gpt = read_gpt(device, sector_size)
        except FormatError as error:
            return Table(None, device.size, sector_size, warnings=(str(error),))
        if gpt is not None:
            return _gpt_table(device, sector_size, gpt, "the protective MBR in front of the GPT is missing; SetPartitions repairs it")
    return Table(None, device.size, sector_size)


def _behind_protective_mbr(device: BlockDevice, sector: bytes, sector_size: int) -> Table:
    from .gpt import read_gpt  # noqa: PLC0415 - brings construct, which few scripts need

    gpt = read_gpt(device, sector_size)
    if gpt is not None:
        others = [entry for entry in parse_entries(sector) if entry.is_used and entry.type != PROTECTIVE]
        hybrid = "a hybrid MBR: its own entries are ignored, and go with the next SetPartitions" if others else None
        return _gpt_table(device, sector_size, gpt, hybrid)
    for other in SECTOR_SIZES:
        if other != sector_size and has_gpt_magic(device, other):
            raise FormatError(
                f"the GPT of this disk is made for sectors of {other} bytes, not {sector_size}", hint=f'set Sector-Size = "{other}"'
            )
    chain = read_chain(device, sector_size)
    warnings = ("the MBR announces a GPT, but there is none", *chain.warnings, *_doubts(chain.partitions, device.size))
    return Table("MBR", device.size, sector_size, _in_order(chain.partitions), warnings, chain.table_starts)


def _gpt_table(device: BlockDevice, sector_size: int, gpt: "Gpt", warning: str | None) -> Table:
    warnings = [*([warning] if warning else []), *gpt.warnings, *_doubts(gpt.partitions, device.size)]
    return Table("GPT", device.size, sector_size, _in_order(gpt.partitions), tuple(warnings), gpt=gpt)


def _in_order(partitions: Sequence[Partition]) -> tuple[Partition, ...]:
    return tuple(sorted(partitions, key=lambda each: each.number))


def _doubts(partitions: Sequence[Partition], disk_size: int) -> list[str]:
    """What other programs would complain about: entries that leave the disk or overlap."""
    doubts = [_outside(each, disk_size) for each in partitions if each.end > disk_size]
    by_start = sorted((each for each in partitions if not each.is_extended), key=lambda each: each.start)
    reaching = None                     # the partition that reaches furthest so far
    for each in by_start:
        if reaching is not None and each.start < reaching.end:
            doubts.append(f"partitions {reaching.number} and {each.number} overlap")
        if reaching is None or each.end > reaching.end:
            reaching = each
    return doubts


def _outside(partition: Partition, disk_size: int) -> str:
    return f"partition {partition.number} reaches to byte {partition.end}, but the disk ends at byte {disk_size}"


def open_partition(device: BlockDevice, table: Table, number: int) -> SliceDevice:
    """The bytes of a partition (of an extended one: all of it, its tables included).

    Raises NotFoundError when the entry is unused, FormatError when it reaches beyond the disk.
    """
    found = table.get(number)
    if found is None:
        raise NotFoundError(f"no partition {number}: the entry is unused")
    if found.end > device.size:
        raise FormatError(_outside(found, device.size), hint="is the image cut short?")
    return SliceDevice(device, found.start, found.size, f"partition {number}")


def end_of_last_partition(table: Table) -> int:
    """The highest end of all partitions, extended ones included (bytes); 0 without partitions."""
    return max((each.end for each in table.partitions), default=0)


def cache_range(device: BlockDevice, table: Table) -> tuple[int, int]:
    """Where the cache lies (language.md 5): a half-open byte range, empty when there is no room.

    It begins behind the last partition, at 1 MB at the earliest, and ends before a backup GPT. A disk whose sector 0 is signed
    but no partition table has none: that is a file system on the whole disk.
    """
    end = device.size
    if table.scheme is None and device.size >= SECTOR and has_signature(device.read(0, SECTOR)):
        return end, end
    if table.gpt is not None:
        from .gpt import usable_range  # noqa: PLC0415 - loaded already, by whoever read the GPT

        end = max(0, usable_range(device.size, table.sector_size)[1])
        if table.gpt.backup is not None:        # not necessarily at the end of the disk
            end = min(end, table.gpt.backup.array_lba * table.sector_size)
    start = max(end_of_last_partition(table), MIB)
    return (start, end) if start < end else (end, end)
