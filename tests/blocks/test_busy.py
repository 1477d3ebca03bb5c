"""Who uses a disk, from texts as the kernel gives them."""

from pathlib import Path

import pytest

from bpscript.blocks.busy import users

MOUNTS = r"""proc /proc proc rw,nosuid 0 0
/dev/sda1 / ext4 rw,relatime,errors=remount-ro 0 0
/dev/sda2 /srv/my\040data ext4 ro,relatime 0 0
/dev/nvme0n1p3 /home xfs rw 0 0
/dev/loop7 /mnt/image ext4 rw,relatime 0 0
/dev/loop8p2 /mnt/second vfat rw 0 0
/dev/sdab1 /other ext4 rw 0 0
"""
SWAPS = """Filename				Type		Size		Used		Priority
/dev/sda5                               partition	1048572		0		-2
"""


@pytest.fixture
def host(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mounts").write_text(MOUNTS)
    (tmp_path / "proc" / "swaps").write_text(SWAPS)
    for name, backing in (("loop7", "whole.img"), ("loop8", "disk.img")):
        folder = tmp_path / "blocks" / name / "loop"
        folder.mkdir(parents=True)
        (folder / "backing_file").write_text(f"{tmp_path / backing}\n")
    return {"proc": tmp_path / "proc", "blocks": tmp_path / "blocks"}


@pytest.mark.parametrize(
    ("disk", "partition", "readers", "expected"),
    [
        ("/dev/sda", None, False, ["/dev/sda1 mounted on /", "/dev/sda5 in use for swapping"]),
        ("/dev/sda", None, True, ["/dev/sda1 mounted on /", "/dev/sda2 mounted on /srv/my data", "/dev/sda5 in use for swapping"]),
        ("/dev/sda", 2, False, []),
        ("/dev/sda", 2, True, ["/dev/sda2 mounted on /srv/my data"]),
        ("/dev/sda", 5, False, ["/dev/sda5 in use for swapping"]),
        ("/dev/sda1", None, False, ["/dev/sda1 mounted on /"]),
        ("/dev/sdb", None, True, []),
        ("/dev/nvme0n1", 3, False, ["/dev/nvme0n1p3 mounted on /home"]),
        ("/dev/nvme0n1", 1, False, []),
        ("{tmp}/whole.img", None, False, ["/dev/loop7 mounted on /mnt/image"]),
        ("{tmp}/whole.img", 1, False, ["/dev/loop7 mounted on /mnt/image"]),
        ("{tmp}/disk.img", 2, False, ["/dev/loop8p2 mounted on /mnt/second"]),
        ("{tmp}/disk.img", 1, False, []),
        ("{tmp}/other.img", None, True, []),
    ],
    ids=str,
)
def test_who_uses_a_disk(tmp_path: Path, host: dict[str, Path], disk: str, partition: int | None, readers: bool, expected: list[str]) -> None:
    assert users(Path(disk.format(tmp=tmp_path)), partition, readers=readers, **host) == expected


@pytest.mark.parametrize(
    ("disk", "partition", "expected"),
    [
        ("/dev/sdc", None, ["/dev/sdc held by md0", "/dev/sdc2 held by vg-root", "/dev/sdc2 held by vg-swap"]),
        ("/dev/sdc", 2, ["/dev/sdc2 held by vg-root", "/dev/sdc2 held by vg-swap"]),
        ("/dev/sdc", 1, []),
        ("/dev/sdc2", None, ["/dev/sdc2 held by vg-root", "/dev/sdc2 held by vg-swap"]),
        ("/dev/sdd", None, []),
    ],
)
def test_what_lies_on_a_disk_holds_it(host: dict[str, Path], disk: str, partition: int | None, expected: list[str]) -> None:
    """/sys/block/DISK/[PARTITION/]holders names block devices; those of the device mapper have names of their own."""
    blocks = host["blocks"]
    for place in ("sdc/holders/md0", "sdc/sdc1/holders", "sdc/sdc2/holders/dm-0/dm", "sdc/sdc2/holders/dm-1/dm", "sdd/sdd1/holders"):
        (blocks / place).mkdir(parents=True)
    (blocks / "sdc/sdc2/holders/dm-0/dm/name").write_text("vg-root\n")
    (blocks / "sdc/sdc2/holders/dm-1/dm/name").write_text("vg-swap\n")
    assert users(Path(disk), partition, proc=host["proc"], blocks=blocks) == expected


def test_a_host_that_does_not_tell_has_no_users(tmp_path: Path) -> None:
    assert users(Path("/dev/sda"), proc=tmp_path / "none", blocks=tmp_path / "none") == []
