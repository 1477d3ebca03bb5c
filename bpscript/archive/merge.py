"""A whole incremental archive and differences as one incremental archive.

First the tables of names are applied to each other, as unpacking them in turn would: what is removed goes, what is stored
replaces what has its name. Then the tar streams are read side by side, once and in order, and what is left of each is written:

    base         a  b  c        e  f
    difference      b     d        f            (removes c)
    outcome      a  b'    d'    e  f'           in the order of a walk, as IncrZip would have written them

The contents of a file come at the place of the path that has them in its archive. Where that path is gone and another name of
the file is left, that name takes them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge as merged
from typing import NamedTuple

from ..base.errors import FormatError, InTheWayError
from ..base.events import Progress, Sink, ignore
from .container import Archive, ArchiveKind, ArchiveWriter, FrameSink, Header, Summary
from .incremental import NAME, checked_entries, counts, ignores_case, pack_names, read_names, read_removals
from .plan import DIRECTORY, HARD_LINK, Planned
from .records import MIB, Json
from .table import Signature
from .tar_heads import Heads
from .tar_layout import END
from .tar_stream import TarStream
from .tar_usual import TarEntry
from .tar_write import padding, tar_header


class _Place(NamedTuple):
    """Where an entry of the outcome comes from: the number of the archive, the path there, and that of its contents."""

    archive: int
    path: str
    holder: str
    code: str


def merge(
    archives: Sequence[Archive], sink: FrameSink, extra: Mapping[str, Json], *, level: int = 3, threads: int | None = None,
    events: Sink = ignore, sign: Callable[[bytes], Signature] | None = None,
) -> Summary:
    """Write what the first archive holds after the differences that follow; `extra` goes to META.

    Raises FormatError where an archive is damaged, InTheWayError where a file of one is a directory of another.
    """
    plans = [read_names(archive) for archive in archives]
    tree = _Tree(fold=str.casefold if ignores_case(archives[0]) else str)
    for number, (archive, plan) in enumerate(zip(archives, plans, strict=True)):
        tree.apply(number, plan, read_removals(archive) or [])
    outcome = list(_in_order(plans, tree.left()))
    plan = [planned for _, _, planned in outcome]
    header = Header(
        ArchiveKind.INCREMENTAL, MIB, None, {**archives[0].header.meta, **extra, **counts(plan)}, {NAME: pack_names(plan)}
    )
    progress = Progress(events, "squash", sum(entry.size for entry in plan))
    with ArchiveWriter(sink, header, level=level, threads=threads) as writer:
        stream = TarStream(writer)
        heads = Heads()
        readers = [_Reader(archive, plan) for archive, plan in zip(archives, plans, strict=True)]
        for number, index, wanted in outcome:
            entry = readers[number].entry(index)
            stream.write(heads.note(tar_header(wanted.path, entry.facts, wanted.link if wanted.code == HARD_LINK else None)))
            for chunk in entry.chunks:
                stream.write_view(chunk)
            stream.write(padding(wanted.size))
            progress.advance(wanted.size)
        for reader in readers:
            reader.finish()
        stream.write(END)
        stream.finish()
        heads.add_to(writer)
        summary = writer.finish(sign)
    progress.report()
    return summary


class _Tree:
    """The paths of a tree, changed by one archive after the other."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self._places: dict[str, tuple[str, _Place]] = {}        # folded path → path, and where it comes from
        self._children: dict[str, int] = {}                     # folded directory → how many entries are in it

    def apply(self, number: int, plan: Sequence[Planned], removed: Sequence[str]) -> None:
        """Remove, then store."""
        for path in reversed(removed):      # what is in a directory before the directory
            folded = self._fold(path)
            found = self._places.get(folded)
            if found is not None and not (found[1].code == DIRECTORY and self._children.get(folded)):
                del self._places[folded]
                self._children[_parent(folded)] -= 1
        for entry in plan:
            folded = self._fold(entry.path)
            parent = self._places.get(_parent(folded))
            if parent is not None and parent[1].code != DIRECTORY:
                raise InTheWayError(f'"{parent[0]}" is no directory in one archive, and "{entry.path}" lies in it in another')
            there = self._places.get(folded)
            if there is None:
                self._children[_parent(folded)] = self._children.get(_parent(folded), 0) + 1
            elif (there[1].code == DIRECTORY) != (entry.code == DIRECTORY):
                raise InTheWayError(f'"{entry.path}" is a directory in one archive, and something else in another')
            # The name stays as it was first written, where case makes no difference.
            path = entry.path if there is None else there[0]
            self._places[folded] = path, _Place(number, entry.path, entry.link if entry.code == HARD_LINK else entry.path, entry.code)

    def left(self) -> dict[tuple[int, str], list[tuple[str, _Place]]]:
        """What is left, by archive and the path that has the contents."""
        groups: dict[tuple[int, str], list[tuple[str, _Place]]] = {}
        for path, place in self._places.values():
            groups.setdefault((place.archive, place.holder), []).append((path, place))
        return groups


def _in_order(
    plans: Sequence[Sequence[Planned]], groups: Mapping[tuple[int, str], list[tuple[str, _Place]]]
) -> Iterator[tuple[int, int, Planned]]:
    """Archive, number of the entry there, and what becomes of it: in the order of a walk, and that of every archive."""
    links: dict[tuple[int, str], tuple[str, str]] = {}          # archive and path there → path in the outcome, and what it joins
    firsts: dict[tuple[int, str], str] = {}                     # archive and path with contents → path in the outcome
    for (number, holder), members in groups.items():
        first = next((path for path, place in members if place.path == holder), min(path for path, _ in members))
        firsts[number, holder] = first
        for path, place in members:
            if path != first:
                links[number, place.path] = path, first

    def items(number: int) -> Iterator[tuple[tuple[str, ...], int, int, Planned]]:
        key: tuple[str, ...] = ()
        for index, entry in enumerate(plans[number]):
            key = max(key, tuple(entry.path.split("/")))        # ours are in the order of a walk; it must not go back in any
            if (number, entry.path) in firsts and entry.code != HARD_LINK:
                yield key, number, index, entry._replace(path=firsts[number, entry.path])
            elif (number, entry.path) in links:
                path, link = links[number, entry.path]
                yield key, number, index, Planned(path, HARD_LINK, 0, link)

    for _, number, index, wanted in merged(*(items(number) for number in range(len(plans)))):
        yield number, index, wanted


class _Reader:
    """The entries of one archive, forward only."""

    def __init__(self, archive: Archive, plan: Sequence[Planned]) -> None:
        self._entries = enumerate(checked_entries(archive, list(plan)))

    def entry(self, index: int) -> TarEntry:
        """The entry of a number, which is larger than the one before."""
        for number, entry in self._entries:
            if number == index:
                return entry
        raise FormatError("archive: it has fewer entries than its table of names")

    def finish(self) -> None:
        """Read the rest, which is checked too."""
        for _ in self._entries:
            pass


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
