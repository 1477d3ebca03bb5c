"""A set of positions, kept as half-open ranges that are in order, apart from each other, and never empty."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeSet:
    """What was added and not removed since."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, start: int, end: int) -> None:
        """Every position from `start` up to, not including, `end`."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)          # the first range that touches or follows
        last = bisect_right(self._starts, end)          # behind the last range that touches
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Take positions out."""
        if start >= end:
            return
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        left = [(self._starts[first], start)] if self._starts[first] < start else []
        right = [(end, self._ends[last - 1])] if self._ends[last - 1] > end else []
        self._starts[first:last] = [a for a, _ in left + right]
        self._ends[first:last] = [b for _, b in left + right]

    def within(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of the ranges that lie in a window, in order."""
        for index in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[index] >= end or start >= end:
                return
            yield max(self._starts[index], start), min(self._ends[index], end)

    def next_start(self, position: int) -> tuple[int, int] | None:
        """The range that holds `position` or, if none does, the next one; None behind the last."""
        index = bisect_right(self._ends, position)
        return (self._starts[index], self._ends[index]) if index < len(self._starts) else None
