"""Images of partclone: made by partclone itself, and put together by hand for what no partclone of today writes."""

import random
import struct
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.oracles import debugfs, mke2fs, mkfs_fat, mtools, run_tool

MIB = 1 << 20
SIZES = {"ext4": 24 * MIB, "fat32": 40 * MIB, "ntfs": 20 * MIB}

# Name of the image: partclone's program, source, options.
MADE: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "ext4": ("partclone.ext4", "ext4", ()),
    "ext4-a0": ("partclone.ext4", "ext4", ("-a0",)),
    "ext4-k1": ("partclone.ext4", "ext4", ("-a1", "-k1")),
    "ext4-k7": ("partclone.ext4", "ext4", ("-a1", "-k7")),
    "ext4-k7-K": ("partclone.ext4", "ext4", ("-a1", "-k7", "-K")),
    "ext4-z": ("partclone.ext4", "ext4", ("-z", "10485760")),       # as Clonezilla does it
    "ext4-imager": ("partclone.imager", "ext4", ()),
    "fat32": ("partclone.fat32", "fat32", ()),
    "fat32-k3-K": ("partclone.fat32", "fat32", ("-a1", "-k3", "-K")),
    "ntfs": ("partclone.ntfs", "ntfs", ()),
}
PACKERS = {
    "plain": (), "zst": ("zstd", "-q", "-c"), "pzst": ("pzstd", "-q", "-c", "-p", "2"), "gz": ("gzip", "-c"), "xz": ("xz", "-0", "-c"),
    "bz2": ("bzip2", "-1", "-c"), "lz4": ("lz4", "-q", "-c"),
}


def sources(folder: Path) -> dict[str, Path]:
    """Partitions with files on them, whose free blocks are not all zeros."""
    files = []
    for number in range(4):
        files.append(folder / f"file{number}.bin")
        files[-1].write_bytes(random.Random(number).randbytes(300_000 + number * 77_777))
    ext4 = mke2fs(folder / "ext4.img", SIZES["ext4"], "-t", "ext4", "-L", "ptcl", "-b", "1024")
    run_tool(["debugfs", "-w", "-f", "-", ext4], input_text="\n".join(f"write {file} {file.name}" for file in files) + "\nrm file1.bin\n")
    assert "file2.bin" in debugfs(ext4, "ls")
    fat32 = mkfs_fat(folder / "fat32.img", SIZES["fat32"], "-F", "32", "-n", "PTCL")
    mtools(fat32, "mcopy", *files, "::/")
    mtools(fat32, "mdel", "::/file1.bin")
    ntfs = folder / "ntfs.img"
    with ntfs.open("wb") as file:
        file.truncate(SIZES["ntfs"])
    run_tool(["mkntfs", "-q", "-F", "-f", "-L", "ptcl", ntfs])
    for path in files[:2]:
        run_tool(["ntfscp", "-f", "-q", ntfs, path, path.name])
    return {"ext4": ext4, "fat32": fat32, "ntfs": ntfs}


def made(folder: Path, found: Mapping[str, Path], names: Iterable[str]) -> dict[str, Path]:
    """Images by partclone. It sleeps a second each time, so all run at once."""

    def make(name: str) -> Path:
        program, source, options = MADE[name]
        run_tool([program, "-c", "-q", "-f", "1", "-L", folder / f"{name}.log", *options, "-s", found[source], "-O", folder / name])
        return folder / name

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(names, pool.map(make, names), strict=True))


def restored(image: Path, folder: Path) -> bytes:
    """What partclone.restore makes of an image."""
    target = folder / f"{image.name}.restored"
    run_tool(["partclone.restore", "-q", "-f", "1", "-C", "-W", "-L", folder / f"{image.name}.log", "-s", image, "-O", target])
    return target.read_bytes()


def packed(image: Path, how: str, folder: Path) -> Path:
    """A packed copy."""
    command = PACKERS[how]
    path = folder / f"{image.name}.{how}"
    if not command:
        path.write_bytes(image.read_bytes())
        return path
    run_tool(["sh", "-c", f"{' '.join(command)} < '{image}' > '{path}'"])
    return path


def crc(data: bytes, seed: int = 0xFFFF_FFFF) -> int:
    """CRC-32 without the final inversion."""
    return zlib.crc32(data, seed ^ 0xFFFF_FFFF) ^ 0xFFFF_FFFF


def header(
    *, blocks: int = 64, block_size: int = 512, device_size: int | None = None, strip: int = 4, checksum: int = 0x20, checksum_size: int = 4,
    reseeds: int = 1, bitmap: int = 1, version: bytes = b"0002", order: bytes = b"\xde\xc0",
) -> bytes:
    """A header of format 0002 with a CRC-32 that agrees."""
    size = blocks * block_size if device_size is None else device_size
    data = struct.pack(
        "<16s14s4s2s16sQQQQIIHHHHIBB", b"partclone-image", b"9.9", version, order, b"raw", size, blocks, 0, 0, block_size, 18, 2, 64, checksum,
        checksum_size, strip, reseeds, bitmap,
    )
    return data + struct.pack("<I", crc(data))


def by_hand(used: list[bool], blocks: list[bytes], **fields: int) -> bytes:
    """An image of format 0002: `blocks` are those that are used."""
    bits = bytearray(-(-len(used) // 8))
    for number, is_used in enumerate(used):
        bits[number // 8] |= is_used << number % 8
    bitmap = bytes(used) + b"BiTmAgIc" if fields.get("bitmap") == 8 else bytes(bits) + struct.pack("<I", crc(bytes(bits)))
    strip = fields.get("strip", 4)
    data = header(blocks=len(used), block_size=len(blocks[0]), **fields) + bitmap   # type: ignore[arg-type]
    seed = 0xFFFF_FFFF
    for start in range(0, len(blocks), strip):
        content = b"".join(blocks[start : start + strip])
        seed = crc(content, 0xFFFF_FFFF if fields.get("reseeds", 1) else seed)
        data += content + (struct.pack("<I", seed) if fields.get("checksum", 1) else b"")
    return data


def format_1(used: list[bool], blocks: list[bytes], checksum_size: int = 4) -> bytes:
    """An image of format 0001."""
    size = len(blocks[0])
    data = struct.pack("<15s15s4s2xIQQQ4096x", b"partclone-image", b"raw", b"0001", size, len(used) * size, len(used), sum(used))
    data += bytes(used) + b"BiTmAgIc"
    seed = 0xFFFF_FFFF
    for block in blocks:
        seed = crc(block[:1] * size, seed)
        data += block + struct.pack("<I", seed).ljust(checksum_size, b"\0")
    return data
