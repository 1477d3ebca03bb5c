"""Where the blocks of a file lie: the extent tree of ext4, and the indirect blocks of ext2 and ext3.

Both are read into runs and built from runs; in between nothing else is kept. Trees are built whole, bottom up, because files are
written whole.

    runs        [0..8) → 500   [8..12) hole   [12..400) → 520
    extents     i_block: header, up to 4 entries; deeper: blocks of entries, below them more blocks
    indirect    i_block: 12 direct pointers, then blocks of pointers one, two and three levels deep

Source: the kernel's Documentation/filesystems/ext4/{dynamic,ifork}.rst; e2fsprogs `lib/ext2fs/ext3_extents.h`.
Hostile trees: no block is visited twice, depth is bounded, and every address lies inside the volume.
"""

import struct
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ...base.errors import FormatError, StorageError

EXTENT_MAGIC = 0xF30A
_HEADER = struct.Struct("<HHHHI")       # eh_magic, eh_entries, eh_max, eh_depth, eh_generation
_LEAF = struct.Struct("<IHHI")          # ee_block, ee_len, ee_start_hi, ee_start
_INDEX = struct.Struct("<IIHH")         # ei_block, ei_leaf, ei_leaf_hi, ei_unused
_ONE_EXTENT = struct.Struct("<HHHHIIHHI36x")
_ENTRY = 12                             # bytes of header and entries alike
_TAIL = 4                               # et_checksum behind the entries of a block
MAX_EXTENT = 0x8000                     # longest extent; larger ee_len means "uninitialised, ee_len - 0x8000 blocks"
_MAX_UNWRITTEN = 0x7FFF
_MAX_DEPTH = 5                          # EXT4_MAX_EXTENT_DEPTH
_ROOT_ENTRIES = 4
_DIRECT = 12
_MAX_BLOCKS = (1 << 32) - 1             # logical block numbers have 32 bits

ReadBlock = Callable[[int], bytes]


class Run(NamedTuple):
    """So many blocks of a file from `logical` on lie at `start`; `unwritten` ones read as zeros."""

    logical: int
    start: int
    blocks: int
    unwritten: bool = False


class Map(NamedTuple):
    """All runs of a file in logical order, and the blocks of the tree itself."""

    runs: list[Run]
    tree: list[int]


def append_run(runs: list[Run], logical: int, start: int, count: int, unwritten: bool = False) -> None:
    """Add blocks at the end, joined to the last run where they continue it."""
    if runs:
        last = runs[-1]
        if last.logical + last.blocks == logical and last.start + last.blocks == start and last.unwritten == unwritten:
            runs[-1] = Run(last.logical, last.start, last.blocks + count, unwritten)
            return
    runs.append(Run(logical, start, count, unwritten))


def only_extent(root: bytes, first: int, end: int) -> Run | None:
    """The run of a file whose i_block has one written extent inside the blocks given, as most files do; else None."""
    magic, entries, _, depth, _, logical, length, high, low = _ONE_EXTENT.unpack(root)
    start = low | high << 32
    if (magic, entries, depth) != (EXTENT_MAGIC, 1, 0) or not 0 < length <= MAX_EXTENT or not first <= start <= end - length:
        return None
    return Run(logical, start, length)


