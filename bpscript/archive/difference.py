"""What differs from an earlier archive: the difference archives of `$Base-Archive` (language.md 6 and 8.9).

A path is stored when the base does not have it, or has it with another kind, link, owner, mode, attribute, time, size or
content (compared by BLAKE3; times within two seconds are the same where one of the two is FAT). It is removed when the base has it, the tree does not, and no filter leaves it
out. Hard links of one file are stored together or not at all.
"""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from ..base.errors import StorageError
from ..blocks.device import Buffer
from ..filesystems.filesystem import Facts, Family, FileKind, Filesystem
from .filters import Filters
from .records import Json
from .trees import listing, read_in_steps

_FAT_STEP_NS = 2_000_000_000        # FAT keeps even seconds only (fatgen103, "Date and Time Formats")
_Listed = tuple[str, Facts, str | None]


@dataclass(frozen=True, slots=True)
class _Known:
    facts: Facts
    link: str | None
    digest: Callable[[], bytes]


class BaseTree:
    """The files of a base archive: path → facts, link, and the hash of the contents."""

    def __init__(self, description: dict[str, Json], *, coarse: bool) -> None:
        """`coarse`: its times are those of FAT."""
        self.description = description
        self.coarse = coarse
        self._known: dict[str, _Known] = {}

    @classmethod
    def of_incremental(
        cls, entries: Iterable[tuple[str, Facts, str | None, Iterable[Buffer]]], root: bytes | None, *, coarse: bool
    ) -> "BaseTree":
        """From the entries of an incremental archive, each with its contents; they are read now."""
        made = cls({"kind": "incremental", "root": root.hex() if root else ""}, coarse=coarse)
        for path, facts, link, chunks in entries:
            made._known[path] = _Known(facts, link, partial(bytes, _digest(chunks)))
        return made

    @classmethod
    def of_volume(cls, volume: Filesystem, path: str, root: bytes | None) -> "BaseTree":
        """From the volume in a full archive; contents are read when they are compared."""
        made = cls({"kind": "full", "root": root.hex() if root else ""}, coarse=volume.family is Family.FAT)
        start = f"{path}/" if path else ""
        for found, facts, link in listing(volume, path, Filters()):
            made._known[found] = _Known(facts, link, partial(_digest_of, volume, start + found))
        return made

    def differs(self, path: str, facts: Facts, link: str | None, slack_ns: int, digest: Callable[[], bytes]) -> bool:
        """Whether an entry is not what the base has; times may differ by less than `slack_ns`."""
        known = self._known.get(path)
        if known is None or known.link != link:
            return True
        if link is not None:
            return False        # the first path of the file answers for all
        if not _same_facts(known.facts, facts, slack_ns):
            return True
        return facts.kind is FileKind.FILE and facts.size > 0 and known.digest() != digest()

    def removed(self, now: Iterable[_Listed], leaves_out: Callable[[str], bool], fold: Callable[[str], str]) -> list[str]:
        """Paths to remove, parents first: gone, or a directory where something else is now (and the reverse)."""
        kinds = {fold(path): facts.kind is FileKind.DIRECTORY for path, facts, _ in now}
        gone = []
        for path, known in self._known.items():
            there = kinds.get(fold(path))
            if there is None:
                if not leaves_out(path):
                    gone.append(path)
            elif there != (known.facts.kind is FileKind.DIRECTORY):
                gone.append(path)
        return sorted(gone)


def difference(
    found: list[_Listed], base: BaseTree, volume: Filesystem, path: str, filters: Filters
) -> tuple[list[_Listed], list[str]]:
    """Of a listing below `path`, what differs from the base; and the paths that are to be removed."""
    if found and volume.stat(path).kind is not FileKind.DIRECTORY:
        raise StorageError(f'"{path}" is a file: a difference to a base archive needs a directory')
    start = f"{path}/" if path else ""
    slack_ns = _FAT_STEP_NS if base.coarse or volume.family is Family.FAT else 1
    changed: set[str] = set()       # paths; of hard links, the first one
    for name, facts, link in found:
        first = link or name
        if first not in changed and base.differs(name, facts, link, slack_ns, partial(_digest_of, volume, start + name)):
            changed.add(first)
    selector = filters.selector(ignore_case=volume.ignores_case)
    fold = str.casefold if volume.ignores_case else str
    return [entry for entry in found if (entry[2] or entry[0]) in changed], base.removed(found, selector.leaves_out, fold)


def _same_facts(one: Facts, other: Facts, slack_ns: int) -> bool:
    if (one.kind, one.size, one.target) != (other.kind, other.size, other.target) or abs(one.mtime_ns - other.mtime_ns) >= slack_ns:
        return False
    if one.unix is not None and other.unix is not None and (
        (one.unix.mode, one.unix.uid, one.unix.gid, one.unix.device) != (other.unix.mode, other.unix.uid, other.unix.gid, other.unix.device)
        or dict(one.unix.xattrs) != dict(other.unix.xattrs)
    ):
        return False
    return one.dos is None or other.dos is None or one.dos.attributes == other.dos.attributes


def _digest(chunks: Iterable[Buffer]) -> bytes:
    from blake3 import blake3  # noqa: PLC0415 - slow to load

    state = blake3()
    for chunk in chunks:
        state.update(chunk)
    return bytes(state.digest())


def _digest_of(volume: Filesystem, place: str) -> bytes:
    with closing(volume.open(place)) as reader:
        return _digest(read_in_steps(reader))
