"""Chunks to Zstandard frames and back, with buffers that are used again.

One `Encoder` or `Decoder` belongs to one thread. What `Decoder.decode` returns is good until its next call: fresh pages for
every chunk would cost more than the decoding (notes: half of the speed, and all of the gain of a second thread).
"""

import zstandard
from blake3 import blake3

from ..base.buffers import large_buffer
from ..base.errors import FormatError
from ..blocks.device import Buffer
from .records import KIB, NO_HASH, ChunkKind, ChunkRecord, zero_frame, zero_frame_size

_MAX_WINDOW = 1 << 27       # what `zstd -d` takes without asking; more is refused
_MAX_SMALL = 256 << 20
_NEVER_SET = 0b0001_1011    # of the frame header descriptor: the unused and the reserved bit, a dictionary (RFC 8878 3.1.1.1.1)
_RLE_BLOCK = 1 << 1         # of the block header: one byte stands for all (3.1.1.2)
_CHECKSUM_SIZE = 4
_ZEROS = bytes(256 * KIB)


class Encoder:
    """Makes records and data frames. The same bytes in give the same bytes out, whichever thread does it."""

    def __init__(self, level: int, chunk_size: int, *, long: bool = False) -> None:
        usual = zstandard.ZstdCompressionParameters.from_level(level)
        # A match may reach over the whole chunk: fast levels have windows of half of it, and gain neither time nor room by that.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            level, write_content_size=1, write_checksum=1, enable_ldm=int(long), window_log=max(usual.window_log, (chunk_size - 1).bit_length())
        )
        self._compressor = zstandard.ZstdCompressor(compression_params=parameters)

    def encode(self, offset: int, data: Buffer) -> tuple[ChunkRecord, bytes]:
        """A chunk of data; one that is all zeros becomes a ZERO chunk."""
        length = memoryview(data).nbytes
        if _all_zeros(data, length):
            return zeros(offset, length, ChunkKind.ZERO)
        frame = self._compressor.compress(data)
        return ChunkRecord(offset, length, len(frame), ChunkKind.DATA, blake3(data).digest()), frame


def _all_zeros(data: Buffer, length: int) -> bool:
    # Bytes compare by memcmp, a memoryview item by item: a copy of some of it is compared, and only if the ends are zero.
    view = memoryview(data).cast("B")
    if view[:64].tobytes().strip(b"\0") or view[-64:].tobytes().strip(b"\0"):
        return False
    for start in range(0, length, len(_ZEROS)):
        part = view[start : start + len(_ZEROS)].tobytes()
        if part != (_ZEROS if len(part) == len(_ZEROS) else bytes(len(part))):
            return False
    return True


def zeros(offset: int, length: int, kind: ChunkKind) -> tuple[ChunkRecord, bytes]:
    """A chunk of zeros, used (ZERO) or not (UNUSED)."""
    return ChunkRecord(offset, length, zero_frame_size(length), kind, NO_HASH), zero_frame(length)


class Decoder:
    """Data frames to bytes, checked."""

    def __init__(self, chunk_size: int) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._chunk_size = chunk_size
        self._view: memoryview | None = None

    def decode(self, chunk: ChunkRecord, frame: Buffer, room: memoryview | None = None) -> memoryview:
        """The bytes of a DATA chunk, after length, checksum and BLAKE3 were found right. Raises FormatError.

        They are put into `room`, as long as the chunk; without it the view is valid until the next call.
        """
        view = room
        if view is None:
            if self._view is None:
                self._view = large_buffer(self._chunk_size)
            view = self._view[: chunk.length]
        decode_into(self._decompressor, frame, view, f"archive chunk at {chunk.offset}")
        if blake3(view).digest() != chunk.digest:
            raise FormatError(f"archive chunk at {chunk.offset}: contents do not agree with their hash")
        return view


def check_zero_frame(chunk: ChunkRecord, frame: Buffer) -> None:
    """Raise FormatError unless the data frame of a chunk of zeros is the one that it must be."""
    if bytes(frame) != zero_frame(chunk.length):
        raise FormatError(f"archive chunk at {chunk.offset}: damaged run of zeros")


def decode_into(decompressor: zstandard.ZstdDecompressor, frame: Buffer, target: memoryview, what: str) -> None:
    """Decode exactly one frame that fills `target` exactly. Raises FormatError."""
    try:
        _check_parameters(zstandard.get_frame_parameters(frame), frame, len(target), what)
        # One call that has the whole frame and the whole room takes the direct way, without a window of its own.
        with decompressor.stream_reader(frame, read_size=len(memoryview(frame)), read_across_frames=False) as reader:
            count = reader.readinto(target)
            ended = count == len(target) and not reader.read(1)
    except zstandard.ZstdError as error:
        raise FormatError(f"{what} is damaged: {error}") from error
    if not ended:
        raise FormatError(f"{what}: its frame gave {count} bytes, expected {len(target)}")
    _check_end(frame, what)


def _check_parameters(found: zstandard.FrameParameters, frame: Buffer, length: int, what: str) -> None:
    if found.content_size != length or found.window_size > _MAX_WINDOW:
        raise FormatError(f"{what}: its frame holds {found.content_size} bytes, expected {length}")
    if not found.has_checksum or memoryview(frame)[4] & _NEVER_SET:
        raise FormatError(f"{what} is damaged: its frame has no checksum, or an impossible descriptor")


def _check_end(frame: Buffer, what: str) -> None:
    """A frame that was decoded ends where it should (RFC 8878 3.1.1): the decoder takes no notice of what follows."""
    position, last = zstandard.frame_header_size(frame), 0
    view = memoryview(frame)
    while not last:     # ends: the decoder came to the last block
        block = view[position] | view[position + 1] << 8 | view[position + 2] << 16
        last = block & 1
        position += 4 if block & 6 == _RLE_BLOCK else 3 + (block >> 3)
    if position + _CHECKSUM_SIZE != len(view):
        raise FormatError(f"{what} is damaged: there are bytes behind its frame")


def decode_small(frame: bytes, length: int, what: str) -> bytes:
    """A frame of known length, as fresh bytes. Raises FormatError."""
    if length > _MAX_SMALL:
        raise FormatError(f"archive {what}: {length} bytes are more than the {_MAX_SMALL} allowed")
    what = f"archive {what}"
    try:
        found = zstandard.get_frame_parameters(frame)
        _check_parameters(found, frame, length, what)
        content = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompress(frame)     # of one frame, of this size
    except zstandard.ZstdError as error:
        raise FormatError(f"{what} is damaged: {error}") from error
    _check_end(frame, what)
    return content
