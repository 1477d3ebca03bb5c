"""Contents of files that never come by: a volume makes the file and says where its bytes belong, and somebody else brings them there.

    volume      name, inode, blocks ──► "bytes 500 to 900 belong at 70,000"      in no time
    courier     ......................► reads and writes them                    meanwhile, in another process

For new volumes that nobody can use before everything has arrived.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .filesystem import Extent

_PAGE = 4096        # bytes; zeros behind the end of a file go up to here, as `WriteBehind` has it


Bring = Callable[[int, int, int, int], None]
"""Source, length, destination, and how many zeros belong behind it; all in bytes."""


class Elsewhere:
    """The contents of one file, `extents` of another device; what they leave out are holes."""

    __slots__ = ("_bring", "extents", "size")

    def __init__(self, extents: "Sequence[Extent]", size: int, bring: Bring) -> None:
        self.extents = extents
        self.size = size
        self._bring = bring

    def __len__(self) -> int:
        return self.size

    @property
    def in_one_piece(self) -> bool:
        """Whether one extent holds everything."""
        return len(self.extents) == 1 and self.extents[0].length == self.size

    @property
    def stored(self) -> int:
        """Bytes that are not in holes."""
        return sum(extent.length for extent in self.extents)

    @property
    def has_holes(self) -> bool:
        """Whether extents do not hold everything."""
        return self.stored != self.size

    def belongs(self, offset: int, room: int) -> None:
        """All of it, without holes, belongs at `offset` of the device, in `room` bytes."""
        if not self.in_one_piece:
            self.part_belongs(0, self.size, offset, room)
            return
        size = self.size
        self._bring(self.extents[0].offset, size, offset, min(size + -(offset + size) % _PAGE, room) - size)

    def part_belongs(self, start: int, length: int, offset: int, room: int) -> None:
        """`length` bytes from `start` on, none of them in a hole, belong at `offset`; what follows in the `room` that is theirs are zeros."""
        padding = min(length + -(offset + length) % _PAGE, room) - length
        end = start + length
        for logical, source, count in self.extents:
            first, last = max(start, logical), min(end, logical + count)
            if first < last:
                self._bring(source + first - logical, last - first, offset + first - start, padding if last == end else 0)
