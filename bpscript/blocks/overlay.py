"""Copy-on-write: writes stay in memory, the lower device is never touched.

    lower  |················································|
    kept         |####|        |##|                            pages written since open

What stays: a page of 64 KiB is copied up the first time a part of it is written; a page that is zeroed whole costs no memory.
"""

from collections.abc import Iterable, Iterator

from .device import BlockDevice, Buffer, check_range, data_ranges_of

PAGE = 64 * 1024
_ZERO_PAGE = bytes(PAGE)


class OverlayDevice:
    """`lower` as it would be if it had been written to."""

    def __init__(self, lower: BlockDevice) -> None:
        self._lower = lower
        self._pages: dict[int, bytearray | None] = {}    # page number → contents; None is all zeros

    @property
    def size(self) -> int:
        """Bytes."""
        return self._lower.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        buffer = bytearray(length)
        self.readinto(offset, buffer)
        return bytes(buffer)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "overlay")
        done = 0
        while done < len(view):
            page, start = divmod(offset + done, PAGE)
            length = min(PAGE - start, len(view) - done)
            if page in self._pages:
                kept = self._pages[page]
                view[done : done + length] = (_ZERO_PAGE if kept is None else kept)[start : start + length]
            else:
                # Untouched pages are read from below in one piece.
                while done + length < len(view) and (offset + done + length) // PAGE not in self._pages:
                    length += min(PAGE, len(view) - done - length)
                self._lower.readinto(offset + done, view[done : done + length])
            done += length

    def write(self, offset: int, data: Buffer) -> None:
        """Keep `data` in memory."""
        view = memoryview(data).cast("B")
        check_range(self.size, offset, len(view), "overlay")
        done = 0
        while done < len(view):
            page, start = divmod(offset + done, PAGE)
            length = min(PAGE - start, len(view) - done)
            self._page(page)[start : start + length] = view[done : done + length]
            done += length

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Keep the buffers in memory."""
        for buffer in buffers:
            self.write(offset, buffer)
            offset += memoryview(buffer).nbytes

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros; whole pages cost no memory."""
        check_range(self.size, offset, length, "overlay")
        end = offset + length
        while offset < end:
            page, start = divmod(offset, PAGE)
            step = min(PAGE - start, end - offset)
            if step == PAGE:
                self._pages[page] = None
            elif self._pages.get(page, b"") is not None:
                self._page(page)[start : start + step] = bytes(step)
            offset += step

    def flush(self) -> None:
        """Nothing reaches the lower device."""

    def changed_ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges of pages that differ in origin from the lower device, merged, in order."""
        start = end = -1
        for page in sorted(self._pages):
            if page * PAGE != end:
                if end >= 0:
                    yield start, min(end, self.size)
                start = page * PAGE
            end = (page + 1) * PAGE
        if end >= 0:
            yield start, min(end, self.size)

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges that may hold data: the lower device's, and every page written here."""
        spans = list(data_ranges_of(self._lower, offset, length))
        spans += [(max(a, offset), min(b, offset + length)) for a, b in self.changed_ranges() if a < offset + length and b > offset]
        spans.sort()
        start = end = -1
        for a, b in spans:
            if a > end:
                if end > start >= 0:
                    yield start, end
                start = a
            end = max(end, b)
        if end > start >= 0:
            yield start, end

    def _page(self, number: int) -> bytearray:
        page = self._pages.get(number)
        if page is None:
            offset = number * PAGE
            if number in self._pages:
                page = bytearray(PAGE)
            else:
                length = min(PAGE, self.size - offset)
                page = bytearray(self._lower.read(offset, length).ljust(PAGE, b"\0"))
            self._pages[number] = page
        return page
