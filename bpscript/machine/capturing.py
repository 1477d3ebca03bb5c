"""From a partition, a directory or a folder of the host to an archive: `image capture`.

What is written is read back and compared with its source before it gets its name, unless that is not wanted.
"""

import shlex
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..archive.capture import Survey, capture, survey
from ..archive.container import Archive
from ..archive.destinations import Destination
from ..archive.filters import Filters, keep_selected
from ..archive.opening import is_ours
from ..archive.positional import Positional
from ..archive.provenance import Provenance
from ..archive.table import Signature
from ..archive.writer import Summary, check_level
from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.errors import FormatError, StorageError, UsageError
from ..base.events import Event, Kind, Sink, ignore
from ..blocks.device import BlockDevice
from ..filesystems.detect import open_volume
from ..filesystems.filesystem import Filesystem
from .disk import Disk
from .image_places import DiskImagePlace

if TYPE_CHECKING:
    from ..archive.disk_capture import DiskSurvey

Sign = Callable[[bytes], Signature]      # what `archive.signing.signer` makes of a private key
_START = 512        # bytes that tell what it is
FOLDER_KINDS = ("EXT4", "EXT3", "EXT2", "FAT32", "FAT16")


class CaptureOptions(NamedTuple):
    """How to capture; the fields are the options of `bpscript image capture` (see the manual).

    `kind`, `size` (bytes), `seed` and `temp_folder` are for a full archive of a folder. `fragment_size` is in bytes.
    """

    incremental: bool = False
    filters: Filters = Filters()
    level: int = 3
    long: bool = False
    threads: int | None = None
    fragment_size: int | None = None
    owner_map: Path | None = None
    sign: Sign | None = None
    verify: bool = True
    kind: str | None = None
    size: int | None = None
    seed: str | None = None
    temp_folder: Path | None = None

    def check(self) -> None:
        """Raise UsageError for values that make no sense."""
        check_level(self.level)
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise UsageError(f"{self.threads} threads: expected 1 to 1024")
        if self.kind is not None and self.kind not in FOLDER_KINDS:
            raise UsageError(f'"{self.kind}" cannot be made from files; expected {", ".join(FOLDER_KINDS)}')

    def words(self) -> str:
        """What goes into the header: the options that decide about the contents, as on the command line."""
        words = [f"--level={self.level}"]
        words += ["--incremental"] * self.incremental + ["--long"] * self.long
        for rule in self.filters.rules:
            words += [f"--exclude={rule.pattern}", *(f"--include={pattern}" for pattern in rule.exceptions)]
        return shlex.join(words)


class Captured(NamedTuple):
    """What a capture made: kind of file system (FOLDER for files), bytes of it in use, bytes of the archive, its root hash."""

    filesystem: str
    used: int
    stored: int
    root: bytes
    verified: bool


