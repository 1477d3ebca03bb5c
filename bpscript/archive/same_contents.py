"""Whether two files hold the same bytes. What is a hole in both is not read: a sparse file of a terabyte takes no longer than its data."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from ..base.sources import Reader
from ..blocks.device import BlockDevice
from ..filesystems.filesystem import Extent, Filesystem, HasExtents

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
        return _by_extents(placed, also, passed)
    with closing(one.volume.open(one.path)) as first, closing(other.volume.open(other.path)) as second:
        position = 0
        while position < size:
            data = read_some(first, min(_STEP, size - position))
            if not data or read_some(second, len(data)) != data:
                return position
            position += len(data)
            passed(len(data))
        return position if first.read(1) or second.read(1) else None


def _by_extents(one: "_Placed", other: "_Placed", passed: Callable[[int], None]) -> int | None:
    done = 0
    for start, end in _data_of_either(one.extents, other.extents, one.size):
        passed(start - done)
        for at in range(start, end, _STEP):
            length = min(_STEP, end - at)
            if one.read(at, length) != other.read(at, length):
                return at
            passed(length)
        done = end
    passed(one.size - done)
    return None


def _data_of_either(one: list[Extent], other: list[Extent], size: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges of a file where one of two lists of extents has something, in order."""
    start = end = 0
    for logical, _, length in sorted([*one, *other]):
        if logical > end:
            if start < end:
                yield start, min(end, size)
            start = logical
        end = max(end, logical + length)
        if logical >= size:
            return
    if start < min(end, size):
        yield start, min(end, size)


class _Placed:
    """A file by its extents."""

    def __init__(self, device: BlockDevice, extents: list[Extent], size: int) -> None:
        self.extents = extents
        self.size = size
        self._device = device
        self._starts = [extent.logical for extent in extents]

    def read(self, position: int, length: int) -> bytearray:
        """The bytes from `position` on."""
        data = bytearray(length)
        view, end = memoryview(data), position + length
        for extent in self.extents[max(0, bisect_right(self._starts, position) - 1) :]:
            if extent.logical >= end:
                break
            low, high = max(position, extent.logical), min(end, extent.logical + extent.length)
            if low < high:
                self._device.readinto(extent.offset + low - extent.logical, view[low - position : high - position])
        return data


def _placed(file: FileAt) -> _Placed | None:
    """None where its extents cannot be said."""
    volume = file.volume
    if not isinstance(volume, HasExtents):
        return None
    extents = volume.extents(file.path)
    return None if extents is None else _Placed(volume.device, extents, volume.stat(file.path).size)


def read_some(reader: Reader, length: int) -> bytes:
    """`length` bytes, fewer only at the end."""
    data = reader.read(length)
    while 0 < len(data) < length:
        more = reader.read(length - len(data))
        if not more:
            break
        data += more
    return data
