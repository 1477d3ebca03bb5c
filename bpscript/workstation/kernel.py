"""System calls that Python does not have: file systems and modules. Sources: mount(2), init_module(2)."""

import ctypes
import os
from functools import cache
from pathlib import Path

from ..base.errors import StorageError

_FINIT_MODULE = {"x86_64": 313, "aarch64": 273}
_EEXIST = 17


@cache
def _c() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def mount(kind: str, target: str, options: str = "") -> None:
    """A file system that is not on a disk. Raises StorageError."""
    Path(target).mkdir(parents=True, exist_ok=True)
    if _c().mount(kind.encode(), target.encode(), kind.encode(), 0, options.encode()) != 0:
        raise StorageError(f"{kind} cannot be mounted on {target}: {os.strerror(ctypes.get_errno())}")


def load_module(path: Path, options: str = "") -> None:
    """A kernel module whose needs are loaded; one that is there already is fine. Raises StorageError."""
    number = _FINIT_MODULE[os.uname().machine]
    with path.open("rb") as file:
        if _c().syscall(number, file.fileno(), options.encode(), 0) != 0 and ctypes.get_errno() != _EEXIST:
            raise StorageError(f"the kernel module {path.name} cannot be loaded: {os.strerror(ctypes.get_errno())}")
