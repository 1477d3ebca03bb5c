"""ext2/3/4 as a Filesystem: paths, files, directories, links, devices.

Directories in use are kept in memory (directory.py) and written when the volume is flushed; inodes and data are written at
once, the former into the cache of the store. An entry is made last and removed first, so a refused write leaves no trace.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from ...base.clock import Clock
from ...base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from ...base.sources import Reader
from ...blocks.device import BlockDevice, Buffer
from ...blocks.overlay import OverlayDevice
from ..filesystem import Facts, Family, FileKind, Problem, UnixFacts, Usage, split_path
from .blockmap import Run, append_run, cut_holes, extent_tree_size
from .contents import FileReader, FileWriter
from .directory import MAX_NAME, Directory, Shape, parse_block
from .inodes import (
    CASEFOLD_FLAG,
    ENCRYPT_FLAG,
    ENTRY_TYPES,
    EXTENTS_FLAG,
    FAST_SYMLINK_SIZE,
    INDEX_FLAG,
    INLINE_DATA_FLAG,
    TYPE_BITS,
    Inode,
    device_block,
    new_extra_size,
)
from .programs import check_ext, repair_ext
from .store import Store
from .superblock import ROOT_INODE, Superblock
from .usage import used_ranges

_DEFAULT_MODES = {FileKind.DIRECTORY: 0o755, FileKind.SYMLINK: 0o777}
_MAX_LINKS = 65_000                     # EXT2_LINK_MAX of ext4; feature dir_nlink lets directories go on with a count of 1
_MAX_DIRECTORY = 128 << 20              # bytes; what is larger is damage rather than a directory
_NAMES_KEPT = 150_000                   # names of directories kept in memory; beyond that they are written and dropped
_MAX_SYMLINK = 4096                     # bytes; a target may be followed from a system with any block size
_LOGICAL_BLOCKS = 1 << 32               # blocks of the largest file
_KEPT_FLAGS = 0xFF & ~0x04              # flags a replaced file keeps: what chattr(1) sets, not how its blocks lie
_DEVICES = {FileKind.CHARACTER_DEVICE, FileKind.BLOCK_DEVICE}
_NODES = _DEVICES | {FileKind.FIFO, FileKind.SOCKET}


class ExtVolume:
    """A volume that is open; use `ExtVolume.on(device)`. `backup_superblocks`: let `flush` also update the copies of superblock and group descriptors."""

    def __init__(self, device: BlockDevice, superblock: Superblock, *, writable: bool, clock: Clock) -> None:
        self._store = Store(device, superblock, writable=writable, clock=clock)
        self._superblock = superblock
        self._clock = clock
        self._directories: dict[str, Directory] = {}
        self._names = 0                     # of directories in memory; counted too high rather than too low
        self._names_limit = _NAMES_KEPT
        self._storing = 0                   # calls of write_file that wait for their data
        self._closed = False

    @classmethod
    def on(cls, device: BlockDevice, *, writable: bool = True, clock: Clock | None = None) -> "ExtVolume":
        """The volume on a device.

        One that was not unmounted cleanly is mended first: its journal is replayed, on the device itself, or in memory
        when `writable` is False. Raises FormatError when it is damaged.
        """
        time = Clock() if clock is None else clock
        superblock = Superblock.read(device)
        if superblock.needs_recovery:
            if not writable:
                device = OverlayDevice(device)
            repair_ext(device, time)
            superblock = Superblock.read(device)
            if superblock.needs_recovery:
                raise FormatError("ext volume still needs recovery after e2fsck", hint="run e2fsck on it")
        return cls(device, superblock, writable=writable, clock=time)

    # What it is

    @property
    def kind(self) -> str:
        """EXT2, EXT3 or EXT4."""
        return self._superblock.kind

    @property
    def family(self) -> Family:
        """Linux."""
        return Family.LINUX

    @property
    def label(self) -> str:
        """The volume label, "" without one."""
        return self._superblock.label

    @property
    def ident(self) -> str:
        """The UUID, "" without one."""
        return str(self._superblock.uuid or "")

    @property
    def ignores_case(self) -> bool:
        """Never."""
        return False

    @property
    def allocation_unit(self) -> int:
        """Bytes of a block."""
        return self._store.block_size

    @property
    def superblock(self) -> Superblock:
        """The superblock as it was when the volume was opened."""
        return self._superblock

    @property
    def backup_superblocks(self) -> bool:
        """Whether `flush` also updates the copies of superblock and group descriptors."""
        return self._store.backup_superblocks

    @backup_superblocks.setter
    def backup_superblocks(self, wanted: bool) -> None:
        self._store.backup_superblocks = wanted

    def usage(self) -> Usage:
        """Room for data, the blocks reserved for root included."""
        return Usage(self._superblock.size, self._store.free_bytes())

    # Reading

    def stat(self, path: str) -> Facts:
        """Facts of a path; a symlink is not followed."""
        self._trim()
        number = self._number(path)
        return self._facts(number, self._inode(path, number))

    def exists(self, path: str) -> bool:
        """True when there is such a path."""
        self._trim()
        try:
            self._number(path)
        except (NotFoundError, InTheWayError):
            return False
        return True

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of a directory's entries."""
        self._trim()
        directory = self._directory(path)
        prefix = f"{path}/" if path else ""
        result = []
        for name, (number, _) in list(directory.names.items()):
            text = _text(name)
            result.append((text, self._facts(number, self._inode(prefix + text, number))))
        return result

    def open(self, path: str) -> Reader:
        """The contents of a file."""
        self._trim()
        number = self._number(path)
        inode = self._store.read_inode(number)
        if inode.kind is not FileKind.FILE:
            raise InTheWayError(f'"{path}" is a {inode.kind}, not a file')
        if inode.flags & ENCRYPT_FLAG:
            raise StorageError(f'"{path}" is encrypted')
        if inode.flags & INLINE_DATA_FLAG:
            return _Bytes(self._store.inline_data(number)[: inode.size])
        runs = self._store.map_of(number, inode).runs
        self._store.data.write_back()
        return FileReader(self._store.device, runs, self._store.block_size, inode.size)

    def data_ranges(self, path: str) -> list[tuple[int, int]]:
        """Half-open byte ranges of the file that hold data; the rest are holes that read as zeros."""
        number = self._number(path)
        inode = self._store.read_inode(number)
        size = self._store.block_size
        if not self._store.has_blocks(inode):
            return [(0, inode.size)] if inode.size else []
        result: list[tuple[int, int]] = []
        for run in self._store.map_of(number, inode).runs:
            start, end = run.logical * size, min((run.logical + run.blocks) * size, inode.size)
            if not run.unwritten and start < end:
                if result and result[-1][1] == start:
                    start = result.pop()[0]
                result.append((start, end))
        return result

    # Writing

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Create or replace a file from its contents in order; see the protocol.

        With `facts` a replaced file becomes a new one, and other names of the old one keep the old contents. Without them
        its contents change under all its names.
        """
        self._trim()
        store = self._store
        store.begin()
        directory, name = self._parent(path)
        old = directory.names.get(name)
        old_inode = None
        if old is not None:
            old_inode = store.read_inode(old[0])
            if old_inode.kind is FileKind.DIRECTORY:
                raise InTheWayError(f'"{path}" is a directory')
            if old_inode.kind is not FileKind.FILE and facts is None:
                facts = Facts(FileKind.FILE, mtime_ns=self._clock.now_ns())
            elif old_inode.flags & INLINE_DATA_FLAG and facts is None:
                store.expand_inline_data(old[0])
                old_inode = store.read_inode(old[0])
        else:
            self._make_room(directory, name)
        if size is not None and old_inode is not None and old is not None:
            self._free_old_if_short(old[0], old_inode, size)
        writer = FileWriter(store.data, store.allocator, store.block_size)
        self._storing += 1
        try:
            if size is not None:
                writer.expect(size)
            for chunk in chunks:
                writer.put(chunk)
            writer.finish()
            if old is not None and old_inode is not None and facts is None:
                self._exchange_contents(old[0], old_inode, writer)
            else:
                number = self._new_file(directory, writer, facts)
                directory.add(name, number, ENTRY_TYPES[FileKind.FILE])
                if old is not None and old_inode is not None:
                    self._drop_link(old[0], old_inode)
        except NoSpaceError as error:
            writer.abort()
            raise NoSpaceError(f'"{path}" does not fit: {error}') from error
        except BaseException:
            writer.abort()
            raise
        finally:
            self._storing -= 1
        self._touch(directory)

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Make one directory; if it exists, only the facts are applied."""
        self._trim()
        if not path:
            if facts is not None:
                self.set_facts(path, facts)
            return
        store = self._store
        parent, name = self._parent(path)
        old = parent.names.get(name)
        if old is not None:
            if store.read_inode(old[0]).kind is not FileKind.DIRECTORY:
                raise InTheWayError(f'"{path}" is in the way; it is no directory')
            if facts is not None:
                self.set_facts(path, facts)
            return
        store.begin()
        links = parent.inode.links + 1
        if links > _MAX_LINKS and not store.has_dir_nlink:
            raise StorageError(f'"{path}": its parent has {_MAX_LINKS} directories already, the most ext holds')
        self._make_room(parent, name)
        store.require_blocks(1)
        inode = self._fresh_inode(FileKind.DIRECTORY, facts)
        inode.links = 2
        number = store.new_inode(parent.number, inode.mode)
        start = store.allocator.take_one()
        inode.size = store.block_size
        runs = [Run(0, start, 1)]
        store.mark_inode(number, True, True)
        store.store_map(number, inode, runs)
        made = Directory(number, parent.number, inode, store.shape)
        made.runs = runs
        made.changed = True
        self._keep(path, made)
        if facts is not None and facts.unix is not None and facts.unix.xattrs:
            self._replace_xattrs(number, made, facts.unix)
        parent.add(name, number, ENTRY_TYPES[FileKind.DIRECTORY])
        # Feature dir_nlink: a count of 1 says "too many to count".
        parent.inode.links = links if 2 < links <= _MAX_LINKS else 1
        self._touch(parent)

    def set_facts(self, path: str, facts: Facts) -> None:
        """Apply times, and modes, owners and extended attributes where `facts.unix` has them."""
        self._trim()
        store = self._store
        number = self._number(path)
        store.begin()
        directory = self._directories.get(path)
        inode = store.read_inode(number) if directory is None else directory.inode
        self._apply(inode, facts)
        inode.ctime_ns = (facts.unix.ctime_ns if facts.unix is not None else 0) or self._clock.now_ns()
        store.write_inode(number, inode)
        if facts.unix is not None and (facts.unix.xattrs or inode.has_xattrs):
            self._replace_xattrs(number, directory, facts.unix)

    def remove(self, path: str) -> None:
        """Remove a file, link, device or empty directory."""
        self._trim()
        directory, name = self._parent(path)
        number = self._entry(directory, name, path)
        inode = self._inode(path, number)
        self._store.begin()
        if inode.kind is not FileKind.DIRECTORY:
            self._drop_link(number, inode)
            directory.take(name)
        else:
            if self._directory(path).names:
                raise InTheWayError(f'directory "{path}" is not empty')
            gone = self._directories[path]
            self._store.release_inode(number, gone.inode, None if gone.inode.flags & INLINE_DATA_FLAG else gone.whole_map())
            self._store.allocator.reserved -= gone.reserved
            del self._directories[path]
            directory.take(name)
            if directory.inode.links > 1:
                directory.inode.links -= 1
        self._touch(directory)

    def rename(self, old: str, new: str) -> None:
        """Move an entry; `new` must not exist and its parent must."""
        self._trim()
        source, name = self._parent(old)
        number = self._entry(source, name, old)
        if new == old:
            return
        if new.startswith(f"{old}/"):
            raise StorageError(f'"{old}" cannot be moved into itself')
        target, new_name = self._parent(new)
        if new_name in target.names:
            raise InTheWayError(f'"{new}" exists already')
        self._store.begin()
        self._make_room(target, new_name)
        kind = source.names[name][1]
        if source is not target and self._store.read_inode(number).kind is FileKind.DIRECTORY:
            moved = self._directory(old)
            moved.parent = target.number
            moved.changed = True
            source.inode.links -= source.inode.links > 1
            links = target.inode.links + 1
            target.inode.links = links if 2 < links <= _MAX_LINKS else 1
        target.add(new_name, number, kind)
        source.take(name)
        for path in [path for path in self._directories if f"{path}/".startswith(f"{old}/")]:
            self._directories[new + path[len(old) :]] = self._directories.pop(path)
        self._touch(source)
        self._touch(target)

    def make_symlink(self, path: str, target: str, facts: Facts | None = None) -> None:
        """Make a symbolic link; the path must not exist."""
        text = target.encode("utf-8", "surrogateescape")
        if not 0 < len(text) < min(_MAX_SYMLINK, self._store.block_size) or b"\0" in text:
            raise StorageError(f'"{path}": a link target has 1 to {min(_MAX_SYMLINK, self._store.block_size) - 1} bytes, this one {len(text)}')
        inode = self._fresh_inode(FileKind.SYMLINK, facts)
        inode.size = len(text)
        if len(text) < FAST_SYMLINK_SIZE:
            inode.block = text.ljust(60, b"\0")
            self._make_object(path, FileKind.SYMLINK, inode, facts, None)
        else:
            self._make_object(path, FileKind.SYMLINK, inode, facts, text)

    def make_hard_link(self, path: str, existing: str) -> None:
        """Give an existing file a second name."""
        self._trim()
        store = self._store
        number = self._number(existing)
        inode = store.read_inode(number)
        if inode.kind is FileKind.DIRECTORY:
            raise InTheWayError(f'"{existing}" is a directory, which has only one name')
        if inode.links >= _MAX_LINKS:
            raise StorageError(f'"{existing}" has {inode.links} names already, the most ext holds')
        directory, name = self._new_name(path)
        store.begin()
        self._make_room(directory, name)
        inode.links += 1
        inode.ctime_ns = self._clock.now_ns()
        store.write_inode(number, inode)
        directory.add(name, number, ENTRY_TYPES[inode.kind])
        self._touch(directory)

    def make_node(self, path: str, facts: Facts) -> None:
        """Make a device, fifo or socket."""
        if facts.kind not in _NODES:
            raise StorageError(f'"{path}": a {facts.kind} is no device, fifo or socket')
        inode = self._fresh_inode(facts.kind, facts)
        if facts.kind in _DEVICES:
            inode.block = device_block(facts.unix.device if facts.unix is not None else (0, 0))
        self._make_object(path, facts.kind, inode, facts, None)

    # The volume as a whole

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open byte ranges that hold metadata or data, in order and merged."""
        self.flush()
        return used_ranges(self._store.device)

    def check(self) -> list[Problem]:
        """What `e2fsck -fn` finds."""
        self.flush()
        return check_ext(self._store.device)

    def flush(self) -> None:
        """Write directories, inodes, bitmaps, and the superblock last."""
        if self._store.changed:
            self._store_directories()
            self._store.flush()

    def close(self) -> None:
        """Flush and let go. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            self._directories.clear()
            self._store.close()

    # Paths

    def _number(self, path: str) -> int:
        """The inode of a path."""
        if not path:
            return ROOT_INODE
        parent, name = split_path(path)
        return self._entry(self._directory(parent), _bytes(name), path)

    @staticmethod
    def _entry(directory: Directory, name: bytes, path: str) -> int:
        found = directory.names.get(name)
        if found is None:
            raise NotFoundError(f'"{path}" does not exist')
        return found[0]

    def _parent(self, path: str) -> tuple[Directory, bytes]:
        """The directory that holds a path, and the name there; the name is checked."""
        parent, text = split_path(path)
        name = _bytes(text)
        if not 0 < len(name) <= MAX_NAME or b"\0" in name or name in {b".", b".."}:
            raise StorageError(f'"{path}": a name on ext has 1 to {MAX_NAME} bytes without "/" and NUL, this one {len(name)}')
        return self._directory(parent), name

    def _new_name(self, path: str) -> tuple[Directory, bytes]:
        directory, name = self._parent(path)
        if name in directory.names:
            raise InTheWayError(f'"{path}" exists already')
        return directory, name

    def _directory(self, path: str) -> Directory:
        """A directory by path, from memory or the disk."""
        found = self._directories.get(path)
        if found is not None:
            return found
        number = self._number(path)
        inode = self._store.read_inode(number)
        if inode.kind is not FileKind.DIRECTORY:
            raise InTheWayError(f'"{path}" is a {inode.kind}, not a directory')
        return self._keep(path, self._load(number, inode, path))

    def _keep(self, path: str, directory: Directory) -> Directory:
        self._directories[path] = directory
        self._names += len(directory.names)
        # A single huge directory in use must not be read again for every operation.
        self._names_limit = max(self._names_limit, 2 * len(directory.names))
        return directory

    def _trim(self) -> None:
        """Let go of directories when there are too many names in memory; only between operations, for none holds one then."""
        if self._names > self._names_limit and not self._storing:
            if self._store.changed:
                self._store_directories()
            self._directories.clear()
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

    def _make_room(self, directory: Directory, name: bytes) -> None:
        """Blocks for one more name. Raises NoSpaceError."""
        store = self._store
        if directory.inode.flags & (CASEFOLD_FLAG | ENCRYPT_FLAG):
            raise StorageError("a directory that folds case or is encrypted can only be read")
        if directory.inode.flags & INLINE_DATA_FLAG:
            self._expand(directory)
        have = directory.block_count
        if directory.room_needed(name) <= have:
            return
        # More than needed, so that the blocks of a large directory lie together; what is left over is given back.
        pieces = None
        for count in (max(1, have // 2), 1):
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
        if more > store.allocator.free:
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

    def _touch(self, directory: Directory) -> None:
        """An entry came or went: the times of the directory."""
        self._names += 1
        directory.inode.mtime_ns = directory.inode.ctime_ns = self._clock.now_ns()
        directory.inode_changed = True

    # Directories on disk

    def _store_directories(self) -> None:
        for directory in self._directories.values():
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
        blocks = directory.linear()
        directory.inode.flags &= ~INDEX_FLAG
        if store.shape.has_index and len(blocks) > 1:
            indexed = directory.indexed(store.hash_of)
            with suppress(NoSpaceError):
                if indexed is not None:
                    self._fit(directory, len(indexed))
                    blocks = indexed
                    directory.inode.flags |= INDEX_FLAG
        self._fit(directory, len(blocks))
        directory.inode.size = len(blocks) * store.block_size
        if directory.remap:
            store.allocator.give_back([(block, 1) for block in directory.tree])
            store.store_map(directory.number, directory.inode, directory.runs)
            directory.tree = store.map_of(directory.number, directory.inode).tree
            directory.remap = False
        else:
            store.write_inode(directory.number, directory.inode)
        numbers = (run.start + index for run in directory.runs for index in range(run.blocks))
        for number, data in zip(numbers, blocks, strict=True):
            store.write_directory_block(directory.number, number, data)

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
            self._store.allocator.give_back(freed)
        directory.remap = True

    # Inodes and facts

    def _inode(self, path: str, number: int) -> Inode:
        """The inode of a path: that of a directory in use may be newer in memory."""
        directory = self._directories.get(path)
        return self._store.read_inode(number) if directory is None else directory.inode

    def _facts(self, number: int, inode: Inode) -> Facts:
        kind = inode.kind
        xattrs = {}
        if inode.has_xattrs:
            with self._store.xattrs(number) as attributes:
                xattrs = attributes.read()
        unix = UnixFacts(
            mode=inode.mode & 0o7777,
            uid=inode.uid,
            gid=inode.gid,
            atime_ns=inode.atime_ns,
            ctime_ns=inode.ctime_ns,
            device=inode.device if kind in _DEVICES else (0, 0),
            inode=number,
            links=inode.links,
            xattrs=xattrs,
        )
        target = self._target(number, inode) if kind is FileKind.SYMLINK else ""
        if kind is FileKind.FILE and inode.size > _LOGICAL_BLOCKS * self._store.block_size:
            raise FormatError(f"inode {number}: a size of {inode.size} bytes is beyond what ext can hold")
        return Facts(kind, inode.size if kind is FileKind.FILE else 0, inode.mtime_ns, target, unix)

    def _target(self, number: int, inode: Inode) -> str:
        if inode.size > self._store.block_size:
            raise FormatError(f"inode {number}: a link target of {inode.size} bytes")
        if inode.flags & INLINE_DATA_FLAG:
            return _text(self._store.inline_data(number)[: inode.size])
        if not self._store.has_blocks(inode):
            return _text(inode.block[: inode.size])
        runs = self._store.map_of(number, inode).runs
        self._store.data.write_back()
        return _text(FileReader(self._store.device, runs, self._store.block_size, inode.size).read())

    def _fresh_inode(self, kind: FileKind, facts: Facts | None) -> Inode:
        now = self._clock.now_ns()
        size = self._superblock.inode_size
        inode = Inode(
            mode=TYPE_BITS[kind] | _DEFAULT_MODES.get(kind, 0o644),
            links=1,
            atime_ns=now,
            ctime_ns=now,
            mtime_ns=now,
            crtime_ns=now,
            extra_size=new_extra_size(size, self._superblock.want_extra_isize),
        )
        if facts is not None:
            self._apply(inode, facts)
            if facts.unix is not None and facts.unix.ctime_ns:
                inode.ctime_ns = facts.unix.ctime_ns
        return inode

    @staticmethod
    def _apply(inode: Inode, facts: Facts) -> None:
        inode.mtime_ns = facts.mtime_ns
        unix = facts.unix
        if unix is None:
            return
        inode.atime_ns = unix.atime_ns or facts.mtime_ns
        inode.mode = inode.mode & 0o170000 | unix.mode & 0o7777
        if not (0 <= unix.uid < 1 << 32 and 0 <= unix.gid < 1 << 32):
            raise StorageError(f"owner {unix.uid}:{unix.gid} cannot be stored; ids have 32 bits")
        inode.uid, inode.gid = unix.uid, unix.gid

    def _replace_xattrs(self, number: int, directory: Directory | None, unix: UnixFacts) -> None:
        with self._store.xattrs(number) as attributes:
            attributes.replace(unix.xattrs)
        if directory is not None:
            directory.inode = self._store.read_inode(number)

    def _new_file(self, directory: Directory, writer: FileWriter, facts: Facts | None) -> int:
        """An inode for contents already written."""
        store = self._store
        inode = self._fresh_inode(FileKind.FILE, facts)
        inode.size = writer.size
        number = store.new_inode(directory.number, inode.mode)
        store.store_map(number, inode, writer.runs)
        store.mark_inode(number, True, False)
        writer.runs = []        # they are the inode's now
        if facts is not None and facts.unix is not None and facts.unix.xattrs:
            self._set_new_xattrs(number, inode, facts.unix)
        return number

    def _set_new_xattrs(self, number: int, inode: Inode, unix: UnixFacts) -> None:
        """Attributes of a new inode, which goes away again when they do not fit."""
        try:
            self._replace_xattrs(number, None, unix)
        except BaseException:
            now = self._store.read_inode(number)
            inode.file_acl, inode.blocks, inode.tail = now.file_acl, now.blocks, now.tail
            self._store.release_inode(number, inode)
            raise

    def _make_object(self, path: str, kind: FileKind, inode: Inode, facts: Facts | None, contents: bytes | None) -> None:
        """A symlink or node: inode, contents where i_block is too short for them, entry."""
        self._trim()
        store = self._store
        directory, name = self._new_name(path)
        store.begin()
        self._make_room(directory, name)
        number = store.new_inode(directory.number, inode.mode)
        if contents is None:
            store.write_inode(number, inode)
        else:
            writer = FileWriter(store.data, store.allocator, store.block_size)
            try:
                writer.expect(len(contents))
                writer.put(contents)
                writer.finish()
                store.store_map(number, inode, writer.runs)
            except BaseException:
                writer.abort()
                raise
        store.mark_inode(number, True, False)
        if facts is not None and facts.unix is not None and facts.unix.xattrs:
            self._set_new_xattrs(number, inode, facts.unix)
        directory.add(name, number, ENTRY_TYPES[kind])
        self._touch(directory)

    def _exchange_contents(self, number: int, inode: Inode, writer: FileWriter) -> None:
        """New contents for an inode that keeps everything else."""
        store = self._store
        old = store.map_of(number, inode)
        inode.size = writer.size
        inode.flags &= _KEPT_FLAGS | EXTENTS_FLAG
        inode.mtime_ns = inode.ctime_ns = self._clock.now_ns()
        store.store_map(number, inode, writer.runs)
        writer.runs = []
        store.release_map(old)

    def _free_old_if_short(self, number: int, inode: Inode, size: int) -> None:
        """When a file cannot stand beside the one it replaces, but in its place: empty the old one first."""
        store = self._store
        needed = -(-size // store.block_size)
        if needed <= store.allocator.free or not store.has_blocks(inode) or inode.links > 1:
            return
        old = store.map_of(number, inode)
        if needed > store.allocator.free + sum(run.blocks for run in old.runs):
            return
        inode.size = 0
        store.store_map(number, inode, [])
        store.release_map(old)

    def _drop_link(self, number: int, inode: Inode) -> None:
        """An inode lost a name."""
        if inode.links > 1:
            inode.links -= 1
            inode.ctime_ns = self._clock.now_ns()
            self._store.write_inode(number, inode)
        else:
            self._store.release_inode(number, inode)


class _Bytes:
    """A Reader of bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, length: int = -1, /) -> bytes:
        """At most `length` bytes, all that is left when negative."""
        end = len(self._data) if length < 0 else length
        data = bytes(self._data[:end])
        self._data = self._data[end:]
        return data

    def close(self) -> None:
        """Nothing to give back."""


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
