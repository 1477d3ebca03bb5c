"""The stage of a run that is recorded, and the bundle that is left of it (docs/manual.md, "Records").

A bundle is a zip file: `record.json`, the scripts and small files that were read, the events, the end of the log, and the sectors of
each disk that say what is on it. Nothing in it is secret: what was typed as a password, keys of `Crypt` and DES, and variables that are
named for a secret are masked wherever they occur (`base/secrets.py`), also in the scripts.
"""

import io
import json
import platform
import re
import zipfile
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import __version__
from ..api import RunOptions
from ..base.clock import Clock
from ..base.errors import BpscriptError, ScriptError
from ..base.events import Event, Kind, Sink
from ..base.secrets import MASK, SECRET_NAME, is_secret_name
from ..base.sources import FileSource
from ..base.units import KIB, MIB
from ..blocks.device import BlockDevice
from ..machine.stage import Opener, Stage
from ..network.folder import FolderSource
from ..network.roots import NetworkRoot
from ..network.trial import WatchedFolder, WatchedRoot
from ..screen.keyboard import Key, Keyboard
from .watching import Watch, WatchedKeyboard

if TYPE_CHECKING:
    from ..base.secrets import Secrets
    from ..machine.disk import Disk
    from ..machine.machine import Machine

FORMAT, VERSION = "bpscript record", 1
MOST_STEPS = 20_000         # commands, and answers of tests, that a replay can compare one by one
SMALL = 256 * KIB           # files up to here are in the bundle
MOST_CONTENTS = 8 * MIB     # of all files together
END = 64 * KIB              # of larger files this much of the beginning and of the end: they say what it is
_MOST_EVENTS = 2_000
_MOST_LOG = 200 * KIB       # characters
_HEAD = 4 * KIB             # bytes of each file system, enough to recognise it
_TABLE = 34 * 512           # bytes: MBR, GPT header and entries

_STRING = r'"((?:\\.|[^"\\])*)"'
# Literals in scripts, also on lines that never ran.
_LITERALS = (
    re.compile(rf"\b(?:crypt|descrypt|desdecrypt|checkuser)\s*{_STRING}\s*{_STRING}", re.IGNORECASE),
    re.compile(rf"{_STRING}\s*match-passwd\s*{_STRING}", re.IGNORECASE),
    re.compile(rf"\bset\s+{SECRET_NAME}\s*=\s*{_STRING}", re.IGNORECASE),
    re.compile(rf'"\$\{{?{SECRET_NAME}\}}?"\s*(?:==|!=|<>|match-expr)\s*{_STRING}', re.IGNORECASE),
    re.compile(rf'{_STRING}\s*(?:==|!=|<>)\s*"\$\{{?{SECRET_NAME}\}}?"', re.IGNORECASE),
)


class _Pressed(NamedTuple):
    """A key that was taken. `in_line`: by a command that reads a whole line."""

    character: str
    alt: bool
    secret: bool
    in_line: bool


