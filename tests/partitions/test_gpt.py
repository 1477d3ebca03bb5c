"""GUID partition tables (language.md 9.5), judged by sgdisk, sfdisk and parted."""

import os
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.entropy import Entropy
from bpscript.base.errors import FormatError, StorageError
from bpscript.base.units import MIB
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.partitions.boot import boot_code, boot_partition, set_boot_partition
from bpscript.partitions.gpt import Gpt, Header, read_gpt
from bpscript.partitions.plan import parse_disk_guid, plan_partitions
from bpscript.partitions.table import cache_range, read_table
from bpscript.partitions.types import GPT_TYPES
from tests.oracles import fdisk_rows, parted, run_tool, sfdisk, sfdisk_table, sfdisk_verify, sgdisk_verify
from tests.partitions.disks import listed, places, put, sparse

EXAMPLE = "GPT EFI:51 MSR:16 NTFS:100 EMPTY LINUX-EXT2:60 LINUX-SWAP:40 BIOS-BOOT:1 LINUX-ROOT:80 FAT32:20 BIGDOS:33"


def the_gpt(device: BlockDevice, sector_size: int = 512) -> Gpt:
    found = read_gpt(device, sector_size)
    assert found is not None
    return found


def gpt_words() -> st.SearchStrategy[str]:
    sizes = st.integers(1, 80).map(str)
    return st.one_of(st.just("EMPTY"), st.builds("{}:{}".format, st.sampled_from(sorted(GPT_TYPES)), sizes))


def damage(device: BlockDevice, place: int) -> None:
    device.write(place, bytes([device.read(place, 1)[0] ^ 1]))


def grown(path: Path, text: str) -> FileDevice:
    """A disk of 100 MB laid out so, then grown to 300 MB."""
    with sparse(path, 100) as disk:
        put(disk, text)
    os.truncate(path, 300 * MIB)
    return FileDevice(path)


def test_other_programs_accept_what_we_write(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500, extra=1234 * 512)
    put(disk, EXAMPLE)
    assert listed(disk) == EXAMPLE
    sfdisk_verify(image)
    sgdisk_verify(image)
    table = sfdisk_table(image)
    assert table["label"] == "gpt"
    assert [(row["start"], row["size"], row["name"]) for row in table["partitions"]] == [
        (each.start // 512, each.size // 512, each.name) for each in read_table(disk).partitions
    ]
    assert [UUID(row["type"]) for row in table["partitions"]] == [each.type for each in read_table(disk).partitions]
    assert "1:2048s:106495s:104448s::EFI:boot, esp" in parted(image, "print")
    assert all(each.start % MIB == 0 for each in read_table(disk).partitions)


@pytest.mark.parametrize("name", sorted(GPT_TYPES))
def test_every_type_name_reads_as_it_was_set(tmp_path: Path, name: str) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, f"gpt {name.lower()}:10")
    assert listed(disk) == f"GPT {name}:10"


def test_a_guid_is_a_type_and_reads_by_its_name_if_it_has_one(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "GPT 6a898cc3-1dd2-11b2-99a6-080020736631:10 c12a7328-f81f-11d2-ba4b-00a0c93ec93b:20")
    assert listed(disk) == "GPT 6A898CC3-1DD2-11B2-99A6-080020736631:10 EFI:20"
    assert [each.name for each in read_table(disk).partitions] == ["", ""]


def test_basic_data_without_a_name_of_ours_reads_as_its_file_system(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 200)
    run_tool(["sgdisk", "-n", "1:0:+20M", "-t", "1:0700", "-c", "1:Basic data partition", "-n", "2:0:+20M", "-t", "2:0700", image])
    found: dict[int, str | None] = {1: "FAT16", 2: "EXT4"}
    table = read_table(disk)
    assert table.to_list() == "GPT NTFS:20 NTFS:20"
    assert table.to_list(lambda each: found[each.number]) == "GPT BIGDOS:20 NTFS:20"
    assert table.to_list(lambda each: "FAT32") == "GPT FAT32:20 FAT32:20"


