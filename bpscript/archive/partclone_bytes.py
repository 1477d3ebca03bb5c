"""A partclone image that can be read from anywhere: the bytes of its partition, zeros where nothing is used."""

import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate

from ..base.errors import FormatError
from ..base.units import MIB
from ..blocks.device import ReadsInto, check_range
from .partclone import PartcloneHeader, Strips, read_bitmap, widen_checksum
from .positional import Positional

_KEPT = 32 * MIB        # bytes of checked blocks in memory


class PartcloneBytes(ReadsInto):
    """The partition in a partclone image. Every strip is checked when it is first read, as often as it was forgotten."""

    def __init__(self, source: Positional) -> None:
        """Read header and bitmap. Raises FormatError; the size of the file is checked too."""
        self._source = source
        self._data_start = 0
        self.header = PartcloneHeader.read(self._take)
        self.used = read_bitmap(self.header, self._take)
        self.header = widen_checksum(self.header, self.used, lambda length: source.read(self._data_start, min(length, source.size - self._data_start)))
        self._strips = Strips(self.header, self.used)
        if source.size != self._data_start + self._strips.stored:
            raise FormatError(
                f"the partclone image has {source.size} bytes, expected {self._data_start + self._strips.stored} for its"
                f" {self._strips.total // self.header.block_size} used blocks"
            )
        # Used bytes before each range.
        self._before = array("Q", accumulate((end - start for start, end in self.used), initial=0))
        self._kept: OrderedDict[int, memoryview] = OrderedDict()
        self._lock = threading.Lock()

    def _take(self, length: int) -> bytes:
        left = self._source.size - self._data_start
        if length > left:
            raise FormatError(f"the partclone image ends {length - left} bytes too early")
        data = self._source.read(self._data_start, length)
        self._data_start += length
        return data

    @property
    def size(self) -> int:
        """Bytes of the partition."""
        return self.header.size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer. Raises FormatError where the image is damaged."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "partclone image")
        position, end = offset, offset + len(view)
        index = bisect_right(self.used.ends, offset)
        while position < end:
            start, last = (self.used.starts[index], self.used.ends[index]) if index < len(self.used) else (end, end)
            if start > position:
                step = min(start, end) - position
                view[position - offset : position - offset + step] = bytes(step)
            else:
                step = min(last, end) - position
                self._copy(self._before[index] + position - start, view[position - offset : position - offset + step])
                index += 1
            position += step

    def _copy(self, position: int, view: memoryview) -> None:
        """Used bytes from `position` on, counted without what is not used."""
        while len(view):
            batch, start = divmod(position, self._strips.batch_size)
            with self._lock:
                data = self._batch(batch)[start : start + len(view)]
                view[: len(data)] = data
            view, position = view[len(data) :], position + len(data)

    def _batch(self, batch: int) -> memoryview:
        """A batch that was checked; called under the lock, so its memory can be used again."""
        data = self._kept.get(batch)
        if data is not None:
            self._kept.move_to_end(batch)
            return data
        start, length = self._strips.stored_range(batch)
        start += self._data_start
        room = None
        if len(self._kept) >= max(1, _KEPT // self._strips.batch_size):
            room = self._kept.popitem(last=False)[1].obj
        if not isinstance(room, bytearray) or len(room) < length:
            room = bytearray(length)
        view = memoryview(room)[:length]
        self._source.readinto(start, view)
        before = self._source.read(start - self.header.checksum_size, 4) if self._strips.runs_on and batch else None
        data = self._kept[batch] = self._strips.check(batch, view, before)
        return data

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges in use."""
        check_range(self.size, offset, length, "partclone image")
        yield from self.used.within(offset, offset + length)
