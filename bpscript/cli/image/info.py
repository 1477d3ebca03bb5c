"""`bpscript image info`: what an archive is and where it comes from."""

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from ...archive.information import ArchiveInfo
from ...base.units import format_size
from ..listing import print_json, printable
from ..main import DONE
from . import Declare
from .opening import open_named


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("info", info, "info linux.imz")
    sub.add_argument("archive", metavar="ARCHIVE", help="a file or http(s)://..., - is standard input")
    sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")


def info(options: argparse.Namespace) -> int:
    """`image info`."""
    with open_named(options.archive) as archive:
        found = archive.info
    if options.json:
        print_json(found.as_dict())
    else:
        print("\n".join(lines("standard input" if options.archive == "-" else options.archive, found)))
    return DONE


def lines(name: str, info: ArchiveInfo) -> Iterator[str]:
    """What people read: a line for each fact that is known."""
    what = {"foreign": info.format, "disk": "archive of a disk", "full": "full archive", "incremental": "incremental archive",
            "difference": "difference archive"}[info.kind]
    source = f" of {info.filesystem}" if info.filesystem not in {None, "RAW"} else ""
    label = f' "{printable(info.label)}"' if info.label else ""
    yield f"{name}: {what}{source}{label}" + (", no file system that is known" if info.filesystem == "RAW" else "")
    for title, value in (
        ("id", info.id), ("size", _size(info.size)), ("volume", _size(info.volume_size) if info.volume_size != info.size else None),
        ("used", _size(info.used)), ("entries", None if info.entries is None else f"{info.entries}, of them {info.files} files"),
        ("removes", None if info.removes is None else f"{info.removes} paths"), ("stored", _stored(info)), ("chunks", _chunks(info)),
        ("fragments", str(info.fragments) if info.fragments > 1 else None), ("created", time_of(info.created_ns)), ("writer", info.writer),
        ("base", None if info.base is None else f"{info.base.get('kind')} archive, root {info.base.get('root')}"), ("root", info.root),
        ("signed", _signature(info)),
    ):
        if value is not None:
            yield f"  {title:9} {printable(value)}"
    for row in info.partitions or ():
        name = f' "{row["label"]}"' if row["label"] else ""
        yield printable(f"  {row['number']:<9} {row['filesystem'] or row['type']}{name}, {format_size(_number(row['size']))}, used {format_size(_number(row['used']))}")
    for key, fact in sorted(info.provenance.items()):
        shown = "; ".join(f"{name} {inner}" for name, inner in fact.items()) if isinstance(fact, Mapping) else str(fact)
        yield f"  {printable(key):9} {printable(shown)}"


def time_of(created_ns: int | None) -> str | None:
    """Date and time, UTC; None when unknown or beyond the calendar."""
    if not created_ns:
        return None
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=created_ns // 1000):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return f"{created_ns} ns after 1970"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _size(size: int | None) -> str | None:
    return None if size is None else f"{format_size(size)} ({size} bytes)"


def _stored(info: ArchiveInfo) -> str | None:
    share = "" if info.ratio is None else f", {100 * info.ratio:.1f} % of what is used"
    return None if info.stored is None else f"{_size(info.stored)}{share}"


def _chunks(info: ArchiveInfo) -> str | None:
    return None if info.chunks is None or info.chunk_size is None else f"{info.chunks} of at most {format_size(info.chunk_size)}"


def _signature(info: ArchiveInfo) -> str | None:
    if info.signature is None:
        return None
    return f"by key {info.signature.key}" + ("" if info.signature.valid else ", NOT VALID")
