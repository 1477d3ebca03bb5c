"""From a disk archive to a disk of the same or another size.

    check      table, sizes, what must be copied file by file: nothing was written if this fails
    mark       the beginning of the disk is zero, and no backup GPT is left: the disk has no table (`marking.py`)
    regions    in disk order: areas by their used bytes, partitions as `restore` does it, each with its own size and place
    table      tables inside extended partitions and the backup GPT, where they belong on this disk
    verify     on request: every region was compared after it was written; now the areas and the table
    release    the first sectors, sector 0 in the last write

A disk where the work was cut off has no partition table; running it again passes over what is there already.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..base.events import Event, Kind, Sink, ignore
from ..blocks.device import BlockDevice
from ..blocks.slice import SliceDevice
from ..partitions.geometry import Geometry
from ..partitions.moving import MovedTable, move_table
from ..partitions.table import SECTOR_SIZES
from .compare import compare
from .container import ChunkKind
from .disk_facts import DiskPartition
from .disk_image import DiskImage, RegionChunks, check_regions
from .full import AnyChunk, PartitionImage
from .marking import HeldDevice
from .placement import Place, blocks_fit
from .ranges import Ranges, merge
from .records import blake3_of
from .report import Restored
from .restore import MODES, restore

_GPT_MAGIC = b"EFI PART"
_OTHER_LBA_AT = 32              # offset of the backup's place in a GPT header (UEFI 2.10, table 5.5)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a partition goes: bytes on the target, and what its boot sector must say (None: what it says already)."""

    partition: DiskPartition
    start: int
    size: int
    place: Place | None


def restore_disk(
    image: DiskImage, device: BlockDevice, *, resize_last: bool = False, rewrite: str = "AUTO", verify: bool = False,
    clock: Clock | None = None, code_page: str = "cp850", threads: int | None = None, sector_size: int | None = None,
    geometry: Geometry | None = None, events: Sink = ignore,
) -> Restored:
    """Make a disk hold what the archive holds.

    Args:
        image: the archive
        device: the disk; everything on it goes
        resize_last: the last partition grows or shrinks to the end of the disk, with the extended partition it lies in
        rewrite: AUTO, ALL or DIFF, as for `restore`
        verify: read everything back and compare
        clock: for file systems that are resized or made anew
        code_page: of FAT's short names, where files are copied one by one
        threads: that decode and write; None for all there are
        sector_size: bytes of the target's sectors; those of the archive's disk when None
        geometry: for CHS fields and boot sectors, when it is not the firmware's for a disk of that size
        events: gets `restore` (and `verify`) progress over the whole disk

    Raises FormatError for a damaged archive, StorageError when something does not fit; whether the disk was touched can be seen on it:
    it has no partition table from the first write to the end.
    """
    if rewrite not in MODES:
        raise StorageError(f'Rewrite is "{rewrite}"; expected AUTO, ALL or DIFF')
    check_regions(image)
    moved = move_table(
        image.table(), image.table_bytes, device.size, sector_size=sector_size, resize_last=resize_last, geometry=geometry
    )
    targets = {each.number: _target(image, moved, each, sector_size) for each in image.facts.leaves}
    _check(image, moved, device.size, targets, clock or Clock(), code_page)

    held = HeldDevice(device)
    _wipe_backups(device, held)
    whole = _WholeProgress(events, image.used.total)
    used = written = equal = 0
    areas: list[_Area] = []
    for start, end, partition in image.facts.regions():
        if partition is None:
            area = _Area(image, held, (start, end), moved, always=rewrite == "ALL")
            area.restore(threads)
            areas.append(area)
            whole.next(area.used)
            done = Restored(area.used, area.written, area.equal, "area")
        else:
            target = targets[partition.number]
            part = image.partition(partition.number)
            done = restore(
                part, SliceDevice(held, target.start, target.size, f"partition {partition.number}"), rewrite=rewrite, verify=verify,
                place=target.place, clock=clock, code_page=code_page, threads=threads, events=whole.part(part.used.total),
            )
            whole.next(part.used.total)
        used, written, equal = used + done.used, written + done.written, equal + done.equal
    for offset, data in moved.writes:
        held.write(offset, data)
    held.flush()
    if verify:
        for area in areas:
            area.verify()
        for offset, data in moved.writes:
            if held.read(offset, len(data)) != data:
                raise StorageError(f"verify: the partition table read back at byte {offset} differs from what was written")
    held.release()
    if verify:
        held.check_released()
    whole.end()
    how = "same size" if device.size == image.size else "larger" if device.size > image.size else "smaller"
    return Restored(used, written, equal, how)


