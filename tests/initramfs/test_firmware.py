"""Firmware of vendors: what the chosen modules ask for, and nothing else."""

import lzma
from pathlib import Path

import pytest

from bpscript.base.errors import NotFoundError, UsageError
from bpscript.initramfs.cpio import Tree
from bpscript.initramfs.firmware import add_firmware, firmware_folder
from bpscript.initramfs.modules import Modules
from tests.initramfs.test_modules import module


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    """A card whose two generations have a file each, and another card."""
    kernel = tmp_path / "6.1.0-test" / "kernel"
    kernel.mkdir(parents=True)
    (kernel / "card.ko").write_bytes(module(alias="pci:v1*", firmware=("nic/old.fw", "nic/new.fw", "nic/none.fw")))
    (kernel / "other.ko").write_bytes(module(alias="pci:v2*", firmware="other.fw"))
    return Modules(tmp_path / "6.1.0-test")


def folder(place: Path, **files: bytes) -> Path:
    (place / "nic").mkdir(parents=True)
    for name, data in files.items():
        (place / name.replace("__", "/").replace("_", ".")).write_bytes(data)
    return place


def test_only_what_the_modules_ask_for_comes_and_the_rest_is_named(tmp_path: Path, modules: Modules) -> None:
    first = folder(tmp_path / "a", nic__old_fw=b"old a", other_fw=b"other")
    second = folder(tmp_path / "b", nic__old_fw=b"old b", nic__new_fw_xz=lzma.compress(b"new b"))
    tree = Tree()
    assert add_firmware(tree, (first, second), modules.chosen(["card"])) == ["nic/none.fw"]
    files = {path: tree[path].data for path in tree if tree[path].data}
    assert files == {"lib/firmware/nic/old.fw": b"old a", "lib/firmware/nic/new.fw": b"new b"}      # unpacked, the first folder wins


def test_a_package_is_a_folder_too(tmp_path: Path) -> None:
    folder(tmp_path / "package" / "usr/lib/firmware")
    (tmp_path / "empty").mkdir()

    def unpacked(name: str) -> Path:
        if name == "nobody-knows":
            raise NotFoundError(f"apt knows no package {name}")
        return tmp_path / name

    assert firmware_folder("package", unpacked) == tmp_path / "package" / "usr/lib/firmware"
    assert firmware_folder(str(tmp_path), unpacked) == tmp_path
    with pytest.raises(UsageError, match="there is no firmware in this package"):
        firmware_folder("empty", unpacked)
    with pytest.raises(UsageError, match="no such folder"):
        firmware_folder("not/there", unpacked)
    with pytest.raises(NotFoundError, match="--firmware nobody-knows: apt knows no package nobody-knows") as caught:
        firmware_folder("nobody-knows", unpacked)
    assert "non-free-firmware" in str(caught.value.hint)
