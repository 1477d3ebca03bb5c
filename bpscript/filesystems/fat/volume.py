"""FAT12, FAT16 and FAT32 volumes: the Filesystem protocol.

What is in memory: pages of the FAT (`table.py`), directories that were used (`directory.py`), and small file data that waits to be
written in one piece (`streams.py`). `flush`, called at the end of every command, writes it in this order:

    1. the volume is marked dirty, when the first change is made       boot sector state byte, and FAT[1] on FAT16 and FAT32
    2. file data                                                       into clusters that were free
    3. first FAT, second FAT, directories, FSInfo
    4. the mark is taken away, if the volume did not have it before

with a device flush between these steps. A power cut leaves a volume that is either as it was, or as it should be, or marked:
DOS, Windows and Linux then check it.
"""

from collections.abc import Iterable, Iterator
from weakref import WeakSet

from ...base.clock import Clock
from ...base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from ...base.records import build_record, parse_record
from ...blocks.device import BlockDevice, Buffer
from ..filesystem import DosFacts, Facts, Family, FileKind, Problem, Usage, split_path
from . import layout, names, times
from .directory import Directory, Entry, Fields, dot_entries
from .geometry import Geometry
from .layout import ARCHIVE, DIRECTORY, MAX_FILE_SIZE, SETTABLE_ATTRIBUTES, SLOT_SIZE, Cluster
from .streams import FatReader, WriteBehind
from .table import FatTable

_HELD_SLOTS = 8 << 20           # bytes of directories kept in memory; their indices take about six times as much
_AHEAD = 8 << 20                # bytes; most that is allocated ahead for a file of unknown size

_Run = tuple[Cluster, int]