def compare_disk(
    image: DiskImage, device: BlockDevice, *, threads: int | None = None, events: Sink = ignore
) -> list[tuple[int, int]]:
    """Offset and length of every chunk of the archive that is not on the disk as it is in the archive; in order.

    For a disk of the same size. Raises FormatError when the archive cannot be read from anywhere or the sizes differ.
    """
    if image.chunks.is_stream:
        raise FormatError("this archive can be read in order only; comparing needs one in a file")
    if device.size != image.size:
        raise FormatError(f"the archive is of a disk of {image.size} bytes, this one has {device.size}")
    check_regions(image)
    whole = _WholeProgress(events, image.used.total)
    found: list[tuple[int, int]] = []
    for start, end, partition in image.facts.regions():
        if partition is None:
            area = _Area(image, device, (start, end), None, always=False)
            found += [(start + offset, length) for offset, length in area.differences(threads)]
            whole.next(area.used)
        else:
            part = image.partition(partition.number)
            there = SliceDevice(device, start, end - start, f"partition {partition.number}")
            found += [(start + at, length) for at, length in compare(part, there, threads=threads, events=whole.part(part.used.total))]
            whole.next(part.used.total)
    whole.end()
    return found


def _target(image: DiskImage, moved: MovedTable, partition: DiskPartition, sector_size: int | None) -> _Target:
    there = moved.get(partition.number)
    place = None
    if moved.geometry is not None:
        sectors = sector_size or image.facts.sector_size
        place = Place(there.start // sectors, moved.geometry.heads, moved.geometry.sectors, sectors)
    return _Target(partition, there.start, there.size, place)


def _check(  # noqa: PLR0917 - what can be wrong
    image: DiskImage, moved: MovedTable, size: int, targets: dict[int, _Target], clock: Clock, code_page: str
) -> None:
    """Raise what would be raised later, before anything is written."""
    for start, end, partition in image.facts.regions():
        if partition is None:
            own = _without(image.used.part(start, end), moved.replaced, start)
            if len(own) and start + own.ends[-1] > size:
                raise StorageError(
                    f"the archive's disk holds data outside of partitions up to byte {start + own.ends[-1]}, this one has {size} bytes"
                )
            continue
        target = targets[partition.number]
        part = image.partition(partition.number)
        try:
            _check_sectors(part, target.place)
            if not blocks_fit(part, target.size, target.place) and part.facts.filesystem != "SWAP":
                from .reformat import check_files  # noqa: PLC0415 - few restores need a formatter

                check_files(part, target.size, place=target.place, clock=clock, code_page=code_page)
        except StorageError as error:
            raise type(error)(f"partition {partition.number}: {error.message}", hint=error.hint) from error


def _check_sectors(image: PartitionImage, place: Place | None) -> None:
    """Refuse a file system that cannot be used on the target's larger sectors."""
    kind, boot = image.facts.filesystem, image.boot
    if place is None or len(boot) < 512:
        return
    smallest = 0
    if kind == "NTFS":
        smallest = int.from_bytes(boot[11:13], "little")
    elif kind == "EXFAT":
        smallest = 1 << boot[108]
    elif kind == "XFS":
        smallest = int.from_bytes(boot[102:104], "big")      # sb_sectsize
    elif kind in {"EXT2", "EXT3", "EXT4"}:
        smallest = image.facts.block_size
    if 0 < smallest < place.sector_size:
        raise StorageError(f"its {kind} is made of blocks of {smallest} bytes, which a disk with sectors of {place.sector_size} cannot hold")


def _wipe_backups(device: BlockDevice, held: HeldDevice) -> None:
    """Zeros over the backup GPT of the former table, wherever it is. The primary went with the mark."""
    size = device.size
    places = set()
    for unit in SECTOR_SIZES:
        places.add(size // unit * unit - unit)
        header = held.former[unit : unit + 512]
        if header.startswith(_GPT_MAGIC):
            places.add(int.from_bytes(header[_OTHER_LBA_AT : _OTHER_LBA_AT + 8], "little") * unit)
    for place in sorted(places):
        if 0 < place <= size - 512 and device.read(place, 8) == _GPT_MAGIC:
            device.zero(place, 512)
    device.flush()


def _without(ranges: Ranges, removed: tuple[tuple[int, int], ...], start: int) -> Ranges:
    """Ranges of an area that begins at byte `start` of the disk, without those bytes of the disk."""
    found = Ranges()
    cuts = merge((low - start, high - start) for low, high in removed if high > start)
    for low, high in ranges:
        position = low
        for first, last in cuts:
            if last <= position or first >= high:
                continue
            found.append(position, max(position, first))
            position = last
        found.append(position, high)
    return found


class _Area:
    """What lies outside of partitions. Its bytes are few: they are compared by reading, and written only where they differ."""

    def __init__(self, image: DiskImage, device: BlockDevice, region: tuple[int, int], moved: MovedTable | None, *, always: bool) -> None:
        start, end = region
        self._start = start
        self._device = device
        self._chunks = RegionChunks(image.chunks, start, end)
        self._always = always
        used = image.used.part(start, end)
        self._own = used if moved is None else _without(used, moved.replaced, start)
        self._lock = threading.Lock()
        self._digests: dict[tuple[int, int], bytes] = {}
        self.used = used.total
        self.written = self.equal = 0

    def restore(self, threads: int | None) -> None:
        """Write what differs."""
        self._chunks.each(self._write, threads=threads)

    def _write(self, chunk: AnyChunk) -> None:
        for first, last, data in self._pieces(chunk):
            place = self._start + first
            is_equal = not self._always and self._device.read(place, last - first) == data
            if not is_equal:
                self._device.write(place, data)
            with self._lock:
                self._digests[place, last - first] = blake3_of(data)
                self.equal += last - first if is_equal else 0
                self.written += 0 if is_equal else last - first

    def _pieces(self, chunk: AnyChunk) -> Iterator[tuple[int, int, bytes]]:
        record = chunk.record
        parts = self._own.within(record.offset, record.offset + record.length)
        if record.kind is not ChunkKind.DATA:
            chunk.check_zeros()
        data = chunk.data() if parts and record.kind is ChunkKind.DATA else None
        step = self._chunks.chunk_size          # a chunk of zeros may be much longer
        for first, last in parts:
            for at in range(first, last, step):
                end = min(last, at + step)
                yield at, end, bytes(end - at) if data is None else bytes(data[at - record.offset : end - record.offset])

    def verify(self) -> None:
        """Read back what was written. Raises StorageError when something differs."""
        for (place, length), digest in sorted(self._digests.items()):
            if blake3_of(self._device.read(place, length)) != digest:
                raise StorageError(f"verify: bytes {place} to {place + length}, outside of partitions, read back differ from the archive")

    def differences(self, threads: int | None) -> list[tuple[int, int]]:
        """Offset and length of the chunks that differ."""
        found = set()

        def look(chunk: AnyChunk) -> None:
            for first, last, data in self._pieces(chunk):
                if self._device.read(self._start + first, last - first) != data:
                    with self._lock:
                        found.add((chunk.record.offset, chunk.record.length))

        self._chunks.each(look, threads=threads)
        return sorted(found)


class _WholeProgress:
    """The progress of each region as part of that of the whole disk."""

    def __init__(self, events: Sink, total: int) -> None:
        self._events = events
        self._total = total
        self._base = 0
        self._tasks: dict[str, None] = {}

    def part(self, size: int) -> Sink:
        """A sink for work on `size` bytes of it."""

        def sink(event: Event) -> None:
            if event.kind is not Kind.PROGRESS:
                self._events(event)
                return
            task, done, total = (event.data[key] for key in ("task", "done", "total"))
            share = size * int(done or 0) // int(total) if total else 0
            self._tasks[str(task)] = None
            self._report(str(task), self._base + min(share, size))

        return sink

    def next(self, size: int) -> None:
        """So many bytes are done."""
        self._base += size

    def end(self) -> None:
        """Everything is done."""
        for task in self._tasks:
            self._report(task, self._total)

    def _report(self, task: str, done: int) -> None:
        self._events(Event(Kind.PROGRESS, {"task": task, "done": done, "total": self._total}))
