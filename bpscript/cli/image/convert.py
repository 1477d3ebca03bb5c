"""`bpscript image convert`: one kind of image out of another."""

import argparse
import sys

from ...api import convert as convert_image
from ...base.errors import UsageError
from ...base.units import format_size, parse_size
from ...machine.capturing import FOLDER_KINDS, CaptureOptions
from ...machine.converting import Form
from ..main import DONE
from . import Declare
from .capture import add_packing, fragment_size_of, signer_of
from .common import events, folder_of
from .opening import about, need_file, split_partition


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("convert", convert, "convert clonezilla.gz linux.imz")
    sub.add_argument("source", metavar="A", help="an archive of ours (DISK.imz:2 is one partition of a disk), raw or partclone's, packed or not, tar, zip; - is standard input")
    sub.add_argument("target", metavar="B", help="its name tells what it becomes: .img .raw .dd .bin raw, .tar, .imz .zst a full archive, .imi .tar.zst an incremental one; - is standard output")
    sub.add_argument("--to", choices=tuple(Form), help="what it becomes, whatever its name")
    sub.add_argument("--force", action="store_true", help="replace B if it exists, when the new one is complete")
    add_packing(sub)
    sub.add_argument("--type", metavar="FS", type=str.upper, choices=FOLDER_KINDS, help=f"the file system made of files: {', '.join(FOLDER_KINDS)}; default EXT4")
    sub.add_argument("--size", metavar="S", help="its size; default: what the files need plus 20 %%")
    sub.add_argument("--seed", metavar="TEXT", help="make its ids from this text")
    sub.add_argument("--temp", metavar="DIR", help="where it is made, and what comes in order only is kept")


def convert(options: argparse.Namespace) -> int:
    """`image convert`."""
    chosen = CaptureOptions(
        level=options.level, long=options.long, threads=options.threads, fragment_size=fragment_size_of(options.fragment_size),
        sign=signer_of(options.sign), verify=not options.no_verify, kind=options.type,
        size=None if options.size is None else parse_size(options.size), seed=options.seed, temp_folder=folder_of(options.temp),
    )
    name, partition = split_partition(options.source)
    if name != "-":
        need_file(name)
    to_stdout = options.target == "-"
    if to_stdout and options.to is None:
        raise UsageError("standard output has no name that says what it is to be", hint=f"--to {', '.join(Form)}")
    with about(name):
        done = convert_image(
            sys.stdin.buffer if name == "-" else name, sys.stdout.buffer if to_stdout else options.target, chosen, to=options.to,
            partition=partition, force=options.force, events=events(),
        )
    if not to_stdout:
        checked = ", read back and compared" if done.verified else ""
        print(f"{options.target}: {format_size(done.stored)}{checked}")
    return DONE
