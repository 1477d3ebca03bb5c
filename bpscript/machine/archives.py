"""Archives by the names a script gives them: opened for reading wherever they are, and written so that an older one of the same
name is replaced only when the new one is complete."""

from pathlib import Path

from ..archive.destinations import Destination, HostDestination, StagedDestination, to_source, to_volume
from ..archive.positional import JoinedReader, Positional, open_from_source, open_from_volume
from ..base.errors import InTheWayError, NotFoundError
from ..network.folder import FolderSource
from .files import Files, VolumeFile


def open_archive_bytes(files: Files, name: str) -> Positional | JoinedReader:
    """The bytes of an archive with all its fragments. Raises NotFoundError when there is none, or a fragment is missing."""
    file = files.at(name)
    facts = file.stat()
    if facts is None:
        raise NotFoundError(f'no archive "{name}"')
    if facts.is_directory:
        raise InTheWayError(f'"{name}" is a directory, not an archive')
    if isinstance(file, VolumeFile):
        return open_from_volume(file.volume, file.resolved())
    return open_from_source(file.source, file.path)


def archive_destination(files: Files, name: str, fragment_size: int | None, temp_folder: Path) -> Destination:
    """Where an archive is written: beside its place on the host, or in `temp_folder` on the way to a disk or server."""
    file = files.at(name)
    facts = file.stat()
    if facts is not None and facts.is_directory:
        raise InTheWayError(f'"{name}" is a directory, not an archive')
    if isinstance(file, VolumeFile):
        file.need_parent()
        return StagedDestination(to_volume(file.volume, file.resolved()), fragment_size, temp_folder)
    if isinstance(file.source, FolderSource):
        path = file.source.host_path(file.path)
        if not path.parent.is_dir():
            raise NotFoundError(f'no directory for "{name}"', hint="make it first; only the archive itself is created")
        return HostDestination(path, fragment_size)
    return StagedDestination(to_source(file.source, file.path), fragment_size, temp_folder)
