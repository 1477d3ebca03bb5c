"""An archive opened for programs: what it is, and the files in it, without unpacking it. `bpscript.open_archive`."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.clock import Clock
from ..base.errors import BpscriptError, FormatError
from ..base.events import Sink, ignore
from ..base.sources import Reader
from ..blocks.device import BlockDevice
from ..filesystems.detect import detect, open_volume
from ..filesystems.filesystem import Facts as FileFacts
from ..filesystems.filesystem import Filesystem, clean_path, walk
from ..filesystems.links import follow_links
from .adapters import Rejoined
from .container import Archive, ArchiveKind
from .full import Facts, FullImage, PartitionImage
from .image_device import ArchiveDevice
from .positional import JoinedBytes, JoinedReader, Positional, close, open_from_host
from .records import HEADER_TAG, OUR_MAGIC, SKIPPABLE
from .tar_layout import BLOCK

if TYPE_CHECKING:
    from .changes import Change
    from .checking import Findings
    from .information import ArchiveInfo

_KEPT_OF_FILES = 6      # chunks in memory of what is mostly read as it was packed: in the order of a walk
_START = 32     # bytes that tell what it is


class OpenArchive:
    """An archive of ours of any kind, or an image of another program. Use it in a `with`.

    Raises NotFoundError or StorageError when it cannot be opened, FormatError when it is none or damaged. From a pipe it can
    be asked for `info` or `verify`, once.
    """

    def __init__(self, source: Path | str | Positional | JoinedReader, *, temp_folder: Path | str | None = None) -> None:
        """`temp_folder` is where images are unpacked that cannot be read in place."""
        self._stack = ExitStack()
        data = open_from_host(source) if isinstance(source, Path | str) else source
        self._stack.callback(close, data)
        self._stored = None if isinstance(data, JoinedReader) else data.size
        self._fragments = 1 + (len(data.borders) if isinstance(data, JoinedBytes) else 0)
        self._archive: Archive | None = None
        self._image: PartitionImage | None = None
        self._info: ArchiveInfo | None = None
        self._volume: Filesystem | None = None
        self._device: BlockDevice | None = None
        try:
            self._open(data, temp_folder)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, data: Positional | JoinedReader, temp_folder: Path | str | None) -> None:
        if isinstance(data, JoinedReader):
            self._counter = _Counter(data)
            start = self._counter.read(_START)
            while len(start) < _START and (more := self._counter.read(_START - len(start))):
                start += more
            stream = Rejoined(start, self._counter)
            self._start = start
            if _is_ours(start):
                self._archive = Archive.open_stream(stream)
            else:
                data = JoinedReader(stream)
        else:
            self._start = data.read(0, min(_START, data.size))
            if _is_ours(self._start):
                self._archive = Archive.open(data)
            elif data.size >= BLOCK and data.read(257, 5) == b"ustar":      # where `tar_layout` has the magic
                raise FormatError("this is a tar archive of files", hint="image convert makes an archive of ours of it, tar lists it")
        if self._archive is None:
            from .foreign import open_image  # noqa: PLC0415 - few archives are of others

            self._image = open_image(data, temp_folder=temp_folder)
            self._stack.callback(self._image.close)
        elif self._archive.header.kind is ArchiveKind.FULL:
            self._image = FullImage(self._archive)

    @property
    def kind(self) -> str:
        """full, incremental, difference, disk or foreign."""
        return self.info.kind

    @property
    def info(self) -> "ArchiveInfo":
        """All that is known without decoding. A stream is read to its end. Raises FormatError."""
        if self._info is None:
            from .information import info_of_archive, info_of_image  # noqa: PLC0415 - who wants a file does not need it

            archive = self._archive
            if archive is None:
                assert self._image is not None
                self._info = info_of_image(self._image, self._start, self._stored, self._fragments)
            else:
                if archive.is_stream and archive.table is None:
                    archive.each(lambda chunk: None, threads=1)
                    self._stored = self._counter.count
                self._info = info_of_archive(archive, self._stored, self._fragments)
        return self._info

    @property
    def facts(self) -> Facts | None:
        """What is known of the partition; None for an archive of files."""
        return None if self._image is None else self._image.facts

    def volume(self) -> Filesystem:
        """The files in it as a volume that can be read; of a disk, each partition is a directory named by its number.

        Raises FormatError where there is no file system that is known, and for a stream.
        """
        if self._volume is None:
            self._volume = self._open_volume()
            self._stack.callback(self._volume.close)
        return self._volume

    def _open_volume(self) -> Filesystem:
        if self.is_stream:
            raise FormatError("an archive that comes in order only can be checked, but files in it cannot be reached", hint="save it to a file first")
        if self._archive is not None and self._archive.header.kind is ArchiveKind.INCREMENTAL:
            from .tar_tree import TarTree  # noqa: PLC0415 - each archive needs one of them

            return TarTree(self._archive, self.device())
        device = self.device()
        if self._archive is not None and self._archive.header.kind is ArchiveKind.DISK:
            from .disk_image import DiskImage  # noqa: PLC0415 - as above
            from .disk_tree import DiskTree  # noqa: PLC0415

            return DiskTree(device, DiskImage.of(self._archive).table())
        if detect(device) is None:
            from .disk_tree import DiskTree  # noqa: PLC0415 - as above

            tree = DiskTree.find(device)
            if tree is not None:
                return tree
            raise FormatError("there is no file system in it that is known, so it has no files")
        return open_volume(device, clock=Clock(0), writable=False)

    def device(self) -> BlockDevice:
        """The contents as a block device that cannot be written. Raises ReadOnlyError for a stream."""
        if self._device is None:
            chunks = self._archive if self._image is None else self._image.chunks
            assert chunks is not None
            self._device = ArchiveDevice(chunks, _KEPT_OF_FILES if self.holds_files else None)
        return self._device

    def find(self, path: str) -> tuple[Filesystem, str]:
        """The volume that holds a path, and the path on it with symbolic links followed (they never leave it)."""
        volume: Filesystem | None = self.volume()
        assert volume is not None
        path = clean_path(path)
        number, _, inner = path.partition("/")
        if number and volume.kind == "DISK":
            from .disk_tree import DiskTree  # noqa: PLC0415 - as above

            assert isinstance(volume, DiskTree)
            part = volume.volume(number)
            if part is None:
                return volume, path
            volume, path = part, inner
        return volume, follow_links(volume, path)

    def entries(self, path: str = "") -> Iterator[tuple[str, FileFacts]]:
        """Path and facts of everything below a directory, parents first, names by code point."""
        volume, place = self.find(path)
        yield from walk(volume, place)

    def stat(self, path: str) -> FileFacts:
        """Facts of a file or directory. Raises NotFoundError."""
        volume, place = self.find(path)
        return volume.stat(place)

    def open(self, path: str) -> Reader:
        """The contents of a file, in order or from anywhere (`seek`); only the chunks that hold it are decoded. Raises NotFoundError."""
        volume, place = self.find(path)
        return volume.open(place)

    def read(self, path: str) -> bytes:
        """The whole contents of a file."""
        with closing(self.open(path)) as reader:
            return reader.read()

    def check(self, events: Sink = ignore) -> "Findings":
        """Decode and check everything; all that is wrong. Raises what reading raises, but no FormatError for damage."""
        from .checking import Findings, check_archive, check_image  # noqa: PLC0415 - as above

        if self._archive is not None:
            if self._image is not None:
                _ = self._image.used        # a list of used blocks that makes no sense is refused at once
            found = check_archive(self._archive, events=events)
            if found.damages and not self.is_stream:
                from .affected import with_files  # noqa: PLC0415 - only where something is damaged

                with suppress(BpscriptError):       # a volume that cannot be opened any more
                    found.damages = with_files(found.damages, self.volume())
            return found
        assert self._image is not None
        check_image(self._image.chunks, events=events)
        return Findings()

    def verify(self, events: Sink = ignore) -> None:
        """Decode and check everything. Raises FormatError with the first thing that is wrong."""
        found = self.check(events)
        if found.damages:
            raise FormatError(found.damages[0].message)

    @property
    def holds_files(self) -> bool:
        """True for an incremental or difference archive."""
        return self._archive is not None and self._archive.header.kind is ArchiveKind.INCREMENTAL

    @property
    def is_stream(self) -> bool:
        """True when it can be read only once, in order."""
        return self._archive is not None and self._archive.is_stream

    def need_signature(self, key: bytes, asked: str = "a signature is asked for") -> None:
        """Raise FormatError unless the archive is signed by a public key (32 bytes). A stream must have been read to its end."""
        from .signing import need_signature  # noqa: PLC0415 - only here

        if self._archive is None:
            raise FormatError(f"an image of another program cannot be signed, and {asked}")
        need_signature(self._archive, key, asked)

    def compare(self, device: BlockDevice, events: Sink = ignore) -> list[tuple[int, int]]:
        """Half-open ranges of bytes in which a partition or disk differs from the archive: sectors of a partition, chunks of a disk."""
        from .narrowing import differing_ranges  # noqa: PLC0415 - only here

        if self._archive is not None and self._archive.header.kind is ArchiveKind.DISK:
            from .disk_image import DiskImage  # noqa: PLC0415 - as above
            from .disk_restore import compare_disk  # noqa: PLC0415

            return [(start, start + length) for start, length in compare_disk(DiskImage.of(self._archive), device, events=events)]
        if self._image is None:
            raise FormatError("an archive of files is compared with files, not with a partition or disk")
        return differing_ranges(self._image, device, events=events)

    def diff(
        self, other: "OpenArchive | Filesystem", path: str = "", other_path: str = "", *, content_only: bool = False, events: Sink = ignore
    ) -> "Iterator[Change]":
        """What is added, removed and changed in another archive or volume, below a directory of each; in the order of a walk.

        `content_only` passes over times, owners, modes and attributes. Raises NotFoundError.
        """
        from .changes import Side, changes, equal_ranges  # noqa: PLC0415 - only here

        volume, place = self.find(path)
        mine = Side(volume, place, self.device())
        equal = None
        if isinstance(other, OpenArchive):
            if self._archive is not None and other._archive is not None:
                old, new = self._archive.table, other._archive.table
                if old is not None and new is not None and clean_path(path) == clean_path(other_path) and old.entries == new.entries:
                    volume.stat(place)
                    return iter(())     # every byte is the same
                equal = equal_ranges(self._archive, other._archive)
            volume, place = other.find(other_path)
            theirs = Side(volume, place, other.device())
        else:
            theirs = Side(other, clean_path(other_path))
        return changes(mine, theirs, equal=equal, content_only=content_only, events=events)

    @property
    def removals(self) -> list[str]:
        """The paths that a difference archive removes; none of any other. Raises FormatError."""
        from .incremental import read_removals  # noqa: PLC0415 - only here

        if self._archive is None or not self.holds_files:
            return []
        return read_removals(self._archive) or []

    def close(self) -> None:
        """Close what it is read from."""
        self._stack.close()

    def __enter__(self) -> "OpenArchive":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Counter:
    """A reader that counts."""

    def __init__(self, reader: JoinedReader) -> None:
        self._reader = reader
        self.count = 0

    def read(self, length: int = -1, /) -> bytes:
        data = self._reader.read(length)
        self.count += len(data)
        return data

    def close(self) -> None:
        self._reader.close()


def _is_ours(start: bytes) -> bool:
    return len(start) >= 12 and SKIPPABLE.unpack_from(start)[0] == OUR_MAGIC and start[8:12] == HEADER_TAG
