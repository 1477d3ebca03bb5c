"""`bpscript image squash`."""

import argparse

from ...api import squash as squash_archives
from ...base.errors import UsageError
from ...base.units import format_size, parse_size
from ..main import DONE
from ..progress import progress_sink
from . import Declare
from .keys import read_private_key
from .opening import need_file


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("squash", squash, "squash win98.imz patches.imi win98-patched.imz")
    sub.add_argument("base", metavar="BASE", help="the full or incremental archive that the differences were made against")
    sub.add_argument("differences", metavar="DIFFERENCE", nargs="+", help="made by IncrZip with $Base-Archive; applied in this order")
    sub.add_argument("out", metavar="OUT", help="the archive to write; an older one of this name is replaced when the new one is complete")
    sub.add_argument("--level", type=int, default=3, metavar="N", help="compression level of what is packed anew, -5 to 19 (default 3)")
    sub.add_argument("--threads", type=int, metavar="N", help="threads that pack (default: one for each processor)")
    sub.add_argument("--fragment-size", type=parse_size, metavar="S", help="cut the archive in pieces of this size: OUT, OUT.001, ...")
    sub.add_argument("--sign", metavar="KEY", help="sign the archive with this private key")


def squash(options: argparse.Namespace) -> int:
    """`image squash`."""
    for name in (options.base, *options.differences):
        need_file(name)
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"--threads {options.threads}: at least one is needed")
    key = None if options.sign is None else read_private_key(options.sign)
    summary = squash_archives(
        options.base, options.differences, options.out, level=options.level, threads=options.threads, fragment_size=options.fragment_size,
        sign=key, events=progress_sink(),
    )
    print(f"{options.out}: {format_size(summary.stored)}, root hash {summary.root.hex()}")
    return DONE
