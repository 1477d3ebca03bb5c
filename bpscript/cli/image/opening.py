"""How the command line names an archive, and a path in it: `linux.imz`, `linux.imz:etc/fstab`, `-` for standard input.

An existing file of the whole name wins; else the first `:` with an existing file before it separates. In an address
(`http://server:8080/linux.imz:etc/fstab`) it is the first `:` behind the host.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...archive.clonezilla import on_host
from ...base.errors import FormatError, StorageError, UsageError
from ...filesystems.filesystem import clean_path
from ...machine.locations import is_address, open_location, split_address

if TYPE_CHECKING:
    from ...archive.opened import OpenArchive


def split_archive(text: str) -> tuple[str, str]:
    """The archive and the clean path in it ("" is the root)."""
    if is_address(text):
        name, path = split_address(text)
        return name, clean_path(path or "")
    at = len(text) if text == "-" or _exists(text) else text.find(":")
    while 0 < at < len(text):
        if text[:at] == "-" or _exists(text[:at]):
            return text[:at], clean_path(text[at + 1 :])
        at = text.find(":", at + 1)
    return text, ""


def split_partition(text: str) -> tuple[str, int | None]:
    """`disk.imz:2`: the archive, and a partition of the disk in it. An existing file of the whole name wins."""
    if is_address(text):
        address, path = split_address(text)
        return (address, int(path)) if path is not None and path.isdecimal() else (text, None)
    name, colon, number = text.rpartition(":")
    if not colon or not number.isdecimal() or Path(text).exists() or not Path(name).exists():
        return text, None
    return name, int(number)


def _exists(text: str) -> bool:
    """A file, or a partition in an image folder of Clonezilla."""
    try:
        return on_host(text).exists()
    except (FormatError, StorageError):
        return Path(text).exists()


@contextmanager
def open_named(name: str) -> Iterator["OpenArchive"]:
    """The archive of a name. Raises UsageError when there is no such file; errors of format are told with the name."""
    with about(name), _open(name) as archive:
        yield archive


class _NamedError(FormatError):
    """Damage with the name of its archive."""


@contextmanager
def about(name: str) -> Iterator[None]:
    """Damage that is found in the block is reported with the archive's name, unless a block inside has named another."""
    try:
        yield
    except _NamedError:
        raise
    except FormatError as error:
        shown = "standard input" if name == "-" else name
        if error.message.startswith(shown):
            raise
        raise _NamedError(f"{shown}: {error.message}", hint=error.hint) from error


def _open(name: str) -> "OpenArchive":
    from ...archive.opened import OpenArchive  # noqa: PLC0415 - who only needs the name does not load it
    from ...archive.positional import JoinedReader, positional  # noqa: PLC0415

    if name == "-":
        found = positional(sys.stdin.buffer, "standard input")
        return OpenArchive(JoinedReader(sys.stdin.buffer) if found is None else found)
    need_file(name)
    if not is_address(name):
        return OpenArchive(Path(name))
    from .common import events  # noqa: PLC0415 - a carousel has something to tell

    return OpenArchive(open_location(name, events=events()))


def need_file(name: str) -> None:
    """Raise UsageError unless this names a file that may be read, a partition in an image folder of Clonezilla, or a server."""
    if is_address(name):
        return          # the server is asked when it is opened
    try:
        path = on_host(name)
    except (FormatError, StorageError) as error:
        raise UsageError(error.message, hint=error.hint) from error
    if not path.exists():
        raise UsageError(f"{name}: no such file")
    if not os.access(path, os.R_OK):
        raise UsageError(f"{name}: it may not be read")
