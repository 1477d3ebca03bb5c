"""What `disk` and `image` share: listings of directories, files to standard output, files and directories out to the host."""

import json
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from ..base.clock import local_time
from ..base.errors import InTheWayError, NotFoundError, StorageError
from ..base.events import Sink, ignore
from ..base.sources import Reader
from ..filesystems.filesystem import Facts, FileKind, Filesystem

_STEP = 1 << 20
_LETTERS = {
    FileKind.FILE: "-", FileKind.DIRECTORY: "d", FileKind.SYMLINK: "l", FileKind.CHARACTER_DEVICE: "c",
    FileKind.BLOCK_DEVICE: "b", FileKind.FIFO: "p", FileKind.SOCKET: "s",
}


def print_directory(volume: Filesystem, path: str, *, as_json: bool) -> None:
    """A directory's entries by name, or the one file that `path` names."""
    facts = volume.stat(path)
    entries = sorted(volume.entries(path)) if facts.kind is FileKind.DIRECTORY else [(path.rpartition("/")[2], facts)]
    if as_json:
        print_json([entry_facts(name, each) for name, each in entries])
        return
    for name, each in entries:
        print_name(entry_line(name, each))


def print_tree(volume: Filesystem, path: str) -> None:
    """Everything below a directory."""
    for line in tree_lines(volume, path):
        print_name(line)


def print_json(value: object) -> None:
    """A value for programs."""
    json.dump(value, sys.stdout, indent=1)
    print()


def print_name(line: str) -> None:
    """A line with names of files in it: as they are, but a terminal must not obey what stands in a name."""
    if sys.stdout.isatty():
        print(printable(line))
    else:
        data = line.encode(sys.stdout.encoding or "utf-8", "surrogateescape")
        try:
            print(data.decode(sys.stdout.encoding or "utf-8"))
        except UnicodeDecodeError:      # a name that is no UTF-8: its bytes
            sys.stdout.flush()
            sys.stdout.buffer.write(data + b"\n")


def printable(text: str) -> str:
    """A text from a disk or archive with a mark for everything that is no letter, digit or sign."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def entry_line(name: str, facts: Facts) -> str:
    """One line of `ls`: mode and owner where the file system has them, size, time, name."""
    unix = facts.unix
    mode = f"{_LETTERS[facts.kind]}{stat.filemode(stat.S_IFREG | unix.mode)[1:]} {unix.uid:5} {unix.gid:5} " if unix else ""
    size = "<DIR>" if facts.kind is FileKind.DIRECTORY else str(facts.size)
    if unix and facts.kind in {FileKind.CHARACTER_DEVICE, FileKind.BLOCK_DEVICE}:
        size = "{}, {}".format(*unix.device)
    target = f" -> {facts.target}" if facts.kind is FileKind.SYMLINK else "/" if facts.kind is FileKind.DIRECTORY else ""
    return f"{mode}{size:>12} {local_time(facts.mtime_ns)} {name}{target}"


def entry_facts(name: str, facts: Facts) -> dict[str, object]:
    """The same for programs; the manual lists the keys."""
    unix = facts.unix
    return {
        "name": name, "kind": str(facts.kind), "size": facts.size, "mtime_ns": facts.mtime_ns, "target": facts.target or None,
        "mode": None if unix is None else f"{unix.mode:04o}", "uid": None if unix is None else unix.uid, "gid": None if unix is None else unix.gid,
        "attributes": None if facts.dos is None else facts.dos.attributes,
    }


def tree_lines(volume: Filesystem, path: str, indent: str = "") -> Iterator[str]:
    """Everything below a directory, two blanks a level, directories with a slash."""
    for name, facts in sorted(volume.entries(path)):
        if facts.kind is FileKind.DIRECTORY:
            yield f"{indent}{name}/"
            yield from tree_lines(volume, f"{path}/{name}" if path else name, indent + "  ")
        else:
            yield f"{indent}{name}" + (f" -> {facts.target}" if facts.kind is FileKind.SYMLINK else "")


def open_file(volume: Filesystem, path: str, shown: str) -> Reader:
    """The contents of a file; `shown` is how the user named it. Raises InTheWayError for anything else."""
    facts = stat_of(volume, path, shown)
    if facts.kind is not FileKind.FILE:
        raise InTheWayError(f"{shown} is a {facts.kind}, not a file")
    return volume.open(path)


def stat_of(volume: Filesystem, path: str, shown: str) -> Facts:
    """Facts of a path. Raises NotFoundError in the words of the user."""
    try:
        return volume.stat(path)
    except (NotFoundError, InTheWayError) as error:
        raise NotFoundError(f"{shown}: no such file or directory") from error


def pour(reader: Reader, out: BinaryIO | Any) -> None:  # noqa: ANN401 - standard output may be anything with `write`
    """A whole file."""
    with closing(reader):
        while data := reader.read(_STEP):
            out.write(data)


def copy_out(volume: Filesystem, path: str, dest: str, shown: str, events: Sink = ignore) -> None:
    """A file or directory to the host, with times, modes and links, and as root with owners; `-` is standard output.

    Into an existing directory it goes under its own name, the root of a volume with everything in it. Whatever names stand on the
    volume, nothing is written outside `dest`.
    """
    facts = stat_of(volume, path, shown)
    if dest == "-":
        pour(open_file(volume, path, shown), sys.stdout.buffer)
        return
    target = Path(dest)
    if path and target.is_dir():
        target /= path.rpartition("/")[2]
    if facts.kind is FileKind.DIRECTORY:
        if target.exists() and not target.is_dir():
            raise InTheWayError(f"{target} is a file, and {shown} a directory")
        from ..archive.trees import copy_tree  # noqa: PLC0415 - only for directories
        from ..filesystems.folder import FolderVolume  # noqa: PLC0415

        target.mkdir(parents=True, exist_ok=True)
        with closing(FolderVolume(target)) as folder:
            copy_tree(volume, path, folder, "", sink=events)
            if path:
                folder.set_facts("", facts)
        return
    reader = open_file(volume, path, shown)
    if target.exists() and not target.is_file() and not target.is_dir():
        with open(target, "wb", buffering=0) as out:        # a device or pipe of the host is not replaced
            pour(reader, out)
        return
    with closing(reader):
        _write_file(target, facts, reader)


def _write_file(target: Path, facts: Facts, reader: Reader) -> None:
    from ..filesystems.folder import FolderVolume  # noqa: PLC0415 - only here

    if target.is_dir():
        raise InTheWayError(f"{target} is a directory")
    if not target.parent.is_dir():
        raise NotFoundError(f"{target.parent}: no such directory")
    with closing(FolderVolume(target.parent)) as folder:
        try:
            folder.write_file(target.name, iter(lambda: reader.read(_STEP), b""), facts.size, facts)
        except StorageError as error:
            if error.message.startswith(f'"{target.name}"'):
                raise type(error)(f"{target}{error.message[len(target.name) + 2 :]}", hint=error.hint) from error
            raise
