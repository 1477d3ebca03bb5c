"""What an archive or image says of itself at first glance: nothing is decoded or unpacked, so it costs a few small reads."""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ..base.errors import BpscriptError
from ..filesystems.detect import detect
from .adapters import PositionalDevice
from .container import Archive, ArchiveKind
from .full import RAW, FullImage
from .information import format_of
from .opening import is_ours
from .positional import JoinedReader, close, open_from_host

_USTAR = 257        # where a tar has its magic (POSIX.1-2017, pax)


class Glance(NamedTuple):
    """`kind` is full, incremental, disk, raw, tar, zip or packed (which could be anything). Sizes are bytes; 0 where it does not say."""

    kind: str
    filesystem: str = ""
    size: int = 0
    used: int = 0


def glance(path: Path) -> Glance | None:
    """Look at a file. None for one that cannot be read, or that is damaged: whoever uses it says so."""
    try:
        data = open_from_host(path)
        with ExitStack() as stack:
            stack.callback(close, data)
            if isinstance(data, JoinedReader):
                return None
            start = data.read(0, min(32, data.size))
            if is_ours(start):
                return _of_ours(Archive.open(data))
            if start.startswith(b"PK\x03\x04"):
                return Glance("zip")
            if data.size > 512 and data.read(_USTAR, 5) == b"ustar":
                return Glance("tar")
            if format_of(start) != "raw image":
                return Glance("packed")
            kind = detect(PositionalDevice(data))
            return Glance("raw", kind or RAW, data.size, 0)
    except (BpscriptError, OSError, ValueError):
        return None


def _of_ours(archive: Archive) -> Glance:
    kind = archive.header.kind
    if kind is ArchiveKind.FULL:
        facts = FullImage(archive).facts
        return Glance("full", facts.filesystem, facts.size, facts.used)
    return Glance("disk" if kind is ArchiveKind.DISK else "incremental")
