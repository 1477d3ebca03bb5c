"""Where the entries of a partition list go on a disk (language.md 9.1, 9.3, 9.4).

A list that says what the disk has already moves nothing. Otherwise the entries are laid out one behind the other, table by
table; an entry that is like the present one of its number keeps its place as long as nothing before it reaches into it.

    MB  0   1                101                                   501
        |MBR| BIGDOS:100     | EXT:400                              |
                              |EBR| BIGDOS:400, 399 MB of its own   |
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..base.units import MIB, round_up
from .partition import Partition
from .spec import PartitionList, PartitionListError, Wanted
from .table import Table, listed_mb
from .types import ENTRIES_PER_TABLE, FAT16_NAMES, GPT_TYPES

MAX_FAT16_MB = 4096         # 65,524 clusters of 64 KiB (language.md 9.4)


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry and its place in bytes; `kept` is the present entry when it stays as it is."""

    wanted: Wanted
    start: int
    size: int
    kept: Partition | None

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Space:
    """Where one table puts its entries, in bytes.

    `start` is where the table itself lies; new entries begin at `first` or behind and end at `end`; kept ones may begin at
    `floor` and end at `kept_end`. A size of `*` ends at `star_end`.
    """

    start: int
    floor: int
    first: int
    end: int
    kept_end: int
    star_end: int
    whole: str              # for messages
    is_nested: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """All entries, and where the tables that hold them lie (MBR first)."""

    placed: tuple[Placed, ...]
    table_starts: tuple[int, ...]
    is_unchanged: bool


def lay_out(wanted: PartitionList, present: Table, usable: tuple[int, int], star_end: int) -> Layout:
    """Place a list on the disk whose table is `present`.

    `usable` is the range between the tables at both ends of the disk, `star_end` where a `*` ends. Raises PartitionListError.
    """
    if present.scheme != wanted.scheme:
        present = Table(None, present.disk_size, present.sector_size)
    whole = f"the disk, which has {present.disk_size // MIB} MB"
    first = round_up(max(usable[0], MIB), MIB)
    space = Space(0, usable[0], first, usable[1], usable[1], star_end, whole, is_nested=False)
    unchanged = _as_it_is(wanted, present, space)
    if unchanged is not None:
        return unchanged

    placed: list[Placed] = []
    starts = [0]
    tables = wanted.tables()
    outermost_end = 0
    for index in range(len(tables) + 1):                # one more: an extended entry in the last table gets an empty table
        inside = _fill(tables[index] if index < len(tables) else (), present, space)
        placed += inside
        extended = next((each for each in inside if each.wanted.is_extended), None)
        if extended is None:
            break
        starts.append(extended.start)
        outermost_end = outermost_end or extended.end
        space = Space(
            start=extended.start,
            floor=extended.start + present.sector_size,
            first=extended.start + MIB,
            end=extended.end,
            kept_end=outermost_end,     # the links of other programs lie behind each other, not inside each other
            star_end=extended.end,
            whole=f"partition {extended.wanted.number} ({extended.wanted.word.text})",
            is_nested=True,
        )
    return Layout(tuple(sorted(placed, key=lambda each: each.wanted.number)), tuple(starts), is_unchanged=False)


def _as_it_is(wanted: PartitionList, present: Table, space: Space) -> Layout | None:
    """The present places, when every entry equals the present one and lies on the disk."""
    used = [entry for entry in wanted.entries if entry.is_used]
    if present.scheme is None or [entry.number for entry in used] != [each.number for each in present.partitions]:
        return None
    placed = []
    for entry, now in zip(used, present.partitions, strict=True):
        size_mb = _star_where_it_is(now, present, space) if entry.is_star else entry.size_mb
        if now.type != entry.type or present.listed_mb(now) != size_mb:
            return None
        if now.end > present.disk_size:
            entry.refuse(f"does not fit: it reaches to byte {now.end} of a disk of {present.disk_size} bytes")
        placed.append(Placed(entry, now.start, now.size, now))
    starts = list(present.table_starts)
    last = [each for each in present.partitions if each.is_extended]
    if len(last) == len(starts):                        # the last extended partition has no table yet: it gets an empty one
        starts.append(last[-1].start)
    return Layout(tuple(placed), tuple(starts), is_unchanged=True)


