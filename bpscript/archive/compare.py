"""Is on a partition what the archive holds? Each chunk's BLAKE3 answers; nothing is fetched or decoded.

Fields of the boot sector that say where the partition lies are left out: the archive's are put in their place before hashing.
"""

import threading
from collections.abc import Iterable

from ..base.buffers import large_buffer
from ..base.errors import FormatError, StorageError
from ..base.events import Progress, Sink, ignore, progress
from ..blocks.device import BlockDevice, data_ranges_of
from ..filesystems.filesystem import Facts, FileKind, Filesystem
from .container import ChunkKind, ChunkRecord
from .crew import Crew, default_threads
from .full import PartitionImage
from .placement import Place, Placement, placement
from .reading import read_used
from .same_contents import FileAt, first_difference

_ZERO_STEP = 256 << 10      # bytes of a run of zeros that are looked at together
_ZEROS = bytes(_ZERO_STEP)


class Comparer:
    """Compares chunks of an image with their places on a device; may be used by several threads."""

    def __init__(self, image: PartitionImage, device: BlockDevice, placed: Placement) -> None:
        self._image = image
        self._device = device
        self._placed = placed
        self._used = image.used.clipped(device.size)
        self._local = threading.local()
        if not image.chunks.is_stream:
            self._look_up_patches()

    def is_equal(self, record: ChunkRecord, device: BlockDevice | None = None, parts: list[tuple[int, int]] | None = None) -> bool:
        """True when every used byte of the chunk is on the device (another one than usual, if given).

        `parts` are those that are used, where they are known already.
        """
        if parts is None:
            parts = self._used.within(record.offset, record.offset + record.length)
        if record.kind is not ChunkKind.DATA:
            return all(self._is_zero(device or self._device, start, end) for start, end in parts)
        view = self._contents(record, device or self._device, parts)
        return view is not None and self._image.chunks.agrees(record, view)

    def contents(self, record: ChunkRecord) -> memoryview:
        """What the device has where a DATA chunk belongs, zeros where nothing is used; valid until the thread's next chunk."""
        parts = self._used.within(record.offset, record.offset + record.length)
        view = self._contents(record, self._device, parts)
        assert view is not None     # all patches were looked up
        return view

    def _contents(self, record: ChunkRecord, device: BlockDevice, parts: list[tuple[int, int]]) -> memoryview | None:
        """None when it cannot be known yet what the archive has in the boot sector."""
        view = self._buffer()[: record.length]
        self._read(device, view, record.offset, parts)
        for patch in self._placed.patches:
            if record.offset <= patch.offset < record.offset + record.length:
                if patch.old is None:
                    return None
                start = patch.offset - record.offset
                view[start : start + len(patch.old)] = patch.old
        return view

    def note(self, record: ChunkRecord, data: memoryview) -> None:
        """A chunk was decoded: remember what the archive has where the target differs."""
        for patch in self._placed.patches:
            if patch.old is None and record.offset <= patch.offset < record.offset + record.length:
                start = patch.offset - record.offset
                patch.old = bytes(data[start : start + len(patch.new)])

    def differences(self, *, threads: int | None = None, events: Sink = ignore, task: str = "verify") -> list[tuple[int, int]]:
        """Offset and length, in the image, of every chunk that is not there; in order."""
        archive = self._image.chunks
        total = self._used.total
        state = Progress(events, task, total)
        state.report()
        found: list[tuple[int, int]] = []
        numbers = iter(range(len(archive)))
        lock = threading.Lock()
        done = [0]

        def loop() -> None:
            while not crew.stopping:
                with lock:
                    index = next(numbers, None)
                if index is None:
                    return
                record = archive.record(index)
                equal = record.kind is ChunkKind.UNUSED or self.is_equal(record)
                length = sum(end - start for start, end in self._used.within(record.offset, record.offset + record.length))
                with lock:
                    done[0] += length
                    if not equal:
                        found.append((record.offset, record.length))

        crew = Crew(loop, threads or default_threads())
        crew.run(lambda: state.advance(done[0] - state.done))
        state.report()
        return sorted(found)

    def _look_up_patches(self) -> None:
        archive = self._image.chunks
        for patch in self._placed.patches:
            if patch.old is None:
                index = archive.find(patch.offset)
                record = archive.record(index)
                self.note(record, memoryview(archive.data(index)))

    def _buffer(self) -> memoryview:
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None:
            buffer = self._local.buffer = large_buffer(self._image.chunks.chunk_size)
        return buffer

    def _read(self, device: BlockDevice, view: memoryview, start: int, parts: list[tuple[int, int]]) -> None:
        if len(self._placed.moves) == 1:
            read_used(device, view, start, parts)
            return
        view[:] = bytes(len(view))
        for first, last in parts:
            for a, b, distance in self._placed.place(first, last):
                device.readinto(a + distance, view[a - start : b - start])

    def _is_zero(self, device: BlockDevice, start: int, end: int) -> bool:
        buffer = bytearray(_ZERO_STEP)      # small: runs of zeros are mostly holes, and nothing of them is read
        for first, last, distance in self._placed.place(start, end):
            for low, high in data_ranges_of(device, first + distance, last - first):
                for at in range(low, high, _ZERO_STEP):
                    length = min(_ZERO_STEP, high - at)
                    device.readinto(at, memoryview(buffer)[:length])
                    if not (buffer == _ZEROS if length == _ZERO_STEP else buffer.startswith(_ZEROS[:length])):      # without a copy
                        return False
        return True


def compare(
    image: PartitionImage, device: BlockDevice, *, threads: int | None = None, events: Sink = ignore
) -> list[tuple[int, int]]:
    """Offset and length of every chunk of the archive that is not on the partition as it is in the archive; in order.

    For a partition of the same size. Raises FormatError when the archive cannot be read from anywhere or the sizes differ.
    """
    if image.chunks.is_stream:
        raise FormatError("this archive can be read in order only; comparing needs one in a file")
    if device.size != image.size:
        raise FormatError(f"the archive is of a partition of {image.size} bytes, this one has {device.size}")
    return Comparer(image, device, placement(image, device.size, Place())).differences(threads=threads, events=events, task="compare")


def compare_files(source: Filesystem, target: Filesystem, found: Iterable[tuple[str, Facts, str | None]], events: Sink = ignore) -> None:
    """Read every file of a listing on both volumes. Raises StorageError that names the first that differs."""
    entries = [(path, facts.size) for path, facts, _ in found if facts.kind is FileKind.FILE]
    with progress(events, "verify", sum(size for _, size in entries)) as state:
        for path, size in entries:
            position = first_difference(FileAt(source, path), FileAt(target, path), size, state.advance)
            if position == size:
                raise StorageError(f"verify: {path} read back is longer than the {size} bytes in the archive")
            if position is not None:
                raise StorageError(f"verify: {path} read back differs from the archive after byte {position}")