def test_a_kept_entry_keeps_guid_attributes_and_name(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 300)
    run_tool([
        "sgdisk", "-n", "1:0:+20M", "-t", "1:ef00", "-c", "1:EFI system partition", "-A", "1:set:0", "-A", "1:set:2",
        "-n", "2:0:+90M", "-t", "2:0700", "-c", "2:Basic data partition", "-A", "2:set:60", "-n", "9:0:+30M", image,
    ])
    before = read_table(disk)
    assert before.to_list() == "GPT EFI:20 NTFS:90 EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY LINUX-EXT2:30"
    put(disk, "GPT EFI:20 NTFS:90 LINUX-SWAP:30")
    after = read_table(disk)
    assert places(after) == {1: (1, 20), 2: (21, 90), 3: (111, 30)}
    for number in (1, 2):
        old, new = before.get(number), after.get(number)
        assert old is not None
        assert new is not None
        assert (new.guid, new.name, new.start) == (old.guid, old.name, old.start)
    assert [each.attributes for each in after.partitions] == [1, 1 << 60, 0]     # the boot flag is cleared
    assert the_gpt(disk).header.disk_guid == before.gpt.header.disk_guid if before.gpt else False
    put(disk, "GPT EFI:20 FAT32:90 LINUX-SWAP:30")              # the same GUID: it stays, and says what Clean shall make of it
    third = read_table(disk).get(2)
    assert third is not None
    assert (third.name, third.guid) == ("FAT32", after.partitions[1].guid)
    sgdisk_verify(image)


@pytest.mark.parametrize("maker", ["sgdisk", "sfdisk", "parted"])
def test_the_list_of_a_disk_that_others_laid_out_moves_nothing(tmp_path: Path, maker: str) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500)
    if maker == "sgdisk":
        run_tool(["sgdisk", "-a", "1", "-n", "1:34:+17", "-n", "2:40000:+33333", "-n", "5:100001:200003", "-t", "5:8200", image])
    elif maker == "sfdisk":
        sfdisk(image, "label: gpt\ntable-length: 8\nfirst-lba: 4\n40,60000\n70000,1234,U\n90001,\n")
    else:
        parted(image, "mklabel", "gpt", "mkpart", "a", "fat32", "63", "99999", "mkpart", "b", "ext4", "200000", "100%", "rm", "1")
    before = sfdisk_table(image)
    text = listed(disk)
    plan = put(disk, text)
    assert plan.moves_nothing
    assert listed(disk) == text
    after = sfdisk_table(image)
    assert after["id"] == before["id"]
    assert after["partitions"] == before["partitions"]
    sfdisk_verify(image)
    if maker != "sfdisk":               # sgdisk calls a table with less than 128 entries a problem
        sgdisk_verify(image)


def test_partitions_in_front_of_a_short_array_are_not_overwritten(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    sfdisk(image, "label: gpt\ntable-length: 4\nfirst-lba: 3\nstart=3, size=20\n")
    disk.write(3 * 512, b"precious" * 64 * 20)
    put(disk, listed(disk))
    assert disk.read(3 * 512, 20 * 512) == b"precious" * 64 * 20
    assert places(read_table(disk))[1] == (3 * 512 / MIB, 20 * 512 / MIB)


def test_sectors_of_4096_bytes(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500)
    put(disk, EXAMPLE, sector_size=4096)
    assert listed(disk, 4096) == EXAMPLE
    assert fdisk_rows(image, 4096) == [(each.start, each.size) for each in read_table(disk, 4096).partitions]
    with pytest.raises(FormatError, match="the GPT of this disk is made for sectors of 4096 bytes, not 512") as caught:
        read_table(disk)
    assert caught.value.hint == 'set Sector-Size = "4096"'


# Damage


@pytest.mark.parametrize("place", [512 + 3, 512 + 60, 1024 + 130], ids=["magic", "header", "entries"])
def test_a_damaged_primary_table_is_read_from_the_backup(tmp_path: Path, place: int) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500)
    put(disk, EXAMPLE)
    whole = read_table(disk)
    damage(disk, place)
    table = read_table(disk)
    assert table.partitions == whole.partitions
    assert len(table.warnings) == 1
    assert table.warnings[0].startswith("the primary GPT is damaged (")
    assert table.warnings[0].endswith("), so its backup is used; SetPartitions repairs it")
    assert put(disk, EXAMPLE).moves_nothing
    assert read_table(disk) == whole
    sgdisk_verify(image)


