"""An incremental archive as a volume that can be read: any file is reached by decoding only the chunks that hold it.

Names, kinds and sizes come from section NAME; section HEAD says where each entry stands in the tar stream (`tar_heads.py`). In an archive
without HEAD the places are found by going from header to header, once. Owner, mode and times are read from an entry's own header
when they are asked for, and the entry must be the one that NAME says.
"""

from array import array
from collections.abc import Iterable
from itertools import accumulate

from ..base.errors import FormatError, InTheWayError, NotFoundError
from ..base.sources import Reader
from ..base.units import round_up
from ..blocks.device import BlockDevice, data_ranges_of
from ..filesystems.filesystem import Extent, Facts, Family, FileKind, UnixFacts
from .container import Archive
from .image_device import ArchiveDevice
from .incremental import ignores_case, read_names
from .pieces import Piece
from .plan import FILE, HARD_LINK, Planned, planned
from .read_only import ReadOnlyTree
from .tar_heads import read_heads
from .tar_layout import BLOCK, GNU_LONG_LINK, GNU_LONG_NAME, MAX_EXTENSION, PAX, PAX_GLOBAL, PAX_SOLARIS
from .tar_read import TarReader

_EXTENSIONS = {PAX, PAX_GLOBAL, PAX_SOLARIS, GNU_LONG_NAME, GNU_LONG_LINK}
_MAX_HEAD = 4 * MAX_EXTENSION
_NO_FACTS = Facts(FileKind.DIRECTORY)      # of the root, and of parents that the archive leaves out


