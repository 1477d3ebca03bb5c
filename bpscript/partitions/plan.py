"""`SetPartitions`: what a new table would change, and writing it.

The plan holds every byte that will be written, in stages with a flush after each. Whatever stage a power cut ends, the disk
has the old table, the new one, or none:

* A table of one sector replaces the old one in a single write.
* Where more than sector 0 changes (nested tables, MBR over GPT, GPT over MBR), sector 0 first loses its entries, and the last
  write is the new sector 0.
* GPT over GPT: one copy after the other, the damaged one first, so that one of them is whole at any time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from uuid import UUID

from ..base.entropy import Entropy
from ..base.errors import FormatError, StorageError
from ..blocks.device import BlockDevice
from .boot import NO_ENTRIES, first_sector
from .geometry import Geometry, firmware_geometry
from .layout import Layout, Placed, check_mbr_reach, lay_out
from .mbr import DISK_SIGNATURE, SECTOR, TABLE_START, build_tables, is_table, with_table
from .partition import Partition
from .spec import MAX_GPT_ENTRIES, PartitionList, PartitionListError, Wanted, parse_list
from .table import SECTOR_SIZES, Detect, Table, read_table, word_of
from .types import ENTRIES_PER_TABLE, GPT_TYPES

Write = tuple[int, bytes]       # offset and bytes
Stage = tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the disk has, what it will have, and the writes between. `kept` numbers the entries that stay where they are."""

    before: Table
    after: Table
    kept: frozenset[int]
    warnings: tuple[str, ...]
    stages: tuple[Stage, ...]

    @property
    def moves_nothing(self) -> bool:
        """True when every entry stays where it is."""
        return all(each.number in self.kept for each in self.after.partitions) and len(self.kept) == len(self.before.partitions)

    def apply(self, device: BlockDevice) -> None:
        """Write it."""
        for stage in self.stages:
            for offset, data in stage:
                device.write(offset, data)
            device.flush()

    def lines(self) -> list[str]:
        """What becomes of each partition, for people."""
        told = []
        for number in sorted({each.number for each in (*self.before.partitions, *self.after.partitions)}):
            new = self.after.get(number)
            if new is None:
                told.append(f"partition {number}: removed")
                continue
            what = "kept" if number in self.kept else "new" if self.before.get(number) is None else "replaced"
            told.append(f"partition {number}: {new.word()}, {self.after.listed_mb(new)} MB at byte {new.start}, {what}")
        return told


def parse_disk_guid(text: str) -> UUID:
    """The value of `$Disk-GUID`. Raises StorageError."""
    try:
        return UUID(text)
    except ValueError as error:
        raise StorageError(f'$Disk-GUID is "{text}"; expected a GUID such as 01234567-89AB-CDEF-0123-456789ABCDEF') from error


def plan_partitions(
    wanted: str | PartitionList,
    device: BlockDevice,
    *,
    sector_size: int = 512,
    entropy: Entropy,
    geometry: Geometry | None = None,
    cache_size: int = 0,
    disk_guid: UUID | str | None = None,
    detect: Detect | None = None,
) -> Plan:
    """Plan a list for a disk; nothing is written.

    Args:
        wanted: the list, as text or parsed
        device: the disk
        sector_size: bytes of a logical sector, 512 or 4096
        entropy: where new ids come from
        geometry: for CHS fields, when it is not the firmware's for a disk of that size
        cache_size: bytes that a `*` leaves free
        disk_guid: of a new GPT, "" or None for a random one; its partitions get the same with their number XORed into the last bytes
        detect: names the file system (FAT16, ...) on a partition, asked for on GPT basic data without a name of ours

    Raises PartitionListError, a StorageError that knows the word to blame.
    """
    wanted = parse_list(wanted) if isinstance(wanted, str) else wanted
    present, warnings = _present(device, sector_size)
    check_mbr_reach(wanted, device.size, sector_size)
    if isinstance(disk_guid, str):
        disk_guid = parse_disk_guid(disk_guid) if disk_guid else None
    planner = _Planner(device, sector_size, entropy, present, detect)
    if wanted.scheme == "GPT":
        plan = planner.gpt(wanted, cache_size, disk_guid)
    else:
        plan = planner.mbr(wanted, cache_size, geometry or firmware_geometry(device.size))
    return replace(plan, warnings=(*warnings, *plan.warnings))


