"""libext2fs through cffi in ABI mode: loading, and its error codes as our errors. What is called: declarations.py."""

from collections.abc import Callable
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
_MESSAGES = "libcom_err.so.2"


@cache
def load() -> tuple[Any, Any]:
    """The cffi object and the library. Raises StorageError with the name of the package that brings it."""
    from .bindings import ffi  # noqa: PLC0415 - only ext volumes need it

    try:
        return ffi, ffi.dlopen(_LIBRARY)
    except OSError as error:
        raise StorageError(
            f"ext2, ext3 and ext4 volumes need {_LIBRARY}, which is not installed", hint="apt install libext2fs2 e2fsprogs"
        ) from error


@cache
def _messages() -> Callable[[int], str]:
    """The error texts of e2fsprogs: error_message(3) of libcom_err, with the table of libext2fs registered."""
    ffi, library = load()
    common = ffi.dlopen(_MESSAGES)
    library.initialize_ext2_error_table()

    def message(code: int) -> str:
        return bytes(ffi.string(common.error_message(code))).decode("utf-8", "replace")

    return message


def error_for(code: int, what: str) -> BpscriptError:
    """The error for a result code: NoSpaceError where room is missing, FormatError for everything the volume did wrong."""
    if code in _NO_SPACE:
        inodes = code == 2133571401
        return NoSpaceError(f"{what}: the volume has no {'inode' if inodes else 'block'} left")
    try:
        text = _messages()(code)
    except OSError:
        text = f"libext2fs error {code}"
    return FormatError(f"{what}: {text[:1].lower()}{text[1:]}")
