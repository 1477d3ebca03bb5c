"""Byte ranges against a plain set of numbers, and the packed form against hostile bytes."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.archive.ranges import MAX_RANGES, Ranges
from bpscript.base.errors import FormatError

UNITS = st.sampled_from([1, 512, 4096, 3 * 1024])
EDGES = st.lists(st.integers(0, 200), unique=True, max_size=20).map(sorted)


def ranges_of(edges: list[int], unit: int) -> Ranges:
    return Ranges((a * unit, b * unit) for a, b in zip(edges[::2], edges[1::2], strict=False))


@given(EDGES, UNITS)
def test_packed_and_unpacked_they_are_the_same(edges: list[int], unit: int) -> None:
    ranges = ranges_of(edges, unit)
    size = (ranges.ends[-1] if len(ranges) else 0) + 1
    assert Ranges.unpack(ranges.pack(), size) == ranges


@given(EDGES, st.integers(0, 210), st.integers(0, 210))
def test_a_window_has_what_a_set_has(edges: list[int], start: int, end: int) -> None:
    ranges = ranges_of(edges, 1)
    members = {number for a, b in ranges for number in range(a, b)}
    assert {number for a, b in ranges.within(start, end) for number in range(a, b)} == members & set(range(start, end))
    assert ranges.next_start(start) == min((number for number in members if number >= start), default=None)
    assert {number for a, b in ranges.clipped(end) for number in range(a, b)} == members & set(range(end))
    assert ranges.total == len(members)


@given(st.lists(st.integers(0, 60), unique=True), st.lists(st.integers(0, 60), unique=True))
def test_what_two_have_in_common_is_what_sets_have(mine: list[int], theirs: list[int]) -> None:
    one, other = ranges_of(sorted(mine), 1), ranges_of(sorted(theirs), 1)
    both = {byte for start, end in one for byte in range(start, end)} & {byte for start, end in other for byte in range(start, end)}
    found = one.common(other)
    assert {byte for start, end in found for byte in range(start, end)} == both
    assert found == Ranges(found)      # in order, none touches the next


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=8), st.sampled_from([1, 512]))
def test_empty_gaps_and_ranges_continue_what_is_there(pieces: list[tuple[int, int]], unit: int) -> None:
    position, pairs = 0, []
    for gap, length in pieces:
        pairs.append(((position + gap) * unit, (position + gap + length) * unit))
        position += gap + length
    numbers = [gap for gap, _ in pieces] + [length for _, length in pieces]
    assert Ranges.unpack(pack(f"<II{len(numbers)}I", unit, len(pieces), *numbers), position * unit) == Ranges(pairs)


def test_terabytes_in_small_units_are_packed() -> None:
    ranges = Ranges([(1, 2), (5 << 40, 9 << 40), (1 << 50, (1 << 50) + 1)])
    assert Ranges.unpack(ranges.pack(), 1 << 51) == ranges


def test_too_many_ranges_become_fewer_and_lose_nothing() -> None:
    ranges = Ranges((number * 8192, number * 8192 + 512) for number in range(1000))
    fewer = ranges.simplify(100)
    assert len(fewer) <= 100
    assert all(fewer.within(a, b) == [(a, b)] for a, b in ranges)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\1\0\0", "has 3 bytes"),
        (pack("<II", 3, 0), "unit 3"),
        (pack("<II", 0, 0), "unit 0"),
        (pack("<II", 512, MAX_RANGES + 1), f"{MAX_RANGES + 1} ranges"),
        (pack("<IIII", 512, 2, 0, 1), "2 ranges, 16 bytes"),
        (pack("<IIII", 512, 1, 1, 2), "reaches to byte 1536 of 1024"),
        (pack("<IIIIII", 1 << 20, 2, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), "reaches to byte"),
    ],
)
def test_a_damaged_list_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        Ranges.unpack(data, 1024)


def test_ranges_out_of_order_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="in order"):
        Ranges([(10, 20), (5, 12)])
