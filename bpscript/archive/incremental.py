"""Incremental archives: the files below a directory as a tar stream in the container (FORMAT.md, "Incremental archives").

Some sections stand in the header, so that everything can be checked before the first chunk is decoded, also in a stream:

    NAME   the plan: kind, size, path and link of every entry, in the order of the tar stream
    BASE   difference archives only: the paths that the base archive has and this one removes
    KEPT   difference archives only: some of what the base has and the tree still has, to tell whether a target holds it

While unpacking, every entry of the tar stream must be the next one of the plan. META says where the files come from.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from itertools import takewhile

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..base.events import Event, Kind, Progress, Sink, ignore
from ..filesystems.filesystem import Facts, FileKind, Filesystem, HasExtents, ReadsAnywhere, split_path
from ..filesystems.sparse import WORTH_IT, stored
from .bases import IncrementalBase
from .container import Archive, ArchiveKind, ArchiveWriter, FrameSink, Header
from .container import Summary as Written
from .difference import MAX_KEPT, Base, difference
from .filters import Filters
from .plan import DIRECTORY, FILE, HARD_LINK, MAX_ENTRIES, OTHERS, SYMLINK, Planned, planned
from .provenance import WRITER, Provenance
from .records import MIB, Json
from .table import Signature
from .tar_heads import Heads
from .tar_layout import END, MAX_FILE
from .tar_read import TarReader, is_clean_path
from .tar_stream import TarStream
from .tar_usual import TarEntry
from .tar_write import padding, tar_header
from .trees import Summary, listing
from .unpack import check_links, choose, unpack_groups
from .writer import LONG_CHUNK_SIZE

NAME, BASE, KEPT = b"NAME", b"BASE", b"KEPT"
_LINKS = {HARD_LINK, SYMLINK}
# An entry of section NAME: kind, size, path and link. No part of a path is empty, "." or "..".
_PART = r"(?!\.\.?[/\0])[^/\0]+"
_NAME = re.compile(rf"([fdlh{''.join(OTHERS)}])([0-9]{{1,19}})\0({_PART}(?:/{_PART})*)\0([^\0]*)\0").finditer
Listed = tuple[str, Facts, str | None]      # path, facts, and the earlier path that a hard link joins


def write_incremental(
    frames: FrameSink, volume: Filesystem, path: str = "", *, filters: Filters | None = None, base: Base | None = None,
    sink: Sink = ignore, level: int = 3, threads: int | None = None, long: bool = False, clock: Clock | None = None,
    sign: Callable[[bytes], Signature] | None = None, origin: Provenance | None = None,
) -> Written:
    """Pack what is below `path` (or one file) and the filters let through; with `base`, only what differs from it.

    With `clock` the time goes into the header; `long` is that of `capture`. Raises NotFoundError, and StorageError that names a file that cannot be
    read or that changes meanwhile.
    """
    filters = filters or Filters()
    found = list(listing(volume, path, filters))
    change = None
    if base is not None:
        change = difference(found, base, volume, path, filters)
        found = change.stored
    plan = [planned(name, facts, link) for name, facts, link in found]
    if len(plan) > MAX_ENTRIES:
        raise StorageError(f"{len(plan)} files and directories are more than an archive can hold ({MAX_ENTRIES})")
    sections = {NAME: pack_names(plan)}
    description: dict[str, Json] = {
        "filesystem": volume.kind, "family": str(volume.family), "label": volume.label, "ident": volume.ident, "path": path,
        "writer": WRITER, **counts(plan),
    }
    if origin is not None:
        description |= {key: text for key, text in origin._asdict().items() if text}
    if clock is not None:
        description["created_ns"] = clock.now_ns()
    if base is not None and change is not None:
        sections[BASE] = pack_removals(change.removed)
        sections[KEPT] = pack_names(planned(name, facts) for name, facts, _ in change.kept)
        description["base"] = base.description
    chunk_size = LONG_CHUNK_SIZE if long else MIB
    header = Header(ArchiveKind.INCREMENTAL, chunk_size, None, description, sections, frozenset({KEPT} & sections.keys()))
    progress = Progress(sink, "pack", sum(entry.size for entry in plan))
    progress.report()
    del plan, sections
    found.reverse()
    with ArchiveWriter(frames, header, level=level, threads=threads, long=long) as writer:
        del header
        stream = TarStream(writer, volume.device if isinstance(volume, HasExtents) else None)
        add_contents = _content_adder(stream, volume)
        is_file = volume.stat(path).kind is not FileKind.DIRECTORY
        start = "" if not path else f"{split_path(path)[0]}/".lstrip("/") if is_file else f"{path}/"
        heads = Heads()
        while found:
            name, facts, link = found.pop()     # gone when it is packed: chunks of small files need as much room as the list did
            stream.write(heads.note(tar_header(name, facts, link)))
            if facts.kind is FileKind.FILE and link is None and facts.size:
                add_contents(start + name, facts.size, name)
                progress.advance(facts.size)
        stream.write(END)
        stream.finish()
        heads.add_to(writer)
        summary = writer.finish(sign)
    progress.report()
    return summary


def unpack_incremental(
    archive: Archive, target: Filesystem, path: str = "", *, filters: Filters | None = None, sink: Sink = ignore, verify: bool = False
) -> Summary:
    """Unpack into a directory; see `unpack_groups`. A difference archive also removes what it lists.

    It is refused, before the first write, where most of what should be there of its base is not; a part is a warning.
    """
    plan = read_names(archive)
    removed = read_removals(archive)
    check_base(archive, target, path, sink)
    selector = (filters or Filters()).selector(ignore_case=ignores_case(archive))
    outside = None if removed is None else lambda inner: _size_on(target, f"{path}/{inner}" if path else inner)
    gone = [inner for inner in removed or () if not selector.leaves_out(inner)]
    found = checked_groups(archive, plan)
    sizes = partial(stored_in, archive, plan)
    return unpack_groups(plan, found, target, path, selector=selector, removed=gone, outside=outside, stored=sizes, sink=sink, verify=verify)


def filter_incremental(
    archive: Archive, frames: FrameSink, filters: Filters, *, level: int = 3, threads: int | None = None, events: Sink = ignore
) -> Written:
    """The same archive without what the filters leave out."""
    plan = read_names(archive)
    removed = read_removals(archive)
    selector = filters.selector(ignore_case=ignores_case(archive))
    chosen = choose(plan, selector)
    kept = [entry for entry in chosen if entry is not None]
    sections = {NAME: pack_names(kept)}
    if removed is not None:
        sections[BASE] = pack_removals([path for path in removed if not selector.leaves_out(path)])
        if (section := archive.section(KEPT)) is not None:
            sections[KEPT] = section
    meta = {**archive.header.meta, **counts(kept)}
    header = Header(ArchiveKind.INCREMENTAL, MIB, None, meta, sections, frozenset({KEPT} & sections.keys()))
    progress = Progress(events, "pack", sum(entry.size for entry in kept))
    with ArchiveWriter(frames, header, level=level, threads=threads) as writer:
        stream = TarStream(writer)
        heads = Heads()
        for entry, wanted in zip(checked_entries(archive, plan), chosen, strict=True):
            if wanted is None:
                continue
            stream.write(heads.note(tar_header(wanted.path, entry.facts, wanted.link if wanted.code == HARD_LINK else None)))
            for chunk in entry.chunks:
                stream.write_view(chunk)
            stream.write(padding(wanted.size))
            progress.advance(wanted.size)
        stream.write(END)
        stream.finish()
        heads.add_to(writer)
        return writer.finish()


def ignores_case(archive: Archive) -> bool:
    """Whether the names of an archive come from where case makes no difference."""
    return str(archive.header.meta.get("filesystem", "")).startswith("FAT")


def incremental_base(archive: Archive) -> IncrementalBase:
    """An incremental archive as the base of a difference. Raises FormatError for one that is a difference itself."""
    if read_removals(archive) is not None:
        raise FormatError(
            "this is a difference archive itself, and a difference is made against a full archive or a whole incremental one",
            hint="give the archive it was made against as $Base-Archive, or join the two first: bpscript image squash",
        )
    found = checked_entries(archive, read_names(archive))
    return IncrementalBase(found, archive.table.root if archive.table is not None else None, coarse=ignores_case(archive))


def entries(archive: Archive) -> Iterator[Listed]:
    """Path, facts and hard-link target of every entry, in order: for listings."""
    for entry in checked_entries(archive, read_names(archive)):
        yield entry.path, entry.facts, entry.link


def checked_entries(archive: Archive, plan: list[Planned]) -> Iterator[TarEntry]:
    """The tar stream entry by entry, each compared with the plan. Raises FormatError."""
    for group in checked_groups(archive, plan):
        yield from group


def checked_groups(archive: Archive, plan: list[Planned]) -> Iterator[list[TarEntry]]:
    """The same in groups (`TarReader.groups`). Raises FormatError."""
    position = 0
    for group in TarReader(data for _, data in archive.chunks()).groups():
        found = [planned(entry.path, entry.facts, entry.link) for entry in group]
        wanted = plan[position : position + len(group)]
        if found != wanted:
            agreed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(found, wanted, strict=False)))
            yield group[:agreed]        # what comes before the damage is unpacked
            raise FormatError(f'archive: the entry "{group[agreed].path}" does not agree with the table of names')
        yield group
        position += len(group)
    if position < len(plan):
        raise FormatError(f'archive: "{plan[position].path}" is in the table of names, but not in the archive')


# --- sections --------------------------------------------------------------------------------------------------------


def pack_names(plan: Iterable[Planned]) -> bytes:
    """Section NAME: for each entry kind and size, path, link; each ended by a zero byte."""
    return "".join(f"{code}{size}\0{path}\0{link}\0" for path, code, size, link in plan).encode(errors="surrogateescape")


def read_names(archive: Archive) -> list[Planned]:
    """The plan of an incremental archive. Raises FormatError."""
    if archive.header.kind != ArchiveKind.INCREMENTAL:
        what = "the archive of a whole disk" if archive.header.kind is ArchiveKind.DISK else "a full archive"
        raise FormatError(f"this is {what}, not an incremental one")
    section = archive.section(NAME)
    if section is None:
        raise FormatError("archive: the table of names is missing")
    plan = _parse_names(section, "table of names", MAX_ENTRIES)
    check_links(plan, "archive")
    return plan


def _parse_names(section: bytes, what: str, most: int) -> list[Planned]:
    if section.count(0) > 3 * most:     # before it becomes that many texts
        raise FormatError(f"archive: the {what} has more than {most} entries")
    text = section.decode(errors="surrogateescape")
    plan: list[Planned] = []
    end = 0
    for found in _NAME(text):
        code, digits, path, link = found.groups()
        if found.start() != end or (code != FILE and digits != "0") or bool(link) != (code in _LINKS) or int(digits) > MAX_FILE:
            break
        plan.append(Planned(path, code, int(digits), link))
        end = found.end()
    if end != len(text):
        shown = text[end : end + 400].split("\0")[1:2]
        raise FormatError(f'archive: the {what} is damaged at "{(shown or [text[end:]])[0][:200]}"')
    if len({entry.path for entry in plan}) != len(plan):
        raise FormatError(f"archive: the {what} has a path twice")
    return plan


def check_base(archive: Archive, target: Filesystem, path: str, sink: Sink = ignore) -> None:
    """Look up some files of the base of a difference archive on a target. Raises StorageError when most are missing or others."""
    section = archive.section(KEPT)
    if section is None:
        return
    kept = _parse_names(section, "list of kept files", MAX_KEPT)
    wrong = [entry.path for entry in kept if not _is_there(target, f"{path}/{entry.path}" if path else entry.path, entry)]
    if not wrong:
        return
    words = f'{len(wrong)} of {len(kept)} files that were looked for, such as "{wrong[0]}", are missing there or differ'
    if 2 * len(wrong) > len(kept):
        raise StorageError(
            f"this archive holds only what differs from another one, and the target does not hold that: {words}",
            hint="unpack the archive first that was given as $Base-Archive",
        )
    sink(Event(Kind.WARNING, {"text": f"a difference archive is unpacked where its base has changed: {words}"}))


def pack_removals(paths: Iterable[str]) -> bytes:
    """Section BASE: paths, each ended by a zero byte, a directory before what is in it."""
    return "".join(f"{path}\0" for path in paths).encode(errors="surrogateescape")


def read_removals(archive: Archive) -> list[str] | None:
    """The paths a difference archive removes; None for any other. Raises FormatError."""
    section = archive.section(BASE)
    if section is None:
        return None
    if section.count(0) > MAX_ENTRIES:
        raise FormatError(f"archive: the list of removed files has more than {MAX_ENTRIES} entries")
    paths = section.decode(errors="surrogateescape").split("\0")
    if paths.pop() or not all(map(is_clean_path, paths)):
        raise FormatError("archive: the list of removed files is damaged")
    return paths


# --- inside ----------------------------------------------------------------------------------------------------------


def counts(plan: list[Planned]) -> dict[str, Json]:
    """What META says of a plan."""
    return {
        "entries": len(plan), "files": sum(entry.code == FILE for entry in plan), "content_size": sum(entry.size for entry in plan),
    }


def _content_adder(stream: TarStream, volume: Filesystem) -> Callable[[str, int, str], None]:
    """A function of place, size and name that adds the contents of a file, read by the threads that pack where the volume allows it.

    What the volume can do is asked once: asking whether it has a protocol costs as much as all the rest.
    """
    from_device = volume if isinstance(volume, HasExtents) else None
    from_anywhere = volume if isinstance(volume, ReadsAnywhere) else None

    def add(place: str, size: int, name: str) -> None:
        extents = None if from_device is None else from_device.extents(place)
        if extents is not None:
            stream.add_extents(extents, size)
        elif from_anywhere is not None:
            stream.add_file(from_anywhere, place, size, name)
        else:
            with closing(volume.open(place)) as reader:
                stream.copy(reader, size, name)

    return add


def stored_in(archive: Archive, plan: Iterable[Planned]) -> dict[str, int]:
    """Bytes of files that are no zeros in the archive: of those that may have holes. Nothing is known of a stream."""
    if archive.is_stream:
        return {}
    from .tar_tree import TarTree  # noqa: PLC0415 - it needs this module, and few targets are short of room

    tree = TarTree(archive)
    return {entry.path: stored(tree, entry.path, entry.size) for entry in plan if entry.code == FILE and entry.size >= WORTH_IT}


def _is_there(target: Filesystem, place: str, entry: Planned) -> bool:
    if not target.exists(place):
        return False
    facts = target.stat(place)
    return facts.kind is (FileKind.DIRECTORY if entry.code == DIRECTORY else FileKind.FILE) and facts.size == entry.size


def _size_on(target: Filesystem, place: str) -> int | None:
    if not target.exists(place):
        return None
    facts = target.stat(place)
    return -1 if facts.kind is FileKind.DIRECTORY else facts.size if facts.kind is FileKind.FILE else None
