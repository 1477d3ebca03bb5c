"""Debian packages: fetched by apt as the host is set up, unpacked by dpkg-deb; neither needs root, and nothing is installed.

Packages are kept in a folder of the user, and fetched again only when the archive has a newer version. A host whose own lists are
missing gets lists in that folder.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..base.errors import NotFoundError, StorageError
from ..base.events import Event, Kind, Sink, ignore

_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) ?(?P<sums>\S*)$", re.MULTILINE)
_STATUS = "/var/lib/dpkg/status"


class Packages:
    """Packages by name. `folder` keeps what was fetched."""

    def __init__(self, folder: Path, events: Sink = ignore, foreign: str | None = None) -> None:
        """`foreign` is Debian's name of another kind of machine, whose packages these are: lists of its own, nothing installed."""
        self._folder = folder
        self._events = events
        self._foreign = foreign
        self._options: list[str] = []

    def fetch(self, name: str) -> Path:
        """The file of a package, of the version that apt would install. Raises NotFoundError, StorageError."""
        match = self._locate(name)
        path = self._folder / match["file"]
        if not path.is_file() or path.stat().st_size != int(match["size"]):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._note(f"fetching {path.name} ({int(match['size']) / 1e6:.1f} MB)")
            self._run("apt-get", *self._options, "-qq", "download", name, folder=self._folder)
        if not path.is_file():
            raise StorageError(f"apt-get has fetched {name}, but not as {path}")
        return path

    def fetch_all(self, names: Sequence[str]) -> list[Path]:
        """The files of packages of another kind of machine, with all that they depend on. Raises NotFoundError, StorageError."""
        if not self._options:
            self._own_lists()
        self._note(f"fetching {', '.join(names)} for {self._foreign}")
        install = ["apt-get", *self._options, "-qq", "install", "--yes", "--no-install-recommends"]
        try:
            # apt names only what is not yet where it keeps packages.
            (nothing := self._folder / "apt" / "nothing" / "partial").mkdir(parents=True, exist_ok=True)
            found = _URI.findall(self._run(*install, "-o", f"Dir::Cache::Archives={nothing.parent}", "--print-uris", *names))
        except StorageError as error:
            if "Unable to locate" in error.message or "no installation candidate" in error.message:
                raise NotFoundError(f"apt knows no {' or no '.join(names)}") from error
            raise
        self._run(*install, "--download-only", *names)
        return [self._folder / "apt" / "cache" / "archives" / file for _, file, _, _ in found]

    def kernel(self, architecture: str) -> Path:
        """The package of the kernel that Debian's metapackage stands for."""
        meta = f"linux-image-{architecture}"
        for depend in self._run("dpkg-deb", "-f", str(self.fetch(meta)), "Depends").split(","):
            name = depend.split()[0] if depend.split() else ""
            if name.startswith("linux-image-"):
                return self.fetch(name)
        raise NotFoundError(f"the package {meta} names no kernel", hint="give one: --kernel FILE --modules DIR")

    def unpack(self, package: Path, folder: Path) -> None:
        """All files of a package below a folder."""
        self._run("dpkg-deb", "-x", str(package), str(folder))

    def architecture(self) -> str:
        """Debian's name of the machines' kind: amd64, arm64."""
        if self._foreign is not None:
            return self._foreign
        return self._run("dpkg", "--print-architecture").strip()

    def _locate(self, name: str) -> re.Match[str]:
        command = ["apt-get", "-qq", "download", "--print-uris", name]
        match = None
        if self._foreign is not None and not self._options:
            self._own_lists()
        for last in (False, True):
            try:
                match = _URI.search(self._run(command[0], *self._options, *command[1:]))
            except StorageError:
                if last:
                    raise
            if match is not None:
                return match
            if not last:
                self._own_lists()
        raise NotFoundError(f"apt knows no package {name}")

    def _own_lists(self) -> None:
        """Let apt keep its lists in our folder: those of the host lack what is looked for, and only root may change them."""
        state, cache = self._folder / "apt" / "state", self._folder / "apt" / "cache"
        for folder in (state / "lists" / "partial", cache / "archives" / "partial"):
            folder.mkdir(parents=True, exist_ok=True)
        status = _STATUS
        if self._foreign is not None:
            status = str(state / "status")
            Path(status).touch()
        self._options = ["-o", f"Dir::State={state}", "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={cache}", "-o", "APT::Sandbox::User="]
        if self._foreign is not None:
            self._options += ["-o", f"APT::Architecture={self._foreign}", "-o", f"APT::Architectures={self._foreign}", "-o", "Debug::NoLocking=1"]
        self._note("fetching lists of packages")
        self._run("apt-get", *self._options, "-qq", "update")

    def _note(self, text: str) -> None:
        self._events(Event(Kind.NOTE, {"text": text}))

    def _run(self, *command: str, folder: Path | None = None) -> str:
        return run_program(command, folder)


def run_program(command: Sequence[str], folder: Path | None = None) -> str:
    """What a program prints. Raises StorageError with its own words."""
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, cwd=folder, env=environment)
    except FileNotFoundError as error:
        raise StorageError(
            f"{command[0]} is not on this host", hint="boot build takes kernel and programs from Debian packages, or from --kernel, --modules and --ipxe"
        ) from error
    if done.returncode != 0:
        words = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg", command[0]))] or done.stderr.splitlines()
        raise StorageError(f"{' '.join(command[:1])} failed: {words[0].removeprefix('E: ') if words else f'exit status {done.returncode}'}")
    return done.stdout
