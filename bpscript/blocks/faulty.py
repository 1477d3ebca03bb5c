"""A device that fails on purpose, for tests of what happens when a disk does."""

from collections.abc import Iterable

from ..base.errors import StorageError
from .device import BlockDevice, Buffer


class FaultyDevice:
    """`lower`, but every write after the first `writes_allowed` raises StorageError, and so does reading `bad_ranges`."""

    def __init__(
        self, lower: BlockDevice, *, writes_allowed: int | None = None, bad_ranges: Iterable[tuple[int, int]] = ()
    ) -> None:
        self._lower = lower
        self.writes_left = writes_allowed
        self._bad = tuple(bad_ranges)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._lower.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, or the error."""
        self._check_read(offset, length)
        return self._lower.read(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer, or fail."""
        self._check_read(offset, memoryview(buffer).nbytes)
        self._lower.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Write, or fail."""
        self._count_write(offset)
        self._lower.write(offset, data)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write, or fail."""
        self._count_write(offset)
        self._lower.writev(offset, buffers)

    def zero(self, offset: int, length: int) -> None:
        """Zero, or fail."""
        self._count_write(offset)
        self._lower.zero(offset, length)

    def flush(self) -> None:
        """Flush the device below."""
        self._lower.flush()

    def _check_read(self, offset: int, length: int) -> None:
        for start, end in self._bad:
            if start < offset + length and offset < end:
                raise StorageError(f"faulty device: cannot read byte {max(start, offset)}")

    def _count_write(self, offset: int) -> None:
        if self.writes_left is None:
            return
        if self.writes_left <= 0:
            raise StorageError(f"faulty device: cannot write byte {offset}")
        self.writes_left -= 1
