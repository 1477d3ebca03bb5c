"""A small real Linux to be imaged: a FAT16 partition with Syslinux, kernel and initramfs, and an ext4 partition with the system.

When it starts from the disk it says `IMAGED host=NAME hardware=TEXT NONCE` on the serial line, and powers off. The initramfs knows virtio, AHCI and NVMe
disks, finds the root by its label, and goes to /sbin/init there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bpscript.base.units import MIB
from bpscript.initramfs.cpio import Tree
from bpscript.initramfs.libraries import Libraries
from bpscript.initramfs.modules import Modules
from tests.boot.environment import kernel_files
from tests.oracles import need, run_tool

NONCE = "nonce-5d41402a"
LABEL = "LABROOT"
MODULES = ("virtio_pci", "virtio_blk", "ahci", "sd_mod", "nvme", "ext4", "crc32c_generic")
APPLETS = ("sh", "mount", "umount", "insmod", "findfs", "switch_root", "cat", "poweroff", "reboot", "sleep", "echo", "mkdir", "sync")
LOADER = Path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
_BOOT_MIB, _ROOT_MIB = 48, 24

# Of the initramfs: drivers in order, then the root wherever it is.
_FIRST = f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod $module; done
for try in 1 2 3 4 5 6 7 8 9 10; do
    root=$(findfs LABEL={LABEL}) && mount -t ext4 $root /root && exec switch_root /root /sbin/init
    sleep 1
done
echo "IMAGED no root with the label {LABEL}" > /dev/ttyS0
poweroff -f
"""
_INIT = f"""#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
echo "IMAGED host=$(cat /etc/hostname) hardware=$(cat /etc/hardware) {NONCE}" > /dev/ttyS0
echo "CMDLINE $(cat /proc/cmdline)" > /dev/ttyS0
[ -x /etc/after ] && /etc/after
poweroff -f
"""
_CONFIG = """serial 0 115200
default linux
label linux
  kernel vmlinuz
  append initrd=initrd console=ttyS0,115200 quiet panic=5
"""


def initramfs() -> bytes:
    """That of the imaged system."""
    tree = with_busybox()
    _, folder = kernel_files()
    names = []
    for module in Modules(folder).chosen(MODULES):
        tree.add_file(f"lib/{module.name}.ko", module.read())
        names.append(f"/lib/{module.name}.ko")
    tree.add_file("modules", "\n".join(names).encode())
    tree.add_file("init", _FIRST.encode(), executable=True)
    for name in ("proc", "sys", "dev", "root"):
        tree.add_folder(name)
    return tree.to_cpio()


def make_archives(folder: Path, *, ballast: int = 12) -> None:
    """boot.imz, esp.imz and root.imz (full), hardware.imi (incremental), hostname.ref: what a lab's server would have.

    `ballast` is MB of random bytes in the root: what takes a while to unpack.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / "model"
    work.mkdir()
    image = work / "model.img"
    root_mib = _ROOT_MIB + ballast
    _cli(work, "disk", "create", image.name, f"{128 + root_mib}M", "--partitions", f"BIGDOS:{_BOOT_MIB} LINUX-EXT2:{root_mib} FAT32:{_BOOT_MIB}", "--format")
    _fill_boot(work, image)
    _fill_root(work, image, root_mib, ballast)
    if LOADER.exists():
        _fill_esp(work, image, (1 + _BOOT_MIB + root_mib) * MIB)
    (work / "hardware" / "etc").mkdir(parents=True)
    (work / "hardware" / "etc" / "hardware").write_text("net-card-7\n")
    (work / "capture.mrz").write_text(f'FullZip "{{:1}}/" "{folder}/boot.imz"\nFullZip "{{:2}}/" "{folder}/root.imz"\nFullZip "{{:3}}/" "{folder}/esp.imz"\nIncrZip "{work}/hardware" "{folder}/hardware.imi"\n')
    _cli(work, "run", "capture.mrz", "--disk", image.name)
    (folder / "hostname.ref").write_text("${BOOTP-Host-Name}\n")
    shutil.rmtree(work)


def _fill_boot(work: Path, image: Path) -> None:
    kernel, _ = kernel_files()
    (work / "initrd").write_bytes(initramfs())
    (work / "syslinux.cfg").write_text(_CONFIG)
    at = f"{image}@@{MIB}"
    run_tool(["syslinux", "--install", "--offset", str(MIB), image])
    run_tool(["mcopy", "-i", at, kernel, "::vmlinuz"])
    run_tool(["mcopy", "-i", at, work / "initrd", work / "syslinux.cfg", "::"])


def _fill_esp(work: Path, image: Path, offset: int) -> None:
    """systemd-boot where firmware looks for it, and what it starts."""
    kernel, _ = kernel_files()
    at = f"{image}@@{offset}"
    (work / "lab.conf").write_text("title Lab\nlinux /vmlinuz\ninitrd /initrd\noptions console=ttyS0,115200 quiet panic=5\n")
    run_tool(["mmd", "-i", at, "::EFI", "::EFI/BOOT", "::loader", "::loader/entries"])
    run_tool(["mcopy", "-i", at, LOADER, "::EFI/BOOT/BOOTX64.EFI"])
    run_tool(["mcopy", "-i", at, work / "lab.conf", "::loader/entries/lab.conf"])
    run_tool(["mcopy", "-i", at, kernel, "::vmlinuz"])
    run_tool(["mcopy", "-i", at, work / "initrd", "::initrd"])


def _fill_root(work: Path, image: Path, size: int, ballast: int) -> None:
    tree = with_busybox()
    tree.add_file("sbin/init", _INIT.encode(), executable=True)
    tree.add_file("etc/hostname", b"not-patched\n")
    tree.add_file("etc/hardware", b"none\n")
    for name in ("proc", "sys", "dev", "tmp"):
        tree.add_folder(name)
    (work / "root.cpio").write_bytes(tree.to_cpio())
    root = work / "root"
    root.mkdir()
    run_tool(["bsdtar", "-xpf", work / "root.cpio", "-C", root])
    # Something to unpack that takes a while.
    with (root / "ballast").open("wb") as file:
        for _ in range(ballast):
            file.write(os.urandom(MIB))
    run_tool(["mke2fs", "-q", "-F", "-t", "ext4", "-L", LABEL, "-d", root, "-E", f"offset={(1 + _BOOT_MIB) * MIB},root_owner=0:0", image, f"{size}M"])


def with_busybox() -> Tree:
    """A root with busybox in it and nothing else."""
    tree = Tree()
    Libraries(tree).add_program(tree, "bin/busybox", Path(need("busybox")))
    for name in APPLETS:
        tree.add_link(f"bin/{name}", "busybox")
    return tree


def _cli(folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "bpscript", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
