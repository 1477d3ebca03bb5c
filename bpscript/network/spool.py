"""A file that is received in any order before it is read: it has no name, so it is gone whatever happens."""

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from ..base.errors import NoSpaceError, StorageError
from ..base.units import format_size

_OTHER_FOLDER = "TMPDIR, or --temp, names another folder"


def room_for(size: int, folder: Path | None) -> str | None:
    """A sentence when `folder` (None: where the host keeps temporary files) has no room for that many bytes."""
    where = str(folder or tempfile.gettempdir())
    free = shutil.disk_usage(where).free
    return f"needs {format_size(size)} in {where}, where {format_size(free)} are free" if free < size else None


def spool(size: int, folder: Path | None) -> FileIO:
    """A sparse file. Raises StorageError."""
    try:
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it outlives this
        file.truncate(size)
    except OSError as error:
        raise StorageError(
            f"{folder or tempfile.gettempdir()}: no temporary file can be made: {error.strerror}", hint=_OTHER_FOLDER
        ) from error
    return file


def write_at(descriptor: int, offset: int, parts: Sequence[bytes | bytearray | memoryview]) -> None:
    """Bytes that follow each other, to their place. Raises NoSpaceError, StorageError."""
    length = sum(map(len, parts))
    try:
        done = os.pwritev(descriptor, parts, offset)
        if done < length:
            rest = b"".join(parts)[done:]
            while rest:
                offset, done = offset + done, os.pwrite(descriptor, rest, offset + done)
                rest = rest[done:]
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpaceError("the temporary file of what is received does not fit", hint=_OTHER_FOLDER) from error
        raise StorageError(f"the temporary file of what is received cannot be written: {error.strerror}") from error


def read_again(file: FileIO) -> FileIO:
    """Another description of the same file, with a position of its own."""
    return FileIO(os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC))
