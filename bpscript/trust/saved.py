"""A plan that is kept, and a run that refuses unless everything the plan was made of is still the same.

What that is (docs/manual.md, "bpscript plan"):

* the script and every file of the server or host that was read or asked for, by size and hash (`fingerprints.py`);
* the options that decide what happens: variables, keys, switches, seed, root;
* of each disk its size, and every byte that the plan read: the table, what `If` looked at, the directories of every volume that
  would change. What a run would overwrite without looking at it does not count.

Passwords and keys are kept as scrypt of themselves with a salt of the plan.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..api import RunOptions, find_script
from ..base.errors import FormatError, StorageError, UsageError
from ..base.secrets import is_secret_name
from ..base.sources import FileSource
from ..base.units import SECTOR
from ..blocks.device import BlockDevice
from ..machine.stage import Opener, Stage
from .fingerprints import Fingerprint, fingerprint, of_bytes, regions
from .plan import Plan, as_json

if TYPE_CHECKING:
    from ..machine.machine import Machine

_FORMAT = "bpscript plan"
_VERSION = 1
_MOST_BYTES = 1 << 30       # of a plan file
_MOST_SAID = 8              # differences in one message


def save(plan: Plan, options: RunOptions, path: Path) -> None:
    """Write a plan, readable by its owner only. Raises UsageError when it cannot be written."""
    salt = os.urandom(16).hex()
    script = find_script(Path(options.script))
    kept = {
        "format": _FORMAT, "version": _VERSION, "bpscript": __version__, "salt": salt,
        "script": list(of_bytes(script.read_bytes())),
        "options": _options(options, salt),
        "variables": _variables(plan.variables, salt),
        "files": [[each.name, each.is_host, *each.fingerprint] for each in plan.files],
        "asked_for": [[name, is_host, there] for (name, is_host), there in plan.probed.items()],
        "disks": [
            {"name": each.name, "size": each.size, "new": each.is_new, "read": [list(region) for region in each.read]} for each in plan.disks
        ],
        "plan": as_json(plan),
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(kept, file)
            file.write("\n")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def load(path: Path) -> dict[str, Any]:
    """Read a plan. Raises UsageError when there is none, FormatError for anything else than one of this version."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FormatError(f"{path} is no plan: it has more than {_MOST_BYTES} bytes")
        kept = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no plan: it is not JSON") from error
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
        raise FormatError(f"{path} is no plan", hint="bpscript plan SCRIPT --save F makes one")
    if kept.get("version") != _VERSION:
        raise FormatError(f"{path} is a plan in version {kept.get('version')} of its format; this program knows version {_VERSION}", hint="make the plan again")
    if kept.get("bpscript") != __version__:
        raise FormatError(
            f"{path} was made by bpscript {kept.get('bpscript')}, this is {__version__}: another version may do something else",
            hint="make the plan again",
        )
    return kept


class PlannedRun(Stage):
    """A run that does what was planned, or nothing."""

    def __init__(self, path: Path, options: RunOptions) -> None:
        """Raises what `load` raises."""
        self._path = path
        self._kept = load(path)
        self._options = options
        self._made: list[Path] = []

    def disk(self, number: int, path: Path | None, size: int | None, opener: Opener, stack: ExitStack) -> BlockDevice:
        """The disk; an image that is made for this run goes again when the run is refused."""
        if path is not None and size is not None and not path.exists():
            self._made.append(path)
        return opener()

    def ready(self, machine: "Machine", script: Path, variables: Mapping[str, str]) -> None:
        """Compare everything. Raises StorageError that says what differs."""
        try:
            found = list(self._differences(machine, script, variables))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise FormatError(f"{self._path} is damaged: {error!r}") from error
        if found:
            for made in self._made:
                made.unlink(missing_ok=True)
            more = f"; and {len(found) - _MOST_SAID} more" if len(found) > _MOST_SAID else ""
            raise StorageError(
                f"the plan {self._path} does not fit any more: {'; '.join(found[:_MOST_SAID])}{more}", hint="nothing was written; make the plan again"
            )

    def _differences(self, machine: "Machine", script: Path, variables: Mapping[str, str]) -> Iterator[str]:
        kept, salt = self._kept, str(self._kept["salt"])
        if list(of_bytes(script.read_bytes())) != kept["script"]:
            yield f"the script {script} changed"
        options = _options(self._options, salt)
        yield from (f"{name} differs" for name, value in options.items() if kept["options"].get(name) != value)
        now, then = _variables(variables, salt), kept["variables"]
        for name in sorted(now.keys() | then.keys()):
            if now.get(name) != then.get(name):
                yield f"the variable {name} {'differs' if name in now and name in then else 'is set now' if name in now else 'is not set now'}"
        yield from self._files(machine)
        yield from self._disks(machine)

    def _files(self, machine: "Machine") -> Iterator[str]:
        for name, is_host, size, hashed in self._kept["files"]:
            found = fingerprint(_source(machine, is_host=is_host), name)
            if found != Fingerprint(size, hashed):
                yield f'the file "{name}" {"is gone" if not found.hash else "changed"}'
        read = {(name, is_host) for name, is_host, _, _ in self._kept["files"]}
        for name, is_host, there in self._kept["asked_for"]:
            if (name, is_host) not in read and (_source(machine, is_host=is_host).stat(name) is not None) is not there:
                yield f'the file "{name}" {"is gone" if there else "was not there"}'

    def _disks(self, machine: "Machine") -> Iterator[str]:
        disks = self._kept["disks"]
        if len(disks) != len(machine.disks):
            yield f"the plan is for {len(disks)} disks, there are {len(machine.disks)}"
            return
        for number, kept in enumerate(disks):
            device = machine.disks[number].device
            if kept["size"] != device.size:
                yield f"disk {number} ({machine.disks[number].name}) has {device.size} bytes, not {kept['size']}"
                continue
            expected = [(int(start), int(end), str(hashed)) for start, end, hashed in kept["read"]]
            found = regions(device, [(start, end) for start, end, _ in expected])
            changed = [now for before, now in zip(expected, found, strict=True) if tuple(now) != before]
            if changed:
                places = dict.fromkeys(self._where(number, now.start, now.end) for now in changed)
                yield f"disk {number} ({machine.disks[number].name}) changed: {', '.join(list(places)[:4])}{', ...' if len(places) > 4 else ''}"

    def _where(self, number: int, start: int, end: int) -> str:
        for row in self._kept["plan"]["disks"][number]["before"]["partitions"]:
            if row["start"] <= start < row["start"] + row["size"]:
                return f"partition {row['number']}"
        return "the partition table" if start < SECTOR else f"bytes {start} to {end}"


def _source(machine: "Machine", *, is_host: bool) -> FileSource:
    return machine.files.host if is_host else machine.files.source


def _options(options: RunOptions, salt: str) -> dict[str, Any]:
    return {
        "--root": None if options.root is None else os.fspath(options.root), "--keys": _hidden(options.keys or "", salt),
        "--seed": options.seed, "the switches": "".join(sorted(options.switches.lower())), "the program": options.program,
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH"),
    }


def _variables(variables: Mapping[str, str], salt: str) -> dict[str, str]:
    return {name.lower(): _hidden(value, salt) if is_secret_name(name) else value for name, value in variables.items()}


def _hidden(text: str, salt: str) -> str:
    return hashlib.scrypt(text.encode("utf-8", "replace"), salt=bytes.fromhex(salt), n=1 << 12, r=8, p=1, dklen=16).hex()
