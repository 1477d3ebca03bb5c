"""Restoring where blocks cannot keep their places: a smaller partition, or other sectors. Format, then copy file by file.

Whether everything fits is found out on a volume in memory first, formatted like the target. The target stays marked
(`marking.py`) until the last file is there, so formatting and copying may be cut off anywhere.

An ext volume in an image file is not formatted again: what lies in memory is copied. Its files are written over what was there before,
and only at the end what is free yet is punched out: giving pages back to the host first, and asking for others, takes longer than writing.
"""

from collections.abc import Iterable
from uuid import UUID

from ..base.clock import Clock
from ..base.errors import FormatError, NoSpaceError, StorageError
from ..base.events import Sink, ignore
from ..base.units import format_size, round_up
from ..blocks.blank import BlankDevice
from ..blocks.device import BlockDevice, host_file_of
from ..blocks.medium import drop_caches, medium_of
from ..blocks.overlay import OverlayDevice
from ..filesystems.detect import open_volume
from ..filesystems.elsewhere import Elsewhere
from ..filesystems.fat.geometry import Geometry
from ..filesystems.filesystem import Extent, Facts, FileKind, Filesystem, HasExtents, HasUnixObjects
from ..filesystems.sparse import STEP, contents_of
from .compare import compare_files
from .full import PartitionImage
from .image_device import ArchiveDevice
from .inventory import Where, inventory
from .marking import HEAD, HeldDevice
from .mover import Mover
from .placement import Place
from .plan import HasAllocationUnit, Planned, planned
from .report import Restored
from .trees import TreeWriter

# DOS looks for these two in the first slots of the root directory, and for the first in one piece.
_SYSTEM_FILES = ("io.sys", "msdos.sys", "ibmbio.com", "ibmdos.com")
_SPARE_INODES = 1.2     # times what the archive's files need
_USUAL_INODE_RATIO = 16384
_SMALLEST_INODE_RATIO = 1024
_AT_ONCE = 256          # files made before those who bring their contents are told

_Listing = list[tuple[str, Facts, str | None]]


def restore_files(
    image: PartitionImage, device: BlockDevice, *, verify: bool, place: Place | None, clock: Clock, code_page: str, events: Sink = ignore
) -> Restored:
    """Format `device` as the archive's file system is and copy every file. Raises NoSpaceError before the first write."""
    with Mover(image.chunks, device, HEAD, copies=host_file_of(device) is not None) as mover:
        return _restore_files(image, device, mover, verify=verify, place=place, clock=clock, code_page=code_page, events=events)


def _restore_files(
    image: PartitionImage, device: BlockDevice, mover: Mover, *, verify: bool, place: Place | None, clock: Clock, code_page: str, events: Sink
) -> Restored:
    source, found, wheres, plan, trial, tried = _checked(image, device.size, place, clock, code_page, copies=mover.copies)
    held = HeldDevice(device)
    medium = medium_of(device)
    reuses = isinstance(source, HasUnixObjects) and medium is not None and medium[0].is_file()
    if reuses:
        _copy_volume(trial, held, open_volume(trial, clock=clock, writable=False).used_ranges())
    else:
        _format(image, source, held, len(found), place, clock, code_page)
    target = open_volume(held, clock=clock, code_page=code_page)
    writer = TreeWriter(target, "", plan, sink=events, task="restore", tried=tried)
    writer.begin()
    del plan, trial, tried     # with ten thousands of files they are large
    _put_all(source, found, wheres, writer, mover, _unit_of(target))
    summary = writer.finish()
    target.set_facts("", source.stat(""))
    target.close()
    mover.finish(held, writer.arrived)
    if reuses:
        _zero_free(held, open_volume(held, clock=clock, writable=False).used_ranges())
    if image.facts.filesystem.startswith("FAT"):
        _keep_boot_code(image, held)
    if verify:
        drop_caches(device)
        compare_files(source, open_volume(held, clock=clock, code_page=code_page, writable=False), found, events)
    held.release()
    return Restored(summary.size, summary.size, 0, "file by file")


def _copy_volume(trial: OverlayDevice, device: BlockDevice, used: Iterable[tuple[int, int]]) -> None:
    """Put an empty volume onto a device that holds anything: where it keeps something, zeros, and what it wrote."""
    for start, end in used:
        device.zero(start, end - start)
    for start, end in trial.data_ranges(0, trial.size):
        for offset in range(start, end, STEP):
            device.write(offset, trial.read(offset, min(STEP, end - offset)))


