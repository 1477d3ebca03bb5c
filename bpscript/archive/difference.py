"""What differs from an earlier archive: the difference archives of `$Base-Archive` (language.md 6 and 8.9).

A path is stored when the base does not have it, or has it with another kind, link, owner, mode, attribute, time, size or
content (times within two seconds are the same where one of the two is FAT). With it go all hard links of the file, and the
directories that hold something stored or removed, whose times would change. It is removed when the base has it, the tree does
not, and no filter leaves it out.

What can be told from sizes, times and the other facts is told from them. Only files that agree in all of these are read, and
always: a clock that was wrong, or set back on purpose, hides no change. How, knows the base (`bases.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from ..base.errors import StorageError
from ..filesystems.filesystem import Facts, Family, FileKind, Filesystem
from .filters import Filters
from .records import Json

_FAT_STEP_NS = 2_000_000_000        # FAT keeps even seconds only (fatgen103, "Date and Time Formats")
MAX_KEPT = 256                      # files named by which a target is recognised: looked up in some milliseconds
Listed = tuple[str, Facts, str | None]      # path, facts, and the first path of the same file for a hard link


class Verdict(NamedTuple):
    """One path of the base: its facts, and whether the tree has the same there (never for what the tree does not have)."""

    path: str
    facts: Facts
    same: bool


class Now(NamedTuple):
    """The tree that is compared: `volume` below `path`, its entries by path, and what `same_facts` allows."""

    volume: Filesystem
    path: str
    entries: Mapping[str, tuple[Facts, str | None]]
    slack_ns: int

    def place(self, path: str) -> str:
        """A path of the tree on the volume."""
        return f"{self.path}/{path}" if self.path else path

    def agrees(self, path: str, facts: Facts, link: str | None) -> bool:
        """Whether the tree has the same under a path, as far as that can be told without reading contents."""
        there = self.entries.get(path)
        if there is None or there[1] != link:
            return False
        return link is not None or same_facts(facts, there[0], self.slack_ns)       # the first path of a file answers for all


class Base(Protocol):
    """An archive that another is compared with."""

    @property
    def description(self) -> Mapping[str, Json]:
        """What META says of it: kind and root hash."""
        ...

    @property
    def coarse(self) -> bool:
        """Whether its times are those of FAT."""
        ...

    def compare(self, now: Now) -> Iterator[Verdict]:
        """Every path of the base. Raises FormatError where the base is damaged."""
        ...


class Difference(NamedTuple):
    """What to store, in the order of the listing; what to remove, parents first; and some of what stays."""

    stored: list[Listed]
    removed: list[str]
    kept: list[Listed]


def difference(found: list[Listed], base: Base, volume: Filesystem, path: str, filters: Filters) -> Difference:
    """Of a listing below `path`, what differs from the base."""
    if found and volume.stat(path).kind is not FileKind.DIRECTORY:
        raise StorageError(f'"{path}" is a file: a difference to a base archive needs a directory')
    slack_ns = _FAT_STEP_NS if base.coarse or volume.family is Family.FAT else 1
    now = Now(volume, path, {name: (facts, link) for name, facts, link in found}, slack_ns)
    same: set[str] = set()
    known: list[tuple[str, bool]] = []      # every path of the base, and whether it is a directory there
    for verdict in base.compare(now):
        known.append((verdict.path, verdict.facts.kind is FileKind.DIRECTORY))
        if verdict.same:
            same.add(verdict.path)
    changed = {link or name for name, _, link in found if name not in same}         # of hard links, the first path
    selector = filters.selector(ignore_case=volume.ignores_case)
    removed = _removed(known, found, selector.leaves_out, str.casefold if volume.ignores_case else str)
    touched = {name.rpartition("/")[0] for name, _, link in found if (link or name) in changed}
    touched |= {name.rpartition("/")[0] for name in removed}
    stored = [entry for entry in found if (entry[2] or entry[0]) in changed or entry[0] in touched]
    stays = [entry for entry in found if entry[2] is None and entry[0] not in changed and entry[0] not in touched and _tells(entry[1])]
    return Difference(stored, removed, stays[:: max(1, -(-len(stays) // MAX_KEPT))])


def same_facts(one: Facts, other: Facts, slack_ns: int) -> bool:
    """Whether two files agree in all but their contents; times may differ by less than `slack_ns`."""
    if (one.kind, one.size, one.target) != (other.kind, other.size, other.target) or abs(one.mtime_ns - other.mtime_ns) >= slack_ns:
        return False
    if one.unix is not None and other.unix is not None and (
        (one.unix.mode, one.unix.uid, one.unix.gid, one.unix.device) != (other.unix.mode, other.unix.uid, other.unix.gid, other.unix.device)
        or ((one.unix.xattrs or other.unix.xattrs) and dict(one.unix.xattrs) != dict(other.unix.xattrs))
    ):
        return False
    return one.dos is None or other.dos is None or one.dos.attributes == other.dos.attributes


def _removed(
    known: list[tuple[str, bool]], now: Iterable[Listed], leaves_out: Callable[[str], bool], fold: Callable[[str], str]
) -> list[str]:
    """Paths to remove, parents first: gone, or a directory where something else is now (and the reverse)."""
    kinds = {fold(path): facts.kind is FileKind.DIRECTORY for path, facts, _ in now}
    gone = []
    for path, is_directory in known:
        there = kinds.get(fold(path))
        if (there is None and not leaves_out(path)) or (there is not None and there != is_directory):
            gone.append(path)
    return sorted(gone)


def _tells(facts: Facts) -> bool:
    """Whether every volume that holds the base holds this."""
    return facts.kind in {FileKind.FILE, FileKind.DIRECTORY}
