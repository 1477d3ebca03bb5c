"""Growing and shrinking a volume with resize2fs.

resize2fs cuts a regular file to the size of the volume in it, whatever lies behind: it never gets a disk image, but a sparse copy.
Where nothing has to move, because the group descriptors have room to grow, the copy holds the metadata only and the files stay
where they are; else it holds every block in use.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ...base.clock import Clock
from ...base.errors import FormatError, NoSpaceError, StorageError
from ...blocks.device import BlockDevice, data_ranges_of
from ...blocks.file import FileDevice
from ...blocks.holes import data_ranges_in
from ...blocks.medium import medium_of
from .programs import copy_back, copy_out, copy_range, sparse_file
from .running import run_program
from .superblock import Compatible, Incompatible, Superblock, read_groups
from .usage import merge, metadata_blocks, subtract, used_ranges

_RESIZE_INODE = 7               # EXT2_RESIZE_INO: its map reserves blocks for descriptors
_DOUBLE_INDIRECT = 40 + 13 * 4  # offset of that pointer in an inode


def resize_ext(device: BlockDevice, clock: Clock | None = None) -> None:
    """Grow the volume to the size of the device (whole blocks).

    Raises FormatError when it is larger than the device already: shrink it with `resize_to` while the device is still large.
    """
    superblock = Superblock.read(device)
    if superblock.size > device.size:
        raise FormatError(f"ext volume of {superblock.size} bytes on a device of {device.size}; shrink it before the device is cut")
    resize_to(device, device.size // superblock.block_size, clock)


def resize_to(device: BlockDevice, block_count: int, clock: Clock | None = None) -> None:
    """Grow or shrink the volume to so many blocks, in place; the device holds both sizes.

    Raises NoSpaceError when the files do not fit.
    """
    superblock = Superblock.read(device)
    if block_count == superblock.block_count:
        return
    size = max(block_count, superblock.block_count) * superblock.block_size
    if size > device.size:
        raise StorageError(f"ext volume: {size} bytes do not fit on a device of {device.size}")
    if not _moves(superblock, block_count):
        _grow_in_place(device, superblock, block_count, clock)
        return
    with sparse_file(size) as (descriptor, path):
        for start, end in used_ranges(device):
            copy_out(device, start, end, descriptor)
        _run(path, block_count, clock)
        copy_back(descriptor, device, block_count * superblock.block_size)


def _grow_in_place(device: BlockDevice, superblock: Superblock, block_count: int, clock: Clock | None) -> None:
    """Grow with a copy of the metadata only."""
    before = list(used_ranges(device))
    metadata = list(_metadata(device, superblock))
    size = block_count * superblock.block_size
    with sparse_file(size) as (descriptor, path):
        for start, end in metadata:
            copy_out(device, start, end, descriptor)
        # Zeros in the new room must be written where it is not zero by itself; a hole could not be told from "never touched".
        _run(path, block_count, clock, {} if _zeroed(device, superblock.size, size) else {"UNIX_IO_NOZEROOUT": "1"})
        with FileDevice(path, writable=False) as copy:
            # In the old part only what was metadata, or became it: the copy knows nothing of the rest.
            new = [(start, min(end, superblock.size)) for start, end in subtract(used_ranges(copy), before) if start < superblock.size]
        for start, end in merge(sorted(metadata + new)):
            copy_range(descriptor, device, start, end)
        for start, end in data_ranges_in(descriptor, 0, size):
            copy_range(descriptor, device, max(start, superblock.size), end)
    device.flush()


def _run(path: Path, block_count: int, clock: Clock | None, more: Mapping[str, str] | None = None) -> None:
    result = run_program(["resize2fs", "-f", str(path), str(block_count)], clock, more)
    if result.returncode:
        words = " ".join((result.stderr + result.stdout).split())
        if any(sign in words for sign in ("minimum", "No space", "Not enough", "too small")):
            raise NoSpaceError(f"ext volume cannot become {block_count} blocks: {words}")
        raise StorageError(f"ext volume cannot become {block_count} blocks: {words}")


def _moves(superblock: Superblock, block_count: int) -> bool:
    """True when blocks in use may have to move: on shrinking, and where the descriptors need more blocks than are reserved."""
    if block_count < superblock.block_count or superblock.cluster_ratio > 1 or superblock.compatible & Compatible.SPARSE_SUPER2:
        return True
    if superblock.incompatible & Incompatible.META_BG:
        return False
    per_block = superblock.block_size // superblock.descriptor_size
    groups = -(-(block_count - superblock.first_data_block) // superblock.blocks_per_group)
    room = -(-superblock.group_count // per_block)
    if superblock.compatible & Compatible.RESIZE_INODE:
        room += superblock.reserved_gdt_blocks
    return -(-groups // per_block) > room


def _metadata(device: BlockDevice, superblock: Superblock) -> Iterator[tuple[int, int]]:
    """Byte ranges of what resize2fs looks at when nothing moves."""
    block_size = superblock.block_size
    groups = read_groups(device, superblock)
    blocks = [(0, 2), *metadata_blocks(superblock, groups)]
    if superblock.compatible & Compatible.RESIZE_INODE:
        offset = groups[0].inode_table * block_size + (_RESIZE_INODE - 1) * superblock.inode_size + _DOUBLE_INDIRECT
        pointers = int.from_bytes(device.read(offset, 4), "little")
        if pointers < superblock.block_count:
            blocks.append((pointers, pointers + 1))
    for start, end in merge(sorted(blocks)):
        yield start * block_size, min(end * block_size, superblock.size)


def _zeroed(device: BlockDevice, start: int, end: int) -> bool:
    """Make the new room read as zeros; False when that would not be cheap."""
    place = medium_of(device)
    if place is not None and not place[0].is_file():
        return False
    for low, high in list(data_ranges_of(device, start, end - start)):
        device.zero(low, high - low)
    return True
