"""What tests of archives share: a sink in memory, small archives, sources that cut and flip."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bpscript.archive.container import Archive, ArchiveKind, ArchiveWriter, Header
from bpscript.archive.positional import JoinedReader, Positional, close, open_from_host
from bpscript.blocks.memory import MemoryDevice


class MemorySink:
    """Frames in a list."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, frame: bytes, /) -> None:
        self.frames.append(frame)

    @property
    def data(self) -> bytes:
        return b"".join(self.frames)


def pack(chunks: Iterable[bytes | int], *, chunk_size: int = 4096, threads: int = 2, **header: object) -> bytes:
    """An archive; a number stands for so many unused zeros."""
    sink = MemorySink()
    with ArchiveWriter(sink, Header(ArchiveKind.FULL, chunk_size, **header), level=1, threads=threads) as writer:  # type: ignore[arg-type]
        for chunk in chunks:
            if isinstance(chunk, int):
                writer.add_zeros(chunk, used=False)
            else:
                writer.add(chunk)
        writer.finish()
    return sink.data


@contextmanager
def host_file(path: Path) -> Iterator[Positional | JoinedReader]:
    """An archive of the host with its fragments, closed at the end."""
    data = open_from_host(path)
    try:
        yield data
    finally:
        close(data)


def opened(data: bytes) -> Archive:
    """The archive from memory."""
    return Archive.open(MemoryDevice(data))
