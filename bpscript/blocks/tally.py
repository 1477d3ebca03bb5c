"""Layers that count: what was written to a device, and what was read of it. Neither keeps a byte, so their memory is small.

    Tally(Overlay(Reads(disk)))      a plan: the disk below is only read, and `Reads` knows which of its bytes mattered

Ranges are kept in whole units; when there are too many of them, in larger units: a bound for memory, whatever a script does.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

from ..base.units import SECTOR
from .device import BlockDevice, Buffer, data_ranges_of
from .medium import medium_of
from .ranges import RangeSet
from .through import ReadsThrough

MOST_RANGES = 200_000


class CoarseRanges:
    """Half-open ranges in whole units of `unit` bytes; beyond `most` ranges the unit grows by 8 and what comes close is joined."""

    def __init__(self, limit: int, unit: int = SECTOR, most: int = MOST_RANGES) -> None:
        self.unit = unit
        self.ranges = RangeSet()
        self._limit = limit         # of the positions: the size of the device
        self._most = most

    def add(self, start: int, end: int) -> None:
        """Bytes `start` to `end`."""
        if start < end:
            self.ranges.add(start // self.unit * self.unit, min(-(-end // self.unit) * self.unit, self._limit))
            while len(self.ranges) > self._most:
                self.unit *= 8
                old, self.ranges = self.ranges, RangeSet()
                for first, last in old:
                    self.ranges.add(first // self.unit * self.unit, min(-(-last // self.unit) * self.unit, self._limit))


class TallyDevice(ReadsThrough):
    """`lower`, and how much was written to it: `written` bytes in `calls` requests, to the places `touched`."""

    def __init__(self, lower: BlockDevice, *, real: BlockDevice | None = None) -> None:
        """`real` is the disk whose properties (sector size, kind of medium) this stands for."""
        super().__init__(lower)
        self._real = lower if real is None else real
        self._lock = threading.Lock()
        self.touched = CoarseRanges(lower.size)
        self.written = self.calls = 0
        self.is_real_disk: bool = getattr(self._real, "is_real_disk", False)
        self.sector_size: int = getattr(self._real, "sector_size", SECTOR)

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        self._lower.write(offset, data)
        self._count(offset, memoryview(data).nbytes)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other."""
        parts = list(buffers)
        self._lower.writev(offset, parts)
        self._count(offset, sum(memoryview(part).nbytes for part in parts))

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        self._lower.zero(offset, length)
        self._count(offset, length)

    def flush(self) -> None:
        """Flush the device below."""
        self._lower.flush()

    def medium(self) -> tuple[Path, int] | None:
        """What the disk lies on, so that whoever asks works as on the disk itself; nobody writes there."""
        return medium_of(self._real)

    def _count(self, offset: int, length: int) -> None:
        with self._lock:
            self.calls += 1
            self.written += length
            self.touched.add(offset, offset + length)


class ReadsDevice:
    """`lower`, for reading only, and which bytes of it were `read` while `counts` is true."""

    def __init__(self, lower: BlockDevice, unit: int = 4096) -> None:
        self._lower = lower
        self._lock = threading.Lock()
        self.seen = CoarseRanges(lower.size, unit)
        self.counts = True

    @property
    def size(self) -> int:
        """Bytes."""
        return self._lower.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        self._note(offset, length)
        return self._lower.read(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        self._note(offset, memoryview(buffer).nbytes)
        self._lower.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """What the device below says to it."""
        self._lower.write(offset, data)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """What the device below says to it."""
        self._lower.writev(offset, buffers)

    def zero(self, offset: int, length: int) -> None:
        """What the device below says to it."""
        self._lower.zero(offset, length)

    def flush(self) -> None:
        """Flush the device below."""
        self._lower.flush()

    def data_ranges(self, offset: int, length: int) -> Iterable[tuple[int, int]]:
        """Ranges that may hold data."""
        return data_ranges_of(self._lower, offset, length)

    def _note(self, offset: int, length: int) -> None:
        if self.counts:
            with self._lock:
                self.seen.add(offset, offset + length)
