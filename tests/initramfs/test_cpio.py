"""The archive of the first file system: other programs read it, and the same files make the same bytes."""

import os
import stat
from pathlib import Path

import pytest

from bpscript.initramfs.cpio import Tree
from tests.oracles import run_tool


def tree() -> Tree:
    made = Tree()
    made.add_file("usr/bin/program", b"\x7fELF" + bytes(range(256)), executable=True)
    made.add_file("etc/text", "ä\n".encode())
    made.add_file("etc/empty", b"")
    made.add_folder("tmp", 0o1777)
    made.add_link("bin", "usr/bin")
    made.add_device("dev/console", 5, 1)
    return made


def test_bsdtar_unpacks_what_was_put_in(tmp_path: Path) -> None:
    (tmp_path / "a.cpio").write_bytes(tree().to_cpio())
    out = tmp_path / "out"
    out.mkdir()
    run_tool(["bsdtar", "-xpf", tmp_path / "a.cpio", "-C", out, *([] if os.geteuid() == 0 else ["--exclude", "dev/console"])])
    assert (out / "usr/bin/program").read_bytes() == b"\x7fELF" + bytes(range(256))
    assert (out / "usr/bin/program").stat().st_mode & 0o777 == 0o755
    assert (out / "etc/text").read_text("utf-8") == "ä\n"
    assert (out / "etc/empty").read_bytes() == b""
    assert (out / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (out / "bin").readlink() == Path("usr/bin")
    if os.geteuid() == 0:
        found = (out / "dev/console").lstat()
        assert stat.S_ISCHR(found.st_mode)
        assert (os.major(found.st_rdev), os.minor(found.st_rdev)) == (5, 1)


def test_busybox_lists_every_entry_with_parents_before_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "a.cpio").write_bytes(tree().to_cpio())
    listed = run_tool(["busybox", "cpio", "-t", "-F", tmp_path / "a.cpio"]).stdout.split()
    assert listed == ["bin", "dev", "dev/console", "etc", "etc/empty", "etc/text", "tmp", "usr", "usr/bin", "usr/bin/program"]


def test_the_order_of_adding_does_not_matter() -> None:
    other = Tree()
    other.add_device("dev/console", 5, 1)
    other.add_link("bin", "usr/bin")
    other.add_folder("tmp", 0o1777)
    other.add_file("etc/empty", b"")
    other.add_file("etc/text", "ä\n".encode())
    other.add_file("usr/bin/program", b"\x7fELF" + bytes(range(256)), executable=True)
    assert other.to_cpio() == tree().to_cpio()


@pytest.mark.parametrize("path", ["etc/text", "dev/console"])
def test_what_is_there_can_be_asked(path: str) -> None:
    assert path in tree()
    assert "etc/none" not in tree()
