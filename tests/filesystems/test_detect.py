"""What is on a partition: answers for what foreign programs made, and for the traces they leave."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import BpscriptError, FormatError, StorageError
from bpscript.blocks.device import BlockDevice
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.blocks.overlay import OverlayDevice
from bpscript.filesystems.detect import FILESYSTEMS, detect, family_of, open_volume, size_of, wipe_signatures
from bpscript.filesystems.ext import format_ext
from bpscript.filesystems.fat import format_fat
from bpscript.filesystems.filesystem import Family
from bpscript.filesystems.signatures import SIGNATURES, Signature, position, present
from bpscript.filesystems.swap import format_swap
from tests.oracles import mke2fs, mkfs_fat, run_tool

MIB = 1 << 20


def made_by(path: Path, size: int, *command: str | Path) -> Path:
    with path.open("wb") as image:
        image.truncate(size)
    run_tool([*command, path])
    return path


@pytest.mark.parametrize(
    ("kind", "family", "make"),
    [
        ("FAT12", Family.FAT, lambda path: mkfs_fat(path, 2 * MIB, "-F", "12")),
        ("FAT16", Family.FAT, lambda path: mkfs_fat(path, 32 * MIB, "-F", "16")),
        ("FAT32", Family.FAT, lambda path: mkfs_fat(path, 64 * MIB, "-F", "32")),
        ("EXT2", Family.LINUX, lambda path: mke2fs(path, 8 * MIB, "-t", "ext2")),
        ("EXT3", Family.LINUX, lambda path: mke2fs(path, 8 * MIB, "-t", "ext3")),
        ("EXT4", Family.LINUX, lambda path: mke2fs(path, 8 * MIB, "-t", "ext4")),
        ("NTFS", Family.NTFS, lambda path: made_by(path, 8 * MIB, "mkntfs", "-F", "-Q", "-q")),
        ("SWAP", Family.SWAP, lambda path: made_by(path, 8 * MIB, "mkswap")),
    ],
)
def test_what_foreign_programs_made(kind: str, family: Family, make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "image")
    with FileDevice(path, writable=False) as device:
        assert detect(device) == kind
        assert family_of(kind) is family
        assert device.size - 65536 <= size_of(device, kind) <= device.size
        if family in {Family.FAT, Family.LINUX}:
            volume = open_volume(device, writable=False)
            assert (volume.kind, volume.family) == (kind, family)
        else:
            with pytest.raises(StorageError, match=f"files on {kind} cannot be read or written"):
                open_volume(device)


def by_signature(kind: str) -> MemoryDevice:
    """A device with the fields of a kind we have no program for; all claim 1 MiB."""
    device = MemoryDevice(MIB)
    match kind:
        case "XFS":
            device.write(0, b"XFSB" + struct.pack(">IQ", 4096, 256))
        case "BTRFS":
            device.write(0x10040, b"_BHRfS_M")
            device.write(0x10000 + 0xD1, struct.pack("<Q", MIB))
        case "F2FS":
            device.write(1024, struct.pack("<IHHIIII", 0xF2F52010, 1, 16, 9, 3, 12, 9) + bytes(12) + struct.pack("<Q", 256))
        case "EXFAT":
            device.write(0, b"\xeb\x76\x90EXFAT   ")
            device.write(72, struct.pack("<Q", 2048))
            device.write(108, b"\x09")
            device.write(510, b"\x55\xaa")
    return device


@pytest.mark.parametrize(("kind", "family"), [("XFS", Family.LINUX), ("BTRFS", Family.LINUX), ("F2FS", Family.LINUX), ("EXFAT", Family.NTFS)])
def test_what_is_known_by_its_signature(kind: str, family: Family) -> None:
    device = by_signature(kind)
    assert detect(device) == kind
    assert family_of(kind) is family
    assert size_of(device, kind) == MIB
    assert wipe_signatures(device)
    assert detect(device) is None


def test_nothing_is_recognised_in_nothing() -> None:
    assert detect(MemoryDevice(0)) is None
    assert detect(MemoryDevice(512)) is None
    assert detect(MemoryDevice(MIB)) is None
    assert family_of("REISER4") is Family.OTHER
    with pytest.raises(StorageError, match="there is no file system we know"):
        open_volume(MemoryDevice(MIB))
    with pytest.raises(FormatError, match="there is no EXT4 file system here"):
        size_of(MemoryDevice(MIB), "EXT4")
    with pytest.raises(StorageError, match="no kind of file system we know the size of"):
        size_of(MemoryDevice(MIB), "MINIX")


MAKERS: dict[str, Callable[[BlockDevice], object]] = {
    "FAT16": lambda device: format_fat(device, 16, volume_id=1),
    "EXT2": lambda device: format_ext(device, "EXT2"),
    "EXT4": lambda device: format_ext(device, "EXT4"),
    "SWAP": format_swap,
}


@pytest.mark.parametrize("after", MAKERS)
@pytest.mark.parametrize("before", [*MAKERS, "XFS", "BTRFS", "F2FS", "EXFAT"])
def test_formatting_over_another_kind_leaves_only_the_new_one(before: str, after: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    with FileDevice.create(path, 16 * MIB) as device:
        if before in MAKERS:
            MAKERS[before](device)
        else:
            device.write(0, by_signature(before).read(0, MIB))
        MAKERS[after](device)
        assert detect(device) == after
    # blkid -p refuses to answer ("ambivalent result") when a second signature is left.
    types = [line for line in run_tool(["blkid", "-p", "-o", "export", path]).stdout.splitlines() if line.startswith("TYPE=")]
    assert types == ["TYPE=" + {"FAT16": "vfat", "EXT2": "ext2", "EXT4": "ext4", "SWAP": "swap"}[after]]


def test_a_boot_sector_wins_over_an_old_ext_superblock() -> None:
    device = MemoryDevice(16 * MIB)
    format_fat(device, 16, volume_id=1)
    other = MemoryDevice(16 * MIB)
    format_ext(other, "EXT2")
    device.write(4096 * 8, other.read(4096 * 8, 512))
    assert detect(device) == "FAT16"


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda signature: f"{signature.name} at {signature.offset}")
def test_every_signature_is_found_and_wiped_unless_kept(signature: Signature) -> None:
    device = OverlayDevice(MemoryDevice(0 if signature.offset > 65 * MIB else MIB if signature.offset < MIB else 65 * MIB))
    start = position(signature, device.size)
    if start is None:
        assert signature.offset > device.size
        return
    device.write(start, signature.magic)
    assert present(device, signature)
    assert wipe_signatures(device, keep=[(start, start + 1)]) == []
    assert present(device, signature)
    assert signature.name in wipe_signatures(device)
    assert device.read(start, len(signature.magic)) == bytes(len(signature.magic))


def test_wipefs_finds_nothing_after_us(tmp_path: Path) -> None:
    path = tmp_path / "image"
    made_by(path, 8 * MIB, "mkntfs", "-F", "-Q", "-q")
    with FileDevice(path) as device:
        assert "NTFS" in wipe_signatures(device)
    assert run_tool(["wipefs", path]).stdout == ""


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(["FAT16", "EXT2", "EXT4", "SWAP", "XFS", "BTRFS", "F2FS", "EXFAT", "nothing"]))
def test_any_bytes_have_an_answer(seed: int, kind: str) -> None:
    """`detect` never raises; `size_of` and `open_volume` raise only errors of ours."""
    chance = random.Random(seed)
    device = MemoryDevice(ORIGINALS[kind])
    for _ in range(chance.randrange(40)):
        device.write(chance.randrange(0, 4096), chance.randbytes(chance.choice((1, 2, 4, 60))))
    found = detect(device)
    assert found is None or any(found in kinds for _, kinds, _, _ in FILESYSTEMS)
    if found is not None:
        try:
            size_of(device, found)
            open_volume(device).close()
        except BpscriptError:
            return


def _original(kind: str) -> bytes:
    if kind not in MAKERS:
        return by_signature(kind).read(0, MIB)
    device = MemoryDevice(5 * MIB)
    MAKERS[kind](device)
    return device.read(0, device.size)


ORIGINALS = {kind: _original(kind) for kind in [*MAKERS, "XFS", "BTRFS", "F2FS", "EXFAT", "nothing"]}
