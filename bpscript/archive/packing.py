"""Streams packed by zstd, gzip, xz, lzma, bzip2 or lz4, recognised by their first bytes and unpacked in pieces of bounded size.

`unpacked` gives pieces as they come; `UnpackedReader` fills buffers of the caller, which is faster for zstd: no fresh memory.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol, cast

from ..base.errors import FormatError, StorageError
from ..base.sources import Reader
from .records import ZSTD_MAGIC

STEP = 1 << 20
_MORSEL = 1 << 10           # bytes given to zstd at once: they stand for at most 44 MiB (4 bytes for a 128 KiB block)
_ZSTD_STEP = 256 << 10      # bytes that `UnpackedReader` reads at once
_MAX_WINDOW = 1 << 27       # what `zstd -d` takes without asking
MAX_MEMORY = 256 << 20     # for xz; `xz -9` needs 65 MiB


def packing_of(start: bytes) -> str | None:
    """What a file is packed with, by its first six bytes; None when it is not."""
    if start[:4] == ZSTD_MAGIC or (start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50):
        return "zstd"       # RFC 8878: a data frame, or a skippable one
    if start[:3] == b"\x1f\x8b\x08":
        return "gzip"       # RFC 1952 2.3.1, method 8
    if start[:6] == b"\xfd7zXZ\0":
        return "xz"         # The .xz File Format 1.2.0, 2.1.1.1
    if start[:4] == b"\x04\x22\x4d\x18":
        return "lz4"        # LZ4 Frame Format 1.6.x, "Magic Number"
    if start[:3] == b"]\0\0" and len(start) > 5:
        return "lzma"       # no magic, but the properties that everybody uses and a dictionary in 64 KiB steps (lzma-file-format.txt)
    return "bzip2" if start[:3] == b"BZh" and start[3:4].isdigit() else None


def pieces(reader: Reader) -> Iterator[bytes]:
    """Everything that is left, in pieces of at most 1 MiB."""
    while data := reader.read(STEP):
        yield data


def unpacked(pieces: Iterable[bytes], packing: str, what: str) -> Iterator[bytes]:
    """The contents of all frames, members or streams, one after the other. Raises FormatError naming `what`."""
    import lzma  # noqa: PLC0415 - only for packed files of others

    import zstandard  # noqa: PLC0415

    make = _MAKERS[packing]
    unpacker = make()
    begun = ended = False       # in the middle of a frame; after at least one
    for piece in pieces:
        data = piece
        while data:
            if not begun and ended and packing not in {"zstd", "lz4"}:
                data = data.lstrip(b"\0")       # gzip and xz may be padded with zeros
                if not data:
                    break
            begun = True
            try:
                yield from unpacker.feed(data)
            except (zstandard.ZstdError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
                # bz2 raises OSError and ValueError, lz4 RuntimeError
                raise FormatError(f"{what} is damaged: {error}") from error
            data = b""
            if unpacker.ended:
                data = unpacker.rest
                unpacker, begun, ended = make(), False, True
    if begun or not ended:
        raise FormatError(f"{what} is cut short")


class UnpackedReader:
    """The contents of a packed stream, or with `packing` None the stream itself, into buffers of the caller.

    Raises FormatError naming `what` when it is damaged or cut short: at the latest when its end is asked for.
    """

    def __init__(self, source: Reader, packing: str | None, what: str) -> None:
        self._source = source
        self._what = what
        self._zstd = _ZstdFrames(source, what) if packing == "zstd" else None
        self._pieces = iter(()) if self._zstd else pieces(source) if packing is None else unpacked(pieces(source), packing, what)
        self._piece = memoryview(b"")
        self._ahead = memoryview(b"")       # what `peek` has read

    def peek(self, length: int) -> bytes:
        """The next bytes without taking them; small numbers only, fewer at the end."""
        ahead = bytearray(length)
        self._ahead = memoryview(ahead)[: self.readinto(ahead)]
        return bytes(self._ahead)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill the buffer; fewer bytes only at the end."""
        view = memoryview(buffer)
        position = min(len(self._ahead), len(view))
        view[:position] = self._ahead[:position]
        self._ahead = self._ahead[position:]
        if self._zstd is not None:
            return position + self._zstd.readinto(view[position:])
        while position < len(view):
            if not self._piece:
                self._piece = memoryview(next(filter(None, self._pieces), b""))     # some give nothing now and then
                if not self._piece:
                    break
            step = min(len(self._piece), len(view) - position)
            view[position : position + step] = self._piece[:step]
            position, self._piece = position + step, self._piece[step:]
        return position

    def read_exactly(self, length: int) -> bytes:
        """Exactly `length` bytes; small ones only."""
        buffer = bytearray(length)
        if (count := self.readinto(buffer)) != length:
            raise FormatError(f"{self._what} ends {length - count} bytes too early")
        return bytes(buffer)

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        if length < 0:
            return b"".join(pieces(self))
        buffer = bytearray(length)
        return bytes(memoryview(buffer)[: self.readinto(buffer)])

    def close(self) -> None:
        """Close what it reads from."""
        self._source.close()


# The library's reader does not tell whether the last frame was complete when its input ended. So one more frame is fed to it: only
# after a complete one is it understood. Its contents repeat, so that they cannot come out as bytes of an uncompressed block.
_END_CONTENTS = b"the end of it, " * 16


