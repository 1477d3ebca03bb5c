"""`bpscript disk`: make, look into and change disk images without a script."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from ..api import create_disk, open_disk
from ..base.errors import FormatError, InTheWayError, NotFoundError, UsageError
from ..base.units import format_size, parse_size
from ..blocks.device import BlockDevice
from ..filesystems.filesystem import FileKind, clean_path, make_dirs, remove_tree
from ..filesystems.links import follow_links
from ..filesystems.swap import SwapSpace
from ..machine.disk import Disk
from .listing import copy_out, open_file, pour, print_directory, print_json, print_tree
from .main import DONE, FAILED
from .places import DiskImagePlace
from .progress import progress_sink

_STEP = 1 << 20
_EXAMPLES = """examples:
  bpscript disk create disk.img 2G --partitions "FAT32:512 LINUX-EXT2:*" --format
  bpscript disk show disk.img
  bpscript disk ls disk.img:1/windows
  bpscript disk get disk.img:2/etc/fstab -
  bpscript disk put autoexec.bat disk.img:1/
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb, its actions and their options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser(
        "disk", help=summary, description="Make, look into and change disk images.", epilog=_EXAMPLES, formatter_class=raw
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, function: Callable[[argparse.Namespace], int], text: str, example: str, **options: Any) -> Any:  # noqa: ANN401
        sub = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: bpscript disk {example}", **options)
        sub.set_defaults(function=function)
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        return sub

    def writes(sub: Any) -> None:  # noqa: ANN401
        sub.add_argument("-w", "--write-real-disk", action="store_true", help="allow writing to a real disk")

    sub = action("create", create, "make an empty image", 'create disk.img 2G --partitions "FAT32:*" --format')
    sub.add_argument("image", metavar="IMG")
    sub.add_argument("size", metavar="SIZE", help="K, M, G, T are 1024-based; a bare number is bytes")
    sub.add_argument("--partitions", metavar="LIST", help='as for SetPartitions, e.g. "FAT32:512 LINUX-EXT2:*"')
    sub.add_argument("--format", action="store_true", help="format every partition by its type")
    sub.add_argument("--force", action="store_true", help="replace an existing file")
    sub.add_argument("--seed", metavar="TEXT", help="make ids from this text")

    sub = action("show", show, "table, file systems, labels and use", "show disk.img")
    sub.add_argument("image", metavar="IMG")
    sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")

    for name, function, text in (
        ("ls", list_place, "list a directory"),
        ("tree", tree, "list everything below a directory"),
        ("cat", cat, "write a file to standard output"),
        ("check", check, "check the file system of a partition, without writing"),
    ):
        sub = action(name, function, text, f"{name} disk.img:1" + ("" if name == "check" else "/etc/fstab" if name == "cat" else "/etc"))
        sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION/path")
        if name == "ls":
            sub.add_argument("--json", action="store_true", help="for programs; keys are in the manual")

    sub = action("get", get, "copy a file or directory out of an image", "get disk.img:1/etc/fstab .")
    sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION/path")
    sub.add_argument("dest", metavar="DEST", help="file or directory of the host, - is standard output")

    sub = action("put", put, "copy a file or directory into an image", "put autoexec.bat disk.img:1/")
    sub.add_argument("source", metavar="SOURCE", help="file or directory of the host, - is standard input")
    sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION/path; a path that ends in / or exists as a directory keeps the name")
    writes(sub)

    sub = action("mkdir", mkdir, "make a directory and its parents", "mkdir disk.img:1/etc/network")
    sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION/path")
    writes(sub)

    sub = action("rm", remove, "remove a file, or with -r a directory", "rm -r disk.img:1/tmp")
    sub.add_argument("place", metavar="PLACE", help="IMG:PARTITION/path")
    sub.add_argument("-r", "--recursive", action="store_true", help="with everything in it")
    writes(sub)


def create(options: argparse.Namespace) -> int:
    """`disk create`."""
    if options.format and not options.partitions:
        raise UsageError("--format needs --partitions")
    create_disk(
        options.image,
        parse_size(options.size),
        partitions=options.partitions,
        format_partitions=options.format,
        force=options.force,
        seed=options.seed,
    )
    return DONE


def show(options: argparse.Namespace) -> int:
    """`disk show`."""
    with open_disk(options.image) as disk:
        facts = describe(disk)
    if options.json:
        print_json(facts)
    else:
        _print_disk(facts)
    return DONE


def _print_disk(facts: dict[str, Any]) -> None:
    identity = f", id {facts['id']}" if facts["id"] else ""
    print(f"{facts['image']}: {format_size(facts['size'])} ({facts['size']} bytes), {facts['scheme'] or 'no'} partition table{identity}")
    for text in facts["warnings"]:
        print(f"warning: {text}", file=sys.stderr)
    rows = [
        (
            str(row["number"]), "*" if row["boot"] else "", row["type"], str(row["start"]), format_size(row["size"]), row["filesystem"] or "-",
            row["label"] or "", row["id"] or "", "" if row["used"] is None else format_size(row["used"]),
        )
        for row in facts["partitions"]
    ]
    if rows:
        heading = ("no", "boot", "type", "start", "size", "system", "label", "id", "used")
        widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
        for row in (heading, *rows):
            cells = [cell.rjust(width) if at in {0, 3, 4, 8} else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True))]
            print("  ".join(cells).rstrip())
    if facts["cache"]:
        print(f"cache: {format_size(facts['cache']['size'])} from byte {facts['cache']['start']}")


