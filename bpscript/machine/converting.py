"""From one kind of image to another: `image convert`.

    from \\ to              raw                     tar                 full                  incremental
    image of a partition   its bytes, with holes   files in it         captured again        files in it
    archive of a disk      its bytes, with holes   -                   captured again        -
    files (ours, tar, zip) a volume made of them   a tar (pax)         a volume made of them  packed again
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from ..archive.adapters import Sequential
from ..archive.build import fill_volume
from ..archive.container import Archive, ArchiveKind
from ..archive.destinations import Destination, HostDestination, StreamDestination
from ..archive.files_out import Files, write_files, write_tar
from ..archive.full import RAW, Facts, FullImage, PartitionImage
from ..archive.image_device import ArchiveDevice
from ..archive.opening import is_ours
from ..archive.packing import UnpackedReader, packing_of
from ..archive.positional import DescriptorBytes, JoinedReader, Positional, ranges_with_data
from ..archive.raw import pour_raw, write_raw
from ..archive.unpack import unpack_entries
from ..base.clock import Clock
from ..base.entropy import Entropy
from ..base.errors import FormatError, NoSpaceError, UsageError
from ..base.events import Sink, ignore
from ..blocks.device import BlockDevice
from ..filesystems.detect import open_volume
from .capturing import FOLDER_KINDS, Captured, CaptureOptions, Capturer

_STEP = 1 << 20
_START = 512        # bytes that tell what it is
_MAGIC = slice(257, 262)    # of a tar header, both of POSIX and of GNU


class Form(StrEnum):
    """What an image is converted to."""

    RAW = "raw"
    TAR = "tar"
    FULL = "full"
    INCREMENTAL = "incremental"


_ENDINGS = (
    (".tar.zst", Form.INCREMENTAL), (".tzst", Form.INCREMENTAL), (".imi", Form.INCREMENTAL), (".tar", Form.TAR), (".imz", Form.FULL), (".zst", Form.FULL),
    (".img", Form.RAW), (".raw", Form.RAW), (".dd", Form.RAW), (".bin", Form.RAW),
)


def form_of(name: str) -> Form:
    """What a name asks for by its ending. Raises UsageError when it does not tell."""
    for ending, form in _ENDINGS:
        if name.lower().endswith(ending):
            return form
    raise UsageError(f"{name}: its name does not say what it is to be", hint=f"--to {', '.join(Form)}")


def form_named(text: str) -> Form:
    """What `--to` asks for. Raises UsageError."""
    try:
        return Form(text)
    except ValueError:
        raise UsageError(f'"{text}" is nothing to convert to; expected {", ".join(Form)}') from None


@contextmanager
def spooled(data: JoinedReader, folder: Path | None) -> Iterator[Positional]:
    """What comes in order only, in a temporary file: it is read more than once. Raises NoSpaceError."""
    with tempfile.TemporaryFile(prefix="bpscript-", dir=folder) as file:
        try:
            while piece := data.read(_STEP):
                file.write(piece)
            file.flush()
        except OSError as error:
            raise NoSpaceError(f"{folder or tempfile.gettempdir()}: no room for the image: {error.strerror}", hint="--temp names another folder") from error
        yield DescriptorBytes(file.fileno(), "the image")


class Converter:
    """One image on its way into another form. `data` is closed by who opened it."""

    def __init__(  # noqa: PLR0917 - what a conversion needs to know
        self, data: Positional, name: str, options: CaptureOptions, clock: Clock, events: Sink = ignore, partition: int | None = None
    ) -> None:
        """`partition` takes one out of the archive of a disk. Raises FormatError for what is no image."""
        self._data = data
        self._name = name
        self._options = options
        self._clock = clock
        self._events = events
        self._stack = ExitStack()
        self._files: Files | None = None
        self._image: PartitionImage | None = None
        self._whole_disk = False
        try:
            self._open(partition)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, partition: int | None) -> None:
        if is_ours(self._data.read(0, min(_START, self._data.size))):
            archive = Archive.open(self._data)
            if archive.header.kind is ArchiveKind.INCREMENTAL:
                self._files = Files.of_archive(archive)
            elif archive.header.kind is ArchiveKind.DISK:
                self._open_disk(archive, partition)
            else:
                self._image = FullImage(archive)
        elif not self._open_foreign_files():
            from ..archive.foreign import open_image  # noqa: PLC0415 - only for images of others

            self._image = open_image(_Kept(self._data), clock=self._clock, temp_folder=self._options.temp_folder)
            self._stack.callback(self._image.close)
        if partition is not None and self._image is None:
            raise UsageError(f"{self._name} is no archive of a disk: it has no partition {partition}")

    def _open_disk(self, archive: Archive, partition: int | None) -> None:
        from ..archive.disk_image import DiskImage  # noqa: PLC0415 - only for disks

        disk = DiskImage.of(archive)
        if partition is not None:
            self._image = disk.partition(partition)
            return
        self._image = PartitionImage(archive, Facts(size=disk.facts.size), disk.used, b"")
        self._whole_disk = True

    def _open_foreign_files(self) -> bool:
        from ..archive.foreign_files import ZIP_START, open_foreign  # noqa: PLC0415 - only for archives of others

        start = self._data.read(0, min(_START, self._data.size))
        packing = packing_of(start)
        try:
            if packing is not None:
                start = UnpackedReader(Sequential(self._data), packing, self._name).peek(_START)
        except FormatError:
            return False        # opening it as an image says what is wrong
        if start[:4] not in ZIP_START and start[_MAGIC] != b"ustar":
            return False
        foreign = open_foreign(self._data, self._name, self._stack, self._options.temp_folder)
        plan = foreign.plan(None)
        self._files = Files(plan, foreign.entries, foreign.stored, foreign.ignores_case)
        return True

    # --- where it goes -----------------------------------------------------------------------------------------------

    def to_file(self, form: Form, target: Path) -> Captured:
        """Make a file. It has its name when it is complete."""
        if form in {Form.FULL, Form.INCREMENTAL}:
            with HostDestination(target, self._options.fragment_size) as sink:
                done = self._archive(form, sink)
                sink.commit()
            return done
        temporary = target.with_name(f".{target.name}.{os.getpid()}-0.part")
        temporary.unlink(missing_ok=True)
        try:
            done = self._raw(temporary) if form is Form.RAW else self._tar_file(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return done

    def to_stream(self, form: Form, stream: BinaryIO) -> Captured:
        """Write into an open file or pipe."""
        if form in {Form.FULL, Form.INCREMENTAL}:
            with StreamDestination(stream) as sink:
                done = self._archive(form, sink)
                sink.commit()
            return done
        if form is Form.TAR:
            return self._told("tar", write_tar(self._need_files(), stream, events=self._events))
        with self._as_image() as image:
            return self._told("bytes", pour_raw(image.chunks, image.size, stream))

    def close(self) -> None:
        """Remove temporary files."""
        self._stack.close()

    def __enter__(self) -> "Converter":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _archive(self, form: Form, sink: Destination) -> Captured:
        capturer = Capturer(sink, self._name, self._options, self._clock, self._events)
        if form is Form.INCREMENTAL:
            if self._files is None:
                with closing(open_volume(self._device(), clock=self._clock, writable=False)) as volume:
                    return capturer.tree(volume, "")
            options = self._options
            done = write_files(
                self._files, sink, level=options.level, threads=options.threads, long=options.long, clock=self._clock, sign=options.sign,
                origin=capturer.origin(), events=self._events,
            )
            return Captured("FOLDER", sum(entry.size for entry in self._files.plan), done.stored, done.root, capturer.check_chunks())
        if self._files is not None:
            with self._volume() as device:
                return capturer.partition(device)
        if self._whole_disk or self._has_table():
            return capturer.disk(self._device(), self._name)
        return capturer.partition(self._device())

    def _raw(self, path: Path) -> Captured:
        with self._as_image() as image:
            used = write_raw(image, path, verify=self._options.verify, threads=self._options.threads, events=self._events)
        return Captured("bytes", used, image.size, b"", self._options.verify)

    def _tar_file(self, path: Path) -> Captured:
        files = self._need_files()
        with path.open("xb") as out:
            return self._told("tar", write_tar(files, out, events=self._events))

    @contextmanager
    def _as_image(self) -> Iterator[PartitionImage]:
        if self._image is not None:
            yield self._image
            return
        from ..archive.foreign import open_image  # noqa: PLC0415 - only when a volume was made

        with self._volume() as device, open_image(_Kept(device), clock=self._clock) as image:
            yield image

    @contextmanager
    def _volume(self) -> Iterator[BlockDevice]:
        """A volume made of the files."""
        files, options = self._files, self._options
        assert files is not None
        with fill_volume(
            files.plan, lambda volume: unpack_entries(files.plan, files.entries(), volume, "", stored=files.stored, sink=self._events),
            options.kind or FOLDER_KINDS[0], options.size, stored=files.stored(), temp_folder=options.temp_folder, entropy=Entropy(options.seed), clock=self._clock,
        ) as device:
            yield device

    def _device(self) -> BlockDevice:
        assert self._image is not None
        return ArchiveDevice(self._image.chunks)

    def _has_table(self) -> bool:
        """Whether what nobody knows is the raw image of a disk."""
        assert self._image is not None
        if self._image.facts.filesystem != RAW:
            return False
        from ..partitions.table import read_table  # noqa: PLC0415 - only for what is no file system

        return read_table(self._device()).scheme is not None

    def _need_files(self) -> Files:
        if self._files is not None:
            return self._files
        if self._whole_disk:
            raise UsageError(f"{self._name} is the archive of a whole disk: files are on its partitions", hint=f"for example {self._name}:1")
        volume = open_volume(self._device(), clock=self._clock, writable=False)
        self._stack.callback(volume.close)
        return Files.of_volume(volume)

    @staticmethod
    def _told(what: str, size: int) -> Captured:
        return Captured(what, size, size, b"", verified=False)


class _Kept:
    """Bytes that somebody else closes, with their holes."""

    def __init__(self, lower: Positional) -> None:
        self._lower = lower

    @property
    def size(self) -> int:
        return self._lower.size

    def read(self, offset: int, length: int) -> bytes:
        return self._lower.read(offset, length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        self._lower.readinto(offset, buffer)

    def data_ranges(self, offset: int, length: int) -> Iterable[tuple[int, int]]:
        return ranges_with_data(self._lower, offset, length)