def _present(device: BlockDevice, sector_size: int) -> tuple[Table, list[str]]:
    """The present table; one that cannot be read at all counts as none, with a warning."""
    if device.size < SECTOR:
        raise PartitionListError(f"a disk of {device.size} bytes has no room for a partition table")
    try:
        return read_table(device, sector_size), []
    except FormatError as error:
        return Table(None, device.size, sector_size), [f"{error}: a new table replaces it"]


class _Planner:
    def __init__(self, device: BlockDevice, sector_size: int, entropy: Entropy, present: Table, detect: Detect | None) -> None:
        self._device = device
        self._sector_size = sector_size
        self._entropy = entropy
        self._present = present
        self._detect = detect
        self._old_sector = device.read(0, SECTOR)

    def mbr(self, wanted: PartitionList, cache_size: int, geometry: Geometry) -> Plan:
        size = self._device.size
        layout = lay_out(wanted, self._present, (self._sector_size, size), size - cache_size)
        partitions = tuple(_mbr_partition(each) for each in layout.placed)
        by_number = {each.number: each for each in partitions}
        tables = build_tables(by_number, layout.table_starts, self._sector_size, geometry)
        bare = self._with_disk_signature(first_sector(self._old_sector, "MBR"))

        nested = [self._nested_table(start, table) for start, table in zip(layout.table_starts[1:], tables[1:], strict=True)]
        between = self._changed([*self._gpt_wipes(layout), *nested])
        stages = self._stages(bare, [tuple(between)], with_table(bare, tables[0]))
        after = Table("MBR", size, self._sector_size, partitions, (), layout.table_starts)
        return Plan(self._present, after, _kept(layout), tuple(_crowded(wanted)), stages)

    def gpt(self, wanted: PartitionList, cache_size: int, wanted_guid: UUID | None) -> Plan:
        from .gpt import BACKUP_ROOM, Gpt, copy_writes, new_headers, protective_table, usable_range  # noqa: PLC0415 - brings construct

        size, sector_size, old = self._device.size, self._sector_size, self._present.gpt
        count = self._entry_count(wanted)
        usable = usable_range(size, sector_size, count)
        if usable[0] >= usable[1]:
            raise PartitionListError(f"a disk of {size} bytes has no room for a GPT")
        layout = lay_out(wanted, self._present, usable, size - BACKUP_ROOM - cache_size)
        keeps_guid = old is not None and (layout.is_unchanged or any(each.kept for each in layout.placed))
        guid = old.header.disk_guid if old is not None and keeps_guid else wanted_guid or self._entropy.uuid("disk GUID")
        partitions = tuple(self._gpt_partition(each, wanted_guid) for each in layout.placed)
        primary, backup = new_headers(partitions, guid, size, sector_size, count)

        copies = [copy_writes(backup, sector_size), copy_writes(primary, sector_size)]
        if old is not None and old.primary is None:
            copies.reverse()            # the whole copy is overwritten last
        stages = [tuple(self._changed(copy)) for copy in copies]
        if old is not None and old.backup is not None:
            place = old.backup.own_lba * sector_size
            if usable[0] <= place < usable[1]:          # the disk has grown: not where the new copies stand
                stages.append(tuple(self._wipe_unless_kept(place, layout)))
        bare = first_sector(self._old_sector, "GPT")
        after = Table("GPT", size, sector_size, partitions, (), gpt=Gpt(primary, backup, partitions, ()))
        final = with_table(bare, protective_table(size, sector_size))
        return Plan(self._present, after, _kept(layout), (), self._stages(bare, stages, final, gpt_stays=old is not None))

    def _stages(self, bare: bytes, between: list[Stage], final: bytes, *, gpt_stays: bool = False) -> tuple[Stage, ...]:
        """All stages: the entries of sector 0 go first where other bytes of another table change, and come last."""
        has_entries = is_table(self._old_sector) and self._old_sector[TABLE_START : TABLE_START + 64] != NO_ENTRIES
        if any(between) and has_entries and not gpt_stays:
            return (((0, bare),), *filter(None, between), ((0, final),))
        return (*filter(None, between), *([((0, final),)] if final != self._old_sector else []))

    def _changed(self, writes: Iterable[Write]) -> list[Write]:
        """Without the writes that would change nothing."""
        return [(offset, data) for offset, data in writes if self._device.read(offset, len(data)) != data]

    def _nested_table(self, start: int, table: bytes) -> Write:
        """The sector of a table inside an extended partition; a present one keeps what stands before its entries."""
        is_present = start in self._present.table_starts[1:]
        return start, with_table(self._device.read(start, SECTOR) if is_present else bytes(SECTOR), table)

    def _with_disk_signature(self, sector: bytes) -> bytes:
        """The disk signature of Windows NT: a new table gets one, another keeps its own."""
        if is_table(self._old_sector) and self._present.scheme != "GPT":
            return sector
        return sector[:DISK_SIGNATURE] + self._entropy.bytes(4, "disk signature") + sector[DISK_SIGNATURE + 4 :]

    def _gpt_wipes(self, layout: Layout) -> list[Write]:
        """Zeros over the headers of a GPT, wherever its sector size and the end of the disk put them."""
        size = self._device.size
        places = {place for unit in SECTOR_SIZES for place in (unit, size // unit * unit - unit)}
        old = self._present.gpt
        if old is not None and old.backup is not None:
            places.add(old.backup.own_lba * self._sector_size)
        found = [place for place in sorted(places) if 0 < place <= size - SECTOR and self._device.read(place, 8) == b"EFI PART"]
        return [write for place in found for write in self._wipe_unless_kept(place, layout)]

    def _wipe_unless_kept(self, place: int, layout: Layout) -> list[Write]:
        """Zeros over an old header, unless it lies inside a partition that stays: that is the partition's own business."""
        is_inside = any(each.kept is not None and each.start <= place < each.end for each in layout.placed)
        return [] if is_inside else [(place, bytes(SECTOR))]

    def _entry_count(self, wanted: PartitionList) -> int:
        """How long the entry array is: a kept table may have less than 128, and partitions right behind it."""
        old = self._present.gpt
        needed = wanted.entries[-1].number if wanted.entries else 0
        present = MAX_GPT_ENTRIES if old is None else old.header.entry_count
        return present if needed <= present <= MAX_GPT_ENTRIES else MAX_GPT_ENTRIES

    def _gpt_partition(self, placed: Placed, wanted_guid: UUID | None) -> Partition:
        from .gpt import LEGACY_BOOT  # noqa: PLC0415 - loaded already

        wanted = placed.wanted
        name = wanted.name if wanted.name in GPT_TYPES else ""
        if placed.kept is not None:
            says_so = word_of(placed.kept, self._detect) == wanted.name
            kept_name = placed.kept.name if says_so or not name else name
            return placed.kept._replace(boot=False, attributes=placed.kept.attributes & ~LEGACY_BOOT, name=kept_name)
        if wanted_guid is None:
            guid = self._entropy.uuid(f"partition GUID {wanted.number}")
        else:
            guid = UUID(int=wanted_guid.int ^ wanted.number)
        return Partition(wanted.number, wanted.type, placed.start, placed.size, guid=guid, name=name)


def _mbr_partition(placed: Placed) -> Partition:
    return Partition(placed.wanted.number, placed.wanted.type, placed.start, placed.size)


def _kept(layout: Layout) -> frozenset[int]:
    return frozenset(each.wanted.number for each in layout.placed if each.kept is not None)


def _crowded(wanted: PartitionList) -> Iterable[str]:
    """Warnings about nested tables with several ordinary entries (language.md 9.3)."""
    ordinary = [entry for entry in wanted.entries if entry.number > ENTRIES_PER_TABLE and entry.is_used and not entry.is_extended]
    for _, group in groupby(ordinary, key=_table_of):
        numbers = [entry.number for entry in group]
        if len(numbers) > 1:
            yield f"partitions {', '.join(map(str, numbers))} share one nested table: other programs see only the first of them"


def _table_of(entry: Wanted) -> int:
    return (entry.number - 1) // ENTRIES_PER_TABLE
