"""FAT12, FAT16 and FAT32 volumes: the Filesystem protocol.

What is in memory: pages of the FAT (`table.py`), directories that were used (`directory.py`), and small file data that waits to be
written in one piece (`streams.py`). `flush`, called at the end of every command, writes it in this order:

    1. the volume is marked dirty, when the first change is made       boot sector state byte, and FAT[1] on FAT16 and FAT32
    2. file data                                                       into clusters that were free
    3. first FAT, second FAT: chains of what is new                    nothing leads to them yet
    4. directories
    5. both FATs: what was given up is free, directories are longer; FSInfo
    6. the mark is taken away, if the volume did not have it before

with a device flush between these steps. A power cut leaves a volume that is as it was or as it should be, or is marked, and then has
each file with its old or its new contents, and perhaps clusters that belong to nothing: DOS, Windows and Linux check it, and
we can go on writing to it.
"""

from codecs import lookup
from collections.abc import Iterable, Iterator, Sequence
from weakref import WeakSet

from ...base.clock import Clock
from ...base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from ...blocks.device import BlockDevice, Buffer
from ..elsewhere import Elsewhere
from ..filesystem import DosFacts, Extent, Facts, Family, FileKind, NewFile, Problem, Usage, split_path
from ..write_behind import WriteBehind
from . import names, times
from .directory import Directory, Fields, dot_entries
from .geometry import Geometry
from .layout import ARCHIVE, DIRECTORY, MAX_FILE_SIZE, SETTABLE_ATTRIBUTES
from .new_files import NewFiles
from .state import VolumeState
from .storing import Run, Storing, too_large
from .streams import FatReader
from .table import FatTable
from .tree import Tree


