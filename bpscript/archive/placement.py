"""Where the bytes of an image go on a partition that may be larger: blocks keep their places, or move by a whole distance.

    same size, ext, NTFS, raw   |################|            everything stays
    larger FAT                  |r|FAT|FAT|d###########|      r boot area, d root directory and clusters
                                |r|FAT  |FAT  |d###########·······|

The boot sector of FAT and NTFS says where its partition lies, so that firmware can boot it (language.md 9.3); those fields follow
the target and are left out of comparisons.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..base.errors import FormatError, StorageError
from ..blocks.device import BlockDevice
from .full import PartitionImage

_NO_BACKUP = 0xFFFF     # Linux and fsck.fat take it for none
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
        _check_fat(image.boot)
        if place is not None:
            found.patches += _boot_patches(image.boot, 0, place)
            backup = _backup_sector(image.boot) * _sector_size(image.boot) if kind == "FAT32" else 0
            if 0 < backup <= image.size - 512:
                found.patches += _boot_patches(None, backup, place)
        if size > image.size:
            _grow_fat(found, image, size, place)
    elif kind == "NTFS" and place is not None:
        found.patches += _boot_patches(image.boot, 0, place)
        if image.facts.volume_size + 512 <= image.size:
            found.patches += _boot_patches(None, image.facts.volume_size, place)
    return found


def _sector_size(boot: bytes) -> int:
    """Bytes of a sector of FAT and NTFS: BPB_BytsPerSec."""
    return int.from_bytes(boot[11:13], "little")


def _check_fat(boot: bytes) -> None:
    """Raise FormatError for what plainly is no boot sector of FAT. All of it is checked when the volume is to grow, or opened."""
    if boot[510:512] != b"\x55\xaa" or boot[0] not in {0xEB, 0xE9} or _sector_size(boot) not in {512, 1024, 2048, 4096}:
        raise FormatError("archive header: the archive is said to hold FAT, and has no boot sector of it")


def _backup_sector(boot: bytes) -> int:
    """Where FAT32 has its second boot sector: BPB_BkBootSec (fatgen103), 0 when it has none."""
    number = int.from_bytes(boot[50:52], "little")
    return number if number != _NO_BACKUP else 0


def _boot_patches(boot: bytes | None, offset: int, place: Place) -> list[Patch]:
    values = {"hidden": place.hidden_sectors, "heads": place.heads, "track": place.sectors_per_track}
    patches = []
    for name, (at, length) in _FAT_OFFSETS.items():
        limit = (1 << 8 * length) - 1       # a partition beyond 2 TiB does not fit in the field; firmware that boots it ignores it
        old = None if boot is None else boot[at : at + length]
        patches.append(Patch(offset + at, min(values[name], limit).to_bytes(length, "little"), old))
    return patches


def _grow_fat(found: Placement, image: PartitionImage, size: int, place: Place | None) -> None:
    from ..filesystems.fat.geometry import Geometry  # noqa: PLC0415 - slow to load: a volume that keeps its size goes without
    from ..filesystems.fat.growth import boot_area, plan_moves, regrow  # noqa: PLC0415

    boot = image.boot
    old = Geometry.from_sector(boot)
    total_sectors = min(size // old.sector_size, (1 << 32) - 1)
    new = regrow(old, total_sectors) if total_sectors > old.total_sectors else old
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
    if kind.startswith("FAT") and sector_size > _sector_size(image.boot):
        return False        # no system reads a volume whose sectors are smaller than the disk's
    if kind.startswith("EXT") and kind != "EXFAT" and 0 < image.facts.block_size < sector_size:
        return False        # nor one whose blocks are (linux fs/ext4/super.c: "bad block size")
    if kind == "NTFS" and 0 < (own := _sector_size(image.boot)) < sector_size:
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
