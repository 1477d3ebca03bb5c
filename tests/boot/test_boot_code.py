"""The boot code of images/boot, in a virtual machine: it starts the partition it should, and says why when it cannot."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpscript.base.resources import image_bytes
from bpscript.base.units import MIB
from bpscript.blocks.file import FileDevice
from bpscript.partitions.boot import set_boot_partition
from bpscript.partitions.table import open_partition, read_table
from tests.oracles import need, run_tool
from tests.partitions.disks import put, sparse

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 60
NESTED = "BIGDOS:20 EXT:60 LINUX-EXT2:10 EMPTY BIGDOS:20 EXT:40 EMPTY EMPTY FAT32:20 EXT:20 EMPTY EMPTY LINUX-EXT2:20"


@pytest.mark.parametrize("name", ["mbr", "gptmbr"])
def test_the_binary_is_what_the_source_says(tmp_path: Path, name: str) -> None:
    run_tool(["nasm", "-f", "bin", "-o", tmp_path / "out", ROOT / "images" / "boot" / f"{name}.asm"])
    assert (tmp_path / "out").read_bytes() == image_bytes(f"boot/{name}.bin")
    assert len(image_bytes(f"boot/{name}.bin")) == 440


def assemble(out: Path, name: str) -> bytes:
    run_tool(["nasm", "-f", "bin", "-o", out, Path(__file__).with_name(name)])
    return out.read_bytes()


@pytest.fixture(scope="module")
def boot_sector(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return assemble(tmp_path_factory.mktemp("boot") / "vbr", "vbr.asm")


@pytest.fixture(scope="module")
def old_firmware(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Options of a machine that cannot read by LBA: it starts from a floppy that takes the extensions away."""
    floppy = tmp_path_factory.mktemp("floppy") / "floppy"
    floppy.write_bytes(assemble(floppy, "no_lba.asm").ljust(1440 * 1024, b"\0"))
    return "-drive", f"file={floppy},format=raw,if=floppy", "-boot", "a"


def plant(disk: FileDevice, boot_sector: bytes, skip: tuple[int, ...] = ()) -> None:
    """Boot sectors on all partitions, each with a nonce of its own."""
    table = read_table(disk)
    for each in table.partitions:
        if not each.is_extended and each.number not in skip:
            marked = boot_sector.replace(b"--------", b"PART%04d" % each.number)
            open_partition(disk, table, each.number).write(0, marked)


