"""The boot sector: parsed, refused, built again; and what format makes by size."""

from dataclasses import replace
from pathlib import Path
from struct import Struct

import pytest
from construct import Construct
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfatfs.BootSectorHeader import FAT12BootSectorHeader, FAT32BootSectorHeader

from bpscript.base.errors import FormatError, StorageError
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.fat import FatVolume, Geometry, boot_records, detect_fat, format_fat, layout
from bpscript.filesystems.fat.format import boot_template, plan_geometry, width_by_size
from tests.oracles import fsck_fat, mkfs_fat, mtools, run_tool

MIB = 1 << 20
GIB = 1 << 30


def sector_of(width: int) -> bytearray:
    device = MemoryDevice({12: MIB, 16: 20 * MIB, 32: 40 * MIB}[width])
    format_fat(device, width, "LABEL", volume_id=0x12345678)
    return bytearray(device.read(0, 512))


@pytest.mark.parametrize("width", [12, 16, 32])
def test_what_was_read_is_built_again(width: int) -> None:
    sector = bytes(sector_of(width))
    geometry = Geometry.from_sector(sector)
    assert geometry.width == width
    assert geometry.to_sector(sector) == sector
    moved = replace(geometry, hidden_sectors=2048, heads=16, sectors_per_track=63)
    assert Geometry.from_sector(moved.to_sector(sector)) == moved
    assert geometry.to_sector(moved.to_sector(sector)) == sector


def test_fields_agree_with_pyfatfs() -> None:
    theirs16 = FAT12BootSectorHeader()
    theirs16.parse_header(bytes(sector_of(16)))
    ours16 = Geometry.from_sector(bytes(sector_of(16)))
    assert (theirs16["BPB_FATSz16"], theirs16["BPB_RootEntCnt"], theirs16["BS_VolID"]) == (
        ours16.sectors_per_fat, ours16.root_entries, ours16.volume_id,
    )
    theirs32 = FAT32BootSectorHeader()
    theirs32.parse_header(bytes(sector_of(32)))
    ours32 = Geometry.from_sector(bytes(sector_of(32)))
    assert (theirs32["BPB_FATSz32"], theirs32["BPB_RootClus"], theirs32["BPB_TotSec32"], theirs32["BPB_BkBootSec"]) == (
        ours32.sectors_per_fat, ours32.root_cluster, ours32.total_sectors, ours32.backup_sector,
    )


@pytest.mark.parametrize(
    ("width", "offset", "value", "message"),
    [
        (16, 510, b"\0\0", "signature 55 AA"),
        (16, 0, b"\x33", "begins with 33; expected a jump"),
        (16, 11, b"\x01\x02", "bytes per sector is 513; expected 512, 1024, 2048 or 4096"),
        (16, 13, b"\x03", "sectors per cluster is 3; expected a power of two"),
        (16, 13, b"\0", "sectors per cluster is 0"),
        (16, 14, b"\0\0", "reserved sectors is 0; expected 1 or more"),
        (16, 16, b"\0", "number of FATs is 0"),
        (16, 16, b"\xff", "number of FATs is 255"),
        (16, 17, b"\0\0", "root directory entries is 0"),
        (16, 21, b"\x12", "media byte is 18"),
        (16, 19, b"\x10\0", "no cluster left"),
        (32, 17, b"\1\0", "root directory entries is 1; expected 0 on FAT32"),
        (32, 36, b"\0\0\0\0", "sectors per FAT is 0"),
        (32, 36, b"\xff\xff\xff\x7f", "no cluster left"),
        (32, 40, b"\x85", "number of the active FAT is 5; expected less than 2"),
        (32, 42, b"\1\0", "FAT32 version is 1"),
        (32, 44, b"\1\0\0\0", "first cluster of the root directory is 1"),
        (32, 44, b"\xff\xff\xff\x0f", "first cluster of the root directory is 268435455"),
        (32, 48, b"\xff\0", "sector of FSInfo is 255"),
        (32, 50, b"\xff\0", "sector of the backup is 255"),
    ],
)
def test_a_boot_sector_with_one_wrong_field_is_refused(width: int, offset: int, value: bytes, message: str) -> None:
    sector = sector_of(width)
    sector[offset : offset + len(value)] = value
    with pytest.raises(FormatError, match=message):
        Geometry.from_sector(bytes(sector))
    assert detect_fat(MemoryDevice(bytes(sector))) is None


