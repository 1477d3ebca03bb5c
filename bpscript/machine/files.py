"""Files by the names a script gives them, wherever they are.

`Files.at(name)` finds the place and answers with one of two objects of the same shape (`File`): on a volume, or at a source
(a server folder, memory, the network; in MrZip the operating system).
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from ..base.errors import InTheWayError, NetworkError, NotFoundError, ReadOnlyError, StorageError
from ..base.events import Sink, ignore
from ..base.sources import FileSource, HasFolders, Reader, SourceFacts
from ..blocks.device import Buffer
from ..filesystems.filesystem import FileKind, Filesystem, make_dirs, remove_tree, split_path
from ..filesystems.links import follow_links
from ..filesystems.places import DiskPlace, ForeignPlace, HostPlace, Place, parse_place
from ..partitions.partition import CACHE
from .disks import Disks
from .settings import Settings

if TYPE_CHECKING:
    from ..filesystems.cache.volume import CacheVolume

STEP = 1 << 20      # bytes read and written at a time


class VolumeFile:
    """A file on a volume; symbolic links are followed, inside the volume."""

    def __init__(self, volume: Filesystem, path: str, name: str) -> None:
        self.volume = volume
        self.path = path
        self.name = name

    def stat(self) -> SourceFacts | None:
        """Facts of what the path leads to."""
        try:
            facts = self.volume.stat(self.resolved())
        except (NotFoundError, InTheWayError):
            return None
        return SourceFacts(facts.size, facts.mtime_ns, facts.kind is FileKind.DIRECTORY)

    def open(self) -> Reader:
        """The contents."""
        path = self.resolved()
        try:
            kind = self.volume.stat(path).kind
        except NotFoundError as error:
            raise NotFoundError(f'no file "{self.name}"') from error
        if kind is FileKind.DIRECTORY:
            raise InTheWayError(f'"{self.name}" is a directory, not a file')
        if kind is not FileKind.FILE:
            raise StorageError(f'"{self.name}" is a {kind}, not a file')
        return self.volume.open(path)

    def write(self, chunks: Iterable[Buffer], size: int | None = None) -> None:
        """Create or replace the file."""
        path = self.resolved()
        if not path:
            raise InTheWayError(f'"{self.name}" is a directory, not a file')
        self.need_parent()
        if self.volume.exists(path) and self.volume.stat(path).kind is FileKind.DIRECTORY:
            raise InTheWayError(f'"{self.name}" is a directory, not a file')
        self.volume.write_file(path, chunks, size)

    def entries(self) -> list[tuple[str, SourceFacts]]:
        """What the directory holds."""
        found = self.volume.entries(self.resolved())
        return sorted((name, SourceFacts(f.size, f.mtime_ns, f.kind is FileKind.DIRECTORY)) for name, f in found)

    def make_dir(self) -> None:
        """Make the directory and its parents."""
        make_dirs(self.volume, self.resolved())

    def remove(self) -> None:
        """Remove the file; of a symbolic link, the link."""
        path = self._entry()
        try:
            kind = self.volume.stat(path).kind
        except (NotFoundError, InTheWayError) as error:
            raise NotFoundError(f'no file "{self.name}"') from error
        if kind is FileKind.DIRECTORY:
            raise InTheWayError(f'"{self.name}" is a directory, not a file', hint="DelTree removes a directory with all in it")
        self.volume.remove(path)

    def remove_tree(self) -> None:
        """Remove the directory with all in it."""
        path = self._entry()
        try:
            self.volume.stat(path)
        except (NotFoundError, InTheWayError):
            return
        remove_tree(self.volume, path)

    def _entry(self) -> str:
        """The path with links followed in all but its last name."""
        parent, slash, name = self.path.rpartition("/")
        return f"{follow_links(self.volume, parent)}{slash}{name}".lstrip("/")

    def resolved(self) -> str:
        """The path with symbolic links followed; where it leads nowhere, the path as it is."""
        return follow_links(self.volume, self.path)

    def need_parent(self) -> None:
        """Raise NotFoundError or InTheWayError unless the directory that the file goes into exists."""
        parent, _ = split_path(self.resolved())
        if parent and self.volume.kind != "CACHE":
            try:
                kind = self.volume.stat(parent).kind
            except (NotFoundError, InTheWayError) as error:
                raise NotFoundError(f'no directory "/{parent}" for "{self.name}"', hint="MkDir makes it") from error
            if kind is not FileKind.DIRECTORY:
                raise InTheWayError(f'"/{parent}" in "{self.name}" is a file, not a directory')


class SourceFile:
    """A file of a server."""

    def __init__(self, source: FileSource, path: str, name: str) -> None:
        self.source = source
        self.path = path
        self.name = name

    def stat(self) -> SourceFacts | None:
        """What the server says of it."""
        return self.source.stat(self.path)

    def open(self) -> Reader:
        """The contents."""
        return self.source.open(self.path)

    def write(self, chunks: Iterable[Buffer], size: int | None = None) -> None:
        """Store it there."""
        self.source.store(self.path, (bytes(chunk) for chunk in chunks))

    def entries(self) -> list[tuple[str, SourceFacts]]:
        """What the directory holds."""
        return self.source.entries(self.path)

    def make_dir(self) -> None:
        """Make the directory and its parents."""
        self._folders().make_dir(self.path)

    def remove(self) -> None:
        """Remove the file."""
        self._folders().remove(self.path)

    def remove_tree(self) -> None:
        """Remove the directory with all in it."""
        self._folders().remove_tree(self.path)

    def _folders(self) -> HasFolders:
        if not isinstance(self.source, HasFolders):
            raise ReadOnlyError(f'"{self.name}" is a file of the server, which can only be read')
        return self.source


File = VolumeFile | SourceFile


class Files:
    """All files a script can name. `is_remote`: the source is a server on the network, so its files may be kept in the cache."""

    def __init__(
        self, disks: Disks, source: FileSource, host: FileSource, program: str, settings: Settings, *, is_remote: bool = False, events: Sink = ignore
    ) -> None:
        self.disks = disks
        self.source = source        # the server
        self.host = host            # the operating system, for MrZip
        self.program = program
        self._settings = settings
        self._is_remote = is_remote
        self._events = events
        self.network_gone = False       # after HideBootProm (language.md 4.2)
        self.note: Callable[[str], None] = lambda text: None     # where what is worth a line in the log goes; the run says

    @contextmanager
    def caching(self, *, if_asked: bool = False) -> Iterator["Files"]:
        """The same files for one command, those of the server by way of the cache (language.md 5); `if_asked`: with `$CacheAlways`."""
        if not self._is_remote or self._is_on("CacheNever") or (if_asked and not self._is_on("CacheAlways")):
            yield self
            return
        from .caching import CachingSource  # noqa: PLC0415 - only with a server

        with CachingSource(self.source, self._cache, self.note, self._events) as source:
            files = Files(self.disks, source, self.host, self.program, self._settings)
            files.network_gone = self.network_gone
            yield files

    def place(self, name: str) -> Place:
        """What a name means. Raises StorageError when it means nothing."""
        return parse_place(name, self.program)

    def at(self, name: str) -> File:
        """The file of a name; it need not exist, but disk, partition and file system must."""
        return self.of(self.place(name), name)

    def of(self, place: Place, name: str = "") -> File:
        """The file at a place."""
        name = name or str(place)
        match place:
            case DiskPlace():
                return VolumeFile(self.volume(place), place.path, name)
            case HostPlace():
                return SourceFile(self.host, place.path, name)
            case ForeignPlace():
                if self.network_gone:
                    raise NotFoundError(f'"{name}" cannot be fetched: the network is gone after HideBootProm')
                return SourceFile(self.source, place.name, name)

    def volume(self, place: DiskPlace) -> Filesystem:
        """The file system of a place."""
        number = place.disk_number
        if place.partition == CACHE and place.disk is None:
            number = self._cache_disk()
        return self.disks[number].volume(place.partition)

    def exists(self, name: str) -> bool:
        """Whether there is such a file (on a disk: or directory). Never an error (language.md 8.2, `exist`)."""
        try:
            facts = self.at(name).stat()
        except (StorageError, NetworkError):
            return False
        return facts is not None and (not facts.is_directory or isinstance(self.place(name), DiskPlace | HostPlace))

    def open(self, name: str) -> Reader:
        """The contents of a file."""
        return self.at(name).open()

    def read(self, name: str, most: int | None = None) -> bytes:
        """The whole contents of a file: for scripts, texts and fonts. Raises StorageError when it has more than `most` bytes."""
        pieces, left = [], most
        with closing(self.open(name)) as reader:
            while piece := reader.read(STEP):
                pieces.append(piece)
                if left is not None:
                    left -= len(piece)
                    if left < 0:
                        raise StorageError(f'"{name}" is too large: it has more than {most} bytes')
        return b"".join(pieces)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The contents in pieces of at most STEP bytes."""
        with closing(self.open(name)) as reader:
            yield from iter(lambda: reader.read(STEP), b"")

    def write(self, name: str, chunks: Iterable[Buffer], size: int | None = None) -> None:
        """Create or replace a file."""
        self.at(name).write(chunks, size)

    def _cache_disk(self) -> int:
        text = self._settings.get("CacheDisk") or "0"
        if not (text.isascii() and text.isdecimal()):
            raise StorageError(f'$CacheDisk is "{text}"; expected the number of a disk')
        return int(text)

    def _cache(self) -> "CacheVolume":
        """Where files of the server are kept by themselves. Raises NotFoundError where there is no such place.

        A disk without a table may be in use as a whole: nothing is written to it that the script did not ask for.
        """
        from ..filesystems.cache.volume import CacheVolume  # noqa: PLC0415 - as in `caching`

        number = self._cache_disk()
        if number >= len(self.disks):
            raise NotFoundError(f"there is no disk {number}")
        disk = self.disks[number]
        if disk.table().scheme is None:
            raise NotFoundError(f"disk {number} has no partition table")
        volume = disk.volume(CACHE)
        assert isinstance(volume, CacheVolume)
        if not volume.usage().total:
            raise NotFoundError(f"disk {number} has too little room for a cache")
        volume.reserve = self._settings.get("CacheReserve").upper() != "OFF"
        return volume

    def _is_on(self, name: str) -> bool:
        return self._settings.get(name).upper() == "ON"
