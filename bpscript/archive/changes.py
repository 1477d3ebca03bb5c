"""What differs between two trees, file by file: volumes, archives, folders in any combination (`image diff`).

Both are walked side by side, a directory at a time. Contents are read only where sizes are equal and nothing tells beforehand:
two archives whose file lies in the same places, in chunks with the same hashes, hold the same file.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ..base.events import Progress, Sink, ignore
from ..blocks.device import BlockDevice
from ..blocks.slice import SliceDevice
from ..filesystems.filesystem import Facts, FileKind, Filesystem, HasExtents
from .container import Archive, ChunkKind
from .ranges import Ranges
from .same_contents import FileAt, first_difference

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_FAT_STEP_NS = 2_000_000_000        # FAT keeps even seconds only (fatgen103, "Date and Time Formats")


class Change(NamedTuple):
    """One path: added, removed or changed; `what` of a changed one: kind, content, size, time, mode, owner, link, device, attributes, xattrs."""

    path: str
    change: str
    what: tuple[str, ...] = ()


class Side(NamedTuple):
    """A directory (or file) of a volume, and the bytes below when it is in an archive."""

    volume: Filesystem
    path: str = ""
    device: BlockDevice | None = None


def changes(
    old: Side, new: Side, *, equal: Ranges | None = None, content_only: bool = False, events: Sink = ignore
) -> Iterator[Change]:
    """In the order of a walk. `equal` are the bytes that the devices of both sides have in common; `content_only` looks at kinds,
    contents and link targets alone."""
    yield from _Comparison(old, new, equal, content_only, Progress(events, "compare", 0)).run()


def equal_ranges(old: Archive, new: Archive) -> Ranges:
    """Which bytes of the contents two archives have in common, by the hashes of their chunks; both can be read from anywhere."""
    found: list[tuple[int, int]] = []
    one = other = 0
    while one < len(old) and other < len(new):
        a, b = old.record(one), new.record(other)
        a_end, b_end = a.offset + a.length, b.offset + b.length
        start, end = max(a.offset, b.offset), min(a_end, b_end)
        if start < end:
            if a.kind is ChunkKind.DATA or b.kind is ChunkKind.DATA:
                if (a.kind, a.offset, a.length, a.digest) == (b.kind, b.offset, b.length, b.digest):
                    found.append((start, end))
            else:
                found.append((start, end))
        one += a_end <= b_end
        other += b_end <= a_end
    return Ranges(found)


class _Comparison:
    def __init__(self, old: Side, new: Side, equal: Ranges | None, content_only: bool, progress: Progress) -> None:
        self._old, self._new = old, new
        self._equal = equal
        self._content_only = content_only
        self._progress = progress

    def run(self) -> Iterator[Change]:
        old, new = self._old.volume.stat(self._old.path), self._new.volume.stat(self._new.path)
        if old.kind is FileKind.DIRECTORY and new.kind is FileKind.DIRECTORY:
            yield from self._directory("")
        else:
            what = self._what("", old, new)
            if what:
                yield Change(self._new.path.rpartition("/")[2], CHANGED, what)

    def _directory(self, path: str) -> Iterator[Change]:
        """What differs below a directory that both have."""
        old, new = _listing(self._old, path), _listing(self._new, path)
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}/{name}" if path else name
            before, after = old.get(name), new.get(name)
            if before is None and after is not None:
                yield from self._whole(self._new, inner, after, ADDED)
            elif after is None and before is not None:
                yield from self._whole(self._old, inner, before, REMOVED)
            elif before is not None and after is not None:
                what = self._what(inner, before, after)
                if what:
                    yield Change(inner, CHANGED, what)
                is_old, is_new = before.kind is FileKind.DIRECTORY, after.kind is FileKind.DIRECTORY
                if is_old and is_new:
                    yield from self._directory(inner)
                elif is_old:
                    yield from self._below(self._old, inner, REMOVED)
                elif is_new:
                    yield from self._below(self._new, inner, ADDED)

    def _whole(self, side: Side, path: str, facts: Facts, change: str) -> Iterator[Change]:
        yield Change(path, change)
        if facts.kind is FileKind.DIRECTORY:
            yield from self._below(side, path, change)

    def _below(self, side: Side, path: str, change: str) -> Iterator[Change]:
        for name, facts in sorted(_listing(side, path).items()):
            yield from self._whole(side, f"{path}/{name}", facts, change)

    def _what(self, path: str, old: Facts, new: Facts) -> tuple[str, ...]:
        """The words for what differs between two entries."""
        if old.kind is not new.kind:
            return ("kind",)
        found = []
        if old.kind is FileKind.FILE:
            if old.size != new.size:
                found += ["content", "size"]
            elif old.size and not self._same_contents(path, old.size):
                found.append("content")
        if old.target != new.target:
            found.append("link")
        if not self._content_only:
            found += _facts_that_differ(old, new)
        return tuple(found)

    def _same_contents(self, path: str, size: int) -> bool:
        if self._equal is not None and self._in_equal_chunks(path):
            return True
        old, new = FileAt(self._old.volume, _join(self._old.path, path)), FileAt(self._new.volume, _join(self._new.path, path))
        return first_difference(old, new, size, self._progress.advance) is None

    def _in_equal_chunks(self, path: str) -> bool:
        """Whether the file lies in the same places on both sides, all of them equal."""
        old = _extents(self._old, path)
        if old is None or old != _extents(self._new, path):
            return False
        equal = self._equal
        assert equal is not None
        return all(equal.within(start, start + length) == [(start, start + length)] for _, start, length in old)


def _join(directory: str, path: str) -> str:
    return f"{directory}/{path}" if directory and path else directory or path


def _listing(side: Side, path: str) -> dict[str, Facts]:
    """Names and facts; without sockets, which archives of files leave out."""
    return {name: facts for name, facts in side.volume.entries(_join(side.path, path)) if facts.kind is not FileKind.SOCKET}


def _extents(side: Side, path: str) -> list[tuple[int, int, int]] | None:
    """Offset in the file, offset in the archive's contents, length; None where that cannot be said."""
    volume = side.volume
    if side.device is None or not isinstance(volume, HasExtents):
        return None
    base = 0
    if volume.device is not side.device:
        # A volume that was not unmounted cleanly lies on the replay of its journal, of which no hash speaks.
        if not isinstance(volume.device, SliceDevice) or volume.device.lower is not side.device:
            return None
        base = volume.device.start
    found = volume.extents(_join(side.path, path))
    return None if found is None else [(logical, offset + base, length) for logical, offset, length in found]


def _facts_that_differ(old: Facts, new: Facts) -> list[str]:
    found = []
    slack_ns = 1 if old.dos is None and new.dos is None else _FAT_STEP_NS
    if abs(old.mtime_ns - new.mtime_ns) >= slack_ns:
        found.append("time")
    if old.unix is not None and new.unix is not None:
        if old.unix.mode != new.unix.mode and old.kind is not FileKind.SYMLINK:
            found.append("mode")
        if (old.unix.uid, old.unix.gid) != (new.unix.uid, new.unix.gid):
            found.append("owner")
        if old.unix.device != new.unix.device:
            found.append("device")
        if dict(old.unix.xattrs) != dict(new.unix.xattrs):
            found.append("xattrs")
    if old.dos is not None and new.dos is not None and old.dos.attributes != new.dos.attributes:
        found.append("attributes")
    return found