class Recorder(Stage):
    """A plain run, of which is kept what is needed to do it again."""

    watches = True

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        self.watch = Watch(deep=not (isinstance(options.root, str) and "://" in options.root))
        self._events: deque[dict[str, Any]] = deque(maxlen=_MOST_EVENTS)
        self._log: deque[str] = deque()
        self._log_length = 0
        self._keys: list[_Pressed] = []
        self._steps: list[list[Any]] = []
        self._decisions: list[bool] = []
        self._secrets: Secrets | None = None
        self._disks: list[dict[str, Any]] = []
        self._pieces: dict[str, bytes] = {}
        self._facts: dict[str, Any] = {}
        self._contents: dict[tuple[str, bool], bytes] = {}
        self._ends: dict[tuple[str, bool], tuple[bytes, bytes]] = {}
        self._contents_size = 0
        self._result: dict[str, Any] = {"ended": "interrupted", "boot": None, "error": None}
        self._variables: Mapping[str, str] = {}
        self._ending: Mapping[str, str] = {}

    @property
    def is_ready(self) -> bool:
        """Whether the run has begun: before, there is nothing to keep."""
        return self._secrets is not None

    # While it runs

    def clock(self, clock: Clock) -> Clock:
        """The clock; what it says now is kept."""
        self._facts |= {"started_ns": clock.now_ns(), "fixed_ns": clock.fixed_ns}
        return clock

    def events(self, sink: Sink) -> Sink:
        """Events are kept, but for single files and progress."""

        def kept(event: Event) -> None:
            if event.kind is Kind.LOG:
                self._logged(str(event.data["text"]))
            elif event.kind not in {Kind.FILE_WRITTEN, Kind.PROGRESS}:
                self._events.append({"kind": event.kind, "time": round(event.time_s, 6), **event.data})
                if event.kind in {Kind.NOTE, Kind.WARNING, Kind.BOOT}:
                    self._logged(f"[{event.kind}] {event.data['text']}\r\n")
            sink(event)

        return self.watch.events(kept)

    def disk(self, number: int, path: Path | None, size: int | None, opener: Opener, stack: ExitStack) -> BlockDevice:
        """The disk itself."""
        self._disks.append({"name": "" if path is None else str(path), "new": path is not None and size is not None and not path.exists()})
        return opener()

    def source(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The server, watched."""
        if isinstance(source, NetworkRoot):
            return WatchedRoot(source, self)
        assert isinstance(source, FolderSource)
        return WatchedFolder(source, self)

    def host(self, source: FileSource, stack: ExitStack) -> FileSource:
        """The operating system, watched."""
        assert isinstance(source, FolderSource)
        return WatchedFolder(source, self)

    def opened(self, path: str, source: FileSource) -> None:
        """A file was opened: small ones are kept, and the ends of large ones, but not those of users and their passwords."""
        self.watch.opened(path, source)
        key = path, isinstance(source, FolderSource) and not source.confined
        used = self.watch.files.get(key)
        if used is None or key in self._contents or key in self._ends or used.spot.command == "CheckUser" or "passwd" in path.lower() or "shadow" in path.lower():
            return
        size = used.fingerprint.size
        if size is not None and size <= SMALL and self._contents_size + size <= MOST_CONTENTS:
            self._contents[key] = b""       # what is opened now is no use of the script
            with suppress(BpscriptError), closing(source.open(path)) as reader:
                self._contents[key] = b"".join(iter(lambda: reader.read(SMALL), b""))[:SMALL]
                self._contents_size += size
        elif size is not None and isinstance(source, FolderSource) and self._contents_size + 2 * END <= MOST_CONTENTS:
            from .fingerprints import ends  # noqa: PLC0415 - loads BLAKE3

            self._ends[key] = b"", b""
            with suppress(BpscriptError, OSError):
                self._ends[key] = ends(source, path, size, END)
                self._contents_size += 2 * END

    def asked_for(self, path: str, source: FileSource, *, there: bool) -> None:
        """Somebody asked whether there is a file."""
        self.watch.asked_for(path, source, there=there)

    def keyboard(self, keyboard: Keyboard) -> Keyboard:
        """Keys are kept, secret ones as a mask."""
        return WatchedKeyboard(keyboard, self.watch.asks, self._pressed)

    def ready(self, machine: "Machine", script: Path, variables: Mapping[str, str]) -> None:
        """Keep what the disks say of themselves."""
        self._secrets = machine.secrets
        for name, value in variables.items():
            if is_secret_name(name):
                machine.secrets.add(value)
        self._variables = dict(variables)
        self._facts |= {
            "script": str(script), "program": machine.program, "seed": self._options.seed, "switches": self._options.switches,
            "root": None if self._options.root is None else str(self._options.root), "bpscript": __version__,
            "python": platform.python_version(), "system": platform.platform(),
        }
        with suppress(OSError):
            self._pieces["script"] = script.read_bytes()
        for disk, facts in zip(machine.disks, self._disks, strict=True):
            facts |= {"size": disk.device.size, "sector_size": disk.sector_size, "pieces": self._keep_disk(disk)}

    def perform(self, name: str, file: str, line: int, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what commands return
        """A command, and whether it succeeded."""
        if len(self._steps) >= MOST_STEPS:
            return work()
        step: list[Any] = [file, line, name, True]
        self._steps.append(step)
        try:
            return work()
        except BaseException:
            step[3] = False
            raise

    def decide(self, holds: bool) -> bool:
        """What an `If` found."""
        if len(self._decisions) < MOST_STEPS:
            self._decisions.append(holds)
        return holds

    def ended(self, machine: "Machine", variables: Mapping[str, str], booted: str | None, error: Exception | None) -> None:
        """How it ended."""
        self._ending = variables
        self._result = {"ended": "error" if error is not None else "booted" if booted is not None else "done", "boot": booted, "error": None}
        if isinstance(error, ScriptError):
            self._result["error"] = {"text": error.message, "file": error.file, "line": error.line, "column": error.column, "hint": error.hint}

    def _pressed(self, key: Key) -> None:
        secret = self._secrets is not None and self._secrets.is_typing and key.character not in "\r\b"
        if len(self._keys) < MOST_STEPS:
            self._keys.append(_Pressed("*" if secret else key.character, key.alt, secret, self.watch.spot.command != "GetKey"))

    def _masked_keys(self, secrets: "Secrets") -> list[list[Any]]:
        """The keys. Those of a password are one star; where a script asked for each of them, one for each, or a replay would wait for more."""
        spelled = secrets.typed("".join(each.character if len(each.character) == 1 and not each.secret else "\r" for each in self._keys))
        star = ["*", False, True]
        kept: list[list[Any]] = []
        for index, each in enumerate(self._keys):
            if index not in spelled and not each.secret:
                kept.append([each.character, each.alt, False])
            elif not (each.in_line and kept[-1:] == [star]):
                kept.append(star)
        return kept

    def _logged(self, text: str) -> None:
        self._log.append(text)
        self._log_length += len(text)
        while self._log_length > _MOST_LOG and len(self._log) > 1:
            self._log_length -= len(self._log.popleft())

    def _keep_disk(self, disk: "Disk") -> list[list[Any]]:
        """The table, and of every partition what tells which file system it has: offsets, and names in the bundle."""
        places = {0: min(_TABLE, disk.device.size)}
        with suppress(BpscriptError):
            table = disk.table()
            places |= dict.fromkeys(table.table_starts[1:], 512)
            for each in table.partitions:
                if not each.is_extended and disk.kind_of(each.number) is not None:
                    places[each.start] = min(_HEAD, each.size)
        kept = []
        for offset, length in sorted(places.items()):
            with suppress(BpscriptError):
                name = f"disks/{disk.number}/{offset}"
                self._pieces[name] = disk.device.read(offset, length)
                kept.append([offset, name])
        disk.forget()
        return kept

    # Afterwards

    def bundle(self, most: int | None = None) -> bytes:
        """The bundle, without the contents of files and most events where it would be larger than `most` bytes."""
        for whole in (True, False):
            data = self._bundle(whole=whole)
            if most is None or len(data) <= most:
                break
        return data

    def write(self, path: Path) -> None:
        """Write the bundle, readable by its owner only. Raises OSError."""
        import os  # noqa: PLC0415 - only here

        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(self.bundle())

    def _bundle(self, *, whole: bool) -> bytes:
        secrets = self._secrets
        assert secrets is not None      # the machine was ready
        scripts = [self._pieces.get("script", b""), *self._contents.values()]
        for data in scripts:
            for pattern in _LITERALS:
                for match in pattern.finditer(data.decode("latin-1")):
                    secrets.add(*(each for each in match.groups() if each and "$" not in each))
        for name, value in self._ending.items():
            if is_secret_name(name) and name.lower() != "security-check":
                secrets.add(value)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            def put(name: str, data: bytes) -> None:
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)

            files = []
            for number, (key, used) in enumerate(self.watch.files.items()):
                content = self._contents.get(key)
                inside = f"files/{number}" if content is not None and (whole or used.spot.command == "Include") else None
                if inside is not None and content is not None:
                    put(inside, secrets.masked_bytes(content))
                kept = []
                known = self._ends.get(key, ()) if whole else ()
                for end, data in zip(("head", "tail"), known if all(known) else (), strict=False):      # b"": it could not be read
                    kept.append(f"files/{number}-{end}")
                    put(kept[-1], secrets.masked_bytes(data))
                files.append(
                    {"name": used.name, "host": used.is_host, "size": used.fingerprint.size, "hash": used.fingerprint.hash, "content": inside, "ends": kept}
                )
            for name, data in self._pieces.items():
                put(name, secrets.masked_bytes(data))
            put("log.txt", secrets.masked("".join(self._log)).encode())
            events = list(self._events)[-(_MOST_EVENTS if whole else 100) :]
            put("events.jsonl", "".join(f"{json.dumps(_masked(each, secrets), ensure_ascii=False)}\n" for each in events).encode())
            facts = {
                "format": FORMAT, "version": VERSION, **self._facts, "disks": self._disks, "files": files,
                "asked_for": [[name, host, there] for (name, host), there in self.watch.probed.items()],
                "variables": {name: _value(name, value, secrets) for name, value in self._variables.items()},
                "ending": {name: _value(name, value, secrets) for name, value in self._ending.items()},
                "keys": self._masked_keys(secrets), "steps": self._steps,
                "masked": any(True for _ in secrets), "decisions": "".join("1" if each else "0" for each in self._decisions), "result": self._result,
            }
            put("record.json", json.dumps(_masked(facts, secrets), ensure_ascii=False).encode())
        return written.getvalue()


def _masked(value: Any, secrets: "Secrets") -> Any:  # noqa: ANN401 - JSON
    """The same JSON without secrets in its texts; its keys are ours."""
    if isinstance(value, str):
        return secrets.masked(value)
    if isinstance(value, dict):
        return {key: _masked(each, secrets) for key, each in value.items()}
    return [_masked(each, secrets) for each in value] if isinstance(value, list) else value


def _value(name: str, value: str, secrets: "Secrets") -> str:
    return MASK if value and is_secret_name(name) and name.lower() != "security-check" else secrets.masked(value)
