"""What is different on a disk: bytes, tables, file systems and files, before and after.

Two listings of a volume are walked side by side, both in the order of their paths, so only what differs is kept in memory. A file of
which all facts are equal counts as unchanged when it lies on the same bytes of the disk and none of them differs; else its contents
are compared.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from ..base.errors import BpscriptError
from ..base.sources import Reader
from ..base.units import MIB, SECTOR
from ..blocks.device import BlockDevice, data_ranges_of
from ..blocks.overlay import OverlayDevice
from ..blocks.ranges import RangeSet
from ..blocks.tally import CoarseRanges
from ..filesystems.detect import open_volume
from ..filesystems.filesystem import Facts, FileKind, Filesystem, HasExtents, walk
from ..machine.disk import VOLUME_KINDS, Disk

_STEP = 1 * MIB


class Bytes(NamedTuple):
    """How many bytes differ, and where, in whole sectors (or `unit` bytes, when there are very many places)."""

    differing: int
    ranges: list[tuple[int, int]]
    unit: int


class FileChange(NamedTuple):
    """A file (or directory, link, device) that was created, changed or removed; sizes in bytes, None where there was or is none."""

    path: str
    change: str
    kind: FileKind
    before: int | None
    after: int | None


class Volume(NamedTuple):
    """A file system as it stands: its kind, "" when there is none, label, and serial number or UUID."""

    kind: str
    label: str
    ident: str


class PartitionChange(NamedTuple):
    """A partition of which something differs; -1 is the cache. `note` says why its files are not listed."""

    number: int
    before: Volume
    after: Volume
    formatted: bool
    differing: int
    files: list[FileChange]
    note: str


def differing_bytes(before: BlockDevice, after: BlockDevice, touched: RangeSet) -> Bytes:
    """Compare two devices of one size where the second was written to."""
    found, count = CoarseRanges(before.size), 0
    for start, end in touched:
        if start >= before.size:
            break
        for low, high in _maybe_data(before, after, start, min(end, before.size)):
            for offset in range(low, high, _STEP):
                length = min(_STEP, high - offset)
                old, new = before.read(offset, length), after.read(offset, length)
                if old != new:
                    count += _note_differences(old, new, offset, found)
    return Bytes(count, list(found.ranges), found.unit)


def _maybe_data(before: BlockDevice, after: BlockDevice, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Parts of a window where not both are known to be zeros."""
    data = RangeSet()
    for device in (before, after):
        for low, high in data_ranges_of(device, start, end - start):
            data.add(low, high)
    yield from data.within(start, end)


def _note_differences(old: bytes, new: bytes, offset: int, found: CoarseRanges) -> int:
    """Add the sectors that differ; how many bytes do."""
    mixed = (int.from_bytes(old, "little") ^ int.from_bytes(new, "little")).to_bytes(len(old), "little")
    first = -(offset % SECTOR)
    for start in range(first, len(mixed), SECTOR):
        if mixed[max(start, 0) : start + SECTOR].strip(b"\0"):
            found.add(offset + max(start, 0), min(offset + start + SECTOR, offset + len(mixed)))
    return len(mixed) - mixed.count(0)


def partition_changes(before: Disk, after: Disk, differing: Bytes) -> Iterator[PartitionChange]:
    """Every partition and the cache in which something differs, or that is new."""
    places = RangeSet()
    for start, end in differing.ranges:
        places.add(start, end)
    for entry in after.table().partitions:
        former = before.table().get(entry.number)
        same_place = former is not None and (former.start, former.size) == (entry.start, entry.size)
        inside = sum(end - start for start, end in places.within(entry.start, entry.end))
        if entry.is_extended or (same_place and not inside):
            continue
        old = _slice_of(before, entry.number) if same_place else None
        yield _changes_of(before, after, entry.number, old, _slice_of(after, entry.number), places, inside)
    area = after.cache_area()
    if area is not None:
        inside = sum(end - start for start, end in places.within(area.start, area.start + area.size))
        if inside:
            nothing = Volume("", "", "")
            yield PartitionChange(-1, nothing, nothing, formatted=False, differing=inside, files=[], note="the cache")


def _slice_of(disk: Disk, number: int) -> BlockDevice | None:
    try:
        return disk.partition(number)
    except BpscriptError:
        return None


def _changes_of(  # noqa: PLR0917 - both sides of a partition
    before: Disk, after: Disk, number: int, old: BlockDevice | None, new: BlockDevice | None, places: RangeSet, inside: int
) -> PartitionChange:
    was, is_now = _volume_of(before, old, number), _volume_of(after, new, number)
    formatted = bool(is_now.kind) and (was.kind, was.ident) != (is_now.kind, is_now.ident)
    start = after.entry(number).start
    own = RangeSet()
    for low, high in places.within(start, after.entry(number).end):
        own.add(low - start, high - start)
    note, files = "", []
    try:
        with _Opened(before, old, was) as one, _Opened(after, new, is_now) as other:
            files = list(file_changes(one.volume, other.volume, own))
    except BpscriptError as error:
        note = error.message
    if is_now.kind and is_now.kind != "SWAP" and not is_now.kind.startswith(VOLUME_KINDS) and not note:
        note = f"files on {is_now.kind} are not listed"
    return PartitionChange(number, was, is_now, formatted, inside, files, note)


