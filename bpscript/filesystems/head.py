"""The first bytes of a partition, written so that half a file system is never seen.

A disk writes whole sectors, and those of one request, or of several without a flush between them, in any order. Each file system
is recognised by one sector. That one goes first when a file system is to be forgotten, and comes last when one is made:

    forget    deciding sector | the other bytes |            | is a flush
    reveal    the other bytes | deciding sector |

Bytes of an older file system may show once the sector of the present one is gone, so theirs go before it.
"""

from ..base.units import KIB, SECTOR
from ..blocks.device import BlockDevice, Buffer
from ..blocks.overlay import OverlayDevice
from .detect import detect
from .swap import SwapSpace

_AT_1024 = ("EXT", "F2FS")          # superblocks behind the boot block
_BTRFS = 64 * KIB


def deciding_sector(device: BlockDevice, kind: str | None) -> int:
    """Offset in bytes of the sector by which a `kind` of file system on a device is recognised; 0 for what we do not know."""
    if kind is not None and kind.startswith(_AT_1024):
        return 1024
    if kind == "BTRFS":
        return _BTRFS
    if kind == "SWAP":
        space = SwapSpace.parse(device)
        return 0 if space is None else space.page_size - SECTOR
    return 0


def forget(device: BlockDevice, length: int) -> None:
    """Zero the first `length` bytes; what was recognised before is not from the first write on."""
    length = min(length, device.size)
    trial = OverlayDevice(device)
    sectors: list[int] = []
    while (kind := detect(trial)) is not None:
        sector = deciding_sector(trial, kind)
        if sector in sectors or sector >= length:
            break       # it is recognised by something else yet
        sectors.append(sector)
        trial.zero(sector, SECTOR)
    for sector in reversed(sectors or [0]):
        device.write(sector, bytes(min(SECTOR, length)))
        device.flush()
    device.write(0, bytes(length))      # not `zero`: it is written again soon, a hole would be in the way
    device.flush()


def reveal(device: BlockDevice, head: Buffer, sector: int) -> None:
    """Write the first bytes of a device of which everything else is written; `sector` is the deciding one."""
    view = memoryview(head).cast("B")
    end = min(sector + SECTOR, len(view))
    device.flush()
    for start, stop in ((0, sector), (end, len(view))):
        if start < stop:
            device.write(start, view[start:stop])
    device.flush()
    if sector < end:
        device.write(sector, view[sector:end])
    device.flush()
