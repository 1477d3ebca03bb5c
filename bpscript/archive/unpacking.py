"""Packed images (zstd, gzip, xz) to bytes, bytes to a sparse file."""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from ..base.errors import FormatError, NoSpaceError
from ..base.sources import Reader
from .records import ZSTD_MAGIC

_STEP = 1 << 20
_MORSEL = 1 << 10       # bytes unpacked at once: at most 32 MiB of zeros
_HOLE = 64 << 10        # runs of zeros this long become holes
_MAX_WINDOW = 1 << 27   # what `zstd -d` takes without asking


def packing_of(start: bytes) -> str | None:
    """zstd, gzip or xz, by the first bytes; None for anything else."""
    if start[:4] == ZSTD_MAGIC or (len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50):
        return "zstd"       # RFC 8878: a data frame, or a skippable one (pzstd, seekable files)
    if start[:3] == b"\x1f\x8b\x08":
        return "gzip"       # RFC 1952
    return "xz" if start[:6] == b"\xfd7zXZ\0" else None


def pieces(reader: Reader) -> Iterator[bytes]:
    """Everything that is left, in pieces of at most 1 MiB."""
    while data := reader.read(_STEP):
        yield data


def unpacked(reader: Reader, packing: str) -> Iterator[bytes]:
    """The contents. Raises FormatError when they are damaged or cut short."""
    import lzma  # noqa: PLC0415 - only for packed images

    import zstandard  # noqa: PLC0415

    makers: dict[str, Callable[[], _Unpacker]] = {
        "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj(),
        "gzip": lambda: zlib.decompressobj(31),     # 31: with the header and check value of gzip
        "xz": lzma.LZMADecompressor,
    }
    unpacker = makers[packing]()
    begun = False
    try:
        for piece in pieces(reader):
            # Little by little: a few bytes can stand for megabytes of zeros, and all of that is given back at once.
            for start in range(0, len(piece), _MORSEL):
                data = piece[start : start + _MORSEL]
                while data:
                    begun = True
                    yield unpacker.decompress(data)
                    data = unpacker.unused_data
                    if unpacker.eof:        # another frame, member or stream may follow; xz pads them with zeros
                        unpacker, begun = makers[packing](), False
                        data = data.lstrip(b"\0") if packing != "zstd" else data
    except (zstandard.ZstdError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise FormatError(f"the {packing} image is damaged: {error}") from error
    if begun:
        raise FormatError(f"the {packing} image is cut short")


class _Unpacker(Protocol):
    """What the decompressors of zstandard, zlib and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def write_sparse(path: Path, pieces: Iterable[bytes]) -> None:
    """Write the pieces to a new file, long runs of zeros as holes."""
    zeros = bytes(_HOLE)
    position = 0
    try:
        with path.open("xb", buffering=0) as file:
            for piece in pieces:
                for start in range(0, len(piece), _HOLE):
                    part = piece[start : start + _HOLE]
                    if part != zeros[: len(part)]:
                        os.pwrite(file.fileno(), part, position + start)
                position += len(piece)
            file.truncate(position)
    except OSError as error:
        raise NoSpaceError(
            f"{path.parent}: no room to unpack the image after {position} bytes: {error.strerror}", hint="TempPath names another folder"
        ) from error
