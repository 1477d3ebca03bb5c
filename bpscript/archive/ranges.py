"""Sorted byte ranges in arrays: the used parts of a volume, a million of them in 16 MiB.

Half-open, in order, never touching each other. Python tuples would take ten times the room.
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import add, sub
from struct import Struct

from ..base.errors import FormatError

MAX_RANGES = 4 << 20       # 64 MiB in memory; capture merges neighbours until they fit (`simplify`)
_FIXED = Struct("<II")     # unit in bytes, number of ranges
_UINT32_MAX = (1 << 32) - 1


class Ranges:
    """Half-open byte ranges, in order."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.starts = array("Q")
        self.ends = array("Q")
        for start, end in ranges:
            self.append(start, end)

    def append(self, start: int, end: int) -> None:
        """Add a range behind all others, or one that overlaps or touches the last."""
        if end <= start:
            return
        if self.ends and start <= self.ends[-1]:
            if start < self.starts[-1]:
                raise ValueError("ranges must be given in order")
            self.ends[-1] = max(self.ends[-1], end)
        else:
            self.starts.append(start)
            self.ends.append(end)

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self.starts, self.ends, strict=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.starts == other.starts and self.ends == other.ends

    __hash__ = None  # type: ignore[assignment]

    @property
    def total(self) -> int:
        """Bytes in all ranges."""
        return sum(self.ends) - sum(self.starts)

    def within(self, start: int, end: int) -> list[tuple[int, int]]:
        """The parts that lie in a window, clipped to it."""
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end)
        if first >= last:
            return []
        starts, ends = self.starts[first:last], self.ends[first:last]       # copies; chunk after chunk this is asked
        starts[0], ends[-1] = max(start, starts[0]), min(end, ends[-1])
        return list(zip(starts, ends, strict=True))

    def next_start(self, position: int) -> int | None:
        """Where the next used byte at or after `position` is; None when there is none."""
        index = bisect_right(self.ends, position)
        return max(position, self.starts[index]) if index < len(self.starts) else None

    def part(self, start: int, end: int) -> "Ranges":
        """What lies in a window, counted from its start."""
        result = Ranges()
        for index in range(bisect_right(self.ends, start), len(self.starts)):
            if self.starts[index] >= end:
                break
            result.starts.append(max(start, self.starts[index]) - start)
            result.ends.append(min(end, self.ends[index]) - start)
        return result

    def end_of(self, position: int) -> int:
        """The end of the range that holds the byte at `position`."""
        return self.ends[bisect_right(self.ends, position)]

    def common(self, other: "Ranges") -> "Ranges":
        """What is in both."""
        if len(other) == 1 and self.ends and other.starts[0] <= self.starts[0] and other.ends[0] >= self.ends[-1]:
            return self     # without a copy: there may be millions
        few, many = sorted((self, other), key=len)
        found = Ranges()
        for start, end in few:
            first, last = bisect_right(many.ends, start), bisect_left(many.starts, end)
            if first < last:
                at = len(found)
                found.starts.extend(many.starts[first:last])
                found.ends.extend(many.ends[first:last])
                found.starts[at], found.ends[-1] = max(start, found.starts[at]), min(end, found.ends[-1])
        return found

    def clipped(self, size: int) -> "Ranges":
        """The parts below `size`."""
        if not self.ends or self.ends[-1] <= size:
            return self
        return Ranges((start, min(end, size)) for start, end in self if start < size)

    def simplify(self, limit: int = MAX_RANGES) -> "Ranges":
        """The same or more bytes in at most `limit` ranges: the smallest gaps are closed first."""
        result = self
        gap = 4096
        while len(result) > limit:
            merged = Ranges()
            for start, end in result:
                if merged.ends and start - merged.ends[-1] <= gap:
                    merged.ends[-1] = end
                else:
                    merged.append(start, end)
            result = merged
            gap *= 4
        return result

    def pack(self) -> bytes:
        """The form of the archive (FORMAT.md, "Section USED"): unit, count, all gaps, all lengths; unsigned 32-bit."""
        together = 0
        for edges in (self.starts, self.ends):
            for edge in edges:
                together |= edge
        unit = together & -together if together else 1       # the greatest power of two that divides every edge
        unit = min(unit, 1 << 20)
        gaps, lengths, last = array("I"), array("I"), 0
        for start, end in self:
            gap, length, last = (start - last) // unit, (end - start) // unit, end
            while gap > _UINT32_MAX:        # a longer one is continued with an empty range, or an empty gap
                gaps.append(_UINT32_MAX)
                lengths.append(0)
                gap -= _UINT32_MAX
            gaps.append(gap)
            lengths.append(min(length, _UINT32_MAX))
            while length > _UINT32_MAX:
                length -= _UINT32_MAX
                gaps.append(0)
                lengths.append(min(length, _UINT32_MAX))
        return _FIXED.pack(unit, len(gaps)) + _little(gaps).tobytes() + _little(lengths).tobytes()

    @classmethod
    def unpack(cls, data: bytes, size: int) -> "Ranges":
        """The reverse of `pack`; every range must lie below `size`. Raises FormatError."""
        if len(data) < _FIXED.size:
            raise FormatError(f"archive header: list of used ranges has {len(data)} bytes, expected at least {_FIXED.size}")
        unit, count = _FIXED.unpack_from(data)
        if not 0 < unit <= 1 << 20 or unit & (unit - 1) or count > MAX_RANGES or len(data) != _FIXED.size + 8 * count:
            raise FormatError(f"archive header: list of used ranges is damaged (unit {unit}, {count} ranges, {len(data)} bytes)")
        numbers = array("I")
        numbers.frombytes(memoryview(data)[_FIXED.size :])
        view = memoryview(_little(numbers))      # without copies: there may be millions
        gaps, lengths = view[:count], view[count:]
        last = (sum(gaps) + sum(lengths)) * unit
        if last > size:
            raise FormatError(f"archive header: a used range reaches to byte {last} of {size}")
        ends = map(unit.__mul__, accumulate(map(add, gaps, lengths)))
        if 0 in gaps[1:] or 0 in lengths:       # one that is continued
            return cls((end - length * unit, end) for end, length in zip(ends, lengths, strict=True))
        result = cls()
        result.ends.extend(ends)
        result.starts.extend(map(sub, result.ends, map(unit.__mul__, lengths)))
        return result


def _little(numbers: "array[int]") -> "array[int]":
    """The array in little-endian order, swapped in place on the rare host that is not."""
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def merge(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in any order, overlapping or not, as an ordered list of disjoint ones."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged

