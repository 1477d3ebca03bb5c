"""Runs of set bits, against a plain walk over every bit."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bpscript.filesystems.bits import bit_runs

# Any bytes, and long stretches of the same byte: those reach over the steps in which a bitmap is looked at.
PIECES = st.binary(max_size=40) | st.builds(lambda byte, count: bytes([byte]) * count, st.sampled_from([0, 255, 1, 128, 0x7E]), st.integers(1, 1200))


@given(st.lists(PIECES, max_size=5).map(b"".join))
def test_runs_are_those_of_a_plain_walk(bitmap: bytes) -> None:
    bits = [number for number in range(len(bitmap) * 8) if bitmap[number // 8] >> number % 8 & 1]
    runs = list(bit_runs(bitmap))
    assert [number for start, end in runs for number in range(start, end)] == bits
    assert all(first_end < second_start for (_, first_end), (second_start, _) in pairwise(runs))
