"""Runs of ones in the bitmaps of blocks and clusters: the lowest bit of each byte comes first, as in ext and NTFS."""

import re
from collections.abc import Iterable, Iterator

_STEP = 512                 # bytes: parts that are all used or all free are passed over in one comparison
_ONES, _ZEROS = b"\xff" * _STEP, bytes(_STEP)
_WHOLE = (0, _STEP * 8)
_RUNS = re.compile("1+")


def bit_runs(bitmap: bytes) -> Iterator[tuple[int, int]]:
    """Half-open runs of set bits, in order and merged."""
    start = end = 0
    for at in range(0, len(bitmap), _STEP):
        part = bitmap[at : at + _STEP]
        if part == _ZEROS:
            continue
        # As text that begins with the lowest bit: what is written in C finds the runs.
        spans: Iterable[tuple[int, int]] = (
            [_WHOLE] if part == _ONES else [found.span() for found in _RUNS.finditer(f"{int.from_bytes(part, 'little'):b}"[::-1])]
        )
        base = at * 8
        for first, last in spans:
            if base + first != end:
                if end > start:
                    yield start, end
                start = base + first
            end = base + last
    if end > start:
        yield start, end
