"""What the bytes of a file should be: a BLAKE3 digest for each MiB of it, made by the server, checked by those who received it."""

import os
from collections.abc import Callable, Iterator

from blake3 import blake3

from .packets import DIGEST, DIGEST_STEP


class StoppedError(Exception):
    """Nobody wants the digests any more."""


def digest_length(size: int) -> int:
    """Bytes of all digests of a file."""
    return -(-size // DIGEST_STEP) * DIGEST


def digests_of(descriptor: int, size: int, stopping: Callable[[], bool] = lambda: False) -> bytes:
    """The digests of a file, one after the other. Raises OSError, StoppedError; EOFError when it is shorter than `size`."""
    found = bytearray()
    buffer = memoryview(bytearray(min(size, DIGEST_STEP)))
    for start in range(0, size, DIGEST_STEP):
        if stopping():
            raise StoppedError
        found += _digest(descriptor, start, buffer[: min(DIGEST_STEP, size - start)])
    return bytes(found)


def wrong_parts(descriptor: int, size: int, digests: bytes) -> Iterator[tuple[int, int]]:
    """Half-open ranges of the file whose bytes are not those of the digests. Raises OSError."""
    buffer = memoryview(bytearray(min(size, DIGEST_STEP)))
    for start in range(0, size, DIGEST_STEP):
        end = min(start + DIGEST_STEP, size)
        at = start // DIGEST_STEP * DIGEST
        if _digest(descriptor, start, buffer[: end - start]) != digests[at : at + DIGEST]:
            yield start, end


def _digest(descriptor: int, offset: int, view: memoryview) -> bytes:
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            raise EOFError
        done += count
    return blake3(view).digest()
