"""`bpscript image diff`: what differs between two trees, file by file."""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...archive.changes import ADDED, CHANGED, REMOVED, Change
from ...archive.opened import OpenArchive
from ...filesystems.filesystem import Filesystem
from ..listing import print_json, print_name, stat_of
from ..main import DONE, FAILED
from ..progress import progress_sink
from . import Declare
from .opening import about, open_named, split_archive

_SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: "~"}
_SIDE = "ARCHIVE[:path], IMG:PARTITION[/path] or a folder"


def add_to(declare: Declare) -> None:
    """Declare the action."""
    sub = declare("diff", diff, "diff linux.imz disk.img:1")
    sub.add_argument("a", metavar="A", help=_SIDE)
    sub.add_argument("b", metavar="B", help=_SIDE)
    sub.add_argument("--content", action="store_true", help="pass over times, owners, modes and attributes")
    sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")


def diff(options: argparse.Namespace) -> int:
    """`image diff`: 0 when nothing differs, 1 with what does."""
    with open_side(options.a) as (one, one_path), open_side(options.b) as (other, other_path), about(f"{options.a} or {options.b}"):
        for side, path, text in ((one, one_path, options.a), (other, other_path, options.b)):
            stat_of(*(side.find(path) if isinstance(side, OpenArchive) else (side, path)), text)
        if isinstance(one, OpenArchive):
            found = one.diff(other, one_path, other_path, content_only=options.content, events=progress_sink())
        else:
            from ...archive.changes import Side, changes  # noqa: PLC0415 - a folder is what archives are compared with, mostly

            volume, place = other.find(other_path) if isinstance(other, OpenArchive) else (other, other_path)
            found = changes(Side(one, one_path), Side(volume, place), content_only=options.content, events=progress_sink())
        return print_changes(found, as_json=options.json)


@contextmanager
def open_side(text: str) -> Iterator[tuple[OpenArchive | Filesystem, str]]:
    """An archive, disk or folder with the path in it. Raises UsageError when there is none of that name."""
    if Path(text).is_dir():
        from ...filesystems.folder import FolderVolume  # noqa: PLC0415 - only for folders

        folder = FolderVolume(text)
        try:
            yield folder, ""
        finally:
            folder.close()
        return
    name, path = split_archive(text)
    with open_named(name) as archive:
        yield archive, path


def print_changes(found: Iterable[Change], *, as_json: bool = False) -> int:
    """One line for each, as they are found; the exit status."""
    if as_json:
        rows = [{"path": each.path, "change": each.change, "what": list(each.what)} for each in found]
        print_json(rows)
        return FAILED if rows else DONE
    status = DONE
    for each in found:
        print_name(f"{_SIGNS[each.change]} {each.path}" + (f"  ({', '.join(each.what)})" if each.what else ""))
        status = FAILED
    return status
