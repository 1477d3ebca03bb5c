"""Folders and servers as a trial sees them: what is read is noted, and what is written goes to a shadow folder.

    root    a/  b.txt  c.txt             never changed
    shadow  b.txt (new)                  what was stored; `c.txt` is known as removed

Trees that are written as a whole (`Dest path`, `IncrUnzip` to a folder) go to an empty folder of their own in the shadow.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from ..base.errors import InTheWayError, NotFoundError, StorageError
from ..base.sources import FileSource, Reader, SourceFacts
from .folder import FolderReader, FolderSource
from .roots import NetworkRoot


class Watcher(Protocol):
    """Who wants to know which files are used."""

    def opened(self, path: str, source: FileSource) -> None:
        """A file was opened."""
        ...

    def asked_for(self, path: str, source: FileSource, *, there: bool) -> None:
        """Somebody asked whether there is such a file."""
        ...


class HostChange(NamedTuple):
    """A file of the host that would change: "written" with its new size in bytes, "removed", or "directory" that is made."""

    path: str
    what: str
    size: int = 0


class WatchedFolder(FolderSource):
    """A folder of which everything that is used is told to `watcher`."""

    def __init__(self, folder: FolderSource, watcher: Watcher) -> None:
        super().__init__(folder.root, writable=folder.writable, confined=folder.confined)
        self._watcher = watcher

    def stat(self, path: str) -> SourceFacts | None:
        """Size and time."""
        facts = super().stat(path)
        self._watcher.asked_for(path, self, there=facts is not None)
        return facts

    def open(self, path: str) -> FolderReader:
        """The contents."""
        reader = super().open(path)
        self._watcher.opened(path, self)
        return reader


class WatchedRoot(NetworkRoot):
    """A server of which everything that is used is told to `watcher`."""

    def __init__(self, root: NetworkRoot, watcher: Watcher) -> None:
        super().__init__(root.base, root.host)
        self._watcher = watcher

    def stat(self, path: str) -> SourceFacts | None:
        """What the server says."""
        facts = super().stat(path)
        self._watcher.asked_for(path, self, there=facts is not None)
        return facts

    def open(self, path: str) -> Reader:
        """The contents."""
        reader = super().open(path)
        self._watcher.opened(path, self)
        return reader


class TrialFolder(WatchedFolder):
    """A folder that stays as it is: changes are kept in `shadow`, and seen by whoever reads."""

    def __init__(self, folder: FolderSource, shadow: Path, watcher: Watcher) -> None:
        super().__init__(folder, watcher)
        self._shadow = shadow
        self._count = 0
        self._stored: dict[Path, Path] = {}
        self._made: set[Path] = set()
        self._gone: set[Path] = set()
        self._trees: dict[Path, Path] = {}

    @property
    def in_place(self) -> bool:
        """Archives are staged and stored here, never written beside their place."""
        return False

    def stat(self, path: str) -> SourceFacts | None:
        """What is in the shadow goes before what is in the folder."""
        try:
            target = self._find(path)
        except (StorageError, ValueError):
            return None
        if target in self._stored:
            found = self._stored[target].stat()
            return SourceFacts(found.st_size, found.st_mtime_ns)
        if target in self._made:
            return SourceFacts(0, 0, is_directory=True)
        return None if self._is_gone(target) else super().stat(path)

    def open(self, path: str) -> FolderReader:
        """The contents."""
        target = self._find(path)
        if target in self._stored:
            return FolderReader(self._stored[target].open("rb", buffering=0), path)
        if self._is_gone(target):
            raise NotFoundError(f'no file "{path}" in {self.root}')
        return super().open(path)

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Keep a file in the shadow; its directory must exist."""
        target = self._for_change(path)
        facts = self.stat(path)
        if facts is not None and facts.is_directory:
            raise InTheWayError(f'"{path}" is a directory, not a file')
        if not (target.parent in self._made or (target.parent.is_dir() and not self._is_gone(target.parent))):
            raise NotFoundError(f'no directory for "{path}" in {self.root}', hint="make it first; only the file itself is created")
        with self._kept(target) as file:
            file.writelines(chunks)

    def stand_in(self, path: str, size: int, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Have a file of which only pieces are known (offsets, bytes); the rest is a hole. Its directory must exist. Raises OSError."""
        with self._kept(self._for_change(path)) as file:
            file.truncate(size)
            for offset, data in pieces:
                file.seek(offset)
                file.write(data)

    @contextmanager
    def _kept(self, target: Path) -> Iterator[BinaryIO]:
        """A new file of the shadow, which is the target once it is written."""
        self._count += 1
        kept = self._shadow / f"file{self._count}"
        with kept.open("wb") as file:
            yield file
        self._stored[target] = kept
        self._gone.discard(target)

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """What the directory holds, the shadow included."""
        folder = self._find(path)
        found: dict[str, SourceFacts] = {}
        if folder.is_dir() and not self._is_gone(folder):
            found = {name: facts for name, facts in super().entries(path) if not self._is_gone(folder / name)}
        elif folder not in self._made:
            raise NotFoundError(f'no directory "{path}" in {self.root}')
        for target in (*self._stored, *self._made):
            if target.parent == folder:
                facts = self.stat(f"{path}/{target.name}" if path else target.name)
                if facts is not None:
                    found[target.name] = facts
        return sorted(found.items())

    def host_path(self, path: str) -> Path:
        """Where a name leads, for reading. Raises StorageError for a folder in which something was changed: it cannot be shown as a whole."""
        target = super().host_path(path)
        if any(each == target or target in each.parents for each in (*self._stored, *self._made, *self._gone)):
            raise StorageError(f'"{path}" was changed before: a plan cannot follow what is then made of the folder as a whole')
        return self._trees.get(target, target)

    def tree_path(self, path: str) -> Path:
        """A folder of the shadow, for whoever writes a tree."""
        target = self._for_change(path)
        if target not in self._trees:
            self._trees[target] = self._shadow / f"tree{len(self._trees)}"
            if target.is_dir():
                self._trees[target].mkdir()
        return self._trees[target]

    def make_dir(self, path: str) -> None:
        """Know a directory and its parents."""
        target = self._for_change(path)
        for each in (target, *target.parents):
            if each in self._stored or (each.is_file() and not self._is_gone(each)):
                raise InTheWayError(f'a file is in the way of the directory "{path}"')
            if each.is_dir() and not self._is_gone(each):
                break
            self._made.add(each)
            self._gone.discard(each)

    def remove(self, path: str) -> None:
        """Know a file as removed."""
        facts = self.stat(path)
        if facts is None:
            raise NotFoundError(f'no file "{path}" in {self.root}')
        if facts.is_directory:
            raise InTheWayError(f'"{path}" is a directory, not a file')
        target = self._for_change(path)
        self._stored.pop(target, None)
        if target.exists():
            self._gone.add(target)

    def remove_tree(self, path: str) -> None:
        """Know a directory with all in it as removed; of the root, what is in it."""
        target = self._for_change(path)
        for kept in [each for each in self._stored if each == target or target in each.parents]:
            del self._stored[kept]
        self._made -= {each for each in self._made if each == target or target in each.parents}
        if target == self._root():
            self._gone.update(target.iterdir())
        elif target.exists():
            self._gone.add(target)

    def changes(self) -> list[HostChange]:
        """What would change on the host, by path."""
        found = [HostChange(str(path), "written", kept.stat().st_size) for path, kept in self._stored.items()]
        found += [HostChange(str(path), "directory") for path in self._made]
        found += [HostChange(str(path), "removed") for path in self._gone if path not in self._stored and path not in self._made]
        for place, tree in self._trees.items():
            written = [tree, *tree.rglob("*")] if tree.is_dir() else [tree]
            found += [HostChange(str(place / each.relative_to(tree)), "written", each.lstat().st_size) for each in written if each.is_file() or each.is_symlink()]
        return sorted(found)

    def _is_gone(self, target: Path) -> bool:
        return target not in self._stored and target not in self._made and not self._gone.isdisjoint((target, *target.parents))
