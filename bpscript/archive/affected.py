"""Which files lie in damaged chunks: asked only when there are some."""

from contextlib import suppress
from dataclasses import replace

from ..base.errors import BpscriptError
from ..filesystems.filesystem import FileKind, Filesystem, HasExtents
from .checking import Damage
from .tar_tree import TarTree

_NAMED = 10         # files for one damage


def with_files(damages: list[Damage], volume: Filesystem) -> list[Damage]:
    """The same findings with the files whose contents are concerned, as far as the rest of the volume can be read."""
    places = [(each.offset, each.offset + each.length) for each in damages if each.offset is not None and each.length is not None]
    if not places:
        return damages
    found: dict[int, list[str]] = {start: [] for start, _ in places}
    with suppress(BpscriptError):       # what cannot be read any more cannot be asked
        if isinstance(volume, TarTree):
            for start, end in places:
                found[start] = volume.paths_within(start, end)
        elif isinstance(volume, HasExtents):
            _look_up(volume, places, found)
    return [each if each.offset is None else replace(each, files=_shortened(found[each.offset])) for each in damages]


def _look_up(volume: Filesystem, places: list[tuple[int, int]], found: dict[int, list[str]]) -> None:
    """Directories and files that cannot be read themselves are passed over."""
    assert isinstance(volume, HasExtents)
    left = [""]
    while left:
        directory = left.pop()
        with suppress(BpscriptError):
            for name, facts in sorted(volume.entries(directory)):
                path = f"{directory}/{name}" if directory else name
                if facts.kind is FileKind.DIRECTORY:
                    left.append(path)
                elif facts.kind is FileKind.FILE:
                    with suppress(BpscriptError):
                        extents = volume.extents(path) or []
                        for start, end in places:
                            if any(start < offset + length and offset < end for _, offset, length in extents):
                                found[start].append(path)


def _shortened(paths: list[str]) -> tuple[str, ...]:
    return (*paths[:_NAMED], f"and {len(paths) - _NAMED} more") if len(paths) > _NAMED else tuple(paths)
