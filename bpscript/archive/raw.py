"""An image as plain bytes: into a sparse file, by all threads, or into a pipe, in order."""

from pathlib import Path
from typing import BinaryIO

from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..base.zeros import zeros
from ..blocks.file import FileDevice
from ..blocks.medium import drop_caches
from .compare import Comparer
from .contents import contents
from .full import AnyChunk, Chunks, PartitionImage
from .placement import Placement
from .records import ChunkKind


def write_raw(image: PartitionImage, path: Path, *, verify: bool = True, threads: int | None = None, events: Sink = ignore) -> int:
    """Make a file of what is used; the rest are holes. Returns the bytes written. The file must not exist.

    With `verify` it is read back, unless the image can be read only once. Raises FormatError for a damaged image, NoSpaceError.
    """
    chunks, used = image.chunks, image.used
    written = [0]
    state = Progress(events, "write", used.total)
    state.report()
    with FileDevice.create(path, image.size) as device:

        def write(chunk: AnyChunk) -> None:
            record = chunk.record
            if record.kind is not ChunkKind.DATA:
                chunk.check_zeros()
                return
            data = chunk.data()
            for start, end in used.within(record.offset, record.offset + record.length):
                device.write(start, data[start - record.offset : end - record.offset])
                written[0] += end - start       # between threads an estimate, for the eye

        chunks.each(write, threads=threads, tick=lambda: state.advance(written[0] - state.done))
        if image.size != chunks.size:
            raise FormatError(f"the image ended after {chunks.size} of {image.size} bytes")
        state.report()
        if verify and not chunks.is_stream:
            drop_caches(device)
            differences = Comparer(image, device, Placement()).differences(threads=threads, events=events)
            if differences:
                raise StorageError(f"{path.parent}: what was written reads back differently at byte {differences[0][0]}", hint="the disk may be failing")
    return used.total


def pour_raw(chunks: Chunks, size: int, stream: BinaryIO) -> int:
    """The same to a stream, every byte in its place. Returns the bytes written."""
    position = 0
    for offset, data in contents(chunks):
        _pour_zeros(stream, offset - position)
        stream.write(data)
        position = offset + len(data)
    _pour_zeros(stream, size - position)
    stream.flush()
    return size


def _pour_zeros(stream: BinaryIO, length: int) -> None:
    for piece in zeros(length):
        stream.write(piece)
