"""From a full archive to a partition.

    check     header, table, fragments, sizes: nothing was written if this fails
    mark      the partition is "not formatted" from here on (`marking.py`)
    blocks    every chunk, in threads: its hash is checked before it is written; equal ones are passed over
    finish    boot sector fields, a larger FAT, signatures of former file systems
    verify    on request: read everything back and compare
    grow      ext: resize2fs to the size of the partition
    release   the first sectors; the partition is usable

A partition where the work was cut off stays marked; running it again passes over what is there already.
"""

import threading

from ..base.clock import Clock
from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore
from ..blocks.device import BlockDevice
from ..blocks.medium import drop_caches
from ..filesystems.signatures import SIGNATURES, position, wipe_signatures
from .compare import Comparer
from .container import ChunkKind, ChunkRecord
from .crew import Crew, default_threads
from .full import AnyChunk, PartitionImage
from .marking import HEAD, HeldDevice
from .placement import Place, Placement, blocks_fit, placement
from .records import KIB
from .report import Restored

MODES = ("AUTO", "ALL", "DIFF")
_PROBES = 24            # chunks that AUTO looks at before it decides
_NEAR = 16 * KIB        # gaps up to this are written with what surrounds them: one call instead of two


def restore(
    image: PartitionImage, device: BlockDevice, *, rewrite: str = "AUTO", verify: bool = False, place: Place | None = None,
    clock: Clock | None = None, code_page: str = "cp850", threads: int | None = None, events: Sink = ignore,
) -> Restored:
    """Make a partition hold what the archive holds. The caller has compared the family with the partition's type.

    Raises FormatError for a damaged archive, StorageError when it does not fit; whether the partition was touched can be seen
    on it: it is "not formatted" from the first write to the end.
    """
    if rewrite not in MODES:
        raise StorageError(f'Rewrite is "{rewrite}"; expected AUTO, ALL or DIFF')
    if not blocks_fit(image, device.size, place):
        if image.unpack is not None:
            with image.unpack() as whole:
                return restore(
                    whole, device, rewrite=rewrite, verify=verify, place=place, clock=clock, code_page=code_page, threads=threads, events=events
                )
        from .reformat import restore_files, restore_swap  # noqa: PLC0415 - few restores need a formatter

        if image.facts.filesystem == "SWAP":
            return restore_swap(image, device)
        return restore_files(
            image, device, verify=verify, place=place, clock=clock or Clock(), code_page=code_page, events=events
        )
    if image.facts.filesystem == "SWAP" and device.size != image.size:
        from .reformat import restore_swap  # noqa: PLC0415

        return restore_swap(image, device)
    work = _BlockRestore(image, device, placement(image, device.size, place), rewrite, threads)
    return work.run(verify=verify, events=events, clock=clock)