class Walker:
    """Reads the map of one file; `first` and `end` are the blocks of the volume that may be used."""

    def __init__(self, read_block: ReadBlock, block_size: int, first: int, end: int, where: str) -> None:
        self._read_block = read_block
        self._block_size = block_size
        self._first = first
        self._end = end
        self._where = where
        self._seen: set[int] = set()
        self._left = end - first        # blocks the file may still have: no more than the volume
        self.map = Map([], [])

    def read_extents(self, root: bytes) -> Map:
        """The map of an inode with EXTENTS_FL."""
        magic, _, _, depth, _ = _HEADER.unpack_from(root)
        if magic == 0 and not any(root):        # what some tools leave in empty files
            return self.map
        if depth > _MAX_DEPTH:
            raise self._error(f"extent tree of depth {depth}, expected at most {_MAX_DEPTH}")
        self._read_node(root, depth, _ROOT_ENTRIES)
        return self.map

    def _read_node(self, node: bytes, depth: int, room: int) -> None:
        magic, entries, _, node_depth, _ = _HEADER.unpack_from(node)
        if magic != EXTENT_MAGIC or node_depth != depth or entries > room:
            raise self._error(f"damaged extent tree (magic 0x{magic:04x}, {entries} entries, depth {node_depth})")
        for position in range(_ENTRY, _ENTRY * (entries + 1), _ENTRY):
            if depth:
                _, low, high, _ = _INDEX.unpack_from(node, position)
                block = self._tree_block(low | high << 32)
                self._read_node(block, depth - 1, (len(block) - _ENTRY) // _ENTRY)
                continue
            logical, length, high, low = _LEAF.unpack_from(node, position)
            unwritten = length > MAX_EXTENT
            count = length - MAX_EXTENT if unwritten else length
            start = low | high << 32
            runs = self.map.runs
            if count == 0 or (runs and logical < runs[-1].logical + runs[-1].blocks):
                raise self._error(f"extents out of order at block {logical}")
            self._check(start, count)
            append_run(runs, logical, start, count, unwritten)

    def _check(self, start: int, count: int) -> None:
        if not self._first <= start <= self._end - count:
            raise self._error(f"blocks {start} to {start + count} are outside the volume")
        self._left -= count
        if self._left < 0:
            raise self._error("it has more blocks than the volume")

    def read_indirect(self, pointers: bytes) -> Map:
        """The map of an inode with direct and indirect block pointers."""
        numbers = struct.unpack("<15I", pointers)
        self._take(numbers[:_DIRECT], 0)
        logical = _DIRECT
        for level in (1, 2, 3):
            logical = self._descend(numbers[_DIRECT - 1 + level], level, logical)
        return self.map

    def _descend(self, block: int, level: int, logical: int) -> int:
        """Read the pointers below `block`; gives the logical block behind them."""
        if block:
            data = self._tree_block(block)
            per_block = len(data) // 4
            numbers = struct.unpack(f"<{per_block}I", data)
            if level == 1:
                self._take(numbers, logical)
                return logical + per_block
            for number in numbers:
                logical = self._descend(number, level - 1, logical)
            return logical
        return logical + self._span(level)

    def _span(self, level: int) -> int:
        return int((self._block_size // 4) ** level)

    def _take(self, numbers: tuple[int, ...], logical: int) -> None:
        """Direct pointers: neighbours become runs."""
        position, total = 0, len(numbers)
        while position < total:
            start = numbers[position]
            count = 1
            if start:
                while position + count < total and numbers[position + count] == start + count:
                    count += 1
                self._check(start, count)
                append_run(self.map.runs, logical + position, start, count)
            position += count

    def _tree_block(self, block: int) -> bytes:
        if not self._first <= block < self._end or block in self._seen:
            raise self._error(f"block {block} of its map is outside the volume or used twice")
        self._seen.add(block)
        self.map.tree.append(block)
        return self._read_block(block)

    def _error(self, what: str) -> FormatError:
        return FormatError(f"{self._where}: {what}")


class TreeBlock(NamedTuple):
    """A block of a map to be written; `checksum` when the library has to add one."""

    block: int
    data: bytes
    checksum: bool


def _split(runs: list[Run]) -> list[Run]:
    """Runs as extents can hold them."""
    result = []
    for logical, start, count, unwritten in runs:
        limit = _MAX_UNWRITTEN if unwritten else MAX_EXTENT
        if count <= limit:
            result.append(Run(logical, start, count, unwritten))
        else:
            result += [
                Run(logical + done, start + done, min(limit, count - done), unwritten) for done in range(0, count, limit)
            ]
    return result


def extent_tree_size(extent_count: int, block_size: int) -> int:
    """Blocks that the tree of so many extents needs outside of the inode."""
    per_block = (block_size - _ENTRY - _TAIL) // _ENTRY
    total = 0
    while extent_count > _ROOT_ENTRIES:
        extent_count = -(-extent_count // per_block)
        total += extent_count
    return total


def build_extents(runs: list[Run], block_size: int, take: Callable[[], int]) -> tuple[bytes, list[TreeBlock]]:
    """i_block and the tree blocks of a file; `take` gives a free block for each of them.

    Raises StorageError for a file with too many pieces for the deepest tree.
    """
    if len(runs) == 1 and runs[0].blocks <= _MAX_UNWRITTEN and not runs[0].unwritten:     # nearly every file
        logical, start, count, _ = runs[0]
        return _ONE_EXTENT.pack(EXTENT_MAGIC, 1, _ROOT_ENTRIES, 0, 0, logical, count, start >> 32, start & 0xFFFF_FFFF), []
    per_block = (block_size - _ENTRY - _TAIL) // _ENTRY
    pieces = _split(runs)
    entries = [
        (run.logical, _LEAF.pack(run.logical, run.blocks + (MAX_EXTENT if run.unwritten else 0), run.start >> 32, run.start & 0xFFFF_FFFF))
        for run in pieces
    ]
    depth = 0
    blocks: list[TreeBlock] = []
    while len(entries) > _ROOT_ENTRIES:
        if depth == _MAX_DEPTH:
            raise StorageError(f"a file in {len(pieces)} pieces is too fragmented to be stored")
        above = []
        for first in range(0, len(entries), per_block):
            group = entries[first : first + per_block]
            block = take()
            data = _HEADER.pack(EXTENT_MAGIC, len(group), per_block, depth, 0) + b"".join(entry for _, entry in group)
            blocks.append(TreeBlock(block, data.ljust(block_size, b"\0"), True))
            above.append((group[0][0], _INDEX.pack(group[0][0], block & 0xFFFF_FFFF, block >> 32, 0)))
        entries = above
        depth += 1
    root = _HEADER.pack(EXTENT_MAGIC, len(entries), _ROOT_ENTRIES, depth, 0) + b"".join(entry for _, entry in entries)
    return root.ljust(60, b"\0"), blocks


def largest_file(block_size: int, *, extents: bool) -> int:
    """Bytes of the largest file that the kernel reads.

    Source: linux fs/ext4/super.c, ext4_max_size and ext4_max_bitmap_size: 32 bits number the blocks of a file with extents; without them three
    levels of pointers end it, or i_blocks, which counts 512 bytes in 32 bits, blocks of pointers too. A hole counts as if it were full.
    """
    if extents:
        return _MAX_BLOCKS * block_size
    per_block = block_size // 4
    below_third = _DIRECT + per_block + per_block**2
    counted = _MAX_BLOCKS * 512 // block_size
    third = counted - below_third
    pointers = 1 + (1 + per_block) + (1 - -third // per_block - -third // per_block**2)
    return min(below_third + per_block**3, counted - pointers) * block_size


def build_indirect(runs: list[Run], block_size: int, take: Callable[[], int]) -> tuple[bytes, list[TreeBlock]]:
    """i_block and the pointer blocks of a file without extents.

    Raises StorageError for a file longer than three levels of pointers reach, or a volume block beyond 32 bits.
    """
    per_block = block_size // 4
    pointers: dict[int, int] = {}
    chunks: dict[int, array[int]] = {}      # number of the pointer block below the inode → its pointers
    for logical, start, count, _ in runs:
        if start + count > _MAX_BLOCKS or logical + count > _DIRECT + per_block + per_block**2 + per_block**3:
            raise StorageError("the file is too large for a file system without extents")
        for index in range(count):
            if logical + index < _DIRECT:
                pointers[logical + index] = start + index
                continue
            group, slot = divmod(logical + index - _DIRECT, per_block)
            chunk = chunks.get(group)
            if chunk is None:
                chunk = chunks[group] = array("I", bytes(block_size))
            chunk[slot] = start + index
    blocks: list[TreeBlock] = []

    def put(chunk: "array[int]") -> int:
        block = take()
        blocks.append(TreeBlock(block, chunk.tobytes(), False))
        return block

    # Groups of pointers: 0 hangs on the inode, the next per_block on one double block, the rest on the triple tree.
    level = {group: put(chunk) for group, chunk in sorted(chunks.items())}
    if 0 in level:
        pointers[_DIRECT] = level.pop(0)
    double: dict[int, array[int]] = {}
    for group, block in level.items():
        number, slot = divmod(group - 1, per_block)
        if number not in double:
            double[number] = array("I", bytes(block_size))
        double[number][slot] = block
    level = {number: put(chunk) for number, chunk in double.items()}
    if 0 in level:
        pointers[_DIRECT + 1] = level.pop(0)
    if level:
        triple = array("I", bytes(block_size))
        for number, block in level.items():
            triple[number - 1] = block
        pointers[_DIRECT + 2] = put(triple)
    return struct.pack("<15I", *(pointers.get(slot, 0) for slot in range(15))), blocks


def cut_holes(runs: list[Run], holes: list[tuple[int, int]]) -> tuple[list[Run], list[tuple[int, int]]]:
    """Runs without the logical ranges of `holes` (half-open, in order), and the physical ranges (start, count) set free."""
    kept: list[Run] = []
    freed: list[tuple[int, int]] = []
    for run in runs:
        position, end = run.logical, run.logical + run.blocks
        shift = run.start - run.logical
        for low, high in _inside(holes, position, end):
            if low > position:
                append_run(kept, position, position + shift, low - position, run.unwritten)
            freed.append((low + shift, high - low))
            position = high
        if position < end:
            append_run(kept, position, position + shift, end - position, run.unwritten)
    return kept, freed


def _inside(holes: list[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    for low, high in holes:
        if low < end and high > start:
            yield max(low, start), min(high, end)
