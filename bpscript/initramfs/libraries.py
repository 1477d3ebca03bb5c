"""Shared libraries of this host: where the dynamic loader finds them, and all that a program needs with them."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

from ..base.errors import NotFoundError
from .cpio import Tree
from .elf import dependencies, is_elf, stripped

_CACHE_LINE = re.compile(r"\t(\S+) \(([^)]*)\) => (\S+)")
_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
TARGET = "lib"          # where all libraries go; the loader there needs no ld.so.cache to find them


class Libraries:
    """Adds programs and the libraries they need to trees; a library goes to the tree that `shared` is, once, and not at all if it is `there`."""

    def __init__(self, shared: Tree, there: Tree | None = None) -> None:
        self._shared = shared
        self._there = there or Tree()

    def add_program(self, tree: Tree, target: str, path: Path) -> None:
        """A program or an extension module, stripped, with its libraries. Raises NotFoundError, FormatError."""
        data = path.read_bytes()
        tree.add_file(target, stripped(data, str(path)), executable=True)
        self._add_needed(data, path.resolve())

    def add_library(self, name: str) -> None:
        """A library by its name (`libext2fs.so.2`). Raises NotFoundError."""
        self._add(_find(name, (), Path("the boot environment")), name)

    def _add_needed(self, data: bytes, origin: Path) -> None:
        if not is_elf(data):
            return
        found = dependencies(data, str(origin))
        if found.interpreter and not self._has(found.interpreter.lstrip("/")):
            path = Path(found.interpreter)
            self._shared.add_file(found.interpreter.lstrip("/"), stripped(path.read_bytes()), executable=True)
        for name in found.needed:
            if not self._has(f"{TARGET}/{name}") and not name.startswith("ld-linux"):
                self._add(_find(name, found.run_path, origin), name)

    def _has(self, target: str) -> bool:
        return target in self._shared or target in self._there

    def _add(self, path: Path, name: str) -> None:
        data = path.read_bytes()
        self._shared.add_file(f"{TARGET}/{name}", stripped(data, str(path)), executable=True)
        self._add_needed(data, path.resolve())


def _find(name: str, run_path: tuple[str, ...], origin: Path) -> Path:
    for folder in run_path:
        path = Path(folder.replace("$ORIGIN", str(origin.parent)).replace("${ORIGIN}", str(origin.parent))) / name
        if path.is_file():
            return path
    cached = _loader_cache().get(name)
    places = [*([cached] if cached else []), *(f"{folder}/{name}" for folder in _FOLDERS)]
    for place in places:
        if Path(place).is_file():
            return Path(place)
    raise NotFoundError(f"the library {name}, which {origin} needs, is not on this host")


@cache
def _loader_cache() -> dict[str, str]:
    """What ldconfig knows, of this machine's own kind."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    try:
        done = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False, env={"PATH": path, "LC_ALL": "C"})
    except OSError:
        return {}
    kind = "x86-64" if os.uname().machine == "x86_64" else "AArch64"
    found: dict[str, str] = {}
    for match in _CACHE_LINE.finditer(done.stdout):
        if kind in match[2]:
            found.setdefault(match[1], match[3])
    return found
