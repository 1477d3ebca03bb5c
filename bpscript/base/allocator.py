"""Large blocks of memory go back to the system when they are given up.

glibc takes a block that was given up for a sign that more of its size will be wanted: from then on blocks up to 32 MiB come out of
its heaps, where the packed chunks of one thread lie between the buffers of another, and tens of MiB stay taken (mallopt(3),
M_MMAP_THRESHOLD). Setting the limit by hand ends the guessing. Blocks that are used again and again, as ours are, lose nothing.
"""

from contextlib import suppress
from functools import cache

_M_MMAP_THRESHOLD = -3      # malloc.h
_LIMIT = 1 << 20            # bytes; larger blocks are mapped for themselves


@cache
def give_back_large_blocks() -> None:
    """From here on, in the whole process; nothing happens where the C library has no such limit."""
    import ctypes  # noqa: PLC0415 - slow to load, and few runs have large blocks

    with suppress(OSError, AttributeError):     # musl maps them anyway
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LIMIT)
