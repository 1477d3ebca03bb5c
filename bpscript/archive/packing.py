"""Streams packed by zstd, gzip, xz or bzip2, recognised by their first bytes and unpacked in pieces of bounded size."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from ..base.errors import FormatError
from ..base.sources import Reader
from .records import ZSTD_MAGIC

STEP = 1 << 20
_MORSEL = 1 << 10           # bytes given to zstd at once: they stand for at most 44 MiB (4 bytes for a 128 KiB block)
_MAX_WINDOW = 1 << 27       # what `zstd -d` takes without asking
_MAX_MEMORY = 256 << 20     # for xz; `xz -9` needs 65 MiB


def packing_of(start: bytes) -> str | None:
    """What a file is packed with, by its first six bytes; None when it is not."""
    if start[:4] == ZSTD_MAGIC or (start[1:4] == b"\x2a\x4d\x18" and start[0] & 0xF0 == 0x50):
        return "zstd"       # RFC 8878: a data frame, or a skippable one
    if start[:3] == b"\x1f\x8b\x08":
        return "gzip"       # RFC 1952 2.3.1, method 8
    if start[:6] == b"\xfd7zXZ\0":
        return "xz"         # The .xz File Format 1.2.0, 2.1.1.1
    return "bzip2" if start[:3] == b"BZh" and start[3:4].isdigit() else None


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
            if not begun and ended and packing != "zstd":
                data = data.lstrip(b"\0")       # gzip and xz may be padded with zeros
                if not data:
                    break
            begun = True
            try:
                yield from unpacker.feed(data)
            except (zstandard.ZstdError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise FormatError(f"{what} is damaged: {error}") from error     # bz2 raises OSError and ValueError
            data = b""
            if unpacker.ended:
                data = unpacker.rest
                unpacker, begun, ended = make(), False, True
    if begun or not ended:
        raise FormatError(f"{what} is cut short")


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
        self.ended, self.rest = self._object.eof, self._object.unused_data


def _xz() -> _Unpacker:
    import lzma  # noqa: PLC0415

    return _Library(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_MEMORY))


def _bzip2() -> _Unpacker:
    import bz2  # noqa: PLC0415

    return _Library(bz2.BZ2Decompressor())


_MAKERS: dict[str, Callable[[], _Unpacker]] = {"zstd": _Zstd, "gzip": _Gzip, "xz": _xz, "bzip2": _bzip2}
