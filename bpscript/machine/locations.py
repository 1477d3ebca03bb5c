"""Where an archive named on the command line is: in a file of this host, or at an address of a web server."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..archive.positional import JoinedReader, Positional


def is_address(text: object) -> bool:
    """Whether this names a file of a server (http:// or https://)."""
    return isinstance(text, str) and text[:8].lower().startswith(("http://", "https://"))


def open_location(name: str | Path) -> "Positional | JoinedReader":
    """The bytes of an archive with all its fragments. Raises NotFoundError, StorageError, NetworkError, UsageError."""
    from ..archive.positional import open_from_host, open_from_source  # noqa: PLC0415 - those who only look at a name do not need it

    if isinstance(name, Path) or not is_address(name):
        return open_from_host(name)
    from ..network.http.source import HttpSource  # noqa: PLC0415 - only for addresses
    from ..network.http.urls import parse_url  # noqa: PLC0415

    folder, file = parse_url(name).split()
    return open_from_source(HttpSource(folder), file)


def split_address(text: str) -> tuple[str, str | None]:
    """`http://host:8080/lab.imz:2/etc`: the address of the archive, and what follows the first `:` behind the host; None without one.

    A `:` in a name on the server is written %3A.
    """
    start = text.find("/", text.find("://") + 3)
    colon = text.find(":", start) if start >= 0 else -1
    return (text, None) if colon < 0 else (text[:colon], text[colon + 1 :])
