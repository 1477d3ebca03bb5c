"""The new files of a directory, many in one go: their clusters are one run, their slots stand behind each other.

    data     |aaaa|b   |cc      |dddd|        a cluster chain each
    FAT      | 2 3 E| E | 6 E    | ...

A system has tens of thousands of small files, and most of the time of each would go into finding room for it.
"""

from collections.abc import Callable, Sequence

from ...base.errors import StorageError
from ..elsewhere import Elsewhere
from ..filesystem import Facts, NewFile
from ..write_behind import WriteBehind
from .directory import Directory, Fields
from .geometry import Geometry
from .layout import MAX_FILE_SIZE, Cluster
from .names import fold
from .table import FatTable
from .tree import Tree

Stamp = Callable[[Facts, int, int], Fields]     # facts, first cluster and size of a file → its short slot


class NewFiles:
    """Makes files on a volume."""

    def __init__(self, geometry: Geometry, table: FatTable, tree: Tree, writer: WriteBehind, stamp: Stamp) -> None:
        self._geometry = geometry
        self._table = table
        self._tree = tree
        self._writer = writer
        self._stamp = stamp

    def make(self, path: str, files: Sequence[NewFile]) -> int:
        """Make the first files of a list in the directory `path`, as many as are new and lie beside each other; how many."""
        directory = self._tree.directory(path)
        slots = self._slots(directory, files)
        if not slots:
            return 0
        count, size = len(slots), self._geometry.cluster_size
        clusters = [-(-len(file.data) // size) for file in files[:count]]
        try:
            if sum(clusters) + self._tree.clusters_to_grow(directory, sum(slots), path) > self._table.free_clusters:
                return 0
            self._tree.grow(directory, sum(slots), path)
        except StorageError:
            return 0        # a directory that is full: the one that does not fit will say so
        start = self._table.take_side_by_side(clusters)
        if start is None:
            return 0
        made = 0
        cluster = int(start)
        try:
            offset = self._geometry.cluster_offset(start)
            for length, (_, data, _) in zip(clusters, files, strict=False):
                if length and not isinstance(data, Elsewhere):
                    self._writer.put_file(offset, data, length * size)
                offset += length * size
            for length, (name, data, facts) in zip(clusters, files, strict=False):
                wanted = facts.dos.short_name if facts.dos is not None else ""
                try:
                    directory.add(name, self._stamp(facts, cluster if length else 0, len(data)), wanted)
                except StorageError:
                    break       # no short name is left
                if isinstance(data, Elsewhere):
                    data.belongs(self._geometry.cluster_offset(Cluster(cluster)), length * size)
                cluster += length
                made += 1
        finally:
            if made < count:
                self._table.free_run(cluster, sum(clusters[made:]))
        return made

    @staticmethod
    def _slots(directory: Directory, files: Sequence[NewFile]) -> list[int]:
        """Slots of those that are new, up to the first that is not, or that FAT cannot hold."""
        found: dict[str, int] = {}
        if not directory.has_gaps:
            for name, data, _ in files:
                key = fold(name)
                # A name with a tilde may be the short name that one before it is about to get.
                if len(data) > MAX_FILE_SIZE or key in found or (found and "~" in name) or directory.find(name) is not None:
                    break
                if isinstance(data, Elsewhere) and data.has_holes:
                    break
                try:
                    found[key] = directory.slots_for(name)
                except StorageError:
                    break
        return list(found.values())
