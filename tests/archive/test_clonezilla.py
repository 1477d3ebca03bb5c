"""Image folders as Clonezilla lays them out, and images in pieces that `split` made."""

from pathlib import Path

import pytest

from bpscript.archive.clonezilla import choose, on_host, partitions
from bpscript.archive.foreign import open_image
from bpscript.archive.opened import OpenArchive
from bpscript.archive.positional import fragment_name, open_from_host
from bpscript.archive.restore import restore
from bpscript.base.clock import Clock
from bpscript.base.errors import FormatError, NotFoundError, StorageError
from bpscript.blocks.memory import MemoryDevice
from bpscript.cli.main import main
from tests.archive.partclone_images import SIZES, made, sources
from tests.oracles import fsck_fat, mtools_tree, run_tool, sfdisk_table

CLOCK = Clock(0)


@pytest.fixture(scope="module")
def partition_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return sources(tmp_path_factory.mktemp("partitions"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, partition_files: dict[str, Path]) -> Path:
    """As `ocs-sr savedisk` leaves it: pieces of a packed image, another one whole, a third not packed."""
    folder = tmp_path_factory.mktemp("clonezilla")
    images = made(tmp_path_factory.mktemp("images"), partition_files, ("fat32", "ext4-z", "ntfs"))
    run_tool(["sh", "-c", f"gzip -c '{images['fat32']}' | split -a 2 -b 300000 - '{folder}/sda1.vfat-ptcl-img.gz.'"])
    run_tool(["sh", "-c", f"zstd -q -c '{images['ext4-z']}' > '{folder}/sda2.ext4-ptcl-img.zst'"])
    run_tool(["sh", "-c", f"split -a 3 -b 1000000 '{images['ntfs']}' '{folder}/sda3.ntfs-ptcl-img.uncomp.'"])
    (folder / "parts").write_text("sda1 sda2 sda3 sda4\n")
    (folder / "disk").write_text("sda\n")
    (folder / "swappt-sda4.info").write_text('UUID="11111111-2222-3333-4444-555555555555"\nLABEL=""\n')
    for name in ("sda-pt.sf", "blkdev.list", "clonezilla-img", "sda-mbr", "sda-hidden-data-after-mbr", "Info-dmi.txt"):
        (folder / name).write_text("text\n")
    assert len(list(folder.glob("sda1.*"))) > 2
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sda1", "fat32"), ("sda2", "ext4"), ("sda3", "ntfs"), ("sda1.vfat-ptcl-img.gz.aa", "fat32"), ("sda2.ext4-ptcl-img.zst", "ext4"),
        ("sda3.ntfs-ptcl-img.uncomp.aaa", "ntfs"),
    ],
)
def test_a_partition_is_taken_out_of_the_folder(name: str, kind: str, folder: Path, partition_files: dict[str, Path]) -> None:
    expected = partition_files[kind].read_bytes()
    device = MemoryDevice(SIZES[kind])
    with open_image(open_from_host(folder / name), clock=CLOCK, in_order=True) as image:
        assert image.facts.filesystem == kind.upper()
        restore(image, device, verify=True)
        assert all(device.read(start, end - start) == expected[start:end] for start, end in image.used)


def test_a_folder_with_several_partitions_asks_for_one(folder: Path) -> None:
    with pytest.raises(FormatError, match=r"has 3 partitions: sda1 \(vfat\), sda2 \(ext4\), sda3 \(ntfs\)") as caught:
        open_from_host(folder)
    assert str(caught.value.hint).endswith("/sda1")
    with pytest.raises(NotFoundError, match=r"has no partition sda9; it has sda1"):
        open_from_host(folder / "sda9")
    with pytest.raises(FormatError, match=r"sda4 .* is swap space"):
        open_from_host(folder / "sda4")


