"""Where interpreter, packages, programs and libraries of the boot environment come from: this host, for machines of its own kind.

Machines of another kind get theirs from Debian's packages and Python's wheels: foreign.py.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from ..base.errors import NotFoundError

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"
_CACHE_LINE = re.compile(r"\t(\S+) \(([^)]*)\) => (\S+)")
_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")


class Origin(Protocol):
    """What is asked of it; nothing of it is run."""

    machine: str                # as `uname -m`
    interpreter: Path
    standard_library: Path

    @property
    def certificates(self) -> str:
        """Where that OpenSSL looks for them, as a path in the boot environment."""
        ...

    @property
    def has_built_in_ssl(self) -> bool:
        """Whether Python's ssl is in the interpreter, and no extension."""
        ...

    def package(self, name: str) -> Path | None:
        """The folder of a Python package, or the file of a module."""
        ...

    def program(self, name: str) -> Path | None:
        """A program."""
        ...

    def library(self, name: str) -> Path | None:
        """A shared library, where the dynamic loader looks."""
        ...

    def file(self, path: str) -> Path:
        """Where the file lies here that has that path there (the loader that a program names)."""
        ...


class ThisHost:
    """The Python that runs this, and the host's programs and libraries."""

    def __init__(self) -> None:
        self.machine = os.uname().machine
        self.interpreter = Path(sys.executable).resolve()
        self.standard_library = Path(sysconfig.get_path("stdlib"))

    @property
    def certificates(self) -> str:
        """Of this Python's OpenSSL."""
        import ssl  # noqa: PLC0415 - there are Pythons without it, which build what needs none

        return ssl.get_default_verify_paths().openssl_cafile

    @property
    def has_built_in_ssl(self) -> bool:
        """As it says."""
        return "_ssl" in sys.builtin_module_names

    def package(self, name: str) -> Path | None:
        """As it would be imported."""
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            return None
        return Path(spec.origin) if spec.submodule_search_locations is None else Path(spec.origin).parent

    def program(self, name: str) -> Path | None:
        """As it would be called, or where only root looks."""
        found = shutil.which(name, path=PATH)
        return None if found is None else Path(found)

    def library(self, name: str) -> Path | None:
        """As the dynamic loader would find it."""
        cached = _loader_cache().get(name)
        places = [*([cached] if cached else []), *(f"{folder}/{name}" for folder in _FOLDERS)]
        return next((Path(place) for place in places if Path(place).is_file()), None)

    def file(self, path: str) -> Path:
        """There."""
        return Path(path)


def installed(origin: Origin, name: str) -> Path:
    """A Python package that must be there. Raises NotFoundError."""
    found = origin.package(name)
    if found is None:
        raise NotFoundError(f"the Python package {name} is not installed", hint="pip install bpscript brings it")
    return found


@cache
def _loader_cache() -> dict[str, str]:
    """What ldconfig knows, of this machine's own kind."""
    try:
        done = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False, env={"PATH": PATH, "LC_ALL": "C"})
    except OSError:
        return {}
    kind = "x86-64" if os.uname().machine == "x86_64" else "AArch64"
    found: dict[str, str] = {}
    for match in _CACHE_LINE.finditer(done.stdout):
        if kind in match[2]:
            found.setdefault(match[1], match[3])
    return found
