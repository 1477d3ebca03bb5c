"""Holes in files of the host: where they are (lseek(2)), and how to make them or keep room instead: fallocate(2), which changes nothing else in the file.

By the C function itself: `os.posix_fallocate` writes bytes where the file system cannot, which is no good next to another writer.
"""

import errno
import os
from collections.abc import Iterator
from functools import cache
from typing import Any

# linux/falloc.h
_FALLOC_FL_KEEP_SIZE = 1
_FALLOC_FL_PUNCH_HOLE = 2


def data_ranges_in(descriptor: int, offset: int, end: int) -> Iterator[tuple[int, int]]:
    """Half-open ranges from `offset` up to `end` that are no holes, in order; all of it where the host cannot tell."""
    while offset < end:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:      # ENXIO: nothing but a hole up to the end
                yield offset, end
            return
        if start >= end:
            return
        offset = min(os.lseek(descriptor, start, os.SEEK_HOLE), end)
        yield start, offset


def punch_hole(descriptor: int, offset: int, length: int) -> bool:
    """True when the range is a hole now; False when this host or file system cannot make one."""
    return _called(descriptor, _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE, offset, length)


def keep_room(descriptor: int, offset: int, length: int) -> bool:
    """True when the host has pages or blocks for the range now, so that writing need not look for them; False when it cannot."""
    return _called(descriptor, _FALLOC_FL_KEEP_SIZE, offset, length)


def _called(descriptor: int, mode: int, offset: int, length: int) -> bool:
    try:
        return bool(_fallocate()(descriptor, mode, offset, length) == 0)
    except (OSError, AttributeError):       # no C library, or one without it
        return False


@cache
def _fallocate() -> Any:  # noqa: ANN401 - a C function
    import ctypes  # noqa: PLC0415 - milliseconds that a run without holes does not need

    function = ctypes.CDLL(None, use_errno=True).fallocate64
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function
