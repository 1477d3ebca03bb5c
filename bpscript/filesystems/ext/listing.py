"""What directories hold, and where the bytes of files lie: for those who read many files."""

from ...base.errors import InTheWayError, StorageError
from ..filesystem import Extent, Facts, FileKind
from .blockmap import only_extent
from .facts import facts_of, usual_facts
from .inodes import ENCRYPT_FLAG, EXTENTS_FLAG, INLINE_DATA_FLAG, file_map
from .store import Store
from .tree import Tree, name_text

_SEEN_LIMIT = 1 << 17           # files remembered from listings, some 200 bytes each


class Listing:
    """Reads directories and maps of a volume."""

    def __init__(self, store: Store, tree: Tree) -> None:
        self._store = store
        self._tree = tree

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of a directory's entries."""
        store = self._store
        directory = self._tree.directory(path)
        prefix = f"{path}/" if path else ""
        result = []
        # Files that were listed will be read soon: their maps are remembered, until something is written.
        seen = None if store.changed or len(store.seen) >= _SEEN_LIMIT else store.seen
        for name, (number, _) in list(directory.names.items()):
            text = name_text(name)
            record = store.read_record(number)
            usual = usual_facts(number, record)
            if usual is not None:
                facts, where = usual
            else:
                facts = facts_of(store, number, self._tree.inode(prefix + text, number))
                where = file_map(record)
            if seen is not None and facts.kind is FileKind.FILE:
                seen[number] = where
            result.append((text, facts))
        return result

    def extents(self, path: str) -> list[Extent] | None:
        """Where the contents of a file lie; None for those in its inode."""
        store = self._store
        number = self._tree.number(path)
        flags, size, block = store.seen.pop(number) if number in store.seen else self._map_of(path, number)
        if flags & ENCRYPT_FLAG:
            raise StorageError(f'"{path}" is encrypted')
        if flags & INLINE_DATA_FLAG:
            return None
        store.data.flush()
        block_size = store.block_size
        if flags & EXTENTS_FLAG:
            only = only_extent(block, store.superblock.first_data_block, store.superblock.block_count)
            if only is not None:
                length = min(only.blocks * block_size, size - only.logical * block_size)
                return [Extent(only.logical * block_size, only.start * block_size, length)] if length > 0 else []
        found = []
        for run in store.map_of(number, store.read_inode(number)).runs:
            logical = run.logical * block_size
            length = min(run.blocks * block_size, size - logical)
            if length > 0 and not run.unwritten:
                found.append(Extent(logical, run.start * block_size, length))
        return found

    def _map_of(self, path: str, number: int) -> tuple[int, int, bytes]:
        inode = self._store.read_inode(number)
        if inode.kind is not FileKind.FILE:
            raise InTheWayError(f'"{path}" is a {inode.kind}, not a file')
        return inode.flags, inode.size, inode.block
