"""From an image to a partition: `FullUnzip` and `image restore`.

What an archive holds must belong on the type of the partition (language.md 9.6). An image of a partition may also go to a file
or disk that has no table: then the whole of it is the partition.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ..archive.adapters import Rejoined
from ..archive.belonging import belongs_on
from ..archive.container import Archive, ArchiveKind
from ..archive.full import FullImage, PartitionImage
from ..archive.opening import is_ours
from ..archive.placement import Place
from ..archive.positional import JoinedReader, Positional
from ..archive.report import Restored
from ..archive.restore import MODES, restore
from ..archive.same_contents import read_some
from ..base.clock import Clock
from ..base.errors import BpscriptError, FormatError, StorageError, UsageError
from ..base.events import Event, Kind, Sink, ignore
from ..base.units import round_up
from ..blocks.device import BlockDevice, host_file_of
from ..blocks.medium import discard
from ..filesystems.filesystem import Filesystem
from ..partitions.geometry import Geometry
from ..partitions.table import open_partition, read_table
from .disk import Disk
from .formatting import geometry_of, hidden_sectors
from .image_places import DiskImagePlace

_START = 512        # bytes that tell what it is
_UNIT = 4096        # bytes; what image files and disks give back


class RestoreOptions(NamedTuple):
    """How to restore; the fields are the options of `bpscript image restore` (see the manual).

    `partition` takes one partition out of the archive of a disk. `key` is the file of a public key: an archive that it did not sign is refused. `temp_folder` is for images of other
    programs that cannot be read in place.
    """

    rewrite: str = "auto"
    verify: bool = False
    resize_last: bool = False
    discard: bool = False
    partition: int | None = None
    key: Path | None = None
    write_real_disks: bool = False
    temp_folder: Path | None = None

    def check(self) -> None:
        """Raise UsageError for values that make no sense."""
        if self.rewrite.upper() not in MODES:
            raise UsageError(f'rewrite is "{self.rewrite}"; expected auto, all or diff')


class Restorer:
    """One archive on its way to a place. `data` is what `archive.positional` opens; `name` is used in messages."""

    def __init__(
        self, data: Positional | JoinedReader, name: str, options: RestoreOptions, clock: Clock, events: Sink = ignore
    ) -> None:
        """Raises FormatError when a signature is asked for and there is none."""
        self._name = name
        self._options = options
        self._clock = clock
        self._events = events
        self._archive: Archive | None = None        # when it is one of ours
        if options.key is not None:
            _require_key(data, options.key)
        if isinstance(data, JoinedReader):
            start = read_some(data, _START)
            stream = Rejoined(start, data)
            self._data: Positional | JoinedReader = JoinedReader(stream)
            if is_ours(start):
                self._archive = Archive.open_stream(stream)
        else:
            self._data = data
            if is_ours(data.read(0, min(_START, data.size))):
                self._archive = Archive.open(data)

    def to_folder(self, path: Path) -> Restored:
        """Files into a folder of this host."""
        from ..filesystems.folder import FolderVolume  # noqa: PLC0415 - disks are what is restored mostly

        with closing(FolderVolume(path)) as folder:
            return self._files(folder, "")

    def to_place(self, disk: Disk, place: DiskImagePlace, *, is_directory: bool) -> Restored:
        """To a disk, a partition of it, or, with a path or `is_directory`, into a directory."""
        number = place.partition
        if place.path or is_directory or self._holds_files:
            if self._options.discard:
                raise UsageError("--discard is for partitions, not for files in a directory")
            from ..filesystems.links import follow_links  # noqa: PLC0415 - as above

            with self._volume(disk, number) as volume:
                return self._files(volume, follow_links(volume, place.path))
        if number is None and self._is_disk and self._options.partition is None:
            return self._disk(disk)
        if self._options.resize_last:
            raise UsageError(f"{self._name} is no archive of a whole disk: there is no last partition to resize")
        geometry = geometry_of(disk, "")
        with self._image(disk.code_page) as image:
            if number is None:
                return restore_without_table(
                    image, disk, self._options, name=self._name, geometry=geometry, clock=self._clock, events=self._events
                )
            return restore_partition(
                image, disk, number, self._options, name=self._name, geometry=geometry, clock=self._clock, events=self._events
            )

    @contextmanager
    def _volume(self, disk: Disk, number: int | None) -> Iterator[Filesystem]:
        if number is not None:
            yield disk.volume(number)
            return
        from ..filesystems.detect import open_volume  # noqa: PLC0415 - as above

        with closing(open_volume(disk.device, clock=self._clock, code_page=disk.code_page)) as volume:
            yield volume

    def _disk(self, disk: Disk) -> Restored:
        from ..archive.disk_image import DiskImage  # noqa: PLC0415 - only for disks
        from ..archive.disk_restore import restore_disk  # noqa: PLC0415

        assert self._archive is not None        # it is a disk's
        options = self._options
        disk.forget()
        image = DiskImage.of(self._archive)
        sector_size = disk.known_sector_size or image.facts.sector_size
        done = restore_disk(
            image, disk.device, resize_last=options.resize_last, rewrite=options.rewrite.upper(), verify=options.verify,
            clock=self._clock, code_page=disk.code_page, sector_size=sector_size, events=self._events,
        )
        if options.discard:
            table = read_table(disk.device, sector_size)
            for entry in table.partitions:
                if not entry.is_extended:
                    discard_free(open_partition(disk.device, table, entry.number), clock=self._clock, code_page=disk.code_page, events=self._events)
        return done

    @property
    def _is_disk(self) -> bool:
        return self._archive is not None and self._archive.header.kind is ArchiveKind.DISK

    @property
    def _holds_files(self) -> bool:
        return self._archive is not None and self._archive.header.kind is ArchiveKind.INCREMENTAL

    def _image(self, code_page: str) -> PartitionImage:
        if self._is_disk and self._options.partition is None:
            raise UsageError(f"{self._name} is the archive of a whole disk", hint=f"name one of its partitions, for example {self._name}:1")
        if self._archive is not None:
            if not self._is_disk and self._options.partition is None:
                return FullImage(self._archive)
            from ..archive.disk_image import open_partition_image  # noqa: PLC0415 - only for disks

            return open_partition_image(self._archive, self._options.partition)
        if self._options.partition is not None:
            raise UsageError(f"{self._name} is an image of another program: it is restored as a whole")
        from ..archive.foreign import open_image  # noqa: PLC0415 - few images are of others

        return open_image(self._data, clock=self._clock, code_page=code_page, temp_folder=self._options.temp_folder, in_order=True)

    def _files(self, volume: Filesystem, path: str) -> Restored:
        options = self._options
        if self._archive is not None:
            if not self._holds_files:
                raise UsageError(f"{self._name} is the archive of a partition, which cannot go into a directory", hint="image get copies its files")
            from ..archive.incremental import unpack_incremental  # noqa: PLC0415 - partitions are restored mostly

            done = unpack_incremental(self._archive, volume, path, sink=self._events, verify=options.verify)
        else:
            from ..archive.unpack import unpack  # noqa: PLC0415 - as above

            done = unpack(self._data, self._name, volume, path, events=self._events, verify=options.verify, temp_folder=options.temp_folder)
        return Restored(done.size, done.size, 0, f"{done.files} files")


def _require_key(data: Positional | JoinedReader, path: Path) -> None:
    from ..archive.signing import need_signature  # noqa: PLC0415 - only with --key
    from ..crypto.signatures import parse_public_key  # noqa: PLC0415

    try:
        key = parse_public_key(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except FormatError as error:
        raise StorageError(f"{path}: {error.message}", hint=error.hint) from error     # the key is wrong, not the archive
    if isinstance(data, JoinedReader):
        raise FormatError("it can be read only once, so its signature cannot be checked before it is used")
    need_signature(Archive.open(data), key, f"a signature by the key in {path} is asked for")


def restore_partition(
    image: PartitionImage, target: Disk, partition: int, options: RestoreOptions, *, name: str, geometry: Geometry, clock: Clock,
    events: Sink = ignore,
) -> Restored:
    """Replace everything on a partition by what an image holds. `name` is the image's, for messages.

    Raises NotFoundError when there is no such partition, StorageError for one of another type; else as `archive.restore`.
    """
    entry = target.entry(partition)
    device = target.partition(partition)
    kind = image.facts.filesystem
    if entry.is_extended or not belongs_on(kind, entry):
        raise StorageError(
            f"the archive {name} holds {kind}, which does not belong on partition {partition} of type {entry.word()}",
            hint="SetPartitions gives the partition another type",
        )
    target.forget(partition)
    place = Place(hidden_sectors(target, partition), geometry.heads, geometry.sectors, target.sector_size)
    return _restore(image, device, place, target.code_page, options, clock, events)


def restore_without_table(
    image: PartitionImage, target: Disk, options: RestoreOptions, *, name: str, geometry: Geometry, clock: Clock, events: Sink = ignore
) -> Restored:
    """The same where a whole file or disk is the partition. Raises StorageError when it has a table of its own."""
    table = target.table()
    if table.scheme is not None:
        numbers = ", ".join(str(entry.number) for entry in table.partitions)
        raise StorageError(
            f"the archive {name} holds one partition, and {target.name} is a disk with a table of its own",
            hint=f"name a partition, for example {target.name}:{table.partitions[0].number} (it has {numbers})" if numbers
            else "SetPartitions or bpscript disk create makes partitions",
        )
    start = _start_of(target.device)
    place = None if start is None else Place(start * 512 // target.sector_size, geometry.heads, geometry.sectors, target.sector_size)
    target.forget()
    return _restore(image, target.device, place, target.code_page, options, clock, events)


def _restore(  # noqa: PLR0917 - those of the two above
    image: PartitionImage, device: BlockDevice, place: Place | None, code_page: str, options: RestoreOptions, clock: Clock, events: Sink
) -> Restored:
    done = restore(
        image, device, rewrite=options.rewrite.upper(), verify=options.verify, place=place, clock=clock, code_page=code_page, events=events
    )
    if options.discard:
        discard_free(device, clock=clock, code_page=code_page, events=events)
    return done


def discard_free(device: BlockDevice, *, clock: Clock, code_page: str = "cp850", events: Sink = ignore) -> int:
    """Give back the blocks of a partition that nobody uses; how many bytes. What is unknown is used."""
    from ..archive.capture import survey  # noqa: PLC0415 - only with --discard

    try:
        used: Iterable[tuple[int, int]] = survey(device, clock=clock, code_page=code_page).used
    except BpscriptError as error:
        events(Event(Kind.WARNING, {"text": f"nothing was discarded: {error.message}"}))
        return 0
    position = given = 0
    for start, end in chain(used, [(device.size, device.size)]):
        first, last = round_up(position, _UNIT), start // _UNIT * _UNIT
        position = end
        if last <= first:
            continue
        if not discard(device, first, last - first):
            events(Event(Kind.WARNING, {"text": "this disk cannot discard unused blocks; they stay as they are"}))
            return given
        given += last - first
    return given


def _start_of(device: BlockDevice) -> int | None:
    """Where a partition of a real disk begins, in sectors of 512 bytes, as sysfs says; None for anything else."""
    place = host_file_of(device)
    if place is None:
        return None
    number = place[0].stat().st_rdev
    start = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/start")
    try:
        return int(start.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
