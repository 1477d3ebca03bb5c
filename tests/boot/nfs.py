"""A root over NFS: Debian's user-space server (nfs-ganesha), and the initramfs of Debian's initramfs-tools that mounts from it."""

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.boot.environment import kernel_files
from tests.boot.linux import with_busybox
from tests.network.namespaces import Namespace, Process, program
from tests.oracles import need, run_tool

_CONFIGURATION = Path("/etc/initramfs-tools")
_GANESHA = """NFS_CORE_PARAM {{ Protocols = 3; NFS_Port = 2049; MNT_Port = 20048; Enable_NLM = false; Enable_RQUOTA = false; }}
EXPORT {{
    Export_Id = 1; Path = "{export}"; Pseudo = "/nfs"; Protocols = 3; Transports = TCP; SecType = sys; Access_Type = RW; Squash = No_Root_Squash;
    FSAL {{ Name = VFS; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""
# What is read and written is in the root that came over the network.
_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
echo "started $(cat /etc/hostname)" > /etc/was-here
echo "DISKLESS host=$(cat /etc/hostname) root=$(grep ' / nfs ' /proc/mounts | cut -d ' ' -f 1-3) {nonce}" > /dev/ttyS0
sync
poweroff -f
"""


def serve(namespace: Namespace, folder: Path, export: Path) -> Process:
    """Export a folder below the same name. It wants a portmapper, which has a socket in /run: both get a /run of their own."""
    for name in ("ganesha.nfsd", "rpcbind"):
        need(name)
    configuration, log = folder / "ganesha.conf", folder / "ganesha.log"
    configuration.write_text(_GANESHA.format(export=export))
    script = f"mount -t tmpfs run /run && mkdir -p /run/ganesha && rpcbind && exec ganesha.nfsd -F -L {log} -f {configuration} -p {folder}/ganesha.pid"
    process = namespace.start(program("unshare"), "--mount", "--pid", "--fork", "--kill-child", program("sh"), "-c", script)
    log.touch()
    Process(process.popen, log).wait_for("NFS SERVER INITIALIZED", 60)
    return process


def make_root(folder: Path, host: str, nonce: str) -> None:
    """The root of one machine."""
    tree = with_busybox()
    tree.add_link("bin/grep", "busybox")
    tree.add_link("bin/cut", "busybox")
    tree.add_file("sbin/init", _INIT.format(nonce=nonce).encode(), executable=True)
    tree.add_file("etc/hostname", f"{host}\n".encode())
    for name in ("proc", "sys", "dev", "tmp", "run"):
        tree.add_folder(name)
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".cpio")
    archive.write_bytes(tree.to_cpio())
    run_tool(["bsdtar", "-xpf", archive, "-C", folder])


def initramfs(folder: Path) -> bytes:
    """As `mkinitramfs` with BOOT=nfs makes it for the kernel of the tests, which is not installed here: it sees it in a mount namespace of its own."""
    need("mkinitramfs")
    if not (_CONFIGURATION / "initramfs.conf").exists():
        pytest.skip(f"{_CONFIGURATION} is not there")
    kernel, modules = kernel_files()
    configuration, out = folder / "initramfs-tools", folder / "nfs.img"
    shutil.copytree(_CONFIGURATION, configuration)
    with (configuration / "initramfs.conf").open("a") as file:
        file.write("MODULES=list\nBOOT=nfs\nBUSYBOX=n\nCOMPRESS=gzip\n")
    (configuration / "modules").write_text("virtio_pci\nvirtio_net\nnfs\nnfsv3\n")
    there = folder / "modules" / modules.name
    shutil.copytree(modules, there, copy_function=os.link)
    place = Path("/lib/modules")        # where mkinitramfs looks
    made = not place.exists()
    place.mkdir(exist_ok=True)
    script = (
        f"mount --bind {folder}/modules {place} && mount --bind {kernel.parent} /boot && "
        f"depmod {modules.name} && mkinitramfs -d {configuration} -o {out} {modules.name}"
    )
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    if made:
        with suppress(OSError):     # somebody else uses it
            place.rmdir()
    assert done.returncode == 0, done.stdout + done.stderr
    return out.read_bytes()
