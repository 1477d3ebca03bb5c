"""After capture of files: the incremental archive is read back, every entry's header and contents, and compared with the tree, listed again."""

from collections.abc import Iterable

from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..base.zeros import known_zeros
from ..blocks.device import Buffer
from ..filesystems.filesystem import Facts, FileKind, Filesystem
from ..filesystems.sparse import STEP, contents_of
from .container import Archive
from .destinations import is_temporary
from .filters import Filters
from .incremental import checked_entries, read_names
from .positional import Positional
from .readback import HINT, damaged
from .tar_write import tar_header
from .trees import listing


def check_incremental(
    source: Positional, volume: Filesystem, path: str, *, filters: Filters | None = None, is_difference: bool = False, events: Sink = ignore
) -> None:
    """Compare an incremental archive with the tree it was made of. Raises StorageError naming the first path that differs."""
    try:
        archive = Archive.open(source)
        plan = read_names(archive)
    except FormatError as error:
        raise damaged(error) from error
    is_folder = volume.stat(path).kind is FileKind.DIRECTORY
    start = f"{path}/" if is_folder and path else "" if is_folder else path[: path.rfind("/") + 1]
    names: Iterable[tuple[str, Facts, str | None]]
    if is_difference:
        names = ((entry.path, volume.stat(start + entry.path), entry.link if entry.code == "h" else None) for entry in plan)
    else:
        names = (found for found in listing(volume, path, filters or Filters()) if not is_temporary(found[0]))
    now = iter(names)
    state = Progress(events, "verify", sum(entry.size for entry in plan))
    state.report()
    try:
        for entry in checked_entries(archive, plan):
            name, facts, link = next(now, ("", entry.facts, None))
            if facts.kind is FileKind.DIRECTORY:    # its time changes with the names in it, and those are compared
                facts = facts._replace(mtime_ns=entry.facts.mtime_ns)
            if name != entry.path or tar_header(name, facts, link) != tar_header(entry.path, entry.facts, entry.link):
                raise StorageError(f'the archive differs from its source at "{entry.path}"', hint=HINT)
            if facts.kind is FileKind.FILE and link is None:
                _compare_contents(entry.chunks, contents_of(volume, start + name, facts.size, beyond=True), entry.path)
                state.advance(facts.size)
    except FormatError as error:
        raise damaged(error) from error
    for name, _, _ in now:
        raise StorageError(f'"{name}" came to the source while it was captured', hint=HINT)
    state.report()


def _compare_contents(archived: Iterable[Buffer], source: Iterable[Buffer], path: str) -> None:
    """What both know to be zeros is not looked at."""
    coming = (memoryview(part) for part in source if len(part))
    now = memoryview(b"")
    for chunk in archived:
        view = memoryview(chunk)
        while view:
            now = now or next(coming, now)
            step = min(len(view), len(now), STEP)     # a chunk may have 16 MiB
            # Bytes compare by memcmp, a memoryview item by item.
            if not step or not ((known_zeros(view) and known_zeros(now)) or view[:step].tobytes() == now[:step].tobytes()):
                raise StorageError(f'the archive differs from its source in the contents of "{path}"', hint=HINT)
            view, now = view[step:], now[step:]
    if now or next(coming, now):
        raise StorageError(f'"{path}" grew while it was captured', hint=HINT)
