"""Every kind, block size and default feature of mke2fs: we read what mke2fs made, write into it, and e2fsck and debugfs agree."""

import hashlib
import os
from pathlib import Path

import pytest

from bpscript.base.errors import ReadOnlyError
from bpscript.blocks.file import FileDevice
from bpscript.filesystems.ext import ExtVolume, detect_ext
from bpscript.filesystems.filesystem import Facts, FileKind, UnixFacts, remove_tree, walk
from tests.oracles import debugfs, debugfs_tree, e2fsck, mke2fs

MIB = 1 << 20
KINDS = ("ext2", "ext3", "ext4")
WITHOUT = (
    "^metadata_csum", "^metadata_csum,uninit_bg", "^64bit", "^extents,^64bit", "^extents,^64bit,^metadata_csum", "^flex_bg", "^dir_index",
    "^has_journal", "^resize_inode", "^huge_file", "^filetype", "^ext_attr", "^sparse_super,^resize_inode", "^large_file", "^dir_nlink",
    "^resize_inode,meta_bg", "metadata_csum_seed", "orphan_file", "inline_data", "sparse_super2", "large_dir", "ea_inode", "project",
)  # fmt: skip


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes without any piece of zeros."""
    return hashlib.shake_256(bytes([seed])).digest(size)


@pytest.fixture(scope="module")
def host_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree for `mke2fs -d`: small and large files, holes, links, odd names, times, extended attributes, many names."""
    root = tmp_path_factory.mktemp("host") / "tree"
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "many").mkdir()
    (root / "empty").write_bytes(b"")
    (root / "tiny").write_bytes(b"tiny contents\n")
    (root / "sub" / "größe Ω").write_bytes(pattern(5000, 1))
    (root / "sub" / "deeper" / "large").write_bytes(pattern(700_000, 2))
    with (root / "sparse").open("wb") as sparse:
        sparse.write(b"begin")
        sparse.seek(3 * MIB)
        sparse.write(b"end")
    (root / "fast").symlink_to("sub/deeper/large")
    (root / "slow").symlink_to("x" * 100)
    os.link(root / "tiny", root / "sub" / "hard")
    os.mkfifo(root / "fifo")
    os.chmod(root / "tiny", 0o4711)
    os.utime(root / "tiny", ns=(1_111_111_111_222_222_222, 1_222_222_222_333_333_333))
    for number in range(300):
        (root / "many" / f"a file with a long name {number:04}").write_bytes(b"%d" % number)
    return root


def read_everything(volume: ExtVolume) -> dict[str, bytes]:
    return {path: volume.open(path).read() for path, facts in walk(volume) if facts.kind is FileKind.FILE}


def work_on(image: Path, host_tree: Path, folder: Path) -> None:
    """Read the tree, change it, let e2fsck and debugfs judge, empty it, and let e2fsck judge again."""
    wanted = {str(path.relative_to(host_tree)): path.read_bytes() for path in sorted(host_tree.rglob("*")) if path.is_file() and not path.is_symlink()}
    with FileDevice(image) as device:
        volume = ExtVolume.on(device)
        assert read_everything(volume) == wanted
        assert volume.stat("fast").target == "sub/deeper/large"
        assert volume.stat("slow").target == "x" * 100
        assert volume.stat("fifo").kind is FileKind.FIFO
        facts = volume.stat("tiny")
        assert facts.unix is not None
        assert (facts.unix.mode, facts.unix.links) == (0o4711, 2)
        assert facts.mtime_ns // 1_000_000_000 == 1_222_222_222

        large = pattern(2 * MIB + 77, 3)
        changes = {"new": b"new contents", "sub/large": large, "tiny": pattern(3000, 4), "sub/deeper/large": b"short now"}
        for path, data in changes.items():
            volume.write_file(path, [data], len(data))
        changes["sub/hard"] = changes["tiny"]
        volume.make_dir("made")
        for number in range(200):
            path = f"many/another long name {number:04}"
            changes[path] = b"%d" % number
            volume.write_file(path, [changes[path]])
        for number in range(0, 300, 3):
            del wanted[f"many/a file with a long name {number:04}"]
            volume.remove(f"many/a file with a long name {number:04}")
        volume.rename("many", "made/moved")
        wanted = {path.replace("many/", "made/moved/"): data for path, data in (wanted | changes).items()}
        volume.make_symlink("made/link", "y" * 80)
        volume.make_node("made/null", Facts(FileKind.CHARACTER_DEVICE, unix=UnixFacts(0o666, device=(1, 3))))
        volume.close()
        e2fsck(image)
        found = debugfs_tree(image, folder)
        if "inline_data" in debugfs(image, "features"):
            # debugfs 1.47.0 writes all bytes of the inode, not those of the file.
            found = {path: data[: len(wanted[path])] if path in wanted else data for path, data in found.items()}
        assert found == wanted
        assert "Type: symlink" in debugfs(image, "stat made/link")

        again = ExtVolume.on(device)
        assert read_everything(again) == wanted
        remove_tree(again, "")
        again.close()
        e2fsck(image)
        assert detect_ext(device) is not None


@pytest.mark.parametrize("block_size", [1024, 2048, 4096])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_block_size(kind: str, block_size: int, host_tree: Path, tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "image", 24 * MIB, "-t", kind, "-b", str(block_size), "-d", host_tree)
    with FileDevice(image) as device:
        assert detect_ext(device) == kind.upper()
    work_on(image, host_tree, tmp_path / "read")


@pytest.mark.parametrize("features", WITHOUT)
def test_ext4_with_and_without_each_feature(features: str, host_tree: Path, tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "image", 24 * MIB, "-t", "ext4", "-b", "1024", "-O", features, "-d", host_tree)
    work_on(image, host_tree, tmp_path / "read")


@pytest.mark.parametrize("options", [("-t", "ext4", "-I", "128"), ("-t", "ext2", "-r", "0"), ("-t", "ext4", "-I", "512"), ("-t", "ext4", "-g", "1024")])
def test_unusual_shapes(options: tuple[str, ...], host_tree: Path, tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "image", 24 * MIB, "-b", "1024", *options, "-d", host_tree)
    work_on(image, host_tree, tmp_path / "read")


def test_large_blocks(host_tree: Path, tmp_path: Path) -> None:
    """64 KiB: rec_len no longer fits 16 bits."""
    image = mke2fs(tmp_path / "image", 96 * MIB, "-t", "ext4", "-b", "65536", "-d", host_tree)
    work_on(image, host_tree, tmp_path / "read")


@pytest.mark.parametrize(("features", "name"), [("bigalloc", "bigalloc"), ("quota", "quota"), ("mmp", "mmp")])
def test_features_we_do_not_keep_are_read_and_not_written(features: str, name: str, host_tree: Path, tmp_path: Path) -> None:
    image = mke2fs(tmp_path / "image", 48 * MIB, "-t", "ext4", "-b", "4096", "-O", features, "-d", host_tree)
    before = image.read_bytes()
    with FileDevice(image) as device:
        volume = ExtVolume.on(device)
        assert volume.open("tiny").read() == b"tiny contents\n"
        with pytest.raises(ReadOnlyError, match=rf"cannot be written: it uses {name}"):
            volume.write_file("new", [b"x"])
        volume.close()
    assert image.read_bytes() == before
