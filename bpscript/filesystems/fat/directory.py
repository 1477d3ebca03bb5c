"""One directory: its slots as one buffer, and an index of names.

    slots   |LFN 2|LFN 1|SHORT|SHORT| free |LFN 1|SHORT|  0 ...     32 bytes each
    marks      42    01    52    41    E5     41    46    0         first byte of each: free slots are found with `find`

Every name is in `_index` under its folded form, every short name in `_short` as its 11 bytes; both lead to the same entry.
Changed sectors are written by `write`. The buffer may be larger than what is in use: slots behind the first END_SLOT are zero.

Own code and not pyfatfs's `FATDirectoryEntry`: making one costs some 20 microseconds, adding one rewrites the directory.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ...base.errors import NoSpaceError
from ...blocks.device import BlockDevice
from . import layout, names
from .layout import (
    DIRECTORY,
    END_SLOT,
    FREE_SLOT,
    LONG_NAME,
    LONG_NAME_MASK,
    SHORT_SLOT,
    SLOT_SIZE,
    VOLUME_LABEL,
    Cluster,
)

_SECTOR = 512                   # bytes; the unit in which changes are remembered
_PER_SECTOR = _SECTOR // SLOT_SIZE
_MAX_SLOTS_PER_NAME = 21        # 20 long-name slots hold 260 units, and the short one
_FREE_MARKS = bytes([FREE_SLOT]) * _MAX_SLOTS_PER_NAME
_DOT_NAMES = {b".          ", b"..         "}


class Entry(NamedTuple):
    """Where a file's slots are: numbers of the first long-name slot and of the short one (equal without a long name)."""

    name: str
    first: int
    slot: int


class Fields(NamedTuple):
    """A short slot, field by field: the order and the units of the disk."""

    short: bytes
    attributes: int
    case_flags: int = 0
    created_hundredths: int = 0
    created_time: int = 0
    created_date: int = 0
    accessed_date: int = 0
    cluster_high: int = 0
    time: int = 0
    date: int = 0
    cluster_low: int = 0
    size: int = 0

    @property
    def is_directory(self) -> bool:
        """True for a subdirectory."""
        return bool(self.attributes & DIRECTORY)


