"""The Python interface, which the command line uses too: run a script, open a disk, open an archive.

It returns objects, raises the errors of `bpscript.base.errors` and prints nothing. Names here import their module when first used: who
looks into an archive runs no script.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checking import CheckOptions, check, check_with
    from .disks import DiskLike, NewDisk, PathLike, check_new_size, create_disk, open_device, open_disk, open_to_read
    from .images import capture, convert, open_archive, restore, squash
    from .options import Result, RunOptions
    from .running import execute, run
    from .scripts import find_script

_HOMES = {
    "checking": ("CheckOptions", "check", "check_with"),
    "disks": ("DiskLike", "NewDisk", "PathLike", "check_new_size", "create_disk", "open_device", "open_disk", "open_to_read"),
    "images": ("capture", "convert", "open_archive", "restore", "squash"),
    "options": ("Result", "RunOptions"),
    "running": ("execute", "run"),
    "scripts": ("find_script",),
}
__all__ = [
    "CheckOptions", "DiskLike", "NewDisk", "PathLike", "Result", "RunOptions", "capture", "check", "check_new_size", "check_with", "convert", "create_disk", "execute",
    "find_script", "open_archive", "open_device", "open_disk", "open_to_read", "restore", "run", "squash",
]  # fmt: skip


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has its own type; type checkers read the block above
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module  # noqa: PLC0415

            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
