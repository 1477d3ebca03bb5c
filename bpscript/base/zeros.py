"""Zeros that everybody shares: who is given them knows without looking that they are nothing else.

A hole of a terabyte passes through readers, copies and writers as views of these, and nobody reads it to find out that it is empty.
"""

from collections.abc import Iterator

_STORE = bytes(1 << 20)
ZEROS = memoryview(_STORE)


def zeros(length: int, step: int = len(ZEROS)) -> Iterator[memoryview]:
    """`length` bytes in pieces of at most `step`, and of a MiB."""
    step = min(step, len(ZEROS))
    while length > step:
        yield ZEROS[:step]
        length -= step
    if length > 0:
        yield ZEROS[:length]


def known_zeros(view: memoryview) -> bool:
    """Whether a view is of the shared zeros: then it need not be looked at."""
    return view.obj is _STORE


def clear(view: memoryview) -> None:
    """Make a view read as zeros."""
    while len(view) > len(ZEROS):
        view[: len(ZEROS)] = ZEROS
        view = view[len(ZEROS) :]
    view[:] = ZEROS[: len(view)]
