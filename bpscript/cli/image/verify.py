"""`bpscript image verify`: every byte of an archive checked, or compared with a disk or folder."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ...api import open_disk
from ...archive.checking import Damage
from ...archive.opened import OpenArchive
from ...base.errors import FormatError, UsageError
from ...base.units import format_size
from ..main import DONE, FAILED
from ..places import DiskImagePlace
from ..progress import progress_sink
from . import Declare
from .opening import open_named

_SHOWN = 20


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("verify", verify, "verify linux.imz --against disk.img:1")
    sub.add_argument("archive", metavar="ARCHIVE", help="- is standard input")
    sub.add_argument("--against", metavar="PLACE", help="compare with this partition")
    sub.add_argument("--key", metavar="PUB", help="ask for a signature by this public key")


def verify(options: argparse.Namespace) -> int:
    """`image verify`: 0 when all is well, 1 with what is not."""
    key = None if options.key is None else read_public_key(options.key)
    with open_named(options.archive) as archive:
        if key is not None and not archive.is_stream:
            archive.need_signature(key, f"{options.key} is asked for")
        if options.against is not None:
            return _against(archive, options.archive, options.against)
        found = archive.check(progress_sink())
        for damage in found.damages:
            print(damage_line(damage))
        if found.count > len(found.damages):
            print(f"and {found.count - len(found.damages)} more")
        if found.count:
            return FAILED
        if key is not None and archive.is_stream:
            archive.need_signature(key, f"{options.key} is asked for")
        how = "everything could be read (it has no hashes to check by)" if archive.kind == "foreign" else "everything was decoded and is right"
        print(f"{options.archive}: {how}")
    return DONE


def read_public_key(name: str) -> bytes:
    """The key in a file. Raises UsageError when it cannot be read, FormatError when it is none."""
    from ...crypto.signatures import parse_public_key  # noqa: PLC0415 - only with --key

    try:
        text = Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    try:
        return parse_public_key(text)
    except FormatError as error:
        raise FormatError(f"{name}: {error.message}", hint=error.hint) from error


def damage_line(damage: Damage) -> str:
    """One finding: what, and which bytes of the contents and which files it concerns."""
    where = "" if damage.offset is None or damage.length is None else f" (bytes {damage.offset} to {damage.offset + damage.length})"
    files = f": {', '.join(damage.files)}" if damage.files else ""
    return f"{damage.message}{where}{files}"


def _against(archive: OpenArchive, name: str, text: str) -> int:
    place = DiskImagePlace.parse(text)
    with open_disk(place.image) as disk:
        device = disk.device if place.partition is None else disk.partition(place.partition)
        ranges = archive.compare(device, progress_sink())
    return _report_ranges(ranges, f"{text} is what {name} holds")


def _report_ranges(ranges: Sequence[tuple[int, int]], equal: str) -> int:
    for start, end in ranges[:_SHOWN]:
        print(f"bytes {start} to {end} differ ({format_size(end - start)})")
    if len(ranges) > _SHOWN:
        print(f"and {len(ranges) - _SHOWN} more ranges, {format_size(sum(end - start for start, end in ranges))} in all")
    if not ranges:
        print(equal)
    return FAILED if ranges else DONE
