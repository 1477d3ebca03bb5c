"""Modules of a kernel: those that were chosen come with all they need, in an order in which they can be loaded; modprobe agrees."""

import gzip
import lzma
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from bpscript.base.errors import FormatError, NotFoundError
from bpscript.initramfs.cpio import Tree
from bpscript.initramfs.modules import Modules, add_modules


def module(**facts: str | tuple[str, ...]) -> bytes:
    """A file with a section .modinfo."""
    texts = [f"{key}={value}" for key, values in facts.items() for value in ((values,) if isinstance(values, str) else values)]
    info = "\0".join(texts).encode() + b"\0"
    names = b"\0.modinfo\0.shstrtab\0"
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 0x28, 64 + len(info) + len(names))
    struct.pack_into("<HHH", head, 0x3A, 64, 3, 2)
    rows = [(0, 0, 0), (1, 64, len(info)), (10, 64 + len(info), len(names))]
    return bytes(head) + info + names + b"".join(struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, start, size, 0, 0, 1, 0) for name, start, size in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "6.1.0-test"
    for path, data in {
        "drivers/net/fast-net.ko": module(alias=("pci:v00008086d*", "virtio:d1"), depends="net_core,ring"),
        "drivers/net/net-core.ko": module(depends="ring"),
        "lib/ring.ko.xz": lzma.compress(module(alias="ring", softdep="pre: sum post: other")),
        "crypto/sum.ko": module(alias="crypto-sum"),
        "drivers/other.ko": module(alias="pci:v0000ABCD*"),
    }.items():
        file = made / "kernel" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return made


def test_a_module_comes_with_all_it_needs_in_order(folder: Path) -> None:
    chosen = Modules(folder).chosen(["fast_net", "not-there"])
    assert [each.name for each in chosen] == ["sum", "ring", "net_core", "fast_net"]


def test_a_copy_of_another_name_is_known_by_what_its_modules_say(folder: Path) -> None:
    """uname -r of that kernel; else the workstation would look for its drivers in another folder."""
    copy = folder.rename(folder.with_name("copy"))
    assert Modules(copy).version == "copy"
    (copy / "kernel/crypto/sum.ko").write_bytes(module(vermagic="6.1.0-56-amd64 SMP preempt mod_unload modversions "))
    assert Modules(copy).version == "6.1.0-56-amd64"


def test_the_tables_are_those_of_depmod(folder: Path) -> None:
    tree = Tree()
    modules = Modules(folder)
    add_modules(tree, modules.chosen(["fast-net"]), modules.version)
    base = "lib/modules/6.1.0-test"
    assert tree[f"{base}/modules.dep"].data.decode().splitlines() == [
        "kernel/crypto/sum.ko:",
        "kernel/lib/ring.ko: kernel/crypto/sum.ko",
        "kernel/drivers/net/net-core.ko: kernel/lib/ring.ko kernel/crypto/sum.ko",
        "kernel/drivers/net/fast-net.ko: kernel/drivers/net/net-core.ko kernel/lib/ring.ko kernel/crypto/sum.ko",
    ]
    assert "alias pci:v00008086d* fast_net\n" in tree[f"{base}/modules.alias"].data.decode()
    assert tree[f"{base}/kernel/lib/ring.ko"].data == module(alias="ring", softdep="pre: sum post: other")     # unpacked
    assert f"{base}/kernel/drivers/other.ko" not in tree


def test_a_folder_without_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no kernel modules"):
        Modules(tmp_path)


PACKED: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.compress, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("suffix", PACKED)
def test_a_module_that_is_packed_is_read_and_a_damaged_one_refused(folder: Path, suffix: str) -> None:
    file = folder / "kernel" / f"packed.ko{suffix}"
    good = PACKED[suffix](module(alias="x" * 500, depends="ring"))
    file.write_bytes(good)
    assert [each.name for each in Modules(folder).chosen(["packed"])] == ["sum", "ring", "packed"]
    for damaged in (good[: len(good) // 2], good[:12] + bytes(each ^ 0xFF for each in good[12:])):
        file.write_bytes(damaged)
        with pytest.raises(FormatError, match="packed"):
            Modules(folder).chosen(["packed"])
