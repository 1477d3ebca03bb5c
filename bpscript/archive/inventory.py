"""What is in a volume, with the places of contents; listed by two processes where that is possible.

    directories of the upper levels, listed here:    /  usr  usr/share  usr/lib  ...
    below them, units:                               |a|b|c|d|e|f|g|h|i|j|
                                        listed here   ─►          ◄─   and by a copy of this process

A table of marks in shared memory says which units were begun; it is no lock: where both meet, both may list a unit. What the copy
does not deliver, because it found damage or was killed, is listed here, and the error is raised here.
"""

import marshal
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from mmap import mmap
from struct import Struct
from typing import Any

from ..filesystems.filesystem import DosFacts, Extent, Facts, FileKind, Filesystem, HasExtents, UnixFacts
from .forked import forked

Where = int | tuple[Extent, ...] | None     # offset on the device of a file in one piece; the pieces of another; None: not known, or not a file
Entry = tuple[str, Facts, Where]

_ENOUGH = 100       # units: so many that both find something to do until shortly before the end
_LEVELS = 6         # at most listed to find them
_FEWEST = 8
_ROOM = 64 << 20    # bytes of what a copy found, some 150 for each file
_HEAD = Struct("<QQ")       # number of a unit and bytes about it; at the start: where the last one ends
_KINDS = tuple(FileKind)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def inventory(volume: Filesystem, *, places: bool, copies: bool) -> tuple[list[tuple[str, Facts, str | None]], list[Where]]:
    """All paths as `trees.listing` gives them, and beside them where contents lie, if `places` are wanted.

    `copies`: whether the volume is good in a copy of this process. Raises FormatError where it is damaged.
    """
    from_extents = volume if places and isinstance(volume, HasExtents) else None
    upper: dict[str, list[Entry]] = {}
    units = [""]
    for _ in range(_LEVELS):
        if not copies or len(units) >= _ENOUGH:
            break
        for directory in units:
            upper[directory] = _directory(volume, from_extents, directory)
        units = [path for directory in units for path, facts, _ in upper[directory] if facts.kind is FileKind.DIRECTORY]
    found = _in_two(volume, from_extents, units) if len(units) >= _FEWEST else {unit: list(_below(volume, from_extents, unit)) for unit in units}
    paths: list[tuple[str, Facts, str | None]] = []
    wheres: list[Where] = []
    first: dict[int, str] = {}
    for path, facts, where in _joined(upper, found):
        earlier = None
        unix = facts.unix
        if unix is not None and unix.links > 1 and unix.inode and facts.kind is not FileKind.DIRECTORY:
            earlier = first.setdefault(unix.inode, path)
        paths.append((path, facts, earlier if earlier != path else None))
        wheres.append(where)
    return paths, wheres


def _joined(upper: dict[str, list[Entry]], found: dict[str, list[Entry]]) -> Iterator[Entry]:
    """Everything in order, parents first; each list is let go of when it was given."""
    stack = [iter(upper.pop("", found.get("", ())))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        if entry[1].kind is FileKind.DIRECTORY:
            path = entry[0]
            if path in upper:
                stack.append(iter(upper.pop(path)))
            elif path in found:
                yield from found.pop(path)


def _directory(volume: Filesystem, extents: HasExtents | None, directory: str) -> list[Entry]:
    start = f"{directory}/" if directory else ""
    result: list[Entry] = []
    for name, facts in sorted(volume.entries(directory), key=lambda entry: entry[0]):
        if facts.kind is FileKind.SOCKET:       # it means nothing without its program
            continue
        path = start + name
        where: Where = None
        if facts.kind is FileKind.FILE and facts.size and extents is not None:
            pieces = extents.extents(path)
            if pieces is not None:
                where = pieces[0].offset if len(pieces) == 1 and pieces[0].length == facts.size else tuple(pieces)
        result.append((path, facts, where))
    return result


def _below(volume: Filesystem, extents: HasExtents | None, directory: str) -> Iterator[Entry]:
    """Without recursion: a hostile volume may be thousands of directories deep."""
    stack = [iter(_directory(volume, extents, directory))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        yield entry
        if entry[1].kind is FileKind.DIRECTORY:
            stack.append(iter(_directory(volume, extents, entry[0])))


def _in_two(volume: Filesystem, extents: HasExtents | None, units: Sequence[str]) -> dict[str, list[Entry]]:
    marks, room = mmap(-1, len(units)), mmap(-1, _ROOM)

    def list_from_the_end() -> None:
        position = _HEAD.size
        for number in reversed(range(len(units))):
            if not marks[number]:
                marks[number] = 1
                packed = marshal.dumps([_packed(entry) for entry in _below(volume, extents, units[number])])
                if position + 2 * _HEAD.size + len(packed) > len(room):
                    return
                _HEAD.pack_into(room, position, number, len(packed))
                room[position + _HEAD.size : position + _HEAD.size + len(packed)] = packed
                position += _HEAD.size + len(packed)
                _HEAD.pack_into(room, 0, position, 0)       # all before it is whole

    process = 0
    with suppress(OSError):     # where no process may be made, everything is listed here
        process = forked(list_from_the_end, ())
    found = {}
    try:
        for number, unit in enumerate(units):
            if not marks[number]:
                marks[number] = 1
                found[unit] = list(_below(volume, extents, unit))
    except BaseException:
        if process:
            os.kill(process, signal.SIGKILL)
        raise
    finally:
        if process:
            os.waitpid(process, 0)
    position, end = _HEAD.size, _HEAD.unpack_from(room)[0]
    while position < end:
        number, length = _HEAD.unpack_from(room, position)
        position += _HEAD.size
        if units[number] not in found:
            found[units[number]] = [_unpacked(packed) for packed in marshal.loads(room[position : position + length])]  # noqa: S302 - our own
        position += length
    for unit in units:
        if unit not in found:
            found[unit] = list(_below(volume, extents, unit))
    return found


def _packed(entry: Entry) -> tuple[object, ...]:
    path, (kind, size, mtime_ns, target, unix, dos), where = entry
    facts = None if unix is None else (*unix[:-1], dict(unix.xattrs))
    pieces = tuple(map(tuple, where)) if isinstance(where, tuple) else where
    return path, _NUMBERS[kind], size, mtime_ns, target, facts, None if dos is None else tuple(dos), pieces


def _unpacked(packed: tuple[Any, ...]) -> Entry:
    path, kind, size, mtime_ns, target, unix, dos, where = packed
    facts = None
    if unix is not None:
        facts = UnixFacts(*unix) if unix[-1] else UnixFacts(*unix[:-1])
    pieces = tuple(Extent(*piece) for piece in where) if isinstance(where, tuple) else where
    return path, Facts(_KINDS[kind], size, mtime_ns, target, facts, None if dos is None else DosFacts(*dos)), pieces
