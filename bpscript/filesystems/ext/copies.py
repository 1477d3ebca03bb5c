"""Where the copies of superblock and group descriptors lie, and room for those of a new volume.

    group 0      superblock | descriptors | room for more descriptors |
    some others  superblock | descriptors |

These copies are most of what mke2fs writes to a large volume (of a terabyte 14 of 16 MiB), and it writes them last. What is in
them it has to work out first; meanwhile the host can look for the pages of an image file, on another processor if one is idle.
`make_room` does that: it asks for what mke2fs is going to write, changes no byte, and nothing depends on its success.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ...base.units import KIB
from ...blocks.holes import keep_room

_LOAD = Path("/proc/loadavg")
_MAX_GROUP_BLOCKS = 65_528      # e2fsprogs ext2_fs.h, EXT2_MAX_BLOCKS_PER_GROUP
_MAX_GROWTH = 1024              # mke2fs leaves room to grow that many times
_MAX_BLOCKS = 0xFFFF_FFFF       # up to where resize_inode leads
# Groups that begin with a superblock with feature sparse_super: powers of 3, 5 and 7, as numbers of groups have 32 bits. Source: ext2fs_bg_has_super.
COPY_GROUPS = frozenset({0, 1, *(base**power for base in (3, 5, 7) for power in range(1, 21) if base**power < 1 << 32)})


def new_copies(size: int, block_size: int, descriptor_size: int) -> Iterator[tuple[int, int]]:
    """Half-open byte ranges of these copies on a volume of `size` bytes that mke2fs makes with sparse_super and resize_inode.

    Source: ext2fs_initialize and calc_reserved_gdt_blocks of e2fsprogs 1.47 `lib/ext2fs/initialize.c`. A last group that is too
    small for its own metadata, which mke2fs leaves out, is counted: a block too many in each copy at most.
    """
    first = int(block_size == KIB)
    blocks = size // block_size
    group_blocks = min(8 * block_size, _MAX_GROUP_BLOCKS)
    groups = -(-(blocks - first) // group_blocks)
    per_block = block_size // descriptor_size
    described = -(-groups // per_block)
    most_groups = -(-(min(blocks * _MAX_GROWTH, _MAX_BLOCKS) - first) // group_blocks)
    reserved = max(0, min(-(-most_groups // per_block) - described, block_size // 4))
    for group in sorted(group for group in COPY_GROUPS if group < groups):
        start = first + group * group_blocks
        end = start + 1 + described + (0 if group else reserved)
        if end <= blocks:
            yield start * block_size, end * block_size


def make_room(path: Path, offset: int, size: int, block_size: int, descriptor_size: int) -> None:
    """Ask the host for the pages of the copies of a volume that mke2fs is making at `offset` of an image file."""
    if not _is_idle():
        return
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for start, end in new_copies(size, block_size, descriptor_size):
                if not keep_room(descriptor, offset + start, end - start):
                    return
        finally:
            os.close(descriptor)


def _is_idle() -> bool:
    """True when everybody has a processor: this thread, mke2fs, and whoever else wants one. Source: proc_loadavg(5), field 4."""
    try:
        wanted = int(_LOAD.read_text("ascii").split()[3].split("/")[0])
    except (OSError, ValueError, IndexError):
        return False
    return wanted <= len(os.sched_getaffinity(0))
