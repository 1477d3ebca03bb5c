"""Which bytes of an ext volume are in use, from its block bitmaps; nothing but Python, so that imaging needs no C library.

Groups that were never used (BLOCK_UNINIT) have no valid bitmap; of them only the metadata counts. What is metadata by the descriptors is
always added, whatever the bitmaps say.
"""

from collections.abc import Iterable, Iterator

from ...blocks.device import BlockDevice
from ..bits import bit_runs
from .superblock import (
    BLOCK_UNINIT,
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
    Group,
    Incompatible,
    Superblock,
    has_superblock,
    read_groups,
)

_BEYOND = 1 << 80       # behind the end of everything


def merge(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted half-open ranges with overlapping and touching ones joined."""
    begin = end = -1
    for start, stop in ranges:
        if start > end:
            if end > begin:
                yield begin, end
            begin = start
        end = max(end, stop)
    if end > begin:
        yield begin, end


def subtract(ranges: Iterable[tuple[int, int]], without: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What of sorted, merged ranges is not in other sorted, merged ranges."""
    others = iter(without)
    low, high = next(others, (_BEYOND, _BEYOND))
    for start, stop in ranges:
        position = start
        while position < stop:
            if high <= position:
                low, high = next(others, (_BEYOND, _BEYOND))
                continue
            if low > position:
                yield position, min(low, stop)
            position = high


def used_ranges(device: BlockDevice) -> Iterator[tuple[int, int]]:
    """Half-open byte ranges that hold metadata or data of the volume on `device`, in order and merged.

    The first block, with the boot sector, always counts. Raises FormatError.
    """
    superblock = Superblock.read(device)
    groups = read_groups(device, superblock)
    block_size = superblock.block_size
    blocks = [(0, superblock.first_data_block or 1), (0, -(-(SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE) // block_size))]
    blocks += metadata_blocks(superblock, groups)
    blocks += _bitmap_runs(device, superblock, groups)
    blocks.sort()
    for start, end in merge(blocks):
        yield start * block_size, min(end, superblock.block_count) * block_size


def metadata_blocks(superblock: Superblock, groups: list[Group]) -> Iterator[tuple[int, int]]:
    """Blocks that are in use by what they are: superblocks, descriptors, bitmaps, inode tables."""
    inode_blocks = -(-superblock.inodes_per_group * superblock.inode_size // superblock.block_size)
    per_block = superblock.block_size // superblock.descriptor_size
    descriptor_blocks = -(-superblock.group_count // per_block)
    meta_bg = bool(superblock.incompatible & Incompatible.META_BG)
    if meta_bg:
        descriptor_blocks = min(descriptor_blocks, superblock.first_meta_bg)
    for number, group in enumerate(groups):
        for bitmap in (group.block_bitmap, group.inode_bitmap):
            yield bitmap, bitmap + 1
        yield group.inode_table, group.inode_table + inode_blocks
        start = superblock.first_data_block + number * superblock.blocks_per_group
        if has_superblock(superblock, number):
            reserved = 0 if meta_bg else superblock.reserved_gdt_blocks
            yield start, min(start + 1 + descriptor_blocks + reserved, superblock.block_count)
        if meta_bg and number // per_block >= superblock.first_meta_bg and number % per_block in {0, 1, per_block - 1}:
            copy = start + int(has_superblock(superblock, number))
            yield copy, copy + 1


def _bitmap_runs(device: BlockDevice, superblock: Superblock, groups: list[Group]) -> Iterator[tuple[int, int]]:
    """Blocks that are in use by the bitmaps; bitmaps that lie side by side (flex_bg) are read together."""
    ratio = superblock.cluster_ratio
    group_bytes = superblock.blocks_per_group // ratio // 8
    valid = [
        number for number, group in enumerate(groups) if not (superblock.has_group_checksums and group.flags & BLOCK_UNINIT)
    ]
    position = 0
    while position < len(valid):
        count = 1
        first = groups[valid[position]].block_bitmap
        while count < 256 and position + count < len(valid) and groups[valid[position + count]].block_bitmap == first + count:
            count += 1
        data = device.read(first * superblock.block_size, count * superblock.block_size)
        for index in range(count):
            number = valid[position + index]
            bitmap = data[index * superblock.block_size : index * superblock.block_size + group_bytes].rstrip(b"\0")
            start = superblock.first_data_block + number * superblock.blocks_per_group
            end = min(start + superblock.blocks_per_group, superblock.block_count)
            for low, high in bit_runs(bitmap):
                if start + low * ratio >= end:
                    break       # bits behind the end of a short last group are padding
                yield start + low * ratio, min(start + high * ratio, end)
        position += count
