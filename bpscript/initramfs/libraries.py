"""Shared libraries: all that a program needs comes with it."""

from pathlib import Path

from ..base.errors import NotFoundError
from .cpio import Tree
from .elf import dependencies, is_elf, stripped
from .origin import Origin, ThisHost

TARGET = "lib"          # where all libraries go; the loader there needs no ld.so.cache to find them


class Libraries:
    """Adds programs and the libraries they need to trees; a library goes to the tree that `shared` is, once, and not at all if it is `there`."""

    def __init__(self, shared: Tree, there: Tree | None = None, origin: Origin | None = None) -> None:
        self._shared = shared
        self._there = there or Tree()
        self._origin: Origin = origin or ThisHost()

    def add_program(self, tree: Tree, target: str, path: Path) -> None:
        """A program or an extension module, stripped, with its libraries. Raises NotFoundError, FormatError."""
        data = path.read_bytes()
        tree.add_file(target, stripped(data, str(path)), executable=True)
        self._add_needed(data, path.resolve())

    def add_library(self, name: str) -> None:
        """A library by its name (`libext2fs.so.2`). Raises NotFoundError."""
        self._add(self._find(name, (), Path("the boot environment")), name)

    def _add_needed(self, data: bytes, origin: Path) -> None:
        if not is_elf(data):
            return
        found = dependencies(data, str(origin))
        if found.interpreter and not self._has(found.interpreter.lstrip("/")):
            path = self._origin.file(found.interpreter)
            self._shared.add_file(found.interpreter.lstrip("/"), stripped(path.read_bytes()), executable=True)
        for name in found.needed:
            if not self._has(f"{TARGET}/{name}") and not name.startswith("ld-linux"):
                self._add(self._find(name, found.run_path, origin), name)

    def _has(self, target: str) -> bool:
        return target in self._shared or target in self._there

    def _add(self, path: Path, name: str) -> None:
        data = path.read_bytes()
        self._shared.add_file(f"{TARGET}/{name}", stripped(data, str(path)), executable=True)
        self._add_needed(data, path.resolve())

    def _find(self, name: str, run_path: tuple[str, ...], user: Path) -> Path:
        for folder in run_path:
            path = Path(folder.replace("$ORIGIN", str(user.parent)).replace("${ORIGIN}", str(user.parent))) / name
            if path.is_file():
                return path
        found = self._origin.library(name)
        if found is None:
            raise NotFoundError(f"the library {name}, which {user} needs, is not there for {self._origin.machine}")
        return found
