"""`bpscript image ls`, `tree`, `cat` and `get`: the files in an archive, without unpacking it."""

import argparse
import sys

from ..listing import copy_out, open_file, pour, print_directory, print_tree, stat_of
from ..main import DONE
from ..progress import progress_sink
from . import Declare
from .opening import open_named, split_archive

_PLACE = "ARCHIVE[:path], the archive a file or http(s)://...; of a whole disk, the path begins with the number of the partition"


def add_to(declare: Declare) -> None:
    """Declare the actions."""
    sub = declare("ls", ls, "ls linux.imz:etc")
    sub.add_argument("place", metavar="ARCHIVE[:path]", help=_PLACE)
    sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")
    sub = declare("tree", tree, "tree lab.imz:2/etc")
    sub.add_argument("place", metavar="ARCHIVE[:path]", help=_PLACE)
    sub = declare("cat", cat, "cat linux.imz:etc/fstab")
    sub.add_argument("place", metavar="ARCHIVE:path", help=_PLACE)
    sub = declare("get", get, "get linux.imz:etc/fstab .")
    sub.add_argument("place", metavar="ARCHIVE[:path]", help=_PLACE)
    sub.add_argument("dest", metavar="DEST", help="file or directory of the host, - is standard output")


def ls(options: argparse.Namespace) -> int:
    """`image ls`."""
    name, path = split_archive(options.place)
    with open_named(name) as archive:
        volume, inner = archive.find(path)
        stat_of(volume, inner, options.place)
        print_directory(volume, inner, as_json=options.json)
    return DONE


def tree(options: argparse.Namespace) -> int:
    """`image tree`."""
    name, path = split_archive(options.place)
    with open_named(name) as archive:
        volume, inner = archive.find(path)
        stat_of(volume, inner, options.place)
        print_tree(volume, inner)
    return DONE


def cat(options: argparse.Namespace) -> int:
    """`image cat`."""
    name, path = split_archive(options.place)
    with open_named(name) as archive:
        volume, inner = archive.find(path)
        pour(open_file(volume, inner, options.place), sys.stdout.buffer)
    return DONE


def get(options: argparse.Namespace) -> int:
    """`image get`."""
    name, path = split_archive(options.place)
    with open_named(name) as archive:
        volume, inner = archive.find(path)
        copy_out(volume, inner, options.dest, options.place, progress_sink())
    return DONE
