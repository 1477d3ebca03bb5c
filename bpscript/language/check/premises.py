"""What the checker is told of the world the script will run in: the server's folder, the disks, variables that will be set."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ...base.errors import StorageError
from ...base.sources import SourceFacts
from ...network.folder import FolderSource

if TYPE_CHECKING:
    from ...archive.glance import Glance

_MOST_NEIGHBOURS = 2000      # names looked at for a hint


class Premises:
    """The world. `root` is None when files come from a real server, which is not asked; `disks` are bytes.

    `variables` will be set from outside; a value is None when it is not known. `texts` are files as an editor has them, before they are
    saved. `encrypted`: files come over https. `looks_at_host`: files of the operating system (MrZip) are looked for below root too.
    """

    def __init__(
        self, root: Path | None, disks: tuple[int, ...] = (), variables: Mapping[str, str | None] = MappingProxyType({}),
        texts: Mapping[Path, bytes] = MappingProxyType({}), *, encrypted: bool = False, looks_at_host: bool = False,
    ) -> None:
        self.root = root
        self.disks = disks
        self.variables = variables
        self.texts = texts
        self.encrypted = encrypted
        self.looks_at_host = looks_at_host
        self._source: FolderSource | None = None
        self._archives: dict[str, Glance | None] = {}
        self._folders: dict[str, list[str]] = {}
        self._stats: dict[str, SourceFacts | None] = {}
        self._real: dict[str, Path | None] = {}     # of folders

    @property
    def source(self) -> FolderSource | None:
        """The folder that plays the server."""
        if self._source is None and self.root is not None:
            self._source = FolderSource(self.root, writable=False)
        return self._source

    def stat(self, name: str) -> SourceFacts | None:
        """A file of the server; None when it is not there."""
        if name not in self._stats:
            assert self.source is not None
            self._stats[name] = None if self._is_missing(name) else self.source.stat(name)
        return self._stats[name]

    def _is_missing(self, name: str) -> bool:
        """Whether a plain name is surely not there. Its folder's links are followed once, which takes a hundred times as long as to look into it."""
        folder, _, last = name.replace("\\", "/").rpartition("/")
        if ":" in name or "\0" in name or ".." in name or last in {"", "."}:
            return False
        if folder not in self._real:
            try:
                self._real[folder] = self.path_of(folder or ".")
            except StorageError:
                self._real[folder] = None
        found = self._real[folder]
        return found is not None and not os.path.lexists(f"{found}/{last}")

    def path_of(self, name: str) -> Path | None:
        """Where a name of the server leads on this host. Raises StorageError for a name that leaves the root."""
        return None if self.root is None else FolderSource(self.root).host_path(name)

    def check_name(self, name: str) -> None:
        """Raises StorageError for a name that leaves the root."""
        if self.root is not None and not self._is_missing(name):
            self.path_of(name)

    def read(self, path: Path) -> bytes | None:
        """A file's bytes, as the editor has it or as it is on the disk; None when it cannot be read."""
        if path in self.texts:
            return self.texts[path]
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError:
            return None

    def neighbours(self, name: str) -> list[str]:
        """Names of what is in the folder where a file is missing, for a hint."""
        folder = name.replace("\\", "/").rpartition("/")[0]
        if folder not in self._folders:
            try:
                path = self.path_of(folder or ".")
                found = [] if path is None else os.listdir(path)
            except (StorageError, OSError):
                found = []
            self._folders[folder] = [f"{folder}/{each}" if folder else each for each in found[:_MOST_NEIGHBOURS]]
        return self._folders[folder]

    def archive(self, name: str) -> "Glance | None":
        """What an archive of the server says of itself; None when it is not there, or says nothing."""
        if name not in self._archives:
            from ...archive.glance import glance  # noqa: PLC0415 - few scripts are checked beside their archives

            try:
                path = None if self._is_missing(name) else self.path_of(name)
            except StorageError:
                path = None
            self._archives[name] = glance(path) if path is not None and path.is_file() else None
        return self._archives[name]
