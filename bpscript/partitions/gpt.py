"""GUID partition tables. Source: UEFI specification 2.10, chapter 5 ("GUID Partition Table Disk Layout").

    LBA 0      protective MBR: one entry of type 0xEE over the whole disk
    LBA 1      primary header
    LBA 2...   primary entry array (128 entries of 128 bytes)
    ...        partitions
               backup entry array
    last LBA   backup header

Each header carries a CRC-32 of itself and one of its array, so a damaged copy is known as such and the other one is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from uuid import UUID
from zlib import crc32

from construct import Bytes, Const, Int32ul, Int64ul, Padding
from construct import Struct as Record

from ..base.errors import FormatError, StorageError
from ..base.records import build_record, parse_record
from ..base.units import MIB, round_up
from ..blocks.device import BlockDevice
from .mbr import ENTRY as MBR_ENTRY
from .mbr import GPT_MAGIC, has_gpt_magic
from .partition import Partition
from .spec import MAX_GPT_ENTRIES
from .types import NO_GUID, PROTECTIVE

REVISION = 0x0001_0000
HEADER_SIZE = 92
LEGACY_BOOT = 1 << 2        # attribute bit 2, "Legacy BIOS Bootable" (UEFI 2.10, table 5.8)
MAX_ARRAY = 4 * MIB         # bytes; larger arrays are damage: programs make 16 KiB, the largest known is 256 KiB
BACKUP_ROOM = 1 * MIB       # what a `*` size leaves at the end of a GPT disk (language.md 9.4)

# UEFI 2.10, table 5.5
HEADER = Record(
    "magic" / Const(GPT_MAGIC),         # +0
    "revision" / Int32ul,               # +8   00 00 01 00
    "header_size" / Int32ul,            # +12  92 up to the sector size
    "header_crc" / Int32ul,             # +16  of `header_size` bytes, this field as zero
    Padding(4),                         # +20  reserved
    "own_lba" / Int64ul,                # +24
    "other_lba" / Int64ul,              # +32  of the other copy
    "first_usable_lba" / Int64ul,       # +40
    "last_usable_lba" / Int64ul,        # +48  inclusive
    "disk_guid" / Bytes(16),            # +56  first three fields little-endian
    "array_lba" / Int64ul,              # +72
    "entry_count" / Int32ul,            # +80
    "entry_size" / Int32ul,             # +84  128 * 2^n
    "array_crc" / Int32ul,              # +88  of entry_count * entry_size bytes
)
# UEFI 2.10, table 5.6: type GUID, own GUID, first LBA, last LBA (inclusive), attributes, name (36 UTF-16LE units)
ENTRY = Struct("<16s16sQQQ72s")
_ATTRIBUTES = Struct("<Q")
_ATTRIBUTES_AT = 48


@dataclass(frozen=True, slots=True)
class Header:
    """One copy of the header. `array` is its entry array, checked."""

    own_lba: int
    other_lba: int
    first_usable_lba: int
    end_usable_lba: int
    disk_guid: UUID
    array_lba: int
    entry_count: int
    entry_size: int
    array: bytes

    def build(self, sector_size: int) -> bytes:
        """The header sector."""
        fields: dict[str, object] = {
            "revision": REVISION,
            "header_size": HEADER_SIZE,
            "header_crc": 0,
            "own_lba": self.own_lba,
            "other_lba": self.other_lba,
            "first_usable_lba": self.first_usable_lba,
            "last_usable_lba": self.end_usable_lba - 1,     # GPT stores the last sector, we keep the end
            "disk_guid": self.disk_guid.bytes_le,
            "array_lba": self.array_lba,
            "entry_count": self.entry_count,
            "entry_size": self.entry_size,
            "array_crc": crc32(self.array),
        }
        fields["header_crc"] = crc32(build_record(HEADER, fields))
        return build_record(HEADER, fields).ljust(sector_size, b"\0")


@dataclass(frozen=True, slots=True)
class Gpt:
    """A table as found: the copies that are whole, and what the better of them says."""

    primary: Header | None
    backup: Header | None
    partitions: tuple[Partition, ...]
    warnings: tuple[str, ...]

    @property
    def header(self) -> Header:
        """The copy that counts."""
        found = self.primary or self.backup
        assert found is not None        # `read_gpt` gives no Gpt without one
        return found


def header_places(disk_size: int, sector_size: int) -> tuple[int, int]:
    """Offsets of the primary header and of the backup header at the end of the disk."""
    return sector_size, disk_size // sector_size * sector_size - sector_size


def read_gpt(device: BlockDevice, sector_size: int) -> Gpt | None:
    """The table; None when there is no trace of one. Raises FormatError when both copies are damaged."""
    primary_place, backup_place = header_places(device.size, sector_size)
    primary, reason = _read_copy(device, sector_size, primary_place)
    warnings: list[str] = []
    if primary is not None:
        backup, problem = _read_copy(device, sector_size, primary.other_lba * sector_size)
        if backup is not None and backup.own_lba == primary.own_lba:
            backup, problem = None, "the primary names itself as its backup"
        if backup is None:
            warnings.append(f"the backup GPT is damaged ({problem}); SetPartitions repairs it")
        elif primary.other_lba * sector_size != backup_place:
            warnings.append("the backup GPT is not at the end of the disk; SetPartitions moves it there")
    else:
        backup, problem = _read_copy(device, sector_size, backup_place)
        if backup is None and not has_gpt_magic(device, primary_place) and not has_gpt_magic(device, backup_place):
            return None
        if backup is None:
            raise FormatError(f"both copies of the GPT are damaged: primary: {reason}; backup: {problem}")
        warnings.append(f"the primary GPT is damaged ({reason}), so its backup is used; SetPartitions repairs it")
    found = Gpt(primary, backup, (), ())
    partitions, doubts = _read_entries(found.header, sector_size)
    return replace(found, partitions=tuple(partitions), warnings=(*warnings, *doubts))


def _read_copy(device: BlockDevice, sector_size: int, place: int) -> tuple[Header | None, str]:
    """One copy, header and array checked, or what is wrong with it."""
    if not 0 < place <= device.size - sector_size:
        return None, f"its header would be at byte {place} of a disk of {device.size}"
    try:
        sector = device.read(place, sector_size)
        if not sector.startswith(GPT_MAGIC):
            return None, "no signature"
        fields = parse_record(HEADER, sector[:HEADER_SIZE], "GPT header")
        size = fields.header_size
        if not HEADER_SIZE <= size <= sector_size:
            return None, f"header size {size}, expected {HEADER_SIZE} to {sector_size}"
        if crc32(sector[:16] + bytes(4) + sector[20:size]) != fields.header_crc:
            return None, "wrong checksum of the header"
        if fields.own_lba * sector_size != place:
            return None, f"the header says it is at sector {fields.own_lba}, found at {place // sector_size}"
        count, entry_size = fields.entry_count, fields.entry_size
        if entry_size < ENTRY.size or entry_size & (entry_size - 1) or count * entry_size > MAX_ARRAY:
            return None, f"{count} entries of {entry_size} bytes"
        start = fields.array_lba * sector_size
        if start + count * entry_size > device.size:
            return None, f"the entries would be at byte {start}, outside the disk"
        array = device.read(start, count * entry_size)
        if crc32(array) != fields.array_crc:
            return None, "wrong checksum of the entries"
    except StorageError as error:
        return None, str(error)
    return Header(
        own_lba=fields.own_lba,
        other_lba=fields.other_lba,
        first_usable_lba=fields.first_usable_lba,
        end_usable_lba=fields.last_usable_lba + 1,
        disk_guid=UUID(bytes_le=fields.disk_guid),
        array_lba=fields.array_lba,
        entry_count=count,
        entry_size=entry_size,
        array=array,
    ), ""


def _read_entries(header: Header, sector_size: int) -> tuple[list[Partition], list[str]]:
    """The used entries; impossible ones are left out, with a warning."""
    partitions, warnings = [], []
    for index in range(header.entry_count):
        kind, own, first, last, attributes, name = ENTRY.unpack_from(header.array, index * header.entry_size)
        if kind == NO_GUID.bytes:
            continue
        if last < first:
            warnings.append(f"partition {index + 1} ends at sector {last}, before its start {first}: taken as unused")
            continue
        partitions.append(
            Partition(
                index + 1,
                UUID(bytes_le=kind),
                first * sector_size,
                (last + 1 - first) * sector_size,
                boot=bool(attributes & LEGACY_BOOT),
                guid=UUID(bytes_le=own),
                attributes=attributes,
                name=name.decode("utf-16-le", "replace").partition("\0")[0],
            )
        )
    return partitions, warnings


def array_size(entry_count: int, sector_size: int) -> int:
    """Bytes that an array of standard entries takes on the disk, in whole sectors."""
    return round_up(entry_count * ENTRY.size, sector_size)


def usable_range(disk_size: int, sector_size: int, entry_count: int = MAX_GPT_ENTRIES) -> tuple[int, int]:
    """Half-open byte range between the two tables; it is empty on a disk too small for them."""
    taken = array_size(entry_count, sector_size) + sector_size
    return sector_size + taken, disk_size // sector_size * sector_size - taken


def build_array(partitions: Sequence[Partition], entry_count: int, sector_size: int) -> bytes:
    """The entry array; names that are too long for their field are cut."""
    array = bytearray(entry_count * ENTRY.size)
    for partition in partitions:
        assert isinstance(partition.type, UUID)
        assert partition.guid is not None
        ENTRY.pack_into(
            array,
            (partition.number - 1) * ENTRY.size,
            partition.type.bytes_le,
            partition.guid.bytes_le,
            partition.start // sector_size,
            partition.end // sector_size - 1,       # GPT stores the last sector, we keep the end
            partition.attributes,
            partition.name.encode("utf-16-le", "replace")[:72],
        )
    return bytes(array)


def new_headers(
    partitions: Sequence[Partition], disk_guid: UUID, disk_size: int, sector_size: int, entry_count: int
) -> tuple[Header, Header]:
    """Primary and backup of a table in its regular place."""
    first, end = usable_range(disk_size, sector_size, entry_count)
    _, backup_place = header_places(disk_size, sector_size)
    primary = Header(
        own_lba=1,
        other_lba=backup_place // sector_size,
        first_usable_lba=first // sector_size,
        end_usable_lba=end // sector_size,
        disk_guid=disk_guid,
        array_lba=2,
        entry_count=entry_count,
        entry_size=ENTRY.size,
        array=build_array(partitions, entry_count, sector_size),
    )
    backup = replace(primary, own_lba=primary.other_lba, other_lba=1, array_lba=primary.end_usable_lba)
    return primary, backup


def copy_writes(header: Header, sector_size: int) -> list[tuple[int, bytes]]:
    """The writes of one copy (offset, bytes), the header last: until then its checksum refuses the new array."""
    return [(header.array_lba * sector_size, header.array), (header.own_lba * sector_size, header.build(sector_size))]


def with_attributes(header: Header, change: Callable[[int, int], int]) -> Header:
    """A copy with other attributes: `change(number, attributes)` gives the new ones of each used entry."""
    array = bytearray(header.array)
    for index in range(header.entry_count):
        place = index * header.entry_size
        if array[place : place + 16] != NO_GUID.bytes:
            (attributes,) = _ATTRIBUTES.unpack_from(array, place + _ATTRIBUTES_AT)
            _ATTRIBUTES.pack_into(array, place + _ATTRIBUTES_AT, change(index + 1, attributes))
    return replace(header, array=bytes(array))


def protective_table(disk_size: int, sector_size: int) -> bytes:
    """The 64 bytes of entries of a protective MBR (UEFI 2.10, table 5.4)."""
    sectors = disk_size // sector_size - 1
    entry = MBR_ENTRY.pack(0, b"\x00\x02\x00", PROTECTIVE, b"\xff\xff\xff", 1, min(sectors, 0xFFFF_FFFF))
    return entry.ljust(64, b"\0")

