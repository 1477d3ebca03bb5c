"""What lies below the caches of the host: reading back from the medium, and giving unused blocks back to it.

All of this is best effort: a layer that keeps bytes elsewhere, or a host that cannot, changes nothing about what a device holds.
"""

import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from .device import BlockDevice, host_file_of

_BLKDISCARD = 0x1277        # linux/fs.h: _IO(0x12, 119); two u64: offset and length in bytes


@runtime_checkable
class HasMedium(Protocol):
    """A layer that lies on a file of the host, but does not show all of it to other programs (`HasHostFile`)."""

    def medium(self) -> tuple[Path, int] | None:
        """Path and offset in bytes of what its bytes lie on."""
        ...


def medium_of(device: BlockDevice) -> tuple[Path, int] | None:
    """Where the bytes of a device lie on the host; None when that is not known."""
    return device.medium() if isinstance(device, HasMedium) else host_file_of(device)


def drop_caches(device: BlockDevice) -> None:
    """Write out what the host still holds of a device, and forget it, so that the next read asks the medium."""
    place = medium_of(device)
    if place is None:
        return
    path, offset = place
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, offset, device.size, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def discard(device: BlockDevice, offset: int, length: int) -> bool:
    """Tell the medium that a range holds nothing: a hole in an image file, TRIM on a disk. False when the disk cannot."""
    place = host_file_of(device)
    if place is None or not stat.S_ISBLK(place[0].stat().st_mode):
        device.zero(offset, length)
        return True
    import fcntl  # noqa: PLC0415 - only for real disks

    try:
        descriptor = os.open(place[0], os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _BLKDISCARD, struct.pack("=QQ", place[1] + offset, length))
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True
