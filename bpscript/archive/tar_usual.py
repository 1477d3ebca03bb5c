"""The usual files of a tar stream, many at a time: what nearly every entry of an archive of ours is.

A system has tens of thousands of small files, so what is done for each of them counts: here one loop takes all of a buffer, with no
call and no step of an iterator between two files. Whatever is unusual ends the loop, and `tar_read.py` goes on there.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from zlib import adler32

from ..blocks.device import Buffer
from ..filesystems.filesystem import Facts, FileKind, UnixFacts
from .tar_layout import BLOCK, FILE, PAX

_MODULUS = 65521        # of Adler-32: its low half is 1 plus the sum of the bytes, modulo this (RFC 1950)
ENDS = b"\0 "            # what stands after octal digits
# Nothing to clean: not absolute, no empty part, no part that begins with a dot.
is_plain_path = re.compile(r"[^/.\0][^/\0]*(?:/[^/.\0][^/\0]*)*\Z").match
# A pax header that says nothing but a time with a fraction.
_FRACTION = re.compile(rb"(\d\d) mtime=(\d{1,11})\.(\d{1,9})\n").match

# Of the header (tar_layout.py), what a usual file has: name; mode, uid and gid; size; time; checksum; type; first byte of the prefix.
_FIELDS = Struct("100s24s12s12s8s1s188xB166x")
assert _FIELDS.size == BLOCK


@dataclass(slots=True)
class TarEntry:
    """One entry. `link` is the path of an earlier one that this is a hard link to, else None.

    `chunks` gives the contents (`facts.size` bytes), once, and only until the reader is asked for the next entry (or group). `stored`: how
    many of them a volume that keeps holes has to write, where the archive knows of holes.
    """

    path: str
    facts: Facts
    link: str | None
    chunks: Iterable[memoryview]
    stored: int | None = None


def usual_files(view: memoryview, position: int, owners: dict[bytes, UnixFacts]) -> tuple[list[TarEntry], int, int]:
    """Files with a plain path and perhaps a fraction of their time, from a place in a buffer on, as long as their contents lie in it.

    `owners` are known by the bytes of mode, uid and gid. Also gives where the loop ended, and how much of the last padding lies
    behind the buffer. What ends it, perhaps at once, has not been taken.
    """
    found: list[TarEntry] = []
    unpack, length, file_kind = _FIELDS.unpack_from, len(view), FileKind.FILE
    while length - position >= 3 * BLOCK:
        start, mtime_ns = position, -1
        raw_name, owner, raw_size, raw_time, checksum, kind, prefix = unpack(view, start)
        if kind == PAX:
            fraction = _FRACTION(view, start + BLOCK, start + 2 * BLOCK)
            if fraction is None or not sum_is_right(view[start : start + BLOCK], checksum):
                break
            digits, seconds, decimals = fraction.groups()
            if not int(digits) == fraction.end() - start - BLOCK == _octal(raw_size):
                break
            mtime_ns = int(seconds) * 1_000_000_000 + int(decimals.ljust(9, b"0"))
            start += 2 * BLOCK
            raw_name, owner, raw_size, raw_time, checksum, kind, prefix = unpack(view, start)
        if kind != FILE or prefix or raw_size[11] not in ENDS or not sum_is_right(view[start : start + BLOCK], checksum):
            break
        unix = owners.get(owner)
        try:
            path = raw_name.partition(b"\0")[0].decode()
            size = int(raw_size[:11], 8)
            if mtime_ns < 0:
                mtime_ns = int(raw_time[:11], 8) * 1_000_000_000
        except ValueError:
            break
        start += BLOCK
        end = start + size
        if unix is None or size < 0 or mtime_ns < 0 or end > length or not is_plain_path(path):
            break
        found.append(TarEntry(path, Facts(file_kind, size, mtime_ns, "", unix), None, (view[start:end],) if size else ()))
        position = end + (-size % BLOCK)
    return (found, length, position - length) if position > length else (found, position, 0)


def sum_is_right(block: Buffer, checksum: bytes) -> bool:
    """Whether a header has the sum that it says, "012345\\0 ", as nearly everybody writes it."""
    try:
        stored = int(checksum[:6], 8)
    except ValueError:
        return False
    # 255: the field counts as eight blanks in the stored sum, and Adler-32 begins with 1.
    return bool(adler32(block) & 0xFFFF == (stored + sum(checksum) - 255) % _MODULUS)


def _octal(field: bytes) -> int:
    """A size in octal; -1 when it is none."""
    try:
        return int(field[:11], 8)
    except ValueError:
        return -1
