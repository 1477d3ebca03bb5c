"""Directories: read whole into a dictionary, changed there, and written whole when the volume is flushed.

A name added costs a dictionary entry; nothing is searched, so a directory of 50,000 names is as quick per name as one of ten.
The blocks are laid out anew on every flush: one block, or several in the order of the names' arrival, or (feature dir_index,
more than one block) sorted by hash under an index, as `e2fsck -D` would leave them.

    linear      [. .. a b c ·····][d e f ·········]
    indexed     [. ..  hash→block …][names with the lowest hashes][next …]      two levels of index where one is full

While names arrive, `room_needed` says how many blocks the linear form takes, so that room is found before the change and
not when it is too late. Next-fit packing never needs more room after a name is taken away.

Source: the kernel's Documentation/filesystems/ext4/directory.rst; e2fsprogs `lib/ext2fs/ext2_fs.h`, struct ext2_dir_entry_2,
ext2_dx_root_info, ext2_dx_entry, ext2_dx_countlimit.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ...base.errors import FormatError
from .blockmap import Map, Run
from .inodes import Inode

ENTRY = struct.Struct("<IHBB")          # inode, rec_len, name_len, file_type
_HEAD = ENTRY.size
_CHECKSUM_TAIL = 12                     # an entry of its own: inode 0, rec_len 12, name_len 0, type 0xDE, crc32c
_TAIL_TYPE = 0xDE
_DOTS = 24                              # bytes of "." and ".." together
MAX_NAME = 255                          # bytes
_ROOT_INFO = struct.Struct("<IBBBB")    # reserved, hash_version, info_length, indirect_levels, unused_flags
_DX_ENTRY = struct.Struct("<II")        # hash, block
_DX_COUNT_LIMIT = struct.Struct("<HH")  # limit, count: in place of the first entry's hash
_DX_TAIL = 8                            # dx_tail: reserved, checksum


class Shape(NamedTuple):
    """What the volume prescribes for its directories."""

    block_size: int
    has_types: bool             # feature filetype
    has_checksums: bool         # feature metadata_csum
    has_index: bool             # feature dir_index
    hash_version: int           # as stored in an index: 0 legacy, 1 half MD4, 2 tea
    inode_count: int

    @property
    def room(self) -> int:
        """Bytes for entries in one block."""
        return self.block_size - (_CHECKSUM_TAIL if self.has_checksums else 0)


class Directory:
    """One directory in memory. `names`: name → (inode, type of the entry), in order of arrival."""

    __slots__ = (
        "_at", "_blocks", "changed", "inode", "inode_changed", "names", "number", "on_disk", "parent", "remap", "reserved", "runs", "shape", "tree",
    )  # fmt: skip

    def __init__(self, number: int, parent: int, inode: Inode, shape: Shape) -> None:
        self.number = number
        self.parent = parent
        self.inode = inode
        self.shape = shape
        self.names: dict[bytes, tuple[int, int]] = {}
        self.runs: list[Run] = []           # its blocks, those not yet on disk included
        self.tree: list[int] = []           # blocks of the map on disk
        self.reserved = 0                   # blocks promised for the next map
        self.changed = False                # blocks differ from the disk's
        self.remap = False                  # runs differ from the disk's
        self.inode_changed = False
        self.on_disk = False                # something on the disk may lead to its blocks
        self._blocks = 1                    # the linear form: blocks begun, and bytes used of the last
        self._at = _DOTS

    @property
    def block_count(self) -> int:
        """Blocks it has now; directories have no holes."""
        return self.runs[-1].logical + self.runs[-1].blocks if self.runs else 0

    @property
    def fits_one_block(self) -> bool:
        """Whether it needs no index."""
        return _DOTS + sum((_HEAD + 3 + len(name)) & ~3 for name in self.names) <= self.shape.room

    def whole_map(self) -> Map:
        """All blocks that go when the directory goes."""
        return Map(self.runs, self.tree)

    def room_needed(self, names: Iterable[bytes]) -> int:
        """Blocks of the linear form with more names."""
        blocks, at, room = self._blocks, self._at, self.shape.room
        for name in names:
            size = (_HEAD + 3 + len(name)) & ~3
            at += size
            if at > room:
                blocks += 1
                at = size
        return blocks

    def add(self, name: bytes, number: int, kind: int) -> None:
        """Add a name, or let it stand for something else."""
        if name not in self.names:
            self._count(name)
        self.names[name] = (number, kind if self.shape.has_types else 0)
        self.changed = True

    def take(self, name: bytes) -> None:
        """Remove a name that is there."""
        del self.names[name]
        self.changed = True

    def _count(self, name: bytes) -> None:
        size = entry_size(name)
        self._at += size
        if self._at > self.shape.room:
            self._blocks += 1
            self._at = size

    def read(self, blocks: Iterable[bytes], where: str) -> None:
        """Fill from the blocks of the disk. Raises FormatError where they are damaged."""
        names = self.names
        seen_dots = 0
        for index, block in enumerate(blocks):
            for number, kind, name in parse_block(block, self.shape, where):
                if name in {b".", b".."}:
                    if index or seen_dots >= 2:
                        raise FormatError(f'{where}: "{name.decode()}" stands in the middle of the directory')
                    if name == b"..":
                        self.parent = number
                    seen_dots += 1
                elif name in names:
                    raise FormatError(f'{where}: the name "{name.decode("utf-8", "replace")}" is there twice')
                else:
                    names[name] = (number, kind)
                    self._count(name)
        if seen_dots != 2:
            raise FormatError(f'{where}: a directory without "." and ".."')

    def linear(self) -> list[bytes]:
        """The blocks without an index."""
        kind = 2 if self.shape.has_types else 0
        entries = [(self.number, kind, b"."), (self.parent, kind, b"..")]
        entries += [(number, kind, name) for name, (number, kind) in self.names.items()]
        sizes = [(_HEAD + 3 + len(name)) & ~3 for _, _, name in entries]
        return [join_block(entries[a:b], self.shape) for a, b in next_fit(sizes, self.shape.room)]

    def indexed(self, hashes_of: Callable[[Iterable[bytes]], Iterable[tuple[int, int]]]) -> list[bytes] | None:
        """The blocks with an index; None when two levels are not enough."""
        shape = self.shape
        hashed = sorted(zip(hashes_of(self.names), self.names.items(), strict=True))
        sizes = [(_HEAD + 3 + len(name)) & ~3 for _, (name, _) in hashed]
        leaves, hashes = [], []
        # Three quarters full, so that the kernel can add names for a while before it has to split blocks.
        for first, last in next_fit(sizes, shape.room * 3 // 4):
            group = hashed[first:last]
            leaves.append(join_block([(number, kind, name) for _, (name, (number, kind)) in group], shape))
            # Bit 0 of a hash in the index says that the hash goes on from the block before.
            major = group[0][0][0]
            continues = first > 0 and hashed[first - 1][0][0] == major
            hashes.append(major + continues)
        tail = _DX_TAIL if shape.has_checksums else 0
        root_limit = (shape.block_size - _DOTS - _ROOT_INFO.size - tail) // _DX_ENTRY.size
        node_limit = (shape.block_size - _HEAD - tail) // _DX_ENTRY.size
        if len(leaves) <= root_limit:
            table = [(value, 1 + index) for index, value in enumerate(hashes)]
            return [self._root(table, root_limit, 0), *leaves]
        node_count = -(-len(leaves) // node_limit)
        if node_count > root_limit:
            return None
        nodes, table = [], []
        for index in range(node_count):
            first = index * node_limit
            below = [(hashes[leaf], 1 + node_count + leaf) for leaf in range(first, min(first + node_limit, len(leaves)))]
            table.append((below[0][0], 1 + index))
            head = ENTRY.pack(0, encode_length(shape.block_size), 0, 0)
            nodes.append((head + self._table(below, node_limit)).ljust(shape.block_size, b"\0"))
        return [self._root(table, root_limit, 1), *nodes, *leaves]

    def _root(self, table: list[tuple[int, int]], limit: int, levels: int) -> bytes:
        shape = self.shape
        kind = 2 if shape.has_types else 0
        data = ENTRY.pack(self.number, 12, 1, kind) + b".\0\0\0"
        data += ENTRY.pack(self.parent, encode_length(shape.block_size - 12), 2, kind) + b"..\0\0"
        data += _ROOT_INFO.pack(0, shape.hash_version, _ROOT_INFO.size, levels, 0)
        return (data + self._table(table, limit)).ljust(shape.block_size, b"\0")

    @staticmethod
    def _table(table: list[tuple[int, int]], limit: int) -> bytes:
        """Hashes and blocks; the first hash is always 0, and its place holds limit and count."""
        first = _DX_COUNT_LIMIT.pack(limit, len(table)) + table[0][1].to_bytes(4, "little")
        return first + b"".join(_DX_ENTRY.pack(value, block) for value, block in table[1:])


def entry_size(name: bytes) -> int:
    """Bytes of the entry of a name: head and name, in fours."""
    return (_HEAD + 3 + len(name)) & ~3


def next_fit(sizes: list[int], room: int) -> Iterator[tuple[int, int]]:
    """Half-open groups of neighbours that fit a block; at least one, perhaps empty."""
    first = total = 0
    for index, size in enumerate(sizes):
        if total + size > room and index > first:
            yield first, index
            first, total = index, 0
        total += size
    yield first, len(sizes)


def encode_length(length: int) -> int:
    """rec_len: 16 bits; in blocks of 64 KiB the whole block is 65535 (ext2fs_set_rec_len)."""
    return 0xFFFF if length == 0x10000 else length


def join_block(entries: list[tuple[int, int, bytes]], shape: Shape) -> bytes:
    """One block of entries; the last one reaches to the end."""
    parts: list[bytes] = []
    left, pack = shape.room, ENTRY.pack
    for number, kind, name in entries[:-1]:
        size = (_HEAD + 3 + len(name)) & ~3
        left -= size
        parts += (pack(number, size, len(name), kind), name.ljust(size - _HEAD, b"\0"))
    number, kind, name = entries[-1] if entries else (0, 0, b"")
    parts += (pack(number, encode_length(left), len(name), kind), name)
    data = b"".join(parts).ljust(shape.room, b"\0")
    return data + struct.pack("<IHBBI", 0, _CHECKSUM_TAIL, 0, _TAIL_TYPE, 0) if shape.has_checksums else data


def parse_block(block: bytes, shape: Shape, where: str) -> Iterator[tuple[int, int, bytes]]:
    """Inode, type and name of the entries in use. Blocks of an index look like one unused entry and give none."""
    position, size = 0, len(block)
    unpack = ENTRY.unpack_from
    while position < size:
        # Ends: every entry is at least 8 bytes long.
        number, length, name_length, kind = unpack(block, position)
        if size >= 0x10000:
            length = 0x10000 if length in {0, 0xFFFF} else length & 0xFFFC | (length & 3) << 16
        if length < _HEAD or length % 4 or position + length > size or _HEAD + name_length > length:
            raise FormatError(f"{where}: damaged directory entry at byte {position} of a block (length {length}, name {name_length})")
        if number:
            if number > shape.inode_count:
                raise FormatError(f"{where}: an entry points to inode {number} of {shape.inode_count}")
            name = block[position + _HEAD : position + _HEAD + name_length]
            if not name or b"/" in name or b"\0" in name:
                raise FormatError(f"{where}: damaged name {name!r}")
            yield number, kind if shape.has_types else 0, name
        position += length


def appends(old: bytes, new: bytes, shape: Shape) -> bool:
    """Whether a block is another one with entries behind its last."""
    position = last = 0
    while position < shape.room:
        length = int.from_bytes(old[position + 4 : position + 6], "little")
        if length < _HEAD or position + length > shape.room:
            return False
        last, position = position, position + length
    used = entry_size(old[last + _HEAD : last + _HEAD + old[last + 6]])
    start, end = last + 4, last + 6         # rec_len of the last entry: it alone may be shorter
    return new[:start] == old[:start] and new[end : last + used] == old[end : last + used] and int.from_bytes(new[start:end], "little") == used
