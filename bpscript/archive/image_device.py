"""A full archive as a read-only block device: files in an image are listed, read and copied without unpacking it."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from ..base.buffers import fetched_buffer
from ..base.errors import ReadOnlyError
from ..blocks.device import Buffer, ReadsInto, check_range
from .container import ChunkKind
from .full import Chunks

_KEPT = 10      # decoded chunks in memory: enough for the tables of a volume and the files in work
_ROOM = 32 << 20        # bytes of them: chunks of 16 MiB are in archives made with long matching


class ArchiveDevice(ReadsInto):
    """The contents of an image that can be read from anywhere. Chunks are checked when they are decoded."""

    def __init__(self, chunks: Chunks, kept: int | None = None) -> None:
        self._archive = chunks
        self._kept = max(2, min(kept or _KEPT, _ROOM // chunks.chunk_size))
        self._chunks: OrderedDict[int, memoryview] = OrderedDict()
        self._lock = threading.Lock()
        size = chunks.size
        if chunks.is_stream or size is None:
            raise ReadOnlyError("this archive can be read in order only; its files cannot be reached one by one")
        self._size = size

    @property
    def size(self) -> int:
        """Bytes of the partition."""
        return self._size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer. Raises FormatError where the archive is damaged."""
        view = memoryview(buffer).cast("B")
        check_range(self._size, offset, len(view), "archive")
        while len(view):
            index = self._archive.find(offset)
            record = self._archive.record(index)
            start = offset - record.offset
            step = min(len(view), record.length - start)
            if record.kind is ChunkKind.DATA:
                self._copy(index, record.length, start, view[:step])
            else:
                view[:step] = bytes(step)
            view, offset = view[step:], offset + step

    def write(self, offset: int, data: Buffer) -> None:
        """Refuse."""
        raise _refusal()

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Refuse."""
        raise _refusal()

    def zero(self, offset: int, length: int) -> None:
        """Refuse."""
        raise _refusal()

    def flush(self) -> None:
        """Nothing was written."""

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges that do not consist of zero chunks."""
        check_range(self._size, offset, length, "archive")
        end = offset + length
        start = last = -1
        index = self._archive.find(offset)
        while index < len(self._archive):
            record = self._archive.record(index)
            if record.offset >= end:
                break
            if record.kind is ChunkKind.DATA:
                first = max(offset, record.offset)
                if first != last:
                    if last > start:
                        yield start, last
                    start = first
                last = min(end, record.offset + record.length)
            index += 1
        if last > start:
            yield start, last

    def forget(self) -> None:
        """Keep no chunk in memory: for a while others work."""
        with self._lock:
            self._chunks.clear()

    def _copy(self, index: int, length: int, start: int, target: memoryview) -> None:
        """Bytes of a chunk of `length`, from `start` on. Its buffer is used again for another chunk: only who has the lock looks into it."""
        with self._lock:
            data = self._chunks.pop(index, None)
            if data is None:
                data = self._chunks.popitem(last=False)[1] if len(self._chunks) >= self._kept else fetched_buffer(self._archive.chunk_size)
                self._archive.data_into(index, data[:length])
            self._chunks[index] = data
            target[:] = data[start : start + len(target)]


def _refusal() -> ReadOnlyError:
    return ReadOnlyError("an archive cannot be written to")
