"""An archive in a file, opened for programs: what it is, and the files in it, without unpacking it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ..base.clock import Clock
from ..base.errors import FormatError
from ..filesystems.detect import open_volume
from ..filesystems.filesystem import Facts as FileFacts
from ..filesystems.filesystem import Filesystem, walk
from .container import Archive, ArchiveKind
from .full import Facts, FullImage
from .image_device import ArchiveDevice
from .incremental import entries
from .positional import JoinedReader, close, open_from_host


class OpenArchive:
    """A full or an incremental archive of ours. Use it in a `with`; raises FormatError for anything else."""

    def __init__(self, path: Path | str) -> None:
        self._stack = ExitStack()
        data = open_from_host(path)
        self._stack.callback(close, data)
        if isinstance(data, JoinedReader):
            self._stack.close()
            raise FormatError(f"{path} can be read in order only")
        try:
            self._archive = Archive.open(data)
            self._image = FullImage(self._archive) if self._archive.header.kind is ArchiveKind.FULL else None
        except BaseException:
            self._stack.close()
            raise
        self._volume: Filesystem | None = None

    @property
    def kind(self) -> ArchiveKind:
        """FULL or INCREMENTAL."""
        return self._archive.header.kind

    @property
    def facts(self) -> Facts | None:
        """What is known of the partition; None for an incremental archive."""
        return None if self._image is None else self._image.facts

    def volume(self) -> Filesystem:
        """The file system in a full archive, for reading. Raises FormatError for an incremental archive."""
        if self._image is None:
            raise FormatError("an incremental archive holds files, not a file system")
        if self._volume is None:
            self._volume = open_volume(ArchiveDevice(self._archive), clock=Clock(0), writable=False)
            self._stack.callback(self._volume.close)
        return self._volume

    def entries(self) -> Iterator[tuple[str, FileFacts]]:
        """Path and facts of every file and directory, parents first."""
        if self._image is not None:
            yield from walk(self.volume())
        else:
            for path, facts, _ in entries(self._archive):
                yield path, facts

    def verify(self) -> None:
        """Decode and check everything. Raises FormatError."""
        self._archive.verify()

    def __enter__(self) -> "OpenArchive":
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()
