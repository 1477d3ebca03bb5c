"""After capture: the archive is read back and compared with what it was made of.

    header      what it says of the partition is what was captured
    chunks      decoded and hashed, then the same bytes of the source are read again and hashed
    files       (incremental) every entry's header and contents against the tree, listed again

So a disk that writes something else, a fault in memory, and a source that changed meanwhile are all found before the archive
gets its name. Memory is that of a restore, whatever the size.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..base.sources import Reader
from ..blocks.device import BlockDevice, Buffer
from ..filesystems.filesystem import Facts as FileFacts
from ..filesystems.filesystem import FileKind, Filesystem
from .capture import Survey
from .compare import Comparer, read_some
from .container import Archive, ArchiveKind, ChunkKind, ChunkRecord
from .destinations import is_temporary
from .filters import Filters
from .full import Facts, FullImage, PartitionImage
from .incremental import checked_entries, read_names
from .placement import Placement
from .positional import Positional
from .tar_write import tar_header
from .trees import listing

if TYPE_CHECKING:
    from .disk_capture import DiskSurvey

_HINT = "the source was changed while it was captured, or a disk is failing; the archive was not kept"


def check_full(source: Positional, found: "Survey | DiskSurvey", *, threads: int | None = None, events: Sink = ignore) -> None:
    """Compare the archive of a partition or disk with what it was made of. Raises StorageError naming the first place that differs."""
    try:
        archive = Archive.open(source)
        image = _image_of(archive)
        if image.used != found.used or image.size != found.facts.size:
            raise FormatError("archive: its header does not describe the partition")
        _compare_chunks(archive, image, found.device, threads, events)
    except FormatError as error:
        raise _damaged(error) from error


def _image_of(archive: Archive) -> PartitionImage:
    """A disk is compared like a partition: all that is used is in its place."""
    if archive.header.kind is not ArchiveKind.DISK:
        return FullImage(archive)
    from .disk_image import DiskImage  # noqa: PLC0415 - only for disks

    disk = DiskImage.of(archive)
    return PartitionImage(archive, Facts(size=disk.facts.size), disk.used, b"")


def _compare_chunks(archive: Archive, image: PartitionImage, device: BlockDevice, threads: int | None, events: Sink) -> None:
    comparer = Comparer(image, device, Placement())
    state = Progress(events, "verify", image.size)
    state.report()

    def compare(record: ChunkRecord) -> None:
        if record.kind is not ChunkKind.UNUSED and not comparer.is_equal(record):
            raise StorageError(
                f"the archive differs from its source at bytes {record.offset} to {record.offset + record.length}", hint=_HINT
            )

    archive.verify(lambda done: state.advance(done - state.done), threads=threads, also=compare)
    state.report()


def check_incremental(
    source: Positional, volume: Filesystem, path: str, *, filters: Filters | None = None, is_difference: bool = False, events: Sink = ignore
) -> None:
    """Compare an incremental archive with the tree it was made of. Raises StorageError naming the first path that differs."""
    try:
        archive = Archive.open(source)
        plan = read_names(archive)
    except FormatError as error:
        raise _damaged(error) from error
    is_folder = volume.stat(path).kind is FileKind.DIRECTORY
    start = f"{path}/" if is_folder and path else "" if is_folder else path[: path.rfind("/") + 1]
    names: Iterable[tuple[str, FileFacts, str | None]]
    if is_difference:
        names = ((entry.path, volume.stat(start + entry.path), entry.link if entry.code == "h" else None) for entry in plan)
    else:
        names = (found for found in listing(volume, path, filters or Filters()) if not is_temporary(found[0]))
    now = iter(names)
    state = Progress(events, "verify", sum(entry.size for entry in plan))
    state.report()
    try:
        for entry in checked_entries(archive, plan):
            name, facts, link = next(now, ("", entry.facts, None))
            if facts.kind is FileKind.DIRECTORY:    # its time changes with the names in it, and those are compared
                facts = facts._replace(mtime_ns=entry.facts.mtime_ns)
            if name != entry.path or tar_header(name, facts, link) != tar_header(entry.path, entry.facts, entry.link):
                raise StorageError(f'the archive differs from its source at "{entry.path}"', hint=_HINT)
            if facts.kind is FileKind.FILE and link is None:
                with closing(volume.open(start + name)) as reader:
                    _compare_contents(entry.chunks, reader, entry.path)
                state.advance(facts.size)
    except FormatError as error:
        raise _damaged(error) from error
    for name, _, _ in now:
        raise StorageError(f'"{name}" came to the source while it was captured', hint=_HINT)
    state.report()


def _compare_contents(chunks: Iterable[Buffer], reader: Reader, path: str) -> None:
    for data in _pieces(chunks):
        if read_some(reader, len(data)) != data:
            raise StorageError(f'the archive differs from its source in the contents of "{path}"', hint=_HINT)
    if reader.read(1):
        raise StorageError(f'"{path}" grew while it was captured', hint=_HINT)


def _pieces(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    for chunk in chunks:
        yield bytes(chunk)


def _damaged(error: FormatError) -> StorageError:
    return StorageError(f"the archive cannot be read back: {error.message}", hint="the disk it was written to may be failing; the archive was not kept")