@settings(max_examples=300)
@given(st.sampled_from([12, 16, 32]), st.lists(st.tuples(st.integers(0, 89), st.integers(0, 255)), max_size=6))
def test_any_boot_sector_is_parsed_or_refused_and_built_again(width: int, changes: list[tuple[int, int]]) -> None:
    sector = sector_of(width)
    for offset, value in changes:
        sector[offset] = value
    try:
        geometry = Geometry.from_sector(bytes(sector))
    except FormatError:
        return
    assert geometry.to_sector(bytes(sector)) == bytes(sector)


def test_other_things_are_not_fat() -> None:
    assert detect_fat(MemoryDevice(100)) is None
    assert detect_fat(MemoryDevice(MIB)) is None
    ntfs = bytearray(512)
    ntfs[0:11], ntfs[11:14], ntfs[510:] = b"\xeb\x52\x90NTFS    ", b"\0\2\x08", b"\x55\xaa"
    assert detect_fat(MemoryDevice(ntfs)) is None


def test_a_volume_larger_than_its_device_is_refused_but_known() -> None:
    device = MemoryDevice(bytes(sector_of(16)))
    assert detect_fat(device) == "FAT16"
    assert Geometry.from_sector(device.read(0, 512)).size == 20 * MIB
    with pytest.raises(FormatError, match=f"the FAT volume has {20 * MIB} bytes, as its boot sector says, but its partition or image only 512"):
        FatVolume.on(device)


@pytest.mark.parametrize(
    ("size", "width", "cluster_size"),
    [
        (MIB, 12, 512), (4 * MIB, 12, 1024), (5 * MIB, 16, 1024), (15 * MIB, 16, 1024), (20 * MIB, 16, 2048), (128 * MIB, 16, 2048),
        (129 * MIB, 16, 4096), (500 * MIB, 16, 8192), (1000 * MIB, 16, 16384), (2047 * MIB, 16, 32768), (3000 * MIB, 16, 65536),
        (4 * GIB, 16, 65536),
    ],
)
def test_width_and_clusters_by_size_where_the_type_allows_both(size: int, width: int, cluster_size: int) -> None:
    geometry = plan_geometry(size)
    assert (geometry.width, geometry.cluster_size) == (width, cluster_size)
    assert width_by_size(size) == width
    assert geometry.size <= size


@pytest.mark.parametrize(
    ("size", "cluster_size"),
    [(66_600 * 512, 512), (260 * MIB, 512), (261 * MIB, 4096), (8 * GIB, 4096), (9 * GIB, 8192), (20 * GIB, 16384), (1 << 40, 32768)],
)
def test_clusters_of_fat32_by_size(size: int, cluster_size: int) -> None:
    geometry = plan_geometry(size, 32)
    assert geometry.cluster_size == cluster_size
    assert geometry.data_offset % 4096 == 0
    assert 65_525 <= geometry.cluster_count <= 0x0FFFFFF5


