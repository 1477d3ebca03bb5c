"""The bytes of a transfer: blocks read from a file, translated to netascii, or written to a file.

Thousands of transfers may be under way, with few descriptors: `Shelf` keeps the files that were used last open, opens others
again when their next block is wanted, and notices when a file is not what it was.
"""

import os
import re
from collections import OrderedDict, deque
from pathlib import Path
from typing import Protocol

from ...base.errors import InTheWayError, NoSpaceError, NotFoundError, StorageError
from ..folder import FolderReader, FolderSource
from .packets import Buffer

DESCRIPTORS = 128           # files open at a time
BURST = 1 << 16             # bytes that are read at a time, at most


class Content(Protocol):
    """What is sent: `size` in bytes, None when it is known only at the end. Of equal `identity` is what has the same bytes."""

    size: int | None
    identity: object

    def read(self, first: int, count: int, block_size: int) -> Buffer:
        """Blocks from `first` (counted from 1) on, one after the other; less only at the end. Raises StorageError."""
        ...

    def read_into(self, first: int, payloads: list[memoryview], block_size: int) -> int:
        """As `read`, a block into each of these; how many bytes they are. Raises StorageError."""
        ...

    def close(self) -> None:
        """Give back what was opened."""
        ...


class Shelf:
    """Files below a root, opened and opened again. The buffer that `read` answers with is one for all."""

    def __init__(self, source: FolderSource, limit: int = DESCRIPTORS) -> None:
        self._source = source
        self._limit = limit
        self._open: OrderedDict[str, tuple[FolderReader, tuple[int, ...], int]] = OrderedDict()
        self._buffer = memoryview(bytearray(BURST))
        self._last: tuple[FolderReader, tuple[int, ...], int] | None = None     # what was read last needs not be moved to the end

    def take(self, name: str) -> "FileContent":
        """A file as it is now. Raises NotFoundError, InTheWayError for a directory, StorageError for what is not below the root."""
        self._forget(name)
        return FileContent(self, name, self._get(name)[1])

    def read(self, name: str, facts: tuple[int, ...], offset: int, length: int) -> memoryview:
        """Bytes of a file, valid until the next call. Raises StorageError when it is not the file it was, or has not that many."""
        descriptor = self._descriptor(name, facts)
        view = self._buffer[:length]
        try:
            got = os.preadv(descriptor, (view,), offset)
        except OSError as error:
            raise StorageError(f'"{name}" cannot be read: {error.strerror}') from error
        if got != length:
            raise StorageError(f'"{name}" became shorter meanwhile')
        return view

    def read_into(self, name: str, facts: tuple[int, ...], offset: int, payloads: list[memoryview], length: int) -> int:
        """As `read`, into these buffers of `length` bytes together, one after the other."""
        descriptor = self._descriptor(name, facts)
        try:
            got = os.preadv(descriptor, payloads, offset)
        except OSError as error:
            raise StorageError(f'"{name}" cannot be read: {error.strerror}') from error
        if got < length and offset + got < facts[0]:
            raise StorageError(f'"{name}" became shorter meanwhile')
        return min(got, max(0, facts[0] - offset))      # it may have grown

    def close(self) -> None:
        """Close all files."""
        for reader, _, _ in self._open.values():
            reader.close()
        self._open.clear()

    def _descriptor(self, name: str, facts: tuple[int, ...]) -> int:
        found = self._open.get(name)
        if found is None or found is not self._last:
            self._last = found = self._get(name)
        if found[1] is not facts and found[1] != facts:
            raise StorageError(f'"{name}" was changed meanwhile')
        return found[2]

    def _get(self, name: str) -> tuple[FolderReader, tuple[int, ...], int]:
        found = self._open.get(name)
        if found is None:
            reader = self._source.open(name)
            status = os.fstat(reader.fileno())
            found = self._open[name] = reader, (status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns), reader.fileno()
            while len(self._open) > self._limit:
                self._open.popitem(last=False)[1][0].close()
        else:
            self._open.move_to_end(name)
        return found

    def _forget(self, name: str) -> None:
        """Close a file whose name means another one now; transfers of the old one end with a clear word."""
        found = self._open.get(name)
        if found is None:
            return
        now = self._source.stat(name)
        status = os.fstat(found[0].fileno())
        is_written_over = found[1] != (status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns)
        if now is None or (now.size, now.mtime_ns) != (status.st_size, status.st_mtime_ns) or is_written_over:
            del self._open[name]
            found[0].close()


class FileContent:
    """A file, as it is."""

    def __init__(self, shelf: Shelf, name: str, facts: tuple[int, ...]) -> None:
        self.size: int | None = facts[0]
        self.identity: object = facts
        self._length = facts[0]
        self._shelf = shelf
        self._name = name
        self._facts = facts

    def read(self, first: int, count: int, block_size: int) -> Buffer:
        """Blocks of the file, valid until the next call."""
        offset = (first - 1) * block_size
        length = count * block_size
        if offset + length > self._length:
            length = max(0, self._length - offset)
        return self._shelf.read(self._name, self._facts, offset, length)

    def read_into(self, first: int, payloads: list[memoryview], block_size: int) -> int:
        """Blocks of the file into buffers."""
        return self._shelf.read_into(self._name, self._facts, (first - 1) * block_size, payloads, len(payloads) * block_size)

    def close(self) -> None:
        """Nothing is held."""


