"""Free blocks: taken in runs as long as possible, next to where the last ones were taken.

The bitmaps and the counts of groups and superblock are the library's; here is only the choice. `reserved` blocks are promised
to directories that will need them when they are written, so no file gets them.

Blocks that something on the disk leads to are not free when they are given up, but `retired`: until `settle` says that the disk
knows of it, nothing new is written there, or a power cut would leave an old file with new contents. When room is short, `on_short`
brings that about.
"""

from collections.abc import Callable
from typing import Any

from ...base.errors import NoSpaceError
from .channel import Channel
from .library import load

_PROBES = 16            # free runs looked at before a file is cut in pieces
_FREE_LOW = 0x0C // 4   # s_free_blocks_count, and its high half, as indices of 32-bit words
_FREE_HIGH = 0x158 // 4
_AT_ONCE = 1 << 30      # blocks per library call; its counts have 32 bits


class Allocator:
    """Takes and frees blocks of a volume whose bitmaps are loaded."""

    def __init__(self, filesystem: Any, channel: Channel, first: int, end: int, wide: bool) -> None:  # noqa: ANN401
        self._ffi, self._library = load()
        self._filesystem = filesystem
        self._map = filesystem.block_map
        self._channel = channel
        self._first = first
        self._last = end - 1
        self._wide = wide
        self._found = self._ffi.new("blk64_t *")
        self._goal = first
        self._super = self._ffi.cast("uint32_t *", filesystem.super)
        self._retired: list[tuple[int, int]] = []
        self._retired_count = 0
        self.on_short: Callable[[], object] | None = None
        self.reserved = 0

    @property
    def free(self) -> int:
        """Blocks that may be taken."""
        return max(0, self._free_now + self._retired_count - self.reserved)

    @property
    def at_once(self) -> int:
        """Blocks that may be taken without settling what was retired."""
        return max(0, self._free_now - self.reserved)

    @property
    def _free_now(self) -> int:
        free: int = self._super[_FREE_LOW]
        if self._wide:
            free |= self._super[_FREE_HIGH] << 32
        return free

    def check(self, count: int) -> None:
        """Raise NoSpaceError unless there are so many."""
        if count > self.free:
            raise self._no_space(count)

    def take(self, count: int) -> list[tuple[int, int]]:
        """`count` blocks as (start, count) pieces, one where possible. Raises NoSpaceError and takes nothing."""
        self.check(count)
        if count > self.at_once and self._retired and self.on_short is not None:
            self.on_short()
        taken: list[tuple[int, int]] = []
        left = count
        while left:
            piece = self._find(left)
            if piece is None:
                self.give_back(taken)
                raise self._no_space(count)
            start, length = piece
            self._library.ext2fs_block_alloc_stats_range(self._filesystem, start, length, 1)
            self._channel.forget(start, length)
            self._goal = start + length
            left -= length
            if taken and sum(taken[-1]) == start:
                start, length = taken[-1][0], taken.pop()[1] + length
            taken.append((start, length))
        return taken

    def take_run(self, count: int) -> int | None:
        """The first of `count` blocks in one run near the goal; None, with nothing taken, when they are not the next that are free."""
        if count > self.at_once:
            return None
        piece = self._free_run(self._goal, self._last, count) if self._goal <= self._last else None
        if piece is None or piece[1] < count:
            return None
        start = piece[0]
        self._library.ext2fs_block_alloc_stats_range(self._filesystem, start, count, 1)
        self._channel.forget(start, count)
        self._goal = start + count
        return start

    def take_one(self) -> int:
        """One block."""
        return self.take(1)[0][0]

    def give_back(self, pieces: list[tuple[int, int]]) -> None:
        """Free blocks."""
        for start, count in pieces:
            for done in range(0, count, _AT_ONCE):
                self._library.ext2fs_block_alloc_stats_range(self._filesystem, start + done, min(_AT_ONCE, count - done), -1)

    def retire(self, pieces: list[tuple[int, int]]) -> None:
        """Give up blocks that something on the disk leads to."""
        self._retired += pieces
        self._retired_count += sum(count for _, count in pieces)

    def settle(self) -> None:
        """Nothing on the disk leads to retired blocks any more: they are free."""
        retired, self._retired = self._retired, []
        self._retired_count = 0
        self.give_back(retired)

    def _find(self, wanted: int) -> tuple[int, int] | None:
        """The first free run of `wanted` blocks near the goal, else the longest of those looked at."""
        best: tuple[int, int] | None = None
        probes = 0
        for low, high in ((self._goal, self._last), (self._first, self._goal - 1)):
            position = low
            while position <= high:
                piece = self._free_run(position, high, min(wanted, _AT_ONCE))
                if piece is None:
                    break
                if piece[1] >= wanted:
                    return piece
                if best is None or piece[1] > best[1]:
                    best = piece
                probes += 1
                if probes >= _PROBES:
                    return best
                position = sum(piece)
        return best

    def _free_run(self, start: int, last: int, wanted: int) -> tuple[int, int] | None:
        found = self._found
        if self._library.ext2fs_find_first_zero_block_bitmap2(self._map, start, last, found):
            return None
        begin = int(found[0])
        end = min(begin + wanted - 1, last)
        if end == begin or self._library.ext2fs_find_first_set_block_bitmap2(self._map, begin, end, found):
            return begin, end - begin + 1
        return begin, int(found[0]) - begin

    def _no_space(self, count: int) -> NoSpaceError:
        size = self._channel.block_size
        return NoSpaceError(f"{count * size} bytes are needed and {self.free * size} are free")
