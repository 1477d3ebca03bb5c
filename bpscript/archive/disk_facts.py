"""What the header of a disk archive says. FORMAT.md, chapter "Disk archives".

A disk is cut into regions: its partitions, and the areas before, between and behind them. No chunk crosses the border of a region.

    disk      |T·boot track·| partition 1   |E··| partition 5     |····|t|       T, E, t: tables; · used by nobody
    regions   | area        | partition     |area| partition      | area |
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..base.errors import FormatError
from ..partitions.table import Table
from .full import BOOT_SIZE, Facts, meta_number, meta_text
from .records import Json

_OF_THE_DISK = ("created_ns", "writer", "source", "host", "options")     # said once, for all partitions
MAX_PARTITIONS = 1024           # an MBR's 256 nested tables have four entries each


class DiskPartition(NamedTuple):
    """A used entry of the table: where it lies (bytes), and what is on it; `facts` is None for an extended partition.

    `number` is the language's (language.md 9.2). `type` is the type byte as "0x83", or the GUID of a GPT type.
    """

    number: int
    start: int
    size: int
    type: str
    name: str
    boot: bool
    facts: Facts | None

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.start + self.size

    def to_meta(self) -> dict[str, Json]:
        """As META has it."""
        place: dict[str, Json] = {
            "number": self.number, "start": self.start, "size": self.size, "type": self.type, "name": self.name, "boot": self.boot,
        }
        if self.facts is None:
            return {**place, "extended": True}
        return {**place, **{key: value for key, value in self.facts.to_meta().items() if key not in _OF_THE_DISK}}


class DiskFacts(NamedTuple):
    """What is known of the disk: `scheme` is "MBR" or "GPT", `ident` its signature (8 digits) or GUID, sizes in bytes."""

    scheme: str
    size: int
    sector_size: int
    ident: str
    used: int
    partitions: tuple[DiskPartition, ...]
    created_ns: int = 0
    writer: str = ""
    source: str = ""
    host: str = ""
    options: str = ""

    def get(self, number: int) -> DiskPartition | None:
        """A used entry of the table, or None."""
        return next((each for each in self.partitions if each.number == number), None)

    @property
    def leaves(self) -> list[DiskPartition]:
        """The partitions that are not extended ones, by their place."""
        return sorted((each for each in self.partitions if each.facts is not None), key=lambda each: each.start)

    def regions(self) -> Iterator[tuple[int, int, DiskPartition | None]]:
        """Start, end and partition (None for an area outside of all) of every region that is not empty, in order."""
        position = 0
        for each in self.leaves:
            if each.start > position:
                yield position, each.start, None
            yield each.start, each.end, each
            position = each.end
        if position < self.size:
            yield position, self.size, None

    def to_meta(self) -> dict[str, Json]:
        """As META has it."""
        return {
            "table": self.scheme.lower(), "sector_size": self.sector_size, "ident": self.ident, "used": self.used,
            "partitions": [each.to_meta() for each in self.partitions], "created_ns": self.created_ns, "writer": self.writer,
            **{key: text for key in ("source", "host", "options") if (text := getattr(self, key))},
        }

    @classmethod
    def from_meta(cls, meta: Mapping[str, Json], size: int) -> "DiskFacts":
        """From META; every value checked, partitions must not overlap. Raises FormatError."""
        scheme, sector_size = meta_text(meta, "table").upper(), meta_number(meta, "sector_size")
        listed = meta.get("partitions")
        if scheme not in {"MBR", "GPT"} or sector_size not in {512, 4096} or not isinstance(listed, Sequence) or isinstance(listed, str):
            raise FormatError(f"archive header: a disk with table {scheme!r} and sectors of {sector_size} bytes makes no sense")
        if len(listed) > MAX_PARTITIONS:
            raise FormatError(f"archive header: {len(listed)} partitions, at most {MAX_PARTITIONS} are allowed")
        common = {key: meta[key] for key in _OF_THE_DISK if key in meta}
        partitions = tuple(_partition(each, size, common) for each in listed)
        facts = cls(
            scheme, size, sector_size, meta_text(meta, "ident"), meta_number(meta, "used"), partitions, meta_number(meta, "created_ns"),
            meta_text(meta, "writer"), meta_text(meta, "source"), meta_text(meta, "host"), meta_text(meta, "options"),
        )
        position = 0
        for each in facts.leaves:
            if each.start < position:
                raise FormatError(f"archive header: partition {each.number} overlaps the one before it")
            position = each.end
        if len({each.number for each in partitions}) != len(partitions):
            raise FormatError("archive header: two partitions have the same number")
        return facts

    def check_table(self, table: Table) -> None:
        """Raise FormatError unless the bytes of the table in the header say the same."""
        there = [(each.number, each.start, each.size, each.is_extended) for each in table.partitions]
        here = [(each.number, each.start, each.size, each.facts is None) for each in self.partitions]
        if table.scheme != self.scheme or there != here or any(each.end > self.size for each in table.partitions):
            raise FormatError("archive header: its list of partitions and the bytes of the partition table do not agree")


def boot_parts(facts: DiskFacts, data: bytes) -> dict[int, bytes]:
    """The first bytes of every partition, by number, from the section BOOT. Raises FormatError."""
    found = {}
    position = 0
    for each in facts.leaves:
        length = min(BOOT_SIZE, each.size)
        found[each.number] = data[position : position + length]
        position += length
    if position != len(data):
        raise FormatError(f"archive header: section BOOT has {len(data)} bytes, expected {position}")
    return found


def _partition(entry: Json, disk_size: int, common: Mapping[str, Json]) -> DiskPartition:
    if not isinstance(entry, Mapping):
        raise FormatError("archive header: a partition is no object")
    number, start, size = (meta_number(entry, key) for key in ("number", "start", "size"))
    if not number or not size or start + size > disk_size:
        raise FormatError(f"archive header: partition {number} lies at bytes {start} to {start + size} of a disk of {disk_size}")
    facts = None
    if entry.get("extended") is not True:
        facts = Facts.from_meta({**entry, **common}, size)
    return DiskPartition(number, start, size, meta_text(entry, "type"), meta_text(entry, "name"), entry.get("boot") is True, facts)