class BytesContent:
    """A file that was made in memory."""

    def __init__(self, data: bytes) -> None:
        self.size: int | None = len(data)
        self.identity: object = data
        self._data = data

    def read(self, first: int, count: int, block_size: int) -> bytes:
        """Blocks of it."""
        return self._data[(first - 1) * block_size : (first - 1 + count) * block_size]

    def read_into(self, first: int, payloads: list[memoryview], block_size: int) -> int:
        """Blocks of it into buffers."""
        return _copy_into(self.read(first, len(payloads), block_size), payloads)

    def close(self) -> None:
        """Nothing is held."""


class NetasciiContent:
    """Content in netascii (RFC 764: the end of a line is CR LF, a CR is CR NUL); what was sent is kept until it is acknowledged."""

    def __init__(self, lower: Content) -> None:
        self.size: int | None = None
        self.identity: object = (lower.identity, "netascii")
        self._lower = lower
        self._position = 1              # block of the lower content to read next, of BURST bytes
        self._rest = b""                # translated, not yet in a block
        self._blocks: deque[bytes] = deque()
        self._first = 1                 # number of the first of them
        self._ended = False

    def read(self, first: int, count: int, block_size: int) -> bytes:
        """Blocks; those before `first` are forgotten."""
        while self._first < first and self._blocks:
            self._blocks.popleft()
            self._first += 1
        while len(self._blocks) < first - self._first + count and not (self._ended and not self._rest):
            self._fill(block_size)
            if not self._rest:
                break
            self._blocks.append(self._rest[:block_size])
            self._rest = self._rest[block_size:]
        start = first - self._first
        return b"".join(list(self._blocks)[start : start + count])

    def read_into(self, first: int, payloads: list[memoryview], block_size: int) -> int:
        """Blocks into buffers."""
        return _copy_into(self.read(first, len(payloads), block_size), payloads)

    def close(self) -> None:
        """Close the lower content."""
        self._lower.close()

    def _fill(self, block_size: int) -> None:
        while len(self._rest) < block_size and not self._ended:
            piece = bytes(self._lower.read(self._position, 1, 4096))
            self._position += 1
            self._ended = len(piece) < 4096
            self._rest += to_netascii(piece)


def _copy_into(data: bytes, payloads: list[memoryview]) -> int:
    position = 0
    for payload in payloads:
        piece = data[position : position + len(payload)]
        payload[: len(piece)] = piece
        position += len(piece)
    return position


def to_netascii(data: bytes) -> bytes:
    """Text of this host as netascii; pieces may be translated one by one."""
    return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


class FromNetascii:
    """Netascii as text of this host; a CR at the end of a piece waits for the next one."""

    def __init__(self) -> None:
        self._kept = b""

    def translate(self, data: Buffer) -> bytes:
        """The next piece."""
        text = self._kept + bytes(data)
        self._kept = b"\r" if text.endswith(b"\r") else b""
        return _NETASCII.sub(lambda match: _PLAIN[match[0]], text[: len(text) - len(self._kept)])

    def rest(self) -> bytes:
        """What was kept, at the end."""
        return self._kept


_NETASCII = re.compile(rb"\r[\0\n]")
_PLAIN = {b"\r\0": b"\r", b"\r\n": b"\n"}


class Upload:
    """A file that is being written to the server: it appears whole, or not at all."""

    def __init__(self, source: FolderSource, name: str, *, netascii: bool) -> None:
        """Raises ReadOnlyError, NotFoundError (no directory for it), InTheWayError, StorageError."""
        self.size = 0
        self._name = name
        self._translator = FromNetascii() if netascii else None
        self._target: Path = source.host_path(name)
        if self._target.exists() and not self._target.is_file():
            raise InTheWayError(f'"{name}" is a directory, not a file')
        if not self._target.parent.is_dir():
            raise NotFoundError(f'no directory for "{name}" on the server')
        self._temporary = self._target.with_name(f".bpscript-{os.getpid()}-{os.urandom(6).hex()}")
        try:
            self._file = open(self._temporary, "xb")  # noqa: SIM115 - closed by commit and close
        except OSError as error:
            raise StorageError(f'"{name}" cannot be written: {error.strerror}') from error

    def write(self, data: Buffer) -> None:
        """The next bytes. Raises NoSpaceError, StorageError."""
        self._put(data if self._translator is None else self._translator.translate(data))

    def commit(self) -> None:
        """The file is complete: give it its name. Raises NoSpaceError, StorageError."""
        if self._translator is not None:
            self._put(self._translator.rest())
        try:
            self._file.close()
            self._temporary.replace(self._target)
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Remove what is not complete."""
        try:
            self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def _put(self, data: Buffer) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._error(error) from error
        self.size += len(data)

    def _error(self, error: OSError) -> StorageError:
        text = f'"{self._name}" cannot be written: {error.strerror}'
        return NoSpaceError(text) if error.errno in {28, 122, 27} else StorageError(text)
