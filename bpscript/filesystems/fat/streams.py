"""File data on its way: a reader that follows a chain, and writes gathered into large ones."""

from collections.abc import Iterator

from ...base.errors import FormatError
from ...blocks.device import BlockDevice, Buffer
from .geometry import Geometry
from .layout import Cluster

GATHER = 512 * 1024             # bytes gathered before they are written
DIRECT = 64 * 1024              # buffers from this size on are written as they are, without a copy
_PAGE = 4096                    # bytes; gaps up to here are filled with zeros rather than split a write
_ZEROS = bytes(_PAGE)


class WriteBehind:
    """Writes to neighbouring places become one: next-fit allocation puts small files side by side."""

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
        length, fill = len(data), self._fill
        padded = min(length + -(offset + length) % _PAGE, room)
        if offset != self._end or fill + padded > GATHER or length >= DIRECT:
            self.put(offset, data)
            self.pad(offset + length, room - length)
            return
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


class FatReader:
    """The contents of a file, in order. The file must not be changed while it is read."""

    def __init__(
        self, device: BlockDevice, geometry: Geometry, first: int, runs: Iterator[tuple[Cluster, int]], *, size: int, where: str
    ) -> None:
        self.first = first      # cluster: says which file this is
        self._device = device
        self._geometry = geometry
        self._runs = runs
        self._seen: list[tuple[int, int]] = []      # runs followed so far: place on the device and bytes
        self._next = 0                              # the run after the one at hand, in `_seen` or still to be followed
        self._left = size
        self._size = size
        self._where = where
        self._offset = 0        # on the device, of the next byte
        self._room = 0          # bytes left in this run
        self._closed = False

    @property
    def is_reading(self) -> bool:
        """True until it is closed (or let go of)."""
        return not self._closed

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative. Raises FormatError where the chain is damaged."""
        wanted = self._left if length < 0 else min(length, self._left)
        pieces = [self._device.read(offset, step) for offset, step in self._take(wanted)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the buffer as far as the file goes; how many bytes that was."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._left)
        done = 0
        for offset, step in self._take(wanted):
            self._device.readinto(offset, view[done : done + step])
            done += step
        return done

    def seekable(self) -> bool:
        """True: archives on a disk are read from anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go on reading at another place; like `io.IOBase.seek`, but never beyond the end."""
        here = self._size - self._left
        target = max(0, min(offset + (0, here, self._size)[whence], self._size))
        if target < here:
            self._next = self._room = 0
            self._left = self._size
            here = 0
        for _ in self._take(target - here):
            pass
        return target

    def close(self) -> None:
        """Nothing is read any more."""
        self._closed = True

    def _take(self, wanted: int) -> Iterator[tuple[int, int]]:
        """The next `wanted` bytes as ranges of the device."""
        while wanted:
            if not self._room:
                if self._next == len(self._seen):
                    run = next(self._runs, None)
                    if run is None:
                        raise FormatError(f'file "/{self._where}": its chain ends after {self._size - self._left} of {self._size} bytes')
                    self._seen.append((self._geometry.cluster_offset(run[0]), run[1] * self._geometry.cluster_size))
                self._offset, self._room = self._seen[self._next]
                self._next += 1
            step = min(wanted, self._room)
            yield self._offset, step
            self._offset += step
            self._room -= step
            self._left -= step
            wanted -= step
