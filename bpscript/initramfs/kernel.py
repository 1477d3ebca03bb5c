"""The kernel of the boot environment and its modules: of Debian's package, or files of somebody's own."""

from pathlib import Path

from ..base.errors import NotFoundError, UsageError
from ..machine.workstation.kernels import check_kernel, release
from .modules import Modules
from .packages import Packages


def debians_kernel(packages: Packages, folder: Path) -> tuple[bytes, Modules]:
    """The kernel, and all of its modules; `folder` is where its package is unpacked. Raises NotFoundError, StorageError."""
    packages.unpack(packages.kernel(packages.architecture()), folder)
    kernels = sorted((folder / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise NotFoundError("the package of the kernel has no boot/vmlinuz-*", hint="give a kernel: --kernel FILE --modules DIR")
    version = kernels[0].name.removeprefix("vmlinuz-")
    for root in ("usr/lib/modules", "lib/modules"):
        if (folder / root / version).is_dir():
            return kernels[0].read_bytes(), Modules(folder / root / version)
    raise NotFoundError(f"the package of the kernel has no modules of {version}", hint="give them: --kernel FILE --modules DIR")


def given_kernel(kernel: Path, modules: Path, machine: str) -> tuple[bytes, Modules]:
    """Files of somebody's own; that they fit each other is seen here, and not by a room of machines without drivers. Raises UsageError, NotFoundError, FormatError."""
    if not kernel.is_file():
        raise UsageError(f"--kernel {kernel}: no such kernel")
    if not modules.is_dir():
        raise UsageError(f"--modules {modules}: no such folder of modules")
    try:
        data = kernel.read_bytes()
    except OSError as error:
        raise UsageError(f"--kernel {kernel}: {error.strerror}", hint="some systems let only root read kernels: take a copy, or that of a package") from error
    check_kernel(str(kernel), data, machine)
    try:
        found = Modules(modules)
    except OSError as error:
        raise UsageError(f"--modules {error.filename}: {error.strerror}") from error
    if (wanted := release(data, machine)) not in {None, found.version}:
        raise UsageError(f"--modules {modules}: made for kernel {found.version}, but --kernel {kernel} is {wanted}", hint="a kernel loads its own modules only")
    return data, found
