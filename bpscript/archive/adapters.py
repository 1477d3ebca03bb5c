"""One shape of input as another: positional bytes as a reader or a device, a reader that was looked into."""

from collections.abc import Iterable

from ..base.errors import ReadOnlyError
from ..base.sources import Reader
from ..blocks.device import Buffer, check_range
from .positional import Positional, close, ranges_with_data


class Rejoined:
    """A reader whose first bytes were read already: those, then the rest."""

    def __init__(self, start: bytes, rest: Reader) -> None:
        self._start = start
        self._rest = rest

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        if not self._start or not length:
            return self._rest.read(length)
        if length < 0:
            data, self._start = self._start + self._rest.read(), b""
            return data
        data, self._start = self._start[:length], self._start[length:]
        return data

    def close(self) -> None:
        """Close what it reads from."""
        self._rest.close()


class Sequential:
    """Positional bytes in order."""

    def __init__(self, source: Positional) -> None:
        self._source = source
        self._position = 0

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        left = self._source.size - self._position
        data = self._source.read(self._position, left if length < 0 else min(length, left))
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close what it reads from."""
        close(self._source)


class PositionalDevice:
    """Positional bytes as a block device that cannot be written."""

    def __init__(self, source: Positional) -> None:
        self._source = source

    @property
    def size(self) -> int:
        """Bytes."""
        return self._source.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self.size, offset, length, "image")
        return self._source.read(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        check_range(self.size, offset, memoryview(buffer).nbytes, "image")
        self._source.readinto(offset, buffer)

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        raise ReadOnlyError("an image cannot be written to")

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Refuse."""
        raise ReadOnlyError("an image cannot be written to")

    def zero(self, offset: int, length: int) -> None:
        """Refuse."""
        raise ReadOnlyError("an image cannot be written to")

    def flush(self) -> None:
        """Nothing was written."""

    def data_ranges(self, offset: int, length: int) -> Iterable[tuple[int, int]]:
        """Ranges that may hold something else than zeros."""
        check_range(self.size, offset, length, "image")
        return ranges_with_data(self._source, offset, length)
