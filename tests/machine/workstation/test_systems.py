"""Which Linux a partition starts, by the configuration of its boot loader."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpscript
from bpscript.machine.workstation.systems.entry import Entry
from bpscript.machine.workstation.systems.find import find_system
from bpscript.machine.workstation.systems.grub import _commands, _default, _Interpreter, _Stopped
from tests.machine.workstation.test_boot import disk_with

# What grub-mkconfig of Debian 12 writes, shortened by themes and colours.
DEBIAN = """
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
if [ x"${feature_menuentry_id}" = xy ]; then
  menuentry_id_option="--id"
else
  menuentry_id_option=""
fi
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  else
    insmod efi_gop
  fi
}
if loadfont unicode ; then
  set gfxmode=auto
fi
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-0b1c' {
\tload_video
\tinsmod gzio
\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
\tif [ x$feature_platform_search_hint = xy ]; then
\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1  0b1c
\telse
\t  search --no-floppy --fs-uuid --set=root 0b1c
\tfi
\techo\t'Loading Linux 6.1.0-40-amd64 ...'
\tlinux\t/boot/vmlinuz-6.1.0-40-amd64 root=UUID=0b1c ro  quiet
\techo\t'Loading initial ramdisk ...'
\tinitrd\t/boot/initrd.img-6.1.0-40-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-0b1c' {
\tmenuentry 'Debian GNU/Linux, with Linux 6.1.0-39-amd64' --class debian $menuentry_id_option 'gnulinux-6.1.0-39' {
\t\tlinux\t($root)/boot/vmlinuz-6.1.0-39-amd64 root=UUID=0b1c ro single
\t\tinitrd\t/boot/early.cpio /boot/initrd.img-6.1.0-39-amd64
\t}
}
"""
FILES = {
    "boot/vmlinuz-6.1.0-40-amd64": b"new", "boot/initrd.img-6.1.0-40-amd64": b"rd", "boot/vmlinuz-6.1.0-39-amd64": b"old",
    "boot/initrd.img-6.1.0-39-amd64": b"rd", "boot/early.cpio": b"early", "vmlinuz": b"plain", "initrd": b"rd",
}  # fmt: skip


def found(tmp_path: Path, files: dict[str, bytes | str]) -> Entry | None:
    (tmp_path / "disk.img").unlink(missing_ok=True)
    disk_with(tmp_path, "LINUX-EXT2:32", {path: data.encode() if isinstance(data, str) else data for path, data in files.items()})
    with bpscript.open_disk(tmp_path / "disk.img") as disk:
        return find_system(disk.volume(1))


def test_grub_as_debian_writes_it(tmp_path: Path) -> None:
    entry = found(tmp_path, {**FILES, "boot/grub/grub.cfg": DEBIAN})
    assert entry == Entry(
        "Debian GNU/Linux", "boot/vmlinuz-6.1.0-40-amd64", ("boot/initrd.img-6.1.0-40-amd64",), "root=UUID=0b1c ro quiet", "boot/grub/grub.cfg"
    )


@pytest.mark.parametrize("default", ["gnulinux-advanced-0b1c>gnulinux-6.1.0-39", "1>0", "1", "Advanced options for Debian GNU/Linux>0"])
def test_the_entry_that_grub_saved(tmp_path: Path, default: str) -> None:
    environment = f"# GRUB Environment Block\nnext_entry={default}\n".ljust(1024, "#")
    entry = found(tmp_path, {**FILES, "boot/grub/grub.cfg": DEBIAN, "boot/grub/grubenv": environment})
    assert entry is not None
    assert entry.kernel == "boot/vmlinuz-6.1.0-39-amd64"
    assert entry.ramdisks == ("boot/early.cpio", "boot/initrd.img-6.1.0-39-amd64")
    assert entry.command_line == "root=UUID=0b1c ro single"


def test_extlinux(tmp_path: Path) -> None:
    entry = found(tmp_path, {
        **FILES, "boot/extlinux/extlinux.conf": "INCLUDE more.cfg\nDEFAULT two\n",
        "boot/extlinux/more.cfg": "label one\n kernel /vmlinuz\nlabel two\n kernel ../vmlinuz-6.1.0-39-amd64\n append initrd=/boot/early.cpio,/initrd root=/dev/sda1 ro\n",
    })  # fmt: skip
    assert entry == Entry("two", "boot/vmlinuz-6.1.0-39-amd64", ("boot/early.cpio", "initrd"), "root=/dev/sda1 ro", "boot/extlinux/extlinux.conf")


def test_the_menu_default_of_syslinux(tmp_path: Path) -> None:
    text = "UI menu.c32\nAPPEND quiet\nLABEL a\n LINUX /vmlinuz\nLABEL b\n MENU DEFAULT\n LINUX /boot/vmlinuz-6.1.0-40-amd64\n"
    entry = found(tmp_path, {**FILES, "syslinux.cfg": text})
    assert entry is not None
    assert (entry.title, entry.command_line) == ("b", "quiet")


def test_boot_loader_entries(tmp_path: Path) -> None:
    def entry(version: str) -> str:
        return f"title Lab {version}\nversion {version}\nlinux /boot/vmlinuz-{version}\ninitrd /boot/initrd.img-{version} $tuned_initrd\noptions $kernelopts quiet\n"

    entries = {f"loader/entries/lab-{version}.conf": entry(version) for version in ("6.1.0-39-amd64", "6.1.0-40-amd64")}
    environment = "# GRUB Environment Block\nkernelopts=root=/dev/vda1 ro\n"
    newest = found(tmp_path, {**FILES, **entries, "boot/grub2/grubenv": environment})
    assert newest is not None
    assert (newest.title, newest.command_line) == ("Lab 6.1.0-40-amd64", "root=/dev/vda1 ro quiet")
    named = found(tmp_path, {**FILES, **entries, "loader/loader.conf": "timeout 3\ndefault lab-6.1.0-39*\n"})
    assert named is not None
    assert named.title == "Lab 6.1.0-39-amd64"
    saved = found(tmp_path, {**FILES, **entries, "boot/grub2/grubenv": "saved_entry=lab-6.1.0-39-amd64\n"})
    assert saved is not None
    assert saved.title == "Lab 6.1.0-39-amd64"


def test_kernels_without_a_configuration(tmp_path: Path) -> None:
    files = {path: data for path, data in FILES.items() if path.startswith("boot/")} | {"boot/vmlinuz-6.1.0-9-amd64": b"older"}
    entry = found(tmp_path, dict(files))
    assert entry is not None
    with bpscript.open_disk(tmp_path / "disk.img") as disk:
        assert entry.command_line == f"root=UUID={disk.volume(1).ident} ro"
    assert (entry.kernel, entry.ramdisks) == ("boot/vmlinuz-6.1.0-40-amd64", ("boot/initrd.img-6.1.0-40-amd64",))


def test_a_configuration_for_another_partition_is_passed_over(tmp_path: Path) -> None:
    entry = found(tmp_path, {"grub/grub.cfg": "menuentry a {\n linux /not-here\n}\n", "vmlinuz": b"plain"})
    assert entry is not None
    assert entry.origin == "vmlinuz"
    assert found(tmp_path, {"grub/grub.cfg": "menuentry a {\n linux /not-here\n}\n"}) is None


@pytest.mark.parametrize("text", ["menuentry 'a", "menuentry a {", "if [ a ]; then", "}", "fi", "submenu", "set", "linux", "menuentry {}", "${x", "for i in a; do"])
def test_broken_configurations_of_grub_start_nothing(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, {"grub/grub.cfg": text}) is None


@given(st.text(alphabet="\n ;{}'\"$\\#[]=>ab0 ifthenlsmuyrx()/-", max_size=200))
def test_any_text_gives_a_menu_or_none(text: str) -> None:
    """Never a loop, never anything but the one exception."""
    interpreter = _Interpreter({})
    try:
        interpreter.run(_commands(text), interpreter.menu)
    except _Stopped:
        return
    _default(interpreter.menu, interpreter.variables.get("default", ""))
