"""Maps of files: what is built reads back the same; hostile trees are refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError, StorageError
from bpscript.filesystems.ext.blockmap import (
    Run,
    Walker,
    append_run,
    build_extents,
    build_indirect,
    cut_holes,
    extent_tree_size,
)

END = 1 << 33       # blocks of an imaginary volume
TREE = 1 << 31      # where its tree blocks lie


class Blocks:
    """Free blocks for trees, and what was stored in them."""

    def __init__(self, block_size: int, first: int = TREE) -> None:
        self.block_size = block_size
        self.next = first
        self.stored: dict[int, bytes] = {}

    def take(self) -> int:
        self.next += 1
        return self.next

    def walker(self) -> Walker:
        return Walker(self.stored.__getitem__, self.block_size, 1, END, "inode 12")


@st.composite
def maps(draw: st.DrawFn, most: int, longest: int = 40_000, beyond: int = END - 2**20) -> list[Run]:
    """Runs in logical order with and without holes between them; neighbours on disk never continue each other."""
    runs: list[Run] = []
    logical = 0
    for _ in range(draw(st.integers(0, most))):
        logical += draw(st.sampled_from([0, 0, 1, 1000, 2**20]))
        count = draw(st.integers(1, longest))
        start = draw(st.integers(1, beyond))
        append_run(runs, logical, start, count)
        logical += count
    return runs


def joined(runs: list[Run]) -> list[Run]:
    result: list[Run] = []
    for run in runs:
        append_run(result, *run)
    return result


@given(maps(most=60), st.sampled_from([1024, 4096]))
def test_extents_read_back(runs: list[Run], block_size: int) -> None:
    blocks = Blocks(block_size)
    root, tree = build_extents(runs, block_size, blocks.take)
    blocks.stored = {part.block: part.data for part in tree}
    assert len(root) == 60
    assert all(len(part.data) == block_size and part.checksum for part in tree)
    found = blocks.walker().read_extents(root)
    assert found.runs == joined(runs)
    assert sorted(found.tree) == sorted(blocks.stored)
    pieces = sum(-(-run.blocks // 0x8000) for run in runs)
    assert len(tree) == extent_tree_size(pieces, block_size)


@pytest.mark.parametrize("count", [4, 5, 84, 85, 336, 337, 7056, 7057, 30_000])
def test_extent_trees_of_every_depth(count: int) -> None:
    runs = [Run(3 * index, 10 + 2 * index, 1) for index in range(count)]
    blocks = Blocks(1024)
    root, tree = build_extents(runs, 1024, blocks.take)
    blocks.stored = {part.block: part.data for part in tree}
    found = blocks.walker().read_extents(root)
    assert found.runs == runs
    assert sorted(found.tree) == sorted(blocks.stored)
    assert len(tree) == extent_tree_size(count, 1024)


def test_unwritten_extents_keep_their_mark() -> None:
    runs = [Run(0, 100, 40_000, unwritten=True), Run(40_000, 50_000, 5)]
    root, tree = build_extents(runs, 4096, Blocks(4096).take)
    assert tree == []
    assert Blocks(4096).walker().read_extents(root).runs == runs


@given(maps(most=12, longest=700, beyond=2**31))
def test_indirect_blocks_read_back(runs: list[Run]) -> None:
    blocks = Blocks(1024)
    runs = [run for run in runs if run.logical + run.blocks < 2**21]
    pointers, tree = build_indirect(runs, 1024, blocks.take)
    blocks.stored = {part.block: part.data for part in tree}
    found = blocks.walker().read_indirect(pointers)
    assert found.runs == joined(runs)
    assert sorted(found.tree) == sorted(blocks.stored)


@pytest.mark.parametrize("logical", [0, 11, 12, 267, 268, 268 + 65_535, 268 + 65_536, 16_843_019])
def test_the_first_and_last_block_of_every_level(logical: int) -> None:
    blocks = Blocks(1024)
    pointers, tree = build_indirect([Run(logical, 77, 1)], 1024, blocks.take)
    blocks.stored = {part.block: part.data for part in tree}
    assert blocks.walker().read_indirect(pointers).runs == [Run(logical, 77, 1)]


@pytest.mark.parametrize("run", [Run(16_843_020, 77, 1), Run(0, 2**32 - 1, 2)])
def test_what_indirect_blocks_cannot_reach(run: Run) -> None:
    with pytest.raises(StorageError, match="too large for a file system without extents"):
        build_indirect([run], 1024, Blocks(1024).take)


@given(maps(most=8, longest=50), st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 60)), max_size=6))
def test_cutting_holes(runs: list[Run], cuts: list[tuple[int, int]]) -> None:
    holes: list[tuple[int, int]] = []
    for start, length in sorted(cuts):
        if not holes or start >= holes[-1][1]:
            holes.append((start, start + length))
    kept, freed = cut_holes(runs, holes)

    def blocks_of(some: list[Run]) -> dict[int, int]:
        return {run.logical + index: run.start + index for run in some for index in range(run.blocks)}

    before = blocks_of(runs)
    hollow = {block for start, end in holes for block in range(start, end)}
    assert blocks_of(kept) == {logical: block for logical, block in before.items() if logical not in hollow}
    assert sorted(start + index for start, count in freed for index in range(count)) == sorted(
        block for logical, block in before.items() if logical in hollow
    )


def leaf(*extents: tuple[int, int, int]) -> bytes:
    return struct.pack("<HHHHI", 0xF30A, len(extents), 4, 0, 0) + b"".join(struct.pack("<IHHI", a, n, 0, b) for a, n, b in extents)


@pytest.mark.parametrize(
    ("root", "words"),
    [
        (struct.pack("<HHHHI", 0xF30A, 0, 4, 9, 0), "extent tree of depth 9"),
        (struct.pack("<HHHHI", 0xF30B, 0, 4, 0, 0), "damaged extent tree"),
        (struct.pack("<HHHHI", 0xF30A, 5, 4, 0, 0), "damaged extent tree"),
        (leaf((0, 1, 0)), "blocks 0 to 1 are outside the volume"),
        (leaf((0, 0, 5)), "extents out of order"),
        (leaf((5, 2, 5), (6, 1, 50)), "extents out of order"),
    ],
)
def test_hostile_extents(root: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=f"inode 12: .*{words}"):
        Blocks(1024).walker().read_extents(root.ljust(60, b"\0"))


def test_a_tree_that_contains_itself_is_refused() -> None:
    blocks = Blocks(1024)
    index = struct.pack("<IIHH", 0, 500, 0, 0)
    blocks.stored[500] = (struct.pack("<HHHHI", 0xF30A, 1, 84, 1, 0) + index).ljust(1024, b"\0")
    root = struct.pack("<HHHHI", 0xF30A, 1, 4, 2, 0) + index
    with pytest.raises(FormatError, match="block 500 of its map is outside the volume or used twice"):
        blocks.walker().read_extents(root.ljust(60, b"\0"))
    blocks.stored[500] = struct.pack("<I", 500) * 256
    with pytest.raises(FormatError, match="used twice"):
        blocks.walker().read_indirect(struct.pack("<15I", *[0] * 13, 500, 0))


def test_a_file_cannot_have_more_blocks_than_the_volume() -> None:
    walker = Walker(Blocks(1024).stored.__getitem__, 1024, 1, 1000, "inode 12")
    with pytest.raises(FormatError, match="more blocks than the volume"):
        walker.read_extents(leaf((0, 800, 1), (800, 800, 1)).ljust(60, b"\0"))
