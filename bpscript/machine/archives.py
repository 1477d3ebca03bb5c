"""Archives and trees by the names a script gives them.

An archive is opened for reading wherever it is, and written so that an older one of the same name is replaced only when the
new one is complete.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..archive.container import Archive
from ..archive.destinations import Destination, HostDestination, StagedDestination, to_source, to_volume
from ..archive.positional import JoinedReader, Positional, open_from_source, open_from_volume
from ..base.errors import FormatError, InTheWayError, NotFoundError, StorageError
from ..filesystems.filesystem import Filesystem
from ..filesystems.links import follow_links
from ..filesystems.places import DiskPlace, HostPlace, parse_tree_place
from ..network.folder import FolderSource
from .files import Files, VolumeFile
from .machine import Machine


@contextmanager
def about_archive(name: str) -> Iterator[None]:
    """Damage that is found in the block is reported with the archive's name."""
    try:
        yield
    except FormatError as error:
        if f'"{name}"' in error.message or error.message.startswith('archive "'):
            raise
        raise FormatError(f'archive "{name}": {error.message}', hint=error.hint) from error


def open_archive_bytes(files: Files, name: str) -> Positional | JoinedReader:
    """The bytes of an archive with all its fragments, or of a partition in an image folder of Clonezilla.

    Raises NotFoundError when there is none, or a fragment is missing.
    """
    file = files.at(name)
    facts = file.stat()
    if facts is None or facts.is_directory:
        from .image_folders import in_image_folder  # noqa: PLC0415 - archives are files, nearly always

        found = in_image_folder(files, name)
        if found is not None:
            return open_archive_bytes(files, found)
        if facts is None:
            file.open().close()             # whose error says where it was looked for
            raise NotFoundError(f'no archive "{name}"')
        raise InTheWayError(f'"{name}" is a directory, not an archive')
    if isinstance(file, VolumeFile):
        return open_from_volume(file.volume, file.resolved())
    return open_from_source(file.source, file.path)


def require_signature(files: Files, data: Positional | JoinedReader, key_name: str) -> None:
    """Refuse an archive that is not signed by the key in a file (`$Image-Key`); no effect when `key_name` is empty.

    Raises FormatError for a missing or wrong signature, for images of other programs, and for what can be read only once.
    """
    if not key_name:
        return
    from ..archive.signing import need_signature  # noqa: PLC0415 - only with $Image-Key
    from ..crypto.signatures import parse_public_key  # noqa: PLC0415

    key = parse_public_key(files.read(key_name))
    if isinstance(data, JoinedReader):
        raise FormatError("it can be read only once, so its signature cannot be checked before it is used")
    need_signature(Archive.open(data), key, f'$Image-Key asks for a signature by the key in "{key_name}"')


def archive_destination(files: Files, name: str, fragment_size: int | None, temp_folder: Path) -> Destination:
    """Where an archive is written: beside its place on the host, or in `temp_folder` on the way to a disk or server."""
    file = files.at(name)
    facts = file.stat()
    if facts is not None and facts.is_directory:
        raise InTheWayError(f'"{name}" is a directory, not an archive')
    if isinstance(file, VolumeFile):
        file.need_parent()
        return StagedDestination(to_volume(file.volume, file.resolved()), fragment_size, temp_folder)
    if isinstance(file.source, FolderSource) and file.source.in_place:
        path = file.source.host_path(file.path)
        if not path.parent.is_dir():
            raise NotFoundError(f'no directory for "{name}"', hint="make it first; only the archive itself is created")
        return HostDestination(path, fragment_size)
    return StagedDestination(to_source(file.source, file.path), fragment_size, temp_folder)


def open_tree(machine: Machine, name: str, stack: ExitStack, *, writes: bool) -> tuple[Filesystem, str]:
    """The volume and the path of a directory (or file) that an archive operation reads or writes.

    What was opened for this alone is closed by `stack`. Besides file names, a partition alone is understood: `1`, `0:1`. Raises StorageError for a file of a server.
    """
    place = parse_tree_place(name, machine.program)
    if isinstance(place, DiskPlace):
        volume = machine.files.volume(place)
        return volume, follow_links(volume, place.path)
    source = machine.files.host if isinstance(place, HostPlace) else machine.files.source
    path = place.path if isinstance(place, HostPlace) else place.name
    if machine.files.network_gone and not isinstance(place, HostPlace):
        raise NotFoundError(f'"{name}" cannot be reached: the network is gone after HideBootProm')
    if not isinstance(source, FolderSource):
        raise StorageError(f'"{name}" is on the server: only single files can be read there')
    from ..filesystems.folder import FolderVolume  # noqa: PLC0415 - disks are what trees are mostly on

    host = source.tree_path(path) if writes else source.host_path(path)
    if host.is_dir():
        folder = FolderVolume(host)
        stack.callback(folder.close)
        return folder, ""
    # A single file, or a directory that is still to be made.
    parent = host.parent
    if not parent.is_dir():
        raise NotFoundError(f'no directory "{name}"')
    folder = FolderVolume(parent)
    stack.callback(folder.close)
    return folder, host.name


def temp_folder(machine: Machine) -> Path:
    """Where temporary images go: `$TempPath`, else the current directory (language.md 6). Raises NotFoundError."""
    text = machine.settings.get("TempPath")
    folder = Path(text) if text else machine.temp_folder
    if not folder.is_dir():
        raise NotFoundError(f'$TempPath is "{text}", which is no directory')
    return folder
