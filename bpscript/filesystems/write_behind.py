"""Writes gathered into large ones: what a volume puts beside each other goes to the device in one piece."""

from ..blocks.device import BlockDevice, Buffer

GATHER = 512 * 1024             # bytes gathered before they are written
DIRECT = 64 * 1024              # buffers from this size on are written as they are, without a copy
_PAGE = 4096                    # bytes; gaps up to here are filled with zeros rather than split a write
_ZEROS = bytes(_PAGE)


class WriteBehind:
    """Writes to neighbouring places become one: volumes put small files side by side."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self._buffer = bytearray(GATHER)
        self._view = memoryview(self._buffer)
        self._start = 0         # place of the buffer's first byte on the device
        self._fill = 0
        self._end = -1          # place of the next byte that would fit the buffer
        self.failed = False     # a write did not succeed: the device lacks data that was accepted

    def put(self, offset: int, data: Buffer) -> None:
        """Write bytes sooner or later; `data` may be changed by its owner afterwards."""
        length = len(data)
        if offset != self._end or self._fill + length > GATHER or length >= DIRECT:
            self.flush()
            if length >= DIRECT:
                self._write(offset, data)
                return
            self._start = self._end = offset
        fill = self._fill
        self._buffer[fill : fill + length] = data
        self._fill = fill + length
        self._end += length

    def put_file(self, offset: int, data: Buffer, room: int) -> None:
        """All bytes of a file, and zeros behind them as `pad` puts them, into `room` bytes."""
        length = len(data)
        if length >= DIRECT:
            self.put(offset, data)
            self.pad(offset + length, room - length)
            return
        padded = min(length + -(offset + length) % _PAGE, room)
        if offset != self._end or self._fill + padded > GATHER:
            self.flush()
            self._start = self._end = offset
        fill = self._fill
        self._buffer[fill : fill + length] = data
        if padded > length:
            self._buffer[fill + length : fill + padded] = _ZEROS[: padded - length]
        self._fill = fill + padded
        self._end += padded

    def pad(self, offset: int, room: int) -> None:
        """Zeros from `offset` to the end of its 4 KiB, `room` bytes at most, if they join what waits to be written."""
        length = min(-offset % _PAGE, room)
        if length and offset == self._end and self._fill + length <= GATHER:
            self.put(offset, _ZEROS[:length])

    def flush(self) -> None:
        """Write what waits."""
        if self._fill:
            fill, self._fill, self._end = self._fill, 0, -1
            self._write(self._start, self._view[:fill])

    def _write(self, offset: int, data: Buffer) -> None:
        was_failed, self.failed = self.failed, True
        self._device.write(offset, data)
        self.failed = was_failed
