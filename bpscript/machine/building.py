"""Archive building: what `CopyArchive` does with a source, a destination and filters (language.md 8.9).

    from \\ to     path               archive               iarchive              dump
    path          its files          the partition         its files             -
    archive       the files in it    split anew, filtered  the files in it       header, directory ...
    iarchive      unpacked           -                     split anew, filtered  header, directory ...
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from ..archive.bases import VolumeBase
from ..archive.capture import Survey, capture, survey
from ..archive.container import Archive, ArchiveKind
from ..archive.destinations import Destination, parse_fragment_size
from ..archive.difference import Base
from ..archive.filters import Filters, keep_selected, select
from ..archive.full import FullImage
from ..archive.image_device import ArchiveDevice
from ..archive.incremental import filter_incremental, incremental_base, write_incremental
from ..archive.positional import JoinedReader, Positional, close
from ..archive.provenance import Provenance
from ..archive.readback import check_full
from ..archive.readback_files import check_incremental
from ..archive.recut import copy_frames
from ..archive.trees import copy_tree
from ..archive.unpack import unpack
from ..base.errors import StorageError
from ..base.units import MIB
from ..blocks.device import BlockDevice
from ..blocks.file import FileDevice
from ..blocks.overlay import OverlayDevice
from ..filesystems.detect import open_volume
from ..filesystems.filesystem import Facts, Filesystem
from ..filesystems.places import DiskPlace, HostPlace
from .archives import about_archive, archive_destination, open_archive_bytes, open_tree, temp_folder
from .job import End, Form
from .machine import Machine

_KEPT_OF_BASE = 48      # decoded chunks: the inode tables and directories of a large volume are read all over it, again and again
_KIND_WORDS = {
    ArchiveKind.FULL: "a full archive", ArchiveKind.INCREMENTAL: "an incremental archive", ArchiveKind.DISK: "the archive of a whole disk",
}


class ArchiveCopy:
    """One run of `CopyArchive`. `log_line` gets the lines of a dump, and with `trace` the name of every file."""

    def __init__(self, machine: Machine, filters: Filters, log_line: Callable[[str], None], *, trace: bool) -> None:
        self._machine = machine
        self._filters = filters
        self._log_line = log_line
        self._trace = trace
        self._settings = machine.settings

    def run(self, source: End, dest: End) -> None:
        """Do the work."""
        with about_archive(source.name), ExitStack() as stack:
            self._run(source, dest, stack)

    def _run(self, source: End, dest: End, stack: ExitStack) -> None:
        match source.form, dest.form:
            case Form.PATH, Form.ARCHIVE:
                self._capture(source.name, dest.name)
            case Form.PATH, Form.IARCHIVE:
                volume, path = open_tree(self._machine, source.name, stack, writes=False)
                self._pack(volume, path, source.name, dest.name)
            case Form.PATH, Form.PATH:
                volume, path = open_tree(self._machine, source.name, stack, writes=False)
                self._copy(volume, path, dest.name)
            case Form.ARCHIVE, Form.ARCHIVE:
                self._copy_full(source.name, dest.name)
            case Form.IARCHIVE, Form.IARCHIVE:
                self._copy_incremental(source.name, dest.name)
            case Form.ARCHIVE, Form.IARCHIVE:
                with self._volume_of(source.name) as volume:
                    self._pack(volume, "", source.name, dest.name)
            case Form.ARCHIVE, Form.PATH:
                with self._volume_of(source.name) as volume:
                    self._copy(volume, "", dest.name)
            case Form.IARCHIVE, Form.PATH:
                data = self._positional(source.name, stack)
                volume, path = open_tree(self._machine, dest.name, stack, writes=True)
                unpack(data, f'"{source.name}"', volume, path, filters=self._filters, events=self._machine.events)
            case (Form.ARCHIVE | Form.IARCHIVE), (Form.DUMP | Form.IDUMP):
                self._dump(source)
            case _:
                raise StorageError(f"an archive operation from {source.form} to {dest.form} is not possible")

    def _capture(self, name: str, dest: str) -> None:
        """`FullZip`: a partition, or a folder of the host as a new file system."""
        place = self._machine.files.place(name)
        with ExitStack() as stack:
            if isinstance(place, DiskPlace):
                if place.path or place.partition < 1:
                    raise StorageError(f'"{name}" is no partition: a full archive holds all of one', hint='write "{:1}/"; IncrZip packs single directories')
                self._machine.disks.flush()
                device: BlockDevice = self._machine.disks[place.disk_number].partition(place.partition)
                found = self._survey(device)
            elif isinstance(place, HostPlace):
                device = self._build(place, stack)
                found = self._survey(device, Filters())     # the filters were applied when the volume was built
            else:
                raise StorageError(f'"{name}" is neither a partition nor a folder of the host')
            self._write_full(dest, found, name)

    def _survey(self, device: BlockDevice, filters: Filters | None = None) -> Survey:
        """What is on a device, without what the filters leave out."""
        chosen = self._filters if filters is None else filters
        if self._trace and not chosen.rules:
            self._log_files(device)
        return survey(
            device,
            clock=self._machine.clock,
            remove=(lambda volume: self._remove_filtered(volume, chosen)) if chosen.rules else None,
        )

    def _remove_filtered(self, volume: Filesystem, filters: Filters) -> None:
        """Remove from a volume that keeps its changes in memory what the filters leave out."""
        kept = keep_selected(volume, filters)
        if self._trace:
            for path in sorted(kept):
                self._log_line(path)

    def _log_files(self, device: BlockDevice) -> None:
        volume = open_volume(OverlayDevice(device), clock=self._machine.clock, writable=False)
        with closing(volume):
            for path, _ in select(volume, "", Filters().selector(ignore_case=volume.ignores_case)):
                self._log_line(path)

    def _build(self, place: HostPlace, stack: ExitStack) -> FileDevice:
        """A folder of the host as a file system in a temporary image, without what the filters leave out."""
        from ..archive.build import build_volume  # noqa: PLC0415 - only for folders
        from ..filesystems.folder import FolderVolume  # noqa: PLC0415

        kind = (self._settings.get("Zip-FS") or self._settings.get("Linux-FS") or "EXT4").upper()
        if kind not in {"FAT16", "FAT32", "EXT2", "EXT3", "EXT4"}:
            raise StorageError(f'the file system "{kind}" is unknown; expected FAT16 or FAT32 in $Zip-FS, EXT2, EXT3 or EXT4 in $Linux-FS')
        size = self._settings.get("Zip-Size").strip()
        if size and not (size.isdecimal() and 0 < len(size) <= 9):
            raise StorageError(f'$Zip-Size is "{size}"; expected a number of MB')
        folder = stack.enter_context(closing(FolderVolume(Path(place.path))))
        return stack.enter_context(
            build_volume(
                folder,
                kind,
                int(size) * MIB if size else None,
                filters=self._filters,
                temp_folder=temp_folder(self._machine),
                entropy=self._machine.entropy,
                clock=self._machine.clock,
                events=self._machine.events,
                on_file=self._log_file if self._trace else None,
            )
        )

    def _pack(self, volume: Filesystem, path: str, name: str, dest: str) -> None:
        """`IncrZip`: files below a directory, or what differs from `$Base-Archive`."""
        if self._trace:
            for found, _ in select(volume, path, self._filters.selector(ignore_case=volume.ignores_case)):
                self._log_line(found)
        origin = Provenance.of(name, "", self._machine.clock)
        with ExitStack() as stack:
            base = self._base(path, stack)
            events, filters, clock = self._machine.events, self._filters, self._machine.clock
            self._write(
                dest,
                lambda sink: write_incremental(sink, volume, path, filters=filters, base=base, sink=events, clock=clock, origin=origin),
                lambda data: check_incremental(data, volume, path, filters=filters, is_difference=base is not None, events=events),
            )

    def _base(self, path: str, stack: ExitStack) -> Base | None:
        name = self._settings.get("Base-Archive")
        if not name:
            return None
        with about_archive(name):
            archive = Archive.open(self._positional(name, stack))
            if archive.header.kind is ArchiveKind.INCREMENTAL:
                return incremental_base(archive)
            image = FullImage(archive)
            volume = open_volume(ArchiveDevice(archive, _KEPT_OF_BASE), clock=self._machine.clock, writable=False)
        stack.enter_context(closing(volume))
        return VolumeBase(volume, path, archive.table.root if archive.table else None, image)

    def _copy(self, volume: Filesystem, path: str, dest: str) -> None:
        """`XCopy`: file by file."""
        with ExitStack() as stack:
            target, target_path = open_tree(self._machine, dest, stack, writes=True)
            copy_tree(
                volume, path, target, target_path, filters=self._filters, sink=self._machine.events,
                on_file=self._log_file if self._trace else None,
            )

    def _copy_full(self, name: str, dest: str) -> None:
        """A full archive again: in fragments of another size, or without what the filters leave out."""
        with ExitStack() as stack:
            image = stack.enter_context(FullImage(Archive.open(self._positional(name, stack))))
            if self._filters.rules:
                self._write_full(dest, self._survey(ArchiveDevice(image.archive)), name)
            else:
                self._write(dest, lambda sink: copy_frames(image.archive, sink, events=self._machine.events))

    def _copy_incremental(self, name: str, dest: str) -> None:
        with ExitStack() as stack:
            archive = Archive.open(self._positional(name, stack))
            if archive.header.kind is not ArchiveKind.INCREMENTAL:
                hint = 'write Source archive "..."' if archive.header.kind is ArchiveKind.FULL else None
                raise StorageError(f'"{name}" is {_KIND_WORDS[archive.header.kind]}, not an incremental one', hint=hint)
            if self._filters.rules:
                self._write(dest, lambda sink: filter_incremental(archive, sink, self._filters, events=self._machine.events))
            else:
                self._write(dest, lambda sink: copy_frames(archive, sink, events=self._machine.events))

    def _dump(self, source: End) -> None:
        from ..archive.dump import dump  # noqa: PLC0415

        with ExitStack() as stack:
            archive = Archive.open(self._positional(source.name, stack))
            wanted = ArchiveKind.FULL if source.form is Form.ARCHIVE else ArchiveKind.INCREMENTAL
            if archive.header.kind is not wanted:
                raise StorageError(f'"{source.name}" is {_KIND_WORDS[archive.header.kind]}, not {_KIND_WORDS[wanted]}')
            for line in dump(archive, self._settings.get("DumpFormat"), self._filters):
                self._log_line(line)

    def _write_full(self, dest: str, found: Survey, name: str) -> None:
        """A full archive of what was surveyed."""
        events = self._machine.events
        origin = Provenance.of(name, "", self._machine.clock)
        self._write(
            dest, lambda sink: capture(found, sink, events=events, origin=origin), lambda data: check_full(data, found, events=events)
        )

    def _write(
        self, dest: str, write: Callable[[Destination], object], check: Callable[[Positional], None] | None = None
    ) -> None:
        """Write an archive; `check` reads it back. The old one of this name goes when the new one is complete."""
        fragment_size = parse_fragment_size(self._settings.get("FragmentSize"))
        with archive_destination(self._machine.files, dest, fragment_size, temp_folder(self._machine)) as sink:
            write(sink)
            if check is not None:
                with closing(sink.reopen()) as data:
                    check(data)
            sink.commit()

    def _positional(self, name: str, stack: ExitStack) -> Positional:
        data = open_archive_bytes(self._machine.files, name)
        stack.callback(close, data)
        if isinstance(data, JoinedReader):
            raise StorageError(f'"{name}" can be read in order only: this needs an archive that can be read from anywhere')
        return data

    @contextmanager
    def _volume_of(self, name: str) -> Iterator[Filesystem]:
        """The file system in a full archive, for reading."""
        with ExitStack() as stack:
            image = stack.enter_context(FullImage(Archive.open(self._positional(name, stack))))
            volume = open_volume(ArchiveDevice(image.archive), clock=self._machine.clock, writable=False)
            yield stack.enter_context(closing(volume))

    def _log_file(self, path: str, facts: Facts) -> None:
        self._log_line(path)
