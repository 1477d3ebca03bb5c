"""Files in memory: a source for tests."""

from collections.abc import Iterable, Mapping
from io import BytesIO

from ..base.errors import InTheWayError, NotFoundError, ReadOnlyError, StorageError
from ..base.sources import SourceFacts
from .foreign import parse_foreign


class MemorySource:
    """Files by name; directories are what stands before a `/`. `mtime_ns` is None where the source shall not tell times.

    A server part is looked up as in a folder: `SERVERPART/path` when something is there, else `path`.
    """

    def __init__(self, files: Mapping[str, bytes] | None = None, *, writable: bool = True, mtime_ns: int | None = None) -> None:
        self.files = dict(files or {})
        self.writable = writable
        self.mtime_ns = mtime_ns

    def stat(self, path: str) -> SourceFacts | None:
        """Size and time."""
        try:
            name = self._find(path)
        except StorageError:
            return None
        if name in self.files:
            return SourceFacts(len(self.files[name]), self.mtime_ns)
        return SourceFacts(0, self.mtime_ns, is_directory=True) if self._is_directory(name) else None

    def open(self, path: str) -> BytesIO:
        """The contents."""
        name = self._find(path)
        if name in self.files:
            return BytesIO(self.files[name])
        if self._is_directory(name):
            raise InTheWayError(f'"{path}" is a directory, not a file')
        raise NotFoundError(f'no file "{path}"')

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Keep the contents; directories need not be made."""
        if not self.writable:
            raise ReadOnlyError(f'"{path}" cannot be written: the source is read-only')
        name = self._find(path)
        if self._is_directory(name):
            raise InTheWayError(f'"{path}" is a directory, not a file')
        self.files[name] = b"".join(bytes(chunk) for chunk in chunks)

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """Names of a directory."""
        name = self._find(path)
        if not self._is_directory(name):
            raise NotFoundError(f'no directory "{path}"')
        start = f"{name}/" if name else ""
        found: dict[str, SourceFacts] = {}
        for each, data in self.files.items():
            if each.startswith(start):
                first, slash, _ = each[len(start) :].partition("/")
                found[first] = SourceFacts(0 if slash else len(data), self.mtime_ns, is_directory=bool(slash))
        return sorted(found.items())

    def _find(self, name: str) -> str:
        foreign = parse_foreign(name)
        if foreign.folder and self._is_directory(foreign.folder):
            return f"{foreign.folder}/{foreign.path}"
        return foreign.path

    def _is_directory(self, name: str) -> bool:
        return not name or any(each.startswith(f"{name}/") for each in self.files)
