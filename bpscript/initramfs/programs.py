"""Programs of the boot environment: of this host where it has them, else from their Debian packages."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from ..base.errors import NotFoundError
from .cpio import Tree
from .libraries import Libraries
from .packages import run_program

# What the engine calls. Who can run scripts has them: the engine calls them here, too.
_PROGRAMS = ("mke2fs", "e2fsck", "resize2fs")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
_FOLDER = "usr/sbin"        # searched first: busybox brings small sisters of some of them
_BUSYBOX = "usr/bin/busybox"


def add_programs(tree: Tree, libraries: Libraries, unpacked: Callable[[str], Path]) -> None:
    """All of them, and busybox for people and for the kernel (modprobe). `unpacked` gives the folder with the files of a package.

    Raises NotFoundError, StorageError.
    """
    for name in _PROGRAMS:
        found = shutil.which(name, path=_PATH)
        if found is None:
            raise NotFoundError(f"the program {name} is not on this host", hint="apt install e2fsprogs")
        libraries.add_program(tree, f"{_FOLDER}/{name}", Path(found))
    libraries.add_library("libext2fs.so.2")
    found = shutil.which("busybox", path=_PATH)
    busybox = unpacked("busybox-static") / "bin" / "busybox" if found is None else Path(found)
    if not busybox.is_file():
        raise NotFoundError("the package busybox-static has no bin/busybox", hint="apt install busybox")
    libraries.add_program(tree, _BUSYBOX, busybox)
    _add_applets(tree, busybox)


def _add_applets(tree: Tree, busybox: Path) -> None:
    """Links for what busybox can do, but for what others do better."""
    for path in run_program([str(busybox), "--list-full"]).split():
        name = path.rpartition("/")[2]
        if name not in _PROGRAMS and not name.startswith(("mkfs", "fsck")):
            tree.add_link(path if path.startswith("usr/") else f"usr/{path}", f"/{_BUSYBOX}")
