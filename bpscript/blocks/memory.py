"""A block device in memory: for tests and small images."""

from collections.abc import Iterable

from .device import Buffer, check_range


class MemoryDevice:
    """`size` zero bytes, or the bytes given."""

    def __init__(self, content: int | bytes | bytearray) -> None:
        self._data = bytearray(content)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self.size, offset, length, "memory device")
        return bytes(memoryview(self._data)[offset : offset + length])

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "memory device")
        view[:] = memoryview(self._data)[offset : offset + len(view)]

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        check_range(self.size, offset, len(view), "memory device")
        self._data[offset : offset + len(view)] = view

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        check_range(self.size, offset, sum(map(len, views)), "memory device")
        for view in views:
            self.write(offset, view)
            offset += len(view)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        check_range(self.size, offset, length, "memory device")
        self._data[offset : offset + length] = bytes(length)

    def flush(self) -> None:
        """Memory does not survive a power cut; nothing to do."""
