"""Looking for what is wrong with a volume (fsck), reading only.

Every chain reachable from the root is walked once; a set of clusters says who was seen. Two chains that share a cluster are
cross-linked, clusters that are used and were not seen are lost. A directory that is reached twice is not entered again, so the
walk ends whatever the volume holds.
"""

import re
from collections.abc import Iterator

from ...base.errors import FormatError
from ...blocks.device import BlockDevice
from ..filesystem import Problem
from . import layout, names
from .directory import Directory, Entry, Fields
from .geometry import Geometry
from .layout import SLOT_SIZE
from .table import FatTable

MAX_PROBLEMS = 1000     # more are not listed: the volume is beyond repair by hand
_PIECE = 1 << 16        # clusters looked at with one big integer
_ILLEGAL_IN_SHORT = re.compile(rb"[\x00-\x04\x06-\x1f\x22\x2a-\x2c\x2e\x2f\x3a-\x3f\x5b-\x5d\x7c]")


class ClusterSet:
    """A set of cluster numbers as bits; runs are added and compared as big integers."""

    def __init__(self, limit: int) -> None:
        self._bits = bytearray(limit // 8 + 1)

    def add_run(self, start: int, count: int) -> int:
        """Add clusters; how many of them were there already."""
        doubled = 0
        for first, length in _pieces(start, count):
            low, high, mask = _window(first, length)
            old = int.from_bytes(self._bits[low:high], "little")
            doubled += (old & mask).bit_count()
            self._bits[low:high] = (old | mask).to_bytes(high - low, "little")
        return doubled

    def missing(self, start: int, count: int) -> int:
        """How many clusters of a run are not in the set."""
        lost = 0
        for first, length in _pieces(start, count):
            low, high, mask = _window(first, length)
            lost += (mask & ~int.from_bytes(self._bits[low:high], "little")).bit_count()
        return lost


def check_volume(device: BlockDevice, geometry: Geometry, codec: str) -> list[Problem]:
    """Everything that is inconsistent on the device, in the order in which it was found."""
    return _Check(device, geometry, codec).run()


class _Check:
    def __init__(self, device: BlockDevice, geometry: Geometry, codec: str) -> None:
        self._device = device
        self._geometry = geometry
        self._codec = codec
        self._table = FatTable(device, geometry)
        self._seen = ClusterSet(geometry.cluster_count + 2)
        self._problems: list[Problem] = []

    def run(self) -> list[Problem]:
        self._check_boot()
        self._check_tree()
        self._check_lost()
        self._check_info()
        return self._problems[:MAX_PROBLEMS]

    def _report(self, where: str, what: str) -> None:
        self._problems.append(Problem(where, what))

    def _check_boot(self) -> None:
        geometry, device = self._geometry, self._device
        if geometry.dirty:
            self._report("boot sector", "the volume is marked as not properly unmounted")
        width = geometry.width
        flags, clean = self._table.get(1), layout.CLEAN_SHUTDOWN[width]
        if flags & clean != clean:
            self._report("FAT", "the volume is marked as not properly unmounted")
        media = self._table.get(0) & 0xFF
        if media != geometry.media:
            self._report("FAT", f"entry 0 holds media byte {media:02X}, the boot sector {geometry.media:02X}")
        if self._table.copies_differ():
            self._report("FAT", "the copies of the FAT differ")
        if geometry.backup_sector:
            backup = device.read(geometry.backup_sector * geometry.sector_size, 512)
            sector = device.read(0, 512)
            at = layout.STATE_OFFSET[width]
            if backup[:at] + backup[at + 1 :] != sector[:at] + sector[at + 1 :]:
                self._report("boot sector", f"its backup in sector {geometry.backup_sector} differs")

    def _check_tree(self) -> None:
        geometry = self._geometry
        if geometry.width == 32:
            root = self._load(geometry.root_cluster, "")
        else:
            extents = [(geometry.root_offset, geometry.root_entries * SLOT_SIZE)]
            root = Directory(self._device, extents, 0, "", self._codec, wide=False)
        waiting = [(root, 0)] if root is not None else []
        while waiting and len(self._problems) < MAX_PROBLEMS:
            directory, parent = waiting.pop()
            self._check_slots(directory, is_root=directory is root)
            if directory is not root:
                self._check_dots(directory, parent)
            own = 0 if directory is root else directory.cluster
            for entry, fields in directory.entries():
                path = f"{directory.where}/{entry.name}" if directory.where else entry.name
                below = self._check_entry(directory, entry, fields, path)
                if below is not None:
                    waiting.append((below, own))

    def _check_entry(self, directory: Directory, entry: Entry, fields: Fields, path: str) -> Directory | None:
        """Check one entry and its chain; the directory it leads to, if it is one."""
        where = f"/{path}"
        if _ILLEGAL_IN_SHORT.search(fields.short) or fields.short[:1] == b" ":
            self._report(where, f"its short name {fields.short!r} has characters that are not allowed")
        if fields.attributes & ~0x3F:
            self._report(where, f"its attributes {fields.attributes:02X} have bits that do not exist")
        first = directory.first_cluster(fields)
        if fields.is_directory:
            if fields.size:
                self._report(where, f"the directory has a size of {fields.size}; expected 0")
            return self._load(first, path)
        if first == 0:
            if fields.size:
                self._report(where, f"has {fields.size} bytes but no clusters")
            return None
        length = self._walk(first, where)
        size = self._geometry.cluster_size
        if length is not None and length != -(-fields.size // size):
            self._report(where, f"has {fields.size} bytes but a chain of {length} clusters of {size} bytes")
        return None

    def _walk(self, first: int, where: str) -> int | None:
        """Clusters of a chain; None when it is damaged."""
        length = 0
        try:
            for start, count in self._table.runs(first, "the chain"):
                doubled = self._seen.add_run(start, count)
                if doubled:
                    self._report(where, f"shares {doubled} cluster(s) from {start} on with another file or directory")
                    return None
                length += count
        except FormatError as error:
            self._report(where, error.message)
            return None
        return length

    def _load(self, cluster: int, path: str) -> Directory | None:
        """A directory; None when its chain is damaged or was seen before."""
        length = self._walk(cluster, f"/{path}")
        if length is None:
            return None
        size = self._geometry.cluster_size
        if length * size > max(layout.MAX_DIRECTORY_SLOTS * SLOT_SIZE, size):
            self._report(f"/{path}", f"the directory has {length * size} bytes, more than a FAT directory can have")
            return None
        extents = [(self._geometry.cluster_offset(start), count * size) for start, count in self._table.runs(cluster)]
        return Directory(self._device, extents, cluster, path, self._codec, wide=self._geometry.width == 32)

    def _check_dots(self, directory: Directory, parent: int) -> None:
        slots = [slot for number, slot in directory.raw() if number < 2]
        for number, (short, expected) in enumerate(((b".          ", directory.cluster), (b"..         ", parent))):
            if len(slots) <= number or slots[number][:11] != short:
                self._report(f"/{directory.where}", f'slot {number} is not "{short.decode().strip()}"')
                continue
            found = directory.first_cluster(Fields._make(layout.SHORT_SLOT.unpack(slots[number])))
            to_root = number == 1 and expected == 0 and found == self._geometry.root_cluster      # some write it so on FAT32
            if found != expected and not to_root:
                self._report(f"/{directory.where}", f'"{short.decode().strip()}" leads to cluster {found}; expected {expected}')

    def _check_slots(self, directory: Directory, *, is_root: bool) -> None:
        """Long-name slots without a file, names that exist twice, labels where they do not belong."""
        where = f"/{directory.where}"
        if directory.hidden:
            self._report(where, f"{directory.hidden} name(s) exist twice")
        orphans = labels = 0
        shorts: set[bytes] = set()
        waiting = 0             # long-name slots seen since the last short one
        total = -1
        for _, slot in directory.raw():
            attributes = slot[11]
            if slot[0] == layout.FREE_SLOT:
                orphans += waiting
                waiting = 0
            elif attributes & layout.LONG_NAME_MASK == layout.LONG_NAME:
                if slot[0] & layout.LAST_LONG_SLOT:
                    orphans += waiting
                    waiting = 0
                    total = slot[13]
                waiting += 1
            else:
                if waiting and names.checksum(slot[:11]) != total:
                    orphans += waiting
                waiting = 0
                if attributes & layout.VOLUME_LABEL:
                    labels += 1
                elif slot[:11] in shorts:
                    self._report(where, f"the short name {slot[:11]!r} exists twice")
                shorts.add(slot[:11])
        orphans += waiting
        if orphans:
            self._report(where, f"{orphans} long-name slot(s) belong to no file")
        if labels > (1 if is_root else 0):
            self._report(where, f"{labels} volume labels; expected {'at most one' if is_root else 'none outside the root'}")

    def _check_lost(self) -> None:
        lost = 0
        example = 0
        for start, count in self._table.used_runs():
            missing = self._seen.missing(start, count)
            if missing and not lost:
                example = start
            lost += missing
        if lost:
            self._report("FAT", f"{lost} cluster(s) are in use but belong to no file, the first at or after cluster {example}")

    def _check_info(self) -> None:
        geometry = self._geometry
        if not geometry.info_sector:
            return
        from ...base.records import parse_record  # noqa: PLC0415 - as below
        from . import boot_records  # noqa: PLC0415 - brings construct

        try:
            info = parse_record(boot_records.FS_INFO, self._device.read(geometry.info_sector * geometry.sector_size, 512), "FSInfo")
        except FormatError as error:
            self._report("FSInfo", error.message)
            return
        free = self._table.free_clusters
        if info.free_clusters not in {layout.UNKNOWN, free}:
            self._report("FSInfo", f"says {info.free_clusters} clusters are free; {free} are")


def _pieces(start: int, count: int) -> Iterator[tuple[int, int]]:
    while count > 0:
        step = min(count, _PIECE)
        yield start, step
        start += step
        count -= step


def _window(first: int, length: int) -> tuple[int, int, int]:
    """Bytes [low, high) that hold the bits of a run, and those bits."""
    low, high = first >> 3, (first + length + 7) >> 3
    return low, high, ((1 << length) - 1) << (first & 7)
