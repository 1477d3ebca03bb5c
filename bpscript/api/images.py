"""Archives and images: captured, restored, squashed, converted, looked into."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError, UsageError
from ..base.events import Sink, ignore
from .disks import PathLike, open_disk

if TYPE_CHECKING:
    from ..archive.container import Summary
    from ..archive.destinations import Destination
    from ..archive.opened import OpenArchive
    from ..archive.report import Restored
    from ..base.sources import Reader
    from ..crypto.signatures import PrivateKey
    from ..machine.capturing import Captured, CaptureOptions
    from ..machine.restoring import RestoreOptions


def open_archive(path: PathLike) -> "OpenArchive":
    """An archive file, or an address of one (`http://server/linux.imz`): what it is and the files in it. Raises NotFoundError, FormatError, NetworkError."""
    from ..archive.opened import OpenArchive  # noqa: PLC0415 - not needed to run a script
    from ..machine.locations import is_address, open_location  # noqa: PLC0415 - as above

    return OpenArchive(open_location(str(path)) if is_address(path) else Path(path))


def capture(
    source: PathLike, archive: "PathLike | BinaryIO", options: "CaptureOptions | None" = None, *, events: Sink = ignore
) -> "Captured":
    """Make an archive of a partition (`disk.img:1`), a directory on it, or a folder, as `bpscript image capture` does.

    What is written is read back and compared with its source before it gets its name, and replaces an older archive only then; an
    open file or pipe is only written to. Raises UsageError for options that make no sense, StorageError for what cannot be
    captured, or changed meanwhile.
    """
    from ..archive.destinations import Destination, HostDestination, StreamDestination  # noqa: PLC0415
    from ..machine.capturing import CaptureOptions, check_target  # noqa: PLC0415

    chosen = options or CaptureOptions()
    chosen.check()
    sink: Destination
    if isinstance(archive, str | os.PathLike):
        check_target(Path(source), Path(archive))
        sink = HostDestination(Path(archive), chosen.fragment_size)
    else:
        sink = StreamDestination(archive)
    with sink:
        done = _capture(os.fspath(source), sink, chosen, events)
        sink.commit()
    return done


def _capture(source: str, sink: "Destination", options: "CaptureOptions", events: Sink) -> "Captured":
    from ..archive.destinations import HostDestination  # noqa: PLC0415
    from ..blocks.busy import refuse_users  # noqa: PLC0415
    from ..machine.capturing import Capturer, refuse_archive, refuse_inside  # noqa: PLC0415
    from ..machine.image_places import DiskImagePlace  # noqa: PLC0415

    capturer = Capturer(sink, os.path.abspath(source), options, Clock.from_environment(), events)
    if Path(source).is_dir():
        if isinstance(sink, HostDestination):
            refuse_inside(sink.path, Path(source), options.filters)
        return capturer.folder(Path(source))
    if options.kind is not None or options.size is not None or options.owner_map is not None:
        raise UsageError(f"{source} is no folder of this host: a type, a size and an owner map are for those")
    place = DiskImagePlace.parse(source)
    refuse_archive(place.image)
    refuse_users(place.image, place.partition, writing=False)
    with open_disk(place.image) as disk:
        return capturer.place(disk, place)


def restore(
    archive: "PathLike | Reader", place: PathLike, options: "RestoreOptions | None" = None, *, events: Sink = ignore
) -> "Restored":
    """Put an archive, or an image of another program, onto a partition, a disk or a directory, as `bpscript image restore` does.

    The archive may be an address (`http://server/linux.imz`). Files go into a directory (`disk.img:1/etc`, a folder of this host).
    Raises UsageError, FormatError, StorageError, NetworkError; a partition on which the work was cut off is not formatted.
    """
    from ..archive.clonezilla import on_host  # noqa: PLC0415
    from ..archive.positional import JoinedReader, close, open_from_host, positional  # noqa: PLC0415
    from ..blocks.busy import refuse_users  # noqa: PLC0415
    from ..machine.image_places import DiskImagePlace  # noqa: PLC0415
    from ..machine.locations import is_address, open_location  # noqa: PLC0415
    from ..machine.restoring import RestoreOptions, Restorer  # noqa: PLC0415

    chosen = options or RestoreOptions()
    chosen.check()
    target = os.fspath(place)
    with ExitStack() as stack:
        path: Path | None = None
        if is_address(archive):
            name = str(archive)
            data = open_location(name, events=events, folder=chosen.temp_folder)
        elif isinstance(archive, str | os.PathLike):
            path, name = on_host(Path(archive)), os.fspath(archive)
            data = open_from_host(path)
        else:
            name = "archive"
            data = positional(archive, name) or JoinedReader(archive)
        stack.callback(close, data)
        restorer = Restorer(data, name, chosen, Clock.from_environment(), events)
        if Path(target).is_dir():
            return restorer.to_folder(Path(target))
        parsed = DiskImagePlace.parse(target)
        if path is not None and parsed.image.exists() and parsed.image.samefile(path):
            raise UsageError(f"{target} is where the archive itself lies")
        refuse_users(parsed.image, parsed.partition, writing=True)
        with open_disk(parsed.image, writable=True, write_real_disks=chosen.write_real_disks) as disk:
            return restorer.to_place(disk, parsed, is_directory=target.endswith("/"))


def squash(
    base: PathLike,
    differences: Sequence[PathLike],
    out: PathLike,
    *,
    level: int = 3,
    threads: int | None = None,
    fragment_size: int | None = None,
    sign: "PrivateKey | None" = None,
    events: Sink = ignore,
) -> "Summary":
    """Make one archive of a full or incremental archive and differences made against it (IncrZip with `$Base-Archive`).

    It holds what applying them one after the other would leave; the same archives always give the same bytes. `fragment_size`
    is bytes. Raises StorageError for archives that do not belong together; an older archive at `out` is then as it was.
    """
    from ..archive.container import Archive  # noqa: PLC0415 - not needed to run a script
    from ..archive.destinations import HostDestination  # noqa: PLC0415
    from ..archive.positional import JoinedReader, close, open_from_host  # noqa: PLC0415
    from ..archive.signing import signer  # noqa: PLC0415
    from ..archive.squash import Named  # noqa: PLC0415
    from ..archive.squash import squash as squash_archives  # noqa: PLC0415

    with ExitStack() as stack:
        named = []
        for path in (base, *differences):
            data = open_from_host(Path(path))
            stack.callback(close, data)
            if isinstance(data, JoinedReader):
                raise StorageError(f"{path} can be read in order only; squashing needs archives that can be read from anywhere")
            try:
                named.append(Named(os.fspath(path), Archive.open(data)))
            except FormatError as error:
                raise FormatError(f"{path}: {error.message}", hint=error.hint) from error
        sink = stack.enter_context(HostDestination(Path(out), fragment_size))
        summary = squash_archives(
            named[0], named[1:], sink, level=level, threads=threads, events=events, sign=None if sign is None else signer(sign),
            temp_folder=Path(out).absolute().parent,
        )
        sink.commit()
    return summary


def convert(
    source: "PathLike | Reader", target: "PathLike | BinaryIO", options: "CaptureOptions | None" = None, *, to: str | None = None,
    partition: int | None = None, force: bool = False, events: Sink = ignore,
) -> "Captured":
    """One kind of image into another, as `bpscript image convert` does: `to` is raw, tar, full or incremental, by default what
    the name of the target says. `partition` takes one out of the archive of a disk.

    Raises UsageError when the target exists and `force` is not given, or the conversion makes no sense; FormatError, StorageError.
    """
    from ..archive.positional import JoinedReader, close, positional  # noqa: PLC0415
    from ..machine.capturing import CaptureOptions  # noqa: PLC0415
    from ..machine.converting import Converter, form_named, form_of, spooled  # noqa: PLC0415
    from ..machine.locations import is_address, open_location  # noqa: PLC0415

    chosen = options or CaptureOptions()
    chosen.check()
    path = Path(target) if isinstance(target, str | os.PathLike) else None
    form = form_named(to) if to is not None else form_of("standard output" if path is None else str(path))
    if path is not None and not force and path.exists():
        raise UsageError(f"{path} exists already", hint="--force replaces it")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such directory")
    with ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            if path is not None and not is_address(source) and path.exists() and path.samefile(source):
                raise UsageError(f"{path} cannot be made of itself")
            data, name = open_location(str(source)), os.fspath(source)
        else:
            data, name = positional(source, "the image") or JoinedReader(source), "the image"
        stack.callback(close, data)
        whole = stack.enter_context(spooled(data, chosen.temp_folder)) if isinstance(data, JoinedReader) else data
        converter = stack.enter_context(Converter(whole, name, chosen, Clock.from_environment(), events, partition))
        return converter.to_stream(form, target) if path is None else converter.to_file(form, path)  # type: ignore[arg-type]
