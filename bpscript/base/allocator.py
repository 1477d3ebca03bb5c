"""What the C library does with large blocks of memory that are given up, in the whole process: the last call decides.

glibc takes a block that was given up for a sign that more of its size will be wanted: from then on blocks up to 32 MiB come out of
its heaps (mallopt(3), M_MMAP_THRESHOLD). That is wrong in two ways:

* blocks of many MiB: the packed chunks of one thread lie between the buffers of another, and tens of MiB stay taken;
* blocks of a MiB: a heap with twice as much free room at its end shrinks (M_TRIM_THRESHOLD), and grows again with the next chunk. The
  kernel clears every page anew, and the threads wait for each other meanwhile: a twelfth of a capture at level 1.

Setting the limits by hand ends the guessing. Nothing happens where the C library has no such limits.
"""

from contextlib import suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3      # malloc.h
_LARGE = 1 << 20            # bytes; larger blocks are mapped for themselves
_LARGEST = 32 << 20         # bytes; glibc takes no higher limit: half of a thread's heap
_KEPT = 128 << 20           # bytes at the end of a heap


def give_back_large_blocks() -> None:
    """From here on blocks of more than a MiB are mapped for themselves: they go back to the system when they are given up."""
    _set((_M_MMAP_THRESHOLD, _LARGE))


def keep_large_blocks() -> None:
    """From here on blocks of up to 32 MiB come from heaps that do not shrink: for few of about a MiB, again and again."""
    _set((_M_MMAP_THRESHOLD, _LARGEST), (_M_TRIM_THRESHOLD, _KEPT))


def _set(*limits: tuple[int, int]) -> None:
    import ctypes  # noqa: PLC0415 - slow to load, and few runs have large blocks

    with suppress(OSError, AttributeError):     # musl has heaps of another kind
        function = ctypes.CDLL(None).mallopt
        for name, value in limits:
            function(name, value)