class Capturer(NamedTuple):
    """What all captures have in common. `name` is that of the source, for the header of the archive."""

    sink: Destination
    name: str
    options: CaptureOptions
    clock: Clock
    events: Sink = ignore

    def partition(self, device: BlockDevice, code_page: str = "cp850") -> Captured:
        """A full archive of a partition."""
        filters = self.options.filters
        found = survey(
            device, clock=self.clock, code_page=code_page, remove=(lambda volume: keep_selected(volume, filters)) if filters.rules else None
        )
        return self._full(found)

    def tree(self, volume: Filesystem, path: str) -> Captured:
        """An incremental archive of what is below a directory, or of one file."""
        from ..archive.incremental import write_incremental  # noqa: PLC0415 - partitions are captured mostly
        from ..archive.readback_files import check_incremental  # noqa: PLC0415

        options = self.options
        done = write_incremental(
            self.sink, volume, path, filters=options.filters, sink=self.events, level=options.level, threads=options.threads,
            long=options.long, clock=self.clock, sign=options.sign, origin=self.origin(),
        )
        self._read_back(lambda data: check_incremental(data, volume, path, filters=options.filters, events=self.events))
        return self._done(volume.kind, done.size, done)

    def place(self, disk: Disk, place: DiskImagePlace) -> Captured:
        """What a place on a disk asks for: the whole disk, a partition, or what is below a directory."""
        number = place.partition
        if number is None and _is_partitioned(disk):
            return self.disk(disk.device, disk.name, disk.code_page, disk.known_sector_size)
        if self.options.incremental:
            from ..filesystems.links import follow_links  # noqa: PLC0415 - only for files

            with ExitStack() as stack:
                if number is None:
                    volume = stack.enter_context(closing(open_volume(disk.device, clock=self.clock, writable=False)))
                else:
                    volume = disk.volume(number)
                return self.tree(volume, follow_links(volume, place.path))
        if place.path:
            raise UsageError(f"{place} is a directory, and a full archive holds all of a partition", hint="--incremental packs directories")
        if number is not None:
            return self.partition(disk.partition(number), disk.code_page)
        return self.partition(disk.device, disk.code_page)

    def disk(self, device: BlockDevice, name: str, code_page: str = "cp850", sector_size: int | None = None) -> Captured:
        """Table, boot track and every partition."""
        from ..archive.disk_capture import survey_disk, write_disk  # noqa: PLC0415 - only for disks

        options = self.options
        if options.incremental or options.filters.rules:
            raise UsageError(f"{name} is a whole disk: files are chosen on a partition", hint=f"name one, for example {name}:1")
        found = survey_disk(device, clock=self.clock, code_page=code_page, sector_size=sector_size)
        if isinstance(found, Survey):
            return self._full(found)
        for text in found.warnings:
            self.events(Event(Kind.WARNING, {"text": text}))
        done = write_disk(
            found, self.sink, level=options.level, threads=options.threads, long=options.long, events=self.events, sign=options.sign,
            origin=self.origin(),
        )
        self._check_full(found)
        return self._done("a disk", found.used.total, done)

    def folder(self, path: Path) -> Captured:
        """A folder of this host: its files, or with a volume of its own made for them."""
        from ..filesystems.folder import FolderVolume  # noqa: PLC0415 - disks are what is captured mostly

        with closing(FolderVolume(path)) as folder:
            source: Filesystem = folder
            if self.options.owner_map is not None:
                from ..archive.owner_map import MappedTree, OwnerMap  # noqa: PLC0415 - few captures have one

                source = MappedTree(folder, OwnerMap.read(self.options.owner_map))
            return self.tree(source, "") if self.options.incremental else self.new_volume(source)

    def new_volume(self, source: Filesystem) -> Captured:
        """A full archive of files: they are put on a volume of their own in a temporary image."""
        from ..archive.build import build_volume  # noqa: PLC0415 - only for folders

        options = self.options
        with build_volume(
            source, options.kind or FOLDER_KINDS[0], options.size, filters=options.filters, temp_folder=options.temp_folder,
            entropy=Entropy(options.seed), clock=self.clock, events=self.events,
        ) as device:
            if options.verify:
                from ..archive.compare import compare_files  # noqa: PLC0415 - as above
                from ..archive.trees import listing  # noqa: PLC0415

                with closing(open_volume(device, clock=self.clock, writable=False)) as volume:
                    compare_files(source, volume, listing(source, "", options.filters), self.events)
            return self._full(survey(device, clock=self.clock))

    def _full(self, found: Survey) -> Captured:
        options = self.options
        done = capture(
            found, self.sink, level=options.level, threads=options.threads, long=options.long, events=self.events, sign=options.sign,
            origin=self.origin(),
        )
        self._check_full(found)
        return self._done(found.facts.filesystem, found.facts.used, done)

    def origin(self) -> Provenance:
        """For the header."""
        return Provenance.of(self.name, self.options.words(), self.clock)

    def check_chunks(self) -> bool:
        """Read back what comes from a source that can be read only once: all of it is right in itself. Tells whether it was done."""
        self._read_back(lambda data: Archive.open(data).verify(threads=self.options.threads))
        return self._verifies

    def _check_full(self, found: "Survey | DiskSurvey") -> None:
        if self._verifies:
            from ..archive.readback import check_full  # noqa: PLC0415 - not with --no-verify

            self._read_back(lambda data: check_full(data, found, threads=self.options.threads, events=self.events))

    def _read_back(self, check: Callable[[Positional], None]) -> None:
        if self._verifies:
            with closing(self.sink.reopen()) as data:
                check(data)

    @property
    def _verifies(self) -> bool:
        return self.options.verify and self.sink.can_reopen

    def _done(self, filesystem: str, used: int, summary: Summary) -> Captured:
        return Captured(filesystem, used, summary.stored, summary.root, self._verifies)


def check_target(source: Path, archive: Path) -> None:
    """Raise UsageError or StorageError when an archive may not be written there: an older archive is replaced, nothing else is."""
    if not archive.parent.is_dir():
        raise UsageError(f"{archive.parent}: no such directory")
    if not archive.exists() or archive.is_dir():
        return
    if source.exists() and archive.samefile(source):
        raise UsageError(f"{archive} cannot be the archive of itself")
    if not archive.is_file():
        raise UsageError(f"{archive} is no file; - is standard output")
    if archive.stat().st_size and not _is_archive(archive):
        raise StorageError(f"{archive} exists and is no archive", hint="only an older archive is replaced; remove it first if you mean it")


def refuse_archive(source: Path) -> None:
    """Raise UsageError when what is to be captured is an archive already."""
    if source.is_file() and _is_archive(source):
        raise UsageError(f"{source} is an archive already", hint="bpscript image convert makes another one of it")


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return is_ours(file.read(_START))


def refuse_inside(archive: Path, folder: Path, filters: Filters) -> None:
    """Raise StorageError when the archive would lie among the files that it takes in."""
    target, root = archive.resolve(), folder.resolve()
    if not target.is_relative_to(root):
        return
    selector = filters.selector(ignore_case=False)
    inside = target.relative_to(root)
    if not all(selector.leaves_out(str(inside.with_name(name))) for name in (inside.name, f".{inside.name}.0-0.part")):
        raise StorageError(
            f"{archive} lies in {folder}, the folder that it would be made of", hint="write it elsewhere, or leave its folder out with --exclude"
        )


def _is_partitioned(disk: Disk) -> bool:
    """Whether there is a table; one that cannot be read, or is made for other sectors, is one too."""
    try:
        return disk.table().scheme is not None
    except FormatError:
        return True
