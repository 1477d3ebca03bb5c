"""Image folders of Clonezilla by the names a script gives them: the folder, or `folder/sda2`."""

from ..archive.clonezilla import choose, partitions
from ..base.errors import StorageError
from .files import Files


def in_image_folder(files: Files, name: str) -> str | None:
    """The name of the file that holds the image; None when there is no such folder. Raises FormatError when it does not tell which."""
    names = _names(files, name)
    if names is not None:
        return f"{name.rstrip('/')}/{choose(name, names)}" if partitions(names) else None
    folder, _, partition = name.rstrip("/").rpartition("/")
    names = _names(files, folder) if folder else None
    return f"{folder}/{choose(folder, names, partition)}" if names and partitions(names) else None


def _names(files: Files, folder: str) -> list[str] | None:
    """What a directory holds; None where there is none, or its server cannot list it."""
    try:
        file = files.at(folder)
        facts = file.stat()
        return [name for name, _ in file.entries()] if facts is not None and facts.is_directory else None
    except StorageError:
        return None
