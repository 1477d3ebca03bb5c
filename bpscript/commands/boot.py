"""Booting (language.md 8.8). A command that boots ends the script."""

from contextlib import closing

from ..base.errors import StorageError
from ..interpreter.results import Ended
from ..interpreter.run import Run
from ..language.declare import command
from .arguments import FileName, PlaceNumber

_GROUP = "boot"
_STEP = 1 << 20     # bytes read at a time
# Bytes of the usual floppy disks: 160, 180, 320, 360, 720, 1200, 1440, 1680, 1722 and 2880 KB.
_FLOPPY_SIZES = frozenset(kilobytes << 10 for kilobytes in (160, 180, 320, 360, 720, 1200, 1440, 1680, 1722, 2880))


@command("HideBootProm", group=_GROUP)
def hide_boot_prom(run: Run) -> None:
    """Give back the memory of the boot ROM; the network is gone then.

    Examples:
        > HideBootProm
    """
    run.machine.files.network_gone = True


@command("LoadRamDisk", group=_GROUP, untested="needs a floppy image")
def load_ram_disk(run: Run, file: FileName) -> None:
    """Make a floppy image the floppy drive, for FloppyBoot.

    Args:
        file: the image

    Examples:
        > LoadRamDisk "floppy.img"
    """
    with run.machine.files.caching() as files, closing(files.open(file)) as reader:
        facts = files.at(file).stat()
        if facts is not None and facts.size is not None:
            _check_floppy(file, facts.size)
        size = sum(len(chunk) for chunk in iter(lambda: reader.read(_STEP), b""))
    _check_floppy(file, size)
    run.machine.boot.insert_floppy(run.machine.files, file, packed=False)
    run.machine.files.network_gone = True


@command("LoadZRamDisk", group=_GROUP, untested="needs a packed floppy image")
def load_packed_ram_disk(run: Run, file: FileName) -> None:
    """Make a floppy image that FileZip packed the floppy drive, for FloppyBoot.

    Args:
        file: the packed image

    Examples:
        > LoadZRamDisk "floppy.z"
    """
    from ..archive.filezip import unpack_file  # noqa: PLC0415 - not needed for booting otherwise

    with run.machine.files.caching() as files, closing(files.open(file)) as reader:
        size = sum(len(chunk) for chunk in unpack_file(reader, f'"{file}"'))
    _check_floppy(file, size)
    run.machine.boot.insert_floppy(run.machine.files, file, packed=True)
    run.machine.files.network_gone = True


@command("TFTPBoot", group=_GROUP, ends_script=True, untested="ends the script")
def tftp_boot(run: Run, file: FileName) -> Ended:
    """Chain to another boot file.

    Args:
        file: the boot file

    Examples:
        > TFTPBoot "dos.pxe"
    """
    return Ended(f'tftpboot "{file}"', run.machine.boot.boot_file(run.machine.files, file))


@command("FloppyBoot", group=_GROUP, ends_script=True, untested="ends the script")
def floppy_boot(run: Run) -> Ended:
    """Boot the floppy.

    Examples:
        > FloppyBoot
    """
    facts = run.machine.boot.floppy()
    run.machine.files.network_gone = True
    return Ended("floppyboot", facts)


@command("HdBoot", group=_GROUP, ends_script=True, untested="ends the script", usage="[disk][:partition]")
def hd_boot(run: Run, disk: PlaceNumber = 0, partition: PlaceNumber = 0) -> Ended:
    """Boot a disk or a partition.

    Args:
        disk: number of the disk
        partition: number of the partition; 0 is the master boot record

    Examples:
        > HdBoot
        > HdBoot :1
        > HdBoot 1:2
    """
    target = run.machine.disks[disk]
    if partition != 0:
        target.entry(partition)
    facts = run.machine.boot.hard_disk(target, partition)
    if "title" in facts:
        run.note(f'"{facts["title"]}" starts, as {facts["origin"]} says')
    return Ended(f"hdboot {disk}:{partition}", facts)


@command("LinuxBoot", group=_GROUP, ends_script=True, untested="ends the script")
def linux_boot(run: Run, kernel: FileName, command_line: str = "", ramdisk: FileName = "") -> Ended:
    """Start a Linux kernel.

    Args:
        kernel: the kernel
        command_line: what the kernel is told
        ramdisk: its first file system

    Examples:
        > LinuxBoot "linux.krn" "root=/dev/hda1"
    """
    if not kernel:
        raise StorageError("the name of the kernel is empty")
    with run.machine.files.caching() as files:
        facts = run.machine.boot.linux(files, kernel, command_line, ramdisk)
    return Ended(f'linuxboot "{kernel}" "{command_line}" "{ramdisk}"', facts)


def _check_floppy(file: str, size: int) -> None:
    if size not in _FLOPPY_SIZES:
        raise StorageError(f'"{file}" has {size} bytes, which is no size of a floppy disk', hint="360, 720, 1200, 1440 or 2880 KB")

