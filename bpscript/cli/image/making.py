"""`bpscript image capture`, `bpscript image restore`: archives out of disks and folders, and back."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...api import capture as capture_archive
from ...api import restore as restore_archive
from ...archive.destinations import SMALLEST_FRAGMENT
from ...archive.filters import Filters
from ...base.errors import StorageError, UsageError
from ...base.events import Event, Kind, Sink
from ...base.units import format_size, parse_size
from ...machine.capturing import FOLDER_KINDS, CaptureOptions
from ...machine.restoring import RestoreOptions
from ..main import DONE
from ..progress import progress_sink
from . import Declare
from .opening import about, need_file

if TYPE_CHECKING:
    from ...archive.report import Restored
    from ...machine.capturing import Captured, Sign


def add_to(declare: Declare) -> None:
    """Declare the actions."""
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
    _add_json(sub)

    sub = declare("restore", restore, "restore linux.imz disk.img:1")
    sub.add_argument("archive", metavar="ARCHIVE", help="ours, or an image of another program; ARCHIVE:N is one partition out of the archive of a disk; - is standard input")
    sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION, a disk or partition without a number; files go into IMG:PARTITION/path or a folder of this host")
    sub.add_argument("--rewrite", choices=("auto", "all", "diff"), default="auto", help="write what differs (diff), everything (all), or see what pays (auto, the default)")
    sub.add_argument("--verify", action="store_true", help="read everything back, from the medium where the host lets us")
    sub.add_argument("--resize-last", action="store_true", help="of a disk: the last partition grows or shrinks to the end of the disk")
    sub.add_argument("--discard", action="store_true", help="unused blocks become holes of an image, and are trimmed on a disk")
    sub.add_argument("--key", metavar="PUB", help="refuse an archive that is not signed by this key")
    sub.add_argument("--temp", metavar="DIR", help="where an image that is packed by others is unpacked")
    _add_json(sub)
    sub.add_argument("-w", "--write-real-disk", action="store_true", help="allow writing to a real disk")


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
        owner_map=_readable(options.owner_map), sign=signer_of(options.sign), verify=not options.no_verify, kind=options.type,
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


def restore(options: argparse.Namespace) -> int:
    """`image restore`."""
    name, partition = split_partition(options.archive)
    chosen = RestoreOptions(
        rewrite=options.rewrite, verify=options.verify, resize_last=options.resize_last, discard=options.discard, partition=partition,
        key=_readable(options.key), write_real_disks=options.write_real_disk, temp_folder=folder_of(options.temp),
    )
    with about(name):
        if name == "-":
            done = restore_archive(sys.stdin.buffer, options.place, chosen, events=events())
        else:
            need_file(name)
            done = restore_archive(name, options.place, chosen, events=events())
    if options.json:
        print_json({"place": options.place, **asdict(done)})
    else:
        print(restored_line(options.place, done))
    return DONE


def _add_json(sub: Any) -> None:  # noqa: ANN401 - as above
    sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")


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


def split_partition(text: str) -> tuple[str, int | None]:
    """`disk.imz:2`: the archive, and a partition of the disk in it. An existing file of the whole name wins."""
    name, colon, number = text.rpartition(":")
    if not colon or not number.isdecimal() or Path(text).exists() or not Path(name).exists():
        return text, None
    return name, int(number)


def events() -> Sink:
    """The progress bar, and warnings as lines on standard error."""
    bar = progress_sink()

    def take(event: Event) -> None:
        bar(event)
        if event.kind is Kind.WARNING:
            print(f"bpscript: warning: {event.data['text']}", file=sys.stderr)

    return take


def captured_facts(name: str, done: "Captured") -> dict[str, object]:
    """What `--json` says of an archive that was written; the manual lists the keys."""
    return {**asdict(done), "root": done.root.hex() or None, "archive": name}


def print_json(facts: dict[str, object]) -> None:
    """One object on standard output."""
    json.dump(facts, sys.stdout, indent=1)
    print()


def captured_line(name: str, done: "Captured") -> str:
    """What a capture made, in a line."""
    what = {"FOLDER": "files", "RAW": "contents"}.get(done.filesystem, done.filesystem)
    checked = "read back and compared" if done.verified else "not read back"
    return f"{name}: {format_size(done.used)} of {what} in {format_size(done.stored)}, {checked}"


def restored_line(place: str, done: "Restored") -> str:
    """What a restore did, in a line."""
    equal = f", {format_size(done.equal)} were there already" if done.equal else ""
    return f"{place}: {format_size(done.written)} written{equal} ({done.how})"


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


def _readable(name: str | None) -> Path | None:
    if name is not None and not Path(name).is_file():
        raise UsageError(f"{name}: no such file")
    return None if name is None else Path(name)


def folder_of(name: str | None) -> Path | None:
    """The folder of `--temp`. Raises UsageError when there is none."""
    if name is not None and not Path(name).is_dir():
        raise UsageError(f"{name}: no such directory")
    return None if name is None else Path(name)
