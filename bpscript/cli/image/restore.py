"""`bpscript image restore`: archives back onto disks and into folders."""

import argparse
import sys
from typing import TYPE_CHECKING

from ...api import restore as restore_archive
from ...base.units import format_size
from ...machine.restoring import RestoreOptions
from ..main import DONE
from . import Declare
from .common import add_json, events, file_of, folder_of, print_json
from .opening import about, need_file, split_partition

if TYPE_CHECKING:
    from ...archive.report import Restored


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("restore", restore, "restore linux.imz disk.img:1")
    sub.add_argument("archive", metavar="ARCHIVE", help="ours, or an image of another program, a file, http(s)://..., tftp://..., or by multicast carousel+http://... or multicast+tftp://...; ARCHIVE:N is one partition out of the archive of a disk; - is standard input")
    sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION, a disk or partition without a number; files go into IMG:PARTITION/path or a folder of this host")
    sub.add_argument("--rewrite", choices=("auto", "all", "diff"), default="auto", help="write what differs (diff), everything (all), or see what pays (auto, the default)")
    sub.add_argument("--verify", action="store_true", help="read everything back, from the medium where the host lets us")
    sub.add_argument("--resize-last", action="store_true", help="of a disk: the last partition grows or shrinks to the end of the disk")
    sub.add_argument("--discard", action="store_true", help="unused blocks become holes of an image, and are trimmed on a disk")
    sub.add_argument("--key", metavar="PUB", help="refuse an archive that is not signed by this key")
    sub.add_argument("--temp", metavar="DIR", help="where an image that is packed by others is unpacked")
    add_json(sub)
    sub.add_argument("-w", "--write-real-disk", action="store_true", help="allow writing to a real disk")


def restore(options: argparse.Namespace) -> int:
    """`image restore`."""
    name, partition = split_partition(options.archive)
    chosen = RestoreOptions(
        rewrite=options.rewrite, verify=options.verify, resize_last=options.resize_last, discard=options.discard, partition=partition,
        key=file_of(options.key), write_real_disks=options.write_real_disk, temp_folder=folder_of(options.temp),
    )
    with about(name):
        if name == "-":
            done = restore_archive(sys.stdin.buffer, options.place, chosen, events=events())
        else:
            need_file(name)
            done = restore_archive(name, options.place, chosen, events=events())
    if options.json:
        print_json({"place": options.place, **done._asdict()})
    else:
        print(restored_line(options.place, done))
    return DONE


def restored_line(place: str, done: "Restored") -> str:
    """What a restore did, in a line."""
    equal = f", {format_size(done.equal)} were there already" if done.equal else ""
    return f"{place}: {format_size(done.written)} written{equal} ({done.how})"
