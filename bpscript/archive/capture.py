"""From a partition to a full archive: used blocks only, in disk order, compressed in threads.

What a chunk holds is the partition from one multiple of the chunk size to the next, with zeros for what is not used:

    partition   |####··##|········|········|··######|####····|      # used, · not used
    chunks      |  DATA  |     UNUSED      |  DATA  |  DATA  |
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore, progress
from ..base.units import round_up
from ..blocks.device import BlockDevice, Buffer, data_ranges_of
from ..filesystems.detect import detect, family_of, open_volume, size_of
from ..filesystems.filesystem import Family, FileKind, Filesystem
from .container import ArchiveWriter, FrameSink, Header, Summary
from .full import BOOT_SIZE, RAW, Facts
from .provenance import WRITER, Provenance
from .ranges import Ranges
from .reading import CellReader
from .records import BOOT, MIB, USED, ArchiveKind
from .table import Signature
from .writer import LONG_CHUNK_SIZE

CHUNK_SIZE = MIB        # decodes as fast as any other size, 2 % larger than 4 MiB, and finer when only differences are fetched

Later = Callable[[int, int], Callable[[], Buffer]]
Leave = Callable[[str, FileKind], bool]     # path below the root and kind → True when it is left out


class Survey(NamedTuple):
    """What will be captured: facts, used bytes, and the device to read them from."""

    device: BlockDevice
    facts: Facts
    used: Ranges


def survey(
    device: BlockDevice, *, clock: Clock, code_page: str = "cp850", remove: Callable[[Filesystem], object] | None = None
) -> Survey:
    """Find out what is on a partition. Nothing is written to it.

    `remove` takes away what a filter leaves out, from a volume that keeps its changes in memory; refused where files cannot be reached.
    Raises FormatError when the file system is damaged, StorageError when it reaches beyond the partition.
    """
    kind = detect(device)
    family = Family.OTHER if kind is None else family_of(kind)
    if remove is not None and kind is not None and family in {Family.FAT, Family.LINUX}:
        return _survey_filtered(device, kind, remove, clock=clock, code_page=code_page)
    if remove is not None:
        raise StorageError(f"filters need files, and those of {kind or 'an unknown file system'} cannot be reached")
    return _survey(device, device, kind or RAW, clock=clock, code_page=code_page)


def _survey_filtered(
    device: BlockDevice, kind: str, remove: Callable[[Filesystem], object], *, clock: Clock, code_page: str
) -> Survey:
    from ..blocks.overlay import OverlayDevice  # noqa: PLC0415 - as below

    overlay = OverlayDevice(device)
    volume = open_volume(overlay, clock=clock, code_page=code_page)
    try:
        remove(volume)
    finally:
        volume.close()
    return _survey(overlay, overlay, kind, clock=clock, code_page=code_page)


def _survey(device: BlockDevice, source: BlockDevice, kind: str, *, clock: Clock, code_page: str) -> Survey:
    size = device.size
    label = ident = ""
    hidden = heads = track = block_size = 0
    volume_size = size
    if kind != RAW:
        volume_size = size_of(device, kind)
        if volume_size > size:
            raise StorageError(f"the {kind} file system has {volume_size} bytes, its partition only {size}")
    if kind in {"FAT12", "FAT16", "FAT32", "EXT2", "EXT3", "EXT4"}:
        from ..blocks.overlay import OverlayDevice  # noqa: PLC0415 - each partition needs one of these

        # The overlay keeps even a dirty mark away from the source.
        volume = open_volume(OverlayDevice(device), clock=clock, code_page=code_page, writable=False)
        label, ident = volume.label, volume.ident
        used = Ranges(volume.used_ranges())
        if kind.startswith("FAT"):
            boot = device.read(0, 36)
            track, heads = (int.from_bytes(boot[at : at + 2], "little") for at in (24, 26))
            hidden = int.from_bytes(boot[28:32], "little")
            block_size = int.from_bytes(boot[11:13], "little") * boot[13]
        else:
            # linux fs/ext4/ext4.h: s_log_block_size at 24 of the superblock
            block_size = 1024 << min(6, int.from_bytes(device.read(1024 + 24, 4), "little"))
    elif kind == "NTFS":
        from ..filesystems.ntfs import NtfsVolume  # noqa: PLC0415 - as above

        ntfs = NtfsVolume.read(device)
        label, ident, block_size = ntfs.label(device), ntfs.serial, ntfs.cluster_size
        hidden, heads, track = ntfs.hidden_sectors, ntfs.heads, ntfs.sectors_per_track
        used = Ranges(ntfs.used_ranges(device))
    elif kind == "SWAP":
        from ..filesystems.swap import SwapSpace  # noqa: PLC0415 - as above

        space = SwapSpace.parse(device)
        if space is None:
            raise FormatError("there is no swap space here")
        label, ident, block_size = space.label, str(space.uuid or ""), space.page_size
        used = Ranges([(0, space.page_size)])
    else:
        used = Ranges([(0, size)])
    used = used.clipped(size).simplify()
    facts = Facts(
        kind, Family.OTHER if kind == RAW else family_of(kind), size, volume_size, used.total, label, ident, block_size,
        hidden, heads, track, clock.now_ns(), WRITER,
    )
    return Survey(source, facts, used)


def capture(
    found: Survey, sink: FrameSink, *, level: int = 3, threads: int | None = None, chunk_size: int | None = None,
    long: bool = False, events: Sink = ignore, sign: Callable[[bytes], Signature] | None = None, origin: Provenance | None = None,
) -> Summary:
    """Write the archive of a partition that was surveyed. The same partition, clock and options give the same bytes.

    `long`: matches over a whole chunk of 16 MiB, which makes the archive a tenth smaller. Raises UsageError for a level that
    does not exist.
    """
    device, size = found.device, found.facts.size
    chunk_size = chunk_size or (LONG_CHUNK_SIZE if long else CHUNK_SIZE)
    sections = {BOOT: device.read(0, min(size, BOOT_SIZE))}
    everything = len(found.used) == 1 and found.used.total == size
    if not everything:
        sections[USED] = found.used.pack()
    facts = found.facts if origin is None else found.facts._replace(**origin._asdict())
    header = Header(ArchiveKind.FULL, chunk_size, size, facts.to_meta(), sections)
    content = found.used.common(data_of(device))      # holes of an image file are not read
    reader = CellReader(device, found.used, chunk_size)
    with ArchiveWriter(sink, header, level=level, threads=threads, long=long) as writer, progress(events, "capture", content.total) as state:
        add_region(writer, found.used, content, size=size, chunk_size=chunk_size, later=reader.later, state=state)
        return writer.finish(sign)


def cells(content: Ranges, size: int, chunk_size: int) -> Iterable[tuple[int, int]]:
    """Start and length of every chunk that holds content, on multiples of the chunk size; last (size, 0)."""
    position: int | None = 0
    while position is not None and position < size:
        found = content.next_start(position)
        if found is None:
            break
        start = found // chunk_size * chunk_size
        yield start, min(chunk_size, size - start)
        position = start + chunk_size
    yield size, 0


def data_of(device: BlockDevice) -> Ranges:
    """Where a device is not known to hold zeros. Holes smaller than a chunk are not worth the counting."""
    found = Ranges()
    for start, end in data_ranges_of(device, 0, device.size):
        if found.ends and start - found.ends[-1] < CHUNK_SIZE:
            found.ends[-1] = end
        else:
            found.append(start, end)
    return found


def add_region(
    writer: ArchiveWriter, used: Ranges, content: Ranges, *, start: int = 0, size: int, chunk_size: int, later: Later, state: Progress
) -> None:
    """All chunks of a partition, or of a part of a disk that begins at `start`; the ranges are counted from there.

    `content` is what must be read of `used`, `later` gives the way to read a chunk by its place and length (bytes).
    """
    for offset, length in cells(content, size, chunk_size):
        for gap, is_used in _zeros(used, writer.offset - start, offset, chunk_size):
            writer.add_zeros(gap, used=is_used)
        if length:
            writer.add_later(length, later(start + offset, length))
            state.advance(sum(b - a for a, b in content.within(offset, offset + length)))
    writer.end_zeros()


def _zeros(used: Ranges, start: int, end: int, chunk_size: int) -> Iterable[tuple[int, bool]]:
    """Runs of chunks without content: bytes, and whether anything in them is used. Begin and end at chunks."""
    position = start
    while position < end:
        found = used.next_start(position)
        first = end if found is None or found >= end else found // chunk_size * chunk_size
        if first > position:
            yield first - position, False
        position = first
        while (found := used.next_start(position)) is not None and position < end and found < position + chunk_size:
            # To the end of the range at hand, in whole chunks.
            position = min(end, round_up(max(used.end_of(found), found + 1), chunk_size))
        if position > first:
            yield position - first, True
