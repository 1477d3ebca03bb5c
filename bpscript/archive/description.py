"""What is said of an image whose used bytes are known already: kind of file system, label, sizes, from the first bytes of the partition."""

from contextlib import suppress

from ..base.errors import BpscriptError, FormatError
from ..blocks.device import BlockDevice
from ..blocks.overlay import OverlayDevice
from ..filesystems.detect import detect, family_of, open_volume, size_of
from ..filesystems.filesystem import Family
from ..filesystems.ntfs import NtfsVolume
from .adapters import PositionalDevice
from .full import RAW, Facts
from .ranges import Ranges

START = 128 << 10       # bytes from which everything is told; no superblock that we know lies beyond 64 KiB


def describe(device: BlockDevice, used: Ranges, *, now_ns: int, writer: str, code_page: str = "cp850", is_whole: bool = True) -> Facts:
    """Facts of a partition; a damaged file system still has its kind and size.

    With `is_whole` False only the first START bytes of `device` are what they should be: a label that stands elsewhere is not found.
    Raises FormatError when the file system claims more than there is.
    """
    kind = detect(device) or RAW
    family = Family.OTHER if kind == RAW else family_of(kind)
    volume_size = device.size if kind == RAW else size_of(device, kind)
    if volume_size > device.size:
        raise FormatError(f"the {kind} file system has {volume_size} bytes, its image only {device.size}")
    label = ident = ""
    block_size = hidden = heads = track = 0
    if kind.startswith("FAT"):
        from ..filesystems.fat.geometry import Geometry  # noqa: PLC0415 - slow, and only for FAT

        fat = Geometry.from_sector(device.read(0, 512))
        block_size, hidden, heads, track = fat.cluster_size, fat.hidden_sectors, fat.heads, fat.sectors_per_track
        with suppress(BpscriptError):
            volume = open_volume(OverlayDevice(device), code_page=code_page, writable=False)
            label, ident = volume.label, volume.ident
    elif kind in {"EXT2", "EXT3", "EXT4"}:
        from ..filesystems.ext.superblock import Superblock  # noqa: PLC0415 - as above

        ext = Superblock.read(device)
        label, ident, block_size = ext.label, str(ext.uuid or ""), ext.block_size
    elif kind == "NTFS":
        ntfs = NtfsVolume.read(device)
        ident, block_size = ntfs.serial, ntfs.cluster_size
        hidden, heads, track = ntfs.hidden_sectors, ntfs.heads, ntfs.sectors_per_track
        if is_whole:
            with suppress(BpscriptError):
                label = ntfs.label(device)
    return Facts(kind, family, device.size, volume_size, used.total, label, ident, block_size, hidden, heads, track, now_ns, writer)


class StartDevice(PositionalDevice):
    """The first bytes of a partition, and zeros for the rest."""

    def __init__(self, start: bytes, size: int) -> None:
        super().__init__(_Start(start, size))


class _Start:
    def __init__(self, start: bytes, size: int) -> None:
        self._start = start
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        return self._start[offset : offset + length].ljust(length, b"\0")

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        view = memoryview(buffer).cast("B")
        view[:] = self.read(offset, len(view))
