"""Whether two files hold the same bytes. What is a hole in both is not read: a sparse file of a terabyte takes no longer than its data."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from ..base.sources import Reader
from ..blocks.device import BlockDevice
from ..filesystems.filesystem import Extent, Filesystem, HasExtents, ReadsAnywhere

_STEP = 1 << 20


class FileAt(NamedTuple):
    """A file of a volume."""

    volume: Filesystem
    path: str


def first_difference(one: FileAt, other: FileAt, size: int, passed: Callable[[int], None]) -> int | None:
    """Where two files that should have `size` bytes differ: they are equal up to that byte, and not for another MiB. None: they are equal.

    `passed` is told of bytes that were compared, or are holes in both. Raises what reading raises.
    """
    placed, also = _placed(one), _placed(other)
    if placed is not None and also is not None and placed.size == also.size == size:
        return _by_ranges(placed, also, passed)
    with closing(one.volume.open(one.path)) as first, closing(other.volume.open(other.path)) as second:
        position = 0
        while position < size:
            data = read_some(first, min(_STEP, size - position))
            if not data or read_some(second, len(data)) != data:
                return position
            position += len(data)
            passed(len(data))
        return position if first.read(1) or second.read(1) else None


def _by_ranges(one: "_Placed", other: "_Placed", passed: Callable[[int], None]) -> int | None:
    done = 0
    for start, end in _data_of_either(one.data, other.data, one.size):
        passed(start - done)
        for at in range(start, end, _STEP):
            length = min(_STEP, end - at)
            if one.read(at, length) != other.read(at, length):
                return at
            passed(length)
        done = end
    passed(one.size - done)
    return None


def _data_of_either(one: list[tuple[int, int]], other: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of a file where one of two lists of ranges has something, in order."""
    start = end = 0
    for low, high in sorted([*one, *other]):
        if low > end:
            if start < end:
                yield start, end
            start = low
        end = max(end, min(high, size))
    if start < end:
        yield start, end


class _Placed:
    """A file that can be read from anywhere: `size` in bytes, and the ranges of it that are no holes."""

    def __init__(self, size: int, data: list[tuple[int, int]], read: Callable[[int, memoryview], object]) -> None:
        self.size = size
        self.data = data
        self._read = read

    def read(self, position: int, length: int) -> bytearray:
        """The bytes from `position` on."""
        data = bytearray(length)
        self._read(position, memoryview(data))
        return data


def _placed(file: FileAt) -> _Placed | None:
    """None where it can be read in order only."""
    volume, path = file
    if isinstance(volume, HasExtents):
        extents = volume.extents(path)
        if extents is None:
            return None
        data = [(logical, logical + length) for logical, _, length in extents]
        return _Placed(volume.stat(path).size, data, _reader(volume.device, extents))
    if isinstance(volume, ReadsAnywhere):
        size = volume.stat(path).size
        return _Placed(size, volume.data_ranges(path, size), lambda offset, view: volume.read_at(path, offset, view))
    return None


def _reader(device: BlockDevice, extents: list[Extent]) -> Callable[[int, memoryview], None]:
    """What fills zeros with the bytes of a file from a place on."""
    starts = [extent.logical for extent in extents]

    def read(position: int, view: memoryview) -> None:
        end = position + len(view)
        for extent in extents[max(0, bisect_right(starts, position) - 1) :]:
            if extent.logical >= end:
                break
            low, high = max(position, extent.logical), min(end, extent.logical + extent.length)
            if low < high:
                device.readinto(extent.offset + low - extent.logical, view[low - position : high - position])

    return read


def read_some(reader: Reader, length: int) -> bytes:
    """`length` bytes, fewer only at the end."""
    data = reader.read(length)
    while 0 < len(data) < length:
        more = reader.read(length - len(data))
        if not more:
            break
        data += more
    return data
