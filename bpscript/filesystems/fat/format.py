"""Quick-format: an empty FAT volume (mkfs).

Sizes of clusters are Microsoft's tables ("FAT: General Overview of On-Disk Format" 1.03, "FAT Volume Initialization"), which are
what Windows makes, up to their end at 2 GB for FAT16; from there to 4 GB FAT16 has clusters of 64 KiB, which Windows NT and Linux
read but DOS does not. With sectors of 4096 bytes a cluster has at least one sector.

The FATs and the root directory are zeroed with `BlockDevice.zero`, which makes holes in image files: 1 TiB takes milliseconds. The
first and the last 128 KiB are zeroed too, where other file systems keep their signatures. The boot sector comes last: a power cut
leaves "not formatted".
"""

from dataclasses import replace

from ...base.errors import StorageError
from ...base.records import build_record
from ...base.units import KIB, format_size
from ...blocks.device import BlockDevice
from ..head import forget
from . import boot_records, layout
from .geometry import Geometry
from .layout import Cluster
from .names import fold

_WIPED = 128 * KIB                      # bytes at both ends of the volume
_NO_NAME = b"NO NAME    "
_LABEL_FORBIDDEN = frozenset('"*+,./:;<=>?[\\]|')

# fatgen103, `DskTableFAT16` and `DskTableFAT32`: up to this many bytes, clusters of so many bytes.
_CLUSTERS_16 = (
    (32_680 * 512, 1 * KIB), (262_144 * 512, 2 * KIB), (524_288 * 512, 4 * KIB), (1_048_576 * 512, 8 * KIB),
    (2_097_152 * 512, 16 * KIB), (4_194_304 * 512, 32 * KIB), (8_388_608 * 512, 64 * KIB),
)
_CLUSTERS_32 = (
    (532_480 * 512, 512), (16_777_216 * 512, 4 * KIB), (33_554_432 * 512, 8 * KIB), (67_108_864 * 512, 16 * KIB),
    (0xFFFFFFFF * 4096, 32 * KIB),
)
_SMALLEST_16 = 8_400 * 512              # below, FAT12: fatgen103, first row of `DskTableFAT16`
_SMALLEST_32 = 66_600 * 512             # below, an error: first row of `DskTableFAT32`

# What runs when a PC boots from the volume: it prints the text and gives control back to the firmware (INT 18h).
_BOOT_TEXT = b"\r\nThis partition holds no operating system.\r\n\0"
_BOOT_CODE = bytes.fromhex(
    "FA"            #        cli
    "31C0"          #        xor  ax, ax
    "8ED0"          #        mov  ss, ax
    "BC007C"        #        mov  sp, 7C00h
    "FB"            #        sti
    "FC"            #        cld
    "E80000"        #        call here
    "5E"            # here:  pop  si            ; loaded at 0000:7C00 or at 07C0:0000, so ask where we are
    "83C619"        #        add  si, text - here
    "0E"            #        push cs
    "1F"            #        pop  ds
    "AC"            # next:  lodsb
    "84C0"          #        test al, al
    "7409"          #        jz   done
    "B40E"          #        mov  ah, 0Eh
    "BB0700"        #        mov  bx, 7
    "CD10"          #        int  10h
    "EBF2"          #        jmp  next
    "CD18"          # done:  int  18h
    "F4"            # stop:  hlt
    "EBFD"          #        jmp  stop
)


