"""Which blocks of the cache are free, and who has which."""

from collections.abc import Iterable

from .layout import Entry, Extent


class FreeSpace:
    """Free extents of `blocks` blocks, in order and merged. What is taken is given as few extents as possible."""

    def __init__(self, blocks: int, used: Iterable[Extent]) -> None:
        self._free: list[Extent] = []
        position = 0
        for first, count in sorted(used):
            if first > position:
                self._free.append((position, first - position))
            position = max(position, first + count)
        if position < blocks:
            self._free.append((position, blocks - position))

    @property
    def free(self) -> int:
        """Free blocks."""
        return sum(count for _, count in self._free)

    def take(self, count: int, most_extents: int) -> list[Extent] | None:
        """`count` blocks in at most so many extents: the smallest hole that holds all, else the largest ones; None without room."""
        fitting = min((extent for extent in self._free if extent[1] >= count), key=lambda extent: extent[1], default=None)
        holes = [fitting] if fitting is not None else sorted(self._free, key=lambda extent: -extent[1])[:most_extents]
        taken: list[Extent] = []
        left = count
        for first, length in holes:
            if left:
                taken.append((first, min(length, left)))
                left -= taken[-1][1]
        if left or len(taken) > most_extents:
            return None
        for first, length in taken:
            self._cut(first, length)
        return sorted(taken)

    def give_back(self, extents: Iterable[Extent]) -> None:
        """Make extents free again; they must be taken."""
        merged: list[Extent] = []
        for first, count in sorted([*self._free, *extents]):
            if merged and sum(merged[-1]) == first:
                merged[-1] = (merged[-1][0], merged[-1][1] + count)
            else:
                merged.append((first, count))
        self._free = merged

    def _cut(self, first: int, count: int) -> None:
        """Take the beginning of a hole away."""
        place = next(index for index, extent in enumerate(self._free) if extent[0] == first)
        length = self._free[place][1]
        self._free[place : place + 1] = [(first + count, length - count)] if length > count else []


def without_overlaps(slots: dict[int, Entry]) -> dict[int, Entry]:
    """The entries left when of two with a block in common the older one goes."""
    extents = sorted((first, first + count, slot) for slot, entry in slots.items() for first, count in entry.extents)
    gone: set[int] = set()
    end, owner = 0, -1
    for first, last, slot in extents:
        if slot in gone:
            continue
        if owner >= 0 and owner not in gone and first < end:
            if owner == slot or slots[slot].generation <= slots[owner].generation:
                gone.add(slot)
                continue
            gone.add(owner)
        end, owner = last, slot
    return {slot: entry for slot, entry in slots.items() if slot not in gone}
