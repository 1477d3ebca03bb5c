"""A window on a device: a partition.

    lower  |---------|##############|-----------------|
                     start          start + size
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from .device import BlockDevice, Buffer, check_range, data_ranges_of, host_file_of
from .medium import medium_of


class SliceDevice:
    """`size` bytes of `lower`, from `start`. `name` is used in errors."""

    def __init__(self, lower: BlockDevice, start: int, size: int, name: str = "partition") -> None:
        check_range(lower.size, start, size, name)
        self._lower = lower
        self._start = start
        self._size = size
        self.name = name

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    @property
    def lower(self) -> BlockDevice:
        """The device below."""
        return self._lower

    @property
    def start(self) -> int:
        """Offset in the device below, in bytes."""
        return self._start

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self._size, offset, length, self.name)
        return self._lower.read(self._start + offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        check_range(self._size, offset, memoryview(buffer).nbytes, self.name)
        self._lower.readinto(self._start + offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        check_range(self._size, offset, memoryview(data).nbytes, self.name)
        self._lower.write(self._start + offset, data)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other."""
        parts = list(buffers)
        check_range(self._size, offset, sum(memoryview(part).nbytes for part in parts), self.name)
        self._lower.writev(self._start + offset, parts)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        check_range(self._size, offset, length, self.name)
        self._lower.zero(self._start + offset, length)

    def flush(self) -> None:
        """Flush the whole device below."""
        self._lower.flush()

    def host_file(self) -> tuple[Path, int] | None:
        """Path and offset in the host file below, if there is one."""
        lower = host_file_of(self._lower)
        return None if lower is None else (lower[0], lower[1] + self._start)

    def medium(self) -> tuple[Path, int] | None:
        """The same below a layer that hides a part from other programs."""
        lower = medium_of(self._lower)
        return None if lower is None else (lower[0], lower[1] + self._start)

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges of the window that may hold data."""
        check_range(self._size, offset, length, self.name)
        for start, end in data_ranges_of(self._lower, self._start + offset, length):
            yield start - self._start, end - self._start