@pytest.mark.parametrize("from_end", [512 - 70, 33 * 512 - 130], ids=["header", "entries"])
def test_a_damaged_backup_table_is_repaired(tmp_path: Path, from_end: int) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500)
    put(disk, EXAMPLE)
    damage(disk, disk.size - from_end)
    assert read_table(disk).warnings[0].startswith("the backup GPT is damaged (wrong checksum of the")
    put(disk, EXAMPLE)
    assert read_table(disk).warnings == ()
    sgdisk_verify(image)


def test_with_both_copies_damaged_nothing_is_read_and_a_new_table_can_be_set(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500)
    put(disk, EXAMPLE)
    damage(disk, 512 + 60)
    damage(disk, disk.size - 512 + 60)
    with pytest.raises(FormatError, match="both copies of the GPT are damaged: primary: wrong checksum of the header; backup: wrong"):
        read_table(disk)
    plan = put(disk, "GPT EFI:20")
    assert "a new table replaces it" in plan.warnings[0]
    assert listed(disk) == "GPT EFI:20"
    sgdisk_verify(image)


def test_a_missing_protective_mbr_does_not_hide_the_table(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 500)
    put(disk, EXAMPLE)
    disk.write(0, bytes(512))
    table = read_table(disk)
    assert table.to_list() == EXAMPLE
    assert table.warnings == ("the protective MBR in front of the GPT is missing; SetPartitions repairs it",)
    put(disk, EXAMPLE)
    assert read_table(disk).warnings == ()
    sgdisk_verify(image)


def test_a_protective_mbr_without_a_gpt_is_an_mbr(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "GPT EFI:20")
    disk.zero(512, MIB - 512)
    disk.zero(99 * MIB, MIB)
    table = read_table(disk)
    assert (table.scheme, table.warnings) == ("MBR", ("the MBR announces a GPT, but there is none",))
    assert cache_range(disk, table) == (disk.size, disk.size)


def test_a_gpt_that_the_mbr_does_not_announce_is_not_read(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "GPT EFI:20")
    disk.write(446, bytes(64))
    table = read_table(disk)
    assert (table.scheme, table.to_list()) == ("MBR", "")
    assert table.warnings == ("the disk still has a GPT header, but its MBR does not announce it: the MBR counts",)


def test_a_hybrid_mbr_is_said(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    run_tool(["sgdisk", "-n", "1:0:+20M", "-h", "1", image])
    assert read_table(disk).warnings == ("a hybrid MBR: its own entries are ignored, and go with the next SetPartitions",)
    put(disk, listed(disk))
    assert read_table(disk).warnings == ()


def test_a_backup_in_the_middle_is_moved_to_the_end(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = grown(image, "GPT EFI:20 LINUX-EXT2:30")
    table = read_table(disk)
    assert table.warnings == ("the backup GPT is not at the end of the disk; SetPartitions moves it there",)
    assert cache_range(disk, table) == (51 * MIB, 100 * MIB - 33 * 512)
    assert put(disk, "GPT EFI:20 LINUX-EXT2:30").moves_nothing
    table = read_table(disk)
    assert table.warnings == ()
    assert cache_range(disk, table) == (51 * MIB, 300 * MIB - 33 * 512)
    assert disk.read(100 * MIB - 512, 8) == bytes(8)
    sgdisk_verify(image)
    put(disk, "GPT EFI:20 LINUX-EXT2:*")
    assert listed(disk) == "GPT EFI:20 LINUX-EXT2:278"


def test_the_old_backup_is_left_alone_inside_a_kept_partition(tmp_path: Path) -> None:
    """A table of another program may end a partition behind the backup; what is in a kept partition is its own."""
    disk = grown(tmp_path / "disk", "GPT EFI:20")
    gpt = the_gpt(disk)
    assert gpt.backup is not None
    old_place = gpt.backup.own_lba * 512
    put(disk, "GPT EFI:20 LINUX-EXT2:200")      # over the place of the old backup
    disk.write(old_place, b"file contents")
    put(disk, "GPT EFI:20 LINUX-EXT2:200 MSR:10")
    assert disk.read(old_place, 13) == b"file contents"


# Absurd headers: a right checksum proves nothing


def absurd(disk: BlockDevice, **fields: int) -> None:
    """Both copies get impossible fields, with right checksums."""
    gpt = the_gpt(disk)
    for header in (gpt.primary, gpt.backup):
        assert header is not None
        values = {name: getattr(header, name) for name in Header.__slots__} | fields
        place = header.own_lba * 512
        disk.write(place, Header(**values).build(512))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"entry_count": 0xFFFF_FFFF}, "4294967295 entries of 128 bytes"),
        ({"entry_size": 0}, "128 entries of 0 bytes"),
        ({"entry_size": 64}, "128 entries of 64 bytes"),
        ({"entry_size": 192}, "128 entries of 192 bytes"),
        ({"entry_size": 0x8000_0000}, "128 entries of 2147483648 bytes"),
        ({"array_lba": 1 << 63}, "outside the disk"),
        ({"own_lba": 77}, "the header says it is at sector 77, found at 1"),
    ],
)
def test_an_absurd_header_is_damage(tmp_path: Path, fields: dict[str, int], message: str) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "GPT EFI:20")
    if "own_lba" in fields:
        gpt = the_gpt(disk)
        assert gpt.primary is not None
        values = {name: getattr(gpt.primary, name) for name in Header.__slots__} | fields
        disk.write(512, Header(**values).build(512))
        disk.zero(disk.size - 512, 512)
    else:
        absurd(disk, **fields)
    with pytest.raises(FormatError, match="both copies of the GPT are damaged") as caught:
        read_table(disk)
    assert message in caught.value.message


