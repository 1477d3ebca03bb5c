"""The master boot record and the tables nested in extended partitions (EBRs).

Bytes of a table sector. Source: IBM PC DOS 3.3 technical reference, "Fixed Disk"; EBR chains as MS-DOS FDISK writes them.

    +0    boot code (MBR), unused (EBR)
    +440  disk signature (MBR; Windows NT and later), +444 two bytes of no settled meaning
    +446  four entries of 16 bytes
    +510  55 AA

The start of an entry counts from sector 0 in the MBR. In an EBR the start of an ordinary entry counts from that EBR, the start
of an extended one from the first extended partition of the disk:

    MBR: [BIGDOS | EXT ....................................]
                   EBR: [BIGDOS | EXT ....................]
                                  EBR: [BIGDOS |          ]
"""

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from ..base.errors import StorageError
from ..blocks.device import BlockDevice
from .geometry import Geometry
from .partition import Partition
from .types import ENTRIES_PER_TABLE, EXTENDED_TYPES, MAX_TABLES

SECTOR = 512                # bytes of a table sector that matter, also on disks with larger sectors
BOOT_CODE_SIZE = 440
DISK_SIGNATURE = 440
TABLE_START = 446
SIGNATURE_START = 510
SIGNATURE = b"\x55\xaa"
ACTIVE = 0x80
GPT_MAGIC = b"EFI PART"     # UEFI 2.10, table 5.5: here, because looking for a GPT needs nothing else of it

# boot flag (0x00 or 0x80), first sector as CHS, type, last sector as CHS, first sector, number of sectors
ENTRY = Struct("<B3sB3sII")


class Entry(NamedTuple):
    """One entry as it stands in a table sector; `start` and `sector_count` are sectors."""

    flag: int
    type: int
    start: int
    sector_count: int

    @property
    def is_used(self) -> bool:
        """A type and a length: other programs leave out entries without either."""
        return self.type != 0 and self.sector_count != 0


class MbrChain(NamedTuple):
    """What an MBR and the EBRs behind it say. `table_starts[n]` (bytes) is where the table of numbers 4n+1 to 4n+4 lies."""

    partitions: tuple[Partition, ...]
    table_starts: tuple[int, ...]
    warnings: tuple[str, ...]


def has_signature(sector: bytes) -> bool:
    """True when a sector ends with 55 AA."""
    return sector[SIGNATURE_START : SIGNATURE_START + 2] == SIGNATURE


def has_gpt_magic(device: BlockDevice, offset: int) -> bool:
    """True when a GPT header may stand there."""
    return 0 <= offset <= device.size - len(GPT_MAGIC) and device.read(offset, len(GPT_MAGIC)) == GPT_MAGIC


def is_table(sector: bytes) -> bool:
    """True when a sector can be an MBR: signed, and every boot flag is 0x00 or 0x80.

    A FAT boot sector is signed too; it has code where the flags would be, and Linux tells the two apart in the same way.
    """
    return has_signature(sector) and all(entry.flag in {0, ACTIVE} for entry in parse_entries(sector))


def parse_entries(sector: bytes) -> list[Entry]:
    """The four entries of a table sector."""
    rows = (ENTRY.unpack_from(sector, TABLE_START + ENTRY.size * index) for index in range(ENTRIES_PER_TABLE))
    return [Entry(flag, kind, start, count) for flag, _, kind, _, start, count in rows]


def read_chain(device: BlockDevice, sector_size: int) -> MbrChain:
    """Read the MBR (which must be one: `is_table`) and follow its extended partitions.

    The chain ends, with a warning, where it loops, leaves the disk, cannot be read or has no signature.
    """
    partitions: list[Partition] = []
    warnings: list[str] = []
    starts = [0]
    sector = device.read(0, SECTOR)
    outermost = 0                               # where the first extended partition begins
    while True:
        here = starts[-1]
        extended: Partition | None = None
        for index, entry in enumerate(parse_entries(sector)):
            number = ENTRIES_PER_TABLE * (len(starts) - 1) + index + 1
            if not entry.is_used:
                if entry.type:
                    warnings.append(f"partition {number} has type {entry.type} but no length: taken as unused")
                continue
            is_extended = entry.type in EXTENDED_TYPES
            origin = outermost if is_extended else here
            start, size = origin + entry.start * sector_size, entry.sector_count * sector_size
            if is_extended and extended is not None:
                warnings.append(f"partition {number} is a second extended partition in one table: its table is not read")
            found = Partition(number, entry.type, start, size, boot=entry.flag & ACTIVE != 0)
            partitions.append(found)
            if is_extended and extended is None:
                extended = found
        if extended is None:
            break
        if extended.start in starts:
            partitions.remove(extended)         # an entry that leads back is none
            warnings.append(f"extended partition {extended.number} leads back to byte {extended.start}: the chain loops and ends there")
            break
        outermost = outermost or extended.start
        sector, problem = _read_next(device, extended, len(starts))
        if problem:
            warnings.append(problem)
            if extended.is_logical and extended.start + SECTOR > device.size:
                partitions.remove(extended)
            break
        starts.append(extended.start)           # at most MAX_TABLES times, so the walk ends
    return MbrChain(tuple(partitions), tuple(starts), tuple(warnings))


def _read_next(device: BlockDevice, extended: Partition, depth: int) -> tuple[bytes, str]:
    """The table sector of an extended partition, or why there is none."""
    where = f"the table of extended partition {extended.number}, at byte {extended.start},"
    if extended.start + SECTOR > device.size:
        return b"", f"{where} is outside the disk: the chain of extended partitions ends there"
    if depth >= MAX_TABLES:
        return b"", f"more than {MAX_TABLES} nested tables: the chain of extended partitions is not read further"
    try:
        sector = device.read(extended.start, SECTOR)
    except StorageError as error:
        return b"", f"{where} cannot be read ({error}): the chain of extended partitions ends there"
    if not has_signature(sector):
        return b"", f"{where} has no signature: it holds no partitions"
    return sector, ""


def build_entry(partition: Partition, origin: int, sector_size: int, geometry: Geometry) -> bytes:
    """The 16 bytes of an entry whose start counts from byte `origin`; CHS fields count from the start of the disk."""
    assert isinstance(partition.type, int)
    first, count = partition.start // sector_size, partition.size // sector_size
    return ENTRY.pack(
        ACTIVE if partition.boot else 0,
        geometry.encode(first),
        partition.type,
        geometry.encode(first + count - 1),
        (partition.start - origin) // sector_size,
        count,
    )


def build_tables(
    partitions: Mapping[int, Partition], table_starts: tuple[int, ...], sector_size: int, geometry: Geometry
) -> list[bytes]:
    """The 64 bytes of entries of every table, the MBR's first."""
    outermost = table_starts[1] if len(table_starts) > 1 else 0
    tables = []
    for index, here in enumerate(table_starts):
        rows = []
        for number in range(ENTRIES_PER_TABLE * index + 1, ENTRIES_PER_TABLE * (index + 1) + 1):
            partition = partitions.get(number)
            if partition is None:
                rows.append(bytes(ENTRY.size))
            else:
                origin = here if not partition.is_extended else outermost if index else 0
                rows.append(build_entry(partition, origin, sector_size, geometry))
        tables.append(b"".join(rows))
    return tables


def with_table(sector: bytes, table: bytes) -> bytes:
    """A sector with other entries (64 bytes), signed; everything in front of them is kept."""
    return sector[:TABLE_START] + table + SIGNATURE
