"""Copy-on-write: writes stay in memory, the lower device is never touched.

    lower  |················································|
    kept         |####|        |##|                            pages written since open
    zeroed             |_____________|                         ranges zeroed since open, under the pages

A page of 64 KiB is copied up the first time a part of it is written. A zeroed range costs the same memory whatever its length.
"""

from collections.abc import Iterable, Iterator

from ..base.zeros import clear
from .device import BlockDevice, Buffer, check_range, data_ranges_of
from .ranges import RangeSet

PAGE = 64 * 1024


class OverlayDevice:
    """`lower` as it would be if it had been written to."""

    def __init__(self, lower: BlockDevice) -> None:
        self._lower = lower
        self._pages: dict[int, bytearray] = {}      # page number → contents; the last one of the device is whole too
        self._zeroed = RangeSet()                   # bytes, whole pages; what a page in `_pages` says goes before it

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
        end = offset + len(view)
        while view:
            page, start = divmod(offset, PAGE)
            kept = self._pages.get(page)
            if kept is not None:
                length = min(PAGE - start, len(view))
                view[:length] = memoryview(kept)[start : start + length]
            else:
                zeroed = self._zeroed.next_start(offset)
                is_zeroed = zeroed is not None and zeroed[0] <= offset
                limit = end if zeroed is None else min(end, zeroed[1] if is_zeroed else zeroed[0])
                length = self._gap(page, limit) - offset
                if is_zeroed:
                    clear(view[:length])
                else:
                    self._lower.readinto(offset, view[:length])
            view = view[length:]
            offset += length

    def write(self, offset: int, data: Buffer) -> None:
        """Keep `data` in memory."""
        view = memoryview(data).cast("B")
        check_range(self.size, offset, len(view), "overlay")
        while view:
            page, start = divmod(offset, PAGE)
            length = min(PAGE - start, len(view))
            if length == PAGE:
                self._pages[page] = bytearray(view[:PAGE])
            else:
                self._page(page)[start : start + length] = view[:length]
            view = view[length:]
            offset += length

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Keep the buffers in memory."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        check_range(self.size, offset, sum(map(len, views)), "overlay")
        for view in views:
            self.write(offset, view)
            offset += len(view)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros; whole pages cost no memory."""
        check_range(self.size, offset, length, "overlay")
        end = offset + length
        first = -(-offset // PAGE)
        last = -(-end // PAGE) if end == self.size else end // PAGE
        if first >= last:
            self._zero_part(offset, end)
            return
        self._zero_part(offset, first * PAGE)
        self._zero_part(last * PAGE, end)
        if last - first < len(self._pages):
            for page in range(first, last):
                self._pages.pop(page, None)
        else:
            self._pages = {page: kept for page, kept in self._pages.items() if not first <= page < last}
        self._zeroed.add(first * PAGE, last * PAGE)

    def flush(self) -> None:
        """Nothing reaches the lower device."""

    def changed_ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges that do not come from the lower device, merged, in order."""
        changed = RangeSet()
        for start, end in self._zeroed:
            changed.add(start, end)
        for page in sorted(self._pages):
            changed.add(page * PAGE, (page + 1) * PAGE)
        yield from changed.within(0, self.size)

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges that may hold data: the lower device's but for what was zeroed, and every page written here."""
        check_range(self.size, offset, length, "overlay")
        found = RangeSet()
        for start, end in data_ranges_of(self._lower, offset, length):
            found.add(start, end)
        for start, end in self._zeroed.within(offset, offset + length):
            found.remove(start, end)
        for page in sorted(self._pages):
            found.add(page * PAGE, (page + 1) * PAGE)
        yield from found.within(offset, offset + length)

    def _gap(self, page: int, limit: int) -> int:
        """Where the pages kept here begin again behind `page`, at most `limit`."""
        while page * PAGE < limit and page not in self._pages:
            page += 1
        return min(page * PAGE, limit)

    def _zero_part(self, offset: int, end: int) -> None:
        """Zero inside one or two pages."""
        while offset < end:
            page, start = divmod(offset, PAGE)
            length = min(PAGE - start, end - offset)
            zeroed = self._zeroed.next_start(offset)
            if page in self._pages or zeroed is None or zeroed[0] > offset:
                self._page(page)[start : start + length] = bytes(length)
            offset += length

    def _page(self, number: int) -> bytearray:
        page = self._pages.get(number)
        if page is None:
            offset = number * PAGE
            zeroed = self._zeroed.next_start(offset)
            if zeroed is not None and zeroed[0] <= offset:
                page = bytearray(PAGE)
            else:
                page = bytearray(self._lower.read(offset, min(PAGE, self.size - offset)).ljust(PAGE, b"\0"))
            self._pages[number] = page
        return page