def format_fat(
    device: BlockDevice,
    width: int | None = None,
    label: str = "",
    *,
    hidden_sectors: int = 0,
    heads: int = 255,
    sectors_per_track: int = 63,
    volume_id: int = 0,
    sector_size: int = 512,
    cluster_size: int | None = None,
    code_page: str = "cp850",
) -> Geometry:
    """Make an empty volume that fills `device`.

    `width` 12, 16 or 32; None takes FAT12 or FAT16 by size, as the partition types 1, 4, 6 and 14 want it. `label` has up to 11
    characters and is stored in upper case. `hidden_sectors` (sectors before the partition), `heads` and `sectors_per_track` must be
    what firmware says of the disk, or DOS does not boot. `cluster_size` is bytes; None takes it by size.

    Raises StorageError when the size and the width do not go together, or for a label FAT cannot hold.
    """

    raw_label = _label_bytes(label, code_page)
    geometry = replace(
        plan_geometry(device.size, width, sector_size=sector_size, cluster_size=cluster_size),
        hidden_sectors=hidden_sectors, heads=heads, sectors_per_track=sectors_per_track, volume_id=volume_id & 0xFFFFFFFF,
        label=raw_label or _NO_NAME,
    )
    forget(device, _WIPED)
    device.zero(max(0, device.size - _WIPED), min(_WIPED, device.size))
    end = geometry.data_offset + (geometry.cluster_size if geometry.width == 32 else 0)
    device.zero(geometry.fat_offset, end - geometry.fat_offset)
    start = _fat_start(geometry)
    for copy in range(geometry.fat_count):
        device.write(geometry.fat_offset + copy * geometry.fat_size, start)
    if raw_label:
        root = geometry.cluster_offset(Cluster(geometry.root_cluster)) if geometry.width == 32 else geometry.root_offset
        # The first of January 1980: no clock is needed to make the same bytes twice.
        device.write(root, layout.SHORT_SLOT.pack(raw_label, layout.VOLUME_LABEL, 0, 0, 0, 0, 0, 0, 0, 0x21, 0, 0))
    sector = geometry.to_sector(boot_template(geometry))
    if geometry.width == 32:
        info = build_record(boot_records.FS_INFO, {"free_clusters": geometry.cluster_count - 1, "next_free": 3})
        for base in (geometry.backup_sector, 0):
            device.write((base + geometry.info_sector) * geometry.sector_size, info)
        device.write(geometry.backup_sector * geometry.sector_size, sector)
    device.flush()
    device.write(0, sector)
    device.flush()
    return geometry


def width_by_size(size: int) -> int:
    """12 or 16: what a volume of `size` bytes gets on the partition types that allow both."""
    return 12 if size < _SMALLEST_16 else 16


def plan_geometry(size: int, width: int | None = None, *, sector_size: int = 512, cluster_size: int | None = None) -> Geometry:
    """The geometry of a new volume of at most `size` bytes; what `format_fat` makes, without making it."""
    if sector_size not in {512, 1024, 2048, 4096}:
        raise StorageError(f"sectors of {sector_size} bytes are not possible on FAT; 512, 1024, 2048 or 4096 are")
    width = width_by_size(size) if width is None else width
    if width not in {12, 16, 32}:
        raise StorageError(f"FAT{width} does not exist; FAT12, FAT16 and FAT32 do")
    if width == 32 and size < _SMALLEST_32 and cluster_size is None:
        raise StorageError(
            f"{format_size(size)} is too small for FAT32, which needs {format_size(_SMALLEST_32)}", hint="use FAT16 (BIGDOS), or a larger partition"
        )
    for candidate in (cluster_size,) if cluster_size else _cluster_sizes(size, width, sector_size):
        geometry = _fit(size, width, sector_size, candidate)
        if geometry is not None:
            return geometry
    what = f" with clusters of {format_size(cluster_size)}" if cluster_size else ""
    raise StorageError(
        f"{format_size(size)} does not go with FAT{width}{what}, which has {layout.MIN_CLUSTERS[width]} to {layout.MAX_CLUSTERS[width]} clusters",
        hint="use FAT32 (FAT32-LBA)" if width < 32 and size > _SMALLEST_32 else None,
    )


def boot_template(geometry: Geometry) -> bytes:
    """A first sector of 512 bytes with our boot code, before the geometry is filled in."""

    wide = geometry.width == 32
    start = 90 if wide else 62
    tail_layout = boot_records.EXTENDED_BLOCK_32 if wide else boot_records.EXTENDED_BLOCK_16
    tail = {
        "drive_number": 0x80, "state": 0, "boot_signature": 0x29, "volume_id": 0, "label": _NO_NAME,
        "type_text": f"FAT{geometry.width}   ".encode(),
        "sectors_per_fat_32": 0, "flags": 0, "version": 0, "root_cluster": 2, "info_sector": 1, "backup_sector": 6, "reserved": bytes(12),
    }
    head = bytes([0xEB, start - 2, 0x90]) + b"BPSCRIPT" + bytes(25)
    sector = head + build_record(tail_layout, tail) + _BOOT_CODE + _BOOT_TEXT
    return sector.ljust(510, b"\0") + layout.BOOT_SIGNATURE


