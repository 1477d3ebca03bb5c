"""Programs of the boot environment: of this host where it has them, else from their Debian packages."""

from collections.abc import Callable
from pathlib import Path

from ..base.errors import NotFoundError
from .cpio import Tree
from .libraries import Libraries
from .origin import Origin, ThisHost
from .packages import run_program

# What the engine calls. Who can run scripts has them: the engine calls them here, too.
_PROGRAMS = ("mke2fs", "e2fsck", "resize2fs")
_FOLDER = "usr/sbin"        # searched first: busybox brings small sisters of some of them
_BUSYBOX = "usr/bin/busybox"


def add_programs(tree: Tree, libraries: Libraries, origin: Origin, unpacked: Callable[[str], Path]) -> None:
    """All of them, and busybox for people and for the kernel (modprobe). `unpacked` gives the folder with the files of a package.

    Raises NotFoundError, StorageError.
    """
    for name in _PROGRAMS:
        found = origin.program(name)
        if found is None:
            raise NotFoundError(f"the program {name} is not on this host", hint="apt install e2fsprogs")
        libraries.add_program(tree, f"{_FOLDER}/{name}", found)
    libraries.add_library("libext2fs.so.2")
    here = _busybox(ThisHost(), unpacked)
    libraries.add_program(tree, _BUSYBOX, here if origin.machine == ThisHost().machine else _busybox(origin, unpacked))
    _add_applets(tree, here)


def _busybox(origin: Origin, unpacked: Callable[[str], Path]) -> Path:
    found = origin.program("busybox") or unpacked("busybox-static") / "bin" / "busybox"
    if not found.is_file():
        raise NotFoundError("the package busybox-static has no bin/busybox", hint="apt install busybox")
    return found


def _add_applets(tree: Tree, busybox: Path) -> None:
    """Links for what busybox can do, but for what others do better. Debian's can do the same on all machines: that of this host is asked."""
    for path in run_program([str(busybox), "--list-full"]).split():
        name = path.rpartition("/")[2]
        if name not in _PROGRAMS and not name.startswith(("mkfs", "fsck")):
            tree.add_link(path if path.startswith("usr/") else f"usr/{path}", f"/{_BUSYBOX}")
