"""Following symbolic links inside a volume."""

from ..base.errors import InTheWayError, NotFoundError, StorageError
from .filesystem import FileKind, Filesystem

_MOST = 40      # links followed for one path, as Linux has it


def follow_links(volume: Filesystem, path: str) -> str:
    """A path with symbolic links replaced by what they point to, never leaving the volume.

    A path that leads nowhere is returned as far as it could be followed. Raises StorageError for a loop (more than 40 links).
    """
    done: list[str] = []
    rest = [part for part in reversed(path.split("/")) if part]
    links = 0
    while rest:
        part = rest.pop()
        if part == "..":
            del done[-1:]
            continue
        if part == ".":
            continue
        here = "/".join([*done, part])
        try:
            facts = volume.stat(here)
        except (NotFoundError, InTheWayError):
            facts = None
        if facts is None or facts.kind is not FileKind.SYMLINK:
            done.append(part)
            continue
        links += 1
        if links > _MOST:
            raise StorageError(f'"/{path}" goes round in a circle of symbolic links')
        if facts.target.startswith("/"):
            done.clear()
        rest += [each for each in reversed(facts.target.split("/")) if each]
    return "/".join(done)