def _volume_of(disk: Disk, device: BlockDevice | None, number: int) -> Volume:
    kind = (disk.kind_of(number) or "") if device is not None else ""
    if kind.startswith(VOLUME_KINDS) and device is not None:
        try:
            with closing(_open(disk, device)) as volume:
                return Volume(kind, volume.label, volume.ident)
        except BpscriptError:
            return Volume(kind, "", "")
    if kind == "SWAP" and device is not None:
        from ..filesystems.swap import SwapSpace  # noqa: PLC0415 - few disks have one

        space = SwapSpace.parse(device)
        if space is not None:
            return Volume(kind, space.label, str(space.uuid))
    return Volume(kind, "", "")


def _open(disk: Disk, device: BlockDevice) -> Filesystem:
    # On a layer of its own: a journal that wants to be replayed is, in memory.
    return open_volume(OverlayDevice(device), code_page=disk.code_page, writable=False)


class _Opened:
    """The volume on a device while it is looked at, or None."""

    def __init__(self, disk: Disk, device: BlockDevice | None, found: Volume) -> None:
        self.volume = _open(disk, device) if device is not None and found.kind.startswith(VOLUME_KINDS) else None

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *exc: object) -> None:
        if self.volume is not None:
            self.volume.close()


def file_changes(before: Filesystem | None, after: Filesystem | None, differing: RangeSet) -> Iterator[FileChange]:
    """Files that were created, changed or removed, by path; `differing` are the bytes of the partition that differ."""
    olds = walk(before) if before is not None else iter(())
    news = walk(after) if after is not None else iter(())
    placed = _both_placed(before, after)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        order = _order(old, new)
        if order < 0:
            assert old is not None
            yield FileChange(old[0], "removed", old[1].kind, old[1].size, None)
            old = next(olds, None)
        elif order > 0:
            assert new is not None
            yield FileChange(new[0], "created", new[1].kind, None, new[1].size)
            new = next(news, None)
        else:
            assert old is not None
            assert new is not None
            assert before is not None
            assert after is not None
            if _facts_differ(old[1], new[1]) or (
                new[1].kind is FileKind.FILE and new[1].size > 0 and not (placed is not None and _same_place(*placed, new[0], differing)) and not _same_contents(before, after, new[0])
            ):
                yield FileChange(new[0], "changed", new[1].kind, old[1].size, new[1].size)
            old, new = next(olds, None), next(news, None)


def _both_placed(before: object, after: object) -> tuple[HasExtents, HasExtents] | None:
    """Two volumes that can say where their files lie. Asked once: to ask a protocol takes longer than all else that is done for a file."""
    return (before, after) if isinstance(before, HasExtents) and isinstance(after, HasExtents) else None


def _order(old: tuple[str, Facts] | None, new: tuple[str, Facts] | None) -> int:
    if old is None or new is None:
        return 1 if old is None else -1
    if old[0] == new[0]:
        return 0
    return -1 if old[0].split("/") < new[0].split("/") else 1


def _facts_differ(one: Facts, other: Facts) -> bool:
    if one.kind is not other.kind or one.target != other.target:
        return True
    if one.unix is not None and other.unix is not None:
        if (one.unix.mode, one.unix.uid, one.unix.gid, one.unix.device) != (other.unix.mode, other.unix.uid, other.unix.gid, other.unix.device):
            return True
        if one.unix.xattrs != other.unix.xattrs and dict(one.unix.xattrs) != dict(other.unix.xattrs):
            return True
    if one.dos is not None and other.dos is not None and one.dos.attributes != other.dos.attributes:
        return True
    if one.kind is not FileKind.FILE:
        return False        # the time of a directory changes with what is in it, which is listed itself
    return (one.size, one.mtime_ns) != (other.size, other.mtime_ns)


def _same_place(before: HasExtents, after: HasExtents, path: str, differing: RangeSet) -> bool:
    extents = after.extents(path)
    if extents is None or any(any(differing.within(each.offset, each.offset + each.length)) for each in extents):
        return False
    return before.extents(path) == extents


def _same_contents(before: Filesystem, after: Filesystem, path: str) -> bool:
    with closing(before.open(path)) as one, closing(after.open(path)) as other:
        while True:
            left, right = _piece(one), _piece(other)
            if left != right:
                return False
            if not left:
                return True


def _piece(reader: Reader) -> bytes:
    """The next _STEP bytes, fewer only at the end."""
    data = reader.read(_STEP)
    while data and len(data) < _STEP and (more := reader.read(_STEP - len(data))):
        data += more
    return data
