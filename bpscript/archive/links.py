"""Links on a volume that knows none: which file or directory each becomes a copy of (language.md 8.7, IncrUnzip on FAT).

Links are followed inside the tree only. An absolute target starts at the root of the tree, `..` above it leads nowhere. A
link to a directory becomes a copy of that directory, in which links are followed in turn, but never into a directory that is
being copied already. Whatever the tree looks like, there are at most `MAX_COPIES` copies.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import StorageError

if TYPE_CHECKING:
    from .plan import Planned

MAX_COPIES = 1 << 18
_MAX_DEPTH = 400            # twice the directories inside each other, of one copy
_MAX_STEPS = 40             # links followed for one path; the kernel gives up there too


class Copy(NamedTuple):
    """A file or directory that stands for a link: `source` is copied to `path`."""

    path: str
    source: str
    size: int
    is_directory: bool


class LinkTree:
    """A plan as a tree in which links can be followed.

    `outside` tells what the target has anyway: the size of a file, -1 for a directory, None for nothing.
    """

    def __init__(self, entries: Mapping[str, "Planned"], outside: Callable[[str], int | None] | None = None) -> None:
        self._entries = entries
        self._outside = outside or (lambda path: None)
        self._children: dict[str, list[str]] | None = None
        self._count = 0

    def copies_of(self, link: str) -> list[Copy] | None:
        """What a hard or symbolic link becomes, parents first; None when it leads nowhere."""
        found = self.follow(link)
        if found is None:
            return None
        return list(self._expand(link, found, (link,)))

    def follow(self, path: str) -> str | None:
        """The path of the file or directory that `path` leads to; None when it leads nowhere, or to a device."""
        steps = 0
        todo = path.split("/")[::-1]
        here: list[str] = []
        while todo:
            part = todo.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                if not here:
                    return None
                here.pop()
                continue
            here.append(part)
            place = "/".join(here)
            entry = self._entries.get(place)
            if entry is None:
                there = self._outside(place)
                # A directory that is only outside can be passed through, not copied.
                if (there is None or (there < 0 and not todo)) and not self._is_parent(place):
                    return None
                continue
            if entry.code == "h":
                steps += 1
                todo += entry.link.split("/")[::-1]
                here = []
            elif entry.code == "l":
                steps += 1
                here = [] if entry.link.startswith("/") else here[:-1]
                todo += entry.link.split("/")[::-1]
            elif entry.code not in {"f", "d"} or (todo and entry.code == "f"):
                return None
            if steps > _MAX_STEPS or len(todo) > 4096:
                return None
        return "/".join(here)

    def _is_parent(self, place: str) -> bool:
        """Whether entries lie below a directory that has none itself."""
        return place in self._below()

    def _below(self) -> dict[str, list[str]]:
        if self._children is None:
            self._children = {}
            for path in self._entries:
                self._children.setdefault(path.rpartition("/")[0], []).append(path)
        return self._children

    def _expand(self, path: str, source: str, trail: tuple[str, ...]) -> Iterator[Copy]:
        self._count += 1
        if self._count > MAX_COPIES:
            raise StorageError(f'the links of this tree would become more than {MAX_COPIES} copies, the last of them "{path}"')
        if len(trail) > _MAX_DEPTH:
            raise StorageError(f'the links of this tree would become directories {_MAX_DEPTH // 2} deep, "{path[:80]}..." is one')
        entry = self._entries.get(source)
        if entry is None and (size := self._outside(source)) is not None and size >= 0:
            yield Copy(path, source, size, False)
            return
        if entry is not None and entry.code == "f":
            yield Copy(path, source, entry.size, False)
            return
        # A directory (also the root, or one without an entry): not into itself.
        if any(step == source or step.startswith(f"{source}/") or not source for step in trail):
            return
        yield Copy(path, source, 0, True)
        for child in self._below().get(source, ()):
            found = self.follow(child)
            if found is not None:
                yield from self._expand(f"{path}/{child.rpartition('/')[2]}", found, (*trail, source, child))
