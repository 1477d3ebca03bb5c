"""The images in the served folder: what each is, and whether its bytes were checked.

Nothing is decoded to list them; a list is kept as long as size and time of a file stay the same. Checking reads every byte, one
image at a time, on request only; its result counts until the file changes.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

from ..base.errors import BpscriptError
from ..base.events import Event, Kind, Sink, ignore

MAX_IMAGES = 2_000
MAX_DEPTH = 4           # folders below the root
MAX_WAITING = 100       # images that wait to be checked
_SUFFIXES = (".imz", ".imi", ".img", ".raw", ".qcow2", ".zst", ".gz", ".xz", ".tar", ".zip")
_OURS = 64              # bytes that tell an archive of ours

Stamp = tuple[int, int]         # bytes, nanoseconds since 1970


@dataclass(slots=True)
class Image:
    """One image. `verified` is unknown, waiting, checking, right or damaged; times are seconds since 1970."""

    name: str
    path: Path
    stamp: Stamp
    facts: dict[str, Any] = field(default_factory=dict)
    verified: str = "unknown"
    verified_at: float | None = None
    findings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name, "size": self.stamp[0], "changed": self.stamp[1] / 1e9, **self.facts,
            "verified": self.verified, "verified_at": self.verified_at, "findings": list(self.findings),
        }


class Shelf:
    """The images below `root`; may be used by several threads. `close` ends a check that is under way."""

    def __init__(self, root: Path, events: Sink = ignore, clock: Callable[[], float] = time) -> None:
        self._root = root
        self._events = events
        self._clock = clock
        self._images: dict[str, Image] = {}
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._waiting: deque[Image] = deque()
        self._thread: threading.Thread | None = None
        self._closing = False

    def images(self) -> list[dict[str, Any]]:
        """All images as they are now, by name; what is not read yet is looked into."""
        with self._listing:
            found: dict[str, Image] = {}
            for name, path, stamp in self._walk():
                known = self._images.get(name)
                found[name] = known if known is not None and known.stamp == stamp else Image(name, path, stamp, _facts(path))
            with self._lock:
                self._images = found
                return [each.as_dict() for each in sorted(found.values(), key=lambda each: each.name)]

    def check(self, name: str) -> bool:
        """Check every byte of an image, after those that wait already; False when there is no such image, or too many wait."""
        self.images()
        with self._lock:
            image = self._images.get(name)
            if image is None or len(self._waiting) >= MAX_WAITING or self._closing:
                return False
            if image.verified not in {"waiting", "checking"}:
                image.verified = "waiting"
                self._waiting.append(image)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="check", daemon=True)
                    self._thread.start()
            return True

    def close(self) -> None:
        """End the checks."""
        with self._lock:
            self._closing = True
            self._waiting.clear()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _walk(self) -> Iterator[tuple[str, Path, Stamp]]:
        """Name, path and stamp of every file that may be an image; links are not followed."""
        pending = deque([(self._root, "", 0)])
        count = 0
        while pending:
            folder, start, depth = pending.popleft()
            try:
                entries = sorted(os.scandir(folder), key=lambda each: each.name)
            except OSError:
                continue
            for entry in entries:
                name = start + entry.name
                if not name.isprintable():
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < MAX_DEPTH:
                            pending.append((Path(entry.path), f"{name}/", depth + 1))
                    elif entry.name.lower().endswith(_SUFFIXES) and entry.is_file(follow_symlinks=False):
                        facts = entry.stat(follow_symlinks=False)
                        yield name, Path(entry.path), (facts.st_size, facts.st_mtime_ns)
                        count += 1
                except OSError:
                    continue
                if count >= MAX_IMAGES:
                    return

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._closing:
                    self._thread = None if not self._closing else self._thread
                    return
                image = self._waiting.popleft()
                image.verified = "checking"
            state, findings = self._checked(image)
            with self._lock:
                image.verified, image.findings, image.verified_at = state, findings, self._clock()
            if state != "unknown":
                words = "every byte is right" if state == "right" else f"DAMAGED: {findings[0] if findings else ''}"
                kind = Kind.NOTE if state == "right" else Kind.WARNING
                self._events(Event(kind, {"text": f"{image.name} was checked: {words}"}))

    def _checked(self, image: Image) -> tuple[str, tuple[str, ...]]:
        from ..archive.opened import OpenArchive  # noqa: PLC0415 - only when somebody asks for it

        def step(event: Event) -> None:
            if self._closing:
                raise _StoppedError

        try:
            with OpenArchive(image.path) as archive:
                found = archive.check(step)
            findings = tuple(each.message for each in found.damages[:20])
        except _StoppedError:
            return "unknown", ()
        except BpscriptError as error:
            return "damaged", (error.message,)
        return ("damaged", findings) if found.count else ("right", ())


class _StoppedError(BpscriptError):
    """The server stops."""

    def __init__(self) -> None:
        super().__init__("the server stops")


def _facts(path: Path) -> dict[str, Any]:
    """What an image says of itself, without decoding anything; of other programs' images hardly anything."""
    from ..archive.opened import OpenArchive  # noqa: PLC0415 - only when somebody asks for it
    from ..archive.opening import is_ours  # noqa: PLC0415

    facts: dict[str, Any] = {"kind": "foreign", "filesystem": None, "label": None, "used": None, "signed": None, "error": None}
    try:
        with path.open("rb") as file:
            start = file.read(_OURS)
        if not is_ours(start):
            return facts
        with OpenArchive(path) as archive:
            info = archive.info
    except BpscriptError as error:
        return {**facts, "kind": "damaged", "error": error.message}
    except OSError as error:
        return {**facts, "error": error.strerror}
    return {
        **facts, "kind": info.kind, "filesystem": info.filesystem, "label": info.label, "used": info.used,
        "signed": None if info.signature is None else info.signature.valid,
    }
