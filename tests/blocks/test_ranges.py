"""Sets of ranges against sets of numbers."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from bpscript.blocks.ranges import RangeSet

steps = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 40)), max_size=30)


def ranges_of(numbers: set[int]) -> list[tuple[int, int]]:
    groups = [list(group) for _, group in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])]
    return [(group[0][1], group[-1][1] + 1) for group in groups]


@given(steps, st.integers(0, 40), st.integers(0, 40))
def test_it_is_a_set_of_positions(todo: list[tuple[bool, int, int]], start: int, end: int) -> None:
    found, model = RangeSet(), set[int]()
    for add, first, last in todo:
        if add:
            found.add(first, last)
            model |= set(range(first, last))
        else:
            found.remove(first, last)
            model -= set(range(first, last))
        assert list(found) == ranges_of(model)
    assert len(found) == len(ranges_of(model))
    assert list(found.within(start, end)) == ranges_of(model & set(range(start, end)))
    assert found.next_start(start) == next((span for span in ranges_of(model) if span[1] > start), None)
