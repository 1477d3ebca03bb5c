"""Where an archive named on the command line is: in a file of this host, on a web or TFTP server, or in the carousel of a server of ours."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..base.errors import UsageError
from ..base.events import Sink, ignore

if TYPE_CHECKING:
    from ..archive.positional import JoinedReader, Positional


_SCHEMES = ("http://", "https://", "carousel+http://", "tftp://", "multicast+tftp://")


def is_address(text: object) -> bool:
    """Whether this names a file of a server."""
    return isinstance(text, str) and text[:17].lower().startswith(_SCHEMES)


def open_location(name: str | Path, *, events: Sink = ignore, folder: Path | None = None) -> "Positional | JoinedReader":
    """The bytes of an archive with all its fragments; what comes by multicast is kept in `folder`. Raises NotFoundError, StorageError, NetworkError, UsageError."""
    from ..archive.positional import open_from_host, open_from_source  # noqa: PLC0415 - those who only look at a name do not need it

    if isinstance(name, Path) or not is_address(name):
        return open_from_host(name)
    if "tftp://" in name[:17].lower():
        return _by_tftp(name, events, folder)
    from ..network.http.source import HttpSource  # noqa: PLC0415 - only for addresses
    from ..network.http.urls import parse_url  # noqa: PLC0415

    if name[:9].lower() == "carousel+":
        from ..network.carousel.source import CarouselSource, parse_carousel  # noqa: PLC0415 - as above

        below, file = parse_carousel(name).split()
        return open_from_source(CarouselSource(below, folder=folder, events=events), file)
    below, file = parse_url(name).split()
    return open_from_source(HttpSource(below), file)


def _by_tftp(name: str, events: Sink, folder: Path | None) -> "Positional | JoinedReader":
    from urllib.parse import unquote  # noqa: PLC0415 - as in open_location

    from ..archive.positional import open_from_source  # noqa: PLC0415
    from ..network.roots import tftp_source  # noqa: PLC0415
    from ..network.tftp.shared import SCHEME, SharedSource  # noqa: PLC0415

    before = SCHEME if name[: len(SCHEME)].lower() == SCHEME else ""
    below, _, file = name.rpartition("/")
    source = tftp_source(below, before)
    if not file:
        raise UsageError(f"{name}: a folder, expected a file")
    return open_from_source(SharedSource(source, folder=folder, events=events) if before else source, unquote(file))


def split_address(text: str) -> tuple[str, str | None]:
    """`http://host:8080/lab.imz:2/etc`: the address of the archive, and what follows the first `:` behind the host; None without one.

    A `:` in a name on the server is written %3A.
    """
    start = text.find("/", text.find("://") + 3)
    colon = text.find(":", start) if start >= 0 else -1
    return (text, None) if colon < 0 else (text[:colon], text[colon + 1 :])
