"""Files out of an archive into a directory: `IncrUnzip` of ours, and of tar and zip of other programs.

What it is is told by its first bytes, never by its name. Whatever it is, two things come out of it: a plan (every name, size
and link, known and checked before the first write) and then the entries in the same order. Ours has the plan in its header;
a foreign tar is read twice for it; a zip has its directory at the end.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..base.errors import FormatError, StorageError
from ..base.events import Event, Kind, Progress, Sink, ignore
from ..base.sources import Reader
from ..base.zeros import zeros
from ..blocks.device import Buffer
from ..filesystems.filesystem import FileKind, Filesystem
from ..filesystems.sparse import contents_of, gathered, pieces
from .container import Archive
from .filters import Filters, Selector, select_paths
from .opening import is_ours
from .packing import Prefixed
from .plan import DIRECTORY, HARD_LINK, Planned, Stored
from .positional import JoinedReader, Positional
from .tar_usual import TarEntry
from .trees import Summary, TreeWriter

_START = 512        # bytes that tell what it is


def unpack(
    data: Positional | JoinedReader, name: str, target: Filesystem, path: str = "", *, filters: Filters | None = None,
    events: Sink = ignore, verify: bool = False, temp_folder: Path | str | None = None,
) -> Summary:
    """Unpack an incremental archive, a tar (also packed by zstd, gzip, xz, bzip2) or a zip into a directory, made if missing.

    `name` is used in messages. A foreign archive that comes in order only is put into a file in `temp_folder`. Errors as `unpack_groups`; FormatError for anything else. A full archive is refused.
    """
    source: Positional | Prefixed
    if isinstance(data, JoinedReader):
        start = _start_of(data)
        source = Prefixed(start, data)
    else:
        source = data
        start = data.read(0, min(_START, data.size))
    if is_ours(start):
        from .incremental import unpack_incremental  # noqa: PLC0415 - it needs this module

        archive = Archive.open_stream(source) if isinstance(source, Prefixed) else Archive.open(source)
        return unpack_incremental(archive, target, path, filters=filters, sink=events, verify=verify)
    from .foreign_files import open_foreign  # noqa: PLC0415 - only for archives of others

    with ExitStack() as stack:
        foreign = open_foreign(source, name, stack, temp_folder)
        plan = foreign.plan(target.usage().total if filters is None else None)
        selector = (filters or Filters()).selector(ignore_case=foreign.ignores_case)
        summary = unpack_entries(plan, foreign.entries(), target, path, selector=selector, stored=foreign.stored, sink=events, verify=verify)
        for what, count in sorted(foreign.left_behind().items()):
            events(Event(Kind.WARNING, {"text": f"{count} {what}{'' if count == 1 else 's'} of {name} left out"}))
    return summary


def unpack_entries(
    plan: Sequence[Planned], entries: Iterable[TarEntry], target: Filesystem, path: str, *, selector: Selector | None = None,
    stored: Stored | None = None, sink: Sink = ignore, verify: bool = False,
) -> Summary:
    """`unpack_groups` for entries that come one by one."""
    return unpack_groups(plan, ((entry,) for entry in entries), target, path, selector=selector, stored=stored, sink=sink, verify=verify)


def unpack_groups(
    plan: Sequence[Planned], groups: Iterable[Sequence[TarEntry]], target: Filesystem, path: str, *, selector: Selector | None = None,
    removed: Sequence[str] = (), outside: Callable[[str], int | None] | None = None, stored: Stored | None = None,
    sink: Sink = ignore, verify: bool = False,
) -> Summary:
    """Write planned entries below a directory: files replace those of the same name, others stay.

    The entries come in groups as `TarReader.groups` makes them. Everything that `check_plan` can know is checked before the first write. `verify` reads everything back. Raises
    StorageError, InTheWayError, NoSpaceError; FormatError from the entries: those before the damage are then unpacked, none
    is half written.
    """
    chosen = choose(plan, selector)
    writer = TreeWriter(
        target, path, [entry for entry in chosen if entry is not None], sink=sink, task="unpack", removed=removed, outside=outside, stored=stored,
    )
    digests: dict[str, bytes] = {}
    writer.begin()
    position = 0
    for group in groups:
        wanted_here = chosen[position : position + len(group)]
        position += len(group)
        if len(group) > 1 and not verify:
            pairs = zip(group, wanted_here, strict=True)
            writer.put_files([(wanted.path, entry.facts, next(iter(entry.chunks), b"")) for entry, wanted in pairs if wanted is not None])
            continue
        for entry, wanted in zip(group, wanted_here, strict=True):
            if wanted is None:
                continue
            chunks: Iterable[Buffer] = entry.chunks
            link = wanted.link if wanted.code == HARD_LINK else None
            if verify and entry.facts.kind is FileKind.FILE and link is None:
                chunks = _hashing(chunks, digests, f"{path}/{wanted.path}" if path else wanted.path)
            writer.put(wanted.path, entry.facts, chunks, link)
    if position != len(chosen):
        raise FormatError(f'"{plan[position].path}" was announced, but did not come')
    summary = writer.finish()
    if verify:
        target.flush()
        _read_back(target, digests, sink)
    return summary


def choose(plan: Sequence[Planned], selector: Selector | None) -> Sequence[Planned | None]:
    """For each entry what becomes of it: itself, nothing (None), or another path or link.

    When the first path of a hard-linked file is left out and a later one is not, the later one takes its contents.
    """
    if selector is None or selector.passes_all:
        return plan
    kept = select_paths((entry.path for entry in plan), selector)
    heirs: dict[str, str] = {}
    for entry in plan:
        if entry.code == HARD_LINK and entry.path in kept and entry.link not in kept:
            heirs.setdefault(entry.link, entry.path)
    chosen: list[Planned | None] = []
    for entry in plan:
        if entry.path not in kept:
            heir = heirs.get(entry.path)
            chosen.append(None if heir is None else entry._replace(path=heir))
        elif entry.code == HARD_LINK and entry.link in heirs:
            heir = heirs[entry.link]
            chosen.append(None if heir == entry.path else entry._replace(link=heir))
        else:
            chosen.append(entry)
    return chosen


def _start_of(reader: Reader) -> bytes:
    start = b""
    while len(start) < _START and (more := reader.read(_START - len(start))):
        start += more
    return start


def _hashing(chunks: Iterable[Buffer], digests: dict[str, bytes], place: str) -> Iterator[Buffer]:
    digest = _Digest()
    for piece in pieces(gathered(chunks)):
        digest.add(piece)
        if isinstance(piece, int):
            yield from zeros(piece)
        else:
            yield piece
    digests[place] = digest.value()


def _read_back(target: Filesystem, digests: Mapping[str, bytes], sink: Sink) -> None:
    progress = Progress(sink, "verify", 0)
    for place, expected in digests.items():
        digest = _Digest()
        for piece in pieces(gathered(contents_of(target, place, target.stat(place).size))):
            progress.advance(digest.add(piece))
        if digest.value() != expected:
            raise StorageError(f'"{place}" reads back differently from what was written')
    progress.report()


class _Digest:
    """BLAKE3 of what is in no hole, and of where the holes are: a terabyte of nothing is not hashed."""

    def __init__(self) -> None:
        from blake3 import blake3  # noqa: PLC0415 - slow to load

        self._data, self._holes = blake3(), blake3()
        self._position = 0

    def add(self, piece: Buffer | int) -> int:
        """The next bytes, or the length of a hole; gives back how many bytes that is."""
        if isinstance(piece, int):
            self._holes.update(b"%d %d " % (self._position, piece))
            length = piece
        else:
            self._data.update(piece)
            length = len(piece)
        self._position += length
        return length

    def value(self) -> bytes:
        """Equal for equal contents only."""
        return bytes(self._data.digest() + self._holes.digest())


def check_links(plan: Iterable[Planned], what: str) -> None:
    """Raise FormatError for a hard link to anything but an earlier file of the plan."""
    files: set[str] = set()
    for entry in plan:
        if entry.code == HARD_LINK and entry.link not in files:
            raise FormatError(f'{what}: "{entry.path}" is a hard link to "{entry.link}", which is no earlier file of it')
        if entry.code != DIRECTORY:
            files.add(entry.path)
