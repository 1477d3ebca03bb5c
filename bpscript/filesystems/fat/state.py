"""What a volume says of itself: whether it was properly unmounted, and FSInfo's count of free clusters.

The mark "being written to" is in two places, because systems look in different ones: a bit of the boot sector's state byte (Windows
NT, Linux), and on FAT16 and FAT32 a bit of FAT entry 1 (fatgen103: ClnShutBitMask).
"""

from struct import pack

from ...blocks.device import BlockDevice
from . import layout
from .geometry import Geometry
from .table import FatTable

_NUMBERS_AT = 488               # of FSInfo: free clusters and next free cluster, 4 bytes each


class VolumeState:
    """The marks and FSInfo of an open volume."""

    def __init__(self, device: BlockDevice, boot_sector: bytes, geometry: Geometry) -> None:
        self._device = device
        self._boot_sector = boot_sector
        self._geometry = geometry
        self._clean = layout.CLEAN_SHUTDOWN[geometry.width]
        self._info = self._read_info()

    @property
    def free_clusters(self) -> int:
        """What FSInfo says; `layout.UNKNOWN` when it says nothing."""
        return self._info[0] if self._info is not None else layout.UNKNOWN

    @property
    def next_free(self) -> int:
        """What FSInfo says; `layout.UNKNOWN` when it says nothing."""
        return self._info[1] if self._info is not None else layout.UNKNOWN

    def is_marked(self, table: FatTable) -> bool:
        """True when the volume, as it was found, says that it was not properly unmounted."""
        return self._geometry.dirty or table.get(1) & self._clean != self._clean

    def mark(self, table: FatTable) -> None:
        """Set the mark. The boot sector's comes first and goes last, so the FATs never differ without it."""
        self._mark_boot_sector(layout.STATE_DIRTY)
        self._device.flush()
        if self._clean:
            table.set_reserved(table.get(1) & ~self._clean)
            table.flush()
        self._device.flush()

    def unmark(self, table: FatTable) -> None:
        """Take the mark away."""
        if self._clean:
            table.set_reserved(table.get(1) | self._clean)
            table.flush()
            self._device.flush()
        self._mark_boot_sector(0)
        self._device.flush()

    def write_info(self, table: FatTable) -> None:
        """Bring FSInfo up to date. Only the two numbers: the reserved bytes around them are kept."""
        if self._info is None:
            return
        now = table.free_clusters, int(table.next_free)
        if now != self._info:
            offset = self._geometry.info_sector * self._geometry.sector_size
            self._device.write(offset + _NUMBERS_AT, pack("<II", *now))
            self._info = now

    def _mark_boot_sector(self, state: int) -> None:
        at = layout.STATE_OFFSET[self._geometry.width]
        state |= self._boot_sector[at] & ~layout.STATE_DIRTY
        self._boot_sector = self._boot_sector[:at] + bytes([state]) + self._boot_sector[at + 1 :]
        self._device.write(0, self._boot_sector)

    def _read_info(self) -> tuple[int, int] | None:
        """Free clusters and next free cluster; None without a valid FSInfo."""
        offset = self._geometry.info_sector * self._geometry.sector_size
        if not offset:
            return None
        *marks, free_clusters, next_free, end = layout.FS_INFO.unpack(self._device.read(offset, layout.FS_INFO_SIZE))
        if (*marks, end) != layout.FS_INFO_MARKS:
            return None         # it only holds hints, and whatever else is there is not ours to overwrite
        return free_clusters, next_free
