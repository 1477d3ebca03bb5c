"""A layer that refuses every write."""

from collections.abc import Iterable, Iterator

from ..base.errors import ReadOnlyError
from .device import BlockDevice, Buffer, data_ranges_of


class ReadOnlyDevice:
    """`lower`, but writing raises ReadOnlyError that names it."""

    def __init__(self, lower: BlockDevice, name: str = "device", *, hint: str | None = None) -> None:
        self._lower = lower
        self.name = name
        self._hint = hint

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

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        raise self._refusal()

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Refuse."""
        raise self._refusal()

    def zero(self, offset: int, length: int) -> None:
        """Refuse."""
        raise self._refusal()

    def flush(self) -> None:
        """Nothing was written."""

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges that may hold data."""
        yield from data_ranges_of(self._lower, offset, length)

    def _refusal(self) -> ReadOnlyError:
        return ReadOnlyError(f"{self.name} is open for reading only", hint=self._hint)