def describe(disk: Disk) -> dict[str, Any]:
    """What `disk show --json` says; the manual lists the keys."""
    table = disk.table()
    rows = []
    for entry in table.partitions:
        system = label = ident = None
        used = None
        if not entry.is_extended and disk.kind_of(entry.number) is not None:
            system = disk.kind_of(entry.number)
            if disk.has_volume(entry.number):
                volume = disk.volume(entry.number)
                usage = volume.usage()
                label, ident, used = volume.label, volume.ident, usage.total - usage.free
            elif system == "SWAP" and (space := SwapSpace.parse(disk.partition(entry.number))) is not None:
                label, ident = space.label, str(space.uuid)
            elif system == "NTFS":
                label, ident, used = _ntfs_facts(disk.partition(entry.number))
        rows.append(
            {
                "number": entry.number, "type": entry.word(system), "boot": entry.boot, "start": entry.start, "size": entry.size,
                "filesystem": system, "label": label, "id": ident, "used": used,
            }
        )
    area = disk.cache_area()
    return {
        "image": disk.name, "size": disk.device.size, "scheme": table.scheme, "id": disk.ident or None, "partitions": rows,
        "cache": None if area is None else {"start": area.start, "size": area.size}, "warnings": list(table.warnings),
    }


def _ntfs_facts(device: BlockDevice) -> tuple[str | None, str | None, int | None]:
    """Label, serial number and bytes in use of an NTFS volume; None for what cannot be read."""
    from ..filesystems.ntfs import NtfsVolume  # noqa: PLC0415 - few disks have one

    try:
        volume = NtfsVolume.read(device)
        return volume.label(device), volume.serial, sum(end - start for start, end in volume.used_ranges(device))
    except FormatError:
        return None, None, None


def list_place(options: argparse.Namespace) -> int:
    """`disk ls`."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image) as disk:
        volume = disk.volume(place.need_partition())
        print_directory(volume, follow_links(volume, place.path), as_json=options.json)
    return DONE


def tree(options: argparse.Namespace) -> int:
    """`disk tree`."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image) as disk:
        volume = disk.volume(place.need_partition())
        print_tree(volume, follow_links(volume, place.path))
    return DONE


def cat(options: argparse.Namespace) -> int:
    """`disk cat`."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image) as disk:
        volume = disk.volume(place.need_partition())
        pour(open_file(volume, follow_links(volume, place.path), str(place)), sys.stdout.buffer)
    return DONE


def check(options: argparse.Namespace) -> int:
    """`disk check`: 0 when it is consistent, 1 with the findings when not."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image) as disk:
        number = place.need_partition()
        volume = disk.volume(number)
        problems = volume.check()
        for problem in problems:
            print(problem)
        if not problems:
            print(f"{place.image}:{number}: {volume.kind}, no problems found")
    return FAILED if problems else DONE


def get(options: argparse.Namespace) -> int:
    """`disk get`."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image) as disk:
        volume = disk.volume(place.need_partition())
        copy_out(volume, follow_links(volume, place.path), options.dest, str(place), progress_sink())
    return DONE


def put(options: argparse.Namespace) -> int:
    """`disk put`."""
    place = DiskImagePlace.parse(options.place)
    source = Path(options.source)
    if options.source != "-" and not source.exists():
        raise UsageError(f"{source}: no such file or directory")
    with open_disk(place.image, writable=True, write_real_disks=options.write_real_disk) as disk:
        volume = disk.volume(place.need_partition())
        path = follow_links(volume, place.path)
        is_dir = not path or (volume.exists(path) and volume.stat(path).kind is FileKind.DIRECTORY)
        if options.source == "-":
            if is_dir:
                raise UsageError(f"{place}: standard input needs a file name")
            volume.write_file(path, iter(lambda: sys.stdin.buffer.read(_STEP), b""))
            return DONE
        if is_dir or options.place.endswith("/"):
            path = clean_path(f"{path}/{source.absolute().name}")
        if source.is_dir():
            from ..archive.trees import copy_tree  # noqa: PLC0415
            from ..filesystems.folder import FolderVolume  # noqa: PLC0415

            make_dirs(volume, path)
            with closing(FolderVolume(source)) as folder:
                copy_tree(folder, "", volume, path)
            return DONE
        with open(source, "rb") as file:
            volume.write_file(path, iter(lambda: file.read(_STEP), b""), os.fstat(file.fileno()).st_size)
    return DONE


def mkdir(options: argparse.Namespace) -> int:
    """`disk mkdir`."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image, writable=True, write_real_disks=options.write_real_disk) as disk:
        make_dirs(disk.volume(place.need_partition()), place.path)
    return DONE


def remove(options: argparse.Namespace) -> int:
    """`disk rm`."""
    place = DiskImagePlace.parse(options.place)
    with open_disk(place.image, writable=True, write_real_disks=options.write_real_disk) as disk:
        volume = disk.volume(place.need_partition())
        if not place.path and not options.recursive:
            raise UsageError(f"{place}: this is the root directory", hint="-r empties it")
        if not volume.exists(place.path):
            raise NotFoundError(f"{place}: no such file or directory")
        if volume.stat(place.path).kind is FileKind.DIRECTORY and not options.recursive:
            raise InTheWayError(f"{place} is a directory", hint="-r removes it with everything in it")
        remove_tree(volume, place.path)
    return DONE
