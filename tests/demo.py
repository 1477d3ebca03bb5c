"""`make demo`: the main job on real input, from an empty folder to a disk that foreign tools accept.

1. A system tree with owners, links and devices is made from this machine's own files, and a driver tree for two kinds of hardware.
2. A MrZip script makes images of them: linux.imz (ext4), data.imz (FAT32) and the hardware overlays hw/*.imi.
3. A deploy script lays out an empty disk with extended partitions, restores the images, unpacks the overlay for this hardware and
   fills the configuration with what a captured DHCP reply said.
4. The result is shown: table, tree, patched file, and what fsck says.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / "demo"
REPLY = Path(__file__).parent / "data" / "pcaps" / "dhcp-full-options.pcap"
LIMIT = 200 << 20       # bytes of real files in the demo's system

CAPTURE = r"""# Images of the model machine (MrZip).
SetPartitions "LINUX-EXT2:600 FAT32:300"
Clean 1 "model"
Clean 2 "MODEL"
IncrUnzip "system.tar" 1
IncrUnzip "data.tar" 2
Filter -"var/cache/*"
Filter -"*.pyc"
FullZip "{:1}/" "server/linux.imz"
Filter
FullZip "{:2}/" "server/data.imz"
IncrZip "drivers/00A0C9" "server/hw/00A0C9.imi"
IncrZip "drivers/generic" "server/hw/generic.imi"
Set DumpFormat = "hs"
FullDump "server/linux.imz"
"""

DEPLOY = r"""# A workstation with an empty disk: Linux on the first partition, a data volume in an extended one.
if #"$Disks" == 0 goto nodisk
SetPartitions "LINUX-EXT2:900 EXT:* EMPTY EMPTY FAT32:400 EXT:100 EMPTY EMPTY LINUX-SWAP:*"
SetBootPart 1
FullUnzip "linux.imz" 1
FullUnzip "data.imz" 5
Clean 9

# hardware: the maker of the network card, from the first six digits of its address, else generic
Set class = "$BOOTP-Client-ID"[0-5]
if not exist "hw/$class.imi" set class = "generic"
IncrUnzip "hw/$class.imi" "{:1}/"

# configuration from the DHCP reply
Set gateway = "$BOOTP-Routers"{0}
MkDir "{:1}/etc/network"
Patch "interfaces.ref" "{:1}/etc/network/interfaces"
CaptureLog
Log "${BOOTP-Host-Name}\n"
EndCapture "{:1}/etc/hostname"
GetPartitions table
Echo "installed ${BOOTP-Host-Name} ($class) on $table"
HdBoot :1
:nodisk
Echo "no disk"
"""

INTERFACES = """# ${BOOTP-Host-Name}.${BOOTP-Domain-Name}
auto eth0
iface eth0 inet static
    address ${BOOTP-Your-IP}
    netmask ${BOOTP-Subnet-Mask}
    gateway ${Gateway}
    dns-nameservers ${BOOTP-Domain-Name-Servers}
