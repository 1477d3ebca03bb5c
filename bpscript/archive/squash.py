"""A base archive and differences made against it become one archive: what applying them one after the other would leave.

    full base           the differences are unpacked into an overlay of the volume in the archive, and the outcome is captured. Chunks
                        that no difference touched are taken over as they are stored; temporary room is what changed.
    incremental base    the entries that are left are merged in the order of a walk (`merge.py`): the archive that IncrZip would
                        make of the tree.

Every difference must name the root hash of the base. The outcome carries the hashes of all (META `squashed`) and the time of the
newest, so that the same archives always give the same bytes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..base.events import Sink, ignore, progress
from ..base.temporary import temporary_folder
from ..blocks.device import Buffer
from ..blocks.file import FileDevice
from ..blocks.ranges import RangeSet
from ..blocks.scratch import ScratchOverlay
from ..filesystems.detect import open_volume
from .capture import Survey, cells, survey
from .container import Archive, ArchiveKind, ArchiveWriter, ChunkKind, FrameSink, Header, Summary
from .full import BOOT_SIZE, FullImage
from .image_device import ArchiveDevice
from .incremental import BASE, unpack_incremental
from .merge import merge
from .reading import read_used
from .records import BOOT, USED, Json
from .table import Signature


class Named(NamedTuple):
    """An archive that can be read from anywhere, and its name for messages."""

    name: str
    archive: Archive

    @property
    def root(self) -> str:
        """The root hash in hexadecimal. Raises StorageError for a stream."""
        if self.archive.table is None:
            raise StorageError(f"{self.name} can be read in order only; squashing needs archives that can be read from anywhere")
        return self.archive.table.root.hex()


def squash(
    base: Named, differences: Sequence[Named], sink: FrameSink, *, level: int = 3, threads: int | None = None, events: Sink = ignore,
    sign: Callable[[bytes], Signature] | None = None, temp_folder: Path | None = None,
) -> Summary:
    """Write the archive that holds what the base holds after all differences, in the order given.

    Raises StorageError for archives that do not belong together, and what unpacking the differences would.
    """
    check_family(base, differences)
    squashed: dict[str, Json] = {"base": base.root, "differences": [each.root for each in differences]}
    newest = max(_created(each.archive) for each in (base, *differences))
    if base.archive.header.kind is ArchiveKind.INCREMENTAL:
        extra: dict[str, Json] = {"squashed": squashed} | ({"created_ns": newest} if newest else {})
        archives = [each.archive for each in (base, *differences)]
        return merge(archives, sink, extra, level=level, threads=threads, events=events, sign=sign)
    with ExitStack() as stack:
        image = FullImage(base.archive)
        device = ArchiveDevice(base.archive)
        folder = stack.enter_context(temporary_folder(temp_folder))
        upper = stack.enter_context(closing(FileDevice.create(Path(folder) / "changes", device.size)))
        overlay = ScratchOverlay(device, upper)
        clock = Clock(newest)
        volume = open_volume(overlay, clock=clock)
        with closing(volume):
            for each in differences:
                try:
                    unpack_incremental(each.archive, volume, _path_of(each), sink=events)
                except FormatError as error:
                    raise FormatError(f"{each.name}: {error.message}", hint=error.hint) from error
                volume.flush()
        found = survey(overlay, clock=clock)
        changed = RangeSet()
        for start, end in overlay.changed_ranges():
            changed.add(start, end)
        return _write(image, found, changed, sink, squashed, level=level, threads=threads, events=events, sign=sign)


def check_family(base: Named, differences: Sequence[Named]) -> None:
    """Raise StorageError unless the first is a base, and the others are differences made against it."""
    if BASE in base.archive.header.sections:
        raise StorageError(f"{base.name} is a difference archive itself", hint="the first archive is the one that the differences were made against")
    root = base.root
    for each in differences:
        header = each.archive.header
        if header.kind is not ArchiveKind.INCREMENTAL or BASE not in header.sections:
            raise StorageError(f"{each.name} is no difference archive: it was made without $Base-Archive")
        description = header.meta.get("base")
        named = description.get("root") if isinstance(description, Mapping) else None
        if each.root and named != root:
            raise StorageError(
                f"{each.name} was made against another archive than {base.name}: it names the root hash {str(named)[:16]}..., "
                f"that of {base.name} is {root[:16]}...",
                hint="a difference belongs to one archive, also when another one has the same files",
            )


def _write(
    image: FullImage, found: Survey, changed: RangeSet, sink: FrameSink, squashed: Mapping[str, Json], *, level: int, threads: int | None,
    events: Sink, sign: Callable[[bytes], Signature] | None,
) -> Summary:
    """The volume as it is now; see `capture`. Chunks that are what they were are taken over."""
    device, size, chunk_size = found.device, found.facts.size, image.archive.chunk_size
    sections = {BOOT: device.read(0, min(size, BOOT_SIZE)), USED: found.used.pack()}
    header = Header(ArchiveKind.FULL, chunk_size, size, {**found.facts.to_meta(), "squashed": squashed}, sections)
    local = threading.local()

    def read(start: int, length: int) -> Buffer:
        buffer: bytearray | None = getattr(local, "buffer", None)
        if buffer is None:
            buffer = local.buffer = bytearray(chunk_size)
        view = memoryview(buffer)[:length]
        read_used(device, view, start, found.used.within(start, start + length))
        return view

    def is_unchanged(start: int, length: int) -> int | None:
        """The number of the chunk of the base that holds the same, if one does."""
        archive = image.archive
        index = archive.find(start)
        record = archive.record(index)
        if (record.kind, record.offset, record.length) != (ChunkKind.DATA, start, length) or any(changed.within(start, start + length)):
            return None
        return index if image.used.within(start, start + length) == found.used.within(start, start + length) else None

    with ArchiveWriter(sink, header, level=level, threads=threads) as writer, progress(events, "squash", found.used.total) as state:
        for start, length in cells(found.used, size, chunk_size):
            if start > writer.offset:
                writer.add_zeros(start - writer.offset, used=False)
            if length:
                index = is_unchanged(start, length)
                if index is not None:
                    writer.add_stored(image.archive.record(index), lambda index=index: image.archive.stored(index))  # type: ignore[misc]
                else:
                    writer.add_later(length, lambda start=start, length=length: read(start, length))     # type: ignore[misc]
                state.advance(sum(b - a for a, b in found.used.within(start, start + length)))
        return writer.finish(sign)


def _created(archive: Archive) -> int:
    value = archive.header.meta.get("created_ns", 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else 0


def _path_of(difference: Named) -> str:
    """The directory of the volume that a difference was made of."""
    path = difference.archive.header.meta.get("path", "")
    if not isinstance(path, str) or path.startswith("/") or {"..", "."} & set(path.split("/")):
        raise FormatError(f"{difference.name}: its path {str(path)[:200]!r} makes no sense")
    return path