class TarTree(ReadOnlyTree):
    """The entries of an incremental archive that can be read from anywhere."""

    def __init__(self, archive: Archive, device: BlockDevice | None = None) -> None:
        """`device`: the tar stream, where it is open already. Raises FormatError."""
        self.device: BlockDevice = ArchiveDevice(archive) if device is None else device
        self._archive = archive
        self._plan = read_names(archive)
        self._ends: array[int] | None = None        # of every entry in the tar stream, padding included
        self._contents: array[int] | None = None    # where the contents of every entry begin
        meta = archive.header.meta
        self.kind = str(meta.get("filesystem", ""))
        self.label = str(meta.get("label", ""))
        self.ident = str(meta.get("ident", ""))
        self.ignores_case = ignores_case(archive)
        self.family = Family.FAT if self.ignores_case else Family.OTHER
        self._fold = str.casefold if self.ignores_case else str
        self._numbers = {self._fold(entry.path): number for number, entry in enumerate(self._plan)}
        self._children: dict[str, list[str]] | None = None
        self._names: dict[int, int] = {}            # number of a file with hard links → how many names it has
        for entry in self._plan:
            if entry.code == HARD_LINK:
                number = self._file(self._numbers[self._fold(entry.path)])
                self._names[number] = self._names.get(number, 1) + 1

    @property
    def plan(self) -> list[Planned]:
        """Every entry, in the order of the tar stream."""
        return self._plan

    def stat(self, path: str) -> Facts:
        """Facts of a path. Raises NotFoundError, FormatError."""
        if not path:
            return _NO_FACTS
        number = self._numbers.get(self._fold(path))
        if number is not None:
            return self._facts(number)
        if self._fold(path) in self._below():
            return _NO_FACTS
        raise NotFoundError(f"{path}: no such file or directory")

    def exists(self, path: str) -> bool:
        """True when `stat` would answer."""
        folded = self._fold(path)
        return not path or folded in self._numbers or folded in self._below()

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of a directory's entries."""
        children = self._below().get(self._fold(path))
        if children is None:
            if self.stat(path).kind is not FileKind.DIRECTORY:
                raise InTheWayError(f"{path} is not a directory")
            return []
        start = f"{path}/" if path else ""
        return [(name, self.stat(start + name)) for name in children]

    def open(self, path: str) -> Reader:
        """The contents of a file."""
        number = self._need_file(path)
        return Piece(self.device, self._offsets()[number], self._plan[number].size)

    def extents(self, path: str) -> list[Extent] | None:
        """Where the contents of a file lie in the tar stream; what the archive has as zeros is left out."""
        number = self._need_file(path)
        start = self._offsets()[number]
        return [Extent(low - start, low, high - low) for low, high in data_ranges_of(self.device, start, self._plan[number].size)]

    def paths_within(self, start: int, end: int) -> list[str]:
        """The entries of which a part lies in a range of the tar stream."""
        self._offsets()
        assert self._ends is not None
        from bisect import bisect_left, bisect_right  # noqa: PLC0415 - only for damage

        first, last = bisect_right(self._ends, start), bisect_left(self._ends, end)
        return [entry.path for entry in self._plan[first : last + 1]]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _need_file(self, path: str) -> int:
        """The number of the entry that holds the contents of a path."""
        number = self._numbers.get(self._fold(path))
        if number is None:
            facts = self.stat(path)     # raises when there is no such path
            raise InTheWayError(f'"{path}" is a {facts.kind}, not a file')
        number = self._file(number)
        if self._plan[number].code != FILE:
            raise InTheWayError(f'"{path}" is a {self._facts(number).kind}, not a file')
        return number

    def _file(self, number: int) -> int:
        """Hard links lead to an earlier entry, which may be one too; `check_links` has seen that each is there."""
        while self._plan[number].code == HARD_LINK:
            number = self._numbers[self._fold(self._plan[number].link)]
        return number

    def _facts(self, number: int) -> Facts:
        number = self._file(number)
        offsets = self._offsets()
        entry = self._plan[number]
        assert self._ends is not None
        start = self._ends[number - 1] if number else 0
        facts = _read_entry(self.device.read(start, offsets[number] - start), entry)
        names = self._names.get(number, 1)
        unix = facts.unix
        if unix is not None and names > 1:
            unix = UnixFacts(unix.mode, unix.uid, unix.gid, unix.atime_ns, unix.ctime_ns, unix.device, number + 1, names, unix.xattrs)
        return Facts(facts.kind, facts.size, facts.mtime_ns, facts.target, unix, facts.dos)

    def _below(self) -> dict[str, list[str]]:
        """Names in each directory that is not empty, by folded path; parents that have no entry are there too."""
        if self._children is None:
            children: dict[str, list[str]] = {}
            for entry in self._plan:
                path = entry.path
                while True:
                    parent, _, name = path.rpartition("/")
                    folded = self._fold(parent)
                    known = folded in children
                    children.setdefault(folded, []).append(name)
                    if known or not parent or folded in self._numbers:
                        break
                    path = parent
            self._children = children
        return self._children

    def _offsets(self) -> "array[int]":
        """Where the contents of each entry begin, in bytes of the tar stream."""
        if self._contents is None:
            heads: Iterable[int] = read_heads(self._archive, len(self._plan)) or self._find_heads()
            lengths = (BLOCK * head + round_up(entry.size, BLOCK) for head, entry in zip(heads, self._plan, strict=True))
            self._ends = array("Q", accumulate(lengths))
            sizes = (round_up(entry.size, BLOCK) for entry in self._plan)
            self._contents = array("Q", (end - size for end, size in zip(self._ends, sizes, strict=True)))
            if self._ends and self._ends[-1] > self.device.size:
                raise FormatError("archive: its entries reach beyond its end")
        return self._contents

    def _find_heads(self) -> list[int]:
        """The lengths of the headers, by going from one to the next."""
        heads = []
        position = 0
        for entry in self._plan:
            start = position
            kind = PAX
            while kind in _EXTENSIONS:
                block = self.device.read(position, min(BLOCK, self.device.size - position))
                kind = block[156:157]
                position += BLOCK
                if kind in _EXTENSIONS:
                    position += round_up(_octal(block[124:136], entry), BLOCK)
                if len(block) < BLOCK or position - start > _MAX_HEAD:
                    raise _damaged(entry)
            heads.append((position - start) // BLOCK)
            position += round_up(entry.size, BLOCK)
        return heads


def _read_entry(head: bytes, wanted: Planned) -> Facts:
    """What the header of an entry says. Raises FormatError when it is not the wanted one."""
    try:
        entry = next(iter(TarReader([head])), None)
    except FormatError as error:
        raise _damaged(wanted) from error
    if entry is None or planned(entry.path, entry.facts, entry.link) != wanted:
        raise _damaged(wanted)
    return entry.facts


def _octal(field: bytes, entry: Planned) -> int:
    try:
        size = int(field.rstrip(b"\0 "), 8)
    except ValueError as error:
        raise _damaged(entry) from error
    if not 0 <= size <= MAX_EXTENSION:
        raise _damaged(entry)
    return size


def _damaged(entry: Planned) -> FormatError:
    return FormatError(f'archive: the entry "{entry.path[:200]}" is not where it should be, or not what the table of names says')


