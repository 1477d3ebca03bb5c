"""Where the bytes of an image go on a partition that may be larger: blocks keep their places, or move by a whole distance.

    same size, ext, NTFS, raw   |################|            everything stays
    larger FAT                  |r|FAT|FAT|d###########|      r boot area, d root directory and clusters
                                |r|FAT  |FAT  |d###########·······|

The boot sector of FAT and NTFS says where its partition lies, so that firmware can boot it (language.md 9.3); those fields follow
the target and are left out of comparisons.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..base.errors import StorageError
from ..blocks.device import BlockDevice
from ..filesystems.fat.geometry import Geometry
from .full import FullImage

_FAT_OFFSETS = {"hidden": (28, 4), "heads": (26, 2), "track": (24, 2)}      # offset in the boot sector, bytes; NTFS has the same
_FAT_LIMIT = {12: 4_084, 16: 65_524, 32: 268_435_444}                       # fatgen103, "FAT Type Determination"
_ALIGN = 4096       # data that began on a multiple of this does so after the move


@dataclass(frozen=True, slots=True)
class Place:
    """Where a partition lies on its disk: the LBA of its first sector, and the geometry that the firmware reports."""

    hidden_sectors: int = 0
    heads: int = 255
    sectors_per_track: int = 63


@dataclass(slots=True)
class Patch:
    """Bytes of the image that are different on the target; `old` is what the image has, None until it was seen."""

    offset: int
    new: bytes
    old: bytes | None = None


@dataclass
class Placement:
    """How an image lies on a partition.

    `moves` are (first byte in the image, distance in bytes), in order; the first begins at 0. `finish` is called on the target when all
    blocks are there: what a larger volume needs besides them.
    """

    moves: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    patches: list[Patch] = field(default_factory=list)
    finish: Callable[[BlockDevice], None] = lambda _: None

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


def placement(image: FullImage, size: int, place: Place | None) -> Placement:
    """How `image` goes onto a partition of `size` bytes, at least as large as the image."""
    kind = image.facts.filesystem
    found = Placement()
    if kind in {"FAT12", "FAT16", "FAT32"}:
        geometry = Geometry.from_sector(image.boot)
        if place is not None:
            found.patches += _boot_patches(image.boot, 0, place)
            backup = geometry.backup_sector * geometry.sector_size
            if backup:
                found.patches += _boot_patches(None, backup, place)
        total = min(size // geometry.sector_size, (1 << 32) - 1)
        if size > image.size and total > geometry.total_sectors:
            _grow_fat(found, geometry, total)
    elif kind == "NTFS" and place is not None:
        found.patches += _boot_patches(image.boot, 0, place)
        if image.facts.volume_size + 512 <= image.size:
            found.patches += _boot_patches(None, image.facts.volume_size, place)
    return found


def _boot_patches(boot: bytes | None, offset: int, place: Place) -> list[Patch]:
    values = {"hidden": place.hidden_sectors, "heads": place.heads, "track": place.sectors_per_track}
    patches = []
    for name, (at, length) in _FAT_OFFSETS.items():
        limit = (1 << 8 * length) - 1       # a partition beyond 2 TiB does not fit in the field; firmware that boots it ignores it
        old = None if boot is None else boot[at : at + length]
        patches.append(Patch(offset + at, min(values[name], limit).to_bytes(length, "little"), old))
    return patches


def grown(old: Geometry, total_sectors: int) -> Geometry:
    """The same clusters under the same numbers on a larger volume; as many more as the width of the FAT allows."""
    from dataclasses import replace  # noqa: PLC0415

    limit = _FAT_LIMIT[old.width]
    per_fat = old.sectors_per_fat
    step = max(1, _ALIGN // old.sector_size) if old.data_offset % _ALIGN == 0 else 1
    while True:
        # Ends: every round makes the FAT longer and the data area shorter.
        data = total_sectors - old.reserved_sectors - old.fat_count * per_fat - old.root_size // old.sector_size
        clusters = min(data // old.sectors_per_cluster, limit)
        needed = -(-((clusters + 2) * old.width) // (8 * old.sector_size))
        if needed <= per_fat:
            break
        per_fat += -(-(needed - per_fat) // step) * step if clusters > 0 else 0
    if clusters <= old.cluster_count:
        return old
    used = old.reserved_sectors + old.fat_count * per_fat + old.root_size // old.sector_size
    # Sectors beyond the last cluster that the width allows would make the volume look like one of the next width.
    total = min(total_sectors, used + (limit + 1) * old.sectors_per_cluster - 1) if clusters == limit else total_sectors
    return replace(old, sectors_per_fat=per_fat, total_sectors=total)


def _grow_fat(found: Placement, old: Geometry, total_sectors: int) -> None:
    new = grown(old, total_sectors)
    if new == old:
        return
    found.moves = [(0, 0)]
    for number in range(old.fat_count):
        distance = number * (new.fat_size - old.fat_size)
        found.moves.append((old.fat_offset + number * old.fat_size, distance))
    found.moves.append((old.root_offset, new.root_offset - old.root_offset))

    def finish(device: BlockDevice) -> None:
        for number in range(new.fat_count):
            _clear_entries(device, new.fat_offset + number * new.fat_size, old.cluster_count + 2, new)
        for sector in {0, old.backup_sector}:
            offset = sector * old.sector_size
            boot = device.read(offset, old.sector_size)
            if sector == 0 or boot[510:512] == b"\x55\xaa":
                device.write(offset, new.to_sector(boot))
        for sector in {old.info_sector, old.backup_sector + old.info_sector if old.backup_sector else 0} - {0}:
            _count_free(device, sector * old.sector_size, new.cluster_count - old.cluster_count)

    found.finish = finish


def _clear_entries(device: BlockDevice, fat_offset: int, first: int, new: Geometry) -> None:
    """Zero the entries of a FAT from `first` on: what was behind the last cluster may hold anything."""
    bits = first * new.width
    offset = fat_offset + bits // 8
    if bits % 8:                            # FAT12: the upper half of a byte
        device.write(offset, bytes([device.read(offset, 1)[0] & 0x0F]))
        offset += 1
    device.zero(offset, fat_offset + new.fat_size - offset)


def _count_free(device: BlockDevice, offset: int, more: int) -> None:
    """FSInfo (fatgen103): the count of free clusters grows; an unknown one stays unknown."""
    sector = device.read(offset, 512)
    free = int.from_bytes(sector[488:492], "little")
    if sector[:4] == b"RRaA" and sector[484:488] == b"rrAa" and free != 0xFFFF_FFFF:
        device.write(offset + 488, (free + more).to_bytes(4, "little"))


def check_room(image: FullImage, size: int) -> bool:
    """True when blocks can go to their places on a partition of `size` bytes; False when files must be copied one by one.

    Raises StorageError when neither is possible.
    """
    if size >= image.size:
        return True
    kind = image.facts.filesystem
    last = image.used.ends[-1] if len(image.used) else 0
    if image.facts.volume_size <= size and last <= size:
        return True                         # the partition was larger than the file system on it
    if kind == "SWAP" or (kind.startswith(("FAT", "EXT")) and kind != "EXFAT"):
        return False
    raise StorageError(
        f"the archive is of a partition of {image.size} bytes, the target has {size}: {kind} needs the same size or more",
        hint="only FAT, ext2/3/4 and swap can go to a smaller partition",
    )