class _BlockRestore:
    """Blocks to their places."""

    def __init__(self, image: PartitionImage, device: BlockDevice, placed: Placement, rewrite: str, threads: int | None) -> None:
        self._image = image
        self._threads = threads
        self._placed = placed
        self._lower = device
        self._used = image.used.clipped(device.size)
        self._comparer = Comparer(image, device, placed)
        self._lock = threading.Lock()
        self._done = self._written = self._equal = 0
        self._chooser = _Chooser(image, self._comparer, rewrite, threads)

    def run(self, *, verify: bool, events: Sink, clock: Clock | None) -> Restored:
        """The whole work."""
        archive, total = self._image.chunks, self._used.total
        held = HeldDevice(self._lower, keep=self._chooser.compare)
        state = Progress(events, "restore", total)
        state.report()
        archive.each(
            lambda chunk: self._restore(chunk, held), threads=self._threads, tick=lambda: state.advance(self._done - state.done)
        )
        state.report()
        if self._done != total:
            raise FormatError(f"the archive ended after {self._done} of {total} used bytes")
        self._clear_unused_head(held)
        held.flush()
        if verify:
            # Before anything that makes the target differ from the archive on purpose.
            drop_caches(self._lower)
            expect_equal(Comparer(self._image, held, self._placed).differences(threads=self._threads, events=events))
        self._placed.finish(held)
        for patch in self._placed.patches:
            held.write(patch.offset, patch.new)
        wipe_signatures(held, self._kept())
        self._grow(held, clock)
        held.release()
        if verify:
            held.check_released()
        how = "same size" if self._lower.size == self._image.size else "larger" if self._lower.size > self._image.size else "smaller"
        return Restored(total, self._written, self._equal, how)

    def _grow(self, held: HeldDevice, clock: Clock | None) -> None:
        """Let ext fill a larger partition, while nobody sees it."""
        if self._image.facts.filesystem in {"EXT2", "EXT3", "EXT4"} and held.size > self._image.size:
            from ..filesystems.ext import resize_ext  # noqa: PLC0415 - only for larger partitions

            try:
                resize_ext(held, clock)
            except StorageError as error:
                raise StorageError(f"the archive is on the partition, but cannot fill it: {error.message}", hint=error.hint) from error

    def _clear_unused_head(self, held: HeldDevice) -> None:
        """What nobody uses of the first bytes may look like another file system."""
        end = min(HEAD, self._lower.size)
        position = 0
        kept = [(first + distance, last + distance) for part in self._used.within(0, HEAD) for first, last, distance in self._placed.place(*part)]
        for start, stop in [*sorted(kept), (end, end)]:
            if position < min(start, end):
                held.zero(position, min(start, end) - position)
            position = max(position, stop)

    def _restore(self, chunk: AnyChunk, device: HeldDevice) -> None:
        """One chunk, in a worker thread."""
        record = chunk.record
        parts = self._used.within(record.offset, record.offset + record.length)
        length = sum(end - start for start, end in parts)
        equal = False
        if self._chooser.compare and record.kind is not ChunkKind.UNUSED and self._is_there(record, device, parts):
            equal = True
        elif record.kind is not ChunkKind.DATA:
            chunk.check_zeros()
            for start, end in parts:
                for first, last, distance in self._placed.place(start, end):
                    device.zero(first + distance, last - first)
        else:
            data = chunk.data()
            self._comparer.note(record, data)
            for start, end in _joined(parts):
                for first, last, distance in self._placed.place(start, end):
                    device.write(first + distance, data[first - record.offset : last - record.offset])
        with self._lock:
            self._done += length
            if equal:
                self._equal += length
            else:
                self._written += length
            self._chooser.note(equal)

    def _is_there(self, record: ChunkRecord, device: HeldDevice, parts: list[tuple[int, int]]) -> bool:
        return record.offset in self._chooser.known_equal or self._comparer.is_equal(record, device, parts)

    def _kept(self) -> list[tuple[int, int]]:
        """Where signatures belong to the contents: the head, and used bytes at the places where signatures stand."""
        kept = [(0, HEAD)]
        for signature in SIGNATURES:
            start = position(signature, self._lower.size)
            if start is None:
                continue
            end = start + len(signature.magic)
            for first, last, distance in self._placed.place(0, self._image.size):
                window = max(first, start - distance), min(last, end - distance)
                kept += [(a + distance, b + distance) for a, b in self._used.within(*window)]
        return kept


class _Chooser:
    """Whether chunks are compared before they are written (`$Rewrite`).

    AUTO asks a few chunks all over the archive, or the first ones of a stream: comparing pays when a quarter is equal.
    """

    def __init__(self, image: PartitionImage, comparer: Comparer, rewrite: str, threads: int | None) -> None:
        self.compare = rewrite != "ALL"
        self.known_equal: set[int] = set()      # offsets of chunks that were found equal before anything was written
        self._asked = self._equal = 0
        self._undecided = rewrite == "AUTO" and image.chunks.is_stream
        if rewrite == "AUTO" and not image.chunks.is_stream:
            self.compare = self._probe(image, comparer, threads)

    def note(self, equal: bool) -> None:
        """A chunk of a stream was compared."""
        if self._undecided:
            self._asked += 1
            self._equal += equal
            if self._asked == _PROBES:
                self._undecided = False
                self.compare = self._equal * 4 >= _PROBES

    def _probe(self, image: PartitionImage, comparer: Comparer, threads: int | None) -> bool:
        archive = image.chunks
        step = max(1, len(archive) // _PROBES)
        records = [archive.record(index) for index in range(step // 2, len(archive), step)]
        asked = [record for record in records if record.kind is ChunkKind.DATA and record.offset >= HEAD]
        left = asked.copy()
        lock = threading.Lock()

        def loop() -> None:
            while not crew.stopping:
                with lock:
                    if not left:
                        return
                    record = left.pop()
                if comparer.is_equal(record):
                    self.known_equal.add(record.offset)

        crew = Crew(loop, threads or default_threads())
        crew.run(lambda: None)
        return len(self.known_equal) * 4 >= len(asked) > 0


def expect_equal(differences: list[tuple[int, int]]) -> None:
    """Raise StorageError when something read back differs from the archive."""
    if differences:
        offset, length = differences[0]
        raise StorageError(
            f"verify: {len(differences)} chunks read back differ from the archive, the first at bytes {offset} to {offset + length}",
            hint="the disk may be failing",
        )


def _joined(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Parts with small gaps between them closed; the decoded chunk has zeros there."""
    joined: list[tuple[int, int]] = []
    for start, end in parts:
        if joined and start - joined[-1][1] <= _NEAR:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined
