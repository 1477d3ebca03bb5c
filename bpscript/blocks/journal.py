"""A layer that remembers every change in order: what a plan says would change, and where a power cut may fall.

    writes   w w w | w w | w w w        | is a flush: what stands left of it is on the disk for certain
                           ^~~~~        these may have arrived, or not, in any order, when the power goes now
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

from .device import BlockDevice, Buffer
from .ranges import RangeSet
from .through import ReadsThrough


class Change(StrEnum):
    """What was asked of the device."""

    WRITE = "write"
    ZERO = "zero"
    FLUSH = "flush"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One change: bytes `offset` to `offset + length`, at `time_s` of the journal's clock; `data` only if it is kept."""

    change: Change
    offset: int
    length: int
    time_s: float
    data: bytes | None = None


class JournalDevice(ReadsThrough):
    """`lower`, with every write, zero and flush recorded in `writes` after it succeeded.

    With `keep_data` the journal can be replayed, and costs the memory of all that was written. Without, neighbouring writes
    become one entry, so that a plan of a whole disk stays small. `clock` gives seconds. It has no `host_file`: what another
    program writes there would be missing here.
    """

    def __init__(self, lower: BlockDevice, *, keep_data: bool = True, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(lower)
        self._keep_data = keep_data
        self._clock = clock
        self.writes: list[JournalEntry] = []

    def write(self, offset: int, data: Buffer) -> None:
        """Write all of `data`."""
        self._lower.write(offset, data)
        view = memoryview(data).cast("B")
        self._record(Change.WRITE, offset, len(view), bytes(view) if self._keep_data else None)

    def writev(self, offset: int, buffers: Iterable[Buffer]) -> None:
        """Write the buffers one after the other; one entry, as it is one request to the disk."""
        parts = [memoryview(buffer).cast("B") for buffer in buffers]
        self._lower.writev(offset, parts)
        self._record(Change.WRITE, offset, sum(map(len, parts)), b"".join(parts) if self._keep_data else None)

    def zero(self, offset: int, length: int) -> None:
        """Make the range read as zeros."""
        self._lower.zero(offset, length)
        self._record(Change.ZERO, offset, length, None)

    def flush(self) -> None:
        """Flush the device below: a barrier."""
        self._lower.flush()
        if self.writes and self.writes[-1].change is not Change.FLUSH:
            self.writes.append(JournalEntry(Change.FLUSH, 0, 0, self._clock()))

    def changed_ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges that were written or zeroed, merged, in order."""
        changed = RangeSet()
        for entry in self.writes:
            changed.add(entry.offset, entry.offset + entry.length)
        yield from changed

    def replay(self, prefix: int, onto: BlockDevice, *, lost: Collection[int] = (), torn: int | None = None) -> None:
        """Do the first `prefix` changes to another device: what a power cut after them may leave.

        `lost` names changes (by index) that never arrived, which only those after the last flush can; of the last
        change only the first `torn` bytes arrived. Raises ValueError for what no power cut can do.
        """
        changes = self.writes[:prefix]
        barrier = max((index for index, entry in enumerate(changes) if entry.change is Change.FLUSH), default=-1)
        if any(index <= barrier for index in lost):
            raise ValueError(f"changes up to {barrier} were flushed: they cannot be lost")
        for index, entry in enumerate(changes):
            if index in lost or entry.change is Change.FLUSH:
                continue
            length = entry.length if torn is None or index < prefix - 1 else min(torn, entry.length)
            if entry.change is Change.ZERO:
                onto.zero(entry.offset, length)
            elif entry.data is None:
                raise ValueError("a journal that keeps no data cannot be replayed")
            else:
                onto.write(entry.offset, entry.data[:length])

    def unflushed(self, prefix: int) -> range:
        """Indexes of the changes that a power cut after the first `prefix` changes may lose."""
        prefix = min(prefix, len(self.writes))
        start = prefix
        while start and self.writes[start - 1].change is not Change.FLUSH:
            start -= 1
        return range(start, prefix)

    def _record(self, change: Change, offset: int, length: int, data: bytes | None) -> None:
        if not length:
            return
        if not self._keep_data and self.writes:
            last = self.writes[-1]
            if last.change is change and last.offset + last.length == offset:
                self.writes[-1] = JournalEntry(change, last.offset, last.length + length, last.time_s)
                return
        self.writes.append(JournalEntry(change, offset, length, self._clock(), data))
