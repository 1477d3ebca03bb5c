"""Files of a server of ours, large ones by its carousel: `carousel+http://10.0.0.1/images/`.

Small files, and those that have no carousel, come by HTTP. A file that was received is kept until another one is, because an archive
is opened more than once; it is used again while the server still has it in the same state.
"""

from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import NoReturn

from ...base.errors import UsageError
from ...base.events import Sink, ignore
from ...base.sources import Reader, SourceFacts
from ..http.client import Client
from ..http.source import HttpSource
from ..http.urls import Url, parse_url
from ..spool import read_again
from .fetch import Fetch

SCHEME = "carousel+"
_TALK_S = 5.0       # how long the server may be silent when it is told something
SMALL = 4 << 20     # bytes; a file below that is not worth a carousel


def parse_carousel(text: str) -> Url:
    """The address behind `carousel+`. Raises UsageError."""
    if not text[: len(SCHEME)].lower() == SCHEME:
        raise UsageError(f"{text}: expected an address that begins with {SCHEME}http://")
    url = parse_url(text[len(SCHEME) :])
    if url.scheme != "http":
        raise UsageError(f"{text}: a carousel is joined by http only", hint=f"{SCHEME}http://...")
    return url


class CarouselSource:
    """The files below an address. `folder` is where they are kept. Raises UsageError for what is no address."""

    def __init__(self, address: str | Url, *, folder: Path | None = None, events: Sink = ignore) -> None:
        self.root = parse_carousel(address) if isinstance(address, str) else address
        self._folder = folder
        self._events = events
        self._client = Client()
        self._talker = Client(_TALK_S)
        self._http = HttpSource(self.root, self._client)
        self._kept: tuple[str, SourceFacts, FileIO] | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.root}"

    def stat(self, path: str) -> SourceFacts | None:
        """As HTTP says it."""
        return self._http.stat(path)

    def open(self, path: str) -> Reader:
        """The contents: received whole before this returns, unless they come by HTTP."""
        facts = self._http.stat(path)
        if facts is None or facts.is_directory or facts.size is None or facts.size < SMALL:
            return self._http.open(path)
        if self._kept is None or self._kept[:2] != (path, facts):
            self._forget()
            file = Fetch(self._client, self._talker, self.root.below(path), folder=self._folder, events=self._events).run()
            if file is None:
                return self._http.open(path)
            self._kept = (path, facts, file)
        return read_again(self._kept[2])

    def store(self, path: str, chunks: Iterable[bytes]) -> NoReturn:
        """Always refused."""
        self._http.store(path, chunks)

    def entries(self, path: str) -> NoReturn:
        """Always refused."""
        self._http.entries(path)

    def close(self) -> None:
        """Close the connections, and give up what is kept."""
        self._forget()
        self._client.close()
        self._talker.close()

    def _forget(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[2].close()
