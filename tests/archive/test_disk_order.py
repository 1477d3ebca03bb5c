"""Files of an image in the order of their blocks."""

import random
from collections.abc import Iterator
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.archive.container import ChunkKind, ChunkRecord
from bpscript.archive.disk_order import Placed, apart, contents_in_order, place_of
from bpscript.archive.records import NO_HASH
from bpscript.blocks.device import BlockDevice
from bpscript.filesystems.filesystem import Extent

CHUNK = 1000
IMAGE = random.Random(5).randbytes(10 * CHUNK)


class Some:
    """Chunks of `IMAGE`, those in `zero` left out, one of them in pieces; each view dies with the next step."""

    def __init__(self, zero: set[int], *, whole_zeros: bool = False) -> None:
        self.zero = zero
        self.whole_zeros = whole_zeros

    def chunks(self, threads: int | None = None) -> Iterator[tuple[ChunkRecord, memoryview]]:
        buffer = bytearray(CHUNK)
        for index in range(10):
            record = ChunkRecord(index * CHUNK, CHUNK, 0, ChunkKind.ZERO if index in self.zero else ChunkKind.DATA, NO_HASH)
            if index in self.zero:
                if self.whole_zeros:
                    for _ in range(4):
                        yield record, memoryview(bytes(CHUNK // 4))
                continue
            buffer[:] = IMAGE[index * CHUNK : (index + 1) * CHUNK]
            yield record, memoryview(buffer)

    def expected(self, start: int, size: int) -> bytes:
        return bytes(0 if at // CHUNK in self.zero else IMAGE[at] for at in range(start, start + size))


class Volume:
    """A volume with one file."""

    def __init__(self, extents: list[Extent] | None) -> None:
        self._extents = extents

    @property
    def device(self) -> BlockDevice:
        raise AssertionError

    def extents(self, path: str) -> list[Extent] | None:
        return self._extents


@pytest.mark.parametrize("whole_zeros", [False, True])
@given(st.lists(st.tuples(st.integers(0, 9900), st.integers(1, 3500)), max_size=12), st.sets(st.integers(0, 9)))
def test_every_file_gets_its_bytes(whole_zeros: bool, wanted: list[tuple[int, int]], zero: set[int]) -> None:
    chunks = Some(zero, whole_zeros=whole_zeros)
    places, _ = apart(Placed(start, min(size, len(IMAGE) - start), number) for number, (start, size) in enumerate(wanted))
    seen = []
    for group in contents_in_order(chunks, places):  # type: ignore[arg-type]
        for place, contents in group:
            assert len(group) == 1 or isinstance(contents, tuple)
            assert b"".join(map(bytes, contents)) == chunks.expected(place.start, place.size)
            seen.append(place)
    assert seen == places


@given(st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 700), st.integers(1, 1800)), min_size=1, max_size=6), st.integers(0, 200_000), st.sets(st.integers(0, 9)))
def test_a_file_in_pieces_gets_its_holes(pieces: list[tuple[int, int, int]], tail: int, zero: set[int]) -> None:
    """Each piece: bytes of the image before it, bytes of a hole before it, its length."""
    extents: list[Extent] = []
    wanted, offset, logical = b"", 0, 0
    chunks = Some(zero)
    for gap, hole, length in pieces:
        if offset + gap + length > len(IMAGE):
            break
        offset += gap
        extents.append(Extent(logical + hole, offset, length))
        wanted += bytes(hole) + chunks.expected(offset, length)
        logical, offset = logical + hole + length, offset + length
    wanted += bytes(tail)
    place = place_of(Volume(extents), "file", len(wanted), 7)
    if not extents:
        assert place is None
        return
    assert place is not None
    assert (place.start, place.start + place.size) == (extents[0].offset, offset)
    (((found, contents),),) = contents_in_order(chunks, [place])  # type: ignore[arg-type]
    assert found is place
    # A view is good until the next step only, and there is no step after the last.
    assert b"".join(bytes(piece) for piece in contents) == wanted


def test_a_file_whose_pieces_lie_in_another_order_is_not_placed() -> None:
    assert place_of(Volume([Extent(0, 5000, 10), Extent(10, 4000, 10)]), "file", 20, 0) is None
    assert place_of(Volume([Extent(0, 5000, 10), Extent(10, 5005, 10)]), "file", 20, 0) is None
    assert place_of(Volume(None), "file", 20, 0) is None


def test_contents_that_nobody_reads_do_not_disturb_the_next_file() -> None:
    chunks = Some(set())
    places = [Placed(0, 2500, 0), Placed(2500, 10, 1), Placed(9000, 1000, 2)]
    found = {}
    for place, contents in chain.from_iterable(contents_in_order(chunks, places)):  # type: ignore[arg-type]
        if place.number:
            found[place.number] = b"".join(map(bytes, contents))
    assert found == {1: IMAGE[2500:2510], 2: IMAGE[9000:]}


def test_of_files_that_share_blocks_the_first_is_kept() -> None:
    assert apart([Placed(10, 10, 0), Placed(0, 11, 1), Placed(11, 5, 2), Placed(20, 1, 3)]) == (
        [Placed(0, 11, 1), Placed(11, 5, 2), Placed(20, 1, 3)], [Placed(10, 10, 0)],
    )
