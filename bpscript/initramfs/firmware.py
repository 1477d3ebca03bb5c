"""Firmware of vendors: the files that the chosen modules ask the kernel for, out of a folder as /lib/firmware is.

Which these are stands in the modules (`firmware=` in .modinfo). Source: Documentation/driver-api/firmware/fw_search_path.rst of Linux.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from ..base.errors import NotFoundError, UsageError
from .cpio import Tree
from .modules import Module, unpack

_FOLDER = "lib/firmware"
_IN_PACKAGES = ("usr/lib/firmware", _FOLDER)        # before and since the merge of / and /usr
_PACKINGS = ("", ".xz", ".zst", ".gz")


def firmware_folder(name: str, unpacked: Callable[[str], Path]) -> Path:
    """A folder, or that of a Debian package. Raises UsageError, NotFoundError, StorageError."""
    if Path(name).is_dir():
        return Path(name)
    if "/" in name or not name:
        raise UsageError(f"--firmware {name}: no such folder", hint="expected a folder as /lib/firmware, or a Debian package such as firmware-realtek")
    try:
        package = unpacked(name)
    except NotFoundError as error:
        raise NotFoundError(f"--firmware {name}: {error.message}", hint="most firmware is in non-free-firmware, which apt's sources must name") from error
    for place in _IN_PACKAGES:
        if (package / place).is_dir():
            return package / place
    raise UsageError(f"--firmware {name}: there is no firmware in this package")


def add_firmware(tree: Tree, folders: Iterable[Path], modules: Iterable[Module]) -> list[str]:
    """What the modules ask for, from the first folder that has it, unpacked; the names that no folder has. Raises UsageError, FormatError."""
    places = tuple(folders)
    missing = []
    for name in sorted({each for module in modules for each in module.firmware}):
        try:
            file = _find(places, name)
            if file is None:
                missing.append(name)
            else:
                tree.add_file(f"{_FOLDER}/{name}", unpack(file))
        except OSError as error:
            raise UsageError(f"--firmware {error.filename}: {error.strerror}") from error
    return missing


def _find(places: tuple[Path, ...], name: str) -> Path | None:
    return next((path for place in places for packing in _PACKINGS if (path := place / f"{name}{packing}").is_file()), None)
