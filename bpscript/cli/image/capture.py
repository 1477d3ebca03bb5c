"""`bpscript image capture`: archives out of disks and folders."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ...api import capture as capture_archive
from ...archive.destinations import SMALLEST_FRAGMENT
from ...archive.filters import Filters
from ...base.errors import StorageError, UsageError
from ...base.units import format_size, parse_size
from ...machine.capturing import FOLDER_KINDS, CaptureOptions
from ..main import DONE
from . import Declare
from .common import add_json, events, file_of, folder_of, print_json

if TYPE_CHECKING:
    from ...machine.capturing import Captured, Sign


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("capture", capture, "capture disk.img:1 linux.imz --exclude 'tmp/*' --sign lab.key")
    sub.add_argument("place", metavar="PLACE|DIR", help="a partition (IMG:PARTITION), a disk or partition without a number, a folder of this host; with --incremental also IMG:PARTITION/path")
    sub.add_argument("archive", metavar="ARCHIVE", help="an older archive of this name is replaced when the new one is complete; - is standard output")
    sub.add_argument("--incremental", action="store_true", help="the files (a tar stream) instead of the partition")
    sub.add_argument("--exclude", metavar="P", dest="filters", action="append", type=lambda text: ("-", text), default=[], help="leave out what matches: full paths, * also runs across /")
    sub.add_argument("--include", metavar="P", dest="filters", action="append", type=lambda text: ("+", text), help="an exception to the --exclude before it")
    add_packing(sub)
    sub.add_argument("--owner-map", metavar="F", help="owners, modes and devices of a folder: mtree(5), or lines PATTERN UID GID [MODE]")
    sub.add_argument("--type", metavar="FS", type=str.upper, choices=FOLDER_KINDS, help=f"the file system made of a folder: {', '.join(FOLDER_KINDS)}; default EXT4")
    sub.add_argument("--size", metavar="S", help="its size; default: what the files need plus 20 %%")
    sub.add_argument("--seed", metavar="TEXT", help="make its ids from this text")
    sub.add_argument("--temp", metavar="DIR", help="where it is made")
    add_json(sub)


def add_packing(sub: Any) -> None:  # noqa: ANN401 - argparse's own type is private
    """The options of everything that writes an archive."""
    sub.add_argument("--level", metavar="N", type=int, default=3, help="-5 (fastest) to 19 (smallest), default 3")
    sub.add_argument("--long", action="store_true", help="match over 16 MB at a time: a tenth smaller, needs more memory")
    sub.add_argument("--threads", metavar="N", type=int, help="default: all processors; the bytes are the same")
    sub.add_argument("--fragment-size", metavar="S", help="cut into ARCHIVE, ARCHIVE.001, ...; K M G T, at least 64K")
    sub.add_argument("--sign", metavar="KEY", help="sign with this private key")
    sub.add_argument("--no-verify", action="store_true", help="do not read back and compare")


def capture(options: argparse.Namespace) -> int:
    """`image capture`."""
    chosen = CaptureOptions(
        incremental=options.incremental, filters=filters_of(options.filters), level=options.level, long=options.long,
        threads=options.threads, fragment_size=fragment_size_of(options.fragment_size),
        owner_map=file_of(options.owner_map), sign=signer_of(options.sign), verify=not options.no_verify, kind=options.type,
        size=None if options.size is None else parse_size(options.size), seed=options.seed, temp_folder=folder_of(options.temp),
    )
    if options.archive == "-":
        if chosen.fragment_size is not None:
            raise UsageError("standard output cannot be cut into fragments")
        if sys.stdout.isatty():
            raise UsageError("an archive is nothing for a terminal", hint="redirect it into a file or a pipe")
        capture_archive(options.place, sys.stdout.buffer, chosen, events=events())
        return DONE
    done = capture_archive(options.place, options.archive, chosen, events=events())
    if options.json:
        print_json(captured_facts(options.archive, done))
    else:
        print(captured_line(options.archive, done))
    return DONE


def filters_of(pairs: list[tuple[str, str]]) -> Filters:
    """`--exclude` and `--include` in the order they were given. Raises UsageError for an include before any exclude."""
    filters = Filters()
    for sign, pattern in pairs:
        if sign == "-":
            filters = filters.leave_out(pattern)
            continue
        try:
            filters = filters.let_in(pattern)
        except StorageError as error:
            raise UsageError(f'--include "{pattern}" has no --exclude before it', hint='for example --exclude "tmp/*" --include "tmp/keep"') from error
    return filters


def captured_facts(name: str, done: "Captured") -> dict[str, object]:
    """What `--json` says of an archive that was written; the manual lists the keys."""
    return {**done._asdict(), "root": done.root.hex() or None, "archive": name}


def captured_line(name: str, done: "Captured") -> str:
    """What a capture made, in a line."""
    what = {"FOLDER": "files", "RAW": "contents"}.get(done.filesystem, done.filesystem)
    checked = "read back and compared" if done.verified else "not read back"
    return f"{name}: {format_size(done.used)} of {what} in {format_size(done.stored)}, {checked}"


def fragment_size_of(text: str | None) -> int | None:
    """Bytes of `--fragment-size`. Raises UsageError for less than 64 KB."""
    if text is None:
        return None
    size = parse_size(text)
    if size < SMALLEST_FRAGMENT:
        raise UsageError(f"--fragment-size {text} is less than 64 KB")
    return size


def signer_of(name: str | None) -> "Sign | None":
    """What signs with the key in a file."""
    if name is None:
        return None
    from ...archive.signing import signer  # noqa: PLC0415 - only with --sign
    from .keys import read_private_key  # noqa: PLC0415

    return signer(read_private_key(name))
