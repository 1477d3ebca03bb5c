"""Damaged volumes. Invariant: any bytes open, or raise one of our errors; nothing else, never a crash of the library, never a loop.

Fuzzing runs in a process of its own, so that a crash in C is a failed test and not the end of the test run.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.base.errors import FormatError
from bpscript.blocks.file import FileDevice
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.ext import ExtVolume, detect_ext
from bpscript.filesystems.ext.superblock import Superblock
from tests.oracles import debugfs, mke2fs, run_tool

MIB = 1 << 20

FUZZ = """
import random, sys
from pathlib import Path
from bpscript.base.clock import Clock
from bpscript.base.errors import BpscriptError
from bpscript.blocks.memory import MemoryDevice
from bpscript.filesystems.detect import detect, size_of
from bpscript.filesystems.ext import ExtVolume
from bpscript.filesystems.filesystem import Facts, FileKind, UnixFacts, remove_tree, walk

original = Path(sys.argv[1]).read_bytes()
seed, rounds, used = int(sys.argv[2]), int(sys.argv[3]), eval(sys.argv[4])
chance = random.Random(seed)
opened = 0
for number in range(rounds):
    data = bytearray(original)
    for _ in range(chance.choice((1, 2, 5, 20))):
        start, end = chance.choice(used)
        position = chance.randrange(start, end)
        kind = chance.randrange(4)
        if kind == 0:
            data[position] = chance.randrange(256)
        elif kind == 1:
            data[position] ^= 1 << chance.randrange(8)
        elif kind == 2:
            data[position:position + 4] = chance.choice((b"\\xff\\xff\\xff\\xff", bytes(4), b"\\x00\\x00\\x00\\x80", b"\\xff\\xff\\xff\\x7f"))
        else:
            length = min(chance.choice((8, 64, 1024)), end - position)
            data[position:position + length] = chance.randbytes(length)
    device = MemoryDevice(data[: len(original)])
    try:
        kind = detect(device)
        if kind is None:
            continue
        size_of(device, kind)
        volume = ExtVolume.on(device, clock=Clock(1))
        opened += 1
    except BpscriptError:
        continue
    for step in (
        lambda: [volume.open(path).read(1 << 20) for path, facts in walk(volume) if facts.kind is FileKind.FILE],
        lambda: list(volume.used_ranges()),
        lambda: volume.write_file("sub/new", [b"x" * 20000], 20000, Facts(FileKind.FILE, unix=UnixFacts(xattrs={"user.a": b"b"}))),
        lambda: volume.write_file("tiny", [b"y" * 100000]),
        lambda: [volume.write_file(f"many/{index}", [b"z"]) for index in range(50)],
        lambda: volume.make_dir("made"),
        lambda: remove_tree(volume, "sub"),
        volume.flush,
        volume.close,
    ):
        try:
            step()
        except BpscriptError:
            continue
print(opened)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("host") / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "many").mkdir()
    (root / "tiny").write_bytes(b"tiny")
    (root / "sub" / "large").write_bytes(b"large" * 50_000)
    (root / "slow").symlink_to("x" * 100)
    for number in range(100):
        (root / "many" / f"a file with a long name {number}").write_bytes(b"x")
    return root


def prepare(path: Path, tree: Path, *options: str) -> None:
    """A small volume whose directory has an index and whose files have attributes."""
    mke2fs(path, 2 * MIB, "-b", "1024", *options, "-d", tree)
    run_tool(["debugfs", "-w", "-f", "-", path], input_text='ea_set tiny user.comment hello\nea_set sub/large user.long ' + "v" * 300 + "\n")
    run_tool(["e2fsck", "-f", "-y", "-D", path], ok=(0, 1))


@pytest.mark.parametrize("options", [("-t", "ext4"), ("-t", "ext4", "-O", "^metadata_csum,^64bit"), ("-t", "ext2",), ("-t", "ext4", "-O", "inline_data,^metadata_csum"), ("-t", "ext3")])
def test_any_bytes_open_or_raise_one_of_our_errors(options: tuple[str, ...], tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "image"
    prepare(path, tree, *options)
    with FileDevice(path) as device:
        # Where metadata is: everything before the data of files, and the directories.
        used = [(1024, 2048), (1024, 1024 * 200), *list(ExtVolume.on(device).used_ranges())[:3]]
    result = subprocess.run([sys.executable, "-c", FUZZ, path, "1", "60", repr(used)], capture_output=True, text=True, check=False, timeout=100)
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}{result.stderr[-3000:]}"
    assert int(result.stdout) > 5, "too few of the damaged volumes opened to say anything"


