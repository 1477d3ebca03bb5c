"""ext2/3/4 as a Filesystem: files, directories, links, devices by path.

Directories in use are kept in memory (tree.py) and written when the volume is flushed; inodes and data are written at once, the
former into the cache of the store. An entry is made last and removed last, so a refused change leaves no trace.
"""

from collections.abc import Iterable, Iterator, Sequence

from ...base.clock import Clock
from ...base.errors import FormatError, InTheWayError, NotFoundError, ReadOnlyError, StorageError
from ...base.sources import Reader
from ...blocks.device import BlockDevice, Buffer
from ...blocks.overlay import OverlayDevice
from ..elsewhere import Elsewhere
from ..filesystem import Extent, Facts, Family, FileKind, NewFile, Problem, Usage
from .blockmap import Run
from .contents import FileReader
from .directory import Directory
from .facts import DEVICES, apply_facts, facts_of, fresh_inode
from .inodes import ENCRYPT_FLAG, ENTRY_TYPES, FAST_SYMLINK_SIZE, INLINE_DATA_FLAG, device_block
from .listing import Listing
from .new_files import NewFiles
from .objects import Objects
from .programs import check_ext, repair_ext
from .store import Store
from .superblock import Superblock
from .tree import Tree, name_bytes
from .usage import used_ranges

_MAX_LINKS = 65_000                     # EXT2_LINK_MAX of ext4; feature dir_nlink lets directories go on with a count of 1
_MAX_SYMLINK = 4096                     # bytes; a target may be followed from a system with any block size
_NODES = DEVICES | {FileKind.FIFO, FileKind.SOCKET}


