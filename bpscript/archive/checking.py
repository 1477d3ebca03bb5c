"""Is an archive as it was written? All that is wrong is found, not only the first thing: `image verify`."""

from dataclasses import dataclass, field

from ..base.errors import FormatError
from ..base.events import Progress, Sink, ignore
from .container import Archive, ArchiveKind, ChunkRecord
from .full import AnyChunk, Chunks
from .incremental import checked_entries, read_names
from .records import ChunkKind

_KEPT = 100         # findings; more are only counted


@dataclass(frozen=True, slots=True)
class Damage:
    """One finding. `offset` and `length` are bytes of the contents; None where it is not one chunk that is damaged."""

    message: str
    offset: int | None = None
    length: int | None = None
    files: tuple[str, ...] = ()     # whose contents lie there, as far as known


@dataclass(slots=True)
class Findings:
    """What is wrong; the first hundred in `damages`, all in `count`."""

    damages: list[Damage] = field(default_factory=list)
    count: int = 0

    def add(self, damage: Damage) -> None:
        """Count it, and keep it while there is room."""
        self.count += 1
        if len(self.damages) < _KEPT:
            self.damages.append(damage)


def check_archive(archive: Archive, *, events: Sink = ignore) -> Findings:
    """Decode and check everything: chunks, their records, sections, and the tar stream of an incremental archive."""
    if archive.header.kind is ArchiveKind.INCREMENTAL:
        found = _check_entries(archive, events)
        if not found.count or archive.is_stream:
            return found
        chunks = _check_chunks(archive, events)
        return chunks if chunks.count else found
    return _check_chunks(archive, events)


def check_image(chunks: Chunks, *, events: Sink = ignore) -> None:
    """Read everything of an image that has no hashes to be checked by. Raises what reading raises."""
    state = Progress(events, "verify", chunks.size or 0)
    done = [0]

    def read(chunk: AnyChunk) -> None:
        if chunk.record.kind is ChunkKind.DATA:
            chunk.data()
        else:
            chunk.check_zeros()
        done[0] += chunk.record.length      # an estimate between threads, for the eye

    chunks.each(read, tick=lambda: state.advance(done[0] - state.done))
    state.report()


def _check_chunks(archive: Archive, events: Sink) -> Findings:
    found = Findings()
    state = Progress(events, "verify", archive.size or 0)
    state.report()

    def damaged(record: ChunkRecord, error: FormatError) -> None:
        found.add(Damage(error.message, record.offset, record.length))

    try:
        archive.verify(lambda done: state.advance(done - state.done), damaged)
    except FormatError as error:        # the frames around the chunks
        found.add(Damage(error.message))
    found.damages.sort(key=lambda damage: (damage.offset is None, damage.offset or 0))
    state.report()
    return found


def _check_entries(archive: Archive, events: Sink) -> Findings:
    found = Findings()
    try:
        plan = read_names(archive)
        state = Progress(events, "verify", sum(entry.size for entry in plan))
        state.report()
        for entry in checked_entries(archive, plan):
            state.advance(entry.facts.size)
        archive.check_around()
        state.report()
    except FormatError as error:
        found.add(Damage(error.message))
    return found
