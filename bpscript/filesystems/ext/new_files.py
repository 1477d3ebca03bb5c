"""The usual new file: contents given in one piece, one run of blocks, no extended attributes.

What `FileWriter`, `fresh_inode` and `Store.store_map` do for any file is done here in one go, because a system has tens of thousands
of such files. Whatever is unusual is refused before anything is changed, and takes the long way.
"""

from ..filesystem import Facts, FileKind
from .blockmap import Run, build_extents
from .directory import Directory
from .inodes import ENTRY_TYPES, EXTENTS_FLAG, TYPE_BITS, new_extra_size, new_file_record
from .store import Store

_PIECE = 64 << 10               # bytes; in larger files pieces of zeros become holes
_ZEROS = bytes(_PIECE)
_FILE_BITS = TYPE_BITS[FileKind.FILE]
_FILE_TYPE = ENTRY_TYPES[FileKind.FILE]
_IDS = 1 << 32


class NewFiles:
    """Makes usual files on a volume."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._block_size = store.block_size
        self._inode_size = store.superblock.inode_size
        self._extra_size = new_extra_size(self._inode_size, store.superblock.want_extra_isize)
        self.possible = store.has_extents

    def make(self, directory: Directory, name: bytes, data: memoryview, facts: Facts) -> bool:
        """Make a file in a directory that has room for its name; False, and nothing changed, when it is not a usual one.

        `data` are its bytes, with items of one byte. Raises what the library finds wrong.
        """
        unix, size = facts.unix, len(data)
        if unix is None or unix.xattrs or not 0 < size < _PIECE or not (0 <= unix.uid < _IDS and 0 <= unix.gid < _IDS):
            return False
        store = self._store
        blocks = -(-size // self._block_size)
        start = store.allocator.take_run(blocks)
        if start is None:
            return False
        try:
            store.data.put_file(start * self._block_size, data, blocks * self._block_size)
            mode = _FILE_BITS | unix.mode & 0o7777
            number = store.new_inode(directory.number, mode)
            block, _ = build_extents([Run(0, start, blocks)], self._block_size, _no_tree)
            now = store.clock.now_ns()
            record = new_file_record(
                self._inode_size, self._extra_size, mode=mode, owner=(unix.uid, unix.gid), size=size,
                sectors=blocks * (self._block_size // 512), flags=EXTENTS_FLAG, block=block,
                times_ns=(unix.atime_ns or facts.mtime_ns, unix.ctime_ns or now, facts.mtime_ns, now),
            )
            store.write_record(number, record)
        except BaseException:
            store.data.flush()      # what waits for these blocks must not come after what they are used for next
            store.allocator.give_back([(start, blocks)])
            raise
        store.mark_inode(number, True, False)
        directory.add(name, number, _FILE_TYPE)
        return True


def _no_tree() -> int:
    raise AssertionError("one run needs no block for its map")