class FatVolume:
    """A volume that is open for reading and writing. Use `FatVolume.on(device)`."""

    def __init__(self, device: BlockDevice, boot_sector: bytes, geometry: Geometry, code_page: str, clock: Clock) -> None:
        self.geometry = geometry
        self._device = device
        self._boot_sector = boot_sector
        self._codec = code_page
        self._clock = clock
        self._utc = clock.fixed_ns is not None
        self._info = self._read_info()
        free, following = self._info or (layout.UNKNOWN, layout.UNKNOWN)
        clean = layout.CLEAN_SHUTDOWN[geometry.width]
        self._table = FatTable(device, geometry, following)
        self._found_dirty = geometry.dirty or self._table.get(1) & clean != clean
        if not self._found_dirty:
            self._table.trust(free)
        self._marked = False                                        # something was changed since the last flush
        self._failed = False                                        # a flush did not come to its end
        self._writer = WriteBehind(device)
        self._by_cluster: dict[int, Directory] = {}
        self._by_path: dict[str, Directory] = {}
        self._held = 0                                              # bytes of directories in memory
        self._storing = 0                                           # calls of write_file that wait for data
        self._homes: dict[int, tuple[int, int]] = {}                # directory → its parent's cluster, and slot in there
        self._readers: WeakSet[FatReader] = WeakSet()
        self._root = self._load_root()

    @classmethod
    def on(cls, device: BlockDevice, *, code_page: str = "cp850", clock: Clock | None = None) -> "FatVolume":
        """Open the volume that fills `device`. `code_page` is the codec of short names.

        Raises FormatError when there is none, or when it is damaged or larger than the device.
        """
        if device.size < 512:
            raise FormatError(f"the device has {device.size} bytes; a FAT volume has at least 512")
        sector = device.read(0, 512)
        geometry = Geometry.from_sector(sector)
        if geometry.size > device.size:
            raise FormatError(
                f"the FAT volume has {geometry.size} bytes, as its boot sector says, but its partition or image only {device.size}"
            )
        return cls(device, sector, geometry, code_page, clock or Clock())

    # Facts of the volume

    @property
    def kind(self) -> str:
        """FAT12, FAT16 or FAT32."""
        return f"FAT{self.geometry.width}"

    @property
    def family(self) -> Family:
        """FAT."""
        return Family.FAT

    @property
    def label(self) -> str:
        """The label in the root directory; without one that in the boot sector; "" for NO NAME."""
        found = self._root.label()
        if found is None:
            found = self.geometry.label.decode(self._codec, "replace").rstrip(" \0")
        return "" if found == "NO NAME" else found

    @property
    def ident(self) -> str:
        """The serial number: "1234-ABCD"."""
        number = self.geometry.volume_id
        return f"{number >> 16:04X}-{number & 0xFFFF:04X}" if self.geometry.has_ident else ""

    @property
    def ignores_case(self) -> bool:
        """True."""
        return True

    @property
    def allocation_unit(self) -> int:
        """Bytes of a cluster."""
        return self.geometry.cluster_size

    def usage(self) -> Usage:
        """Room for data, in whole clusters."""
        size = self.geometry.cluster_size
        return Usage(self.geometry.cluster_count * size, self._table.free_clusters * size)

    # Reading

    def stat(self, path: str) -> Facts:
        """Facts of a path. Raises NotFoundError."""
        if not path:
            return Facts(FileKind.DIRECTORY, dos=DosFacts(0))
        self._trim()
        directory, entry = self._need(path)
        return self._facts(directory, directory.fields(entry.slot))

    def exists(self, path: str) -> bool:
        """True when there is such a file or directory."""
        if not path:
            return True
        self._trim()
        try:
            directory, name = self._parent(path)
        except (NotFoundError, InTheWayError):
            return False
        return directory.find(name) is not None

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of what a directory holds."""
        self._trim()
        directory = self._directory(path)
        return [(entry.name, self._facts(directory, fields)) for entry, fields in directory.entries()]

    def open(self, path: str) -> FatReader:
        """The contents of a file, streamed; see `FatReader.readinto` too."""
        self._trim()
        directory, entry = self._need(path)
        fields = directory.fields(entry.slot)
        if fields.is_directory:
            raise InTheWayError(f'"/{path}" is a directory, not a file')
        self._writer.flush()
        first = directory.first_cluster(fields)
        reader = FatReader(self._device, self.geometry, first, self._chain_of(first, path), size=fields.size, where=path)
        self._readers.add(reader)
        return reader

    def data_ranges(self, path: str) -> list[tuple[int, int]]:
        """Where the bytes of a file are: offsets on the device and lengths, in the order of the file."""
        self._trim()
        directory, entry = self._need(path)
        fields = directory.fields(entry.slot)
        if fields.is_directory:
            raise InTheWayError(f'"/{path}" is a directory, not a file')
        self._writer.flush()
        ranges, left = [], fields.size
        for start, count in self._chain_of(directory.first_cluster(fields), path):
            length = min(count * self.geometry.cluster_size, left)
            if length:
                ranges.append((self.geometry.cluster_offset(start), length))
            left -= length
        if left:
            raise FormatError(f'file "/{path}": its chain ends after {fields.size - left} of {fields.size} bytes')
        return ranges

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """Boot area, FATs, root directory and clusters in use."""
        self._writer.flush()
        start, end = 0, self.geometry.data_offset
        for first, count in self._table.used_runs():
            offset = self.geometry.cluster_offset(first)
            if offset != end:
                yield start, end
                start = offset
            end = offset + count * self.geometry.cluster_size
        yield start, end

    # Writing

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Create or replace a file; see the protocol.

        The old contents are given back when the new ones are stored; only when there is no room for both, and `size` is given,
        and nobody is reading them, they go first. Raises NoSpaceError before anything is changed when `size` cannot fit, and
        StorageError for more than 4 GiB - 1 or a name FAT cannot hold.
        """
        self._trim()
        directory, name = self._parent(path)
        old = directory.find(name)
        fields = None
        slots = 0
        if old is None:
            slots = directory.slots_for(name)
        else:
            fields = directory.fields(old.slot)
            if fields.is_directory:
                raise InTheWayError(f'"/{path}" is a directory, not a file')
        if size is not None and size > MAX_FILE_SIZE:
            raise _too_large(path)
        cluster_count = 0 if size is None else -(-size // self.geometry.cluster_size)
        old_first = directory.first_cluster(fields) if fields is not None else 0
        old_count = self._table.chain_length(old_first, f'file "/{path}"') if old_first else 0
        self._check_room(path, directory, slots, cluster_count, old_first=old_first, old_count=old_count)
        self._begin()
        if old is None:
            self._grow_directory(directory, slots)
        old_goes_first = fields is not None and cluster_count > self._table.free_clusters
        if old is not None and fields is not None and old_goes_first:
            directory.update(old.slot, fields._replace(cluster_high=0, cluster_low=0, size=0))
            self._table.free_chain(old_first, f'file "/{path}"')
            old_first = 0
        runs: list[_Run] = []
        self._storing += 1
        try:
            if size is None:
                size = self._store_growing(path, chunks, runs)
            else:
                runs += self._table.allocate(cluster_count) if cluster_count else ()
                self._store(path, chunks, runs, size)
            if old is None:
                self._grow_directory(directory, slots)      # again: whoever gives the chunks may have used the volume meanwhile
        except BaseException:
            for start, count in runs:
                self._table.free_run(start, count)
            if old is not None and old_goes_first:
                directory.remove(old)
            raise
        finally:
            self._storing -= 1
        first = runs[0][0] if runs else 0
        stamped = self._stamp(facts, fields, first, size)
        if old is None:
            directory.add(name, stamped, facts.dos.short_name if facts is not None and facts.dos is not None else "")
        else:
            directory.update(old.slot, stamped)
            if old_first:
                self._table.free_chain(old_first, f'file "/{path}"')

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Make one directory; an existing one gets the facts only."""
        if not path:
            return
        self._trim()
        directory, name = self._parent(path)
        found = directory.find(name)
        if found is not None:
            fields = directory.fields(found.slot)
            if not fields.is_directory:
                raise InTheWayError(f'"/{path}" is a file, not a directory')
            if facts is not None:
                self.set_facts(path, facts)
            return
        slots = directory.slots_for(name)
        self._check_room(path, directory, slots, 1)
        self._begin()
        self._grow_directory(directory, slots)
        (cluster, _), = self._table.allocate(1)
        stamped = self._stamp(facts, None, cluster, 0)
        given = 0 if facts is None or facts.dos is None else stamped.attributes
        stamped = stamped._replace(attributes=given | DIRECTORY)
        dots = dot_entries(cluster, self._dot_dot(directory), stamped)
        offset = self.geometry.cluster_offset(cluster)
        self._writer.flush()
        self._device.write(offset, dots.ljust(self.geometry.cluster_size, b"\0"))
        entry = directory.add(name, stamped, facts.dos.short_name if facts is not None and facts.dos is not None else "")
        self._homes[cluster] = directory.cluster, entry.slot

    def set_facts(self, path: str, facts: Facts) -> None:
        """Apply times and DOS attributes; the root directory has none."""
        if not path:
            return
        self._trim()
        directory, entry = self._need(path)
        fields = directory.fields(entry.slot)
        self._begin()
        stamped = self._stamp(facts, fields, directory.first_cluster(fields), fields.size)
        directory.update(entry.slot, stamped)

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        self._trim()
        split_path(path)
        directory, entry = self._need(path)
        fields = directory.fields(entry.slot)
        first = directory.first_cluster(fields)
        if fields.is_directory and self._directory(path).count:
            raise InTheWayError(f'directory "/{path}" is not empty')
        self._begin()
        if first:
            self._table.free_chain(first, f'"/{path}"')
        directory.remove(entry)
        if fields.is_directory:
            self._by_cluster.pop(first, None)
            self._homes.pop(first, None)
            self._by_path = {"": self._root}

    def rename(self, old: str, new: str) -> None:
        """Move an entry; changing only the case of a name is allowed."""
        self._trim()
        split_path(old)
        source, entry = self._need(old)
        target, name = self._parent(new)
        fields = source.fields(entry.slot)
        first = source.first_cluster(fields)
        found = target.find(name)
        same = found == entry and source is target
        if found is not None and not same:
            raise InTheWayError(f'"/{new}" exists already')
        if fields.is_directory:
            self._refuse_own_inside(first, target, old, new)
        slots = target.slots_for(name)
        self._check_room(new, target, slots, 0)
        self._begin()
        self._grow_directory(target, slots)
        if same:
            source.remove(entry)
        moved = target.add(name, fields)
        if not same:
            source.remove(entry)
        if fields.is_directory:
            directory = self._by_cluster[first] if first in self._by_cluster else self._load(first, new)
            directory.set_parent_cluster(self._dot_dot(target))
            directory.where = new
            self._homes[first] = target.cluster, moved.slot
            self._by_path = {"": self._root}

    def check(self) -> list[Problem]:
        """What is inconsistent; see `check.py`. Own changes that still wait are written first."""
        from .check import check_volume  # noqa: PLC0415 - few runs need it

        self.flush()
        return check_volume(self._device, self.geometry, self._codec)

    def flush(self) -> None:
        """Write what waits, in the order described above."""
        if not self._marked:
            return
        failed_before, self._failed = self._failed, True
        self._writer.flush()
        self._device.flush()
        self._table.flush()
        for directory in self._by_cluster.values():
            directory.write()
        self._write_info()
        self._device.flush()
        self._failed = failed_before or self._writer.failed
        if not (self._failed or self._found_dirty):
            self._mark(dirty=False)
        self._marked = False

    def close(self) -> None:
        """Flush and let go."""
        self.flush()

    # Directories

    def _load_root(self) -> Directory:
        geometry = self.geometry
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
        size = self.geometry.cluster_size
        extents: list[tuple[int, int]] = []
        length = 0
        for start, count in self._table.runs(cluster, f'directory "/{where}"'):
            length += count * size
            if length > max(layout.MAX_DIRECTORY_SLOTS * SLOT_SIZE, size):
                raise FormatError(f'directory "/{where}" is longer than {layout.MAX_DIRECTORY_SLOTS} slots, more than a FAT directory can have')
            extents.append((self.geometry.cluster_offset(start), count * size))
        directory = Directory(self._device, extents, cluster, where, self._codec, wide=self.geometry.width == 32)
        self._by_cluster[cluster] = directory
        self._held += length
        return directory

    def _directory(self, path: str) -> Directory:
        """The directory of a path. Raises NotFoundError, or InTheWayError where a file is in the way."""
        found = self._by_path.get(path)
        if found is not None:
            return found
        parent_path, _, name = path.rpartition("/")
        parent = self._directory(parent_path)
        entry = parent.find(name)
        if entry is None:
            raise NotFoundError(f'no directory "/{path}"')
        fields = parent.fields(entry.slot)
        if not fields.is_directory:
            raise InTheWayError(f'"/{path}" is a file, not a directory')
        cluster = parent.first_cluster(fields)
        # Two entries that lead to one directory could be an endless tree.
        home = self._homes.setdefault(cluster, (parent.cluster, entry.slot))
        if cluster == 0 or home != (parent.cluster, entry.slot):
            raise FormatError(f'directory "/{path}": its entry leads to a directory that belongs elsewhere (cluster {cluster})')
        directory = self._by_cluster[cluster] if cluster in self._by_cluster else self._load(cluster, path)
        self._by_path[path] = directory
        return directory

    def _parent(self, path: str) -> tuple[Directory, str]:
        parent, _, name = path.rpartition("/")
        if not name:
            raise InTheWayError("the root directory is in the way: a file needs a name")
        return self._directory(parent), name

    def _need(self, path: str) -> tuple[Directory, Entry]:
        directory, name = self._parent(path)
        entry = directory.find(name)
        if entry is None:
            raise NotFoundError(f'no file or directory "/{path}"')
        return directory, entry

    def _trim(self) -> None:
        """Let go of directories, the root apart, when they have become too many. Only between operations."""
        if self._held > _HELD_SLOTS and not self._storing:
            for directory in self._by_cluster.values():
                directory.write()
            self._by_cluster = {self._root.cluster: self._root}
            self._by_path = {"": self._root}
            self._held = self._root.size

    def _check_room(self, path: str, directory: Directory, slots: int, count: int, *, old_first: int = 0, old_count: int = 0) -> None:
        """Raise NoSpaceError unless `count` clusters and `slots` slots fit; the old chain counts as free if it may go first."""
        missing = directory.missing_slots(slots) if slots else 0
        if missing and directory.cluster == 0:
            raise NoSpaceError(
                f'the root directory is full: "/{path}" needs {slots} of its {self.geometry.root_entries} slots',
                hint="put files into a subdirectory; on FAT12 and FAT16 the root directory cannot grow",
            )
        needed = count + -(-missing * SLOT_SIZE // self.geometry.cluster_size)
        free = self._table.free_clusters
        if needed <= free:
            return
        if needed <= free + old_count and not any(reader.is_reading and reader.first == old_first for reader in self._readers):
            return
        size = self.geometry.cluster_size
        raise NoSpaceError(f'"/{path}" does not fit: {needed * size} bytes are needed, {free * size} are free')

    def _grow_directory(self, directory: Directory, slots: int) -> None:
        missing = directory.missing_slots(slots) if slots else 0
        if missing:
            size = self.geometry.cluster_size
            last_offset, last_length = directory.extents[-1]
            last = (last_offset + last_length - self.geometry.data_offset) // size + 1
            runs = self._table.allocate(-(-missing * SLOT_SIZE // size), after=last)
            directory.grow([(self.geometry.cluster_offset(start), count * size) for start, count in runs])
            self._held += sum(count for _, count in runs) * size

    def _dot_dot(self, parent: Directory) -> int:
        """What `..` of a directory in `parent` holds: 0 for the root, also on FAT32."""
        return 0 if parent is self._root else parent.cluster

    def _refuse_own_inside(self, moved: int, target: Directory, old: str, new: str) -> None:
        cluster = target.cluster
        while cluster != self._root.cluster:        # ends: every directory was reached from the root
            if cluster == moved:
                raise StorageError(f'"/{old}" cannot be moved into itself, to "/{new}"')
            cluster = self._homes[cluster][0]

    # File data

    def _chain_of(self, first: int, path: str) -> Iterator[_Run]:
        return self._table.runs(first, f'file "/{path}"') if first else iter(())

    def _store(self, path: str, chunks: Iterable[Buffer], runs: list[_Run], size: int) -> None:
        """Write exactly `size` bytes into clusters that are allocated."""
        cluster_size = self.geometry.cluster_size
        put = self._writer.put
        coming = iter(runs)
        offset = room = total = 0
        for chunk in chunks:
            view = chunk if isinstance(chunk, (bytes, bytearray)) else memoryview(chunk).cast("B")
            length = len(view)
            total += length
            if total > size:
                raise StorageError(f'"/{path}": more than the announced {size} bytes were given')
            while length > room:
                if room:
                    view = memoryview(view)
                    put(offset, view[:room])
                    view = view[room:]
                    length -= room
                start, count = next(coming)
                offset = self.geometry.cluster_offset(start)
                room = count * cluster_size
            if length:
                put(offset, view)
                offset += length
                room -= length
        if total != size:
            raise StorageError(f'"/{path}": only {total} of the announced {size} bytes were given')
        self._writer.pad(offset, room)

    def _store_growing(self, path: str, chunks: Iterable[Buffer], runs: list[_Run]) -> int:
        """Write what comes, allocating as it comes; the clusters taken are in `runs`, whatever happens. Bytes written."""
        size = self.geometry.cluster_size
        offset = room = total = 0
        ahead = 0               # index in runs of the next one to fill
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            total += len(view)
            if total > MAX_FILE_SIZE:
                raise _too_large(path)
            while len(view):
                if not room:
                    if ahead == len(runs):
                        wanted = max(len(view), min(total, _AHEAD))
                        count = min(-(-wanted // size), max(self._table.free_clusters, 1))
                        self._extend(path, runs, count)
                    offset = self.geometry.cluster_offset(runs[ahead][0])
                    room = runs[ahead][1] * size
                    ahead += 1
                step = min(room, len(view))
                self._writer.put(offset, view[:step])
                view = view[step:]
                offset += step
                room -= step
        self._give_back_rest(runs, -(-total // size))
        self._writer.pad(offset, room % size)
        return total

    def _extend(self, path: str, runs: list[_Run], count: int) -> None:
        try:
            runs += self._table.allocate(count, after=runs[-1][0] + runs[-1][1] - 1 if runs else 0)
        except NoSpaceError as error:
            raise NoSpaceError(f'"/{path}" does not fit: the volume is full') from error

    def _give_back_rest(self, runs: list[_Run], needed: int) -> None:
        """Shorten a chain to `needed` clusters."""
        have = sum(count for _, count in runs)
        while have > needed:
            start, count = runs.pop()
            keep = max(0, count - (have - needed))
            self._table.free_run(start + keep, count - keep)
            have -= count - keep
            if keep:
                runs.append((start, keep))
                break
        if runs:
            self._table.cut(runs[-1][0] + runs[-1][1] - 1)

    # Facts

    def _facts(self, directory: Directory, fields: Fields) -> Facts:
        utc = self._utc
        return Facts(
            FileKind.DIRECTORY if fields.attributes & DIRECTORY else FileKind.FILE,
            0 if fields.attributes & DIRECTORY else fields.size,
            times.from_dos(fields.date, fields.time, utc),
            "",
            None,
            DosFacts(
                fields.attributes & SETTABLE_ATTRIBUTES,
                times.created_ns(fields.created_hundredths, fields.created_time, fields.created_date, utc),
                names.decode_short(fields.short, 0, self._codec),
            ),
        )

    def _stamp(self, facts: Facts | None, old: Fields | None, cluster: int, size: int) -> Fields:
        """A short slot with cluster, size, times and attributes; name and case flags are those of `old`."""
        utc = self._utc
        now = self._clock.now_ns()
        date, time = times.to_dos((now if facts is None else facts.mtime_ns) // times.NANOSECONDS, utc)
        if facts is not None and facts.dos is not None:
            attributes = facts.dos.attributes & SETTABLE_ATTRIBUTES | (old.attributes & ~SETTABLE_ATTRIBUTES if old is not None else 0)
            created = times.created_fields(facts.dos.created_ns, utc)
        elif old is not None:
            attributes = old.attributes
            created = old[3:6]
        else:
            attributes = ARCHIVE
            created = times.created_fields(now, utc)
        short, case_flags = (old.short, old.case_flags) if old is not None else (b"", 0)
        return Fields(short, attributes, case_flags, *created, date, cluster >> 16, time, date, cluster & 0xFFFF, size)

    # The mark, and FSInfo

    def _begin(self) -> None:
        """Before the first change: mark the volume as being written to."""
        if not self._marked:
            self._mark(dirty=True)
            self._marked = True

    def _mark(self, *, dirty: bool) -> None:
        """Set or take away the mark; the boot sector's is the first to come and the last to go, so FAT copies never differ without it."""
        if dirty:
            self._mark_boot_sector(layout.STATE_DIRTY)
        clean = layout.CLEAN_SHUTDOWN[self.geometry.width]
        if clean:
            value = self._table.get(1)
            self._table.set_reserved(value & ~clean if dirty else value | clean)
            self._table.flush()
        if not dirty:
            self._mark_boot_sector(0)
        self._device.flush()

    def _mark_boot_sector(self, state: int) -> None:
        at = layout.STATE_OFFSET[self.geometry.width]
        state |= self._boot_sector[at] & ~layout.STATE_DIRTY
        self._boot_sector = self._boot_sector[:at] + bytes([state]) + self._boot_sector[at + 1 :]
        self._device.write(0, self._boot_sector)

    def _read_info(self) -> tuple[int, int] | None:
        """Free clusters and next free cluster of FSInfo; None without a valid one."""
        offset = self.geometry.info_sector * self.geometry.sector_size
        if not offset:
            return None
        try:
            info = parse_record(layout.FS_INFO, self._device.read(offset, layout.FS_INFO_SIZE), "FSInfo")
        except FormatError:
            return None         # it only holds hints, and whatever else is there is not ours to overwrite
        return info.free_clusters, info.next_free

    def _write_info(self) -> None:
        if self._info is None:
            return
        now = self._table.free_clusters, int(self._table.next_free)
        if now != self._info:
            record = build_record(layout.FS_INFO, {"free_clusters": now[0], "next_free": now[1]})
            # Only the two numbers: the reserved bytes around them are kept.
            offset = self.geometry.info_sector * self.geometry.sector_size
            self._device.write(offset + 488, record[488:496])
            self._info = now


def detect_fat(device: BlockDevice) -> str | None:
    """FAT12, FAT16 or FAT32 when the device begins with a sound FAT boot sector, else None."""
    if device.size < 512:
        return None
    try:
        return f"FAT{Geometry.from_sector(device.read(0, 512)).width}"
    except FormatError:
        return None


def fat_size(device: BlockDevice) -> int:
    """Bytes the FAT volume on this device claims. Raises FormatError when there is none."""
    return Geometry.from_sector(device.read(0, 512)).size


def _too_large(path: str) -> StorageError:
    return StorageError(f'"/{path}" is too large for FAT: a file can have at most {MAX_FILE_SIZE} bytes (4 GB - 1)')
