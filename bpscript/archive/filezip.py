"""One packed file: `FileZip` and `FileUnzip`. `zstd -d` opens it too.

    skippable frame   magic 184D2A5Bh, length 16: "bpsF", version 1 (u16), 0 (u16), size (u64; all ones: not known beforehand)
    Zstandard frames  the file; content checksum on
    skippable frame   magic 184D2A5Bh, length 16: "bpsE", CRC-32 (u32; IEEE 802.3, as in gzip), size (u64)

All numbers little-endian. Nothing follows the last frame, so a file that was cut short is noticed.
Sources: RFC 8878 3.1.2 (skippable frames).
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import IO, cast
from zlib import crc32

from ..base.errors import FormatError, StorageError
from ..base.sources import Reader
from ..blocks.device import Buffer
from .records import OUR_MAGIC, SKIPPABLE, UNKNOWN_SIZE

_HEAD = Struct("<II4sHHQ")      # frame magic, length, tag, version, reserved, size
_TAIL = Struct("<II4sIQ")       # frame magic, length, tag, CRC-32, size
_HEAD_TAG, _TAIL_TAG = b"bpsF", b"bpsE"
_VERSION = 1
_PAYLOAD = _HEAD.size - SKIPPABLE.size
_STEP = 1 << 20
_MAX_WINDOW = 1 << 27           # what `zstd -d` takes without asking
MAX_SIZE = 1 << 60


def pack_file(chunks: Iterable[Buffer], size: int | None = None, *, level: int = 9) -> Iterator[bytes]:
    """The bytes of a packed file. With `size`, that many bytes must come (StorageError otherwise)."""
    import zstandard  # noqa: PLC0415 - slow to load

    yield _HEAD.pack(OUR_MAGIC, _PAYLOAD, _HEAD_TAG, _VERSION, 0, UNKNOWN_SIZE if size is None else size)
    packer = zstandard.ZstdCompressor(level=level, write_checksum=True).compressobj()
    checksum = total = 0
    for chunk in chunks:
        checksum = crc32(chunk, checksum)
        total += memoryview(chunk).nbytes
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
    if size is not None and total != size:
        raise StorageError(f"the file to pack changed while it was read: it has {total} bytes, it had {size}")
    yield _TAIL.pack(OUR_MAGIC, _PAYLOAD, _TAIL_TAG, checksum, total)


class PackedFile:
    """A packed file that was opened. `size` is what its header says, None when it does not."""

    def __init__(self, reader: Reader, name: str = "the packed file") -> None:
        """Read and check the header. Raises FormatError."""
        self._name = name
        self._tape = _Tape(reader)
        head = b""
        while len(head) < _HEAD.size and (more := self._tape.read(_HEAD.size - len(head))):
            head += more
        fields = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, b"", 0, 0, 0)
        magic, length, tag, version, _, size = fields
        if (magic, length, tag) != (OUR_MAGIC, _PAYLOAD, _HEAD_TAG):
            raise FormatError(f"{name} was not made by FileZip")
        if version != _VERSION:
            raise FormatError(f"{name}: FileZip version {version}, this program reads version {_VERSION}")
        if size != UNKNOWN_SIZE and size > MAX_SIZE:
            raise FormatError(f"{name}: impossible size {size}")
        self.size: int | None = None if size == UNKNOWN_SIZE else size

    def chunks(self) -> Iterator[bytes]:
        """The file, once; the last piece is given only after size and CRC-32 were found right. Raises FormatError."""
        import zstandard  # noqa: PLC0415 - slow to load

        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        checksum = total = 0
        held = b""
        try:
            # Anything with `read` will do, whatever the type says.
            source = cast("IO[bytes]", self._tape)
            with decompressor.stream_reader(source, read_size=1 << 17, read_across_frames=True, closefd=False) as frames:
                while data := frames.read(_STEP):
                    total += len(data)
                    if total > (MAX_SIZE if self.size is None else self.size):
                        raise FormatError(f"{self._name}: more than the {self.size} bytes its header says")
                    checksum = crc32(data, checksum)
                    if held:
                        yield held
                    held = data
        except zstandard.ZstdError as error:
            raise FormatError(f"{self._name} is damaged: {error}") from error
        if len(self._tape.last) < _TAIL.size:
            raise FormatError(f"{self._name} is cut short")
        magic, length, tag, expected, size = _TAIL.unpack(self._tape.last)
        if (magic, length, tag) != (OUR_MAGIC, _PAYLOAD, _TAIL_TAG):
            raise FormatError(f"{self._name} is cut short, or something follows its end")
        if total != size or total != (size if self.size is None else self.size):
            raise FormatError(f"{self._name}: {total} bytes came out, expected {size if self.size is None else self.size}")
        if checksum != expected:
            raise FormatError(f"{self._name} is damaged: CRC-32 is {checksum:08X}, expected {expected:08X}")
        if held:
            yield held


def unpack_file(reader: Reader, name: str = "the packed file") -> Iterator[bytes]:
    """The contents of a packed file; see `PackedFile`."""
    return PackedFile(reader, name).chunks()


class _Tape:
    """A reader that remembers the last bytes it gave: the tail frame, which the decoder swallows."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.last = b""

    def read(self, length: int = -1, /) -> bytes:
        data = self._reader.read(length)
        self.last = (self.last + data)[-_TAIL.size :] if len(data) < _TAIL.size else data[-_TAIL.size :]
        return data
