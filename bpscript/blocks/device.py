"""The BlockDevice protocol: bytes at positions.

Positions and lengths are bytes and need no alignment. There is no cursor, so a device can be used from several threads.
Reading or writing beyond `size` raises StorageError: devices do not grow.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..base.errors import StorageError

Buffer = bytes | bytearray | memoryview


@runtime_checkable
class BlockDevice(Protocol):
    """A disk, a partition, or a layer over one."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        ...

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        ...

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        ...

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other, in one go where the device can."""
        ...

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros: punches holes in files, discards or zeroes on devices."""
        ...

    def flush(self) -> None:
        """What was written survives a power cut from here on."""
        ...


class ReadsInto(Protocol):
    """Base of what fills buffers: fresh bytes come the same way."""

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        buffer = bytearray(length)
        self.readinto(offset, buffer)
        return bytes(buffer)


@runtime_checkable
class HasHostFile(Protocol):
    """A device whose bytes are a range of a file or device of the host, so that other programs can work on it."""

    def host_file(self) -> tuple[Path, int] | None:
        """Path and offset in bytes; None when a layer below keeps its bytes elsewhere."""
        ...


@runtime_checkable
class HasDataRanges(Protocol):
    """A device that knows where it was never written."""

    def data_ranges(self, offset: int, length: int) -> Iterable[tuple[int, int]]:
        """Half-open ranges inside the window that may hold something else than zeros, in order."""
        ...


def check_range(size: int, offset: int, length: int, what: str) -> None:
    """Raise StorageError unless the range lies inside a device of `size` bytes."""
    if offset < 0 or length < 0 or offset + length > size:
        raise StorageError(f"{what}: bytes {offset} to {offset + length} are outside its {size} bytes")


def host_file_of(device: BlockDevice) -> tuple[Path, int] | None:
    """Path and offset of a device that is a range of a host file, else None."""
    return device.host_file() if isinstance(device, HasHostFile) else None


def data_ranges_of(device: BlockDevice, offset: int, length: int) -> Iterable[tuple[int, int]]:
    """Ranges that may hold data; the whole window where the device cannot tell."""
    if isinstance(device, HasDataRanges):
        return device.data_ranges(offset, length)
    return [(offset, offset + length)] if length else []
