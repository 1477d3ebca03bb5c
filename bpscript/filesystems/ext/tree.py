"""Paths and directories of a volume: found, kept in memory while in use, and written when the volume is flushed."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...base.clock import Clock
from ...base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from ..filesystem import FileKind, split_path
from .blockmap import append_run, cut_holes, extent_tree_size
from .directory import MAX_NAME, Directory, Shape, appends, parse_block
from .inodes import CASEFOLD_FLAG, ENCRYPT_FLAG, INDEX_FLAG, INLINE_DATA_FLAG, Inode
from .store import Store
from .superblock import ROOT_INODE

_MAX_DIRECTORY = 128 << 20              # bytes; what is larger is damage rather than a directory
_NAMES_KEPT = 150_000                   # names of directories kept in memory; beyond that they are written and dropped


class Tree:
    """The directories of a volume. `loaded`: those in memory, by path; they may be newer than the disk."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.loaded: dict[str, Directory] = {}
        self._names = 0                     # of directories in memory; counted too high rather than too low
        self._names_limit = _NAMES_KEPT
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """While somebody holds on to a directory, none leaves memory."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    def number(self, path: str) -> int:
        """The inode of a path."""
        if not path:
            return ROOT_INODE
        parent, name = split_path(path)
        return self.entry(self.directory(parent), name_bytes(name), path)

    @staticmethod
    def entry(directory: Directory, name: bytes, path: str) -> int:
        """The inode of a name in a directory. Raises NotFoundError that names the path."""
        found = directory.names.get(name)
        if found is None:
            raise NotFoundError(f'"{path}" does not exist')
        return found[0]

    def parent(self, path: str) -> tuple[Directory, bytes]:
        """The directory that holds a path, and the name there; the name is checked."""
        parent, text = split_path(path)
        name = name_bytes(text)
        if not 0 < len(name) <= MAX_NAME or b"\0" in name or name in {b".", b".."}:
            raise StorageError(f'"{path}": a name on ext has 1 to {MAX_NAME} bytes without "/" and NUL, this one {len(name)}')
        return self.directory(parent), name

    def new_name(self, path: str) -> tuple[Directory, bytes]:
        """As `parent`, for a path that must not exist. Raises InTheWayError."""
        directory, name = self.parent(path)
        if name in directory.names:
            raise InTheWayError(f'"{path}" exists already')
        return directory, name

    def directory(self, path: str) -> Directory:
        """A directory by path, from memory or the disk."""
        found = self.loaded.get(path)
        if found is not None:
            return found
        number = self.number(path)
        inode = self._store.read_inode(number)
        if inode.kind is not FileKind.DIRECTORY:
            raise InTheWayError(f'"{path}" is a {inode.kind}, not a directory')
        loaded = self._load(number, inode, path)
        self._check_parent(loaded, path)
        return self.keep(path, loaded)

    def _check_parent(self, directory: Directory, path: str) -> None:
        """A directory has one name: with two, a tree could go on without end."""
        home = self.directory(split_path(path)[0]).number if path else ROOT_INODE
        if directory.parent != home:
            raise FormatError(
                f'directory "{path or "/"}" lies in the directory with inode {home}, but its ".." leads to inode {directory.parent}',
                hint="e2fsck mends that",
            )

    def keep(self, path: str, directory: Directory) -> Directory:
        """Have a directory in memory from now on."""
        self.loaded[path] = directory
        self._names += len(directory.names)
        # A single huge directory in use must not be read again for every operation.
        self._names_limit = max(self._names_limit, 2 * len(directory.names))
        return directory

    def trim(self) -> None:
        """Let go of directories when there are too many names in memory; only between operations, for none holds one then."""
        if self._names > self._names_limit and not self._holders:
            if self._store.changed:
                self._store.write_out()
            self.loaded.clear()
            self._names = 0

    def _load(self, number: int, inode: Inode, path: str) -> Directory:
        store = self._store
        where = f'directory "{path or "/"}"'
        if inode.flags & ENCRYPT_FLAG:
            raise StorageError(f"{where} is encrypted")
        directory = Directory(number, 0, inode, store.shape)
        if inode.flags & INLINE_DATA_FLAG:
            self._load_inline(directory, where)
            return directory
        if inode.size > _MAX_DIRECTORY:
            raise StorageError(f"{where} has {inode.size} bytes; at most {_MAX_DIRECTORY} are read")
        found = store.map_of(number, inode)
        directory.runs, directory.tree = found
        directory.on_disk = True
        blocks = [run.start + index for run in found.runs for index in range(run.blocks)]
        if len(blocks) * store.block_size > _MAX_DIRECTORY:
            raise FormatError(f"{where} has {len(blocks)} blocks, more than its size says")
        directory.read((store.read_directory_block(number, block) for block in blocks), where)
        return directory

    def _load_inline(self, directory: Directory, where: str) -> None:
        """A directory in its inode: the parent's number, then entries in i_block, then entries in an attribute."""
        data = self._store.inline_data(directory.number)
        directory.parent = int.from_bytes(data[:4], "little")
        shape: Shape = self._store.shape
        for part in (data[4:60], data[60:]):
            for number, kind, name in parse_block(part, shape, where):
                directory.add(name, number, kind)
        directory.changed = False

    def make_room(self, directory: Directory, *names: bytes) -> None:
        """Blocks for more names. Raises NoSpaceError."""
        store = self._store
        if directory.inode.flags & (CASEFOLD_FLAG | ENCRYPT_FLAG):
            raise StorageError("a directory that folds case or is encrypted can only be read")
        if directory.inode.flags & INLINE_DATA_FLAG:
            self._expand(directory)
        have = directory.block_count
        missing = directory.room_needed(names) - have
        if missing <= 0:
            return
        if missing + have > store.allocator.at_once < store.allocator.free:
            store.write_out()       # what a directory gets must be there when it is written
        # More than needed, so that the blocks of a large directory lie together; what is left over is given back.
        pieces = None
        for count in (max(missing, have // 2), missing):
            with suppress(NoSpaceError):
                pieces = store.allocator.take(count)
                break
        if pieces is None:
            raise NoSpaceError("the volume has no block left for a larger directory")
        before = list(directory.runs)
        for start, count in pieces:
            append_run(directory.runs, directory.block_count, start, count)
        directory.remap = directory.changed = True
        # Its map may need blocks too, when it is written.
        more = extent_tree_size(len(directory.runs), store.block_size) - len(directory.tree) - directory.reserved
        if not store.has_extents:
            more = 4 + directory.block_count // (store.block_size // 4) - len(directory.tree) - directory.reserved
        if more > store.allocator.at_once:
            directory.runs = before
            store.allocator.give_back(pieces)
            raise NoSpaceError("the volume has no block left for a larger directory")
        if more > 0:
            directory.reserved += more
            store.allocator.reserved += more

    def _expand(self, directory: Directory) -> None:
        """Give a directory in its inode a block."""
        store = self._store
        store.write_inode(directory.number, directory.inode)
        store.expand_inline_data(directory.number)
        directory.inode = store.read_inode(directory.number)
        directory.runs, directory.tree = store.map_of(directory.number, directory.inode)
        directory.changed = True

    def touch(self, directory: Directory, entries: int = 1) -> None:
        """Entries came or went: the times of the directory."""
        self._names += entries
        directory.inode.mtime_ns = directory.inode.ctime_ns = self._clock.now_ns()
        directory.inode_changed = True

    def write_back(self) -> None:
        """Write every directory that changed, and the inodes of those touched."""
        for directory in self.loaded.values():
            if directory.changed:
                self._store_directory(directory)
            elif directory.inode_changed:
                self._store.write_inode(directory.number, directory.inode)
            directory.changed = directory.inode_changed = False

    def _store_directory(self, directory: Directory) -> None:
        store = self._store
        if directory.inode.flags & INLINE_DATA_FLAG:
            self._expand(directory)
        store.allocator.reserved -= directory.reserved
        directory.reserved = 0
        blocks = self._indexed(directory) if store.shape.has_index and not directory.fits_one_block else None
        if blocks is None:
            directory.inode.flags &= ~INDEX_FLAG
            blocks = directory.linear()
            self._fit(directory, len(blocks))
        directory.inode.size = len(blocks) * store.block_size
        if directory.on_disk and not self._may_stay(directory, blocks):
            self._move(directory, len(blocks))
        directory.on_disk = True
        if directory.remap:
            store.allocator.retire([(block, 1) for block in directory.tree])
            store.store_map(directory.number, directory.inode, directory.runs)
            directory.tree = store.map_of(directory.number, directory.inode).tree
            directory.remap = False
        else:
            store.write_inode(directory.number, directory.inode)
        numbers = (run.start + index for run in directory.runs for index in range(run.blocks))
        for number, data in zip(numbers, blocks, strict=True):
            store.write_directory_block(directory.number, number, data)

    def _may_stay(self, directory: Directory, blocks: list[bytes]) -> bool:
        """Whether blocks may be written where they are: a power cut in the middle must lose no name.

        So it is when nothing changes, or names were only put behind the last one of a single block, which is not seen before its
        own sector and that of the name before have arrived.
        """
        if directory.remap:
            return False
        numbers = [run.start + index for run in directory.runs for index in range(run.blocks)]
        changed = [
            (number, old, new) for number, new in zip(numbers, blocks, strict=True)
            if (old := self._store.channel.read_block(number))[: self._store.shape.room] != new[: self._store.shape.room]
        ]
        if len(changed) > 1 or any(not appends(old, new, self._store.shape) for _, old, new in changed):
            return False
        self._store.in_place.update(number for number, _, _ in changed)
        return True

    def _move(self, directory: Directory, count: int) -> None:
        """New blocks for a directory; it leads to them as soon as its inode, one sector, is written. Without room they stay."""
        taken = None
        if count <= self._store.allocator.at_once:
            with suppress(NoSpaceError):
                taken = self._store.allocator.take(count)
        if taken is None:
            self._store.in_place.update(run.start + index for run in directory.runs for index in range(run.blocks))
            return
        self._store.allocator.retire([(run.start, run.blocks) for run in directory.runs])
        directory.runs = []
        for start, length in taken:
            append_run(directory.runs, directory.block_count, start, length)
        directory.remap = True

    def _indexed(self, directory: Directory) -> list[bytes] | None:
        """The blocks with an index, and room for them; None where there is none, or the index would be too large."""
        blocks = directory.indexed(self._store.hashes_of)
        with suppress(NoSpaceError):
            if blocks is not None:
                self._fit(directory, len(blocks))
                directory.inode.flags |= INDEX_FLAG
                return blocks
        return None

    def _fit(self, directory: Directory, count: int) -> None:
        """Give a directory exactly so many blocks."""
        have = directory.block_count
        if have == count:
            return
        if count > have:
            for start, length in self._store.allocator.take(count - have):
                append_run(directory.runs, directory.block_count, start, length)
        else:
            directory.runs, freed = cut_holes(directory.runs, [(count, have)])
            self._store.allocator.retire(freed)
        directory.remap = True

    def inode(self, path: str, number: int) -> Inode:
        """The inode of a path: that of a directory in use may be newer in memory."""
        directory = self.loaded.get(path)
        return self._store.read_inode(number) if directory is None else directory.inode


def name_bytes(name: str) -> bytes:
    """A name as it is stored; bytes that are no UTF-8 come and go as surrogates."""
    return name.encode("utf-8", "surrogateescape")


def name_text(name: bytes) -> str:
    """A stored name as text."""
    return name.decode("utf-8", "surrogateescape")