def _cluster_sizes(size: int, width: int, sector_size: int) -> list[int]:
    """Cluster sizes to try: that of the table first, then larger ones, then smaller ones."""
    sizes = [sector_size << shift for shift in range(8) if sector_size << shift <= 64 * KIB]
    if width == 12:
        return sizes
    preferred = next((cluster for limit, cluster in (_CLUSTERS_16 if width == 16 else _CLUSTERS_32) if size <= limit), 64 * KIB)
    return sorted(sizes, key=lambda candidate: (candidate < preferred, abs(candidate - preferred)))


def _fit(size: int, width: int, sector_size: int, cluster_size: int) -> Geometry | None:
    """The geometry with these sizes; None when the number of clusters does not make this width."""
    per_cluster = cluster_size // sector_size
    total = min(size // sector_size, 0xFFFFFFFF)
    if per_cluster == 0 or per_cluster > 128 or per_cluster.bit_count() != 1:
        return None
    reserved = 1 if width < 32 else 32
    root_entries = {12: 224 if size < 3 << 20 else 512, 16: 512, 32: 0}[width]
    root_sectors = -(-root_entries * layout.SLOT_SIZE // sector_size)
    # FATs and clusters share what is left: the smallest FAT that has an entry for every cluster beside it.
    left = total - reserved - root_sectors
    if left < 3:
        return None
    bits = per_cluster * sector_size * 8
    fat_sectors = -(-(left * width + 2 * width * per_cluster) // (bits + 2 * width))
    if width == 32:
        page = max(1, 4096 // sector_size)          # FATs and clusters begin on 4 KiB of the volume, as disks like it
        fat_sectors = -(-fat_sectors // page) * page
    clusters = (left - 2 * fat_sectors) // per_cluster
    lowest, highest = layout.MIN_CLUSTERS[width], layout.MAX_CLUSTERS[width]
    if width < 32:
        # fatgen103: stay 16 clusters away from where the width changes, because some drivers are off by a few.
        lowest, highest = lowest + 16 if width == 16 else lowest, highest - 16
        if highest < clusters <= highest + 64:
            # A few too many: leave them unused rather than double the cluster size.
            clusters = highest
            total = reserved + 2 * fat_sectors + root_sectors + clusters * per_cluster
    if not lowest <= clusters <= highest:
        return None
    return Geometry(
        width=width, sector_size=sector_size, sectors_per_cluster=per_cluster, reserved_sectors=reserved, fat_count=2,
        sectors_per_fat=fat_sectors, root_entries=root_entries, total_sectors=total,
        root_cluster=2 if width == 32 else 0, info_sector=1 if width == 32 else 0, backup_sector=6 if width == 32 else 0,
    )


def _fat_start(geometry: Geometry) -> bytes:
    """Entries 0 (media byte) and 1 (clean), and on FAT32 entry 2: the root directory."""
    width, end = geometry.width, layout.END_OF_CHAIN[geometry.width]
    if width == 12:
        return bytes([geometry.media, 0xFF, 0xFF])
    media = end & ~0xFF | geometry.media
    values = [media, end] if width == 16 else [media, end, end]
    return b"".join(value.to_bytes(width // 8, "little") for value in values)


def _label_bytes(label: str, code_page: str) -> bytes:
    """11 bytes for the label; b"" for no label."""
    text = fold(label.strip(" "))
    if not text or text == "NO NAME":
        return b""
    wrong = next((character for character in text if character in _LABEL_FORBIDDEN or character < " "), None)
    if wrong is not None:
        raise StorageError(f'"{label}" cannot be a label on FAT: {wrong if wrong >= " " else "a control character"} is not allowed')
    try:
        raw = text.encode(code_page)
    except UnicodeEncodeError as error:
        raise StorageError(f'"{label}" cannot be a label on FAT: code page {code_page} has no {text[error.start]}') from error
    if len(raw) > 11:
        raise StorageError(f'"{label}" is too long for a FAT label: {len(raw)} characters, at most 11 fit')
    if raw[0] == layout.FREE_SLOT:
        raw = b"\x05" + raw[1:]
    return raw.ljust(11)
