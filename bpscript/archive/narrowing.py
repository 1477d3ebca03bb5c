"""Which bytes of a partition differ from its image: chunks by their hashes first, then sector by sector in those that differ."""

from ..base.errors import FormatError
from ..base.events import Sink, ignore
from ..blocks.device import BlockDevice
from .compare import Comparer
from .container import ChunkKind
from .full import PartitionImage
from .placement import Place, placement

_SECTOR = 512
_NARROWED = 4096        # chunks looked at more closely; of more, the whole chunks are named


def differing_ranges(image: PartitionImage, device: BlockDevice, *, threads: int | None = None, events: Sink = ignore) -> list[tuple[int, int]]:
    """Half-open ranges in which used bytes differ, in order, neighbours joined.

    For a partition of the same size. Raises FormatError when the image can be read in order only or the sizes differ.
    """
    if image.chunks.is_stream:
        raise FormatError("this archive can be read in order only; comparing needs one in a file")
    if device.size != image.size:
        raise FormatError(
            f"the archive is of a partition of {image.size} bytes, this one has {device.size}", hint="image diff compares file by file"
        )
    comparer = Comparer(image, device, placement(image, device.size, Place()))
    found: list[tuple[int, int]] = []
    for number, (start, length) in enumerate(comparer.differences(threads=threads, events=events, task="compare")):
        for first, last in _sectors(image, comparer, start, length) if number < _NARROWED else [(start, start + length)]:
            if found and found[-1][1] == first:
                found[-1] = found[-1][0], last
            else:
                found.append((first, last))
    return found


def _sectors(image: PartitionImage, comparer: Comparer, start: int, length: int) -> list[tuple[int, int]]:
    """Of one chunk, the sectors that differ; all of it when it is none that holds data."""
    index = image.chunks.find(start)
    record = image.chunks.record(index)
    if record.kind is not ChunkKind.DATA:
        return [(start, start + length)]
    wanted, there = image.chunks.data(index), bytes(comparer.contents(record))
    found = []
    for at in range(0, length, _SECTOR):
        if wanted[at : at + _SECTOR] != there[at : at + _SECTOR]:
            found.append((start + at, start + min(at + _SECTOR, length)))
    return found
