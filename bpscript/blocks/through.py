"""What layers have in common that change nothing about reading."""

from collections.abc import Iterable

from .device import BlockDevice, data_ranges_of


class ReadsThrough:
    """Base of a layer over `lower`: its size and its bytes are those of the device below."""

    def __init__(self, lower: BlockDevice) -> None:
        self._lower = lower

    @property
    def size(self) -> int:
        """Bytes."""
        return self._lower.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        return self._lower.read(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        self._lower.readinto(offset, buffer)

    def data_ranges(self, offset: int, length: int) -> Iterable[tuple[int, int]]:
        """Ranges that may hold data."""
        return data_ranges_of(self._lower, offset, length)
