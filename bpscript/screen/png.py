"""PNG files of a canvas: one for each time a script waits, numbered. A palette picture needs no more than zlib.

Source: PNG (Portable Network Graphics) Specification, Third Edition, 5 "Datastream structure" and 11 "Chunk specifications".
"""

import struct
import zlib
from pathlib import Path

from ..base.errors import StorageError, UsageError
from .canvas import Canvas, Span

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALETTE_TYPE = 3       # each pixel is a number of PLTE
_LEVEL = 1              # of zlib: pictures of flat colours get small all the same


def png_bytes(canvas: Canvas) -> bytes:
    """The canvas as a PNG file."""
    width, pixels = canvas.width, bytes(canvas.pixels())
    # Every row begins with its filter; without one (0) rows of a palette picture compress best.
    rows = b"\0" + b"\0".join(pixels[start : start + width] for start in range(0, len(pixels), width))
    # IHDR: width, height, bits a pixel, colour type, compression, filter method, interlace
    header = struct.pack(">IIBBBBB", width, canvas.height, 8, _PALETTE_TYPE, 0, 0, 0)
    palette = bytes(level for color in canvas.palette.colors for level in color)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"PLTE", palette) + _chunk(b"IDAT", zlib.compress(rows, _LEVEL)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Length, kind, data, and a CRC-32 of the last two."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class PngOutput:
    """An output of numbered files, 0001.png and so on, in a folder that is made; nothing is written twice in a row."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._canvas: Canvas | None = None
        self._last = b""
        self._count = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: pictures cannot be written there: {error.strerror}") from error

    def paint(self, canvas: Canvas, changes: list[Span]) -> None:
        """Remember what to take a picture of."""
        self._canvas = canvas

    def wait(self) -> None:
        """Take a picture, unless it would be the same as the last one."""
        if self._canvas is None:
            return
        picture = png_bytes(self._canvas)
        self._canvas = None
        if picture != self._last:
            self._last = picture
            self._count += 1
            path = self._folder / f"{self._count:04}.png"
            try:
                path.write_bytes(picture)
            except OSError as error:
                raise StorageError(f"{path}: the picture cannot be written: {error.strerror}") from error

    def beep(self) -> None:
        """Nobody hears it."""

    def close(self) -> None:
        """Nothing to give back."""