@pytest.mark.parametrize(
    ("size", "width", "message"),
    [
        (32 * MIB, 32, "32 MB is too small for FAT32, which needs 32.5 MB"),
        (5 * GIB, 16, "5 GB does not go with FAT16, which has 4085 to 65524 clusters"),
        (2 * MIB, 16, "2 MB does not go with FAT16"),
        (GIB, 12, "1 GB does not go with FAT12"),
        (600, 12, "600 B does not go with FAT12"),
        (MIB, 24, "FAT24 does not exist"),
    ],
)
def test_sizes_that_do_not_go_with_the_width_are_refused(size: int, width: int, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        plan_geometry(size, width)


def test_sectors_of_another_size_are_refused() -> None:
    with pytest.raises(StorageError, match="sectors of 520 bytes"):
        plan_geometry(MIB, 12, sector_size=520)


@settings(max_examples=200)
@given(st.integers(1 << 16, 1 << 42), st.sampled_from([None, 12, 16, 32]), st.sampled_from([512, 1024, 2048, 4096]))
def test_a_planned_geometry_means_the_same_when_it_is_read(size: int, width: int | None, sector_size: int) -> None:
    try:
        geometry = plan_geometry(size, width, sector_size=sector_size)
    except StorageError:
        return
    assert geometry.size <= size
    assert Geometry.from_sector(geometry.to_sector(boot_template(geometry))) == geometry


@pytest.mark.parametrize("sector_size", [512, 1024, 2048, 4096])
@pytest.mark.parametrize(("width", "size"), [(12, 6 * MIB), (16, 260 * MIB), (32, 520 * MIB), (None, 64 * MIB)])
def test_what_format_makes_is_accepted(tmp_path: Path, width: int | None, size: int, sector_size: int) -> None:
    path = tmp_path / "disk.img"
    with FileDevice.create(path, size) as device:
        device.write(0, b"\xff" * 300_000)
        device.write(size - 200_000, b"\xff" * 200_000)
        made = format_fat(device, width, "my label", hidden_sectors=63, heads=16, sectors_per_track=63, volume_id=0xCAFE1234, sector_size=sector_size)
        volume = FatVolume.on(device)
        assert volume.geometry == made
        assert (volume.label, volume.ident, volume.entries("")) == ("MY LABEL", "CAFE-1234", [])
        assert volume.check() == []
    fsck_fat(path)
    assert mtools(path, "mlabel", "-s", "::").split("Volume label is ")[1].startswith("MY LABEL")


def test_formatting_is_repeatable(tmp_path: Path) -> None:
    images = []
    for name in ("a", "b"):
        with FileDevice.create(tmp_path / name, 40 * MIB) as device:
            format_fat(device, 32, "X", volume_id=7)
        images.append((tmp_path / name).read_bytes())
    assert images[0] == images[1]


def test_a_terabyte_costs_only_its_metadata(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    with FileDevice.create(path, 1 << 40) as device:
        format_fat(device, 32)
        volume = FatVolume.on(device)
        volume.write_file("file", [b"x"])
        volume.close()
        assert volume.usage().free == (volume.geometry.cluster_count - 2) * 32768
    assert path.stat().st_blocks * 512 < MIB


@pytest.mark.parametrize(
    ("label", "message"),
    [("TOO LONG LABEL", "14 characters, at most 11"), ("A/B", "/ is not allowed"), ("A\tB", "control character"), ("Ω", "code page cp850 has no Ω")],
)
def test_a_label_fat_cannot_hold_is_refused(label: str, message: str) -> None:
    device = MemoryDevice(MIB)
    with pytest.raises(StorageError, match=message):
        format_fat(device, 12, label)
    assert device.read(0, 512) == bytes(512)


@pytest.mark.parametrize("width", [12, 16, 32])
def test_the_boot_code_says_so_and_gives_control_back(tmp_path: Path, width: int) -> None:
    sector = sector_of(width)
    start = 2 + sector[1]
    code = tmp_path / "code.bin"
    code.write_bytes(bytes(sector[start : start + 38]))
    listing = [line.split(maxsplit=2)[2] for line in run_tool(["ndisasm", "-b", "16", code]).stdout.splitlines()]
    assert listing == [
        "cli", "xor ax,ax", "mov ss,ax", "mov sp,0x7c00", "sti", "cld", "call 0xd", "pop si", "add si,byte +0x19", "push cs", "pop ds",
        "lodsb", "test al,al", "jz 0x21", "mov ah,0xe", "mov bx,0x7", "int 0x10", "jmp short 0x13", "int 0x18", "hlt", "jmp short 0x23",
    ]
    assert bytes(sector[start + 0xD + 0x19 :]).startswith(b"\r\nThis partition holds no operating system.\r\n\0")


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (MIB, ("-F", "12")), (MIB, ("-F", "12", "-s", "8", "-f", "1")), (1440 * 1024, ()), (8 * MIB, ("-F", "12", "-S", "1024")),
        (20 * MIB, ("-F", "16")), (20 * MIB, ("-F", "16", "-f", "1", "-s", "2")), (300 * MIB, ("-F", "16", "-S", "4096")),
        (300 * MIB, ("-F", "16", "-r", "1024", "-R", "8")), (40 * MIB, ("-F", "32", "-s", "1")), (300 * MIB, ("-F", "32", "-s", "8")),
        (300 * MIB, ("-F", "32", "-f", "1", "-S", "2048")), (600 * MIB, ("-F", "32", "-S", "4096")), (40 * MIB, ("-F", "32", "-R", "100", "-b", "50")),
        (40 * MIB, ("-F", "32", "-a", "-h", "2048")),
    ],
)
def test_what_mkfs_fat_makes_is_read_and_written(tmp_path: Path, size: int, options: tuple[str, ...]) -> None:
    path = mkfs_fat(tmp_path / "disk.img", size, "-n", "FOREIGN", "-i", "12345678", *options)
    source = tmp_path / "Länge und Ärger.txt"
    source.write_bytes(b"long " * 5000)
    mtools(path, "mmd", "::/Sub Directory")
    mtools(path, "mcopy", source, "::/Sub Directory/")
    with FileDevice(path) as device:
        volume = FatVolume.on(device)
        sector = device.read(0, 512)
        assert volume.geometry.to_sector(sector) == sector
        assert (volume.label, volume.ident) == ("FOREIGN", "1234-5678")
        assert volume.open(f"sub directory/{source.name.upper()}").read() == source.read_bytes()
        volume.write_file("Sub Directory/ours, with a long name.bin", [b"ours" * 9000])
        volume.rename(f"Sub Directory/{source.name}", "moved.txt")
        volume.close()
        assert volume.check() == []
    fsck_fat(path)
    assert mtools(path, "mtype", "::/Sub Directory/ours, with a long name.bin") == "ours" * 9000
    assert mtools(path, "mtype", "::/moved.txt") == "long " * 5000


