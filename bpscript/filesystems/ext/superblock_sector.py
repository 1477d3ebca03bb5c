"""Two superblocks that differ in one sector only, so that on a disk there is the one or the other.

A superblock has 1024 bytes: two sectors, and a power cut may fall between them. All that changes while files are written is in the
first, but for the checksum at its end. So the checksum is kept: four bytes that mean nothing without the feature has_snapshot
(`s_snapshot_id`; we do not write to volumes with it) take what makes the checksum come out as it was. CRCs are linear: each bit of the
four bytes flips certain bits of the sum, and every sum can be reached.

Source of the layout: e2fsprogs `ext2_fs.h`, struct ext2_super_block.
"""

from collections.abc import Callable
from functools import cache

from ...base.units import SECTOR

_SNAPSHOT_ID = 0x184        # s_snapshot_id, 4 bytes
_CHECKSUM = 0x3FC           # s_checksum: crc32c of what stands before it
_BITS = 32

Crc = Callable[[bytes], int]


def in_one_sector(wanted: bytes, former: bytes, crc: Crc | None) -> bytes:
    """What to write at the place of the superblock `former` to have `wanted` there: its first sector, or all where that is not enough.

    `crc` computes the checksum; None for a volume without checksums.
    """
    if wanted[SECTOR:_CHECKSUM] != former[SECTOR:_CHECKSUM]:
        return wanted
    if crc is None:
        return wanted[:SECTOR]
    blank = wanted[:_SNAPSHOT_ID] + bytes(4) + wanted[_SNAPSHOT_ID + 4 : _CHECKSUM]
    missing = crc(blank) ^ int.from_bytes(former[_CHECKSUM:], "little")
    found = 0
    for lead, total, bits in _basis(crc):
        if missing & lead:
            missing ^= total
            found ^= bits
    assert missing == 0         # four bytes reach every sum of 32 bits
    return wanted[:_SNAPSHOT_ID] + found.to_bytes(4, "little") + wanted[_SNAPSHOT_ID + 4 : SECTOR]


@cache
def _basis(crc: Crc) -> tuple[tuple[int, int, int], ...]:
    """Which bits of the four bytes flip which bits of the sum, as a triangle: leading bit, all bits flipped, bits to set."""
    nothing = crc(bytes(_CHECKSUM))
    rows: list[tuple[int, int, int]] = []
    for bit in range(_BITS):
        total = crc(bytes(_SNAPSHOT_ID) + (1 << bit).to_bytes(4, "little") + bytes(_CHECKSUM - _SNAPSHOT_ID - 4)) ^ nothing
        bits = 1 << bit
        for lead, other, others in rows:
            if total & lead:
                total ^= other
                bits ^= others
        rows.append((1 << (total.bit_length() - 1), total, bits))
    return tuple(rows)
