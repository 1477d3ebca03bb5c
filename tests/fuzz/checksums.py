"""Checksums put right after the damage, so that what stands behind them is reached: a fuzzer does not guess a CRC."""

import struct
from collections.abc import Callable
from functools import cache
from typing import NamedTuple
from zlib import crc32

from bpscript.blocks.device import BlockDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.cache.layout import SLOT, Geometry
from bpscript.filesystems.ext.library import load
from bpscript.filesystems.ext.superblock import SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE
from bpscript.partitions.gpt import header_places

_LARGEST_ARRAY = 1 << 16


def gpt_headers(device: BlockDevice) -> None:
    """The headers of a GPT and the arrays they point to."""
    for place in header_places(device.size, 512):
        sector = bytearray(device.read(place, 512))
        array, number, width = struct.unpack_from("<QII", sector, 72)
        if array * 512 + number * width <= device.size and number * width <= _LARGEST_ARRAY:
            struct.pack_into("<I", sector, 88, crc32(device.read(array * 512, number * width)))
        size = struct.unpack_from("<I", sector, 12)[0]
        struct.pack_into("<I", sector, 16, 0)
        struct.pack_into("<I", sector, 16, crc32(sector[:size]))
        device.write(place, bytes(sector))


def cache_entries(device: BlockDevice) -> None:
    """The slots of a cache's directory that hold an entry."""
    geometry = Geometry(0, device.size)
    for slot in range(geometry.slots):
        place = geometry.slot_offset(slot)
        entry = device.read(place, SLOT)
        if any(entry[:8]):
            device.write(place + 4, crc32(entry[8:]).to_bytes(4, "little"))


class _Ext(NamedTuple):
    """Where the metadata of a good ext4 volume with one group lies, in bytes; inodes and blocks of directories with the number of their inode."""

    group: int
    block_bitmap: tuple[int, int]
    inode_bitmap: tuple[int, int]
    inodes: tuple[tuple[int, int], ...]
    directories: tuple[tuple[int, int], ...]
    block_size: int
    inode_size: int


@cache
def _ext_places(good: MemoryDevice) -> _Ext:
    """Source: the kernel's Documentation/filesystems/ext4, super.rst, group_descr.rst, inodes.rst and ifork.rst."""
    superblock = good.read(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)
    block_size = 1024 << struct.unpack_from("<I", superblock, 0x18)[0]
    first_block, clusters, inode_count = (struct.unpack_from("<I", superblock, offset)[0] for offset in (0x14, 0x24, 0x28))
    inode_size = struct.unpack_from("<H", superblock, 0x58)[0]
    group = (first_block + 1) * block_size
    block_bitmap, inode_bitmap, table = (block * block_size for block in struct.unpack("<III", good.read(group, 12)))
    inodes, directories = [], []
    for number in range(1, inode_count + 1):
        place = table + (number - 1) * inode_size
        inode = good.read(place, inode_size)
        if not any(inode):
            continue
        inodes.append((number, place))
        if inode[1] >> 4 == 4:      # i_mode: a directory; its extents stand in the inode itself
            for extent in range(struct.unpack_from("<H", inode, 42)[0]):
                _, length, high, low = struct.unpack_from("<IHHI", inode, 52 + 12 * extent)
                directories += [(number, ((high << 32 | low) + block) * block_size) for block in range(length)]
    return _Ext(group, (block_bitmap, clusters // 8), (inode_bitmap, inode_count // 8), tuple(inodes), tuple(directories), block_size, inode_size)


def ext_metadata(device: BlockDevice, good: MemoryDevice) -> None:
    """All of metadata_csum at the places where they were: inodes, blocks of directories, bitmaps, group descriptor, superblock."""
    places = _ext_places(good)
    crc32c = _crc32c()
    seed = crc32c(0xFFFF_FFFF, device.read(SUPERBLOCK_OFFSET + 0x68, 16))
    seeds = {}
    for number, place in places.inodes:
        inode = bytearray(device.read(place, places.inode_size))
        seeds[number] = crc32c(crc32c(seed, number.to_bytes(4, "little")), bytes(inode[0x64:0x68]))
        has_high = inode[0x80] | inode[0x81] << 8 >= 4
        inode[0x7C:0x7E] = bytes(2)
        if has_high:
            inode[0x82:0x84] = bytes(2)
        found = crc32c(seeds[number], bytes(inode)).to_bytes(4, "little")
        device.write(place + 0x7C, found[:2])
        if has_high:
            device.write(place + 0x82, found[2:])
    for number, place in places.directories:
        device.write(place + places.block_size - 4, crc32c(seeds[number], device.read(place, places.block_size - 12)).to_bytes(4, "little"))
    for (place, size), low in ((places.block_bitmap, 0x18), (places.inode_bitmap, 0x1A)):
        found = crc32c(seed, device.read(place, size)).to_bytes(4, "little")
        device.write(places.group + low, found[:2])
        device.write(places.group + low + 0x20, found[2:])
    descriptor = device.read(places.group, 64)
    checksum = crc32c(crc32c(seed, bytes(4)), descriptor[:0x1E] + bytes(2) + descriptor[0x20:])
    device.write(places.group + 0x1E, (checksum & 0xFFFF).to_bytes(2, "little"))
    device.write(SUPERBLOCK_OFFSET + 0x3FC, crc32c(0xFFFF_FFFF, device.read(SUPERBLOCK_OFFSET, 0x3FC)).to_bytes(4, "little"))


def _crc32c() -> Callable[[int, bytes], int]:
    _, library = load()
    return lambda seed, data: int(library.ext2fs_crc32c_le(seed, data, len(data)))