@pytest.mark.parametrize(
    ("packed", "fields", "record"),
    [
        (layout.BIOS_PARAMETER_BLOCK, layout.BiosParameterBlock, boot_records.BIOS_PARAMETER_BLOCK),
        (layout.EXTENDED_BLOCK_16, layout.ExtendedBlock16, boot_records.EXTENDED_BLOCK_16),
        (layout.EXTENDED_BLOCK_32, layout.ExtendedBlock32, boot_records.EXTENDED_BLOCK_32),
    ],
)
@given(data=st.data())
def test_packed_forms_agree_with_the_records(
    packed: Struct, fields: type[layout.BiosParameterBlock], record: Construct, data: st.DataObject
) -> None:
    raw = data.draw(st.binary(min_size=packed.size, max_size=packed.size))
    found = dict(record.parse(raw))
    found.pop("_io")
    assert (record.sizeof(), list(found.items())) == (packed.size, list(fields._make(packed.unpack(raw))._asdict().items()))


@given(st.integers(0, layout.UNKNOWN), st.integers(0, layout.UNKNOWN))
def test_packed_fsinfo_agrees_with_the_record(free: int, following: int) -> None:
    raw = boot_records.FS_INFO.build({"free_clusters": free, "next_free": following})
    first, second, *numbers, last = layout.FS_INFO.unpack(raw)
    assert (layout.FS_INFO.size, (first, second, last), numbers) == (layout.FS_INFO_SIZE, layout.FS_INFO_MARKS, [free, following])
