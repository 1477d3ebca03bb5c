"""What a file is, in short: its size and a hash. Small files are hashed whole, of large ones the first and the last MiB.

The end of an archive of ours is the table of the hashes of all its chunks, so for those the short way is as good as the long one.
The time of a file does not count: copies are the same file.
"""

from contextlib import closing
from typing import NamedTuple

from blake3 import blake3

from ..base.errors import BpscriptError
from ..base.sources import FileSource, Reader, ReadsAnywhere
from ..base.units import MIB
from ..blocks.device import BlockDevice

WHOLE = 4 * MIB         # files up to here are read whole
_END = 1 * MIB
_PIECE = 1 * MIB


class Fingerprint(NamedTuple):
    """Size in bytes, None when nobody can tell; the hash in hexadecimal digits, "" for what could not be read."""

    size: int | None
    hash: str


class Region(NamedTuple):
    """Bytes of a disk, half-open, and their hash."""

    start: int
    end: int
    hash: str


def fingerprint(source: FileSource, path: str) -> Fingerprint:
    """What a file of a source is now. Never an error: one that cannot be read has no hash."""
    try:
        facts = source.stat(path)
        size = None if facts is None else facts.size
        with closing(source.open(path)) as reader:
            return _of_reader(reader, size)
    except BpscriptError:
        return Fingerprint(None, "")


def of_bytes(data: bytes) -> Fingerprint:
    """The same of bytes that are at hand."""
    hashed = blake3(data if len(data) <= WHOLE else data[:_END])
    if len(data) > WHOLE:
        hashed.update(data[-_END:])
    return Fingerprint(len(data), hashed.hexdigest())


def _of_reader(reader: Reader, size: int | None) -> Fingerprint:
    hashed = blake3()
    small = size is not None and size <= WHOLE
    left = WHOLE if small else _END
    while left and (data := reader.read(min(left, _PIECE))):
        hashed.update(data)
        left -= len(data)
    if not small and size is not None:
        hashed.update(_tail(reader, size, _END))
    return Fingerprint(size, hashed.hexdigest())


def ends(source: FileSource, path: str, size: int, length: int) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file that has more than both; of one that can be read in order only, no last ones. Raises BpscriptError."""
    with closing(source.open(path)) as reader:
        head = b""
        while len(head) < length and (data := reader.read(length - len(head))):
            head += data
        return head, _tail(reader, size, length)


def _tail(reader: Reader, size: int, length: int) -> bytes:
    """The last bytes of a file; nothing where it can be read in order only."""
    if isinstance(reader, ReadsAnywhere) and reader.reads_anywhere:
        return reader.read_at(size - length, length)
    fileno = getattr(reader, "fileno", None)
    if fileno is not None:
        import os  # noqa: PLC0415 - as little as possible where nothing is recorded

        return os.pread(fileno(), length, size - length)
    return b""


def regions(device: BlockDevice, ranges: list[tuple[int, int]]) -> list[Region]:
    """The hash of every range of a device."""
    found = []
    for start, end in ranges:
        hashed = blake3()
        for offset in range(start, end, _PIECE):
            hashed.update(device.read(offset, min(_PIECE, end - offset)))
        found.append(Region(start, end, hashed.hexdigest()))
    return found
