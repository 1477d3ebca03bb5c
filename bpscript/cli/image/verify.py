"""`bpscript image verify`: every byte of an archive checked, or compared with a disk or folder."""

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ...api import open_disk
from ...archive.checking import Damage
from ...archive.opened import OpenArchive
from ...base.errors import FormatError, UsageError
from ...base.units import format_size
from ..listing import printable
from ..main import DONE, FAILED
from ..places import DiskImagePlace
from ..progress import progress_sink
from . import Declare
from .opening import open_named

_SHOWN = 20


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("verify", verify, "verify linux.imz --against disk.img:1")
    sub.add_argument("archive", metavar="ARCHIVE", help="a file or http(s)://..., - is standard input")
    sub.add_argument("--against", metavar="PLACE", help="compare with a partition, disk or folder")
    sub.add_argument("--content", action="store_true", help="with --against file by file: pass over times, owners, modes and attributes")
    sub.add_argument("--key", metavar="PUB", help="ask for a signature by this public key")


def verify(options: argparse.Namespace) -> int:
    """`image verify`: 0 when all is well, 1 with what is not."""
    key = None if options.key is None else read_public_key(options.key)
    with open_named(options.archive) as archive:
        if key is not None and not archive.is_stream:
            archive.need_signature(key, f"{options.key} is asked for")
        if options.against is not None:
            return _against(archive, options.archive, options.against, content_only=options.content)
        found = archive.check(progress_sink())
        for damage in found.damages:
            print(damage_line(damage))
        if found.count > len(found.damages):
            print(f"and {found.count - len(found.damages)} more")
        if found.count:
            return FAILED
        if key is not None and archive.is_stream:
            archive.need_signature(key, f"{options.key} is asked for")
        how = "everything was decoded and is right"
        if archive.kind == "foreign":
            how = "everything could be read" + (" (a raw image has nothing to check by)" if archive.info.format == "raw image" else "")
        print(f"{'standard input' if options.archive == '-' else options.archive}: {how}")
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
    files = f": {', '.join(map(printable, damage.files))}" if damage.files else ""
    return f"{damage.message}{where}{files}"


def _against(archive: OpenArchive, name: str, text: str, *, content_only: bool) -> int:
    place = DiskImagePlace.parse(text)
    if Path(text).is_dir() or place.path or archive.holds_files:
        return _against_files(archive, name, text, content_only=content_only)
    with open_disk(place.image) as disk:
        device = disk.device if place.partition is None else disk.partition(place.partition)
        ranges = archive.compare(device, progress_sink())
    return _report_ranges(ranges, f"{text} is what {name} holds")


def _against_files(archive: OpenArchive, name: str, text: str, *, content_only: bool) -> int:
    from ...archive.changes import ADDED, Change  # noqa: PLC0415 - only for files
    from .diff import open_side, print_changes  # noqa: PLC0415

    with open_side(text) as (place, path):
        volume, inner = place.find(path) if isinstance(place, OpenArchive) else (place, path)
        found = archive.diff(volume, other_path=inner, content_only=content_only, events=progress_sink())
        start = f"{inner}/" if inner else ""
        left = (Change(each, ADDED) for each in archive.removals if volume.exists(start + each))
        # What only the place has is no concern of an archive of files, but what it removes must be gone.
        wanted = (each for each in found if each.change != ADDED) if archive.holds_files else found
        status = print_changes(chain(wanted, left))
    if status == DONE:
        print(f"{text} has what {name} holds")
    return status


def _report_ranges(ranges: Sequence[tuple[int, int]], equal: str) -> int:
    for start, end in ranges[:_SHOWN]:
        print(f"bytes {start} to {end} differ ({format_size(end - start)})")
    if len(ranges) > _SHOWN:
        print(f"and {len(ranges) - _SHOWN} more ranges, {format_size(sum(end - start for start, end in ranges))} in all")
    if not ranges:
        print(equal)
    return FAILED if ranges else DONE
