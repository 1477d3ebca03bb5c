"""The end of most stacks: a raw image file or a real disk of the host.

An image file is locked with flock(2), so that two runs on one disk are an error, not a mess. A real disk is opened with
O_EXCL, which the kernel refuses while the disk or one of its partitions is mounted or otherwise in use.
"""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..base.errors import NoSpaceError, NotFoundError, ReadOnlyError, StorageError, UsageError
from ..base.units import round_up
from .device import Buffer, check_range
from .holes import data_ranges_in, punch_hole

_BLKSSZGET = 0x1268          # linux/fs.h
_STAT_BLOCK = 512            # bytes of a block in st_blocks, whatever the file system (inode(7))
_READ_SOONER = 256 << 20     # bytes; tmpfs looks at every page up to the end of the file to say that there is no hole in it
_IOV_MAX = 1024              # limits.h: most buffers in one pwritev(2)
_DISK_BLOCK = 4096           # bytes; the largest logical block of a disk
_ZERO_STEP = 4 << 20         # bytes written at once where holes are not supported


class FileDevice:
    """A raw disk image or a block device, opened by path.

    Raises UsageError when the path cannot be a disk, NotFoundError when there is nothing, ReadOnlyError when writing is asked
    for and not permitted, StorageError when another program uses it.
    """

    def __init__(self, path: Path | str, *, writable: bool = True, allow_real_disk: bool = False) -> None:
        self.path = Path(path)
        self.writable = writable
        self._fd = -1
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        try:
            mode = self.path.stat().st_mode
            self.is_real_disk = stat.S_ISBLK(mode)
            if not (self.is_real_disk or stat.S_ISREG(mode)):
                raise UsageError(f"{self.path}: neither an image file nor a disk")
            if self.is_real_disk and writable:
                if not allow_real_disk:
                    raise ReadOnlyError(f"{self.path} is a real disk", hint="add -w to allow writing to it")
                flags |= os.O_EXCL
            self._fd = os.open(self.path, flags)
        except FileNotFoundError as error:
            hint = f"bpscript disk create {self.path} SIZE makes an image file" if writable else None
            raise NotFoundError(f"{self.path}: no such image file or disk", hint=hint) from error
        except OSError as error:
            raise self._open_error(error) from error
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_EX if writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            self._fd = -1
            raise StorageError(f"{self.path} is in use by another run") from error
        self._size = os.lseek(self._fd, 0, os.SEEK_END)
        self._can_punch = True

    @property
    def sector_size(self) -> int:
        """Bytes of a logical sector: of a real disk what the kernel says, of an image file 512."""
        if not self.is_real_disk:
            return 512
        return int.from_bytes(fcntl.ioctl(self._fd, _BLKSSZGET, bytes(4)), sys.byteorder)

    @classmethod
    def create(cls, path: Path | str, size: int) -> "FileDevice":
        """A new sparse image file of `size` bytes; raises StorageError when the file exists."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError as error:
            raise StorageError(f"{path} exists already") from error
        except OSError as error:
            raise StorageError(f"{path}: cannot create: {error.strerror}") from error
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            Path(path).unlink()
            raise NoSpaceError(f"{path}: cannot make an image of {size} bytes: {error.strerror}") from error
        finally:
            os.close(fd)
        return cls(path)

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes."""
        check_range(self._size, offset, length, str(self.path))
        data: bytes = self._call(os.pread, self._fd, length, offset)
        if len(data) == length:
            return data
        buffer = bytearray(length)
        buffer[: len(data)] = data
        self.readinto(offset + len(data), memoryview(buffer)[len(data) :])
        return bytes(buffer)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer."""
        view = memoryview(buffer).cast("B")
        check_range(self._size, offset, len(view), str(self.path))
        while len(view):
            count = self._call(os.preadv, self._fd, [view], offset)
            if count == 0:
                raise StorageError(f"{self.path} became shorter while in use")
            view = view[count:]
            offset += count

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        view = memoryview(data).cast("B")
        check_range(self._size, offset, len(view), str(self.path))
        while len(view):
            count = self._call(os.pwrite, self._fd, view, offset)
            view = view[count:]
            offset += count

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other, with as few system calls as possible."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        check_range(self._size, offset, sum(map(len, views)), str(self.path))
        for first in range(0, len(views), _IOV_MAX):
            group = views[first : first + _IOV_MAX]
            length = sum(map(len, group))
            count = self._call(os.pwritev, self._fd, group, offset) if length else 0
            if count < length:
                self.write(offset + count, b"".join(group)[count:])
            offset += length

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros, by a hole where the host can."""
        check_range(self._size, offset, length, str(self.path))
        unit = _DISK_BLOCK if self.is_real_disk else 1      # a disk refuses holes that are not whole blocks of its own
        start, end = round_up(offset, unit), (offset + length) // unit * unit
        if start < end and self._can_punch and self.writable:
            self._can_punch = punch_hole(self._fd, start, end - start)
            if self._can_punch:
                self._write_zeros(offset, start - offset)
                self._write_zeros(end, offset + length - end)
                return
        self._write_zeros(offset, length)

    def _write_zeros(self, offset: int, length: int) -> None:
        zeros = memoryview(bytes(min(length, _ZERO_STEP)))
        while length:
            step = min(length, _ZERO_STEP)
            self.write(offset, zeros[:step])
            offset += step
            length -= step

    def flush(self) -> None:
        """fdatasync on a real disk. An image file is left to the host: its page cache survives us, as every peer has it."""
        if self.is_real_disk and self.writable:
            self._call(os.fdatasync, self._fd)

    def host_file(self) -> tuple[Path, int]:
        """The file itself, from its first byte."""
        return self.path, 0

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """What SEEK_DATA and SEEK_HOLE tell."""
        check_range(self._size, offset, length, str(self.path))
        end = offset + length
        if 0 < length <= _READ_SOONER and os.fstat(self._fd).st_blocks * _STAT_BLOCK >= self._size:
            yield offset, end       # a file without holes
            return
        yield from data_ranges_in(self._fd, offset, end)

    def close(self) -> None:
        """Give up the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> "FileDevice":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _call(self, function: Any, *args: Any) -> Any:  # noqa: ANN401 - os functions of several shapes
        try:
            return function(*args)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise NoSpaceError(f"{self.path}: the host has no room left for this image") from error
            if error.errno == errno.EBADF and not self.writable:
                raise ReadOnlyError(f"{self.path} is open for reading only") from error
            raise StorageError(f"{self.path}: {error.strerror}") from error

    def _open_error(self, error: OSError) -> StorageError:
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            if self.writable:
                return ReadOnlyError(f"{self.path} cannot be opened for writing: {error.strerror}")
            return StorageError(f"{self.path} cannot be read: {error.strerror}")
        if error.errno == errno.EBUSY:
            from .busy import users  # noqa: PLC0415 - only when it is refused

            found = ", ".join(users(self.path, readers=True)) or "by another program"
            return StorageError(f"{self.path} is in use: {found}", hint="unmount it first")
        return StorageError(f"{self.path}: {error.strerror}")
