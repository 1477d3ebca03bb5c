"""Where the bytes of an image go on a partition that may be larger: blocks keep their places, or move by a whole distance.

    same size, ext, NTFS, raw   |################|            everything stays
    larger FAT                  |r|FAT|FAT|d###########|      r boot area, d root directory and clusters
                                |r|FAT  |FAT  |d###########·······|

The boot sector of FAT and NTFS says where its partition lies, so that firmware can boot it (language.md 9.3); those fields follow
the target and are left out of comparisons.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..base.errors import StorageError
from ..blocks.device import BlockDevice
from .full import PartitionImage

if TYPE_CHECKING:
    from ..filesystems.fat.geometry import Geometry

_FAT_OFFSETS = {"hidden": (28, 4), "heads": (26, 2), "track": (24, 2)}      # offset in the boot sector, bytes; NTFS has the same


class Place(NamedTuple):
    """Where a partition lies on its disk: the LBA of its first sector, and the geometry that the firmware reports.

    `sector_size` (bytes) is the disk's; a FAT volume with smaller sectors, or ext with smaller blocks, is copied file by file.
    """

    hidden_sectors: int = 0
    heads: int = 255
    sectors_per_track: int = 63
    sector_size: int = 0


class Patch:
    """Bytes of the image that are different on the target; `old` is what the image has, None until it was seen."""

    def __init__(self, offset: int, new: bytes, old: bytes | None = None) -> None:
        self.offset = offset
        self.new = new
        self.old = old


class Placement:
    """How an image lies on a partition.

    `moves` are (first byte in the image, distance in bytes), in order; the first begins at 0. `finish` is called on the target when all
    blocks are there: what a larger volume needs besides them.
    """

    def __init__(self) -> None:
        self.moves = [(0, 0)]
        self.patches: list[Patch] = []
        self.finish: Callable[[BlockDevice], None] = lambda _: None

    def place(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The pieces of an image range: start, end, distance."""
        if len(self.moves) == 1:
            return [(start, end, self.moves[0][1])]
        found = []
        for index, (first, distance) in enumerate(self.moves):
            last = self.moves[index + 1][0] if index + 1 < len(self.moves) else end
            if first < end and last > start:
                found.append((max(start, first), min(end, last), distance))
        return found


def placement(image: PartitionImage, size: int, place: Place | None) -> Placement:
    """How `image` goes onto a partition of `size` bytes, at least as large as the image."""
    kind = image.facts.filesystem
    found = Placement()
    if kind in {"FAT12", "FAT16", "FAT32"}:
        geometry = _geometry(image)
        if place is not None:
            found.patches += _boot_patches(image.boot, 0, place)
            backup = geometry.backup_sector * geometry.sector_size
            if backup:
                found.patches += _boot_patches(None, backup, place)
        total = min(size // geometry.sector_size, (1 << 32) - 1)
        if size > image.size and total > geometry.total_sectors:
            _grow_fat(found, geometry, total, image.boot, place)
    elif kind == "NTFS" and place is not None:
        found.patches += _boot_patches(image.boot, 0, place)
        if image.facts.volume_size + 512 <= image.size:
            found.patches += _boot_patches(None, image.facts.volume_size, place)
    return found


def _geometry(image: PartitionImage) -> "Geometry":
    from ..filesystems.fat.geometry import Geometry  # noqa: PLC0415 - a tenth of a second that only FAT needs

    return Geometry.from_sector(image.boot)


def _boot_patches(boot: bytes | None, offset: int, place: Place) -> list[Patch]:
    values = {"hidden": place.hidden_sectors, "heads": place.heads, "track": place.sectors_per_track}
    patches = []
    for name, (at, length) in _FAT_OFFSETS.items():
        limit = (1 << 8 * length) - 1       # a partition beyond 2 TiB does not fit in the field; firmware that boots it ignores it
        old = None if boot is None else boot[at : at + length]
        patches.append(Patch(offset + at, min(values[name], limit).to_bytes(length, "little"), old))
    return patches


def _grow_fat(found: Placement, old: "Geometry", total_sectors: int, boot: bytes, place: Place | None) -> None:
    from ..filesystems.fat.growth import boot_area, plan_moves, regrow  # noqa: PLC0415 - as above

    new = regrow(old, total_sectors)
    if new.cluster_count == old.cluster_count:
        return
    if place is not None:
        from dataclasses import replace  # noqa: PLC0415 - loaded already, by the geometry of FAT; slow for all others

        new = replace(new, hidden_sectors=place.hidden_sectors, heads=place.heads, sectors_per_track=place.sectors_per_track)
    moves, zeros = plan_moves(old, new)
    found.moves = [(move.source, move.target - move.source) for move in moves]

    def finish(device: BlockDevice) -> None:
        for start, end in zeros:
            device.zero(start, end - start)
        info = device.read(old.info_sector * old.sector_size, 512) if old.info_sector else None
        for offset, data in boot_area(old, new, boot, info):
            device.write(offset, data)

    found.finish = finish


def blocks_fit(image: PartitionImage, size: int, place: Place | None = None) -> bool:
    """True when blocks can go to their places on a partition of `size` bytes; False when files must be copied one by one.

    Raises StorageError when neither is possible.
    """
    kind = image.facts.filesystem
    sector_size = 0 if place is None else place.sector_size
    if kind.startswith("FAT") and sector_size > _geometry(image).sector_size:
        return False        # no system reads a volume whose sectors are smaller than the disk's
    if kind.startswith("EXT") and kind != "EXFAT" and 0 < image.facts.block_size < sector_size:
        return False        # nor one whose blocks are (linux fs/ext4/super.c: "bad block size")
    if kind == "NTFS" and 0 < (own := int.from_bytes(image.boot[11:13], "little")) < sector_size:
        raise StorageError(
            f"the archive holds NTFS with sectors of {own} bytes, the disk has sectors of {sector_size}: no system reads that",
            hint="only FAT, ext2/3/4 and swap can go to a disk with larger sectors",
        )
    if size >= image.size:
        return True
    last = image.used.ends[-1] if len(image.used) else 0
    if image.facts.volume_size <= size and last <= size:
        return True                         # the partition was larger than the file system on it
    if kind == "SWAP" or (kind.startswith(("FAT", "EXT")) and kind != "EXFAT"):
        return False
    raise StorageError(
        f"the archive is of a partition of {image.size} bytes, the target has {size}: {kind} needs the same size or more",
        hint="only FAT, ext2/3/4 and swap can go to a smaller partition",
    )
