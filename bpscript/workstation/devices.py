"""Drivers for the devices of this machine: each device names itself (`modalias`), modules.alias says which module drives it.

A driver brings new devices (a controller its disks, a hub its keyboard), so passes are made until one finds nothing new.
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic, sleep

from ..base.errors import StorageError
from ..base.events import Event, Kind, Sink, ignore
from .kernel import load_module

_MOST_PASSES = 10
_SETTLE_S = 0.15        # between two passes: devices on a new bus are found by threads of the kernel


class Drivers:
    """The modules of the running kernel; `folder` is lib/modules/VERSION, `devices` where the kernel shows its devices."""

    def __init__(self, folder: Path | None = None, devices: Path = Path("/sys/devices"), sink: Sink = ignore) -> None:
        self._folder = folder or Path("/lib/modules") / os.uname().release
        self._devices = devices
        self._sink = sink
        self._needs: dict[str, list[str]] = {}          # of a module: paths, the deepest first, itself last
        self._aliases: dict[str, list[tuple[str, str, str]]] = {}      # by bus: literal start, pattern, module
        self._tried: set[str] = set()       # paths of modules
        self._seen: set[str] = set()        # devices
        self._read_tables()

    def load_all(self) -> list[str]:
        """Load what the devices ask for; the names of the modules, in order."""
        loaded: list[str] = []
        for _ in range(_MOST_PASSES):
            fresh = [name for alias in self._new_aliases() for name in self.drivers_of(alias)]
            if not fresh:
                break
            for name in dict.fromkeys(fresh):
                loaded += self.load(name)
            sleep(_SETTLE_S)
        return loaded

    def load(self, name: str) -> list[str]:
        """Load a module with what it needs. One that cannot be loaded is a warning: the machine may do without it."""
        loaded = []
        for path in self._needs.get(name, []):
            if path in self._tried:
                continue
            self._tried.add(path)
            try:
                load_module(self._folder / path)
                loaded.append(Path(path).stem)
            except (StorageError, OSError) as error:
                self._sink(Event(Kind.WARNING, {"text": str(error)}))
        return loaded

    def drivers_of(self, alias: str) -> Iterator[str]:
        """Modules that drive a device."""
        for start, pattern, name in self._aliases.get(alias.partition(":")[0], ()):
            if alias.startswith(start) and fnmatchcase(alias, pattern):
                yield name

    def _new_aliases(self) -> Iterator[str]:
        for folder, _, files in os.walk(self._devices):
            if "modalias" in files:
                try:
                    alias = Path(folder, "modalias").read_text(encoding="utf-8", errors="replace").strip()
                except OSError:
                    continue        # it has gone meanwhile
                if alias and alias not in self._seen:
                    self._seen.add(alias)
                    yield alias

    def _read_tables(self) -> None:
        for line in _lines(self._folder / "modules.dep"):
            path, _, needed = line.partition(":")
            self._needs[Path(path).stem.replace("-", "_")] = [*reversed(needed.split()), path]
        for line in _lines(self._folder / "modules.alias"):
            words = line.split()
            if len(words) == 3:
                pattern = words[1]
                start = pattern[: min((pattern.find(each) for each in "*?[" if each in pattern), default=len(pattern))]
                self._aliases.setdefault(pattern.partition(":")[0], []).append((start, pattern, words[2]))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []       # a kernel without modules


def wait_for(found: Path, timeout_s: float) -> bool:
    """Wait until something is there."""
    end = monotonic() + timeout_s
    while not found.exists():
        if monotonic() >= end:
            return False
        sleep(0.05)
    return True
