"""A volume on a larger partition, or on one with other sectors: same clusters, same numbers, new places.

    old   |boot| FAT 1 | FAT 2 |root|2|3|4|5|
                |        |       \\   \
    new   |boot| FAT 1      | FAT 2      |root|2|3|4|5|6|7|8|9|

Chains and directories hold cluster numbers only, so they stay true: the FATs become longer, what follows them moves, and the boot
sector and FSInfo are made anew. Nothing is read or written here: `plan_moves` says what goes where, whoever restores does it.
"""

from dataclasses import dataclass, replace

from ...base.errors import NoSpaceError, StorageError
from . import layout
from .geometry import Geometry


@dataclass(frozen=True, slots=True)
class Move:
    """`length` bytes at `source` in the old volume belong to `target` in the new one."""

    source: int
    target: int
    length: int


def regrow(old: Geometry, new_total_sectors: int, *, sector_size: int | None = None) -> Geometry:
    """The geometry with the same clusters on a volume of up to `new_total_sectors` sectors of `sector_size` bytes.

    The width stays, so the volume ends where its width has no more clusters. Raises NoSpaceError when the old clusters do not
    fit, StorageError when clusters are smaller than the new sectors.
    """
    size = sector_size or old.sector_size
    new_total_sectors = min(new_total_sectors, 0xFFFFFFFF)
    if (new_total_sectors, size) == (old.total_sectors, old.sector_size):
        return old
    if old.cluster_size % size:
        raise StorageError(f"clusters of {old.cluster_size} bytes cannot be on a disk with sectors of {size} bytes")
    if size != old.sector_size and old.width != 32 and old.reserved_sectors != 1:
        raise StorageError(f"{old.reserved_sectors} reserved sectors cannot be translated to sectors of {size} bytes")
    per_cluster = old.cluster_size // size
    root_sectors = -(-old.root_entries * layout.SLOT_SIZE // size)
    reserved = old.reserved_sectors
    # Round the FAT size as the old volume had it, so that data stays aligned as it was.
    oldest_fat = -(-old.fat_size // size)
    fat_sectors = oldest_fat
    while True:     # ends: a longer FAT leaves fewer clusters, and each turn makes it longer
        clusters = min(
            (new_total_sectors - reserved - old.fat_count * fat_sectors - root_sectors) // per_cluster, layout.MAX_CLUSTERS[old.width]
        )
        needed = -(-(clusters + 2) * old.width // (8 * size))
        if needed <= fat_sectors:
            break
        fat_sectors = max(fat_sectors + 1, -(-needed // 8) * 8 if old.width == 32 else needed)
    if clusters < old.cluster_count:
        raise NoSpaceError(f"the volume has {old.cluster_count} clusters of {old.cluster_size} bytes; only {max(clusters, 0)} fit")
    data_sectors = reserved + old.fat_count * fat_sectors + root_sectors
    # Beyond the limit of the width no sector may be claimed: the number of clusters tells FAT12, FAT16 and FAT32 apart.
    limited = clusters == layout.MAX_CLUSTERS[old.width]
    total = data_sectors + clusters * per_cluster if limited else new_total_sectors
    return replace(
        old, sector_size=size, sectors_per_cluster=per_cluster, reserved_sectors=reserved, sectors_per_fat=fat_sectors,
        total_sectors=total, hidden_sectors=old.hidden_sectors * old.sector_size // size,
    )


def plan_moves(old: Geometry, new: Geometry) -> tuple[tuple[Move, ...], tuple[tuple[int, int], ...]]:
    """Moves from the old volume to the new one, and half-open ranges of the new one that must be zero.

    The boot sector and FSInfo (and their backups) are not among them: see `boot_area`. With equal sector sizes the other
    reserved sectors (more boot code) stay where they are.
    """
    fat_length = -(-(old.cluster_count + 2) * old.width // 8)      # entries behind the last cluster are not worth moving
    moves = []
    zeros = []
    if old.sector_size == new.sector_size:
        moves.append(Move(0, 0, min(old.fat_offset, new.fat_offset)))
    for copy in range(old.fat_count):
        target = new.fat_offset + copy * new.fat_size
        moves.append(Move(old.fat_offset + copy * old.fat_size, target, fat_length))
        zeros.append((target + fat_length, target + new.fat_size))
    root_length = old.root_entries * layout.SLOT_SIZE
    if root_length:
        moves.append(Move(old.root_offset, new.root_offset, root_length))
        if new.root_size > root_length:
            zeros.append((new.root_offset + root_length, new.data_offset))
    moves.append(Move(old.data_offset, new.data_offset, old.cluster_count * old.cluster_size))
    return tuple(moves), tuple(zeros)


def boot_area(old: Geometry, new: Geometry, boot_sector: bytes, info_sector: bytes | None) -> list[tuple[int, bytes]]:
    """Offsets in the new volume and bytes to write there: FSInfo, backups, and the boot sector as the last.

    `boot_sector` and `info_sector` (512 bytes; None on FAT12 and FAT16) are the old ones. Boot code and FSInfo's hints are kept.
    """
    from ...base.records import build_record, parse_record  # noqa: PLC0415 - as below
    from . import boot_records  # noqa: PLC0415 - brings construct

    sector = new.to_sector(boot_sector[:512])
    pieces: list[tuple[int, bytes]] = []
    if new.width == 32:
        if info_sector is not None and new.info_sector:
            info = parse_record(boot_records.FS_INFO, info_sector[:512], "FSInfo")
            free = info.free_clusters
            if free != layout.UNKNOWN:
                free = min(free + new.cluster_count - old.cluster_count, new.cluster_count)
            record = build_record(boot_records.FS_INFO, {"free_clusters": free, "next_free": info.next_free})
            pieces.append((new.info_sector * new.sector_size, record))
        if new.backup_sector:
            pieces.append((new.backup_sector * new.sector_size, sector))
    pieces.append((0, sector))
    return pieces
