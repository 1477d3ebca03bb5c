"""Files and directories into a volume, file by file: from another volume (`copy_tree`), or from an archive (`TreeWriter`).

Between volumes that know Unix objects everything is kept: owners, modes, links, devices, extended attributes, times. On a
volume that knows none (FAT) owners and modes are dropped, links become copies of what they lead to inside the tree, and
devices and dangling links are skipped with one counted warning (language.md 8.7). What can be refused is refused before the
first write (`plan.py`).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Protocol, runtime_checkable

from ..base.errors import InTheWayError, NotFoundError, StorageError
from ..base.events import Event, Kind, Progress, Sink, ignore
from ..blocks.device import Buffer
from ..filesystems.elsewhere import Elsewhere
from ..filesystems.filesystem import (
    DosFacts,
    Facts,
    Family,
    FileKind,
    Filesystem,
    HasUnixObjects,
    MakesManyFiles,
    NewFile,
    UnixFacts,
    make_dirs,
    split_path,
)
from ..filesystems.sparse import WORTH_IT, WithHoles, contents_of, read_in_steps, stored
from .filters import Filters, select
from .links import Copy, LinkTree
from .plan import HARD_LINK, SYMLINK, Found, Planned, Stored, check_plan, folding, planned

READ_ONLY, ARCHIVE = 1, 0x20


@dataclass(slots=True)
class Summary:
    """What was written. `skipped`: what the target could not hold, word → how often. `size` is bytes of contents."""

    files: int = 0
    directories: int = 0
    links: int = 0
    others: int = 0
    removed: int = 0
    size: int = 0
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, what: str, times: int = 1) -> None:
        """Count something that could not be held."""
        self.skipped[what] = self.skipped.get(what, 0) + times

    def warning(self, target: str) -> str:
        """One sentence about what was skipped; "" when nothing was."""
        if not self.skipped:
            return ""
        words = [f"{times} {what}{'' if times == 1 else 's'}" for what, times in sorted(self.skipped.items())]
        listed = " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
        return f"{listed} skipped: {'this host' if target == 'FOLDER' else target} cannot hold them"


@runtime_checkable
class SkipsSome(Protocol):
    """A volume that does not hold everything it is given, and counts that: a folder of an ordinary user."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """Word → how often, since it was opened."""
        ...


def to_unix(facts: Facts) -> Facts:
    """With what a Unix volume wants to know: from DOS, files are 0644, read-only ones 0444, directories 0755, all of root."""
    if facts.unix is not None:
        return facts
    if facts.kind is FileKind.DIRECTORY:
        mode = 0o755
    else:
        mode = 0o444 if facts.dos is not None and facts.dos.attributes & READ_ONLY else 0o644
    return facts._replace(unix=UnixFacts(mode, atime_ns=facts.mtime_ns, ctime_ns=facts.mtime_ns))


def to_dos(facts: Facts) -> Facts:
    """With what FAT wants to know: from Unix, files that nobody may write are read-only, all files have the archive bit."""
    if facts.dos is not None:
        return facts
    attributes = 0
    if facts.kind is FileKind.FILE:
        attributes = ARCHIVE if facts.unix is None or facts.unix.mode & 0o222 else ARCHIVE | READ_ONLY
    # Not `replace`: this is done for every file that goes to FAT.
    return Facts(facts.kind, facts.size, facts.mtime_ns, facts.target, facts.unix, DosFacts(attributes, facts.mtime_ns))


class TreeWriter:
    """Writes a planned tree below `root` of a volume: the constructor checks everything, `begin` starts, `finish` ends.

    `removed` are paths that `begin` removes; `outside` tells what is on the target already and links may lead to: the size of
    a file, -1 for a directory, None for nothing (both for difference archives). `tried` has checked the same plan on a volume that
    holds the same. `stored`: bytes of files with holes (plan.py).
    """

    def __init__(
        self, target: Filesystem, root: str, plan: Sequence[Planned], *, sink: Sink = ignore, task: str = "copy",
        removed: Iterable[str] = (), outside: Callable[[str], int | None] | None = None, tried: "TreeWriter | None" = None,
        stored: Stored | None = None,
    ) -> None:
        self._target = target
        self._root = root
        self._unix = target if isinstance(target, HasUnixObjects) else None
        self._many = target if isinstance(target, MakesManyFiles) else None
        self._convert = to_unix if self._unix is not None or target.family is not Family.FAT else to_dos
        self._sink = sink
        self._fold = folding(target)
        self.summary = Summary()
        self._copies: list[Copy] = []
        if self._unix is None:
            self._plan_copies(plan, outside)
        self._removed = tuple(removed)
        self._stored: Mapping[str, int] = {}            # where room is short: bytes of files that are in no holes

        def ask() -> Mapping[str, int]:
            self._stored = {} if stored is None else stored()
            return self._stored

        self._existing: dict[str, dict[str, Found]] = tried._existing if tried is not None else check_plan(target, root, plan, self._copies, self._removed, ask=ask)
        self._made = {""}                               # directories below the root that are there, folded
        self._parent: tuple[str, dict[str, Found]] = ("", self._existing.get("", {}))      # of the last entry
        self._late: list[tuple[str, Facts]] = []        # directories whose times are set at the end
        self._progress = Progress(sink, task, sum(entry.size for entry in plan) + sum(copy.size for copy in self._copies))
        self._is_fat = target.family is Family.FAT
        self._quiet = sink is ignore
        self._skipped_before = dict(target.skipped) if isinstance(target, SkipsSome) else {}

    def begin(self) -> None:
        """Make the directory that everything goes into, and those above it, and remove what is to go."""
        self._progress.report()
        make_dirs(self._target, self._root)
        for path in reversed(self._removed):        # what is in a directory before the directory
            self._remove(path)

    def put(self, path: str, facts: Facts, chunks: Iterable[Buffer] = (), link: str | None = None) -> None:
        """Write one entry of the plan; with `link`, as another name of that earlier entry."""
        place = f"{self._root}/{path}" if self._root else path
        if link is not None:
            self._link(path, place, link)
        elif facts.kind is FileKind.FILE:
            self._clear(path, place, keep=FileKind.FILE)
            if path in self._stored:
                chunks = WithHoles(chunks, self._stored[path])
            self._target.write_file(place, chunks, facts.size, self._convert(facts))
            self._wrote(place, facts.size)
        elif facts.kind is FileKind.DIRECTORY:
            self._directory(path, place, facts)
        elif self._unix is not None:
            self._clear(path, place)
            if facts.kind is FileKind.SYMLINK:
                self._unix.make_symlink(place, facts.target, to_unix(facts))
                self.summary.links += 1
            else:
                self._unix.make_node(place, to_unix(facts))
                self.summary.others += 1
        elif facts.kind is not FileKind.SYMLINK:
            self.summary.skip("device")

    def put_files(self, files: Sequence[tuple[str, Facts, Buffer | Elsewhere]]) -> list[int]:
        """Write several files of the plan with all their contents, in order: `put` for each of them, in one go where the volume can.

        Those that are left are told by their places in the list: files with contents elsewhere that the volume would not make.
        """
        left: list[int] = []
        end = 0
        while end < len(files):
            start, end = end, end + 1
            parent = files[start][0].rpartition("/")[0]
            while end < len(files) and files[end][0].rpartition("/")[0] == parent:
                end += 1
            left += [start + place for place in self._put_beside(parent, files[start:end])]
        return left

    def _put_beside(self, parent: str, files: Sequence[tuple[str, Facts, Buffer | Elsewhere]]) -> list[int]:
        """Files of one directory; those that are left."""
        self._enter(parent)
        new: list[NewFile] = []
        skip, convert = len(parent) + 1 if parent else 0, self._convert
        there = self._parent[1]
        if self._many is not None and not (there and any(self._fold(path[skip:]) in there for path, _, _ in files)):     # nothing is in their way
            new = [NewFile(path[skip:], data if isinstance(data, Elsewhere) else memoryview(data), convert(facts)) for path, facts, data in files]
        place = f"{self._root}/{parent}" if self._root and parent else self._root or parent
        left: list[int] = []
        position = 0
        while position < len(files):
            if self._many is not None and position < len(new):
                # What is written with a tilde may be answered to by another file, because that is its short name.
                usual = list(takewhile(_has_no_tilde, new[position:])) if self._is_fat else new[position:]
                made = self._many.make_files(place, usual)
                for path, facts, data in files[position : position + made]:
                    size = data.stored if isinstance(data, Elsewhere) else facts.size
                    self._wrote(f"{self._root}/{path}" if self._root else path, size, arrived=not isinstance(data, Elsewhere))
                position += made
            if position < len(files):
                path, facts, data = files[position]
                if isinstance(data, Elsewhere):
                    left.append(position)
                else:
                    self.put(path, facts, (data,))
                position += 1
        return left

    def arrived(self, size: int) -> None:
        """So many bytes of files with contents elsewhere are on the device."""
        self._progress.advance(size)

    def _wrote(self, place: str, size: int, *, arrived: bool = True) -> None:
        self.summary.files += 1
        self.summary.size += size
        if not self._quiet:
            self._sink(Event(Kind.FILE_WRITTEN, {"path": place, "size": size}))
            if arrived:
                self._progress.advance(size)

    def _remove(self, path: str) -> None:
        """A file, or a directory that is empty by now; one that is missing is no error."""
        place = f"{self._root}/{path}" if self._root else path
        try:
            self._target.remove(place)
        except NotFoundError:
            return
        except InTheWayError:
            return      # a directory that is not empty, or that is no directory any more, is not what the archive knew
        self.summary.removed += 1

    def finish(self) -> Summary:
        """Copies that stand for links, then times of directories (innermost first), then the warning."""
        for copy in self._copies:
            self._copy(copy)
        for place, facts in reversed(self._late):
            self._target.set_facts(place, facts)
        if isinstance(self._target, SkipsSome):
            for what, times in self._target.skipped.items():
                if times > self._skipped_before.get(what, 0):
                    self.summary.skip(what, times - self._skipped_before.get(what, 0))
        warning = self.summary.warning(self._target.kind)
        if warning:
            self._sink(Event(Kind.WARNING, {"text": warning}))
        self._progress.report()
        return self.summary

    # --- inside ------------------------------------------------------------------------------------------------------

    def _enter(self, parent: str) -> None:
        """Make a directory if the plan left it out; what is in it is at hand from now on."""
        if parent != self._parent[0]:
            folded = self._fold(parent)
            if folded not in self._made:
                make_dirs(self._target, f"{self._root}/{parent}" if self._root else parent)
                self._made.add(folded)
            self._parent = parent, self._existing.get(folded, {})

    def _clear(self, path: str, place: str, keep: FileKind | None = None) -> None:
        """Make the parent if the plan left it out, and remove what has this name unless it is of the kind `keep`."""
        parent, _, name = path.rpartition("/")
        self._enter(parent)
        there = self._parent[1].pop(self._fold(name), None) if self._parent[1] else None
        if there is not None:
            # A file with other names is not overwritten in its place: they would change too.
            if there.kind is not keep or there.shared:
                with suppress(NotFoundError):       # it was one of those to be removed
                    self._target.remove(place)
        elif self._is_fat and "~" in name and self._fold(path) not in self._made and self._target.exists(place):
            self._take_short_name(place, is_directory=keep is FileKind.DIRECTORY)

    def _take_short_name(self, place: str, *, is_directory: bool) -> None:
        """Something else answers to this name, because it is its short name (LONGFI~1.TXT): it gets another one."""
        parent, name = split_path(place)
        start = f"{parent}/" if parent else ""
        wanted = self._fold(name)
        for other, facts in self._target.entries(parent):
            if facts.dos is not None and self._fold(facts.dos.short_name) == wanted:
                aside = next(free for number in count() if not self._target.exists(free := f"{start}BPS{number}.TMP"))
                self._target.rename(start + other, aside)
                if is_directory:
                    self._target.make_dir(place)
                else:
                    self._target.write_file(place, (), 0)
                self._target.rename(aside, start + other)
                return

    def _directory(self, path: str, place: str, facts: Facts) -> None:
        self._clear(path, place, keep=FileKind.DIRECTORY)
        converted = self._convert(facts)
        self._made.add(self._fold(path))
        self.summary.directories += 1
        if self._target.kind == "FOLDER" and converted.unix is not None and os.geteuid():
            # The host asks its own user for write permission while files go in; owners are set, or given up, at the end.
            mine = UnixFacts(converted.unix.mode | 0o700, os.geteuid(), os.getegid())
            self._target.make_dir(place, converted._replace(unix=mine))
        else:
            self._target.make_dir(place, converted)
        if self._unix is not None:
            self._late.append((place, converted))       # every entry made in it changes its time

    def _link(self, path: str, place: str, link: str) -> None:
        if self._unix is not None:
            self._clear(path, place)
            self._unix.make_hard_link(place, f"{self._root}/{link}" if self._root else link)
            self.summary.links += 1

    def _plan_copies(self, plan: Sequence[Planned], outside: Callable[[str], int | None] | None) -> None:
        links = [entry for entry in plan if entry.code in {SYMLINK, HARD_LINK}]
        if not links:
            return
        tree = LinkTree({entry.path: entry for entry in plan}, outside)
        for entry in links:
            copies = tree.copies_of(entry.path)
            if copies:
                self._copies += copies
            else:
                self.summary.skip("dangling link")

    def _copy(self, copy: Copy) -> None:
        start = f"{self._root}/" if self._root else ""
        self._clear(copy.path, start + copy.path, keep=FileKind.DIRECTORY if copy.is_directory else FileKind.FILE)
        facts = self._target.stat(start + copy.source) if copy.source or self._root else Facts(FileKind.DIRECTORY)
        facts = self._convert(facts if facts.dos is None else facts._replace(dos=facts.dos._replace(short_name="")))
        if copy.is_directory:
            self._target.make_dir(start + copy.path, facts)
            self._made.add(self._fold(copy.path))
            self.summary.directories += 1
            return
        with closing(self._target.open(start + copy.source)) as reader:
            self._target.write_file(start + copy.path, read_in_steps(reader), facts.size, facts)
        self.summary.files += 1
        self.summary.size += facts.size
        self._progress.advance(facts.size)


def _has_no_tilde(file: NewFile) -> bool:
    return "~" not in file.name


def listing(source: Filesystem, path: str, filters: Filters) -> Iterator[tuple[str, Facts, str | None]]:
    """Paths below `path` that the filters let through, with facts, and the first path of the same file for hard links.

    A single file is listed under its own name. Sockets are left out: they mean nothing without their program.
    """
    facts = source.stat(path)
    if facts.kind is not FileKind.DIRECTORY:
        yield split_path(path)[1], facts, None
        return
    first: dict[int, str] = {}
    for found, facts in select(source, path, filters.selector(ignore_case=source.ignores_case)):
        if facts.kind is FileKind.SOCKET:
            continue
        unix = facts.unix
        if unix is not None and unix.links > 1 and unix.inode and facts.kind is not FileKind.DIRECTORY:
            earlier = first.setdefault(unix.inode, found)
            if earlier != found:
                yield found, facts, earlier
                continue
        yield found, facts, None


def stored_sizes(source: Filesystem, path: str, found: Iterable[tuple[str, Facts, str | None]]) -> dict[str, int]:
    """Bytes that files of a listing below `path` need where holes are kept: of those that may have any."""
    start = f"{path}/" if path else ""
    return {
        inner: stored(source, start + inner, facts.size)
        for inner, facts, link in found
        if facts.kind is FileKind.FILE and link is None and facts.size >= WORTH_IT
    }


def copy_tree(
    source: Filesystem, source_path: str, target: Filesystem, target_path: str, *, filters: Filters | None = None,
    sink: Sink = ignore, on_file: Callable[[str, Facts], None] | None = None,
) -> Summary:
    """Copy what is below a directory (or one file) into a directory of another volume; it is made if missing.

    Everything of the target that has no namesake stays. `on_file` is told each path (below the source) before it is copied.
    Errors as `check_plan`, before the first write; NotFoundError when the source is missing.
    """
    if source is target and (target_path == source_path or target_path.startswith(f"{source_path}/" if source_path else "")):
        raise StorageError(f'"{source_path}" cannot be copied into itself')
    if source.stat(source_path).kind is not FileKind.DIRECTORY:
        return _copy_file(source, source_path, target, target_path, sink, on_file)
    found = list(listing(source, source_path, filters or Filters()))
    plan = [planned(path, facts, link) for path, facts, link in found]
    return copy_planned(source, source_path, target, target_path, found, plan, sink=sink, on_file=on_file)


def copy_planned(  # noqa: PLR0917 - those of copy_tree
    source: Filesystem, source_path: str, target: Filesystem, target_path: str, found: Sequence[tuple[str, Facts, str | None]],
    plan: Sequence[Planned], *, sink: Sink = ignore, on_file: Callable[[str, Facts], None] | None = None,
) -> Summary:
    """Copy what was listed and planned before; see `copy_tree`."""
    start = f"{source_path}/" if source_path else ""
    writer = TreeWriter(target, target_path, plan, sink=sink, stored=lambda: stored_sizes(source, source_path, found))
    writer.begin()
    for path, facts, link in found:
        if on_file is not None:
            on_file(path, facts)
        if facts.kind is FileKind.FILE and link is None:
            writer.put(path, facts, contents_of(source, start + path, facts.size))
        else:
            writer.put(path, facts, link=link)
    return writer.finish()


def _copy_file(  # noqa: PLR0917 - those of copy_tree
    source: Filesystem, source_path: str, target: Filesystem, target_path: str, sink: Sink,
    on_file: Callable[[str, Facts], None] | None,
) -> Summary:
    """One file to a file name, or into an existing directory."""
    name = split_path(source_path)[1]
    into = target.exists(target_path) and target.stat(target_path).kind is FileKind.DIRECTORY
    parent, name = (target_path, name) if into else split_path(target_path)
    facts = source.stat(source_path)
    writer = TreeWriter(target, parent, [planned(name, facts)], sink=sink, stored=lambda: {name: stored(source, source_path, facts.size)})
    writer.begin()
    if on_file is not None:
        on_file(name, facts)
    if facts.kind is FileKind.FILE:
        writer.put(name, facts, contents_of(source, source_path, facts.size))
    else:
        writer.put(name, facts)
    return writer.finish()
