"""Copy-on-write into another device: for more changes than memory should hold, `overlay.py` with its pages in a sparse file.

    lower  |················································|
    upper         |####|        |##|                            pages written or zeroed since open, at their own offsets

A page of 64 KiB is copied up the first time a part of it is written. One lock is around all: which device has a page must not
change while it is read.
"""

import threading
from collections.abc import Iterable, Iterator

from .device import BlockDevice, Buffer, check_range, data_ranges_of
from .ranges import RangeSet

PAGE = 64 * 1024


class ScratchOverlay:
    """`lower` as it would be if it had been written to; changes go to `upper`, as large as it and full of zeros."""

    def __init__(self, lower: BlockDevice, upper: BlockDevice) -> None:
        self._lower = lower
        self._upper = upper
        self._own = RangeSet()      # bytes that `upper` has, whole pages
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes."""
        return self._lower.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self.size, offset, length, "overlay")
        buffer = bytearray(length)
        self.readinto(offset, buffer)
        return bytes(buffer)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "overlay")
        position, end = offset, offset + len(view)
        with self._lock:
            for start, stop in self._own.within(offset, end):
                if position < start:
                    self._lower.readinto(position, view[position - offset : start - offset])
                self._upper.readinto(start, view[start - offset : stop - offset])
                position = stop
            if position < end:
                self._lower.readinto(position, view[position - offset :])

    def write(self, offset: int, data: Buffer) -> None:
        """Keep `data` in the upper device."""
        view = memoryview(data).cast("B")
        check_range(self.size, offset, len(view), "overlay")
        if view:
            with self._lock:
                self._take(offset, offset + len(view))
                self._upper.write(offset, view)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Keep the buffers in the upper device."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        length = sum(map(len, views))
        check_range(self.size, offset, length, "overlay")
        if length:
            with self._lock:
                self._take(offset, offset + length)
                self._upper.writev(offset, views)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        check_range(self.size, offset, length, "overlay")
        if length:
            with self._lock:
                self._take(offset, offset + length)
                self._upper.zero(offset, length)

    def flush(self) -> None:
        """Nothing reaches the lower device."""

    def changed_ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges that do not come from the lower device, merged, in order."""
        yield from self._own

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges that may hold data: the lower device's where nothing was written, and the upper's where it was."""
        check_range(self.size, offset, length, "overlay")
        found = RangeSet()
        with self._lock:
            for start, end in data_ranges_of(self._lower, offset, length):
                found.add(start, end)
            for start, end in self._own.within(offset, offset + length):
                found.remove(start, end)
                for first, last in data_ranges_of(self._upper, start, end - start):
                    found.add(first, last)
        yield from found

    def _take(self, start: int, end: int) -> None:
        """Make the pages of a range ours; what is written in part only is copied up first."""
        first = start // PAGE * PAGE
        last = min(-(-end // PAGE) * PAGE, self.size)
        for page, inside in ((first, start), (max(first, (end - 1) // PAGE * PAGE), end)):
            page_end = min(page + PAGE, self.size)
            if page < inside < page_end and not any(self._own.within(page, page_end)):
                self._upper.write(page, self._lower.read(page, page_end - page))
                self._own.add(page, page_end)
        self._own.add(first, last)
