"""Blocks of directories, without a volume."""

import hashlib
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.filesystems.ext.directory import Directory, Shape, entry_size, next_fit, parse_block
from bpscript.filesystems.ext.inodes import Inode

NAMES = st.lists(st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 0x2F} & set(name) and name not in {b".", b".."}), max_size=120, unique=True)
SHAPES = st.builds(
    Shape, block_size=st.sampled_from([1024, 4096, 65536]), has_types=st.booleans(), has_checksums=st.booleans(), has_index=st.just(True),
    hash_version=st.just(1), inode_count=st.just(10_000),
)  # fmt: skip


def made(names: list[bytes], shape: Shape) -> Directory:
    directory = Directory(12, 2, Inode(), shape)
    for index, name in enumerate(names):
        directory.add(name, 100 + index, index % 8)
    return directory


def hashes_of(names: Iterable[bytes]) -> list[tuple[int, int]]:
    return [hash_of(name) for name in names]


def hash_of(name: bytes) -> tuple[int, int]:
    """A hash with collisions; bit 0 is clear as in real ones."""
    digest = hashlib.md5(name, usedforsecurity=False).digest()
    return int.from_bytes(digest[:1], "little") << 8, int.from_bytes(digest[4:8], "little")


def read(blocks: list[bytes], shape: Shape) -> Directory:
    directory = Directory(12, 0, Inode(), shape)
    directory.read(blocks, "directory")
    return directory


@given(NAMES, SHAPES)
def test_linear_blocks_read_back_in_order_and_in_the_promised_number(names: list[bytes], shape: Shape) -> None:
    directory = made(names, shape)
    blocks = directory.linear()
    assert all(len(block) == shape.block_size for block in blocks)
    again = read(blocks, shape)
    assert list(again.names.items()) == list(directory.names.items())
    assert again.parent == 2
    assert len(blocks) == directory._blocks == again._blocks


@given(NAMES, SHAPES)
def test_indexed_blocks_read_back_and_lie_in_the_order_of_their_hashes(names: list[bytes], shape: Shape) -> None:
    directory = made(names or [b"one"], shape)
    blocks = directory.indexed(hashes_of)
    assert blocks is not None
    assert read(blocks, shape).names == directory.names
    leaves = [[hash_of(name)[0] for _, _, name in parse_block(block, shape, "")] for block in blocks[1:]]
    assert sum(map(len, leaves)) == len(directory.names)
    for before, after in pairwise(leaves):
        assert max(before) <= min(after)


@given(st.lists(st.integers(12, 264), max_size=60), st.data())
def test_taking_names_away_never_needs_more_blocks(sizes: list[int], data: st.DataObject) -> None:
    """What `Directory.room_needed` promises rests on this."""
    before = len(list(next_fit(sizes, 1012)))
    left = [size for size in sizes if data.draw(st.booleans())]
    assert len(list(next_fit(left, 1012))) <= before


def test_a_second_level_when_one_is_full_and_no_index_when_two_are() -> None:
    shape = Shape(1024, has_types=True, has_checksums=True, has_index=True, hash_version=1, inode_count=1 << 30)
    names = [b"%0200d" % number for number in range(1500)]
    directory = made(names, shape)
    blocks = directory.indexed(lambda names: [(int(name) * 2, 0) for name in names])
    assert blocks is not None
    assert blocks[0][30] == 1, "indirect levels"
    assert read(blocks, shape).names == directory.names
    huge = made([b"%0250d" % number for number in range(48_000)], shape)
    assert huge.indexed(lambda names: [(int(name) * 2, 0) for name in names]) is None


@pytest.mark.parametrize("name", [b"a", b"abcd", b"abcde", b"x" * 255])
def test_entries_are_multiples_of_four(name: bytes) -> None:
    assert entry_size(name) % 4 == 0
    assert 8 + len(name) <= entry_size(name) < 12 + len(name)


@given(st.binary(min_size=1024, max_size=1024))
def test_any_block_is_read_or_refused(block: bytes) -> None:
    shape = Shape(1024, has_types=True, has_checksums=False, has_index=True, hash_version=1, inode_count=1 << 31)
    try:
        list(parse_block(block, shape, "directory"))
    except FormatError:
        return


def test_names_that_are_there_twice() -> None:
    shape = Shape(1024, has_types=True, has_checksums=False, has_index=True, hash_version=1, inode_count=1000)
    block = made([b"same", b"othe"], shape).linear()[0]
    with pytest.raises(FormatError, match='the name "same" is there twice'):
        read([block.replace(b"othe", b"same")], shape)
    with pytest.raises(FormatError, match=r'"\." stands in the middle'):
        read([block, block], shape)
