"""What is going to be written into a volume, known and checked before the first write.

A `Planned` is one entry: of an archive's table of names, of a foreign tar that was read once, of a tree about to be copied.
`check_plan` refuses, before anything is changed, what would fail in the middle: names and sizes the volume cannot hold, names that
differ only in case, files in the way of directories and the reverse, and more than fits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from ..base.errors import FormatError, InTheWayError, NoSpaceError, NotFoundError, StorageError
from ..base.units import format_size, round_up
from ..filesystems.filesystem import Facts, Family, FileKind, Filesystem, HasUnixObjects
from ..filesystems.sparse import WORTH_IT, stored
from .links import Copy

FILE, DIRECTORY, SYMLINK, HARD_LINK = "f", "d", "l", "h"
OTHERS = {"c": FileKind.CHARACTER_DEVICE, "b": FileKind.BLOCK_DEVICE, "p": FileKind.FIFO}
CODES = {FileKind.FILE: FILE, FileKind.DIRECTORY: DIRECTORY, FileKind.SYMLINK: SYMLINK} | {kind: code for code, kind in OTHERS.items()}
_WORDS = {SYMLINK: "link", HARD_LINK: "link"}
MAX_DEPTH = 400                 # directories inside each other; a path of the kernel has 4096 bytes
MAX_WITH_HOLES = 1 << 44        # bytes of all files that may be more than fits because of their holes: they take seconds for each TiB
MAX_ENTRIES = 1 << 21           # of one archive: 2 million, ten times a full Linux system


class Planned(NamedTuple):
    """One entry. `link` is the text of a symbolic link, or the path of the earlier entry that a hard link joins."""

    path: str
    code: str
    size: int = 0
    link: str = ""


@runtime_checkable
class HasAllocationUnit(Protocol):
    """A volume that gives out room in clusters or blocks of so many bytes."""

    @property
    def allocation_unit(self) -> int:
        """Bytes."""
        ...


@runtime_checkable
class HasLargestFile(Protocol):
    """A volume that ends files at so many bytes."""

    @property
    def largest_file(self) -> int:
        """Bytes."""
        ...


def planned(path: str, facts: Facts, link: str | None = None) -> Planned:
    """The plan of one entry."""
    if link is not None:
        return Planned(path, HARD_LINK, 0, link)
    return Planned(path, CODES[facts.kind], facts.size if facts.kind is FileKind.FILE else 0, facts.target)


Stored = Callable[[], Mapping[str, int]]
"""Bytes of files, by path, that are left when holes are not written; at most so many. Asked for only when room is short."""


class Found(NamedTuple):
    """What the target has already: name as stored, kind, size, and whether it has other names (hard links)."""

    name: str
    kind: FileKind
    size: int
    shared: bool


def folding(volume: Filesystem) -> Callable[[str], str]:
    """What names of a volume are compared by."""
    if volume.family is Family.FAT:
        from ..filesystems.fat.names import fold  # noqa: PLC0415 - only for FAT

        return fold
    return str.casefold if volume.ignores_case else str


def check_plan(
    target: Filesystem, root: str, plan: Sequence[Planned], copies: Iterable[Copy] = (), removed: Iterable[str] = (),
    *, ask: Stored | None = None,
) -> dict[str, dict[str, Found]]:
    """Everything that can be known before the first write; see the top. `copies` are links that become files (FAT).

    Gives what is already there in each directory of the plan, under folded paths and names. What is in `removed` will be
    gone by then: it is in nobody's way, and its room counts as free. Where holes are kept, files need what `ask` says of them.

    Raises FormatError for an archive that contradicts itself, StorageError for names, InTheWayError, NoSpaceError.
    """
    return _Check(target, root).run(plan, copies, removed, ask)


class _Check:
    def __init__(self, target: Filesystem, root: str) -> None:
        self._target = target
        self._root = root
        self._fold = folding(target)
        self._folds = target.ignores_case or target.family is Family.FAT
        self._unix = isinstance(target, HasUnixObjects)
        self._existing: dict[str, dict[str, Found]] = {}
        self._removed: set[str] = set()
        self._kinds: dict[str, bool] = {"": True}       # folded path of the plan → whether it is a directory
        self._seen: dict[str, str] = {}                 # folded path → path, where the volume folds names
        self._left_out: set[str] = set()                # links and devices, on a volume that cannot hold them
        self._unit = target.allocation_unit if isinstance(target, HasAllocationUnit) else 1
        self._largest = target.largest_file if isinstance(target, HasLargestFile) else None
        self._room = 0                                  # bytes needed
        self._whole = 0                                 # the same without regard to what is there, or to blocks
        self._slots: dict[str, int] = {}                # new directories on FAT: slots of 32 bytes
        self._check_name = self._name_rule()

    def run(self, plan: Sequence[Planned], copies: Iterable[Copy], removed: Iterable[str], ask: Stored | None) -> dict[str, dict[str, Found]]:
        for path in removed:
            self._removed.add(self._fold(path))
            place = f"{self._root}/{path}" if self._root else path
            if self._target.exists(place):
                self._free(path, self._target.stat(place).size)
        for entry in plan:
            code = entry.code
            if self._unix or code in {FILE, DIRECTORY}:
                self._entry(entry.path, entry.size, is_directory=code == DIRECTORY, is_file=code == FILE)
            else:
                folded = self._fold(entry.path)
                if folded in self._kinds and self._seen.get(folded, entry.path) == entry.path:
                    raise FormatError(f'"{entry.path}" is both a {_WORDS.get(code, "device")} and something else in this archive')
                self._left_out.add(folded)
        for copy in copies:
            self._entry(copy.path, copy.size, is_directory=copy.is_directory, is_file=not copy.is_directory)
        need = self._room + sum(max(round_up(count * 32, self._unit), self._unit) for count in self._slots.values())
        free = self._target.usage().free
        self._check_root_slots()
        if free < max(need, self._whole) <= MAX_WITH_HOLES and self._unix and ask is not None:
            sizes = ask()
            need -= sum(round_up(entry.size, self._unit) - round_up(sizes.get(entry.path, entry.size), self._unit) for entry in plan if entry.code == FILE)
        if need > free:
            raise NoSpaceError(f"the files need {format_size(need)}, there are {format_size(free)} free: {need - free} bytes too few")
        return self._existing

    def _entry(self, path: str, size: int, *, is_directory: bool, is_file: bool) -> None:
        parent, _, name = path.rpartition("/")
        folded = self._fold(path) if self._folds else path
        folded_parent = (self._fold(parent) if self._folds else parent) if parent else ""
        before = self._kinds.get(folded_parent)
        if before is None:
            if path.count("/") > MAX_DEPTH:
                raise StorageError(f'"{path[:60]}..." has {path.count("/")} directories inside each other, at most {MAX_DEPTH} are possible')
            if folded_parent in self._left_out:
                raise FormatError(f'"{path}" lies in "{parent}", which is not a directory in this archive')
            self._entry(parent, 0, is_directory=True, is_file=False)    # archives of others leave parents out
        elif not before:
            raise FormatError(f'"{path}" lies in "{parent}", which is not a directory in this archive')
        known = self._kinds.get(folded)
        if known is not None:
            other = self._seen.get(folded, path)
            if other != path:
                raise StorageError(f'"{other}" and "{path}" differ only in case, which {self._target.kind} cannot hold')
            if known != is_directory:
                raise FormatError(f'"{path}" is both a directory and something else in this archive')
            return
        self._kinds[folded] = is_directory
        if len(self._kinds) > 2 * MAX_ENTRIES:
            raise StorageError(f"more than {2 * MAX_ENTRIES} files and directories")
        if self._folds:
            self._seen[folded] = path
        self._check_name(name, path)
        there = self._listing(folded_parent, parent).get(folded.rpartition("/")[2])
        if there is not None and folded in self._removed:
            there = None
        if there is None:
            if is_directory:
                self._slots[folded] = 2
            if folded_parent in self._slots:
                self._slots[folded_parent] += _slots(name)
        elif (there.kind is FileKind.DIRECTORY) != is_directory:
            self._refuse(path, there.kind, is_directory=is_directory)
        if is_file:
            if self._largest is not None and size > self._largest:
                raise StorageError(f'"{path}" has {format_size(size)}; a file on {self._target.kind} can have at most {format_size(self._largest)}')
            self._room += round_up(size, self._unit)
            self._whole += size
            if there is not None and there.kind is FileKind.FILE and not there.shared:
                self._free(path, there.size)

    def _free(self, path: str, size: int) -> None:
        """The room of a file that is there will be free."""
        if size >= WORTH_IT and self._unix:
            size = stored(self._target, f"{self._root}/{path}" if self._root else path, size)
        self._room -= round_up(size, self._unit)

    def _check_root_slots(self) -> None:
        """The root directory of FAT12 and FAT16 cannot grow."""
        if self._root or self._target.kind not in {"FAT12", "FAT16"}:
            return
        from ..filesystems.fat import FatVolume  # noqa: PLC0415 - only for FAT

        if isinstance(self._target, FatVolume):
            have = self._target.geometry.root_entries
            there = self._existing.get("", {})
            stay = [found.name for name, found in there.items() if name not in self._removed]
            new = [path for path in self._kinds if path and "/" not in path and path not in there]
            need = sum(map(_fewest_slots, stay)) + sum(_fewest_slots(self._seen[path]) for path in new)
            if need > have:
                raise NoSpaceError(
                    f"the root directory of {self._target.kind} has room for {have} slots, these names need {need}",
                    hint="long names take several slots; put the files into a directory",
                )

    def _refuse(self, path: str, found: FileKind, *, is_directory: bool) -> None:
        place = f"{self._root}/{path}" if self._root else path
        wanted = "a directory" if is_directory else "something else"
        raise InTheWayError(f'"{place}" is a {found} on the target, and {wanted} in the archive')

    def _listing(self, folded: str, directory: str) -> dict[str, Found]:
        """What the target has in a directory of the plan; nothing when the directory is new."""
        found = self._existing.get(folded)
        if found is None:
            found = {}
            if folded not in self._slots:
                place = f"{self._root}/{directory}" if self._root and directory else self._root or directory
                try:
                    listing = self._target.entries(place)
                except NotFoundError:
                    listing = []        # the root is new too
                fold = self._fold
                found = {fold(name): _found(name, facts) for name, facts in listing}
            self._existing[folded] = found
        return found

    def _name_rule(self) -> Callable[[str, str], None]:
        """A function of name and path that raises StorageError for what the volume cannot hold."""
        kind = self._target.kind
        if self._target.family is Family.FAT:
            from ..filesystems.fat.names import check_name  # noqa: PLC0415 - only for FAT

            def fat(name: str, path: str) -> None:
                try:
                    check_name(name)
                except StorageError as error:
                    raise StorageError(f"{path}: {error.message}" if "/" in path else error.message, hint=error.hint) from error

            return fat

        def unix(name: str, path: str) -> None:
            if len(name) > 63 and len(name.encode(errors="surrogateescape")) > 255:
                raise StorageError(f'"{path[:60]}...{path[-20:]}": a name has more than 255 bytes, which {kind} cannot hold')

        return unix


def _found(name: str, facts: Facts) -> Found:
    shared = facts.unix is not None and facts.unix.links > 1 and facts.kind is not FileKind.DIRECTORY
    return Found(name, facts.kind, facts.size, shared)


def _fewest_slots(name: str) -> int:
    """Directory slots of a name on FAT: one for a short name, else as `_slots` has it."""
    from ..filesystems.fat.names import plain_short  # noqa: PLC0415 - only for FAT

    return 1 if plain_short(name) is not None else _slots(name)


def _slots(name: str) -> int:
    """Directory slots of a name on FAT, at most: 13 UTF-16 units in each long-name slot (fatgen103, "Long Directory Entries")."""
    return 1 - -len(name) // 13 if name.isascii() else 1 - -len(name.encode("utf-16-le", "replace")) // 26
