"""libext2fs through cffi in ABI mode: loading, and its error codes as our errors. What is called: declarations.py."""

import os
from functools import cache
from typing import Any

from ...base.errors import BpscriptError, FormatError, NoSpaceError, StorageError

FLAG_RW = 0x1                   # ext2fs.h: EXT2_FLAG_*
FLAG_CHANGED = 0x2
FLAG_DIRTY = 0x4
FLAG_MASTER_SB_ONLY = 0x200
FLAG_64BITS = 0x20000
FLAG_SKIP_MMP = 0x100000
FLUSH_NO_SYNC = 1
IO_CHANNEL_MAGIC = 2133571333   # ext2_err.h: EXT2_ET_MAGIC_IO_CHANNEL, EXT2_ET_MAGIC_IO_MANAGER
IO_MANAGER_MAGIC = 2133571335
SHORT_READ = 2133571364         # EXT2_ET_SHORT_READ, EXT2_ET_SHORT_WRITE
SHORT_WRITE = 2133571365
_NO_SPACE = {28, 2133571400, 2133571401}           # ENOSPC, EXT2_ET_BLOCK_ALLOC_FAIL, EXT2_ET_INODE_ALLOC_FAIL
NO_ROOM_FOR_XATTR = {2133571487, 2133571491}       # EXT2_ET_EA_BAD_VALUE_SIZE, EXT2_ET_EA_NO_SPACE
_LIBRARY = "libext2fs.so.2"
_FIRST_TABLE = 256              # com_err.h: codes below are errno, from there on the high bits name a table


@cache
def load() -> tuple[Any, Any]:
    """The cffi object and the library. Raises StorageError with the name of the package that brings it."""
    from .bindings import ffi  # noqa: PLC0415 - only ext volumes need it

    try:
        # Never unmapped again: what C has kept of it (tables, handles, callbacks) stays true whoever drops the last reference.
        return ffi, ffi.dlopen(_LIBRARY, os.RTLD_NOW | os.RTLD_NODELETE)
    except OSError as error:
        raise StorageError(
            f"ext2, ext3 and ext4 volumes need {_LIBRARY}, which is not installed", hint="apt install libext2fs2 e2fsprogs"
        ) from error


def _message(code: int) -> str:
    """The text of e2fsprogs for a code of its own, the system's for an errno.

    Read from the table inside libext2fs: error_message(3) of libcom_err knows it only while it is registered there, and which
    libcom_err answers is decided by whatever else the process has loaded.
    """
    ffi, library = load()
    table = library.et_ext2_error_table
    if 0 <= code - table.base < table.n_msgs:
        return bytes(ffi.string(table.msgs[code - table.base])).decode("utf-8", "replace")
    return os.strerror(code) if 0 < code < _FIRST_TABLE else f"libext2fs error {code}"


def error_for(code: int, what: str) -> BpscriptError:
    """The error for a result code: NoSpaceError where room is missing, FormatError for everything the volume did wrong."""
    if code in _NO_SPACE:
        inodes = code == 2133571401
        return NoSpaceError(f"{what}: the volume has no {'inode' if inodes else 'block'} left")
    text = _message(code)
    return FormatError(f"{what}: {text[:1].lower()}{text[1:]}")
