"""Diskless machines: the boot environment starts a kernel whose root comes over NFS, and touches no disk."""

import hashlib
from pathlib import Path

import pytest

from bpscript.api import create_disk
from tests.boot import environment, nfs
from tests.boot.machines import lab, mac

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

NONCE = "nonce-b7e1"


def contents(disk: Path) -> str:
    return hashlib.sha256(disk.read_bytes()).hexdigest()


def test_a_machine_has_its_root_over_nfs_and_its_disk_is_left_alone(tmp_path: Path) -> None:
    """Two machines with a disk that has room for a cache: with CacheNever it stays as it was, without it the kernel is kept there."""
    root, export = environment.served(tmp_path / "served"), tmp_path / "export"
    for host in ("pc7", "pc8"):
        nfs.make_root(export / host, host, NONCE)
    (root / "nfs").mkdir()
    (root / "nfs" / "initrd.img").write_bytes(nfs.initramfs(tmp_path))
    (root / "nfs" / "vmlinuz").hardlink_to(root / "vmlinuz")
    boot = f'LinuxBoot "nfs/vmlinuz" "console=ttyS0,115200 quiet panic=5 root=/dev/nfs nfsroot=${{BOOTP-Server-IP}}:{export}/${{BOOTP-Host-Name}},vers=3,nolock ip=dhcp rw" "nfs/initrd.img"\n'
    (root / "diskless.bpb").write_text(f'Set CacheNever = "ON"\n{boot}')
    (root / "caching.bpb").write_text(boot)
    with lab(tmp_path) as room:
        nfs.serve(room.cable.server, tmp_path, export)
        server = room.serve(root, "".join(
            f'[hosts.{host}]\nmac = "{mac(number)}"\nscript = "{script}"\n' for number, (host, script) in enumerate((("pc7", "diskless"), ("pc8", "caching")), 1)
        ))
        disks = [room.disk(f"{host}.img", 200 << 20) for host in ("pc7", "pc8")]
        for disk in disks:
            disk.unlink()
            create_disk(disk, 200 << 20, partitions="BIGDOS:40", format_partitions=True)
        before = [contents(disk) for disk in disks]
        machines = [room.machine(host, disks=(disk,), net_first=True) for host, disk in zip(("pc7", "pc8"), disks, strict=True)]
        for machine in machines:
            machine.wait_for(f"DISKLESS host={machine.name} root=10.9.0.1:{export}/{machine.name} / nfs {NONCE}", 400)
            machine.wait_until_off(60)
            assert (export / machine.name / "etc" / "was-here").read_text() == f"started {machine.name}\n"
    after = [contents(disk) for disk in disks]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert "Traceback" not in machines[0].text + machines[1].text + server.text
