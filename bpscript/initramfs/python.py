"""The Python that runs this, for the boot environment: the same interpreter with the same extension modules, without what it needs not.

Debian's own Python would have to be of the version that the extension modules were made for, and a builder in a virtual environment
mostly is another. Taken are: the interpreter, the standard library without the list below, the packages we import, ourselves.
Everything is compiled; sources stay at home. For machines of another kind it is Debian's, after all (foreign.py).
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath

from .bytecode import Order, compile_all
from .cpio import Tree
from .libraries import Libraries
from .origin import Origin, installed

INTERPRETER = "usr/bin/python3"
OWN_FOLDER = "usr/lib/bpscript"         # of our packages and those we need; the only addition to sys.path
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
EXTENSIONS = f"usr/lib/{_VERSION}/lib-dynload"

# Of the standard library: what is for development, graphics and foreign protocols.
_LEFT_OUT = frozenset({
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "lib2to3", "distutils", "ensurepip", "venv",
    "pydoc_data", "pydoc.py", "pydoc_topics.py", "unittest", "sqlite3", "curses", "dbm", "xmlrpc", "wsgiref", "asyncio", "msilib", "doctest.py",
    "mailbox.py", "ftplib.py", "imaplib.py", "nntplib.py", "poplib.py", "smtplib.py", "smtpd.py", "telnetlib.py", "cgi.py", "cgitb.py", "webbrowser.py",
    "pickletools.py", "trace.py", "profile.py", "cProfile.py", "pstats.py", "tabnanny.py", "pyclbr.py", "zipapp.py", "antigravity.py", "this.py", "_pyio.py",
    "asyncore.py", "asynchat.py", "aifc.py", "sunau.py", "wave.py", "chunk.py", "sndhdr.py", "imghdr.py", "crypt.py", "nturl2path.py", "ntpath.pyc", "xdrlib.py", "pipes.py",
    "_aix_support.py", "_osx_support.py", "_bootsubprocess.py", "_sitebuiltins.pyc", "compileall.py", "py_compile.py", "lib-dynload", "html", "sitecustomize.py",
})
_EXTENSIONS_LEFT_OUT = (
    "_test", "_ctypes_test", "xx", "_xx", "_tkinter", "_sqlite3", "_curses", "readline", "_ssl", "_hashlib", "_dbm", "_gdbm", "nis", "ossaudiodev", "_codecs_",
    "audioop", "_elementtree", "_crypt", "spwd", "_uuid", "_asyncio", "_lsprof", "_zoneinfo",
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package we import, and what of it stays at home: names of files and folders in it."""

    name: str
    left_out: tuple[str, ...] = ()


PACKAGES = (
    Package("blake3"),
    Package("cffi", ("recompiler.py", "vengine_cpy.py", "vengine_gen.py", "verifier.py", "setuptools_ext.py", "ffiplatform.py", "_cffi_gen_src.py", "gen_src.py", "pkgconfig.py", "backend_ctypes.py")),
    Package("_cffi_backend"),
    Package("construct", ("expr.py.txt",)),
    Package("Crypto", ("SelfTest", "IO")),
    Package("lark", ("__pyinstaller", "tools")),
    Package("passlib", ("tests", "_data", "ext", "apache.py", "hosts.py", "win32.py")),
    Package("pycparser"),
    Package("pyfatfs", ("tests",)),
    Package("zstandard", ("backend_cffi.py", "_cffi.")),
)
# Of ourselves: what runs on servers and on the host that builds. Nobody imports them there.
_OWN_LEFT_OUT = ("server", "initramfs", "testing.py", "cases", "lsp")
_DATA = {".lark"}          # of other people's packages
# Of ours what stands beside modules for people.
_NO_DATA = {".md", ".txt", ".asm", ".html", ".typed", ".pyc"}


class PythonFiles:
    """Adds Python to trees; everything is compiled at once, by `finish`."""

    def __init__(self, libraries: Libraries, origin: Origin) -> None:
        self._origin = origin
        self._libraries = libraries
        self._orders: list[tuple[Tree, str, Order]] = []

    def add_interpreter(self, tree: Tree) -> None:
        """The program and its standard library."""
        self._libraries.add_program(tree, INTERPRETER, self._origin.interpreter)
        folder = self._origin.standard_library
        self._add_folder(tree, folder, f"usr/lib/{_VERSION}", lambda name: name in _LEFT_OUT, bare=True)
        for path in sorted((folder / "lib-dynload").glob("*.so")):
            if not path.name.startswith(_EXTENSIONS_LEFT_OUT):
                self._libraries.add_program(tree, f"{EXTENSIONS}/{path.name}", path)

    def add_package(self, tree: Tree, package: Package) -> None:
        """A package, or a single module. Raises NotFoundError."""
        found = installed(self._origin, package.name)
        if not found.is_dir():
            self._add_one(tree, found, f"{OWN_FOLDER}/{found.name}", bare=True)
            return
        left_out = ("__pycache__", *package.left_out)
        self._add_folder(tree, found, f"{OWN_FOLDER}/{package.name}", lambda name: name.startswith(left_out), bare=True)

    def add_ourselves(self, tree: Tree) -> None:
        """The package `bpscript` with its data packages."""
        own = Path(__file__).parent.parent
        self._add_folder(tree, own, f"{OWN_FOLDER}/bpscript", lambda name: name == "__pycache__" or name in _OWN_LEFT_OUT, bare=False)
        for name in ("grammar", "images"):
            with as_file(files(f"bpscript.{name}")) as folder:
                self._add_folder(tree, folder, f"{OWN_FOLDER}/bpscript/{name}", lambda each: each in {"__pycache__", "cases", "golden", "gallery", "recipes"}, bare=False)

    def finish(self) -> None:
        """Compile. Raises FormatError."""
        for (tree, target, _), data in zip(self._orders, compile_all([order for _, _, order in self._orders]), strict=True):
            tree.add_file(target, data)
        self._orders.clear()

    def _add_folder(self, tree: Tree, folder: Path, target: str, is_left_out: Callable[[str], bool], *, bare: bool) -> None:
        for path in _walk(folder, is_left_out):
            self._add_one(tree, path, f"{target}/{PurePosixPath(path.relative_to(folder))}", bare=bare)

    def _add_one(self, tree: Tree, path: Path, target: str, *, bare: bool) -> None:
        if path.suffix == ".py":
            self._orders.append((tree, f"{target}c", Order(str(path), f"/{target}", bare)))
        elif ".so" in path.suffixes:
            self._libraries.add_program(tree, target, path)
        elif path.suffix in _DATA if bare else path.suffix not in _NO_DATA:
            tree.add_file(target, path.read_bytes())


def _walk(folder: Path, is_left_out: Callable[[str], bool]) -> Iterator[Path]:
    """Files below a folder, sorted."""
    for name in sorted(os.listdir(folder)):
        path = folder / name
        if is_left_out(name):
            continue
        if path.is_dir():
            yield from _walk(path, is_left_out)
        elif path.is_file():
            yield path
