"""The bytes of an image of any kind, in order: for writing it as a raw image, or as an archive of another kind."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from ..base.errors import FormatError
from .container import ChunkKind, ChunkRecord
from .full import Chunks


@runtime_checkable
class _InOrder(Protocol):
    """What gives its chunks in order by itself; a view is valid until the next step."""

    def chunks(self) -> Iterator[tuple[ChunkRecord, memoryview]]: ...


def contents(chunks: Chunks) -> Iterator[tuple[int, memoryview]]:
    """Offset and bytes of everything that is no run of zeros, in order; a view is valid until the next step.

    Every byte was checked as far as its image has checksums. What lies between, and behind the last, are zeros. Raises FormatError when the
    image is damaged or, of a stream, was read already.
    """
    if isinstance(chunks, _InOrder):
        for record, data in chunks.chunks():
            if record.kind is ChunkKind.DATA:
                yield record.offset, data
        return
    if chunks.is_stream:
        raise FormatError("this image can be read in order only")
    for index in range(len(chunks)):
        record = chunks.record(index)
        if record.kind is ChunkKind.DATA:
            yield record.offset, memoryview(chunks.data(index))
