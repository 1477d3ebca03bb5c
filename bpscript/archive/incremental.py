"""Incremental archives: the files below a directory as a tar stream in the container (FORMAT.md, "Incremental archives").

Two sections stand in the header, so that everything can be checked before the first chunk is decoded, also in a stream:

    NAME   the plan: kind, size, path and link of every entry, in the order of the tar stream
    BASE   difference archives only: the paths that the base archive has and this one removes

While unpacking, every entry of the tar stream must be the next one of the plan. META says where the files come from.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..base.sources import Reader
from ..blocks.device import Buffer
from ..filesystems.filesystem import Facts, FileKind, Filesystem, split_path
from .container import Archive, ArchiveKind, ArchiveWriter, FrameSink, Header
from .container import Summary as Written
from .difference import BaseTree, difference
from .filters import Filters
from .plan import FILE, HARD_LINK, MAX_ENTRIES, OTHERS, SYMLINK, Planned, planned
from .records import MIB, Json
from .tar_layout import END, MAX_FILE, RECORD
from .tar_read import TarEntry, TarReader, is_clean_path
from .tar_write import padding, tar_header
from .trees import STEP, Summary, TreeWriter, listing

NAME, BASE = b"NAME", b"BASE"
_CODES = {"f", "d", "l", "h"} | set(OTHERS)
Listed = tuple[str, Facts, str | None]      # path, facts, and the earlier path that a hard link joins


def write_incremental(
    frames: FrameSink, volume: Filesystem, path: str = "", *, filters: Filters | None = None, base: BaseTree | None = None,
    sink: Sink = ignore, level: int = 3, threads: int | None = None, meta: Mapping[str, Json] | None = None,
) -> Written:
    """Pack what is below `path` (or one file) and the filters let through; with `base`, only what differs from it.

    `meta` is added to the description in the header. Raises NotFoundError, and StorageError that names a file that cannot be
    read or that changes meanwhile.
    """
    filters = filters or Filters()
    found = list(listing(volume, path, filters))
    removed: list[str] = []
    if base is not None:
        found, removed = difference(found, base, volume, path, filters)
    plan = [planned(name, facts, link) for name, facts, link in found]
    if len(plan) > MAX_ENTRIES:
        raise StorageError(f"{len(plan)} files and directories are more than an archive can hold ({MAX_ENTRIES})")
    sections = {NAME: pack_names(plan)}
    description: dict[str, Json] = {
        "filesystem": volume.kind, "label": volume.label, "ident": volume.ident, "path": path, "entries": len(plan),
        "files": sum(entry.code == FILE for entry in plan), "content_size": sum(entry.size for entry in plan),
    }
    if base is not None:
        sections[BASE] = "\0".join(removed).encode(errors="surrogateescape")
        description["base"] = base.description
    header = Header(ArchiveKind.INCREMENTAL, MIB, None, {**description, **(meta or {})}, sections)
    progress = Progress(sink, "pack", sum(entry.size for entry in plan))
    progress.report()
    with ArchiveWriter(frames, header, level=level, threads=threads) as writer:
        stream = _TarStream(writer)
        is_file = volume.stat(path).kind is not FileKind.DIRECTORY
        start = "" if not path else f"{split_path(path)[0]}/".lstrip("/") if is_file else f"{path}/"
        for name, facts, link in found:
            stream.write(tar_header(name, facts, link))
            if facts.kind is FileKind.FILE and link is None and facts.size:
                with closing(volume.open(start + name)) as reader:
                    stream.copy(reader, facts.size, name)
                progress.advance(facts.size)
        stream.write(END)
        stream.finish()
        summary = writer.finish()
    progress.report()
    return summary


def unpack_incremental(archive: Archive, target: Filesystem, path: str = "", *, sink: Sink = ignore, verify: bool = False) -> Summary:
    """Unpack into a directory (made if missing): files replace those of the same name, others stay.

    A difference archive also removes what it lists. `verify` reads everything back. What can be known from the archive's
    table of names is checked before the first write (`check_plan`). Raises FormatError for a damaged archive: entries before
    the damage are then unpacked, none is half written.
    """
    plan = read_names(archive)
    removed = read_removals(archive)
    outside = None if removed is None else lambda inner: _size_on(target, f"{path}/{inner}" if path else inner)
    writer = TreeWriter(target, path, plan, sink=sink, task="unpack", removed=removed or (), outside=outside)
    digests: dict[str, bytes] = {}
    writer.begin()
    for entry in checked_entries(archive, plan):
        chunks: Iterable[Buffer] = entry.chunks
        if verify and entry.facts.kind is FileKind.FILE and entry.link is None:
            chunks = _hashing(chunks, digests, f"{path}/{entry.path}" if path else entry.path)
        writer.put(entry.path, entry.facts, chunks, entry.link)
    summary = writer.finish()
    if verify:
        target.flush()
        _read_back(target, digests, sink)
    return summary


def base_tree(archive: Archive) -> BaseTree:
    """An incremental archive as the base of a difference. Raises FormatError for one that is a difference itself."""
    if read_removals(archive) is not None:
        raise FormatError("this is a difference archive itself", hint="give the archive it was made against as $Base-Archive")
    found = checked_entries(archive, read_names(archive))
    root = archive.table.root if archive.table is not None else None
    return BaseTree.of_incremental(((entry.path, entry.facts, entry.link, entry.chunks) for entry in found), root)


def entries(archive: Archive) -> Iterator[Listed]:
    """Path, facts and hard-link target of every entry, in order: for listings."""
    for entry in checked_entries(archive, read_names(archive)):
        yield entry.path, entry.facts, entry.link


def checked_entries(archive: Archive, plan: list[Planned]) -> Iterator[TarEntry]:
    """The tar stream entry by entry, each compared with the plan. Raises FormatError."""
    expected = iter(plan)
    for entry in TarReader(data for _, data in archive.chunks()):
        wanted = next(expected, None)
        if wanted is None or planned(entry.path, entry.facts, entry.link) != wanted:
            raise FormatError(f'archive: the entry "{entry.path}" does not agree with the table of names')
        yield entry
    missing = next(expected, None)
    if missing is not None:
        raise FormatError(f'archive: "{missing.path}" is in the table of names, but not in the archive')


# --- sections --------------------------------------------------------------------------------------------------------


def pack_names(plan: Iterable[Planned]) -> bytes:
    """Section NAME: for each entry kind and size, path, link; each ended by a zero byte."""
    return "".join(f"{code}{size}\0{path}\0{link}\0" for path, code, size, link in plan).encode(errors="surrogateescape")


def read_names(archive: Archive) -> list[Planned]:
    """The plan of an incremental archive. Raises FormatError."""
    if archive.header.kind != ArchiveKind.INCREMENTAL:
        raise FormatError("this is a full archive, not an incremental one")
    section = archive.section(NAME)
    if section is None:
        raise FormatError("archive: the table of names is missing")
    fields = section.decode(errors="surrogateescape").split("\0")
    if fields.pop() or len(fields) % 3 or len(fields) // 3 > MAX_ENTRIES:
        raise FormatError("archive: the table of names is damaged")
    plan: list[Planned] = []
    files: set[str] = set()
    links = False
    for head, path, link in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        code, digits = head[:1], head[1:]
        if code not in _CODES or not digits.isascii() or not digits.isdigit() or len(digits) > 19 or not is_clean_path(path):
            raise FormatError(f'archive: the table of names is damaged at "{path[:200]}"')
        size = int(digits)
        if (size and code != FILE) or size > MAX_FILE or bool(link) != (code in {HARD_LINK, SYMLINK}):
            raise FormatError(f'archive: the table of names is damaged at "{path[:200]}"')
        links = links or code == HARD_LINK
        plan.append(Planned(path, code, size, link))
    if len({entry.path for entry in plan}) != len(plan):
        raise FormatError("archive: the table of names has a path twice")
    if links:
        for entry in plan:
            if entry.code == HARD_LINK and entry.link not in files:
                raise FormatError(f'archive: "{entry.path}" is a hard link to "{entry.link}", which is no earlier file of this archive')
            if entry.code != "d":
                files.add(entry.path)
    return plan


def read_removals(archive: Archive) -> list[str] | None:
    """The paths a difference archive removes; None for any other. Raises FormatError."""
    section = archive.section(BASE)
    if section is None:
        return None
    paths = section.decode(errors="surrogateescape").split("\0") if section else []
    if len(paths) > MAX_ENTRIES or not all(map(is_clean_path, paths)):
        raise FormatError("archive: the list of removed files is damaged")
    return paths


# --- inside ----------------------------------------------------------------------------------------------------------


class _TarStream:
    """Bytes in any pieces to chunks of the container."""

    def __init__(self, writer: ArchiveWriter) -> None:
        self._writer = writer
        self._room = writer.header.chunk_size
        self._buffer = bytearray(self._room)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._size = 0

    def write(self, data: Buffer) -> None:
        view = memoryview(data)
        while view:
            step = min(len(view), self._room - self._filled)
            self._view[self._filled : self._filled + step] = view[:step]
            self._filled += step
            self._size += step
            view = view[step:]
            if self._filled == self._room:
                self._pass_on()

    def copy(self, reader: Reader, size: int, name: str) -> None:
        """The contents of a file and their padding."""
        left = size
        while left:
            data = reader.read(min(left, STEP))
            if not data:
                raise StorageError(f'"{name}" changed while it was read: it has {size - left} bytes, it had {size}')
            self.write(data)
            left -= len(data)
        self.write(padding(size))

    def finish(self) -> None:
        """Pad to a whole record of tar and pass on the rest."""
        self.write(bytes(-self._size % RECORD))
        if self._filled:
            self._pass_on()

    def _pass_on(self) -> None:
        self._writer.add(self._view[: self._filled])       # belongs to the writer now
        self._buffer = bytearray(self._room)
        self._view = memoryview(self._buffer)
        self._filled = 0


def _size_on(target: Filesystem, place: str) -> int | None:
    if not target.exists(place):
        return None
    facts = target.stat(place)
    return -1 if facts.kind is FileKind.DIRECTORY else facts.size if facts.kind is FileKind.FILE else None


def _hashing(chunks: Iterable[Buffer], digests: dict[str, bytes], place: str) -> Iterator[Buffer]:
    from blake3 import blake3  # noqa: PLC0415 - slow to load

    state = blake3()
    for chunk in chunks:
        state.update(chunk)
        yield chunk
    digests[place] = state.digest()


def _read_back(target: Filesystem, digests: Mapping[str, bytes], sink: Sink) -> None:
    from blake3 import blake3  # noqa: PLC0415 - slow to load

    progress = Progress(sink, "verify", 0)
    for place, digest in digests.items():
        state = blake3()
        with closing(target.open(place)) as reader:
            while data := reader.read(STEP):
                state.update(data)
                progress.advance(len(data))
        if state.digest() != digest:
            raise StorageError(f'"{place}" reads back differently from what was written')
    progress.report()
