"""After capture: the archive is read back and compared with what it was made of.

    header      what it says of the partition is what was captured
    chunks      decoded and hashed, then the same bytes of the source are read again and hashed

So a disk that writes something else, a fault in memory, and a source that changed meanwhile are all found before the archive
gets its name. Memory is that of a restore, whatever the size. Incremental archives: `readback_files.py`.
"""

import threading
from typing import TYPE_CHECKING

from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..blocks.device import BlockDevice
from .capture import Survey
from .compare import Comparer
from .container import Archive, ArchiveKind, ChunkKind, ChunkRecord
from .full import Facts, FullImage, PartitionImage
from .placement import Placement
from .positional import Positional
from .reading import read_used
from .records import MIB

if TYPE_CHECKING:
    from .disk_capture import DiskSurvey

HINT = "the source was changed while it was captured, or a disk is failing; the archive was not kept"


def check_full(source: Positional, found: "Survey | DiskSurvey", *, threads: int | None = None, events: Sink = ignore) -> None:
    """Compare the archive of a partition or disk with what it was made of. Raises StorageError naming the first place that differs."""
    try:
        archive = Archive.open(source)
        image = _image_of(archive)
        if image.used != found.used or image.size != found.facts.size:
            raise FormatError("archive: its header does not describe the partition")
        _compare_chunks(archive, image, found.device, threads, events)
    except FormatError as error:
        raise damaged(error) from error


def _image_of(archive: Archive) -> PartitionImage:
    """A disk is compared like a partition: all that is used is in its place."""
    if archive.header.kind is not ArchiveKind.DISK:
        return FullImage(archive)
    from .disk_image import DiskImage  # noqa: PLC0415 - only for disks

    disk = DiskImage.of(archive)
    return PartitionImage(archive, Facts(size=disk.facts.size), disk.used, b"")


def _compare_chunks(archive: Archive, image: PartitionImage, device: BlockDevice, threads: int | None, events: Sink) -> None:
    from blake3 import blake3  # noqa: PLC0415 - as everywhere

    comparer, local = Comparer(image, device, Placement()), threading.local()
    state = Progress(events, "verify", image.size)
    state.report()

    def is_there(record: ChunkRecord) -> bool:
        """By hashing in small pieces: the chunks of long matching are large, and a decoded one is in memory beside this."""
        buffer: memoryview | None = getattr(local, "buffer", None)
        if buffer is None:
            buffer = local.buffer = memoryview(bytearray(MIB))
        hasher, end = blake3(), record.offset + record.length
        for at in range(record.offset, end, MIB):
            view = buffer[: end - at]
            read_used(device, view, at, image.used.within(at, at + len(view)))
            hasher.update(view)
        return hasher.digest() == record.digest

    def compare(record: ChunkRecord) -> None:
        if record.kind is not ChunkKind.UNUSED and not (is_there(record) if record.kind is ChunkKind.DATA else comparer.is_equal(record)):
            raise StorageError(
                f"the archive differs from its source at bytes {record.offset} to {record.offset + record.length}", hint=HINT
            )

    archive.verify(lambda done: state.advance(done - state.done), threads=threads, also=compare)
    state.report()


def damaged(error: FormatError) -> StorageError:
    """What cannot be read back is no archive of somebody else that is broken, but one that must not be kept."""
    return StorageError(f"the archive cannot be read back: {error.message}", hint="the disk it was written to may be failing; the archive was not kept")