def test_a_table_that_is_its_own_backup_is_repaired(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    put(disk, "GPT EFI:20")
    gpt = the_gpt(disk)
    assert gpt.primary is not None
    disk.write(512, replace(gpt.primary, other_lba=1).build(512))
    assert read_table(disk).warnings == ("the backup GPT is damaged (the primary names itself as its backup); SetPartitions repairs it",)
    put(disk, "GPT EFI:20")
    assert read_table(disk).warnings == ()
    sgdisk_verify(image)


def test_a_backup_among_the_primary_entries_is_not_wiped_there(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    put(disk, "GPT EFI:20")
    gpt = the_gpt(disk)
    assert gpt.backup is not None
    disk.write(20 * 512, replace(gpt.backup, own_lba=20).build(512))
    disk.write(disk.size - 512, bytes(512))
    disk.write(512, replace(gpt.header, other_lba=20, array_lba=gpt.backup.array_lba).build(512))
    assert read_table(disk).warnings == ("the backup GPT is not at the end of the disk; SetPartitions moves it there",)
    put(disk, "GPT EFI:20 MSR:3")
    assert read_table(disk).warnings == ()
    sgdisk_verify(image)


@settings(max_examples=40, deadline=None)
@given(st.lists(gpt_words(), max_size=12), st.lists(gpt_words(), max_size=12))
def test_any_list_reads_as_it_was_set_and_sfdisk_agrees(
    tmp_path_factory: pytest.TempPathFactory, first: list[str], second: list[str]
) -> None:
    image = tmp_path_factory.mktemp("disk") / "disk"
    with sparse(image, 1000) as disk:
        for words in (first, second):
            while words and words[-1] == "EMPTY":
                words.pop()
            plan = put(disk, " ".join(["GPT", *words]))
            table = read_table(disk)
            assert table == plan.after
            assert table.to_list() == " ".join(["GPT", *words])
            assert [(row["start"] * 512, row["size"] * 512, UUID(row["type"])) for row in sfdisk_table(image)["partitions"]] == [
                (each.start, each.size, each.type) for each in table.partitions
            ]
            kept = [each for each in table.partitions if each.number in plan.kept]
            for offset, data in (write for stage in plan.stages for write in stage):
                assert all(offset + len(data) <= each.start or offset >= each.end for each in kept)


def test_entries_that_end_before_they_start_are_unused(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    put(disk, "GPT EFI:20 MSR:10")
    gpt = the_gpt(disk)
    for header in (gpt.primary, gpt.backup):
        assert header is not None
        array = bytearray(header.array)
        array[40:48] = (5).to_bytes(8, "little")
        array[128 + 40 : 128 + 48] = (1 << 62).to_bytes(8, "little")
        values = {name: getattr(header, name) for name in Header.__slots__} | {"array": bytes(array)}
        disk.write(header.array_lba * 512, array)
        disk.write(header.own_lba * 512, Header(**values).build(512))
    table = read_table(disk)
    assert [each.number for each in table.partitions] == [2]
    assert table.warnings[0] == "partition 1 ends at sector 5, before its start 2048: taken as unused"
    assert "partition 2 reaches to byte" in table.warnings[1]


# Ids


def test_a_disk_guid_can_be_given(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    guid = "01234567-89ab-cdef-0123-456789abcdef"
    plan_partitions("GPT EFI:20 EMPTY MSR:10", disk, entropy=Entropy(), disk_guid=guid).apply(disk)
    assert the_gpt(disk).header.disk_guid == UUID(guid)
    assert [str(each.guid)[-4:] for each in read_table(disk).partitions] == ["cdee", "cdec"]


def test_what_is_no_guid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match='\\$Disk-GUID is "4711"; expected a GUID such as'):
        parse_disk_guid("4711")


def test_ids_are_random_without_a_seed(tmp_path: Path) -> None:
    guids = set()
    for name in ("a", "b"):
        disk = sparse(tmp_path / name, 100)
        plan_partitions("GPT EFI:20", disk, entropy=Entropy()).apply(disk)
        guids |= {the_gpt(disk).header.disk_guid, read_table(disk).partitions[0].guid}
    assert len(guids) == 4


# From one kind of table to the other


def test_an_mbr_over_a_gpt_wipes_both_headers(tmp_path: Path) -> None:
    for sector_size in (512, 4096):
        image = tmp_path / f"disk-{sector_size}"
        disk = sparse(image, 100)
        put(disk, "GPT EFI:20", sector_size=sector_size)
        put(disk, "BIGDOS:50", sector_size=sector_size)
        table = read_table(disk, sector_size)
        assert (table.scheme, table.to_list(), table.warnings) == ("MBR", "BIGDOS:50", ())
        assert disk.read(sector_size, 512) == disk.read(disk.size - sector_size, 512) == bytes(512)
        assert disk.read(0, 440) == boot_code("MBR")
        assert disk.read(440, 4) != bytes(4)
        assert "Disklabel type: dos" in run_tool(["fdisk", "-b", str(sector_size), "-l", image]).stdout


def test_a_gpt_over_an_mbr_brings_its_own_boot_code(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    put(disk, "BIGDOS:50 EXT:40 EMPTY EMPTY BIGDOS:20")
    put(disk, "GPT EFI:50 LINUX-EXT2:40")
    assert listed(disk) == "GPT EFI:50 LINUX-EXT2:40"
    assert disk.read(0, 440) == boot_code("GPT")
    sgdisk_verify(image)
    put(disk, "BIGDOS:50")
    assert disk.read(0, 440) == boot_code("MBR")


def test_boot_code_of_others_stays_in_front_of_a_gpt(tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk", 100)
    put(disk, "BIGDOS:50")
    disk.write(0, b"grub".ljust(440, b"!"))
    put(disk, "GPT BIGDOS:50")
    assert disk.read(0, 440) == b"grub".ljust(440, b"!")


def test_the_boot_flag_is_the_legacy_boot_attribute(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    disk = sparse(image, 100)
    put(disk, "GPT EFI:20 LINUX-EXT2:30 NTFS:10")
    set_boot_partition(disk, read_table(disk), 2)
    assert boot_partition(read_table(disk)) == 2
    assert [row.get("attrs") for row in sfdisk_table(image)["partitions"]] == [None, "LegacyBIOSBootable", None]
    set_boot_partition(disk, read_table(disk), 3)
    assert boot_partition(read_table(disk)) == 3
    gpt = the_gpt(disk)
    assert gpt.backup is not None
    assert gpt.backup.array == gpt.header.array
    set_boot_partition(disk, read_table(disk), 0)
    assert boot_partition(read_table(disk)) == 0
    sgdisk_verify(image)
