"""Section HEAD of an incremental archive: how long the headers before each entry's contents are.

Sizes are in section NAME, so with the lengths of the headers the place of every entry follows, and one file is reached by decoding its
own chunks alone. Readers may pass over it: the lengths are also found by going from header to header.
"""

import sys
from array import array
from typing import TYPE_CHECKING

from .tar_layout import BLOCK

if TYPE_CHECKING:
    from .container import Archive, ArchiveWriter

HEAD = b"HEAD"
_MOST = (1 << 16) - 1       # blocks


class Heads:
    """Gathers the lengths while an archive is written."""

    def __init__(self) -> None:
        self._blocks: array[int] | None = array("H")

    def note(self, header: bytes) -> bytes:
        """Remember the length of what stands before the contents of the next entry; gives it back."""
        if self._blocks is not None:
            if len(header) // BLOCK > _MOST:
                self._blocks = None     # 32 MiB of attributes: the archive goes without the section
            else:
                self._blocks.append(len(header) // BLOCK)
        return header

    def add_to(self, writer: "ArchiveWriter") -> None:
        """Write the section, after the last chunk."""
        if self._blocks:
            writer.add_section(HEAD, _little_endian(self._blocks).tobytes(), optional=True)


def read_heads(archive: "Archive", count: int) -> "array[int] | None":
    """Blocks of 512 bytes before the contents of each of the `count` entries; None when the archive does not say. Raises FormatError."""
    section = archive.section(HEAD)
    if section is None or len(section) != 2 * count:
        return None
    blocks = array("H")
    blocks.frombytes(section)
    return _little_endian(blocks)


def _little_endian(blocks: "array[int]") -> "array[int]":
    if sys.byteorder == "little":
        return blocks
    swapped = blocks[:]
    swapped.byteswap()
    return swapped
