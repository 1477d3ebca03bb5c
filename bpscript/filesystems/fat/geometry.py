"""Where everything is on a FAT volume: the boot sector as a frozen value.

    | reserved: boot sector, FSInfo, backup | FAT 1 | FAT 2 | root directory (FAT12/16) | clusters 2, 3, ... | rest |
    0                                  fat_offset     root_offset               data_offset                        size
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from ...base.errors import FormatError
from . import layout
from .layout import Cluster

_SECTOR_SIZES = (512, 1024, 2048, 4096)


@dataclass(frozen=True)
class Geometry:
    """The BIOS parameter block. Counts are sectors of `sector_size` bytes unless the name says otherwise."""

    width: int                      # bits of a FAT entry: 12, 16 or 32
    sector_size: int                # bytes
    sectors_per_cluster: int
    reserved_sectors: int
    fat_count: int
    sectors_per_fat: int
    root_entries: int               # slots; 0 on FAT32
    total_sectors: int
    media: int = 0xF8
    sectors_per_track: int = 63
    heads: int = 255
    hidden_sectors: int = 0
    flags: int = 0                  # FAT32: see `mirrors` and `active_fat`
    root_cluster: int = 0           # FAT32
    info_sector: int = 0            # FAT32; 0: none
    backup_sector: int = 0          # FAT32; 0: none
    volume_id: int = 0
    label: bytes = b"NO NAME    "   # as in the boot sector, 11 bytes
    dirty: bool = False             # the boot sector's state byte
    has_ident: bool = True          # volume_id and label are there

    @classmethod
    def from_sector(cls, sector: bytes) -> Self:
        """Read the first 512 bytes (or more) of a volume. Raises FormatError when this is no FAT boot sector."""
        if len(sector) < 512 or sector[510:512] != layout.BOOT_SIGNATURE:
            raise FormatError("boot sector: the signature 55 AA at its end is missing")
        if sector[0] not in {0xEB, 0xE9}:
            raise FormatError(f"boot sector: begins with {sector[0]:02X}; expected a jump (EB or E9)")
        head = layout.BiosParameterBlock._make(layout.BIOS_PARAMETER_BLOCK.unpack_from(sector))
        tail_32 = layout.ExtendedBlock32._make(layout.EXTENDED_BLOCK_32.unpack_from(sector, 36)) if head.sectors_per_fat_16 == 0 else None
        tail = tail_32 or layout.ExtendedBlock16._make(layout.EXTENDED_BLOCK_16.unpack_from(sector, 36))

        _expect(head.bytes_per_sector in _SECTOR_SIZES, "bytes per sector", head.bytes_per_sector, "512, 1024, 2048 or 4096")
        _expect(head.sectors_per_cluster.bit_count() == 1, "sectors per cluster", head.sectors_per_cluster, "a power of two")
        _expect(head.reserved_sectors >= 1, "reserved sectors", head.reserved_sectors, "1 or more")
        _expect(1 <= head.fat_count <= 4, "number of FATs", head.fat_count, "1 or 2")
        _expect(head.media >= 0xF0, "media byte", head.media, "240 or more")
        fields: dict[str, Any] = {
            "sector_size": head.bytes_per_sector,
            "sectors_per_cluster": head.sectors_per_cluster,
            "reserved_sectors": head.reserved_sectors,
            "fat_count": head.fat_count,
            "total_sectors": head.total_sectors_16 or head.total_sectors_32,
            "media": head.media,
            "sectors_per_track": head.sectors_per_track,
            "heads": head.heads,
            "hidden_sectors": head.hidden_sectors,
            "dirty": bool(tail.state & layout.STATE_DIRTY),
            "has_ident": tail.boot_signature in {0x28, 0x29},
        }
        if tail.boot_signature in {0x28, 0x29}:
            fields["volume_id"] = tail.volume_id
        if tail.boot_signature == 0x29:
            fields["label"] = tail.label
        if tail_32 is not None:
            # fatgen103 tells the type by the count of clusters alone, but a volume without a 16-bit FAT size can only be FAT32:
            # so mkfs.fat -F 32 makes small volumes, and so Linux reads them.
            _expect(head.root_entries == 0, "root directory entries", head.root_entries, "0 on FAT32")
            _expect(tail_32.version == 0, "FAT32 version", tail_32.version, "0")
            geometry = cls(
                width=32, sectors_per_fat=tail_32.sectors_per_fat_32, root_entries=0, flags=tail_32.flags, root_cluster=tail_32.root_cluster,
                info_sector=tail_32.info_sector if tail_32.info_sector != 0xFFFF else 0,
                backup_sector=tail_32.backup_sector if tail_32.backup_sector != 0xFFFF else 0, **fields,
            )
        else:
            _expect(head.root_entries >= 1, "root directory entries", head.root_entries, "1 or more on FAT12 and FAT16")
            geometry = cls(width=16, sectors_per_fat=head.sectors_per_fat_16, root_entries=head.root_entries, **fields)
            if geometry._clusters_on_volume <= layout.MAX_CLUSTERS[12]:
                geometry = cls(width=12, sectors_per_fat=head.sectors_per_fat_16, root_entries=head.root_entries, **fields)
        geometry._check()
        return geometry

    def to_sector(self, template: bytes) -> bytes:
        """`template` (a boot sector: jump, OEM name, boot code, signature) with this geometry in its parameter block.

        Fields this class does not keep stay as they are in `template`; `Geometry.from_sector(s).to_sector(s) == s`.
        """
        from ...base.records import build_record, parse_record  # noqa: PLC0415 - as below
        from . import boot_records  # noqa: PLC0415 - brings construct, and most volumes are only read

        wide = self.width == 32
        old_head = parse_record(boot_records.BIOS_PARAMETER_BLOCK, template[:36], "boot sector")
        tail_layout = boot_records.EXTENDED_BLOCK_32 if wide else boot_records.EXTENDED_BLOCK_16
        tail_end = 36 + tail_layout.sizeof()
        old_tail = parse_record(tail_layout, template[36:tail_end], "boot sector")
        total_16, total_32 = old_head.total_sectors_16, old_head.total_sectors_32
        if (total_16 or total_32) != self.total_sectors:        # else the two fields stay as they were, used or not
            fits = not wide and self.total_sectors < 0x10000
            total_16, total_32 = (self.total_sectors, 0) if fits else (0, self.total_sectors)
        head = {
            **old_head,
            "bytes_per_sector": self.sector_size,
            "sectors_per_cluster": self.sectors_per_cluster,
            "reserved_sectors": self.reserved_sectors,
            "fat_count": self.fat_count,
            "root_entries": self.root_entries,
            "total_sectors_16": total_16,
            "media": self.media,
            "sectors_per_fat_16": 0 if wide else self.sectors_per_fat,
            "sectors_per_track": self.sectors_per_track,
            "heads": self.heads,
            "hidden_sectors": self.hidden_sectors,
            "total_sectors_32": total_32,
        }
        tail = {**old_tail, "state": old_tail.state & ~layout.STATE_DIRTY | (layout.STATE_DIRTY if self.dirty else 0)}
        if wide:
            tail |= {"sectors_per_fat_32": self.sectors_per_fat, "flags": self.flags, "version": 0, "root_cluster": self.root_cluster}
            tail["info_sector"] = self.info_sector or (0xFFFF if old_tail.info_sector == 0xFFFF else 0)
            tail["backup_sector"] = self.backup_sector or (0xFFFF if old_tail.backup_sector == 0xFFFF else 0)
        if self.has_ident:
            tail["volume_id"] = self.volume_id
            if old_tail.boot_signature == 0x29:
                tail["label"] = self.label
        front = build_record(boot_records.BIOS_PARAMETER_BLOCK, head) + build_record(tail_layout, tail)
        return front + template[tail_end:]

    @cached_property
    def cluster_size(self) -> int:
        """Bytes."""
        return self.sectors_per_cluster * self.sector_size

    @property
    def size(self) -> int:
        """Bytes of the whole volume, as its boot sector has it."""
        return self.total_sectors * self.sector_size

    @property
    def fat_offset(self) -> int:
        """First byte of the first FAT."""
        return self.reserved_sectors * self.sector_size

    @property
    def fat_size(self) -> int:
        """Bytes of one FAT."""
        return self.sectors_per_fat * self.sector_size

    @property
    def root_offset(self) -> int:
        """First byte behind the FATs: the fixed root directory on FAT12 and FAT16."""
        return self.fat_offset + self.fat_count * self.fat_size

    @property
    def root_size(self) -> int:
        """Bytes of the fixed root directory, in whole sectors; 0 on FAT32."""
        return -(-self.root_entries * layout.SLOT_SIZE // self.sector_size) * self.sector_size

    @cached_property
    def data_offset(self) -> int:
        """First byte of cluster 2."""
        return self.root_offset + self.root_size

    @cached_property
    def cluster_count(self) -> int:
        """Clusters that exist: on the volume, and with an entry in the FAT."""
        entries = self.fat_size * 8 // self.width
        return max(0, min(self._clusters_on_volume, entries - 2, layout.MAX_CLUSTERS[self.width]))

    @property
    def mirrors(self) -> bool:
        """All FATs are kept equal; else only `active_fat` counts."""
        return not self.flags & 0x80

    @property
    def active_fat(self) -> int:
        """Number of the FAT that is read."""
        return 0 if self.mirrors else self.flags & 0x0F

    def cluster_offset(self, cluster: Cluster) -> int:
        """First byte of a cluster."""
        return self.data_offset + (cluster - 2) * self.cluster_size

    @property
    def _clusters_on_volume(self) -> int:
        return (self.size - self.data_offset) // self.cluster_size

    def _check(self) -> None:
        """What must hold between fields."""
        _expect(self.sectors_per_fat >= 1, "sectors per FAT", self.sectors_per_fat, "1 or more")
        if self.data_offset + self.cluster_size > self.size:
            raise FormatError(
                f"boot sector: boot area, FATs and root directory take {self.data_offset} bytes, the volume has {self.size}: no cluster left"
            )
        _expect(self.cluster_count >= 1, "number of clusters", self.cluster_count, "1 or more")
        _expect(self.active_fat < self.fat_count, "number of the active FAT", self.active_fat, f"less than {self.fat_count}")
        if self.width == 32:
            last = self.cluster_count + 1
            _expect(2 <= self.root_cluster <= last, "first cluster of the root directory", self.root_cluster, f"2 to {last}")
            _expect(self.info_sector < self.reserved_sectors, "sector of FSInfo", self.info_sector, f"less than {self.reserved_sectors}")
            _expect(self.backup_sector < self.reserved_sectors, "sector of the backup", self.backup_sector, f"less than {self.reserved_sectors}")


def _expect(condition: bool, what: str, found: int, expected: str) -> None:
    if not condition:
        raise FormatError(f"boot sector: {what} is {found}; expected {expected}")
