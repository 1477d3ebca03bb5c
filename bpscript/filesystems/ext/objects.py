"""Files, links and devices that get their contents, lose a name, or are replaced.

What is refused leaves no trace: contents and inode are made first, the entry in the directory last.
"""

from collections.abc import Iterable

from ...base.clock import Clock
from ...base.errors import InTheWayError, NoSpaceError, StorageError
from ...blocks.device import Buffer
from ..elsewhere import Elsewhere
from ..filesystem import Facts, FileKind, NewFile, UnixFacts
from ..sparse import needed, pieces
from .contents import FileWriter
from .directory import Directory
from .facts import fresh_inode
from .inodes import ENTRY_TYPES, EXTENTS_FLAG, INLINE_DATA_FLAG, Inode
from .new_files import NewFiles
from .store import Store
from .tree import Tree, name_text

_KEPT_FLAGS = 0xFF & ~0x04              # flags a replaced file keeps: what chattr(1) sets, not how its blocks lie


class Objects:
    """Everything on a volume but directories."""

    def __init__(self, store: Store, tree: Tree, new_files: NewFiles, clock: Clock) -> None:
        self._store = store
        self._tree = tree
        self._new_files = new_files
        self._clock = clock

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None, facts: Facts | None) -> None:
        """Create or replace a file; see `ExtVolume.write_file`."""
        store = self._store
        self._check_size(path, size or 0)
        store.begin()
        directory, name = self._tree.parent(path)
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
            if facts is not None and isinstance(chunks, tuple) and len(chunks) == 1:
                whole = memoryview(chunks[0])
                if whole.itemsize == whole.ndim == 1 and len(whole) == size and self._new_files.make(directory, [NewFile(name_text(name), whole, facts)]):
                    return
            self._tree.make_room(directory, name)
        if size is not None and old_inode is not None and old is not None:
            self._free_old_if_short(old[0], old_inode, needed(chunks, size))
        writer = FileWriter(store.data, store.allocator, store.block_size)
        try:
            if size is not None:
                writer.expect(size, needed(chunks, size))
            with self._tree.held():     # the giver of the chunks may read this very volume
                for piece in pieces(chunks):
                    if isinstance(piece, int):
                        writer.skip(piece)
                    else:
                        writer.put(piece)
                    self._check_size(path, writer.size)
            writer.finish()
            if old is not None and old_inode is not None and facts is None:
                self._exchange_contents(old[0], old_inode, writer)
            else:
                number = self._new_file(directory, writer, facts)
                directory.add(name, number, ENTRY_TYPES[FileKind.FILE])
                if old is not None and old_inode is not None:
                    self.drop_link(old[0], old_inode)
        except NoSpaceError as error:
            writer.abort()
            raise NoSpaceError(f'"{path}" does not fit: {error}') from error
        except BaseException:
            writer.abort()
            raise
        self._tree.touch(directory)

    def bring_file(self, path: str, contents: Elsewhere, facts: Facts) -> None:
        """A file whose contents lie in pieces, or that has extended attributes."""
        store = self._store
        self._check_size(path, contents.size)
        directory, name = self._tree.new_name(path)
        self._tree.make_room(directory, name)
        writer = FileWriter(store.data, store.allocator, store.block_size)
        try:
            writer.bring(contents)
            directory.add(name, self._new_file(directory, writer, facts), ENTRY_TYPES[FileKind.FILE])
        except NoSpaceError as error:
            writer.abort()
            raise NoSpaceError(f'"{path}" does not fit: {error}') from error
        except BaseException:
            writer.abort()
            raise
        self._tree.touch(directory)

    def make(self, path: str, kind: FileKind, inode: Inode, facts: Facts | None, contents: bytes | None) -> None:
        """A symlink or node: inode, contents where i_block is too short for them, entry."""
        self._tree.trim()
        store = self._store
        directory, name = self._tree.new_name(path)
        store.begin()
        self._tree.make_room(directory, name)
        number = store.new_inode(directory.number, inode.mode)
        if contents is None:
            store.write_inode(number, inode)
        else:
            writer = FileWriter(store.data, store.allocator, store.block_size)
            try:
                writer.expect(len(contents), len(contents))
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
        self._tree.touch(directory)

    def drop_link(self, number: int, inode: Inode) -> None:
        """An inode lost a name."""
        if inode.links > 1:
            inode.links -= 1
            inode.ctime_ns = self._clock.now_ns()
            self._store.write_inode(number, inode)
        else:
            self._store.release_inode(number, inode)

    def replace_xattrs(self, number: int, directory: Directory | None, unix: UnixFacts) -> None:
        """Give an inode these extended attributes and no others."""
        with self._store.xattrs(number) as attributes:
            attributes.replace(unix.xattrs)
        if directory is not None:
            directory.inode = self._store.read_inode(number)

    def _check_size(self, path: str, size: int) -> None:
        largest = self._store.largest_file
        if size > largest:
            raise StorageError(f'"{path}" is too large: on this volume a file can have at most {largest} bytes, {size} are wanted')

    def _new_file(self, directory: Directory, writer: FileWriter, facts: Facts | None) -> int:
        """An inode for contents already written."""
        store = self._store
        inode = fresh_inode(self._store, FileKind.FILE, facts)
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
            self.replace_xattrs(number, None, unix)
        except BaseException:
            now = self._store.read_inode(number)
            inode.file_acl, inode.blocks, inode.tail = now.file_acl, now.blocks, now.tail
            self._store.release_inode(number, inode)
            raise

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
