import pytest

from bpscript.base.errors import StorageError
from bpscript.filesystems.places import DiskPlace, ForeignPlace, HostPlace, parse_place, parse_tree_place


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("{0:1}/etc/fstab", DiskPlace(0, 1, "etc/fstab")),
        ("{:1}/etc/fstab", DiskPlace(None, 1, "etc/fstab")),
        ("{:1}temp/x", DiskPlace(None, 1, "temp/x")),
        ("{1:-1}linux.imz", DiskPlace(1, -1, "linux.imz")),
        ("{:0}/mbr", DiskPlace(None, 0, "mbr")),
        ("{:1}\\windows\\x", DiskPlace(None, 1, "windows/x")),
        ("{:1}/a/../../../b/./c//", DiskPlace(None, 1, "b/c")),
        ("{:1}", DiskPlace(None, 1, "")),
        ("help.bpb", ForeignPlace("help.bpb")),
        ("198.76.54.32@89:getpasswd/smith", ForeignPlace("198.76.54.32@89:getpasswd/smith")),
    ],
)
def test_a_name_is_a_place(name: str, place: object) -> None:
    assert parse_place(name, "MrBatch") == place


def test_in_mrzip_a_name_is_a_path_of_the_operating_system() -> None:
    assert parse_place("C:\\autoexec.bat", "MrZip") == HostPlace("C:/autoexec.bat")
    assert parse_place("{:1}/x", "MrZip") == DiskPlace(None, 1, "x")


@pytest.mark.parametrize("name", ["{0 :1}/x", "{:1", "{}/x", "{a:1}/x", "{1}/x", "", "{:-}/x"])
def test_what_is_no_place_is_refused(name: str) -> None:
    with pytest.raises(StorageError):
        parse_place(name, "MrBatch")


def test_a_tree_may_be_a_partition_alone() -> None:
    assert parse_tree_place("1", "MrBatch") == DiskPlace(None, 1, "")
    assert parse_tree_place("1:2", "MrBatch") == DiskPlace(1, 2, "")
    assert parse_tree_place("{:1}/x", "MrBatch") == DiskPlace(None, 1, "x")
