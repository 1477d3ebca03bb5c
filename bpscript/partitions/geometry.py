"""The cylinders, heads and sectors that PC firmware makes up for a disk (language.md 9.3).

DOS reads its first sectors by these numbers: the CHS fields of a partition table and the heads and sectors of a FAT boot
sector must be the firmware's own, or it does not start.
"""


from typing import NamedTuple

from ..base.errors import StorageError
from ..base.units import MIB

SECTORS_PER_TRACK = 63
MAX_CYLINDER = 1023
OUT_OF_REACH = b"\xfe\xff\xff"      # cylinder 1023, head 254, sector 63: "beyond what CHS can say"

# The "bit shift" translation of BIOS drives: as few heads as keep the cylinders at or below 1024. Source: Phoenix
# "BIOS Enhanced Disk Drive Specification" 1.1, appendix on translation; the steps are 1024 * heads * 63 * 512 bytes.
_HEADS_UP_TO = ((504 * MIB, 16), (1008 * MIB, 32), (2016 * MIB, 64), (4032 * MIB, 128))


class Geometry(NamedTuple):
    """Heads and sectors per track."""

    heads: int
    sectors: int = SECTORS_PER_TRACK

    def encode(self, lba: int) -> bytes:
        """The three CHS bytes of a sector: head, sector with cylinder bits 8-9, cylinder bits 0-7."""
        track, sector = divmod(lba, self.sectors)
        cylinder, head = divmod(track, self.heads)
        if cylinder > MAX_CYLINDER:
            return OUT_OF_REACH
        return bytes([head, (sector + 1) | (cylinder >> 2 & 0xC0), cylinder & 0xFF])

    def decode(self, chs: bytes) -> int:
        """The sector that three CHS bytes mean in this geometry (wrong for `OUT_OF_REACH`, which means no sector)."""
        head, sector, low = chs
        cylinder = (sector & 0xC0) << 2 | low
        return (cylinder * self.heads + head) * self.sectors + (sector & 0x3F) - 1


def firmware_geometry(disk_size: int) -> Geometry:
    """What firmware reports for a disk of `disk_size` bytes."""
    for limit, heads in _HEADS_UP_TO:
        if disk_size <= limit:
            return Geometry(heads)
    return Geometry(255)


def parse_geometry(text: str) -> Geometry:
    """The value of `$Disk-Geometry`: "heads sectors". Raises StorageError."""
    words = text.split()
    if len(words) == 2 and all(word.isdecimal() and len(word) <= 3 for word in words):
        heads, sectors = map(int, words)
        if 1 <= heads <= 255 and 1 <= sectors <= 63:
            return Geometry(heads, sectors)
    raise StorageError(
        f'$Disk-Geometry is "{text}"; expected heads (1 to 255) and sectors per track (1 to 63)', hint='for example "16 63"'
    )
