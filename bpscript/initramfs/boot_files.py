"""What stands beside kernel and initramfs: boot programs for BIOS and UEFI, and the script they run.

The names are those that `serve` looks for (network/dhcp/plan.py). Kernel and initramfs are named without folder: iPXE looks for them where the
script came from, by the same protocol.
"""

from collections.abc import Callable
from pathlib import Path

from ..base.errors import NotFoundError, UsageError

KERNEL, INITRAMFS, SCRIPT = "vmlinuz", "initrd.img", "boot.ipxe"
BIOS_PROGRAM, UEFI_PROGRAM, ARM_PROGRAM = "undionly.kpxe", "ipxe.efi", "ipxe-arm64.efi"
_PACKAGE_FOLDER = Path("usr/lib/ipxe")
_PACKAGE_FOLDER_ON_HOST = Path("/") / _PACKAGE_FOLDER
MEMDISK = "memdisk"                     # of Syslinux: iPXE starts it, and it is the floppy drive of a BIOS
_MEMDISK_FOLDER = Path("usr/lib/syslinux")
# Both consoles; what the kernel says of itself would cost a slow serial line seconds.
_ARGUMENTS = "console=tty0 console={line},115200 quiet panic=60"
_LINES = {"x86_64": "ttyS0", "aarch64": "ttyAMA0"}

# `:uristring` and not `:string`: a blank or a quote in a value must not end it (workstation/parameters.py reads it back).
# netX is the interface that iPXE has used. initrd= is for UEFI, where the kernel itself looks for it by name.
_SCRIPT = """#!ipxe
# Made by bpscript boot build. A machine boots from here by itself; nbp.* are parameters of the boot environment (docs/boot.md).
set base {arguments} {append}
{video}set seen BOOTIF=01-${{netX/mac:hexhyp}} nbp.ip=${{netX/ip}} nbp.netmask=${{netX/netmask}} nbp.router=${{netX/gateway}} nbp.server=${{next-server}} nbp.hostname=${{hostname:uristring}} nbp.script=${{155:uristring}}
kernel {kernel} initrd={initramfs} ${{base}} ${{video}} ${{seen}} || goto failed
initrd {initramfs} || goto failed
boot || goto failed
:failed
echo The boot environment could not be loaded; trying again in 30 seconds.
sleep 30
chain --replace --autofree {script} || reboot
"""


# A BIOS is asked for 1024 x 768 pixels of 16 bits (VESA 0x117), which the kernel then shows as a frame buffer; UEFI has one by itself.
_VIDEO = "iseq ${platform} efi || set video vga=0x317\n"


def add_boot_files(files: dict[str, bytes], ipxe: Path | None, unpacked: Callable[[str], Path], append: str, *, graphics: bool, machine: str) -> None:
    """The script; iPXE and memdisk from a folder or from Debian's packages. Raises UsageError, NotFoundError."""
    files[SCRIPT] = ipxe_script(append, graphics=graphics, machine=machine).encode()
    if ipxe is None and machine != "x86_64":
        return              # Debian's iPXE is for PCs
    for name in (BIOS_PROGRAM, UEFI_PROGRAM) if machine == "x86_64" else (ARM_PROGRAM,):
        folder = ipxe if ipxe is not None else _PACKAGE_FOLDER_ON_HOST if (_PACKAGE_FOLDER_ON_HOST / name).is_file() else unpacked("ipxe") / _PACKAGE_FOLDER
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError as error:
            if ipxe is not None:
                raise UsageError(f"{ipxe}: no {name} in it") from error
            raise NotFoundError(f"the package ipxe has no {name}", hint="give a folder with it: --ipxe DIR") from error
        except OSError as error:
            raise UsageError(f"{folder / name}: {error.strerror}", hint="--ipxe DIR takes another") from error
    if machine == "x86_64":
        _add_memdisk(files, ipxe, unpacked)


def _add_memdisk(files: dict[str, bytes], ipxe: Path | None, unpacked: Callable[[str], Path]) -> None:
    """A folder of somebody's own may do without; then so do scripts with floppy images."""
    if ipxe is not None:
        places = [ipxe, Path("/") / _MEMDISK_FOLDER]
    else:
        on_host = Path("/") / _MEMDISK_FOLDER
        places = [on_host if (on_host / MEMDISK).is_file() else unpacked("syslinux-common") / _MEMDISK_FOLDER]
    found = next((place / MEMDISK for place in places if (place / MEMDISK).is_file()), None)
    if found is not None:
        files[MEMDISK] = found.read_bytes()


def ipxe_script(append: str, *, graphics: bool, machine: str = "x86_64") -> str:
    """The script; `append` goes to the kernel's command line. Raises UsageError."""
    if "\n" in append or "${" in append:
        raise UsageError(f"--append {append!r}: one line without ${{ is expected")
    arguments = _ARGUMENTS.format(line=_LINES.get(machine, "ttyS0"))
    return _SCRIPT.format(arguments=arguments, append=append, video=_VIDEO if graphics and machine == "x86_64" else "", kernel=KERNEL, initramfs=INITRAMFS, script=SCRIPT)
