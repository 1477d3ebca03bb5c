"""The usual new files of a directory: contents given in one piece (or brought by somebody else), one run of blocks each, no extended attributes.

What `FileWriter`, `fresh_inode` and `Store.store_map` do for any file is done here for many in one go, because a system has tens of
thousands of such files: their blocks are one run, their inodes too.

    blocks    |..|aaa|b|cc|dddd|.....      inode table  |....abcd......      directory  a b c d

Whatever is unusual is refused before anything is changed, and takes the long way.
"""

from collections.abc import Sequence
from contextlib import suppress

from ...base.errors import NoSpaceError
from ..elsewhere import Elsewhere
from ..filesystem import FileKind, NewFile
from .blockmap import MAX_EXTENT, Run, build_extents
from .directory import MAX_NAME, Directory
from .inodes import ENTRY_TYPES, EXTENTS_FLAG, TYPE_BITS, NewRecords
from .store import Store
from .tree import Tree, name_bytes

_PIECE = 64 << 10               # bytes; in larger files pieces of zeros become holes
_FILE_BITS = TYPE_BITS[FileKind.FILE]
_FILE_TYPE = ENTRY_TYPES[FileKind.FILE]
_IDS = 1 << 32
_DOTS = frozenset({b".", b".."})


class NewFiles:
    """Makes usual files on a volume."""

    def __init__(self, store: Store, tree: Tree) -> None:
        self._store = store
        self._tree = tree
        self._block_size = store.block_size
        self._longest = MAX_EXTENT * store.block_size
        self._records = NewRecords(store.superblock.inode_size, store.superblock.want_extra_isize)

    def make(self, directory: Directory, files: Sequence[NewFile]) -> int:
        """Make the first files of a list, as many as are usual and new and lie beside each other; how many. At 0 nothing was changed.

        Raises what the library finds wrong.
        """
        names = self._usual(directory, files) if self._store.has_extents else []
        if not names:
            return 0
        store, size = self._store, self._block_size
        start = None
        with suppress(NoSpaceError):        # of the volume: the long way says what is missing. A device that is full is another matter, below
            number = store.new_inode(directory.number, _FILE_BITS)
            count = store.free_inodes_from(number, len(names))
            self._tree.make_room(directory, *names[:count])
            blocks = [-(-len(file.data) // size) for file in files[:count]]
            start = store.allocator.take_run(sum(blocks))
            while start is None and count > 1:
                count //= 2
                start = store.allocator.take_run(sum(blocks[:count]))
        if start is None:
            return 0
        self._store_files(number, start, blocks[:count], files[:count])
        for each, name in enumerate(names[:count], start=number):
            store.mark_inode(each, True, False)
            directory.add(name, each, _FILE_TYPE)
        self._tree.touch(directory, count)
        return count

    def _usual(self, directory: Directory, files: Sequence[NewFile]) -> list[bytes]:
        """The names of those that are usual, up to the first that is not."""
        found: dict[bytes, None] = {}
        taken = directory.names
        for text, data, facts in files:
            unix = facts.unix
            if unix is None or unix.xattrs or not (0 <= unix.uid < _IDS and 0 <= unix.gid < _IDS):
                break
            if not 0 < len(data) < (_PIECE if isinstance(data, memoryview) else self._longest if data.in_one_piece else 0):
                break
            name = name_bytes(text)
            if not 0 < len(name) <= MAX_NAME or b"\0" in name or b"/" in name or name in _DOTS or name in taken or name in found:
                break
            found[name] = None
        return list(found)

    def _store_files(self, number: int, start: int, blocks: Sequence[int], files: Sequence[NewFile]) -> None:
        """Data and inodes: inodes from `number` on, blocks from `start` on. What cannot be written gives the blocks back."""
        store, size = self._store, self._block_size
        now, sectors_per_block = store.clock.now_ns(), size // 512
        records = []
        block = start
        try:
            for count, (_, data, facts) in zip(blocks, files, strict=True):
                if isinstance(data, Elsewhere):
                    data.belongs(block * size, count * size)
                else:
                    store.data.put_file(block * size, data, count * size)
                content, _ = build_extents([Run(0, block, count)], size, _no_tree)
                unix = facts.unix
                assert unix is not None
                times_ns = (unix.atime_ns or facts.mtime_ns, unix.ctime_ns or now, facts.mtime_ns, now)
                mode = _FILE_BITS | unix.mode & 0o7777
                records.append(self._records.make(mode, unix.uid, unix.gid, len(data), count * sectors_per_block, EXTENTS_FLAG, content, times_ns))
                block += count
            store.write_new_records(number, records)
        except BaseException:
            store.data.flush()      # what waits for these blocks must not come after what they are used for next
            store.allocator.give_back([(start, sum(blocks))])
            raise


def _no_tree() -> int:
    raise AssertionError("one run needs no block for its map")
