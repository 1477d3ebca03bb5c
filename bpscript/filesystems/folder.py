"""A folder of the host as a volume: the source of `FullZip "/"`, `IncrZip "C:/dir"` and `XCopy`, and their target.

Every name is looked up below an open directory (openat, O_NOFOLLOW), so no path ever leaves the folder, whatever symbolic
links or races there are: a link is an entry like any other and is never followed.

As a source: owners, modes, times to the nanosecond, links, devices and extended attributes as found; sockets are left out;
with `one_filesystem` directories on which another file system is mounted are there and empty.
As a target: a file is written under a temporary name, with its holes, and renamed when it is complete. What the host does not let this user
set (owners, devices, some attributes) is skipped and counted in `skipped`.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Lock

from ..base.errors import InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from ..base.sources import Reader
from ..blocks.device import Buffer
from ..blocks.holes import data_ranges_in
from .filesystem import Facts, Family, FileKind, Problem, UnixFacts, Usage, split_path
from .sparse import needed, pieces

_KINDS = {
    stat.S_IFREG: FileKind.FILE,
    stat.S_IFDIR: FileKind.DIRECTORY,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFCHR: FileKind.CHARACTER_DEVICE,
    stat.S_IFBLK: FileKind.BLOCK_DEVICE,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}
_NODE_TYPES = {
    FileKind.CHARACTER_DEVICE: stat.S_IFCHR,
    FileKind.BLOCK_DEVICE: stat.S_IFBLK,
    FileKind.FIFO: stat.S_IFIFO,
    FileKind.SOCKET: stat.S_IFSOCK,
}
_OPEN_DIRECTORIES = 64          # kept open at most; a walk needs one for each level
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_serial = count()

OwnerMap = Callable[[int, int], tuple[int, int]]


class FolderVolume:
    """A host folder as a Filesystem with Unix objects.

    `owner_map` changes user and group ids on the way in and out of the folder (for example to root when an ordinary user
    builds an image); `recorded` overrides facts of single paths, for what the host could not store.
    """

    kind = "FOLDER"
    family = Family.OTHER
    label = ""
    ident = ""
    ignores_case = False

    def __init__(
        self, path: Path | str, *, owner_map: OwnerMap | None = None, one_filesystem: bool = True,
        recorded: Mapping[str, Facts] | None = None,
    ) -> None:
        """Raises NotFoundError or InTheWayError."""
        self.path = Path(path)
        self.skipped: dict[str, int] = {}
        self._owner_map = owner_map
        self._one_filesystem = one_filesystem
        self._recorded = recorded or {}
        self._open_directories: OrderedDict[str, int] = OrderedDict()
        with _translated(str(path)):
            self._root = _open_quietly(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, None)
        self._device = os.fstat(self._root).st_dev
        self._lock = Lock()
        self._is_root = os.geteuid() == 0

    # --- reading -----------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        """Room on the file system of the host."""
        found = os.fstatvfs(self._root)
        return Usage(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    @property
    def allocation_unit(self) -> int:
        """Bytes in which the host allocates room."""
        return os.fstatvfs(self._root).f_frsize

    def stat(self, path: str) -> Facts:
        """Facts of a path, links not followed. Raises NotFoundError."""
        parent, name = self._place(path)
        with _translated(path):
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        return self._facts(path, parent, name, found)

    def exists(self, path: str) -> bool:
        """True when `stat` would answer."""
        try:
            parent, name = self._place(path)
            os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (StorageError, OSError):
            return False
        return True

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts; sockets and, with `one_filesystem`, what is below other mount points left out."""
        directory = self._directory(path)
        if self._one_filesystem and path and os.fstat(directory).st_dev != self._device:
            return []
        start = f"{path}/" if path else ""
        found = []
        with _translated(path), os.scandir(directory) as listing:
            for entry in listing:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue        # gone since the directory was read
                if stat.S_IFMT(status.st_mode) in _KINDS and not stat.S_ISSOCK(status.st_mode):
                    found.append((entry.name, self._facts(start + entry.name, directory, entry.name, status)))
        return found

    def open(self, path: str) -> Reader:
        """The contents of a file. Raises InTheWayError for anything else."""
        parent, name = self._place(path)
        with _translated(path):
            # O_NONBLOCK: opening a fifo must not wait for its other end. Regular files do not care.
            descriptor = _open_quietly(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, parent)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise InTheWayError(f'"{path}" is not a file')
        return open(descriptor, "rb", buffering=0)

    def read_at(self, path: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from an offset of a file on, from any thread; how many bytes that was."""
        with self._opened(path) as descriptor:
            done = 0
            while done < len(buffer) and (count := os.preadv(descriptor, [buffer[done:]], offset + done)):
                done += count
            return done

    def data_ranges(self, path: str, size: int) -> list[tuple[int, int]]:
        """Half-open ranges of the first `size` bytes of a file that are no holes on the host, in order."""
        with self._opened(path) as descriptor:
            if os.fstat(descriptor).st_size < size:
                return [(0, size)]      # it was cut off meanwhile: reading will tell
            return list(data_ranges_in(descriptor, 0, size))

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        """The descriptor of a file, for any thread."""
        with _translated(path):
            with self._lock:        # the directories that are open belong to all threads
                parent, name = self._place(path)
                descriptor = _open_quietly(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, parent)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    # --- writing -----------------------------------------------------------------------------------------------------

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Create or replace a file; complete under its name, or as before."""
        parent, name = self._place(path)
        if size is not None and size > 1 << 20:
            self._check_room(path, needed(chunks, size))
        temporary = f".{os.getpid()}-{next(_serial)}.bpscript"
        with _translated(path):
            old = self._status(parent, name)
            if old is not None and stat.S_ISDIR(old.st_mode):
                raise InTheWayError(f'"{path}" is a directory')
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent)
            try:
                try:
                    written = _write_all(descriptor, chunks)
                    if size is not None and written != size:
                        raise StorageError(f'"{path}": {written} bytes came, {size} were announced')
                finally:
                    os.close(descriptor)
                if facts is not None:
                    self._apply(parent, temporary, facts)
                elif old is not None and stat.S_ISREG(old.st_mode):
                    kept = self._facts(path, parent, name, old)
                    self._apply(parent, temporary, kept, times=False)
                else:
                    _change_mode(parent, temporary, 0o644)
                os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Make one directory, or apply facts to it."""
        if path:
            parent, name = self._place(path)
            with _translated(path):
                try:
                    os.mkdir(name, 0o755, dir_fd=parent)
                except FileExistsError:
                    found = self._status(parent, name)
                    if found is not None and not stat.S_ISDIR(found.st_mode):
                        raise InTheWayError(f'"{path}" is not a directory') from None
        if facts is not None:
            self.set_facts(path, facts)

    def set_facts(self, path: str, facts: Facts) -> None:
        """Times, and owner, mode and attributes as far as the host lets us."""
        parent, name = self._place(path)
        with _translated(path):
            self._apply(parent, name, facts)

    def remove(self, path: str) -> None:
        """Remove a file, link, device or empty directory."""
        parent, name = self._place(path)
        with _translated(path):
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self._forget(path)
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)

    def rename(self, old: str, new: str) -> None:
        """Move an entry."""
        with self._two_places(old, new) as (old_parent, old_name, new_parent, new_name):
            with _translated(old):
                os.stat(old_name, dir_fd=old_parent, follow_symlinks=False)
            with _translated(new):
                if self._status(new_parent, new_name) is not None:
                    raise InTheWayError(f'"{new}" exists')
                os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
        self._forget(old)

    def make_symlink(self, path: str, target: str, facts: Facts | None = None) -> None:
        """Make a symbolic link."""
        parent, name = self._place(path)
        with _translated(path):
            os.symlink(target, name, dir_fd=parent)
            if facts is not None:
                self._apply(parent, name, facts)

    def make_hard_link(self, path: str, existing: str) -> None:
        """Give a file a second name."""
        with self._two_places(existing, path) as (existing_parent, existing_name, parent, name), _translated(path):
            os.link(existing_name, name, src_dir_fd=existing_parent, dst_dir_fd=parent, follow_symlinks=False)

    def make_node(self, path: str, facts: Facts) -> None:
        """Make a device, fifo or socket; a device that the host refuses to make is skipped and counted."""
        parent, name = self._place(path)
        major, minor = facts.unix.device if facts.unix is not None else (0, 0)
        with _translated(path):
            try:
                os.mknod(name, 0o600 | _NODE_TYPES[facts.kind], os.makedev(major, minor), dir_fd=parent)
            except PermissionError:
                if self._is_root and self._status(parent, name) is not None:
                    raise
                self._skip("device")
                return
            self._apply(parent, name, facts)

    # --- the rest of the protocol ------------------------------------------------------------------------------------

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """None: a folder lies on no device of ours."""
        return iter(())

    def check(self) -> list[Problem]:
        """Nothing: the host looks after its own file systems."""
        return []

    def flush(self) -> None:
        """The host writes when it likes; what was renamed is complete."""

    def close(self) -> None:
        """Close the directories."""
        self._forget("")
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    # --- inside ------------------------------------------------------------------------------------------------------

    def _directory(self, path: str) -> int:
        """An open directory; the same one is likely to be asked for again."""
        if not path:
            return self._root
        known = self._open_directories.get(path)
        if known is not None:
            self._open_directories.move_to_end(path)
            return known
        # The nearest directory that is open, then one step after the other: no part of the path is ever followed as a link.
        parts = path.split("/")
        depth = next((n for n in range(len(parts) - 1, 0, -1) if "/".join(parts[:n]) in self._open_directories), 0)
        parent = self._open_directories["/".join(parts[:depth])] if depth else self._root
        for number in range(depth, len(parts)):
            here = "/".join(parts[: number + 1])
            if parts[number] in {"", ".", ".."}:
                raise StorageError(f'"{path}" is not a path inside the folder')
            with _translated(here):
                parent = _open_quietly(parts[number], _DIRECTORY, parent)
            self._open_directories[here] = parent
            if len(self._open_directories) > _OPEN_DIRECTORIES:
                os.close(self._open_directories.popitem(last=False)[1])     # never `parent`, which came last
        return parent

    @contextmanager
    def _two_places(self, first: str, second: str) -> Iterator[tuple[int, str, int, str]]:
        """Parents and names of two paths; looking up the second may close what the first one found."""
        parent, name = self._place(first)
        kept = os.dup(parent)
        try:
            yield (kept, name, *self._place(second))
        finally:
            os.close(kept)

    def _place(self, path: str) -> tuple[int, str]:
        """The open parent directory and the name in it; the root is "." in itself."""
        if not path:
            return self._root, "."
        parent, name = split_path(path)
        if name in {".", ".."} or "\0" in name:
            raise StorageError(f'"{path}" is not a path inside the folder')
        return self._directory(parent), name

    def _forget(self, path: str) -> None:
        """Close a directory and those below it."""
        for known in [known for known in self._open_directories if not path or known == path or known.startswith(f"{path}/")]:
            os.close(self._open_directories.pop(known))

    def _status(self, parent: int, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _check_room(self, path: str, size: int) -> None:
        free = self.usage().free
        if size > free:
            raise NoSpaceError(f'"{path}" needs {size} bytes, {self.path} has {free}')

    def _facts(self, path: str, parent: int, name: str, found: os.stat_result) -> Facts:
        recorded = self._recorded.get(path)
        if recorded is not None:
            return recorded
        kind = _KINDS[stat.S_IFMT(found.st_mode)]
        uid, gid = (found.st_uid, found.st_gid) if self._owner_map is None else self._owner_map(found.st_uid, found.st_gid)
        target = os.readlink(name, dir_fd=parent) if kind is FileKind.SYMLINK else ""
        # Looking at a link changes when it was last looked at, and nothing prevents that: two runs would differ.
        accessed = found.st_mtime_ns if target else found.st_atime_ns
        unix = UnixFacts(
            mode=stat.S_IMODE(found.st_mode), uid=uid, gid=gid, atime_ns=accessed, ctime_ns=found.st_ctime_ns,
            device=(os.major(found.st_rdev), os.minor(found.st_rdev)) if kind in _NODE_TYPES else (0, 0),
            inode=found.st_ino, links=found.st_nlink, xattrs=_attributes(parent, name),
        )
        return Facts(kind, found.st_size if kind is FileKind.FILE else 0, found.st_mtime_ns, target, unix)

    def _apply(self, parent: int, name: str, facts: Facts, *, times: bool = True) -> None:
        unix = facts.unix
        if unix is not None:
            owner = (unix.uid, unix.gid) if self._owner_map is None else self._owner_map(unix.uid, unix.gid)
            self._give_to(parent, name, owner)
            if facts.kind is not FileKind.SYMLINK:
                _change_mode(parent, name, unix.mode)       # after the owner: changing that drops the set-user-id bit
            for key, value in unix.xattrs.items():
                self._set_attribute(parent, name, key, value)
        elif facts.kind is not FileKind.SYMLINK and name != ".":
            directory = facts.kind is FileKind.DIRECTORY
            read_only = facts.dos is not None and facts.dos.attributes & 1 and not directory
            _change_mode(parent, name, 0o755 if directory else 0o444 if read_only else 0o644)
        if times:
            accessed = unix.atime_ns if unix is not None and unix.atime_ns else facts.mtime_ns
            os.utime(name, ns=(accessed, facts.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _give_to(self, parent: int, name: str, owner: tuple[int, int]) -> None:
        if not self._is_root and owner == (os.geteuid(), os.getegid()):
            return
        try:
            os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
        except PermissionError:
            self._skip("owner")

    def _set_attribute(self, parent: int, name: str, key: str, value: bytes) -> None:
        try:
            os.setxattr(f"/proc/self/fd/{parent}/{name}", key, value, follow_symlinks=False)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL}:
                raise
            self._skip("extended attribute")

    def _skip(self, what: str) -> None:
        self.skipped[what] = self.skipped.get(what, 0) + 1


def _open_quietly(name: str | Path, flags: int, parent: int | None) -> int:
    """Open without changing the time of the last access, where the host lets us (owner and root)."""
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=parent)
    except PermissionError:
        return os.open(name, flags, dir_fd=parent)


def _attributes(parent: int, name: str) -> Mapping[str, bytes]:
    place = f"/proc/self/fd/{parent}/{name}"
    try:
        names = os.listxattr(place, follow_symlinks=False)
        return {key: os.getxattr(place, key, follow_symlinks=False) for key in names} if names else {}
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.ENODATA, errno.ENOENT, errno.EPERM, errno.EACCES}:
            return {}       # no such thing there, or nothing that we may see
        raise


def _change_mode(parent: int, name: str, mode: int) -> None:
    """chmod that does not follow a link (Linux has no such call: a descriptor that only names the file does it)."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            os.chmod(f"/proc/self/fd/{descriptor}", mode)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, chunks: Iterable[Buffer]) -> int:
    """Write the contents, with holes where they have only zeros; how many bytes they are."""
    total = 0
    ends_in_hole = False
    for piece in pieces(chunks):
        ends_in_hole = isinstance(piece, int)
        if isinstance(piece, int):
            total += piece
            continue
        view = memoryview(piece).cast("B")
        while len(view):
            count = os.pwrite(descriptor, view, total)
            view, total = view[count:], total + count
    if ends_in_hole:
        os.ftruncate(descriptor, total)
    return total


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Errors of the host in our words, with the path as seen inside the folder."""
    try:
        yield
    except OSError as error:
        where = f'"{path}"'
        match error.errno:
            case errno.ENOENT:
                raise NotFoundError(f"{where}: no such file or directory") from error
            case errno.ENOTDIR | errno.ELOOP:
                raise InTheWayError(f"{where} is not a directory") from error
            case errno.EEXIST | errno.EISDIR | errno.ENOTEMPTY:
                raise InTheWayError(f"{where}: {error.strerror}") from error
            case errno.ENOSPC | errno.EDQUOT:
                raise NoSpaceError(f"{where}: no room left") from error
            case errno.EROFS:
                raise ReadOnlyError(f"{where}: the file system of the host is read-only") from error
            case _:
                raise StorageError(f"{where}: {error.strerror}") from error