class ExtVolume:
    """A volume that is open; use `ExtVolume.on(device)`. `backup_superblocks`: let `flush` also update the copies of superblock and group descriptors."""

    def __init__(self, device: BlockDevice, superblock: Superblock, *, writable: bool, clock: Clock) -> None:
        self._store = Store(device, superblock, writable=writable, clock=clock)
        self._superblock = superblock
        self._clock = clock
        self._store.write_out = self._write_out
        self._tree = Tree(self._store, clock)
        self._new_files = NewFiles(self._store, self._tree)
        self._objects = Objects(self._store, self._tree, self._new_files, clock)
        self._listing = Listing(self._store, self._tree)
        self._closed = False

    @classmethod
    def on(cls, device: BlockDevice, *, writable: bool = True, clock: Clock | None = None) -> "ExtVolume":
        """The volume on a device.

        One that was not unmounted cleanly is mended first, by e2fsck: its journal is replayed, on the device itself, or in memory
        when `writable` is False or the device refuses to be written. A volume without a journal to replay, and on which no error was
        found, was left by a power cut while it was written to (`store.py`): there everything is mended, since nobody can be
        asked. Raises FormatError when it is damaged.
        """
        time = Clock() if clock is None else clock
        superblock = Superblock.read(device)
        if superblock.needs_recovery:
            try:
                if writable:
                    repair_ext(device, time, everything=superblock.was_cut_off)
            except ReadOnlyError:
                writable = False
            if not writable:
                device = OverlayDevice(device)
                repair_ext(device, time, everything=superblock.was_cut_off)
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
    def largest_file(self) -> int:
        """Bytes that a file can have."""
        return self._store.largest_file

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
        self._tree.trim()
        number = self._tree.number(path)
        return facts_of(self._store, number, self._tree.inode(path, number))

    def exists(self, path: str) -> bool:
        """True when there is such a path."""
        self._tree.trim()
        try:
            self._tree.number(path)
        except (NotFoundError, InTheWayError):
            return False
        return True

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of a directory's entries."""
        self._tree.trim()
        return self._listing.entries(path)

    def open(self, path: str) -> Reader:
        """The contents of a file."""
        self._tree.trim()
        number = self._tree.number(path)
        inode = self._store.read_inode(number)
        if inode.kind is not FileKind.FILE:
            raise InTheWayError(f'"{path}" is a {inode.kind}, not a file')
        if inode.flags & ENCRYPT_FLAG:
            raise StorageError(f'"{path}" is encrypted')
        if inode.flags & INLINE_DATA_FLAG:
            return _Bytes(self._store.inline_data(number)[: inode.size])
        runs = self._store.map_of(number, inode).runs
        self._store.data.flush()
        return FileReader(self._store.device, runs, self._store.block_size, inode.size)

    @property
    def device(self) -> BlockDevice:
        """What it lies on; for a volume that was not unmounted cleanly, as it is after the replay of its journal."""
        return self._store.device

    def extents(self, path: str) -> list[Extent] | None:
        """Where the contents of a file lie; None for those in its inode."""
        return self._listing.extents(path)

    # Writing

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Create or replace a file from its contents in order; see the protocol.

        With `facts` a replaced file becomes a new one, and other names of the old one keep the old contents. Without them
        its contents change under all its names.
        """
        self._tree.trim()
        self._objects.write_file(path, chunks, size, facts)

    def make_files(self, directory: str, files: Sequence[NewFile]) -> int:
        """Make the first files of the list, as many as are usual; see the protocol."""
        self._tree.trim()
        self._store.begin()
        made = self._new_files.make(self._tree.directory(directory), files)
        if not made and files and isinstance(files[0].data, Elsewhere):
            self._objects.bring_file(f"{directory}/{files[0].name}" if directory else files[0].name, files[0].data, files[0].facts)
            return 1
        return made

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Make one directory; if it exists, only the facts are applied."""
        self._tree.trim()
        if not path:
            if facts is not None:
                self.set_facts(path, facts)
            return
        store = self._store
        parent, name = self._tree.parent(path)
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
        self._tree.make_room(parent, name)
        store.require_blocks(1)
        inode = fresh_inode(self._store, FileKind.DIRECTORY, facts)
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
        self._tree.keep(path, made)
        if facts is not None and facts.unix is not None and facts.unix.xattrs:
            self._objects.replace_xattrs(number, made, facts.unix)
        parent.add(name, number, ENTRY_TYPES[FileKind.DIRECTORY])
        # Feature dir_nlink: a count of 1 says "too many to count".
        parent.inode.links = links if 2 < links <= _MAX_LINKS else 1
        self._tree.touch(parent)

    def set_facts(self, path: str, facts: Facts) -> None:
        """Apply times, and modes, owners and extended attributes where `facts.unix` has them."""
        self._tree.trim()
        store = self._store
        number = self._tree.number(path)
        store.begin()
        directory = self._tree.loaded.get(path)
        inode = store.read_inode(number) if directory is None else directory.inode
        apply_facts(inode, facts)
        inode.ctime_ns = (facts.unix.ctime_ns if facts.unix is not None else 0) or self._clock.now_ns()
        store.write_inode(number, inode)
        if facts.unix is not None and (facts.unix.xattrs or inode.has_xattrs):
            self._objects.replace_xattrs(number, directory, facts.unix)

    def remove(self, path: str) -> None:
        """Remove a file, link, device or empty directory."""
        self._tree.trim()
        directory, name = self._tree.parent(path)
        number = self._tree.entry(directory, name, path)
        inode = self._tree.inode(path, number)
        self._store.begin()
        if inode.kind is not FileKind.DIRECTORY:
            self._objects.drop_link(number, inode)
            directory.take(name)
        else:
            if self._tree.directory(path).names:
                raise InTheWayError(f'directory "{path}" is not empty')
            gone = self._tree.loaded[path]
            self._store.release_inode(number, gone.inode, None if gone.inode.flags & INLINE_DATA_FLAG else gone.whole_map())
            self._store.allocator.reserved -= gone.reserved
            del self._tree.loaded[path]
            directory.take(name)
            if directory.inode.links > 1:
                directory.inode.links -= 1
        self._tree.touch(directory)

    def rename(self, old: str, new: str) -> None:
        """Move an entry; `new` must not exist and its parent must."""
        self._tree.trim()
        source, name = self._tree.parent(old)
        number = self._tree.entry(source, name, old)
        if new == old:
            return
        if new.startswith(f"{old}/"):
            raise StorageError(f'"{old}" cannot be moved into itself')
        target, new_name = self._tree.parent(new)
        if new_name in target.names:
            raise InTheWayError(f'"{new}" exists already')
        self._store.begin()
        self._tree.make_room(target, new_name)
        kind = source.names[name][1]
        if source is not target and self._store.read_inode(number).kind is FileKind.DIRECTORY:
            moved = self._tree.directory(old)
            moved.parent = target.number
            moved.changed = True
            source.inode.links -= source.inode.links > 1
            links = target.inode.links + 1
            target.inode.links = links if 2 < links <= _MAX_LINKS else 1
        target.add(new_name, number, kind)
        source.take(name)
        for path in [path for path in self._tree.loaded if f"{path}/".startswith(f"{old}/")]:
            self._tree.loaded[new + path[len(old) :]] = self._tree.loaded.pop(path)
        self._tree.touch(source)
        self._tree.touch(target)

    def make_symlink(self, path: str, target: str, facts: Facts | None = None) -> None:
        """Make a symbolic link; the path must not exist."""
        text = name_bytes(target)
        if not 0 < len(text) < min(_MAX_SYMLINK, self._store.block_size) or b"\0" in text:
            raise StorageError(f'"{path}": a link target has 1 to {min(_MAX_SYMLINK, self._store.block_size) - 1} bytes, this one {len(text)}')
        inode = fresh_inode(self._store, FileKind.SYMLINK, facts)
        inode.size = len(text)
        if len(text) < FAST_SYMLINK_SIZE:
            inode.block = text.ljust(60, b"\0")
            self._objects.make(path, FileKind.SYMLINK, inode, facts, None)
        else:
            self._objects.make(path, FileKind.SYMLINK, inode, facts, text)

    def make_hard_link(self, path: str, existing: str) -> None:
        """Give an existing file a second name."""
        self._tree.trim()
        store = self._store
        number = self._tree.number(existing)
        inode = store.read_inode(number)
        if inode.kind is FileKind.DIRECTORY:
            raise InTheWayError(f'"{existing}" is a directory, which has only one name')
        if inode.links >= _MAX_LINKS:
            raise StorageError(f'"{existing}" has {inode.links} names already, the most ext holds')
        directory, name = self._tree.new_name(path)
        store.begin()
        self._tree.make_room(directory, name)
        inode.links += 1
        inode.ctime_ns = self._clock.now_ns()
        store.write_inode(number, inode)
        directory.add(name, number, ENTRY_TYPES[inode.kind])
        self._tree.touch(directory)

    def make_node(self, path: str, facts: Facts) -> None:
        """Make a device, fifo or socket."""
        if facts.kind not in _NODES:
            raise StorageError(f'"{path}": a {facts.kind} is no device, fifo or socket')
        inode = fresh_inode(self._store, facts.kind, facts)
        if facts.kind in DEVICES:
            inode.block = device_block(facts.unix.device if facts.unix is not None else (0, 0))
        self._objects.make(path, facts.kind, inode, facts, None)

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
        """Write files, directories, bitmaps, and the superblock last."""
        if self._store.changed:
            self._write(clean=True)

    def _write_out(self) -> None:
        """The same in the middle of a command: what was given up is free then, and the volume stays marked."""
        self._write(clean=False)

    def _write(self, *, clean: bool) -> None:
        allocator = self._store.allocator
        short, allocator.on_short = allocator.on_short, None    # directories may want blocks: not again from the beginning
        try:
            self._store.write_files()
            self._tree.write_back()
            self._store.flush(clean=clean)
        finally:
            allocator.on_short = short

    def close(self) -> None:
        """Flush and let go. Closing twice is allowed."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            self._tree.loaded.clear()
            self._store.close()



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