def test_a_folder_with_one_partition_is_enough(folder: Path, tmp_path: Path) -> None:
    for piece in folder.glob("sda1.*"):
        (tmp_path / piece.name).write_bytes(piece.read_bytes())
    with open_image(open_from_host(tmp_path), clock=CLOCK) as image:
        assert image.facts.filesystem == "FAT32"
    pieces = sorted(tmp_path.iterdir())
    pieces[1].unlink()
    with pytest.raises(FormatError, match="cut short"):
        open_image(open_from_host(tmp_path), clock=CLOCK)
    for piece in tmp_path.iterdir():
        piece.unlink()
    with pytest.raises(StorageError, match="is a directory, not an archive"):
        open_from_host(tmp_path)
    with pytest.raises(NotFoundError, match="no such file"):
        open_from_host(tmp_path / "sda1")
    assert on_host(tmp_path / "x" / "y") == tmp_path / "x" / "y"


@pytest.mark.parametrize(
    ("name", "partition"),
    [
        ("nvme0n1p2.ext4-ptcl-img.gz.aa", "nvme0n1p2"), ("vg-root.xfs-ptcl-img.lz4", "vg-root"), ("sda1.hfsplus-ptcl-img.uncomp", "sda1"),
        ("md0.btrfs-ptcl-img.xz.aaa", "md0"), ("sda5.dd-ptcl-img.bz2.aa", "sda5"), ("sda1.ext4-ptcl-img.gz.ab", None), ("sda-pt.sf", None),
        ("sda1.ntfs-img.aa", None), ("swappt-sda3.info", None), ("sda1.info", None),
    ],
)
def test_names_of_clonezilla(name: str, partition: str | None) -> None:
    assert list(partitions([name])) == ([partition] if partition else [])
    if partition:
        assert choose("folder", ["parts", name], partition) == name


def test_pieces_are_counted_as_split_does() -> None:
    assert [fragment_name("x.aa", number) for number in (0, 1, 25, 26, 675)] == ["x.aa", "x.ab", "x.az", "x.ba", "x.zz"]
    assert fragment_name("x.aa", 676) == "x.?"
    assert [fragment_name("x.00", number) for number in (1, 99)] == ["x.01", "x.99"]
    assert [fragment_name("x.001", 1), fragment_name("x.imz", 1), fragment_name("x.aab", 1)] == ["x.002", "x.imz.001", "x.aab.001"]


def test_scripts_and_the_command_line_name_it(
    folder: Path, partition_files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "disk.img"
    script = tmp_path / "deploy.bat"
    script.write_text('SetPartitions "FAT32:48"\nFullUnzip "image/sda1" 1\n')
    (tmp_path / "image").symlink_to(folder)
    assert main(["run", str(script), "--disk", f"{target}:64M", "--root", str(tmp_path)]) == 1      # a link out of the folder
    (tmp_path / "image").unlink()
    (tmp_path / "image").mkdir()
    for piece in folder.glob("sda*"):
        (tmp_path / "image" / piece.name).write_bytes(piece.read_bytes())
    capsys.readouterr()
    assert main(["run", str(script), "--disk", str(target), "--root", str(tmp_path)]) == 0
    with OpenArchive(folder / "sda1") as archive:
        assert "file2.bin" in [path for path, _ in archive.entries()]
    assert main(["image", "info", str(folder / "sda2")]) == 0
    assert "EXT4" in capsys.readouterr().out
    assert main(["image", "info", str(folder)]) == 2
    assert "has 3 partitions" in capsys.readouterr().err
    assert main(["image", "restore", str(folder / "sda1"), f"{target}:1"]) == 0
    start = sfdisk_table(target)["partitions"][0]["start"] * 512
    fsck_fat(target, start)
    assert mtools_tree(target, tmp_path / "mine", start) == mtools_tree(partition_files["fat32"], tmp_path / "expected")
    script.write_text('FullUnzip "image" 1\n')
    assert main(["run", str(script), "--disk", str(target), "--root", str(tmp_path)]) == 1
    assert "has 3 partitions" in capsys.readouterr().err
