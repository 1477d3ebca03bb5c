"""Kernel modules: which of a kernel's go into the initramfs, and the tables by which they are found there.

Facts come from the section `.modinfo` of each module (texts `key=value`, NUL between them): `alias` (patterns of devices that it
drives), `depends`, `softdep`, `firmware` (files of vendors, see firmware.py) and `vermagic` (release of the kernel that it is made for, and switches). Packages of kernels have no modules.dep yet; depmod makes it on installation.
"""

import gzip
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..base.errors import FormatError, NotFoundError
from .cpio import Tree
from .elf import section

# Names of modules, or folders of them (with a slash at the end), below `kernel/`. One that a kernel does not have is passed over:
# it is built in, or that kernel knows no such device.
STORAGE = (
    "ahci", "ata_piix", "ata_generic", "sd_mod", "nvme", "virtio_blk", "virtio_scsi", "mmc_block", "sdhci-pci", "sdhci-acpi", "sdhci-iproc", "bcm2835",
    "usb-storage", "uas", "vmd", "vmw_pvscsi", "hv_storvsc", "xen-blkfront", "mptspi", "megaraid_sas", "mpt3sas",
)
NETWORK = (
    "virtio_net", "e1000", "e1000e", "igb", "igc", "ixgbe", "r8169", "realtek", "8139cp", "8139too", "e100", "tg3", "bnx2", "broadcom", "alx", "atl1c", "atl1e",
    "sky2", "forcedeth", "pcnet32", "atlantic", "bnxt_en", "vmxnet3", "hv_netvsc", "xen-netfront", "r8152", "ax88179_178a", "asix", "cdc_ether", "smsc95xx", "lan78xx", "genet", "bcmgenet", "microchip",
)
BUSES = (
    "virtio_pci", "virtio_mmio", "virtio_rng", "virtio_console", "xhci-pci", "xhci-hcd", "ehci-pci", "ohci-pci", "uhci-hcd",
    "usbhid", "hid-generic", "hv_vmbus", "hyperv-keyboard", "atkbd", "i8042", "edd", "efivarfs", "dwc2", "raspberrypi-hwmon", "reset-raspberrypi", "bcm2835-rng",
)
FILESYSTEMS = ("ext4", "crc32c_generic", "crc32c-intel", "vfat", "nls_ascii", "nls_cp437")
CHOICE = (*STORAGE, *NETWORK, *BUSES, *FILESYSTEMS)
_SUFFIX = re.compile(r"\.ko(\.xz|\.gz|\.zst)?\Z")
_FILE = "kernel"


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its path below the folder of its kernel (uncompressed, so without .xz), and its facts."""

    name: str
    path: str
    file: Path
    aliases: tuple[str, ...]
    depends: tuple[str, ...]
    softly: tuple[str, ...]
    firmware: tuple[str, ...] = ()

    def read(self) -> bytes:
        """The module itself."""
        return unpack(self.file)


class Modules:
    """All modules of one kernel; `folder` is its `lib/modules/VERSION`, or a copy of any name. Raises NotFoundError, FormatError."""

    def __init__(self, folder: Path) -> None:
        self._files = {plain_name(path): path for path in sorted((folder / _FILE).rglob("*")) if _SUFFIX.search(path.name) and path.is_file()}
        if not self._files:
            raise NotFoundError(f"{folder}: no kernel modules", hint="expected DIR/kernel/.../*.ko, as in /lib/modules/VERSION")
        self._folder = folder
        self._known: dict[str, Module] = {}
        self.version = self._release() or folder.absolute().name

    def _release(self) -> str | None:
        """Of the kernel, as a module says."""
        file = next(iter(self._files.values()))
        return next((value.partition(" ")[0] for key, value in _facts(unpack(file), file) if key == "vermagic"), None)

    def chosen(self, names: Iterable[str] = CHOICE) -> list[Module]:
        """Modules of these names that there are, with all that they need, in the order in which they can be loaded."""
        found: dict[str, Module] = {}
        for name in names:
            if plain(name) in self._files:
                self._collect(plain(name), found)
        return list(found.values())

    def _collect(self, name: str, found: dict[str, Module]) -> None:
        if name in found or name not in self._files:
            return
        module = self._module(name)
        for other in (*module.softly, *module.depends):
            self._collect(other, found)
        found[name] = module

    def _module(self, name: str) -> Module:
        if name not in self._known:
            file = self._files[name]
            facts = list(_facts(unpack(file), file))
            path = PurePosixPath(file.relative_to(self._folder)).as_posix()
            self._known[name] = Module(
                name, _SUFFIX.sub(".ko", path), file,
                tuple(value for key, value in facts if key == "alias"),
                tuple(plain(each) for key, value in facts if key == "depends" for each in value.split(",") if each),
                tuple(plain(each) for key, value in facts if key == "softdep" for each in _before(value)),
                tuple(value for key, value in facts if key == "firmware"),
            )
        return self._known[name]


def add_modules(tree: Tree, modules: list[Module], version: str) -> None:
    """The modules with the tables of depmod that modprobe and the boot environment read."""
    folder = f"lib/modules/{version}"
    by_name = {module.name: module for module in modules}
    needs: dict[str, list[str]] = {}        # the deepest first
    for module in modules:          # those it needs come before it
        direct = [each for each in (*module.softly, *module.depends) if each in by_name]
        needs[module.name] = list(dict.fromkeys(name for each in direct for name in (*needs[each], each)))
        tree.add_file(f"{folder}/{module.path}", module.read())
    # depmod writes what is loaded last first.
    lines = (f"{module.path}: {' '.join(by_name[each].path for each in reversed(needs[module.name]))}".rstrip() for module in modules)
    tree.add_file(f"{folder}/modules.dep", "".join(f"{line}\n" for line in lines).encode())
    aliases = (f"alias {alias} {module.name}\n" for module in modules for alias in module.aliases)
    tree.add_file(f"{folder}/modules.alias", "".join(aliases).encode())


def plain(name: str) -> str:
    """A module's name as the kernel has it: `-` and `_` are the same."""
    return name.replace("-", "_")


def plain_name(path: Path) -> str:
    """The same, of a file."""
    return plain(_SUFFIX.sub("", path.name))


def _before(softdep: str) -> Iterator[str]:
    """What shall be loaded first: `pre: a b post: c`."""
    group = ""
    for word in softdep.split():
        if word.endswith(":"):
            group = word
        elif group == "pre:":
            yield word


def _facts(data: bytes, file: Path) -> Iterator[tuple[str, str]]:
    for text in section(data, ".modinfo", str(file)).split(b"\0"):
        key, sign, value = text.decode("utf-8", "replace").partition("=")
        if sign:
            yield key, value


def unpack(file: Path) -> bytes:
    """A module, or firmware, as it was before somebody packed it. Raises FormatError."""
    data = file.read_bytes()
    try:
        if file.suffix == ".xz":
            return lzma.decompress(data)
        if file.suffix == ".gz":
            return gzip.decompress(data)
    except (lzma.LZMAError, OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{file}: {error}") from error
    return _of_zstd(data, file) if file.suffix == ".zst" else data


def _of_zstd(data: bytes, file: Path) -> bytes:
    import zstandard  # noqa: PLC0415 - few kernels have such modules

    unpacker = zstandard.ZstdDecompressor().decompressobj()
    try:
        unpacked: bytes = unpacker.decompress(data)
    except zstandard.ZstdError as error:
        raise FormatError(f"{file}: {error}") from error
    if not unpacker.eof:
        raise FormatError(f"{file}: cut short")
    return unpacked