class _ZstdFrames:
    def __init__(self, source: Reader, what: str) -> None:
        import zstandard  # noqa: PLC0415 - slow to load

        self._error: type[Exception] = zstandard.ZstdError
        self._what = what
        self._input = _WithEndFrame(source, zstandard.ZstdCompressor().compress(_END_CONTENTS))
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._reader = unpacker.stream_reader(cast(BinaryIO, self._input), read_size=_ZSTD_STEP, read_across_frames=True)
        self._last: memoryview | None = None    # what is left of the contents, once the input has ended

    def readinto(self, view: memoryview) -> int:
        position = 0
        while self._last is None and position < len(view):
            try:
                count = self._reader.readinto(view[position:])
                rest = b"".join(iter(lambda: self._reader.read(STEP), b"")) if self._input.ended else b""
            except self._error as error:
                words = "is cut short" if self._input.ended else f"is damaged: {error}"
                raise FormatError(f"{self._what} {words}") from error
            if not self._input.ended:
                position += count
                continue
            last = bytes(view[position : position + count]) + rest      # at most this buffer, one block, and the frame added
            if not last.endswith(_END_CONTENTS) or not self._input.begun:
                raise FormatError(f"{self._what} is cut short")
            self._last = memoryview(last)[: -len(_END_CONTENTS)]
        if self._last is not None:
            step = min(len(self._last), len(view) - position)
            view[position : position + step] = self._last[:step]
            position, self._last = position + step, self._last[step:]
        return position


class _WithEndFrame:
    """A reader with one more frame behind its end."""

    def __init__(self, source: Reader, frame: bytes) -> None:
        self._source = source
        self._frame = frame
        self.begun = self.ended = False

    def read(self, length: int = -1) -> bytes:
        if not self.ended and (data := self._source.read(length)):
            self.begun = True
            return data
        self.ended = True
        data, self._frame = self._frame[:length], self._frame[length:]
        return data


class Prefixed:
    """A reader whose first bytes were read already."""

    def __init__(self, start: bytes, rest: Reader) -> None:
        self._start = start
        self._rest = rest

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes."""
        if not self._start:
            return self._rest.read(length)
        data = self._start if length < 0 else self._start[:length]
        self._start = self._start[len(data) :]
        return data + self._rest.read() if length < 0 else data

    def close(self) -> None:
        """Close the reader."""
        self._rest.close()


class _Unpacker(Protocol):
    """One frame, member or stream. `ended` when it is complete; `rest` is then what was given beyond its end."""

    ended: bool
    rest: bytes

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        """The contents that this much data adds."""
        ...


class _Zstd:
    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415

        self._object = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
        self.ended = False
        self.rest = b""

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        for start in range(0, len(data), _MORSEL):
            if contents := self._object.decompress(data[start : start + _MORSEL]):
                yield contents
            if self._object.eof:
                self.ended, self.rest = True, self._object.unused_data + data[start + _MORSEL :]
                return


class _Gzip:
    def __init__(self) -> None:
        self._object = zlib.decompressobj(31)       # 31: with the header and check value of gzip
        self.ended = False
        self.rest = b""

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        while data and not self._object.eof:
            yield self._object.decompress(data, STEP)
            data = self._object.unconsumed_tail
        self.ended, self.rest = self._object.eof, self._object.unused_data


class _LibraryObject(Protocol):
    """What the decompressors of lzma and bz2 have in common: they keep what they have not used yet."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Library:
    def __init__(self, made: _LibraryObject) -> None:
        self._object = made
        self.ended = False
        self.rest = b""

    def feed(self, data: bytes, /) -> Iterator[bytes]:
        yield self._object.decompress(data, STEP)
        while not self._object.eof and not self._object.needs_input:
            yield self._object.decompress(b"", STEP)
        self.ended, self.rest = self._object.eof, self._object.unused_data or b""      # None with lz4


def _xz() -> _Unpacker:
    import lzma  # noqa: PLC0415

    return _Library(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_MEMORY))


def _lzma() -> _Unpacker:
    import lzma  # noqa: PLC0415

    return _Library(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_MEMORY))


def raw_lzma(dictionary: int, *, lc: int, lp: int, pb: int) -> _Unpacker:
    """LZMA without any header; `dictionary` in bytes, at most MAX_MEMORY. Raises lzma.LZMAError from `feed`."""
    import lzma  # noqa: PLC0415

    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": max(dictionary, 4096), "lc": lc, "lp": lp, "pb": pb}]
    return _Library(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters))


def _bzip2() -> _Unpacker:
    import bz2  # noqa: PLC0415

    return _Library(bz2.BZ2Decompressor())


def _lz4() -> _Unpacker:
    try:
        from lz4.frame import LZ4FrameDecompressor  # noqa: PLC0415
    except ImportError as error:
        raise StorageError("it is packed by lz4, and the Python package lz4 is not installed", hint="pip install lz4") from error
    return _Library(LZ4FrameDecompressor())


_MAKERS: dict[str, Callable[[], _Unpacker]] = {"zstd": _Zstd, "gzip": _Gzip, "xz": _xz, "lzma": _lzma, "bzip2": _bzip2, "lz4": _lz4}
