"""The first bytes of a partition, written so that half a file system is never seen.

A disk writes whole sectors, and those of one request, or of several without a flush between them, in any order. Each file system
is recognised by one sector. That one goes first when a file system is to be forgotten, and comes last when one is made:

    forget    deciding sector | the other bytes |            | is a flush
    reveal    the other bytes | deciding sector |

Which one that is is told by magic numbers alone, so that nothing has to be loaded. Where several sectors may decide, because an older
file system has left its number, or something looks like one, each is taken by itself: sector 0 is looked at first by whoever wants
to know (`detect.py`), so it is forgotten after what it hides, and revealed before what makes it count.
"""

from ..base.units import KIB, SECTOR
from ..blocks.device import BlockDevice, Buffer
from .signatures import SWAP_PAGE_SIZES

_EXT_MAGIC, _F2FS_MAGIC = b"\x53\xef", b"\x10\x20\xf5\xf2"     # places and sources: signatures.py
_SWAP_MAGICS = (b"SWAPSPACE2", b"SWAP-SPACE")
_SUPERBLOCK = 1 * KIB
_BTRFS, _BTRFS_MAGIC = 64 * KIB, b"_BHRfS_M"
_MAX_LOG_BLOCK_SIZE = 6         # ext, s_log_block_size: blocks of 64 KiB


def deciding_sectors(head: Buffer) -> list[int]:
    """Offsets in bytes of the sectors that may decide what is on a device that begins so; sector 0 is the first of them."""
    view = memoryview(head).cast("B")
    found = [0]
    for page in SWAP_PAGE_SIZES:
        if bytes(view[page - 10 : page]) in _SWAP_MAGICS:
            found.append(page - SECTOR)
    is_ext = bytes(view[1080:1082]) == _EXT_MAGIC and int.from_bytes(view[1048:1052], "little") <= _MAX_LOG_BLOCK_SIZE
    if is_ext or bytes(view[_SUPERBLOCK : _SUPERBLOCK + 4]) == _F2FS_MAGIC:
        found.append(_SUPERBLOCK)
    if bytes(view[_BTRFS + 64 : _BTRFS + 72]) == _BTRFS_MAGIC:
        found.append(_BTRFS)
    return found


def forget(device: BlockDevice, length: int) -> None:
    """Zero the first `length` bytes; what was recognised before is not from the first write on."""
    length = min(length, device.size)
    for sector in reversed(deciding_sectors(device.read(0, length))):
        device.write(sector, bytes(min(SECTOR, length - sector)))
        device.flush()
    device.write(0, bytes(length))      # not `zero`: it is written again soon, a hole would be in the way
    device.flush()


def reveal(device: BlockDevice, head: Buffer) -> None:
    """Write the first bytes of a device of which everything else is written."""
    view = memoryview(head).cast("B")
    late = deciding_sectors(view)
    device.flush()
    position = 0
    for sector in (*sorted(late), len(view)):
        if position < sector:
            device.write(position, view[position:sector])
        position = sector + SECTOR
    for sector in late:
        device.flush()
        device.write(sector, view[sector : sector + SECTOR])
    device.flush()