class FatVolume:
    """A volume that is open for reading and writing. Use `FatVolume.on(device)`."""

    def __init__(self, device: BlockDevice, boot_sector: bytes, geometry: Geometry, code_page: str, clock: Clock) -> None:
        self.geometry = geometry
        self._device = device
        self._codec = code_page
        self._clock = clock
        self._utc = clock.fixed_ns is not None
        self._state = VolumeState(device, boot_sector, geometry)
        self._table = FatTable(device, geometry, self._state.next_free)
        self._found_marked = self._state.is_marked(self._table)
        if not self._found_marked:
            self._table.trust(self._state.free_clusters)
        self._table.on_short = self._write_out
        self._tree = Tree(device, geometry, self._table, code_page)
        self._writer = WriteBehind(device)
        self._storing = Storing(geometry, self._table, self._writer)
        self._new_files = NewFiles(geometry, self._table, self._tree, self._writer, lambda facts, cluster, size: self._stamp(facts, None, cluster, size))
        self._readers: WeakSet[FatReader] = WeakSet()
        self._waiting = 0           # calls of write_file that wait for data
        self._changed = False       # since the last flush; the volume is marked then
        self._failed = False        # a flush did not come to its end: the mark stays

    @classmethod
    def on(cls, device: BlockDevice, *, code_page: str = "cp850", clock: Clock | None = None) -> "FatVolume":
        """Open the volume that fills `device`. `code_page` is the codec of short names.

        Raises FormatError when there is none, or when it is damaged or larger than the device; StorageError for an unknown code page.
        """
        try:
            lookup(code_page)
        except LookupError as error:
            raise StorageError(f'there is no code page "{code_page}"', hint="for example cp437, cp850, cp852") from error
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
        found = self._tree.root.label()
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

    @property
    def largest_file(self) -> int:
        """Bytes that a file can have."""
        return MAX_FILE_SIZE

    def usage(self) -> Usage:
        """Room for data, in whole clusters."""
        size = self.geometry.cluster_size
        return Usage(self.geometry.cluster_count * size, self._table.available * size)

    # Reading

    def stat(self, path: str) -> Facts:
        """Facts of a path. Raises NotFoundError."""
        if not path:
            return Facts(FileKind.DIRECTORY, dos=DosFacts(0))
        self._trim()
        directory, entry = self._tree.need(path)
        return self._facts(directory, directory.fields(entry.slot))

    def exists(self, path: str) -> bool:
        """True when there is such a file or directory."""
        if not path:
            return True
        self._trim()
        try:
            directory, name = self._tree.parent(path)
        except (NotFoundError, InTheWayError):
            return False
        return directory.find(name) is not None

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of what a directory holds."""
        self._trim()
        directory = self._tree.directory(path)
        return [(entry.name, self._facts(directory, fields)) for entry, fields in directory.entries()]

    def open(self, path: str) -> FatReader:
        """The contents of a file, streamed; see `FatReader.readinto` too."""
        self._trim()
        directory, entry = self._tree.need(path)
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
        directory, entry = self._tree.need(path)
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

    @property
    def device(self) -> BlockDevice:
        """What it lies on."""
        return self._device

    def extents(self, path: str) -> list[Extent]:
        """Where the contents of a file lie."""
        logical, found = 0, []
        for offset, length in self.data_ranges(path):
            found.append(Extent(logical, offset, length))
            logical += length
        return found

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
        directory, name = self._tree.parent(path)
        old = directory.find(name)
        if old is None and size is not None:
            self._write_new(path, directory, name, chunks, size, facts)
            return
        fields = None
        slots = 0
        if old is None:
            slots = directory.slots_for(name)
        else:
            fields = directory.fields(old.slot)
            if fields.is_directory:
                raise InTheWayError(f'"/{path}" is a directory, not a file')
        if size is not None and size > MAX_FILE_SIZE:
            raise too_large(path)
        cluster_count = 0 if size is None else -(-size // self.geometry.cluster_size)
        old_first = directory.first_cluster(fields) if fields is not None else 0
        old_count = self._table.chain_length(old_first, f'file "/{path}"') if old_first else 0
        growth = self._tree.clusters_to_grow(directory, slots, path) if slots else 0
        self._check_room(path, cluster_count + growth, old_first, old_count)
        self._begin()
        if old is None:
            self._tree.grow(directory, slots, path)
        old_goes_first = fields is not None and cluster_count > self._table.available
        if old is not None and fields is not None and old_goes_first:
            directory.update(old.slot, fields._replace(cluster_high=0, cluster_low=0, size=0))
            self._table.retire_chain(old_first, f'file "/{path}"')
            old_first = 0
        runs: list[Run] = []
        self._waiting += 1
        try:
            if size is None:
                size = self._storing.store_growing(path, chunks, runs)
            else:
                self._storing.store(path, chunks, runs, size)
            if old is None:
                self._tree.grow(directory, slots, path)      # again: whoever gives the chunks may have used the volume meanwhile
        except BaseException:
            for start, count in runs:
                self._table.free_run(start, count)
            if old is not None and old_goes_first:
                directory.remove(old)
            raise
        finally:
            self._waiting -= 1
        first = runs[0][0] if runs else 0
        stamped = self._stamp(facts, fields, first, size)
        if old is None:
            directory.add(name, stamped, facts.dos.short_name if facts is not None and facts.dos is not None else "")
        else:
            directory.update(old.slot, stamped)
            if old_first:
                self._table.retire_chain(old_first, f'file "/{path}"')

    def _write_new(  # noqa: PLR0917 - those of write_file
        self, path: str, directory: Directory, name: str, chunks: Iterable[Buffer] | Elsewhere, size: int, facts: Facts | None
    ) -> None:
        """A new file of known size: what nearly every call is."""
        if size > MAX_FILE_SIZE:
            raise too_large(path)
        slots = directory.slots_for(name)
        growth = self._tree.clusters_to_grow(directory, slots, path)
        count = -(-size // self.geometry.cluster_size)
        if count + growth > self._table.free_clusters:
            self._check_room(path, count + growth)
        if not self._changed:
            self._begin()
        if growth:
            self._tree.grow(directory, slots, path)
        runs: list[Run] = []
        self._waiting += 1
        try:
            self._storing.store(path, chunks, runs, size)
            if directory.missing_slots(slots):      # whoever gives the chunks may have used the volume meanwhile
                self._tree.grow(directory, slots, path)
            stamped = self._stamp(facts, None, runs[0][0] if runs else 0, size)
            directory.add(name, stamped, facts.dos.short_name if facts is not None and facts.dos is not None else "")
        except BaseException:
            if directory.find(name) is None:
                for start, length in runs:
                    self._table.free_run(start, length)
            raise
        finally:
            self._waiting -= 1

    def make_files(self, directory: str, files: Sequence[NewFile]) -> int:
        """Make the first files of the list, as many as lie beside each other; see the protocol."""
        self._trim()
        self._begin()
        made = self._new_files.make(directory, files)
        if made or not files:
            return made
        name, contents, facts = files[0]
        found = self._tree.directory(directory)
        if not isinstance(contents, Elsewhere) or contents.has_holes or found.find(name) is not None:
            return 0
        self._write_new(f"{directory}/{name}" if directory else name, found, name, contents, len(contents), facts)
        return 1

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Make one directory; an existing one gets the facts only."""
        if not path:
            return
        self._trim()
        directory, name = self._tree.parent(path)
        found = directory.find(name)
        if found is not None:
            fields = directory.fields(found.slot)
            if not fields.is_directory:
                raise InTheWayError(f'"/{path}" is a file, not a directory')
            if facts is not None:
                self.set_facts(path, facts)
            return
        slots = directory.slots_for(name)
        self._check_room(path, 1 + self._tree.clusters_to_grow(directory, slots, path))
        self._begin()
        self._tree.grow(directory, slots, path)
        (cluster, _), = self._table.allocate(1)
        stamped = self._stamp(facts, None, cluster, 0)
        given = 0 if facts is None or facts.dos is None else stamped.attributes
        stamped = stamped._replace(attributes=given | DIRECTORY)
        dots = dot_entries(cluster, self._tree.dot_dot(directory), stamped)
        offset = self.geometry.cluster_offset(cluster)
        self._writer.flush()
        self._device.write(offset, dots.ljust(self.geometry.cluster_size, b"\0"))
        entry = directory.add(name, stamped, facts.dos.short_name if facts is not None and facts.dos is not None else "")
        self._tree.added(cluster, directory, entry.slot)

    def set_facts(self, path: str, facts: Facts) -> None:
        """Apply times and DOS attributes; the root directory has none."""
        if not path:
            return
        self._trim()
        directory, entry = self._tree.need(path)
        fields = directory.fields(entry.slot)
        self._begin()
        stamped = self._stamp(facts, fields, directory.first_cluster(fields), fields.size)
        directory.update(entry.slot, stamped)

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        self._trim()
        split_path(path)
        directory, entry = self._tree.need(path)
        fields = directory.fields(entry.slot)
        first = directory.first_cluster(fields)
        if fields.is_directory and self._tree.directory(path).count:
            raise InTheWayError(f'directory "/{path}" is not empty')
        self._begin()
        if first:
            self._table.retire_chain(first, f'"/{path}"')
        directory.remove(entry)
        if fields.is_directory:
            self._tree.removed(first)

    def rename(self, old: str, new: str) -> None:
        """Move an entry; changing only the case of a name is allowed."""
        self._trim()
        split_path(old)
        source, entry = self._tree.need(old)
        target, name = self._tree.parent(new)
        fields = source.fields(entry.slot)
        first = source.first_cluster(fields)
        found = target.find(name)
        same = found == entry and source is target
        if found is not None and not same:
            raise InTheWayError(f'"/{new}" exists already')
        if fields.is_directory:
            self._tree.refuse_own_inside(first, target, old, new)
        slots = target.slots_for(name)
        self._check_room(new, self._tree.clusters_to_grow(target, slots, new))
        self._begin()
        self._tree.grow(target, slots, new)
        if same:
            source.remove(entry)
        moved = target.add(name, fields)
        if not same:
            self._write_out()       # the new name is there before the old one goes
            source.remove(entry)
        if fields.is_directory:
            self._tree.moved(first, new, target, moved.slot)

    def check(self) -> list[Problem]:
        """What is inconsistent; see `check.py`. Own changes that still wait are written first."""
        from .check import check_volume  # noqa: PLC0415 - few runs need it

        self.flush()
        return check_volume(self._device, self.geometry, self._codec)

    def flush(self) -> None:
        """Write what waits, in the order described above."""
        if not self._changed:
            return
        failed_before, self._failed = self._failed, True
        self._write_out()
        self._failed = failed_before or self._writer.failed
        if not (self._failed or self._found_marked):
            self._state.unmark(self._table)
        self._changed = False

    def _write_out(self) -> None:
        """Everything but the last step; afterwards what was given up is free."""
        self._writer.flush()
        self._device.flush()
        self._table.flush()
        self._device.flush()
        if self._tree.write():
            self._device.flush()
            self._tree.finish()
        self._device.flush()
        if self._table.settle():
            self._table.flush()
        self._state.write_info(self._table)
        self._device.flush()

    def close(self) -> None:
        """Flush and let go."""
        self.flush()

    # Room, and the chains of files

    def _check_room(self, path: str, needed: int, old_first: int = 0, old_count: int = 0) -> None:
        """Raise NoSpaceError unless `needed` clusters are free; the old chain counts as free if nobody reads it."""
        free = self._table.available
        if needed <= free:
            return
        if needed <= free + old_count and not any(reader.is_reading and reader.first == old_first for reader in self._readers):
            return
        size = self.geometry.cluster_size
        raise NoSpaceError(f'"/{path}" does not fit: {needed * size} bytes are needed, {free * size} are free')

    def _chain_of(self, first: int, path: str) -> Iterator[Run]:
        return self._table.runs(first, f'file "/{path}"') if first else iter(())

    def _trim(self) -> None:
        if not self._waiting and self._tree.is_large:
            if self._changed:
                self._write_out()
            self._tree.drop()

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
        now = self._clock.now_ns() if facts is None or facts.dos is None else 0
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

    def _begin(self) -> None:
        """Before the first change: mark the volume as being written to."""
        if not self._changed:
            self._state.mark(self._table)
            self._changed = True


def detect_fat(device: BlockDevice) -> str | None:
    """FAT12, FAT16 or FAT32 when the device begins with a sound FAT boot sector, else None."""
    if device.size < 512:
        return None
    try:
        return f"FAT{Geometry.from_sector(device.read(0, 512)).width}"
    except FormatError:
        return None
