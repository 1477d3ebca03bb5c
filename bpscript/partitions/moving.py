"""The table of one disk on another: larger, smaller, or with other sectors. Every partition keeps its place in bytes.

    source   |T| 1     | 2          |·······|t|            T table, t backup GPT at the end of the disk
    target   |T| 1     | 2          |·················|t|
    resized  |T| 1     | 2                            |t|  `resize_last`: the last one ends where the disk does

A table that nothing changes for is taken over byte for byte. Otherwise only what has to differ does: sizes and positions of what
was resized, CHS fields when the firmware's geometry is another one, and on a GPT disk both headers and the protective MBR.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..base.errors import StorageError
from ..base.units import MIB, format_size, round_up
from ..blocks.device import BlockDevice
from .geometry import Geometry, firmware_geometry
from .mbr import ENTRY, SECTOR, TABLE_START, build_tables, parse_entries, with_table
from .partition import Partition
from .table import Table
from .types import ENTRIES_PER_TABLE, PROTECTIVE

MBR_SECTORS = 1 << 32       # an MBR counts sectors in 32 bits
_LAST_LBA_AT = 40           # offset of the last LBA in a GPT entry, the first is before it (UEFI 2.10, table 5.6)
_FIRST_LBA_AT = 32
_END_CHS = b"\xff\xff\xff"  # UEFI 2.10, table 5.4: EndingCHS of a disk that CHS cannot describe

Write = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class MovedTable:
    """Where everything goes: `partitions` as they will be, `writes` (offset, bytes) of the whole table, sector 0 the last.

    `geometry` is the target's; None when neither it nor the size of sectors changes, so that no boot sector has to follow.
    `replaced` are the byte ranges of the table on the source and on the target: their bytes come from `writes` alone.
    """

    partitions: tuple[Partition, ...]
    writes: tuple[Write, ...]
    geometry: Geometry | None
    resized: int | None
    replaced: tuple[tuple[int, int], ...]

    def get(self, number: int) -> Partition:
        """A used entry."""
        return next(each for each in self.partitions if each.number == number)


def leaves(table: Table) -> list[Partition]:
    """The partitions that hold data and not tables, by their place on the disk."""
    return sorted((each for each in table.partitions if not each.is_extended), key=lambda each: (each.start, each.end))


def table_ranges(table: Table) -> list[tuple[int, int]]:
    """The bytes of a table, both copies of a GPT: half-open ranges, not in order."""
    ranges = [(start, start + SECTOR) for start in table.table_starts]
    if table.gpt is not None:
        for header in (table.gpt.primary, table.gpt.backup):
            if header is not None:
                array = header.array_lba * table.sector_size
                ranges += [(header.own_lba * table.sector_size, (header.own_lba + 1) * table.sector_size), (array, array + len(header.array))]
    return ranges


def move_table(
    table: Table, source: BlockDevice, size: int, *, sector_size: int | None = None, resize_last: bool = False,
    geometry: Geometry | None = None,
) -> MovedTable:
    """The table of `source` for a disk of `size` bytes.

    Args:
        table: what `read_table` said of the source
        source: the disk the table is on; only bytes of the table are read
        size: bytes of the target
        sector_size: of the target in bytes; the source's when None
        resize_last: the last partition on the disk ends where the target does, instead of where it ended
        geometry: for CHS fields, when it is not the firmware's for a disk of that size

    Raises StorageError when a partition does not end inside the target, or cannot lie on whole sectors of it.
    """
    sectors = sector_size or table.sector_size
    wanted = geometry or firmware_geometry(size)
    same_geometry = wanted == firmware_geometry(table.disk_size) and geometry is None and sectors == table.sector_size
    start, end = _usable(table, size, sectors)
    if start >= end:
        raise StorageError(f"a disk of {size} bytes has no room for a partition table of this kind")
    partitions, resized = _resized(table, end) if resize_last else (table.partitions, None)
    _check(partitions, (start, end), size, sectors, resize_last=resize_last)
    if table.scheme == "GPT":
        writes = _gpt_writes(table, source, size, sectors, partitions, resized)
    else:
        changed = {each.number for each, old in zip(partitions, table.partitions, strict=True) if each != old}
        writes = _mbr_writes(table, source, sectors, partitions, changed, None if same_geometry else wanted)
    replaced = [*table_ranges(table), *((offset, offset + len(data)) for offset, data in writes)]
    return MovedTable(
        tuple(partitions), tuple(writes), None if same_geometry else wanted, resized, tuple(sorted(set(replaced)))
    )


def _usable(table: Table, size: int, sector_size: int) -> tuple[int, int]:
    """Where partitions may lie on the target, in bytes."""
    if table.gpt is None:
        return sector_size, min(size // sector_size, MBR_SECTORS) * sector_size
    header = table.gpt.header
    array = round_up(len(header.array), sector_size)
    first = header.array_lba * sector_size if table.gpt.primary is not None and sector_size == table.sector_size else 2 * sector_size
    return first + array, size // sector_size * sector_size - sector_size - array


def _resized(table: Table, end: int) -> tuple[list[Partition], int | None]:
    """The partitions with the last one ending at `end`, on whole MiB where it is not there already, and its number."""
    ordinary = leaves(table)
    empty = [each for each in table.partitions if each.is_extended and not any(each.start <= leaf.start < each.end for leaf in ordinary)]
    if not ordinary and not empty:
        raise StorageError("--resize-last: the archive's disk has no partition that could be resized")
    last = max([*empty, *ordinary], key=lambda each: (each.end, each.start))
    whole = end // MIB * MIB if last.start < end // MIB * MIB else end
    new_end = last.end if whole <= last.end <= end else whole
    if new_end <= last.start:
        raise StorageError(
            f"partition {last.number} begins at byte {last.start}: on this disk nothing is left for it",
            hint=f"a disk of at least {format_size(last.start + MIB)} is needed",
        )
    found = []
    for each in table.partitions:
        holds = each.is_extended and each.start <= last.start and each.end >= last.end
        if each.number == last.number or holds or (each.is_extended and each.end > new_end > each.start):
            each = each._replace(size=new_end - each.start)     # noqa: PLW2901 - the same one, resized
        found.append(each)
    return found, None if new_end == last.end else last.number


def _check(partitions: Iterable[Partition], usable: tuple[int, int], size: int, sector_size: int, *, resize_last: bool) -> None:
    start, end = usable
    for each in partitions:
        what = f"partition {each.number}"
        if each.start % sector_size or each.size % sector_size:
            raise StorageError(
                f"{what} lies at bytes {each.start} to {each.end}, which are no whole sectors of the target's {sector_size} bytes",
                hint="restore its partitions one by one, onto a disk that was laid out for it",
            )
        if each.start < start:
            raise StorageError(f"{what} begins at byte {each.start}, where the target needs the first {start} bytes for its table")
        if each.end > end:
            hint = None if resize_last else "--resize-last shrinks the last partition to the end of the disk"
            raise StorageError(
                f"{what} ends at byte {each.end}, beyond the {end} bytes that a disk of {size} bytes has for partitions", hint=hint
            )


# --- MBR -------------------------------------------------------------------------------------------------------------


def _mbr_writes(  # noqa: PLR0917 - what a table is made of
    table: Table, source: BlockDevice, sector_size: int, partitions: Iterable[Partition], changed: set[int], geometry: Geometry | None
) -> list[Write]:
    """Every table sector, the MBR last. With a `geometry` all entries are made anew, else only the changed ones."""
    new = build_tables(
        {each.number: each for each in partitions}, table.table_starts, sector_size, geometry or firmware_geometry(table.disk_size)
    )
    used = {each.number for each in table.partitions}
    writes = []
    for index, (start, rows) in enumerate(zip(table.table_starts, new, strict=True)):
        sector = source.read(start, SECTOR)
        entries = bytearray(sector[TABLE_START : TABLE_START + len(rows)])
        for row in range(ENTRIES_PER_TABLE):
            number = ENTRIES_PER_TABLE * index + row + 1
            if number in used and (geometry is not None or number in changed):
                entries[row * ENTRY.size : (row + 1) * ENTRY.size] = rows[row * ENTRY.size : (row + 1) * ENTRY.size]
        writes.append((start, with_table(sector, bytes(entries))))
    return [*writes[1:], writes[0]]


# --- GPT -------------------------------------------------------------------------------------------------------------


def _gpt_writes(  # noqa: PLR0917 - as above
    table: Table, source: BlockDevice, size: int, sector_size: int, partitions: Iterable[Partition], resized: int | None
) -> list[Write]:
    """Backup, primary and protective MBR."""
    from .gpt import copy_writes  # noqa: PLC0415 - loaded already, by whoever read the GPT

    assert table.gpt is not None
    if (size, sector_size, resized) == (table.disk_size, table.sector_size, None) and _is_regular(table):
        return [(start, source.read(start, end - start)) for start, end in reversed(table_ranges(table))]
    old = table.gpt.header
    array = bytearray(old.array)
    for each in partitions:
        row = (each.number - 1) * old.entry_size
        array[row + _FIRST_LBA_AT : row + _LAST_LBA_AT] = (each.start // sector_size).to_bytes(8, "little")
        array[row + _LAST_LBA_AT : row + _LAST_LBA_AT + 8] = (each.end // sector_size - 1).to_bytes(8, "little")
    same_sectors = sector_size == table.sector_size and table.gpt.primary is not None
    last_lba = size // sector_size - 1
    first_usable, end_usable = (at // sector_size for at in _usable(table, size, sector_size))
    lowest = min((each.start // sector_size for each in partitions), default=end_usable)
    if sector_size == table.sector_size and first_usable < old.first_usable_lba <= lowest:
        first_usable = old.first_usable_lba
    primary = replace(
        old, own_lba=1, other_lba=last_lba, array_lba=old.array_lba if same_sectors else 2, array=bytes(array),
        first_usable_lba=first_usable, end_usable_lba=end_usable,
    )
    backup = replace(primary, own_lba=last_lba, other_lba=1, array_lba=end_usable)
    sector = source.read(0, SECTOR)
    final = _protective(sector, table, size // sector_size, sector_size, partitions)
    return [*copy_writes(backup, sector_size), *copy_writes(primary, sector_size), (0, final)]


def _is_regular(table: Table) -> bool:
    """Both copies are whole, equal, and the backup stands at the end of the disk; the MBR announces them."""
    gpt = table.gpt
    if gpt is None or gpt.primary is None or gpt.backup is None or gpt.primary.array != gpt.backup.array:
        return False
    return gpt.primary.other_lba == table.disk_size // table.sector_size - 1 and not gpt.warnings


def _protective(sector: bytes, table: Table, sectors: int, sector_size: int, partitions: Iterable[Partition]) -> bytes:
    """Sector 0 in front of a GPT: its protective entry covers the target; entries of a hybrid MBR follow their partitions."""
    from .gpt import protective_table  # noqa: PLC0415 - as above

    entries = parse_entries(sector)
    others = [entry for entry in entries if entry.is_used and entry.type != PROTECTIVE]
    if not any(entry.type == PROTECTIVE for entry in entries):
        return with_table(sector, protective_table(sectors * sector_size, sector_size))
    if others and sector_size != table.sector_size:
        raise StorageError(
            f"its hybrid MBR is made for sectors of {table.sector_size} bytes, the target has {sector_size}",
            hint="a SetPartitions on the source makes it an ordinary GPT",
        )
    old_end = table.disk_size // table.sector_size
    now = {each.start // sector_size: each.size // sector_size for each in partitions}
    rows = bytearray(sector[TABLE_START : TABLE_START + ENTRY.size * ENTRIES_PER_TABLE])
    for index, entry in enumerate(entries):
        row = index * ENTRY.size
        count = entry.sector_count
        if entry.type == PROTECTIVE and (entry.start + entry.sector_count >= min(old_end, sectors) or not others):
            count = min(sectors - entry.start, 0xFFFF_FFFF)
            rows[row + 5 : row + 8] = _END_CHS
        elif entry.is_used and entry.start in now:
            count = min(now[entry.start], 0xFFFF_FFFF)
        rows[row + 12 : row + 16] = max(count, 0).to_bytes(4, "little")
    return with_table(sector, bytes(rows))