def machine(image: Path, *options: str) -> "subprocess.Popen[str]":
    command = [
        need("qemu-system-x86_64"), "-accel", "tcg", "-m", "16", "-display", "none", "-nodefaults", "-vga", "std",
        "-drive", f"file={image},format=raw,if=ide", *options,
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines_until(process: "subprocess.Popen[str]", pattern: str) -> str:
    """The first line of output that matches; fails with all of the output at its end or after a minute."""
    assert process.stdout is not None
    seen: list[str] = []
    killer = threading.Timer(TIMEOUT_S, process.kill)
    killer.start()
    try:
        for line in process.stdout:
            seen.append(line)
            if re.search(pattern, line):
                return line.strip()
    finally:
        killer.cancel()
        process.kill()
        process.communicate()       # closes its pipes
    raise AssertionError(f"no {pattern!r} in:\n{''.join(seen)}")


def start(image: Path, *options: str) -> str:
    """What the boot sector says on COM1."""
    return lines_until(machine(image, "-serial", "stdio", *options), "BOOTED .*START=")


def screen(image: Path, *options: str, message: str = "No active partition|Read error|No operating system") -> str:
    """The text on the screen, once it holds a message."""
    process = machine(image, "-monitor", "stdio", *options)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            time.sleep(0.5)
            process.stdin.write("xp /4000xb 0xb8000\n")
            process.stdin.flush()
            cells = list(read_cells(process.stdout))
            text = bytes(cells[::2]).decode("ascii", "replace")
            if re.search(message, text):
                return text
    finally:
        process.kill()
        process.communicate()       # closes its pipes
    raise AssertionError(f"no message on the screen:\n{text}")


def read_cells(output: Iterator[str]) -> Iterator[int]:
    """The bytes of the monitor's answer."""
    for line in output:
        place, _, values = line.partition(":")
        if re.fullmatch(r"(\(qemu\) )?0*b[89a-f][0-9a-f]{3}", place.strip()):
            yield from (int(value, 16) for value in values.split())
            if place.strip().endswith("b8f98"):
                return


@pytest.mark.qemu
@pytest.mark.parametrize(
    ("text", "active"),
    [("BIGDOS:20 LINUX-EXT2:20 FAT32-LBA:20 EXT:60", 1), ("BIGDOS:20 LINUX-EXT2:20 FAT32-LBA:20 EXT:60", 3),
     (NESTED, 3), (NESTED, 5), (NESTED, 9), (NESTED, 13)],
)
def test_the_active_partition_starts(tmp_path: Path, boot_sector: bytes, text: str, active: int) -> None:
    """With DL = the drive, and DS:SI = its entry, which says where it begins on the disk also when it is a logical one."""
    image = tmp_path / "disk"
    with sparse(image, 200) as disk:
        put(disk, text)
        plant(disk, boot_sector)
        set_boot_partition(disk, read_table(disk), active)
        found = read_table(disk).get(active)
    assert found is not None
    assert start(image) == f"BOOTED PART{active:04} DL=80 ENTRY=80{found.type:02X} START={found.start // 512:08X}"


@pytest.mark.qemu
def test_a_partition_beyond_8_gb_starts(tmp_path: Path, boot_sector: bytes) -> None:
    image = tmp_path / "disk"
    with sparse(image, 20_000) as disk:
        put(disk, "LINUX-EXT2:12000 BIGDOS-LBA:1000")
        plant(disk, boot_sector)
        set_boot_partition(disk, read_table(disk), 2)
    assert start(image) == f"BOOTED PART0002 DL=80 ENTRY=800E START={12001 * 2048:08X}"


@pytest.mark.qemu
@pytest.mark.parametrize("active", [3, 13])
def test_old_firmware_reads_by_chs(tmp_path: Path, boot_sector: bytes, old_firmware: tuple[str, ...], active: int) -> None:
    image = tmp_path / "disk"
    with sparse(image, 200) as disk:
        put(disk, NESTED)
        plant(disk, boot_sector)
        set_boot_partition(disk, read_table(disk), active)
    assert start(image, *old_firmware).startswith(f"BOOTED PART{active:04} DL=80 ENTRY=8083 ")


@pytest.mark.qemu
def test_old_firmware_does_not_reach_beyond_8_gb(tmp_path: Path, boot_sector: bytes, old_firmware: tuple[str, ...]) -> None:
    image = tmp_path / "disk"
    with sparse(image, 20_000) as disk:
        put(disk, "LINUX-EXT2:7000 BIGDOS:1000 LINUX-EXT2:2000 BIGDOS-LBA:1000")
        plant(disk, boot_sector)
        set_boot_partition(disk, read_table(disk), 2)
    assert start(image, *old_firmware).startswith("BOOTED PART0002 DL=80 ENTRY=8006 ")
    with FileDevice(image) as disk:
        set_boot_partition(disk, read_table(disk), 4)
    assert "Read error" in screen(image, *old_firmware)


@pytest.mark.qemu
def test_a_gpt_partition_with_the_legacy_boot_attribute_starts(tmp_path: Path, boot_sector: bytes) -> None:
    image = tmp_path / "disk"
    for number, text in ((2, "GPT EFI:20 LINUX-EXT2:30"), (7, "GPT EFI:20 MSR:1 EMPTY EMPTY NTFS:5 NTFS:6 LINUX-ROOT:7")):
        with sparse(image, 100) as disk:
            put(disk, text)
            plant(disk, boot_sector)
            set_boot_partition(disk, read_table(disk), number)
            found = read_table(disk).get(number)
        assert found is not None
        assert start(image) == f"BOOTED PART{number:04} DL=80 ENTRY=80ED START={found.start // 512:08X}"


@pytest.mark.qemu
@pytest.mark.parametrize("text", [NESTED, "GPT BIGDOS:20", ""])
def test_without_a_boot_flag_it_says_so(tmp_path: Path, boot_sector: bytes, text: str) -> None:
    image = tmp_path / "disk"
    with sparse(image, 100) as disk:
        put(disk, text)
        plant(disk, boot_sector)
    assert "No active partition" in screen(image)


@pytest.mark.qemu
def test_a_looping_chain_ends(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with sparse(image, 100) as disk:
        put(disk, NESTED)
        link = disk.read(21 * MIB + 446 + 16 + 8, 4)
        disk.write(41 * MIB + 446 + 16 + 8, link)       # the innermost link leads back to its own table
    assert "No active partition" in screen(image)


@pytest.mark.qemu
@pytest.mark.parametrize("text", ["BIGDOS:20", "GPT BIGDOS:20"])
def test_a_partition_that_was_never_made_bootable_is_said(tmp_path: Path, text: str) -> None:
    image = tmp_path / "disk"
    with sparse(image, 100) as disk:
        put(disk, text)
        set_boot_partition(disk, read_table(disk), 1)
    assert "No operating system" in screen(image)


@pytest.mark.qemu
def test_a_partition_outside_the_disk_is_a_read_error(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with sparse(image, 100) as disk:
        put(disk, "BIGDOS:20 LINUX-EXT2:70")
        set_boot_partition(disk, read_table(disk), 2)
        disk.write(446 + 16 + 8, b"\0\0\0\x10")
    assert "Read error" in screen(image)


@pytest.mark.qemu
@pytest.mark.parametrize("active", [2, 5])
def test_the_boot_sector_of_mkfs_fat_starts(tmp_path: Path, active: int) -> None:
    """A boot sector of other people: it says that its volume has no system."""
    image = tmp_path / "disk"
    with sparse(image, 100) as disk:
        put(disk, "LINUX-SWAP:10 BIGDOS:20 EXT:60 EMPTY BIGDOS:60")
        set_boot_partition(disk, read_table(disk), active)
        found = read_table(disk).get(active)
    assert found is not None
    run_tool(["mkfs.fat", "-F", "16", f"--offset={found.start // 512}", image, str(found.size // 1024)])
    assert "This is not a bootable disk" in screen(image, message="bootable disk")