def _star_where_it_is(now: Partition, present: Table, space: Space) -> int:
    """What `*` would mean for an entry that stays where it is, in MB."""
    if not now.is_logical:
        return max(0, space.star_end - now.start) // MIB
    index = (now.number - 1) // ENTRIES_PER_TABLE
    outer = next(each for each in present.partitions if each.is_extended and each.start == present.table_starts[index])
    # An extended entry before it in the list lies behind it on the disk.
    behind = sum(
        each.size
        for each in present.partitions
        if each.is_extended and ENTRIES_PER_TABLE * index < each.number < now.number
    )
    return (outer.end - behind - present.counted_from(now)) // MIB


def _fill(entries: Sequence[Wanted], present: Table, space: Space) -> list[Placed]:
    """Place the entries of one table. Inside an extended partition the nested one comes behind the ordinary ones."""
    order = sorted(entries, key=lambda entry: entry.is_extended) if space.is_nested else list(entries)
    first_ordinary = next((entry for entry in order if not entry.is_extended), None) if space.is_nested else None
    reached = space.floor
    placed: list[Placed] = []
    for index, entry in enumerate(order):
        # The first MB, with the table, counts as part of the first ordinary entry.
        counts_table = entry is first_ordinary
        counted_from = space.start if counts_table else _next_place(reached, space)
        size_mb = entry.size_mb
        if size_mb is None:
            behind = sum(later.size_mb or 0 for later in order[index + 1 :])
            size_mb = (space.star_end - counted_from) // MIB - behind
            if size_mb < 1 + counts_table:
                entry.refuse(f"has no room: nothing is left of {space.whole}", _gap_hint(placed, space))
        placed.append(
            _keep(entry, size_mb, present, space, reached, counts_table=counts_table)
            or _put(entry, size_mb, counted_from, space, placed, counts_table=counts_table)
        )
        reached = placed[-1].end
    return placed


def _gap_hint(placed: Sequence[Placed], space: Space) -> str | None:
    """What to do where an entry found no room because one before it keeps its place, and its data, behind free space."""
    reached = space.first
    for each in placed:
        gap = (each.start - reached) // MIB
        if each.kept is not None and gap:
            return f"partition {each.wanted.number} stays where it is, behind {gap} MB of free space; with another size or type it is laid out anew"
        reached = each.end
    return None


def _next_place(reached: int, space: Space) -> int:
    """The first place for a new entry: whole MB from the start of the table's space."""
    return max(space.first, space.start + round_up(reached - space.start, MIB))


def _keep(entry: Wanted, size_mb: int, present: Table, space: Space, reached: int, *, counts_table: bool) -> Placed | None:
    """The present place of an entry, if it is like the present one and nothing is in its way."""
    now = present.get(entry.number)
    if now is None or now.type != entry.type or present.listed_mb(now) != size_mb:
        return None
    if now.start < reached or now.end > space.kept_end:
        return None
    if listed_mb(now.end - (space.start if counts_table else now.start)) != size_mb:
        return None                     # it would be listed with another size, because its table is elsewhere now
    return Placed(entry, now.start, now.size, now)


def _put(entry: Wanted, size_mb: int, counted_from: int, space: Space, before: Sequence[Placed], *, counts_table: bool) -> Placed:
    """A new place, right behind the entry before (`before`: all of them)."""
    if entry.name in FAT16_NAMES and entry.type in {*(0x04, 0x06, 0x0E), GPT_TYPES["BIGDOS"]} and size_mb > MAX_FAT16_MB:
        entry.refuse("is too large for FAT16, which ends at 4 GB", "use FAT32-LBA")
    if counts_table and size_mb < 2:
        entry.refuse("has no room: the first MB of an extended partition holds its table", "give it 2 MB or more")
    start = space.first if counts_table else counted_from
    end = counted_from + size_mb * MIB
    if end > space.end:
        missing = end - space.end
        entry.refuse(
            f"does not fit into {space.whole}: {round_up(missing, MIB) // MIB} MB too much",
            _gap_hint(before, space) or "the size * takes what remains",
        )
    return Placed(entry, start, end - start, None)


def check_mbr_reach(wanted: PartitionList, disk_size: int, sector_size: int) -> None:
    """An MBR counts sectors in 32 bits. Raises PartitionListError for a disk beyond that."""
    limit = (1 << 32) * sector_size
    if wanted.scheme == "MBR" and disk_size > limit:
        raise PartitionListError(
            f"an MBR table reaches {limit >> 40} TiB, but the disk has {disk_size // MIB} MB",
            hint="use a GPT: begin the list with the word GPT",
        )
