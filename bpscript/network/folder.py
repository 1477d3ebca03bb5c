"""A folder of this host that plays the server.

Where a name leads (language.md 4.2): `SERVERPART:path` is `ROOT/SERVERPART/path` when `ROOT/SERVERPART` is a directory (`/`
of a gateway written `_`), else `ROOT/path`. No name leaves the folder: `..` above it is an error, and so is a symbolic link
that points out of it (links inside it are followed). A script that was written elsewhere cannot read or overwrite the rest of
the host this way; what must be reached is mounted or copied into the folder.

Stored files appear whole or not at all: they are written under another name and renamed.
"""

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from ..base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from ..base.sources import SourceFacts
from .foreign import clean_path, parse_foreign

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class FolderSource:
    """The files below `root`.

    `confined=False` is for paths of the operating system (language.md 4.3): names then have no server part, and symbolic
    links lead where they lead. `server_parts=False` is for servers: what others ask for has no server part either, but stays below the root.
    """

    def __init__(self, root: Path, *, writable: bool = True, confined: bool = True, server_parts: bool = True) -> None:
        self.root = Path(root)
        self.writable = writable
        self.confined = confined
        self._server_parts = server_parts

    def stat(self, path: str) -> SourceFacts | None:
        """Size and time; None for what is neither a file nor a directory, or lies outside."""
        try:
            return _facts(self._find(path).stat())
        except (OSError, ValueError, StorageError):
            return None

    def open(self, path: str) -> "FolderReader":
        """The contents. Raises NotFoundError, InTheWayError for a directory, StorageError for a name that leaves the folder."""
        found = self._find(path)
        try:
            mode = found.stat().st_mode
            if stat.S_ISDIR(mode):
                raise InTheWayError(f'"{path}" is a directory, not a file')
            if not stat.S_ISREG(mode):      # opening a FIFO would wait for ever
                raise StorageError(f'"{path}" is neither a file nor a directory')
            return FolderReader(found.open("rb", buffering=0), path)
        except (OSError, ValueError) as error:
            raise self._error(error, path) from error

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Replace or create a file; its directory must exist, and a replaced file keeps its permissions."""
        if not self.writable:
            raise ReadOnlyError(f'"{path}" cannot be written: {self.root} is open for reading only')
        target = self._find(path)
        if target == self._root():
            raise InTheWayError(f'"{path}" is a directory, not a file')
        temporary = target.with_name(f".bpscript-{os.getpid()}-{os.urandom(6).hex()}")
        try:
            mode = self._mode_to_keep(target, path)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                with open(descriptor, "wb", buffering=0) as file:
                    for chunk in chunks:
                        _write_all(file, chunk)
                if mode is not None:
                    temporary.chmod(mode)
                temporary.replace(target)
            except BaseException:       # Ctrl-C too leaves nothing behind
                temporary.unlink(missing_ok=True)
                raise
        except (OSError, ValueError) as error:
            raise self._error(error, path, store=True) from error

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """Files and directories of a directory; what is neither, or is a link that leads nowhere or out, is left out."""
        folder = self._find(path)
        try:
            names = sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f'no directory "{path}" in {self.root}') from error
        except (OSError, ValueError) as error:
            raise self._error(error, path) from error
        found = []
        for name in names:
            try:
                facts = _facts(self._follow(folder / name, name).stat())
            except (OSError, StorageError):
                continue
            if facts is not None:
                found.append((name, facts))
        return found

    def host_path(self, path: str) -> Path:
        """Where a name leads on this host; there may be nothing yet. Raises ReadOnlyError, or StorageError when it leads out."""
        return self._for_change(path)

    def tree_path(self, path: str) -> Path:
        """The same for whoever writes a tree there."""
        return self.host_path(path)

    @property
    def in_place(self) -> bool:
        """Whether files may be written at their `host_path` by others."""
        return True

    def make_dir(self, path: str) -> None:
        """Make a directory and its parents."""
        target = self._for_change(path)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InTheWayError(f'a file is in the way of the directory "{path}"') from error
        except (OSError, ValueError) as error:
            raise self._error(error, path, store=True) from error

    def remove(self, path: str) -> None:
        """Remove a file; of a symbolic link, the file it leads to."""
        target = self._for_change(path)
        if target.is_dir():
            raise InTheWayError(f'"{path}" is a directory, not a file')
        try:
            target.unlink()
        except FileNotFoundError as error:
            raise NotFoundError(f'no file "{path}" in {self.root}') from error
        except (OSError, ValueError) as error:
            raise self._error(error, path, store=True) from error

    def remove_tree(self, path: str) -> None:
        """Remove a directory with all in it; links in it are removed, not followed."""
        import shutil  # noqa: PLC0415 - 10 ms that scripts without DelTree do not pay

        target = self._for_change(path)
        try:
            if not target.is_dir():
                target.unlink(missing_ok=True)
            elif target == self._root():
                for name in os.listdir(target):
                    inner = target / name
                    if inner.is_dir() and not inner.is_symlink():
                        shutil.rmtree(inner)
                    else:
                        inner.unlink()
            else:
                shutil.rmtree(target)
        except (OSError, ValueError) as error:
            raise self._error(error, path, store=True) from error

    def _for_change(self, path: str) -> Path:
        if not self.writable:
            raise ReadOnlyError(f'"{path}" cannot be changed: {self.root} is open for reading only')
        return self._find(path)

    def _root(self) -> Path:
        return self.root.resolve() if self.confined else self.root

    def _find(self, name: str) -> Path:
        """Where a name leads, links followed; there may be nothing. Raises StorageError when it leads out."""
        if not self.confined:
            return self.root / name
        if not self._server_parts:
            if "\0" in name:
                raise StorageError("a file name cannot hold the character code 0")
            return self._follow(self.root / clean_path(name.replace("\\", "/"), name), name)
        foreign = parse_foreign(name)
        base = self.root
        if foreign.folder and (base / foreign.folder).is_dir():
            base /= foreign.folder
        return self._follow(base / foreign.path, name)

    def _follow(self, path: Path, name: str) -> Path:
        if not self.confined:
            return path
        try:
            real = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:    # a loop of links is a RuntimeError up to Python 3.12
            raise NotFoundError(f'"{name}" cannot be found in {self.root}: {error}') from error
        if not real.is_relative_to(self._root()):
            raise StorageError(
                f'"{name}" leads out of {self.root} through a symbolic link', hint="mount or copy what it points to into the folder"
            )
        return real

    @staticmethod
    def _mode_to_keep(target: Path, name: str) -> int | None:
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(mode):
            raise InTheWayError(f'"{name}" is a directory, not a file')
        if not stat.S_ISREG(mode):
            raise InTheWayError(f'"{name}" is neither a file nor a directory')
        return stat.S_IMODE(mode)

    def _error(self, error: OSError | ValueError, name: str, *, store: bool = False) -> StorageError:
        number = error.errno if isinstance(error, OSError) else None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if number in _FULL:
            return NoSpaceError(f'"{name}" does not fit: {reason}')
        if number == errno.ENOENT and store:
            return NotFoundError(f'no directory for "{name}" in {self.root}', hint="make it first; only the file itself is created")
        if number in _MISSING:
            return NotFoundError(f'no file "{name}" in {self.root}')
        if number in _FORBIDDEN and store:
            return ReadOnlyError(f'"{name}" cannot be written: {reason}')
        return StorageError(f'"{name}": {reason}')


class FolderReader:
    """An open file; what the host cannot read is a StorageError."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        try:
            return self._file.read(length)
        except OSError as error:
            raise StorageError(f'"{self._name}" cannot be read: {error.strerror}') from error

    def readinto(self, buffer: bytearray | memoryview, /) -> int:
        """As many bytes as fit, straight into the buffer; 0 at the end."""
        try:
            return self._file.readinto(buffer)  # type: ignore[attr-defined, no-any-return]
        except OSError as error:
            raise StorageError(f'"{self._name}" cannot be read: {error.strerror}') from error

    def fileno(self) -> int:
        """The descriptor, for those who read from anywhere and from several threads."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _facts(found: os.stat_result) -> SourceFacts | None:
    if stat.S_ISDIR(found.st_mode):
        return SourceFacts(0, found.st_mtime_ns, is_directory=True)
    return SourceFacts(found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _write_all(file: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk).cast("B")
    while view:
        view = view[file.write(view) :]
