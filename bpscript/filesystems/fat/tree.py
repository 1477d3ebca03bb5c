"""The directories of a volume: found by path, kept while they are used, grown, moved.

A directory is known by its first cluster. Where each one was first found (its home: parent and slot) is remembered for as long as
the volume is open: a damaged volume may lead to one directory from two places, or from inside itself, and would be an endless tree.
"""

from ...base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from ...blocks.device import BlockDevice
from . import layout
from .directory import Directory, Entry
from .geometry import Geometry
from .layout import SLOT_SIZE
from .table import FatTable

HELD_SLOTS = 8 << 20            # bytes of directories kept in memory; their indices take about six times as much
MAX_DEPTH = 250                 # levels; DOS and Windows have room for 130 in a path


class Tree:
    """Directories, from the root down. Changes stay in memory until `write`."""

    def __init__(self, device: BlockDevice, geometry: Geometry, table: FatTable, codec: str) -> None:
        self._device = device
        self._geometry = geometry
        self._table = table
        self._codec = codec
        self._by_cluster: dict[int, Directory] = {}
        self._by_path: dict[str, Directory] = {}
        self._homes: dict[int, tuple[int, int]] = {}
        self._held = 0          # bytes of all directories in memory
        self.root = self._load_root()

    def directory(self, path: str) -> Directory:
        """The directory of a path. Raises NotFoundError, or InTheWayError where a file is in the way."""
        found = self._by_path.get(path)
        if found is not None:
            return found
        known = path
        while known not in self._by_path:       # ends at the root, which always is known
            known = known.rpartition("/")[0]
        found = self._by_path[known]
        names = path[len(known) + 1 if known else 0 :].split("/")
        for name in names:
            known = f"{known}/{name}" if known else name
            found = self._below(found, name, known)
            self._by_path[known] = found
        return found

    def parent(self, path: str) -> tuple[Directory, str]:
        """The directory a path lies in, and the last name of the path."""
        parent, _, name = path.rpartition("/")
        if not name:
            raise InTheWayError("the root directory is in the way: a file needs a name")
        return self.directory(parent), name

    def need(self, path: str) -> tuple[Directory, Entry]:
        """The directory a path lies in, and its entry there. Raises NotFoundError."""
        directory, name = self.parent(path)
        entry = directory.find(name)
        if entry is None:
            raise NotFoundError(f'no file or directory "/{path}"')
        return directory, entry

    @property
    def is_large(self) -> bool:
        """Whether there are too many directories in memory."""
        return self._held > HELD_SLOTS

    def drop(self) -> None:
        """Let go of directories, the root apart, when all is written and nobody holds one."""
        self._by_cluster = {self.root.cluster: self.root}
        self._by_path = {"": self.root}
        self._held = self.root.size

    def write(self) -> bool:
        """Write what was changed; True when `finish` has more to do, once that is on the disk."""
        waiting = [directory.write() for directory in self._by_cluster.values()]     # of all, whatever the first says
        return any(waiting)

    def finish(self) -> None:
        """Write what had to wait."""
        for directory in self._by_cluster.values():
            directory.finish()

    def clusters_to_grow(self, directory: Directory, slots: int, path: str) -> int:
        """Clusters a directory needs more for an entry of `slots` slots. Raises NoSpaceError where it cannot grow."""
        missing = directory.missing_slots(slots)
        if missing and directory.cluster == 0:
            raise NoSpaceError(
                f'the root directory is full: "/{path}" needs {slots} of its {self._geometry.root_entries} slots',
                hint="put files into a subdirectory; on FAT12 and FAT16 the root directory cannot grow",
            )
        return -(-missing * SLOT_SIZE // self._geometry.cluster_size)

    def grow(self, directory: Directory, slots: int, path: str) -> None:
        """Make room for an entry of `slots` slots."""
        count = self.clusters_to_grow(directory, slots, path)
        if count:
            size = self._geometry.cluster_size
            last_offset, last_length = directory.extents[-1]
            last = (last_offset + last_length - self._geometry.data_offset) // size + 1
            runs = self._table.allocate(count, after=last, later=True)
            directory.grow([(self._geometry.cluster_offset(start), length * size) for start, length in runs])
            self._held += count * size

    def added(self, cluster: int, parent: Directory, slot: int) -> None:
        """A directory was made."""
        self._homes[cluster] = parent.cluster, slot

    def removed(self, cluster: int) -> None:
        """A directory is gone."""
        self._by_cluster.pop(cluster, None)
        self._homes.pop(cluster, None)
        self._by_path = {"": self.root}

    def moved(self, cluster: int, path: str, parent: Directory, slot: int) -> None:
        """A directory has a new path: its `..` and what was known of paths change."""
        directory = self._by_cluster[cluster] if cluster in self._by_cluster else self._load(cluster, path)
        directory.set_parent_cluster(self.dot_dot(parent))
        directory.where = path
        self._homes[cluster] = parent.cluster, slot
        self._by_path = {"": self.root}

    def dot_dot(self, parent: Directory) -> int:
        """What `..` of a directory in `parent` holds: 0 for the root, also on FAT32."""
        return 0 if parent is self.root else parent.cluster

    def refuse_own_inside(self, cluster: int, target: Directory, old: str, new: str) -> None:
        """Raise StorageError when `target` is the directory `cluster` or lies in it."""
        at = target.cluster
        while at != self.root.cluster:          # ends: every directory was reached from the root
            if at == cluster:
                raise StorageError(f'"/{old}" cannot be moved into itself, to "/{new}"')
            at = self._homes[at][0]

    def _below(self, parent: Directory, name: str, path: str) -> Directory:
        entry = parent.find(name)
        if entry is None:
            raise NotFoundError(f'no directory "/{path}"')
        fields = parent.fields(entry.slot)
        if not fields.is_directory:
            raise InTheWayError(f'"/{path}" is a file, not a directory')
        if path.count("/") >= MAX_DEPTH:
            raise FormatError(f'directory "/{path[:60]}...": directories are nested more than {MAX_DEPTH} deep')
        cluster = parent.first_cluster(fields)
        home = self._homes.setdefault(cluster, (parent.cluster, entry.slot))
        if cluster == 0 or home != (parent.cluster, entry.slot):
            raise FormatError(f'directory "/{path}": its entry leads to a directory that belongs elsewhere (cluster {cluster})')
        return self._by_cluster[cluster] if cluster in self._by_cluster else self._load(cluster, path)

    def _load_root(self) -> Directory:
        geometry = self._geometry
        if geometry.width == 32:
            self._homes[geometry.root_cluster] = 0, 0
            root = self._load(geometry.root_cluster, "")
        else:
            extents = [(geometry.root_offset, geometry.root_entries * SLOT_SIZE)]
            root = Directory(self._device, extents, 0, "", self._codec, wide=False)
            self._by_cluster[0] = root
        self._by_path[""] = root
        return root

    def _load(self, cluster: int, where: str) -> Directory:
        size = self._geometry.cluster_size
        extents: list[tuple[int, int]] = []
        length = 0
        for start, count in self._table.runs(cluster, f'directory "/{where}"'):
            length += count * size
            if length > max(layout.MAX_DIRECTORY_SLOTS * SLOT_SIZE, size):
                raise FormatError(f'directory "/{where}" is longer than {layout.MAX_DIRECTORY_SLOTS} slots, more than a FAT directory can have')
            extents.append((self._geometry.cluster_offset(start), count * size))
        directory = Directory(self._device, extents, cluster, where, self._codec, wide=self._geometry.width == 32)
        self._by_cluster[cluster] = directory
        self._held += length
        return directory
