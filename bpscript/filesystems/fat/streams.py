"""The contents of a file, read along its chain."""

from collections.abc import Iterator

from ...base.errors import FormatError
from ...blocks.device import BlockDevice
from .geometry import Geometry
from .layout import Cluster


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