"""


def main() -> int:
    """Run the demonstration; returns 0 when every judge is content."""
    started = time.monotonic()
    shutil.rmtree(WORK, ignore_errors=True)
    for folder in ("server/hw", "drivers/00A0C9/lib/modules", "drivers/generic/lib/modules"):
        (WORK / folder).mkdir(parents=True)
    (WORK / "capture.mrz").write_text(CAPTURE)
    (WORK / "server" / "deploy.bpb").write_text(DEPLOY)
    (WORK / "server" / "interfaces.ref").write_text(INTERFACES)
    (WORK / "drivers/00A0C9/lib/modules/e100.ko").write_bytes(b"\x7fELF e100 driver\n")
    (WORK / "drivers/generic/lib/modules/generic.ko").write_bytes(b"\x7fELF generic driver\n")

    say("1. A system tree from this machine's own files")
    count, size = pack_system(WORK / "system.tar", ("etc", "usr/bin", "usr/sbin", "usr/lib", "usr/share"), LIMIT)
    print(f"   system.tar: {count} files, links and devices, {size >> 20} MB")
    count, size = pack_system(WORK / "data.tar", ("usr/share/doc", "usr/share/perl", "usr/include"), LIMIT // 4, for_fat=True)
    print(f"   data.tar: {count} files, {size >> 20} MB")

    say("2. Images of it: bpscript run capture.mrz")
    bpscript("run", "capture.mrz", "--disk", "model.img:1G", cwd=WORK)

    say("3. An empty disk is deployed: bpscript run deploy.bpb --bootp reply.pcap")
    bpscript("run", "server/deploy.bpb", "--disk", "disk.img:2G", "--bootp", str(REPLY), "--log-file", "deploy.log", cwd=WORK)

    say("4. What is on the disk now")
    bpscript("disk", "show", "disk.img", cwd=WORK)
    print()
    bpscript("disk", "ls", "disk.img:1/", cwd=WORK)
    bpscript("disk", "ls", "disk.img:1/dev", cwd=WORK)
    bpscript("disk", "tree", "disk.img:1/lib/modules", cwd=WORK)
    print()
    bpscript("disk", "cat", "disk.img:1/etc/network/interfaces", cwd=WORK)
    print()
    verdicts = judge(WORK / "disk.img")
    print(f"\nThe disk is {WORK / 'disk.img'}; it took {time.monotonic() - started:.0f} s in all.")
    return 0 if verdicts else 1


def pack_system(archive: Path, trees: tuple[str, ...], limit: int, *, for_fat: bool = False) -> tuple[int, int]:
    """A tar of parts of this machine, with the owners as they are, up to `limit` bytes; returns entries and bytes.

    `for_fat` leaves out what FAT cannot hold: devices, names with odd characters, names that differ only in case.
    """
    count = size = 0
    seen: set[str] = set()
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for tree in trees:
            for parent in reversed(Path(tree).parents[:-1]):
                if str(parent) not in tar.getnames()[:8]:
                    tar.add(f"/{parent}", str(parent), recursive=False)
            taken = 0
            for path, info in walk(tar, tree):
                if for_fat and (set(info.name) & set('"*:<>?|') or info.name.lower() in seen or info.issym() or info.islnk()):
                    continue
                seen.add(info.name.lower())
                taken += info.size
                if taken > limit // len(trees):
                    break
                if info.isreg():
                    try:
                        with open(path, "rb") as file:
                            tar.addfile(info, file)
                    except OSError:
                        continue
                else:
                    tar.addfile(info)
                count += 1
                size += info.size
        devices = () if for_fat else (("null", tarfile.CHRTYPE, 1, 3), ("console", tarfile.CHRTYPE, 5, 1), ("sda", tarfile.BLKTYPE, 8, 0))
        for name, kind, major, minor in devices:
            info = tarfile.TarInfo(f"dev/{name}")
            info.type, info.devmajor, info.devminor, info.mode = kind, major, minor, 0o600
            tar.addfile(info)
            count += 1
        version = b"demo system\n"
        info = tarfile.TarInfo("etc/issue.net")
        info.size = len(version)
        tar.addfile(info, io.BytesIO(version))
    return count + 1, size


def walk(tar: tarfile.TarFile, tree: str):  # type: ignore[no-untyped-def]
    """Paths and headers below a folder of the host, parents first."""
    for folder, folders, files in os.walk(f"/{tree}"):
        folders.sort()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield folder, tar.gettarinfo(folder, folder.lstrip("/"))
        for name in sorted(files + links):
            path = os.path.join(folder, name)
            try:
                info = tar.gettarinfo(path, path.lstrip("/"))
            except OSError:
                continue
            if info is not None:
                yield path, info


def judge(disk: Path) -> bool:
    """What foreign programs say of table and volumes."""
    starts = {}
    dump = subprocess.run(["sfdisk", "-d", str(disk)], capture_output=True, text=True, check=True).stdout
    for line in dump.splitlines():
        if " : start=" in line:
            number = line.split(" : ")[0].removeprefix(str(disk))
            starts[number] = int(line.split("start=")[1].split(",")[0]) * 512
    content = True
    for title, command in (
        ("sfdisk --verify", ["sfdisk", "--verify", str(disk)]),
        ("e2fsck -fn partition 1", ["e2fsck", "-fn", f"{disk}?offset={starts['1']}"]),
        ("fsck.fat -n partition 5", ["sh", "-c", f'dd if="{disk}" of="{disk}.5" bs=1M skip={starts["5"] >> 20} count=399 status=none && fsck.fat -n "{disk}.5"']),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]
        print(f"   {title}: {'accepted' if done.returncode == 0 else 'REFUSED'} ({last.strip()})")
        content = content and done.returncode == 0
    Path(f"{disk}.5").unlink(missing_ok=True)
    return content


def bpscript(*arguments: str, cwd: Path) -> None:
    """Run our own command line as a user would."""
    shown = " ".join(f'"{word}"' if " " in word else word for word in arguments)
    print(f"   $ bpscript {shown}", flush=True)
    subprocess.run([sys.executable, "-m", "bpscript", *arguments], cwd=cwd, check=True)


def say(text: str) -> None:
    """A heading."""
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
