"""The receiving side of a carousel: what has come, what is missing, and what to do about it. No sockets, no files, no clock.

    waiting ──► a packet of the session: its bytes go to their place, a bit in the map says so
       │
       ├─ nothing missing                                                        DONE
       ├─ no packet for SILENCE_S (none at all yet, or the stream ended)         SILENT   the rest by HTTP
       ├─ a whole turn has passed, and little is missing (1/16), or the last
       │  turn brought less than half of what was missing before                 REPAIR   the rest by HTTP
       └─ a whole turn has passed, and much is missing                           another turn

A turn is measured by offsets: every step forward counts, a step back of less than half a file is a packet that was overtaken.
Whoever sends wrong packets can make a turn look shorter; more is fetched by HTTP then. What is in a packet is not believed either:
digests are checked when all is there (digests.py).
"""

from collections.abc import Iterator, Sequence
from enum import Enum

from ...base.errors import NetworkError
from .packets import HEAD, MAGIC, MAX_BLOCKS, Buffer, block_count

SILENCE_S = 4.0
_FEW = 16           # 1/16 of the file
Write = tuple[int, Sequence[Buffer]]        # where in the file, and the bytes that follow each other there


class Next(Enum):
    """What to do now."""

    WAIT = "wait"
    DONE = "done"
    SILENT = "silent"
    REPAIR = "repair"


class Receiver:
    """One file of `size` bytes. Raises NetworkError for a size whose map would be too large."""

    def __init__(self, session: bytes, size: int, block: int, now: float) -> None:
        self._count = block_count(size, block)
        if self._count > MAX_BLOCKS or not 1 <= block <= 65_000 or size < 0:
            raise NetworkError(f"{size} bytes in blocks of {block} are too many for a carousel")
        self._session = session
        self._size = size
        self._block = block
        self._map = bytearray(-(-self._count // 8))
        self.missing = self._count          # blocks
        self.received = 0                   # bytes that came and were new
        self._heard = now
        self._last: int | None = None       # the block that came last
        self._travelled = 0                 # blocks that have passed in this turn, lost ones too
        self._before = self._count          # missing at the end of the turn before

    def take(self, packets: memoryview, step: int, now: float) -> list[Write]:
        """Datagrams of `step` bytes one after the other (the last may be shorter): what is new in them, in runs."""
        writes: list[Write] = []
        run: list[Buffer] = []
        start = following = -1
        for at in range(0, len(packets), step):
            packet = packets[at : at + step]
            index = self._index(packet)
            if index is None:
                continue
            self._heard = now
            self._move(index)
            bit = 1 << (index & 7)
            if self._map[index >> 3] & bit:
                continue
            self._map[index >> 3] |= bit
            self.missing -= 1
            self.received += len(packet) - HEAD.size
            if index != following:
                if run:
                    writes.append((start * self._block, run))
                run, start = [], index
            run.append(packet[HEAD.size :])
            following = index + 1
        if run:
            writes.append((start * self._block, run))
        return writes

    def next(self, now: float) -> Next:
        """What to do; asked after packets, and when none come."""
        if not self.missing:
            return Next.DONE
        if now - self._heard >= SILENCE_S:
            return Next.SILENT
        if self._travelled < self._count:
            return Next.WAIT
        if self.missing * _FEW <= self._count or self.missing * 2 > self._before:
            return Next.REPAIR
        self._before = self.missing
        self._travelled = 0
        return Next.WAIT

    def holes(self, *, join: int = 0) -> Iterator[tuple[int, int]]:
        """Half-open ranges of bytes that are missing, in order; those with at most `join` bytes between them as one."""
        start = end = -1
        for first, last in self._gaps():
            if start >= 0 and first - end <= join:
                end = last
                continue
            if start >= 0:
                yield start, end
            start, end = first, last
        if start >= 0:
            yield start, end

    def fill(self, start: int, end: int) -> int:
        """These bytes came by another way, from a border of blocks to one, or to the end of the file; how many of them were missing."""
        new = 0
        for index in range(start // self._block, block_count(end, self._block)):
            bit = 1 << (index & 7)
            if not self._map[index >> 3] & bit:
                self._map[index >> 3] |= bit
                self.missing -= 1
                new += min(self._block, self._size - index * self._block)
        return new

    def _index(self, packet: memoryview) -> int | None:
        """The number of the block; None for what is no packet of this file."""
        length = len(packet) - HEAD.size
        if length <= 0:
            return None
        magic, session, offset = HEAD.unpack_from(packet)
        if magic != MAGIC or session != self._session or offset >= self._size or offset % self._block:
            return None
        return offset // self._block if length == min(self._block, self._size - offset) else None

    def _move(self, index: int) -> None:
        if self._last is None:
            self._last, self._travelled = index, 1
            return
        ahead = (index - self._last) % self._count
        if ahead and (ahead * 2 <= self._count or self._count < _FEW):
            self._travelled += ahead
            self._last = index

    def _gaps(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges of bytes, each run of missing blocks."""
        start = -1
        for number in range(len(self._map)):
            byte = self._map[number]
            if (byte == 0xFF and start < 0) or (byte == 0 and start >= 0):
                continue
            for bit in range(8):
                index = number * 8 + bit
                if index >= self._count:
                    break
                if byte >> bit & 1:
                    if start >= 0:
                        yield start * self._block, index * self._block
                        start = -1
                elif start < 0:
                    start = index
        if start >= 0:
            yield start * self._block, self._size
