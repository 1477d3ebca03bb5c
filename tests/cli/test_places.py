from pathlib import Path

import pytest

from bpscript.base.errors import UsageError
from bpscript.cli.places import DiskImagePlace, parse_disk_option


@pytest.mark.parametrize(
    ("text", "image", "partition", "path"),
    [
        ("disk.img", "disk.img", None, ""),
        ("disk.img:1", "disk.img", 1, ""),
        ("disk.img:1/", "disk.img", 1, ""),
        ("disk.img:12/etc/fstab", "disk.img", 12, "etc/fstab"),
        ("disk.img:1/a/../b", "disk.img", 1, "b"),
        ("disk.img:1/../../x", "disk.img", 1, "x"),
        ("a:1b:2/x", "a:1b", 2, "x"),
        ("disk.img:x", "disk.img:x", None, ""),
        ("dir:7/disk.img:1/x", "dir", 7, "disk.img:1/x"),
    ],
)
def test_a_place_is_image_partition_and_path(text: str, image: str, partition: int | None, path: str) -> None:
    place = DiskImagePlace.parse(text)
    assert (str(place.image), place.partition, place.path) == (image, partition, path)


def test_an_existing_file_of_the_whole_name_wins(tmp_path: Path) -> None:
    strange = tmp_path / "disk.img:1"
    strange.touch()
    assert DiskImagePlace.parse(str(strange)) == DiskImagePlace(strange, None, "")


def test_a_partition_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no partition given"):
        DiskImagePlace.parse("disk.img").need_partition()


@pytest.mark.parametrize(
    ("text", "path", "size"),
    [
        ("disk.img", "disk.img", None),
        ("disk.img:2G", "disk.img", 2 << 30),
        ("disk.img:512", "disk.img", 512),
        ("a:b:64m", "a:b", 64 << 20),
        ("disk.img:x", "disk.img:x", None),
        (":2G", ":2G", None),
    ],
)
def test_a_disk_option_may_carry_a_size(text: str, path: str, size: int | None) -> None:
    assert parse_disk_option(text) == (Path(path), size)


def test_an_existing_image_of_the_whole_name_wins(tmp_path: Path) -> None:
    strange = tmp_path / "disk.img:2G"
    strange.touch()
    assert parse_disk_option(str(strange)) == (strange, None)
