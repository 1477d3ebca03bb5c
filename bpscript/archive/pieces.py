"""A range of a device as a reader."""

from ..blocks.device import BlockDevice


class Piece:
    """A range of a device as a reader."""

    def __init__(self, device: BlockDevice, start: int, size: int) -> None:
        self._device = device
        self._start = start
        self._size = size
        self._position = 0

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        left = self._size - self._position
        length = left if length < 0 else min(length, left)
        data = self._device.read(self._start + self._position, length)
        self._position += length
        return data

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go on reading at another place; like `io.IOBase.seek`, but never beyond the end."""
        self._position = max(0, min(offset + (0, self._position, self._size)[whence], self._size))
        return self._position

    def close(self) -> None:
        """Nothing is read any more."""
        self._position = self._size
