"""Temporary files for images that come in order only and must be read from anywhere: runs of zeros are holes in them."""

import os
from collections.abc import Callable
from pathlib import Path

from ..base.errors import NoSpaceError
from ..base.temporary import temporary_folder
from ..blocks.device import Buffer
from ..blocks.file import FileDevice
from .packing import UnpackedReader

_STEP = 1 << 20
_HOLE = 64 << 10        # runs of zeros this long become holes


class TemporaryImage:
    """A new sparse file in a folder of its own; `close` removes both."""

    def __init__(self, temp_folder: Path | str | None) -> None:
        self._folder = temporary_folder(temp_folder)
        self._path = Path(self._folder.name) / "image"
        self._device: FileDevice | None = None

    def fill(self, write: Callable[[int], int]) -> FileDevice:
        """The file as a device, when `write` has written to its descriptor and answered with its size in bytes. Raises NoSpaceError."""
        try:
            with self._path.open("xb", buffering=0) as file:
                file.truncate(write(file.fileno()))
        except OSError as error:
            raise NoSpaceError(
                f"{self._path.parent}: no room to unpack the image: {error.strerror}", hint="TempPath names another folder"
            ) from error
        self._device = FileDevice(self._path, writable=False)
        return self._device

    def close(self) -> None:
        """Remove it."""
        if self._device is not None:
            self._device.close()
        self._folder.cleanup()


def write_at(descriptor: int, data: Buffer, offset: int) -> None:
    """Write all of it; a disk that is nearly full takes a part first. Raises OSError."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def write_sparse(descriptor: int, reader: UnpackedReader) -> int:
    """Write all there is to a new file, long runs of zeros as holes. Returns the bytes read."""
    zeros = bytes(_HOLE)
    buffer = bytearray(_STEP)
    position = 0
    while count := reader.readinto(buffer):
        for start in range(0, count, _HOLE):
            part = buffer[start : min(start + _HOLE, count)]
            if part != zeros[: len(part)]:
                write_at(descriptor, part, position + start)
        position += count
    return position
