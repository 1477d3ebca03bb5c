"""A server as the root of a run: `--root tftp://host[:port]/dir`, `http(s)://host[:port]/dir`, `carousel+http://...`, `multicast+tftp://...`, and what server parts of file names then mean.

    help.bpb                            a file below the root
    198.76.54.32@6969:help.bpb          a file of that TFTP server, from its top (language.md 4.2)
    @89:getpasswd/smith                 the host of the root, its TFTP server on another port
    198.70.0.1/198.76.54.31:help.bpb    a server that is reached through a gateway
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ..base.errors import NetworkError, StorageError, UsageError
from ..base.events import Sink, ignore
from ..base.sources import FileSource, Reader, SourceFacts
from .foreign import ForeignName, parse_foreign

if TYPE_CHECKING:
    from .gateway.asking import Pins
    from .tftp.source import TftpSource

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_TFTP = re.compile(r"tftp://(?:\[(?P<six>[^\]/@]+)\]|(?P<host>[^\[\]/@:?#]+))(?::(?P<port>\d{1,5}))?(?:/(?P<folder>[^?#]*))?\Z", re.IGNORECASE)


def open_root(url: str, events: Sink = ignore) -> "NetworkRoot":
    """The source of `--root URL`; `events` hears how a carousel goes. Raises UsageError; the server is asked for nothing yet."""
    match = _URL.match(url)
    scheme = match["scheme"].lower() if match else ""
    if scheme not in _SCHEMES:
        raise UsageError(f"{url}: no such kind of server for --root; expected {', '.join(f'{name}://' for name in _SCHEMES)} or a folder")
    return _SCHEMES[scheme](url, events)


def _tftp_root(url: str, _: Sink) -> "NetworkRoot":
    source = tftp_source(url)
    return NetworkRoot(source, source.host)


def _multicast_root(url: str, events: Sink) -> "NetworkRoot":
    from .tftp.shared import SCHEME, SharedSource  # noqa: PLC0415 - only for those who use it

    source = tftp_source(url, SCHEME)
    return NetworkRoot(SharedSource(source, events=events), source.host)


def tftp_source(url: str, before: str = "") -> "TftpSource":
    """The files below `tftp://...`, of an address that has `before` in front. Raises UsageError."""
    from urllib.parse import unquote  # noqa: PLC0415 - only for those who use it

    from .tftp.source import TftpSource  # noqa: PLC0415

    match = _TFTP.match(url[len(before) :])
    port = int(match["port"] or 69) if match else 0
    if match is None or not 1 <= port <= 65535:
        raise UsageError(f"{url}: expected {before}tftp://HOST[:PORT][/FOLDER]")
    return TftpSource(match["six"] or match["host"], port, folder=unquote(match["folder"] or ""))


def _http_root(url: str, _: Sink) -> "NetworkRoot":
    from .http.source import HttpSource  # noqa: PLC0415 - only for those who use it

    source = HttpSource(url)
    return NetworkRoot(source, source.root.host)


def _carousel_root(url: str, events: Sink) -> "NetworkRoot":
    from .carousel.source import CarouselSource  # noqa: PLC0415 - only for those who use it

    source = CarouselSource(url, events=events)
    return NetworkRoot(source, source.root.host)


_SCHEMES: dict[str, Callable[[str, Sink], "NetworkRoot"]] = {
    "tftp": _tftp_root, "http": _http_root, "https": _http_root, "carousel+http": _carousel_root, "multicast+tftp": _multicast_root,
}


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class NetworkRoot:
    """Files of `base`, and of the TFTP servers that names speak of. `host` is where the root is."""

    def __init__(self, base: FileSource, host: str) -> None:
        self.base = base
        self.host = host
        self._pins: Pins | None = None

    def __str__(self) -> str:
        return str(self.base)

    @property
    def pins(self) -> "Pins":
        """Keys of the login gateways that are trusted."""
        from .gateway.asking import pins_of_user  # noqa: PLC0415 - only for CheckUser

        if self._pins is None:
            self._pins = pins_of_user()
        return self._pins

    def stat(self, path: str) -> SourceFacts | None:
        """What the server says; None when there is no such file, or the name of its server makes no sense. Raises NetworkError without an answer."""
        try:
            source, name = self._find(path)
        except (StorageError, NetworkError):
            return None
        return source.stat(name)

    def open(self, path: str) -> Reader:
        """The contents. Raises NotFoundError, NetworkError."""
        source, name = self._find(path)
        return source.open(name)

    def store(self, path: str, chunks: Iterable[bytes]) -> None:
        """Raises ReadOnlyError: servers are read-only."""
        source, name = self._find(path)
        source.store(name, chunks)

    def entries(self, path: str) -> list[tuple[str, SourceFacts]]:
        """Raises StorageError where there are no directories."""
        source, name = self._find(path)
        return source.entries(name)

    def close(self) -> None:
        """Give back the connections of the root."""
        if isinstance(self.base, _Closable):
            self.base.close()

    def _find(self, path: str) -> tuple[FileSource, str]:
        foreign = parse_foreign(path)
        if not foreign.server_part:
            return self.base, foreign.path
        return self._other(foreign), foreign.path

    def _other(self, foreign: ForeignName) -> FileSource:
        from .tftp.source import TftpSource  # noqa: PLC0415

        return TftpSource(foreign.server or self.host, foreign.port or 69, gateway=foreign.gateway)
