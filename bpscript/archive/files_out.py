"""Archives of files into another form: as a plain tar, as an incremental archive of ours, as a volume.

Whatever they come from (a volume in an image, an archive of ours, tar, zip), they are a plan and the entries in its order.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..blocks.device import Buffer
from ..filesystems.filesystem import FileKind, Filesystem
from ..filesystems.sparse import contents_of
from .container import Archive, ArchiveKind, ArchiveWriter, FrameSink, Header, Summary
from .filters import Filters
from .incremental import NAME, checked_entries, pack_names, read_names, read_removals, stored_in
from .plan import FILE, HARD_LINK, MAX_ENTRIES, Planned, Stored, planned
from .provenance import WRITER, Provenance
from .records import MIB
from .table import Signature
from .tar_layout import END, RECORD
from .tar_usual import TarEntry
from .tar_write import padding, tar_header
from .trees import listing, stored_sizes
from .writer import LONG_CHUNK_SIZE


class TakesBytes(Protocol):
    """Where a tar stream goes."""

    def write(self, data: bytes, /) -> object:
        """Append."""
        ...


@dataclass(frozen=True, slots=True)
class Files:
    """The plan, and a function that gives the entries (again each time). `ignores_case`: the names come from FAT or DOS. `stored`: bytes of files with holes (plan.py)."""

    plan: list[Planned]
    entries: Callable[[], Iterator[TarEntry]]
    stored: Stored
    ignores_case: bool = False

    @classmethod
    def of_volume(cls, volume: Filesystem) -> "Files":
        """All files of a volume."""
        found = list(listing(volume, "", Filters()))

        def entries() -> Iterator[TarEntry]:
            for path, facts, link in found:
                if facts.kind is FileKind.FILE and link is None:
                    yield TarEntry(path, facts, link, map(memoryview, contents_of(volume, path, facts.size)))
                else:
                    yield TarEntry(path, facts, link, iter(()))

        return cls([planned(*each) for each in found], entries, lambda: stored_sizes(volume, "", found), volume.ignores_case)

    @classmethod
    def of_archive(cls, archive: Archive) -> "Files":
        """Those of an incremental archive of ours. Raises FormatError for a difference, which says nothing alone."""
        if read_removals(archive) is not None:
            raise FormatError("this is a difference archive, which means nothing without its base", hint="bpscript image squash makes one archive of both")
        plan = read_names(archive)
        return cls(plan, lambda: checked_entries(archive, plan), lambda: stored_in(archive, plan), str(archive.header.meta.get("filesystem", "")).startswith("FAT"))


def write_tar(files: Files, out: TakesBytes, *, events: Sink = ignore) -> int:
    """A tar stream (pax), as an incremental archive holds it. Returns its bytes."""
    state = Progress(events, "write", sum(entry.size for entry in files.plan))
    state.report()
    total = 0
    for data in _tar_stream(files, state):
        out.write(bytes(data))
        total += len(memoryview(data))
    state.report()
    return total


def write_files(
    files: Files, sink: FrameSink, *, level: int = 3, threads: int | None = None, long: bool = False, clock: Clock,
    sign: Callable[[bytes], Signature] | None = None, origin: Provenance, events: Sink = ignore,
) -> Summary:
    """An incremental archive of ours."""
    plan = files.plan
    if len(plan) > MAX_ENTRIES:
        raise StorageError(f"{len(plan)} files and directories are more than an archive can hold ({MAX_ENTRIES})")
    meta = {
        "filesystem": "FAT" if files.ignores_case else "FOLDER", "family": "FAT" if files.ignores_case else "other", "label": "", "ident": "", "path": "",
        "entries": len(plan), "files": sum(entry.code == FILE for entry in plan), "content_size": sum(entry.size for entry in plan),
        "writer": WRITER, "created_ns": clock.now_ns(), "source": origin.source, "host": origin.host, "options": origin.options,
    }
    chunk_size = LONG_CHUNK_SIZE if long else MIB
    header = Header(ArchiveKind.INCREMENTAL, chunk_size, None, meta, {NAME: pack_names(plan)})
    state = Progress(events, "pack", sum(entry.size for entry in plan))
    with ArchiveWriter(sink, header, level=level, threads=threads, long=long) as writer:
        for chunk in _in_chunks(_tar_stream(files, state), chunk_size):
            writer.add(chunk)
        return writer.finish(sign)


def _tar_stream(files: Files, state: Progress) -> Iterator[Buffer]:
    """Everything from the first header to the padding of the last record. A view is valid until the next step."""
    size = 0
    for entry, wanted in zip(files.entries(), files.plan, strict=True):
        start = tar_header(entry.path, entry.facts, wanted.link if wanted.code == HARD_LINK else None)
        size += len(start)
        yield start
        if wanted.size:
            done = 0
            for piece in entry.chunks:
                done += len(memoryview(piece))
                yield piece
            if done != wanted.size:
                raise StorageError(f'"{entry.path}" has {done} bytes, {wanted.size} were announced')
            rest = padding(done)
            size += done + len(rest)
            yield rest
            state.advance(done)
    yield END
    yield bytes(-(size + len(END)) % RECORD)


def _in_chunks(pieces: Iterable[Buffer], length: int) -> Iterator[bytearray]:
    """The same bytes in pieces of `length`, the last one shorter; each of them fresh."""
    held = bytearray()
    for piece in pieces:
        held += memoryview(piece)
        while len(held) >= length:
            yield held[:length]
            del held[:length]
    if held:
        yield held
