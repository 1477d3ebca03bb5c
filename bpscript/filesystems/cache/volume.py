"""The cache as a Filesystem: flat names, least recently used files go when room is short.

Safe against power cuts by order alone: room is freed (and flushed) before it is written to, contents are written (and flushed)
before their entry, the entry (and a flush) before the one it replaces is cleared. What is interrupted is simply not there.

A file that is being read keeps its blocks until its reader is closed, even when it was replaced or removed meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

from ...base.clock import Clock
from ...base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, ReadOnlyError, StorageError
from ...base.sources import SourceFacts
from ...base.units import MIB
from ...blocks.device import BlockDevice, Buffer
from ..filesystem import Facts, Family, FileKind, Problem, Usage
from .filling import Filling
from .layout import (
    BLOCK,
    GREATEST_COUNT,
    HEADER_SIZE,
    LONGEST_NAME,
    MOST_EXTENTS,
    SLOT,
    USE,
    USE_OFFSET,
    Entry,
    Extent,
    Geometry,
    blocks_for,
    is_good_name,
)
from .space import FreeSpace, without_overlaps
from .stream import BlockWriter, CacheReader, Run

_SMALL = MIB            # a file up to this size is checked whole before its first byte is handed out
_GROWTH = 8 * MIB // BLOCK
_ZERO_SLOT = bytes(SLOT)


class CacheVolume:
    """The cache in an area of a disk. `reserve` is `$CacheReserve`: files get 25 % more room than they need, if there is any."""

    kind = "CACHE"
    family = Family.OTHER
    label = ""
    ident = ""
    ignores_case = False

    def __init__(self, device: BlockDevice, geometry: Geometry, *, clock: Clock, reserve: bool) -> None:
        self._device = device
        self._geometry = geometry
        self._clock = clock
        self.reserve = reserve
        self._entries: dict[str, tuple[int, Entry]] = {}        # name → slot and entry
        self._used_at = [0] * geometry.slots
        self._use_changed = False
        self._cleared = False                                   # a slot was cleared and not flushed yet
        self._readers: Counter[int] = Counter()                 # seeds of contents that are being read
        self._leaving: dict[int, tuple[Extent, ...]] = {}       # contents without an entry that are still being read
        self._emptied: set[str] = set()                         # directories whose last file was removed, see `remove`
        self._left_out: list[int] = []                          # slots with entries that do not count, see `_load`
        self._generation = 0
        self._formatted = geometry.blocks > 0 and device.read(0, HEADER_SIZE) == geometry.header()
        if self._formatted:
            self._load()
        self._space = FreeSpace(geometry.blocks, (extent for _, entry in self._entries.values() for extent in entry.extents))

    @classmethod
    def on(cls, device: BlockDevice, *, clock: Clock | None = None, reserve: bool = True) -> "CacheVolume":
        """The cache in an area; a new, empty one when there is none yet, or it was made for another place or size.

        Nothing is written before the first file is. Hostile or damaged bytes are just not in the cache.
        """
        return cls(device, _geometry_of(device), clock=clock or Clock.from_environment(), reserve=reserve)

    def usage(self) -> Usage:
        """Room for contents; what is not free is made so when it is needed. 0 in all when the area is too small."""
        return Usage(self._geometry.blocks * BLOCK, self._space.free * BLOCK)

    def stat(self, path: str) -> Facts:
        """Facts of a file, or of what stands before a `/` in the name of one."""
        found = self._entries.get(path)
        if found is not None:
            return Facts(FileKind.FILE, found[1].size, found[1].mtime_ns)
        if self._is_directory(path):
            return Facts(FileKind.DIRECTORY)
        raise NotFoundError(f'no file "{path}" in the cache')

    def exists(self, path: str) -> bool:
        """True when `stat` would answer."""
        return path in self._entries or self._is_directory(path)

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """All files below a path; directories are no objects here, so the names of the root may hold `/`."""
        if path in self._entries:
            raise InTheWayError(f'"{path}" in the cache is a file, not a directory')
        if not self._is_directory(path):
            raise NotFoundError(f'no directory "{path}" in the cache')
        start = f"{path}/" if path else ""
        return [(name[len(start) :], self.stat(name)) for name in self._entries if name.startswith(start)]

    def open(self, path: str) -> CacheReader:
        """The contents, checked as they are read; a small file is checked now, and not found when it is damaged."""
        slot, entry = self._need(path)
        if entry.size <= _SMALL:
            try:
                with closing(self._reader(slot, entry)) as reader:
                    reader.check()
            except FormatError as error:
                raise NotFoundError(error.message, hint=error.hint) from error
        self._touch(slot)
        return self._reader(slot, entry)

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Create or replace a file. With `facts` its time is taken for the server's (see `is_current`).

        The least recently used files go when there is no room; the file's own former version goes first, so a write that
        fails when there is no room for both loses it. Raises NoSpaceError before anything is touched when `size` can never fit.
        """
        seed, run = self._new_contents(path, size)
        try:
            if size is not None:
                run.add(self._take(self._with_reserve(blocks_for(size)), blocks_for(size), path, run))
            writer = BlockWriter(self._device, run, seed, lambda count: self._grow(run, count, path))
            for chunk in chunks:
                writer.write(chunk)
            if size is not None and writer.size != size:
                raise StorageError(f'"{path}" has {writer.size} bytes, {size} were announced')
            writer.finish()
            self._trim(run, blocks_for(writer.size))
            self._device.flush()
            slot, entry = self._enter(path, seed, writer.size, facts, writer.first_block, run)
        except BaseException:       # Ctrl-C too: the room is free again, nothing points to it
            self._space.give_back(run.extents)
            raise
        self._replace(path, slot, entry)

    def fill(self, path: str, size: int, facts: Facts | None = None) -> Filling:
        """Create or replace a file of `size` bytes whose contents come in any order; as `write_file` otherwise."""
        seed, run = self._new_contents(path, size)
        run.add(self._take(self._with_reserve(blocks_for(size)), blocks_for(size), path, run))

        entered = False

        def finish(first_block: bytes) -> None:
            nonlocal entered
            slot, entry = self._enter(path, seed, size, facts, first_block, run)
            entered = True
            self._replace(path, slot, entry)

        def give_up() -> None:
            if not entered:
                self._space.give_back(run.extents)

        return Filling(self._device, run, seed, size, finish, give_up)

    def is_current(self, path: str, facts: SourceFacts, first_block: bytes | None = None) -> bool:
        """Whether a cached file is still the one on the server (language.md 5): same size and time, or, when the server
        tells no time, same size and same first block (its first 32 KB, or all of a shorter file)."""
        found = self._entries.get(path)
        if found is None:
            return False
        entry = found[1]
        if facts.size is not None and facts.size != entry.size:
            return False
        if facts.mtime_ns is not None:
            return facts.size is not None and entry.server_time and facts.mtime_ns == entry.mtime_ns
        return first_block is not None and checksum_of(first_block) == entry.first_block

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Nothing: directories are not objects here. Raises InTheWayError where a file is in the way."""
        if path in self._entries:
            raise InTheWayError(f'"{path}" in the cache is a file, not a directory')

    def set_facts(self, path: str, facts: Facts) -> None:
        """The time of a file."""
        if self._is_directory(path):
            return
        _, entry = self._need(path)
        self._generation += 1
        changed = replace(entry, generation=self._generation, mtime_ns=facts.mtime_ns)
        self._replace(path, self._write_entry(changed, path), changed)

    def remove(self, path: str) -> None:
        """Remove a file. A directory is gone with its last file: removing it then is no error."""
        if path in self._entries:
            self._drop(path)
            parent = path.rpartition("/")[0]
            while parent and not self._is_directory(parent):
                self._emptied.add(parent)
                parent = parent.rpartition("/")[0]
        elif self._is_directory(path):
            raise InTheWayError(f'the directory "{path}" in the cache is not empty')
        elif path in self._emptied:
            self._emptied.discard(path)
        else:
            raise NotFoundError(f'no file "{path}" in the cache')

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        _, entry = self._need(old)
        self._check_name(new)
        if new in self._entries:
            raise InTheWayError(f'"{new}" is in the cache already')
        self._generation += 1
        changed = replace(entry, name=new, generation=self._generation)
        self._replace(old, self._write_entry(changed, old), changed)

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """The directory, and the blocks of files."""
        if not self._formatted:
            return
        start, end = 0, self._geometry.data_offset
        for first, count in sorted(extent for _, entry in self._entries.values() for extent in entry.extents):
            offset = self._geometry.block_offset(first)
            if offset > end:
                yield start, end
                start = offset
            end = offset + count * BLOCK
        yield start, end

    def check(self) -> list[Problem]:
        """Every file whose blocks do not check."""
        found = []
        for name, (_, entry) in self._entries.items():
            try:
                CacheReader(self._device, self._geometry, entry, lambda: None, lambda: None).check()
            except FormatError as error:
                found.append(Problem(name, error.message))
        return found

    def flush(self) -> None:
        """What is written lasts from here on; when files were used is written only now."""
        if self._use_changed and self._formatted:
            table = b"".join(map(USE.pack, self._used_at))
            with suppress(ReadOnlyError):       # it only decides which files go first
                self._device.write(USE_OFFSET, table)
        self._use_changed = False
        self._device.flush()
        self._cleared = False

    def close(self) -> None:
        """Flush and let go."""
        self.flush()

    def _load(self) -> None:
        """Entries that check; of two for one name, or with blocks in common, the younger one."""
        slots: dict[int, Entry] = {}
        per_step = MIB // SLOT
        for first in range(0, self._geometry.slots, per_step):
            count = min(per_step, self._geometry.slots - first)
            data = self._device.read(self._geometry.slot_offset(first), count * SLOT)
            for index in range(count):
                entry = Entry.from_bytes(data[index * SLOT : (index + 1) * SLOT], self._geometry.blocks)
                if entry is not None:
                    slots[first + index] = entry
        # Also of those that are left out below: a new entry must be younger than whatever may be read again one day.
        self._generation = max((entry.generation for entry in slots.values()), default=0)
        found = list(slots)
        names: dict[str, int] = {}
        for slot, entry in sorted(slots.items(), key=lambda item: item[1].generation):
            names[entry.name] = slot
        slots = without_overlaps({slot: slots[slot] for slot in names.values()})
        # A name that is also the beginning of another (`a` and `a/b`) can only come from damage; the longer one stays.
        parents = {parent for entry in slots.values() for parent in _parents(entry.name)}
        self._entries = {entry.name: (slot, entry) for slot, entry in slots.items() if entry.name not in parents}
        # What does not count now might after the next change, in front of a younger file: it is cleared before that.
        counting = {slot for slot, _ in self._entries.values()}
        self._left_out = [slot for slot in found if slot not in counting]
        uses = self._device.read(USE_OFFSET, self._geometry.slots * USE.size)
        for slot, _ in self._entries.values():
            used_at = USE.unpack_from(uses, slot * USE.size)[0]
            self._used_at[slot] = used_at if used_at < GREATEST_COUNT else 0

    def _need(self, path: str) -> tuple[int, Entry]:
        found = self._entries.get(path)
        if found is None:
            if self._is_directory(path):
                raise InTheWayError(f'"{path}" in the cache is a directory, not a file')
            raise NotFoundError(f'no file "{path}" in the cache')
        return found

    def _is_directory(self, path: str) -> bool:
        return not path or any(name.startswith(f"{path}/") for name in self._entries)

    def _check_name(self, path: str) -> None:
        if not is_good_name(path):
            if len(path) > LONGEST_NAME:
                raise StorageError(f'"{path[:40]}..." has {len(path)} characters, a name in the cache at most {LONGEST_NAME}')
            raise StorageError(f'"{path}" cannot be a name in the cache')
        try:
            path.encode("utf-8")
        except UnicodeEncodeError as error:
            raise StorageError(f"{path!r} cannot be a name in the cache: it is no Unicode text") from error
        if self._is_directory(path):
            raise InTheWayError(f'"{path}" in the cache is a directory, not a file')
        for parent in _parents(path):
            if parent in self._entries:
                raise InTheWayError(f'"{parent}" in the cache is a file, not a directory')

    def _reader(self, slot: int, entry: Entry) -> CacheReader:
        def forget() -> None:
            present = self._entries.get(entry.name)
            if present is not None and present[1].seed == entry.seed:
                self._drop(entry.name)

        def release() -> None:
            self._readers[entry.seed] -= 1
            if not self._readers[entry.seed]:
                del self._readers[entry.seed]
                self._space.give_back(self._leaving.pop(entry.seed, ()))

        self._readers[entry.seed] += 1
        return CacheReader(self._device, self._geometry, entry, forget, release)

    def _touch(self, slot: int) -> None:
        self._used_at[slot] = max(self._used_at) + 1
        self._use_changed = True

    def _new_contents(self, path: str, size: int | None) -> tuple[int, Run]:
        """The seed and the empty run of a file to be written. Raises StorageError for a bad name, NoSpaceError for what can never fit."""
        self._check_name(path)
        if size is not None and blocks_for(size) > self._geometry.blocks - self._held():
            raise NoSpaceError(
                f'"{path}" with {size} bytes does not fit into the cache of {self._geometry.blocks * BLOCK} bytes'
            )
        if not self._geometry.blocks:
            raise NoSpaceError(f"the free space at the end of the disk ({self._geometry.size} bytes) is too small for a cache")
        self._format_if_new()
        self._generation += 1
        return self._generation, Run(self._geometry, [])

    def _enter(self, path: str, seed: int, size: int, facts: Facts | None, first_block: bytes, run: Run) -> tuple[int, Entry]:  # noqa: PLR0917 - the fields of an entry
        """Write the entry of contents that are written and flushed; its slot."""
        if seed != self._generation:        # others were written meanwhile
            self._generation += 1
        entry = Entry(
            path, self._generation, seed, size, facts.mtime_ns if facts else self._clock.now_ns(), facts is not None,
            checksum_of(first_block), tuple(run.extents),
        )
        return self._write_entry(entry, path), entry

    def _format_if_new(self) -> None:
        if not self._formatted:
            format_cache(self._device)
            self._formatted = True

    def _held(self) -> int:
        """Blocks that cannot be freed because they are being read."""
        held = sum(entry.capacity for _, entry in self._entries.values() if self._readers[entry.seed])
        return held + sum(count for extents in self._leaving.values() for _, count in extents)

    def _with_reserve(self, blocks: int) -> int:
        return blocks + blocks // 4 if self.reserve else blocks

    def _grow(self, run: Run, count: int, path: str) -> list[Extent]:
        """More blocks for a file whose size is not known: some steps ahead, but nothing is dropped for those."""
        return self._take(max(count, _GROWTH, run.blocks // 4), count, path, run)

    def _take(self, wanted: int, needed: int, path: str, run: Run) -> list[Extent]:
        """`wanted` blocks, or `needed` ones at least; old files are dropped until there is room for those."""
        room = MOST_EXTENTS - len(run.extents)
        while True:     # each turn drops a file
            taken = self._space.take(wanted, room)
            if taken is None:
                taken = self._space.take(needed, room)
            if taken is not None:
                break
            victim = self._victim(path)
            if victim is None:
                raise NoSpaceError(f'"{path}" does not fit into the cache of {self._geometry.blocks * BLOCK} bytes')
            self._drop(victim)
        if self._cleared:       # the former owner of these blocks is gone for certain before they are written to
            self._device.flush()
            self._cleared = False
        return taken

    def _victim(self, path: str) -> str | None:
        """What goes next: the former version of the file itself, then what was used least recently; None when all is in use."""
        idle = [name for name, (_, entry) in self._entries.items() if not self._readers[entry.seed]]
        return path if path in idle else min(idle, key=lambda name: self._used_at[self._entries[name][0]], default=None)

    def _trim(self, run: Run, needed: int) -> None:
        """Give back what a file does not need, but for its reserve."""
        spare = run.blocks - max(self._with_reserve(needed), needed)
        back: list[Extent] = []
        while spare > 0:
            first, count = run.extents.pop()
            cut = min(spare, count)
            if cut < count:
                run.extents.append((first, count - cut))
            back.append((first + count - cut, cut))
            spare -= cut
        self._space.give_back(back)

    def _write_entry(self, entry: Entry, former_name: str) -> int:
        """Write an entry to a free slot, durably; the one of `former_name` stays valid meanwhile."""
        if self._left_out:
            for each in self._left_out:
                self._device.write(self._geometry.slot_offset(each), _ZERO_SLOT)
            self._left_out = []
            self._device.flush()
        slot = self._free_slot(former_name)
        self._device.write(self._geometry.slot_offset(slot), entry.to_bytes())
        self._device.flush()
        return slot

    def _replace(self, former_name: str, slot: int, entry: Entry) -> None:
        """Use an entry that was written, and clear the one it replaces."""
        former = self._entries.pop(former_name, None)
        self._entries[entry.name] = (slot, entry)
        self._touch(slot)
        if former is not None:
            self._clear(*former, keep_blocks=former[1].seed == entry.seed)

    def _free_slot(self, former_name: str) -> int:
        taken = {slot for slot, _ in self._entries.values()}
        free = next((slot for slot in range(self._geometry.slots) if slot not in taken), None)
        if free is not None:
            return free
        others = [name for name in self._entries if name != former_name]
        victim = min(others, key=lambda name: self._used_at[self._entries[name][0]])
        slot = self._entries[victim][0]
        self._drop(victim)
        return slot

    def _drop(self, name: str) -> None:
        self._clear(*self._entries[name])
        del self._entries[name]

    def _clear(self, slot: int, entry: Entry, *, keep_blocks: bool = False) -> None:
        """Make a slot empty; its blocks are free at once, or when nobody reads them any more."""
        with suppress(ReadOnlyError):       # a damaged entry is forgotten on a read-only disk too, for this run
            self._device.write(self._geometry.slot_offset(slot), _ZERO_SLOT)
        self._used_at[slot] = 0
        self._cleared = True
        if keep_blocks:
            return
        if self._readers[entry.seed]:
            self._leaving[entry.seed] = entry.extents
        else:
            self._space.give_back(entry.extents)


def format_cache(device: BlockDevice) -> None:
    """Make the cache in an area empty. Raises NoSpaceError when the area is too small for one."""
    geometry = _geometry_of(device)
    if not geometry.blocks:
        raise NoSpaceError(f"the free space at the end of the disk ({geometry.size} bytes) is too small for a cache")
    device.zero(0, geometry.data_offset)
    device.flush()
    device.write(0, geometry.header())
    device.flush()


def cache_valid(device: BlockDevice) -> bool:
    """Whether there is room for a cache in an area; one that was never used counts (it is new and empty)."""
    return _geometry_of(device).blocks > 0


def checksum_of(first_block: bytes) -> bytes:
    """What tells two files of one size apart: the first 32 KB."""
    from blake3 import blake3  # noqa: PLC0415 - few scripts use the cache

    return bytes(blake3(first_block[:BLOCK]).digest(16))


def _geometry_of(device: BlockDevice) -> Geometry:
    """An area that does not know its place on the disk begins at 0."""
    start = getattr(device, "start", 0)
    return Geometry(start if isinstance(start, int) else 0, device.size)


def _parents(name: str) -> Iterator[str]:
    """What stands before each `/`."""
    position = name.find("/")
    while position >= 0:
        yield name[:position]
        position = name.find("/", position + 1)
