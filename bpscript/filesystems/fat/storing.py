"""Storing the contents of a file: chunks in, runs of clusters out."""

from collections.abc import Iterable

from ...base.errors import NoSpaceError, StorageError
from ...blocks.device import Buffer
from ..elsewhere import Elsewhere
from ..write_behind import WriteBehind
from .geometry import Geometry
from .layout import MAX_FILE_SIZE, Cluster
from .table import FatTable

AHEAD = 8 << 20                 # bytes; most that is allocated ahead for a file of unknown size

Run = tuple[Cluster, int]       # first cluster and count


class Storing:
    """Writes files into clusters that were free. The runs taken are in the list the caller gives, whatever happens."""

    def __init__(self, geometry: Geometry, table: FatTable, writer: WriteBehind) -> None:
        self._geometry = geometry
        self._table = table
        self._writer = writer

    def store(self, path: str, chunks: Iterable[Buffer] | Elsewhere, runs: list[Run], size: int) -> None:
        """Write exactly `size` bytes, or let them be brought. Raises StorageError when `chunks` give more or less."""
        if isinstance(chunks, Elsewhere):
            self._bring(chunks, runs)
            return
        if not size:
            if any(len(chunk) for chunk in chunks):
                raise StorageError(f'"/{path}": more than the announced 0 bytes were given')
            return
        cluster_size = self._geometry.cluster_size
        runs += self._table.allocate(-(-size // cluster_size))
        if len(runs) == 1 and isinstance(chunks, tuple) and len(chunks) == 1:       # nearly always
            whole = memoryview(chunks[0])
            if whole.nbytes == size and whole.ndim == whole.itemsize == 1:
                self._writer.put_file(self._geometry.cluster_offset(runs[0][0]), whole, runs[0][1] * cluster_size)
                return
        put = self._writer.put
        coming = iter(runs)
        offset = room = total = 0
        for chunk in chunks:
            view = chunk if isinstance(chunk, (bytes, bytearray)) else memoryview(chunk).cast("B")
            length = len(view)
            total += length
            if total > size:
                raise StorageError(f'"/{path}": more than the announced {size} bytes were given')
            while length > room:
                if room:
                    view = memoryview(view)
                    put(offset, view[:room])
                    view = view[room:]
                    length -= room
                start, count = next(coming)
                offset = self._geometry.cluster_offset(start)
                room = count * cluster_size
            if length:
                put(offset, view)
                offset += length
                room -= length
        if total != size:
            raise StorageError(f'"/{path}": only {total} of the announced {size} bytes were given')
        self._writer.pad(offset, room)

    def _bring(self, contents: Elsewhere, runs: list[Run]) -> None:
        unit = self._geometry.cluster_size
        runs += self._table.allocate(-(-len(contents) // unit))
        position = 0
        for start, count in runs:
            contents.part_belongs(position, min(count * unit, len(contents) - position), self._geometry.cluster_offset(start), count * unit)
            position += count * unit

    def store_growing(self, path: str, chunks: Iterable[Buffer], runs: list[Run]) -> int:
        """Write what comes, allocating as it comes; how many bytes it was. Raises NoSpaceError when the volume is full."""
        size = self._geometry.cluster_size
        offset = room = total = 0
        ahead = 0               # index in `runs` of the next one to fill
        for chunk in chunks:
            view = memoryview(chunk).cast("B")
            total += len(view)
            if total > MAX_FILE_SIZE:
                raise too_large(path)
            while len(view):
                if not room:
                    if ahead == len(runs):
                        self._extend(path, runs, max(len(view), min(total, AHEAD)))
                    offset = self._geometry.cluster_offset(runs[ahead][0])
                    room = runs[ahead][1] * size
                    ahead += 1
                step = min(room, len(view))
                self._writer.put(offset, view[:step])
                view = view[step:]
                offset += step
                room -= step
        self._give_back_rest(runs, -(-total // size))
        self._writer.pad(offset, room % size)
        return total

    def _extend(self, path: str, runs: list[Run], wanted: int) -> None:
        """Allocate clusters for `wanted` bytes, or as many as there are."""
        count = min(-(-wanted // self._geometry.cluster_size), max(self._table.free_clusters, 1))
        try:
            runs += self._table.allocate(count, after=runs[-1][0] + runs[-1][1] - 1 if runs else 0)
        except NoSpaceError as error:
            raise NoSpaceError(f'"/{path}" does not fit: the volume is full') from error

    def _give_back_rest(self, runs: list[Run], needed: int) -> None:
        """Shorten a chain to `needed` clusters."""
        surplus = sum(count for _, count in runs) - needed
        while surplus:
            start, count = runs.pop()
            keep = max(0, count - surplus)
            self._table.free_run(start + keep, count - keep)
            surplus -= count - keep
            if keep:
                runs.append((start, keep))
        if runs:
            self._table.cut(runs[-1][0] + runs[-1][1] - 1)


def too_large(path: str) -> StorageError:
    """The error for a file beyond 4 GB."""
    return StorageError(f'"/{path}" is too large for FAT: a file can have at most {MAX_FILE_SIZE} bytes (4 GB - 1)')
