"""Booting for real, from Linux: what each command does, by firmware.

                                  BIOS                                  UEFI
    HdBoot, HdBoot 0              restart; the firmware boots the disk  the same
    HdBoot D                      restart; iPXE boots BIOS drive D      refused
    HdBoot D:P, a Linux on P      kexec of it (systems/find.py)         the same
    HdBoot D:P, anything else     as HdBoot D if P has the boot flag    refused, but for the EFI system partition
    LinuxBoot                     kexec                                 kexec
    LoadRamDisk, FloppyBoot       restart; iPXE starts memdisk.         refused
                                  Not our server: kexec of memdisk
    FloppyBoot alone              restart; iPXE boots BIOS drive 0x00   refused
    TFTPBoot                      restart; iPXE loads the file          the same
    PowerOff                      off                                   off

Where it says iPXE, the machine must boot from the network first, from our server: the `boot` event, which the server hears before
the machine restarts, tells it what this machine gets the next time (server/next_boot.py). kexec leaves the firmware's start out, so
a system that needs it finds controllers as Linux has left them: memdisk's floppy and what the BIOS itself does are there (real_mode.py),
DOS, Windows and boot sectors of disks are not tried.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain

from ...archive.filezip import unpack_file
from ...base.errors import NetworkError, NotFoundError, StorageError
from ...filesystems.filesystem import Filesystem
from ...filesystems.places import ForeignPlace
from ...network.foreign import parse_foreign
from ...partitions.types import EFI_SYSTEM
from ..boot import Facts
from ..disk import Disk
from ..files import STEP, Files
from .kernels import HEAD, check_kernel
from .system_calls import Calls, Restart
from .systems.find import find_system

MEMDISK = "memdisk"         # of the Syslinux project, in the served folder
_EFI_BYTE = 0xEF            # the type of an EFI system partition in an MBR
_ALIGNED = 4                # bytes; archives of an initramfs follow each other at such places


class WorkstationBoot:
    """The machine that we run on. `firmware` is BIOS or UEFI ("" for boards with neither); `server_knows`: our server hears the events
    and gives this machine what it boots; `folder` is where the root of the run lies on it."""

    def __init__(self, calls: Calls, *, firmware: str, can_power_off: bool = True, server_knows: bool = False, folder: str = "") -> None:
        self._calls = calls
        self._firmware = firmware
        self._can_power_off = can_power_off
        self._server_knows = server_knows
        self._folder = folder.strip("/")
        self._floppy: Facts = {}                # of the image that LoadRamDisk or LoadZRamDisk named, for iPXE
        self._held: tuple[bytes, bytes] | None = None       # memdisk and the image, for kexec
        self._next: Restart | None = None

    @property
    def can_power_off(self) -> bool:
        """`$APM`."""
        return self._can_power_off

    @property
    def is_prepared(self) -> bool:
        """Whether `leave` would go."""
        return self._next is not None

    def hard_disk(self, disk: Disk, partition: int) -> Facts:
        """See the table above."""
        facts: Facts = {"boots": "disk", "disk": disk.number, "partition": partition}
        if partition:
            disk.flush()
            volume = disk.volume(partition) if disk.has_volume(partition) else None
            system = None if volume is None else find_system(volume)
            if volume is not None and system is not None:
                ramdisk = _joined(_contents(volume, each) for each in system.ramdisks) if system.ramdisks else None
                self._load(system.kernel, _contents(volume, system.kernel), ramdisk, system.command_line)
                return {**facts, "title": system.title, "origin": system.origin}
            self._need_boot_flag(disk, partition)
        self._need_bootable(disk)
        if disk.number:
            self._need_bios(f"HdBoot {disk.number}", "UEFI boots its disks in its own order")
            self._need_server(f"HdBoot {disk.number}")
        self._next = Restart.FIRMWARE
        return facts

    def linux(self, files: Files, kernel: str, command_line: str, ramdisk: str) -> Facts:
        """kexec."""
        with closing(files.open(kernel)):
            pass                # what is missing is named before anything is read
        if ramdisk:
            with closing(files.open(ramdisk)):
                pass
        self._load(kernel, files.chunks(kernel), files.chunks(ramdisk) if ramdisk else None, command_line)
        return {}

    def insert_floppy(self, files: Files, image: str, *, packed: bool) -> None:
        """One in the folder of our server iPXE fetches again after the restart (and of a packed one what the server makes of it); others are kept here."""
        self._need_bios("a floppy image", "UEFI has no floppy drive that memdisk could be")
        if not files.exists(MEMDISK):
            raise NotFoundError(f'"{image}" cannot be the floppy drive: there is no "{MEMDISK}" on the server', hint="boot build puts it there; it is of Syslinux (Debian: /usr/lib/syslinux/memdisk of syslinux-common)")
        if self._server_knows and _is_on_server(files, image):
            self._floppy, self._held = {"file": self._on_server(image), **({"packed": True} if packed else {})}, None
            return
        memdisk = b"".join(files.chunks(MEMDISK))
        if packed:
            with closing(files.open(image)) as reader:
                self._held = memdisk, b"".join(unpack_file(reader, f'"{image}"'))
        else:
            self._held = memdisk, b"".join(files.chunks(image))

    def floppy(self) -> Facts:
        """The image of LoadRamDisk, or the drive."""
        self._need_bios("FloppyBoot", "UEFI boots no floppy disks")
        if self._held is not None:
            self._calls.load_floppy(*self._held)
            self._next = Restart.KEXEC
            return {}
        self._need_server("FloppyBoot")
        self._next = Restart.FIRMWARE
        return {"boots": "floppy", "file": "", **self._floppy}

    def boot_file(self, files: Files, name: str) -> Facts:
        """iPXE loads it after a restart."""
        with closing(files.open(name)):
            pass
        self._need_server("TFTPBoot")
        self._need_on_server(files, name)
        self._next = Restart.FIRMWARE
        return {"boots": "file", "file": self._on_server(name)}

    def power_off(self) -> Facts:
        """Off."""
        self._next = Restart.POWER_OFF
        return {}

    def leave(self) -> None:
        """Go. Returns when nothing was prepared."""
        if self._next is not None:
            self._calls.restart(self._next)

    def _load(self, name: str, kernel: Iterable[bytes], ramdisk: Iterable[bytes] | None, command_line: str) -> None:
        chunks = iter(kernel)
        head = next(chunks, b"")
        while len(head) < HEAD and (more := next(chunks, b"")):
            head += more
        longest = check_kernel(name, head, self._calls.processor)
        if len(command_line.encode()) > longest:
            raise StorageError(f'the command line has {len(command_line.encode())} bytes, and "{name}" takes {longest}')
        self._calls.load_kernel(name, chain((head,), chunks), ramdisk, command_line)
        self._next = Restart.KEXEC

    def _need_bios(self, what: str, reason: str) -> None:
        if self._firmware != "BIOS":
            where, why = (self._firmware, reason) if self._firmware else ("this board", "it has no BIOS")
            raise StorageError(f"{what} cannot be booted on {where}: {why}")

    def _need_server(self, what: str) -> None:
        if not self._server_knows:
            raise StorageError(f"{what} cannot be booted: this machine was not started by a server of ours, which would give it to it after the restart")

    def _need_on_server(self, files: Files, name: str) -> None:
        if not _is_on_server(files, name):
            raise StorageError(f'"{name}" cannot be booted: it must be a file of the server that this machine started from')

    def _on_server(self, name: str) -> str:
        """The path of a file of the root, below the folder that is served."""
        return "/".join(filter(None, (self._folder, parse_foreign(name).path)))

    def _need_boot_flag(self, disk: Disk, partition: int) -> None:
        """Refuse a partition that the firmware would not come to. Raises StorageError."""
        entry = disk.entry(partition)
        if self._firmware == "UEFI":
            if entry.type in {EFI_SYSTEM, _EFI_BYTE}:
                return
        elif entry.boot and not entry.is_logical:
            return
        hint = f"SetBootPart {partition} sets its boot flag; HdBoot then boots it" if self._firmware == "BIOS" and not entry.is_logical else None
        raise StorageError(f"partition {partition} of disk {disk.number} cannot be booted: no Linux is found on it, and the firmware would not start it", hint=hint)

    def _need_bootable(self, disk: Disk) -> None:
        """Refuse a disk that no firmware would boot: the machine would stand still. Raises StorageError."""
        disk.flush()
        if self._firmware == "UEFI":
            if not any(_has_efi_programs(disk, entry.number) for entry in disk.table().partitions):
                raise StorageError(f"disk {disk.number} cannot be booted: UEFI needs a FAT partition with a directory EFI, and there is none")
        elif disk.device.size < 512 or disk.device.read(510, 2) != b"\x55\xaa":
            raise StorageError(f"disk {disk.number} cannot be booted: its first sector has no signature 55 AA", hint="Clean 0 writes boot code")


def hears_what_boots(server: str | None) -> bool:
    """Whether the web server at an address is one of ours that takes reports and gives a machine what it boots next."""
    if server is None:
        return False
    from ...network.http.source import HttpSource  # noqa: PLC0415 - once in the life of a machine

    source = HttpSource(server)
    try:
        return all(source.stat(path) is not None for path in ("api/status", "api/next/000000000000.ipxe"))
    except NetworkError:
        return False
    finally:
        source.close()


def _is_on_server(files: Files, name: str) -> bool:
    """Whether it is a file of the server that this machine started from."""
    place = files.place(name)
    return isinstance(place, ForeignPlace) and not parse_foreign(place.name).server_part


def _has_efi_programs(disk: Disk, partition: int) -> bool:
    return (disk.kind_of(partition) or "").startswith("FAT") and disk.volume(partition).exists("EFI")


def _contents(volume: Filesystem, path: str) -> Iterator[bytes]:
    with closing(volume.open(path)) as reader:
        yield from iter(lambda: reader.read(STEP), b"")


def _joined(files: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Ramdisks one after the other, as boot loaders put them."""
    for chunks in files:
        length = 0
        for chunk in chunks:
            length += len(chunk)
            yield chunk
        yield bytes(-length % _ALIGNED)
