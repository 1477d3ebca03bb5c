"""Machines of another kind than this host: a small root out of Debian's packages, and wheels of the Python packages that are not pure.

Nothing of it is installed or run. Bytecode is the same on all machines, but for the version of Python: the one that runs this compiles
the standard library of the other, so the two must be of one version.
"""

import sys
import zipfile
from functools import cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from ..base.errors import NotFoundError, StorageError
from ..base.events import Event, Kind, Sink, ignore
from .origin import ThisHost
from .packages import Packages, run_program

_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = (f"python{_VERSION}", "e2fsprogs", "busybox-static")
# What pip calls the wheels of a machine, the oldest C library first; a wheel of any of them will do.
_PLATFORMS = ("manylinux2014_{machine}", "manylinux_2_17_{machine}", "manylinux_2_28_{machine}", "manylinux_2_34_{machine}")
_WITH_EXTENSIONS = ("blake3", "_cffi_backend", "Crypto", "zstandard")       # of PACKAGES in python.py
_PROGRAM_FOLDERS = ("usr/sbin", "sbin", "usr/bin", "bin")


class ForeignRoot:
    """Implements Origin. `machine` is as `uname -m`; `folder` is where all is unpacked, `kept` where wheels are kept for the next time."""

    def __init__(self, machine: str, packages: Packages, folder: Path, kept: Path, events: Sink = ignore) -> None:
        self.machine = machine
        self._folder = folder
        self._kept = kept
        self._events = events
        self._here = ThisHost()
        try:
            files = packages.fetch_all(PACKAGES)
        except NotFoundError as error:
            raise NotFoundError(
                f"{error.message} for {machine}", hint=f"this is Python {_VERSION}: run boot build with the version of Python that Debian has, or on such a machine"
            ) from error
        for file in files:
            packages.unpack(file, folder)
        self.interpreter = folder / "usr/bin" / f"python{_VERSION}"
        self.standard_library = folder / "usr/lib" / f"python{_VERSION}"
        self.certificates = "/usr/lib/ssl/cert.pem"         # OPENSSLDIR of Debian's OpenSSL
        self.has_built_in_ssl = False

    def package(self, name: str) -> Path | None:
        """A pure one of this host, else of a wheel. Raises StorageError."""
        here = self._here.package(name)
        if here is None or not _has_extensions(here):
            return here
        return next((path for path in (self._wheels / name, *self._wheels.glob(f"{name}.*.so")) if path.exists()), None)

    def program(self, name: str) -> Path | None:
        """One of Debian's packages."""
        return next((path for folder in _PROGRAM_FOLDERS if (path := self._folder / folder / name).is_file()), None)

    def library(self, name: str) -> Path | None:
        """The same."""
        triplet = f"{self.machine}-linux-gnu"
        return next((path for folder in (f"lib/{triplet}", f"usr/lib/{triplet}", "lib", "usr/lib") if (path := self._folder / folder / name).is_file()), None)

    def file(self, path: str) -> Path:
        """Below the root."""
        return self._folder / path.lstrip("/")

    @cached_property
    def _wheels(self) -> Path:
        """All wheels that are needed, unpacked: of the versions that are installed here."""
        known = packages_distributions()
        wanted = sorted({f"{each}=={_version(each)}" for name in _WITH_EXTENSIONS for each in known.get(name, ())})
        folder, kept = self._folder / "wheels", self._kept / f"{self.machine}-{_VERSION}"
        self._events(Event(Kind.NOTE, {"text": f"fetching wheels for {self.machine}: {', '.join(wanted)}"}))
        platforms = (word for each in _PLATFORMS for word in ("--platform", each.format(machine=self.machine)))
        kept.mkdir(parents=True, exist_ok=True)
        run_program([
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", *platforms,
            "--python-version", _VERSION, "--find-links", str(kept), "--dest", str(kept), *wanted,
        ])
        for each in wanted:
            name, _, number = each.partition("==")
            wheels = list(kept.glob(f"{name.replace('-', '_')}-{number}-*.whl"))
            if not wheels:
                raise StorageError(f"pip has fetched {each}, but not to {kept}")
            with zipfile.ZipFile(wheels[0]) as wheel:
                wheel.extractall(folder)
        return folder


def _has_extensions(place: Path) -> bool:
    return place.suffix == ".so" or (place.is_dir() and next(place.rglob("*.so"), None) is not None)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError as error:
        raise NotFoundError(f"the Python package {distribution} is not installed", hint="pip install bpscript brings it") from error