class Directory:
    """The entries of one directory. `where` names it in messages; `cluster` is 0 for a fixed root."""

    def __init__(self, device: BlockDevice, extents: list[tuple[int, int]], cluster: int, where: str, codec: str, *, wide: bool) -> None:
        """`extents` are byte offsets and lengths on the device; `wide` when cluster numbers have 32 bits (FAT32)."""
        self.cluster = cluster
        self.where = where
        self.extents = extents
        self._device = device
        self._codec = codec
        self._wide = wide
        self._slots = bytearray().join(device.read(offset, length) for offset, length in extents)
        self._marks = self._slots[::SLOT_SIZE]
        end = self._marks.find(END_SLOT)
        self._end = end if end >= 0 else len(self._marks)       # number of slots in use, deleted ones among them
        self._index: dict[str, Entry] = {}
        self._short: dict[bytes, str] = {}                      # 11 bytes → folded name, "" for a hidden entry
        self._short_names = names.ShortNames(codec)
        self._changed: set[int] = set()                         # numbers of sectors
        self._reaching: list[range] = []                        # slots in its last sector of a new entry that lies in several
        self._late: set[int] = set()                            # sectors that `finish` writes
        self._no_gap = _MAX_SLOTS_PER_NAME + 1 if FREE_SLOT in self._marks[: self._end] else 1     # no run of so many free slots
        self.hidden = 0             # entries that cannot be reached because another one has their name
        self.label_slot: int | None = None
        self._parse()
        tail = memoryview(self._slots)[self._end * SLOT_SIZE :]
        self._has_rubbish = any(self._marks[self._end :]) or bytes(tail).count(0) != len(tail)

    @property
    def count(self) -> int:
        """Files and directories in it, without `.` and `..`."""
        return len(self._index) + self.hidden

    @property
    def has_gaps(self) -> bool:
        """Whether entries were removed that new ones may take the place of."""
        return self._no_gap > 1

    @property
    def size(self) -> int:
        """Bytes its slots take on the volume."""
        return len(self._slots)

    def find(self, name: str) -> Entry | None:
        """The entry of a name in any case, or of a short name."""
        entry = self._index.get(names.fold(name))
        if entry is None and len(name) <= 12:
            short = names.encode_short(name, self._codec)
            key = self._short.get(short) if short is not None else None
            entry = self._index.get(key) if key is not None else None
        return entry

    def entries(self) -> Iterator[tuple[Entry, Fields]]:
        """All files and directories, in the order of the index."""
        for entry in list(self._index.values()):
            yield entry, self.fields(entry.slot)

    def fields(self, slot: int) -> Fields:
        """The fields of a short slot."""
        return Fields._make(SHORT_SLOT.unpack_from(self._slots, slot * SLOT_SIZE))

    def first_cluster(self, fields: Fields) -> int:
        """First cluster of a file's chain; 0 for an empty file. The high half has a meaning on FAT32 only."""
        return fields.cluster_low | (fields.cluster_high << 16 if self._wide else 0)

    def slots_for(self, name: str) -> int:
        """Slots a new entry of this name takes. Raises StorageError when FAT cannot hold the name."""
        names.check_name(name)
        plain = names.plain_short(name)
        if plain is not None and plain[0] not in self._short:
            return 1
        return 1 - (-len(name.encode("utf-16-le")) // (2 * layout.UNITS_PER_SLOT))

    def missing_slots(self, count: int) -> int:
        """How many slots the directory has to grow by before an entry of `count` slots fits. Raises NoSpaceError at 65,536."""
        if self._end + count <= len(self._marks) or self._gap(count) is not None:
            return 0
        if self._end + count > layout.MAX_DIRECTORY_SLOTS:
            raise NoSpaceError(f'directory "/{self.where}" is full: {layout.MAX_DIRECTORY_SLOTS} slots is the most a FAT directory can have')
        return self._end + count - len(self._marks)

    def grow(self, extents: list[tuple[int, int]]) -> None:
        """Add room: byte offsets and lengths on the device, which will be written as zeros."""
        for offset, length in extents:
            first = len(self._slots)
            if self.extents and sum(self.extents[-1]) == offset:
                self.extents[-1] = (self.extents[-1][0], self.extents[-1][1] + length)
            else:
                self.extents.append((offset, length))
            self._slots += bytes(length)
            self._changed.update(range(first // _SECTOR, -(-len(self._slots) // _SECTOR)))
        self._marks += bytes(len(self._slots) // SLOT_SIZE - len(self._marks))

    def add(self, name: str, fields: Fields, wanted_short: str = "") -> Entry:
        """Add an entry; the room must be there (`missing_slots`, `grow`). `fields.short` and the case flags are filled in.

        `wanted_short` is taken as the short name if the name needs one beside it and it is free.
        """
        plain = names.plain_short(name)
        if plain is not None and plain[0] not in self._short:
            short, flags = plain
            data = SHORT_SLOT.pack(short, fields.attributes, flags, *fields[3:])
        else:
            wanted = names.encode_short(wanted_short, self._codec) if wanted_short else None
            short = wanted if wanted is not None and wanted not in self._short else self._short_names.make(name, self._short)
            data = names.long_slots(name, short) + SHORT_SLOT.pack(short, fields.attributes, 0, *fields[3:])
        count = len(data) // SLOT_SIZE
        first = self._gap(count)
        if first is None:
            first = self._end
            self._end += count
            self._clear_rubbish()
        self._put(first, data)
        last = (first + count - 1) // _PER_SECTOR * _PER_SECTOR
        if first < last:
            self._reaching.append(range(last, first + count))
        entry = Entry(name, first, first + count - 1)
        key = names.fold(name)
        self._index[key] = entry
        self._short[short] = key
        return entry

    def update(self, slot: int, fields: Fields) -> None:
        """Change a short slot in its place."""
        self._put(slot, SHORT_SLOT.pack(*fields))

    def remove(self, entry: Entry) -> None:
        """Mark the slots of an entry as free."""
        key = names.fold(entry.name)
        if self._index.get(key) == entry:
            del self._index[key]
        self._short.pop(bytes(self._slots[entry.slot * SLOT_SIZE : entry.slot * SLOT_SIZE + 11]), None)
        for slot in range(entry.first, entry.slot + 1):
            self._slots[slot * SLOT_SIZE] = FREE_SLOT
            self._changed.add(slot * SLOT_SIZE // _SECTOR)
        count = entry.slot + 1 - entry.first
        self._marks[entry.first : entry.slot + 1] = _FREE_MARKS[:count]
        self._no_gap = _MAX_SLOTS_PER_NAME + 1

    def label(self) -> str | None:
        """The volume label, when this is the root and there is one."""
        if self.label_slot is None:
            return None
        raw = self.fields(self.label_slot).short
        return (b"\xe5" + raw[1:] if raw[0] == 5 else raw).decode(self._codec, "replace").rstrip(" ")

    def parent_cluster(self) -> int | None:
        """What `..` points to (0 for the root); None when this directory has no `..`."""
        if len(self._marks) > 1 and self._slots[SLOT_SIZE : SLOT_SIZE + 11] == b"..         ":
            return self.first_cluster(self.fields(1))
        return None

    def set_parent_cluster(self, cluster: int) -> None:
        """Point `..` elsewhere: the directory was moved."""
        if self.parent_cluster() is not None:
            self.update(1, self.fields(1)._replace(cluster_high=cluster >> 16, cluster_low=cluster & 0xFFFF))

    def write(self) -> bool:
        """Write the changed sectors, neighbours in one piece.

        A new entry that lies in several sectors looks deleted in the last of them until `finish`: a disk writes sectors in any
        order, and without its first part an entry would be a file with its short name only. True when there is such an entry.
        """
        slots = [slot * SLOT_SIZE for reaching in self._reaching for slot in reaching]
        kept = bytes(self._slots[at] for at in slots)
        for at in slots:
            self._slots[at] = FREE_SLOT
        try:
            self._write_sectors(self._changed)
        finally:
            for at, mark in zip(slots, kept, strict=True):
                self._slots[at] = mark
        self._changed.clear()
        self._late |= {reaching.start // _PER_SECTOR for reaching in self._reaching}
        self._reaching.clear()
        return bool(self._late)

    def finish(self) -> None:
        """Write the last sectors of entries that lie in several; the others are on the disk."""
        self._write_sectors(self._late)
        self._late.clear()

    def _write_sectors(self, sectors: set[int]) -> None:
        start = end = -1
        for sector in sorted(sectors):
            if sector != end:
                self._write_range(start, end)
                start = sector
            end = sector + 1
        self._write_range(start, end)

    def raw(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of every slot in use: for checks."""
        for slot in range(self._end):
            yield slot, bytes(self._slots[slot * SLOT_SIZE : (slot + 1) * SLOT_SIZE])

    def _write_range(self, start: int, end: int) -> None:
        position, stop = start * _SECTOR, min(end * _SECTOR, len(self._slots))
        if start < 0:
            return
        view = memoryview(self._slots)
        base = 0
        for offset, length in self.extents:
            low, high = max(position, base), min(stop, base + length)
            if low < high:
                self._device.write(offset + low - base, view[low:high])
            base += length

    def _put(self, first: int, data: bytes) -> None:
        start = first * SLOT_SIZE
        self._slots[start : start + len(data)] = data
        self._marks[first : first + len(data) // SLOT_SIZE] = data[::SLOT_SIZE]
        low, high = start // _SECTOR, (start + len(data) - 1) // _SECTOR
        self._changed.add(low)
        if high > low:
            self._changed.update(range(low + 1, high + 1))

    def _gap(self, count: int) -> int | None:
        """A run of deleted slots that is long enough."""
        if count >= self._no_gap:
            return None
        found = self._marks.find(_FREE_MARKS[:count], 0, self._end)
        if found < 0:
            self._no_gap = count        # stays true until something is removed
            return None
        return found

    def _clear_rubbish(self) -> None:
        """The specification lets anything stand behind the end mark; that mark is about to be overwritten."""
        if self._has_rubbish:
            start = self._end * SLOT_SIZE
            self._slots[start:] = bytes(len(self._slots) - start)
            self._marks[self._end :] = bytes(len(self._marks) - self._end)
            self._changed.update(range(start // _SECTOR, -(-len(self._slots) // _SECTOR)))
            self._has_rubbish = False

    def _parse(self) -> None:
        """Fill the indices from the slots."""
        slots, marks = self._slots, self._marks
        kinds, sums = slots[11::SLOT_SIZE], slots[13::SLOT_SIZE]
        for slot in range(self._end):
            kind = kinds[slot]
            if marks[slot] == FREE_SLOT or kind & LONG_NAME_MASK == LONG_NAME:
                continue
            at = slot * SLOT_SIZE
            short = bytes(slots[at : at + 11])
            if kind & VOLUME_LABEL:
                if self.label_slot is None and not kind & DIRECTORY:
                    self.label_slot = slot
                continue
            if short in _DOT_NAMES:
                continue
            # Long-name slots stand directly before: ordinals 1, 2, ... going back, the last one marked, all with our checksum.
            long_name, first = None, slot
            if slot and kinds[slot - 1] & LONG_NAME_MASK == LONG_NAME:
                total = names.checksum(short)
                units = b""
                for ordinal in range(1, _MAX_SLOTS_PER_NAME):
                    number = slot - ordinal
                    if number < 0 or marks[number] & 0x3F != ordinal or sums[number] != total or kinds[number] & LONG_NAME_MASK != LONG_NAME:
                        break
                    at = number * SLOT_SIZE
                    units += slots[at + 1 : at + 11] + slots[at + 14 : at + 26] + slots[at + 28 : at + 32]
                    if marks[number] & layout.LAST_LONG_SLOT:
                        long_name, first = names.decode_long(units), number
                        break
            self._enter(long_name, short, slots[slot * SLOT_SIZE + 12] if first == slot else 0, first, slot)

    def _enter(self, long_name: str | None, short: bytes, case_flags: int, first: int, slot: int) -> None:
        """Index an entry; one whose long name is taken already goes by its short name, and is hidden if that is taken too."""
        name = names.decode_short(short, case_flags, self._codec) if long_name is None else long_name
        key = names.fold(name)
        if key in self._index:
            name = names.decode_short(short, 0, self._codec)
            key = names.fold(name)
        if key in self._index:
            self._short.setdefault(short, "")
            self.hidden += 1
        else:
            self._index[key] = Entry(name, first, slot)
            self._short.setdefault(short, key)


def dot_entries(own: Cluster, parent: int, fields: Fields) -> bytes:
    """The first two slots of a new directory; `fields` gives its times."""
    slots = b""
    for short, cluster in ((b".          ", own), (b"..         ", parent)):
        entry = fields._replace(short=short, attributes=DIRECTORY, case_flags=0, cluster_high=cluster >> 16, cluster_low=cluster & 0xFFFF, size=0)
        slots += SHORT_SLOT.pack(*entry)
    return slots