def _zero_free(device: BlockDevice, used: Iterable[tuple[int, int]]) -> None:
    """Make the device read as zeros where its volume keeps nothing."""
    position = 0
    for start, end in (*used, (device.size, device.size)):
        if position < start:
            device.zero(position, start - position)
        position = end


def _put_all(source: Filesystem, found: _Listing, wheres: list[Where], writer: TreeWriter, mover: Mover, unit: int) -> None:  # noqa: PLR0917
    """The files that DOS wants first, directories, files in the order of their blocks, other files, and what is no file.

    `unit`: bytes of a block of the target; pieces of files must begin at borders of such blocks.
    """
    whole: list[tuple[int, int]] = []       # place in the image and number of files that lie in one piece
    pieces: list[tuple[int, Elsewhere]] = []
    others: list[int] = []
    last: list[int] = []
    for number, ((path, facts, link), where) in enumerate(zip(found, wheres, strict=True)):
        if facts.kind is FileKind.DIRECTORY:
            writer.put(path, facts)
        elif link is not None or facts.kind is not FileKind.FILE:
            last.append(number)
        elif not facts.size:
            writer.put(path, facts)
        elif path.lower() in _SYSTEM_FILES:     # they are the first of the list
            _put_file(source, path, facts, writer)
        elif isinstance(where, int):
            whole.append((where, number))
        elif where is not None and _begin_at_blocks(where, unit):
            pieces.append((number, Elsewhere(where, facts.size, mover.bring)))
        else:
            others.append(number)
    if isinstance(source, HasExtents) and isinstance(source.device, ArchiveDevice):
        source.device.forget()
    for number, contents in pieces:
        if writer.put_files([(*found[number][:2], contents)]):
            others.append(number)
    whole.sort()
    for first in range(0, len(whole), _AT_ONCE):
        group = whole[first : first + _AT_ONCE]
        files = [(*found[number][:2], Elsewhere((Extent(0, offset, found[number][1].size),), found[number][1].size, mover.bring)) for offset, number in group]
        others += [group[left][1] for left in writer.put_files(files)]
        if first + _AT_ONCE < len(whole):
            writer.arrived(mover.passed(whole[first + _AT_ONCE][0]))
    for number in sorted(others):
        path, facts, _ = found[number]
        _put_file(source, path, facts, writer)
    for number in last:
        path, facts, link = found[number]
        writer.put(path, facts, link=link)


def _unit_of(volume: Filesystem) -> int:
    """Bytes of a block; 0 when that is not known."""
    return volume.allocation_unit if isinstance(volume, HasAllocationUnit) else 0


def _begin_at_blocks(where: tuple[Extent, ...], unit: int) -> bool:
    return unit > 0 and not any(extent.logical % unit for extent in where)


def _in_room(facts: Facts, where: Where, unit: int) -> Facts:
    """Facts with the size that a file takes up: holes take nothing, where they are kept."""
    if not isinstance(where, tuple) or not _begin_at_blocks(where, unit):
        return facts
    return facts._replace(size=sum(round_up(extent.length, unit) for extent in where))


def _put_file(source: Filesystem, path: str, facts: Facts, writer: TreeWriter) -> None:
    writer.put(path, facts, contents_of(source, path, facts.size))


def check_files(image: PartitionImage, size: int, *, place: Place | None, clock: Clock, code_page: str) -> None:
    """Raise NoSpaceError when the archive's files do not fit on a partition of `size` bytes, formatted anew."""
    _checked(image, size, place, clock, code_page, copies=False)