def damaged_superblock(tmp_path: Path, offset: int, value: bytes) -> MemoryDevice:
    data = bytearray(mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext4", "-b", "1024", "-O", "^metadata_csum").read_bytes())
    data[1024 + offset : 1024 + offset + len(value)] = value
    return MemoryDevice(data)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0x38, b"\x54\xef", "magic is 0xef54"),
        (0x4C, b"\x02", "revision is 2"),
        (0x18, b"\x07", "block size is 1024 << 7"),
        (0x14, b"\x02", "first data block is 2"),
        (0x04, b"\x05\0\0\0", "5 blocks are too few"),
        (0x20, b"\x01\0\0\0", "1 blocks per group"),
        (0x20, b"\xff\xff\xff\x7f", "blocks per group, expected at most 8192"),
        (0x28, b"\0\0\0\0", "0 inodes per group"),
        (0x58, b"\x81\0", "inode size is 129"),
        (0x00, b"\x01\0\0\0", "1 inodes in 1 groups"),
        (0xFE, b"\x41\0", "group descriptors of 65 bytes"),
        (0xCE, b"\xff\xff", "blocks reserved for group descriptors"),
        (0x0C, b"\xff\xff\xff\xff", "blocks are free"),
        (0x10, b"\xff\xff\xff\xff", "inodes are free"),
        (0x15E, b"\xff\xff", "65535 extra bytes in inodes"),
    ],
)
def test_a_superblock_that_makes_no_sense(tmp_path: Path, offset: int, value: bytes, words: str) -> None:
    device = damaged_superblock(tmp_path, offset, value)
    with pytest.raises(FormatError, match=words):
        ExtVolume.on(device)
    assert detect_ext(device) is None


def test_a_volume_larger_than_its_partition(tmp_path: Path) -> None:
    whole = mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext4").read_bytes()
    device = MemoryDevice(whole[: 2 * MIB])
    assert detect_ext(device) == "EXT4"
    assert Superblock.read(device).size == 4 * MIB
    with pytest.raises(FormatError, match=r"claims 4194304 bytes, its partition has 2097152") as caught:
        ExtVolume.on(device)
    assert "cut short" in str(caught.value.hint)


def test_metadata_outside_the_volume(tmp_path: Path) -> None:
    data = bytearray(mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext4", "-b", "1024", "-O", "^metadata_csum").read_bytes())
    data[2048 + 8 : 2048 + 12] = b"\xff\xff\xff\x00"
    with pytest.raises(FormatError, match="group 0 has metadata in block 16777215, outside the volume's 4096 blocks"):
        ExtVolume.on(MemoryDevice(data))


def test_a_wrong_superblock_checksum(tmp_path: Path) -> None:
    data = bytearray(mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext4").read_bytes())
    data[1024 + 0x3FC] ^= 1
    with pytest.raises(FormatError, match="superblock checksum does not match superblock"):
        ExtVolume.on(MemoryDevice(data))


def test_wrong_checksums_of_inodes_and_directories(tmp_path: Path) -> None:
    path = mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext4", "-b", "1024")
    table = int(debugfs(path, "imap <2>").split("located at block ")[1].split(",")[0])
    data = bytearray(path.read_bytes())
    data[table * 1024 + 256 + 4] ^= 1          # the size of the root directory
    volume = ExtVolume.on(MemoryDevice(data))
    with pytest.raises(FormatError, match="inode checksum does not match inode"):
        volume.entries("")
    block = int(debugfs(path, "blocks /").split()[-1])
    data = bytearray(path.read_bytes())
    data[block * 1024 + 1000] ^= 1
    volume = ExtVolume.on(MemoryDevice(data))
    with pytest.raises(FormatError, match=f"directory inode 2: block {block} has a wrong checksum"):
        volume.entries("")


def patched(tmp_path: Path, tree: Path, *fields: str) -> ExtVolume:
    """A volume without checksums, changed by debugfs."""
    path = mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext2", "-b", "1024", "-d", tree)
    run_tool(["debugfs", "-w", "-f", "-", path], input_text="\n".join(fields) + "\n")
    return ExtVolume.on(MemoryDevice(path.read_bytes()))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("sif sub/large block[0] 99999999", "blocks 99999999 to .* are outside the volume"),
        ("sif sub/large block[IND] 5000", "block 5000 of its map is outside the volume"),
        ("sif sub/large mode 0", "mode is 00, which is no kind of file"),
        ("sif sub/large size 999999999999999", "beyond what ext can hold"),
    ],
)
def test_a_damaged_inode(tmp_path: Path, tree: Path, field: str, words: str) -> None:
    volume = patched(tmp_path, tree, field)
    with pytest.raises(FormatError, match=words):
        volume.open("sub/large").read(10) if "size" not in field else volume.stat("sub/large")


def test_a_map_that_uses_a_block_twice(tmp_path: Path, tree: Path) -> None:
    path = mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext2", "-b", "1024", "-d", tree)
    run_tool(["debugfs", "-w", "-f", "-", path], input_text="sif sub/large block[DIND] 3000\nsif sub/large block[TIND] 3000\n")
    with pytest.raises(FormatError, match=r"block .* of its map is outside the volume or used twice"):
        ExtVolume.on(MemoryDevice(path.read_bytes())).open("sub/large")


def test_directories_that_are_damaged(tmp_path: Path, tree: Path) -> None:
    path = mke2fs(tmp_path / "image", 4 * MIB, "-t", "ext2", "-b", "1024", "-d", tree)
    block = int(debugfs(path, "blocks sub").split()[-1]) * 1024
    original = path.read_bytes()
    for offset, value, words in (
        (4, b"\x03\0", "damaged directory entry at byte 0 of a block .length 3,"),
        (4, b"\x0c\x40", "damaged directory entry at byte 0"),
        (24, b"\xff\xff\xff\x7f", "an entry points to inode 2147483647"),
        (32, b"/", "damaged name"),
        (8, b"x", 'without "." and ".."'),
    ):
        data = bytearray(original)
        data[block + offset : block + offset + len(value)] = value
        with pytest.raises(FormatError, match=words):
            ExtVolume.on(MemoryDevice(data)).entries("sub")
