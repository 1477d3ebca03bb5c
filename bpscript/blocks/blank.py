"""A device of zeros that takes no room: what a trial is made on, below an overlay."""

from collections.abc import Iterable, Iterator

from ..base.errors import ReadOnlyError
from .device import Buffer, check_range


class BlankDevice:
    """`size` zero bytes, for reading only."""

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Zeros."""
        check_range(self._size, offset, length, "blank device")
        return bytes(length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer with zeros."""
        view = memoryview(buffer).cast("B")
        view[:] = self.read(offset, len(view))

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        raise ReadOnlyError("a blank device cannot be written to")

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Refuse."""
        raise ReadOnlyError("a blank device cannot be written to")

    def zero(self, offset: int, length: int) -> None:
        """It is all zeros already."""
        check_range(self._size, offset, length, "blank device")

    def flush(self) -> None:
        """Nothing was written."""

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """There are none."""
        yield from ()