def _checked(
    image: PartitionImage, size: int, place: Place | None, clock: Clock, code_page: str, *, copies: bool
) -> tuple[Filesystem, _Listing, list[Where], list[Planned], OverlayDevice, TreeWriter]:
    """The archive's volume, what is in it and where, the plan of copying it, the empty volume in memory on which that was tried, and who tried it."""
    if image.chunks.is_stream:
        reason = f"the archive is of a partition of {image.size} bytes, the target has {size}"
        if size >= image.size and place is not None:
            reason = f"the archive's {image.facts.filesystem} has sectors or blocks below the disk's sectors of {place.sector_size} bytes"
        raise StorageError(f"{reason}: for that the archive must be readable from anywhere, and this one comes in order only")
    source = open_volume(ArchiveDevice(image.chunks), clock=clock, code_page=code_page, writable=False)
    # Not the places of a volume whose journal had to be replayed: that lies on something above the archive.
    places = isinstance(source, HasExtents) and isinstance(source.device, ArchiveDevice)
    found, wheres = inventory(source, places=places, copies=copies and places)
    _system_files_first(found, wheres)
    trial = OverlayDevice(BlankDevice(size))
    try:
        _format(image, source, trial, len(found), place, clock, code_page)
        empty = open_volume(trial, clock=clock, code_page=code_page)
        unit = _unit_of(empty)
        plan = [planned(path, _in_room(facts, where, unit), link) for (path, facts, link), where in zip(found, wheres, strict=True)]
        tried = TreeWriter(empty, "", plan)
    except NoSpaceError as error:
        raise NoSpaceError(
            f"the archive's files do not fit on this partition of {format_size(size)}: {error.message}", hint=error.hint
        ) from error
    return source, found, wheres, plan, trial, tried


def restore_swap(image: PartitionImage, device: BlockDevice) -> Restored:
    """A swap space of the target's size with the archive's label and UUID."""
    from ..filesystems.swap import format_swap  # noqa: PLC0415 - only for swap

    facts = image.facts
    try:
        uuid = UUID(facts.ident) if facts.ident else None
    except ValueError as error:
        raise FormatError(f"archive header: {facts.ident!r} is no UUID") from error
    space = format_swap(device, facts.label, uuid, facts.block_size)
    return Restored(space.page_size, space.page_size, 0, "larger" if device.size > image.size else "smaller")


def _system_files_first(found: _Listing, wheres: list[Where]) -> None:
    """Put the files that DOS wants first before all others."""
    names = {path.lower(): number for number, (path, _, _) in enumerate(found) if path.lower() in _SYSTEM_FILES}
    chosen = [names[name] for name in _SYSTEM_FILES if name in names]
    first = [(found[number], wheres[number]) for number in chosen]
    for number in sorted(chosen, reverse=True):
        del found[number], wheres[number]
    found[:0] = [entry for entry, _ in first]
    wheres[:0] = [where for _, where in first]


def _format(  # noqa: PLR0917 - what a formatter needs to know
    image: PartitionImage, source: Filesystem, device: BlockDevice, entries: int, place: Place | None, clock: Clock, code_page: str
) -> None:
    kind = image.facts.filesystem
    if kind.startswith("FAT"):
        from ..filesystems.fat import format_fat  # noqa: PLC0415 - only for FAT

        old = Geometry.from_sector(image.boot)
        where = place or Place(old.hidden_sectors, old.heads, old.sectors_per_track)
        format_fat(
            device, old.width, source.label, hidden_sectors=where.hidden_sectors, heads=where.heads,
            sectors_per_track=where.sectors_per_track, volume_id=old.volume_id, code_page=code_page,
            sector_size=max(where.sector_size, old.sector_size),
        )
        return
    from ..filesystems.ext import format_ext  # noqa: PLC0415 - only for ext

    # linux fs/ext4/ext4.h: s_hash_seed at 0xEC of the superblock; directories keep their order with it.
    seed = image.boot[1024 + 0xEC : 1024 + 0xFC]
    needed = int(entries * _SPARE_INODES) + 64
    ratio = None if device.size // _USUAL_INODE_RATIO >= needed else max(_SMALLEST_INODE_RATIO, device.size // needed)
    format_ext(
        device, kind, source.label, UUID(source.ident), UUID(bytes=seed) if any(seed) else UUID(source.ident), inode_ratio=ratio,
        clock=clock, block_size=place.sector_size if place is not None and place.sector_size > 512 else None,
    )


def _keep_boot_code(image: PartitionImage, device: BlockDevice) -> None:
    """What makes the partition boot: code and name in the boot sector, further boot sectors of FAT32, and their backups."""
    old = Geometry.from_sector(image.boot)
    new = Geometry.from_sector(device.read(0, 512))
    sector = new.to_sector(image.boot[:512])
    if old.sector_size == new.sector_size == 512:
        taken = {0, new.info_sector, new.backup_sector, new.backup_sector + new.info_sector}
        for number in range(1, min(old.reserved_sectors, new.reserved_sectors, len(image.boot) // 512)):
            data = image.boot[number * 512 : number * 512 + 512]
            if number not in taken and any(data):
                device.write(number * 512, data)
    if new.backup_sector:
        device.write(new.backup_sector * new.sector_size, sector)
    device.write(0, sector)
