"""Commands for files (language.md 8.7) and what the log shows of them (8.1)."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

from ..base.clock import local_time
from ..base.errors import InTheWayError, NotFoundError, StorageError
from ..base.text import decode, encode
from ..filesystems.places import DiskPlace
from ..interpreter.run import Run
from ..language.declare import command
from ..language.patterns import compile_pattern
from ..machine.files import File, Files, SourceFile, VolumeFile
from ..network.foreign import parse_foreign
from ..partitions.partition import CACHE
from .arguments import FileName, Mark, NewFileName, PathName

NAME = "[A-Za-z_][A-Za-z0-9_+-]*"      # of a variable (language.md 2.4)


@command("Copy", group="disks and files", writes_disk=True)
def copy(run: Run, source: FileName, dest: NewFileName) -> None:
    """Copy a file byte for byte; a file of the destination's name is replaced.

    Args:
        source: the file to read
        dest: the file to write; its directory must exist

    Examples:
        > Copy "autoexec.bat" "{:1}/autoexec.bat"
    """
    if _is_same(run, source, dest):
        run.machine.files.open(source).close()      # it must exist; there is nothing to do
        return
    with _caching(run, dest) as files:
        _write_checked(run, dest, files.chunks(source), _size_of(files.at(source)))


@command("Append", group="disks and files", writes_disk=True)
def append(run: Run, src1: FileName, src2: FileName, dest: NewFileName) -> None:
    """Write two files, one after the other, into a third.

    Args:
        src1: the file that comes first
        src2: the file that comes second
        dest: the file to write, which must not be one of the two

    Examples:
        > Append "hosts.head" "hosts.tail" "{:1}/etc/hosts"
    """
    if _is_same(run, src1, dest) or _is_same(run, src2, dest):
        raise StorageError(f'"{dest}" cannot be both read and written by Append')
    with _caching(run, dest) as files:
        files.open(src2).close()
        sizes = [_size_of(files.at(src1)), _size_of(files.at(src2))]
        both = chain(files.chunks(src1), files.chunks(src2))
        _write_checked(run, dest, both, None if None in sizes else sum(size or 0 for size in sizes))


@command("Patch", group="disks and files", writes_disk=True)
def patch(run: Run, source: FileName, dest: NewFileName, prefix: Mark = "${", postfix: Mark = "}") -> None:
    r"""Copy a text file, replacing every `${name}` by the value of the variable.

    Args:
        source: the file to read
        dest: the file to write; it may be the source
        prefix: what stands before a name
        postfix: what stands after a name, on the same line

    Examples:
        > Patch "ifcfg-eth0.ref" "{:1}/etc/ifcfg-eth0"
        > Patch "autoexec.ref" "{:1}autoexec.bat" "@@" "@@"
    """
    with _caching(run, dest) as files:
        original = files.read(source)
    text = decode(original, iso_latin=run.variables.is_on("IsoLatin"), code_page=run.code_page)
    try:
        data = encode("".join(patched(text.text, prefix, postfix, run.variables.get)), text.encoding)
    except UnicodeEncodeError as error:
        found = error.object[error.start]
        raise StorageError(f'"{source}" is {text.encoding} text, which cannot hold the character "{found}" of a value') from error
    _write_checked(run, dest, iter([data]), len(data))


def patched(text: str, prefix: str, postfix: str, value: Callable[[str], str]) -> Iterator[str]:
    """The text in pieces, with names between prefix and postfix replaced; everything else is as it was."""
    # The name ends at the first postfix. It holds no line end, so a postfix on a later line never makes one.
    named = re.compile(rf"(?!{re.escape(postfix)})({NAME}?){re.escape(postfix)}")
    position = 0
    while (start := text.find(prefix, position)) >= 0:
        inner = start + len(prefix)
        match = named.match(text, inner)
        yield text[position:start]
        yield prefix if match is None else value(match[1])
        position = inner if match is None else match.end()
    yield text[position:]


@command("MkDir", group="disks and files", writes_disk=True)
def mkdir(run: Run, path: PathName) -> None:
    """Make a directory, and its parents where they are missing.

    Args:
        path: the directory

    Examples:
        > MkDir "{:1}/etc/network"
    """
    run.machine.files.at(path).make_dir()


@command("Delete", "Del", group="disks and files", writes_disk=True)
def delete(run: Run, file: PathName) -> None:
    """Remove a file.

    Args:
        file: the file, which must exist

    Examples:
        > Delete "{:1}/etc/motd"
    """
    run.machine.files.at(file).remove()


@command("DelTree", group="disks and files", writes_disk=True)
def deltree(run: Run, path: PathName) -> None:
    """Remove a directory with all in it; the root directory is emptied. No error if it does not exist.

    Args:
        path: the directory

    Examples:
        > DelTree "{:1}/tmp"
    """
    run.machine.files.at(path).remove_tree()


@command("LogFile", group="monitoring")
def log_file(run: Run, filename: FileName) -> None:
    """Write the contents of a file to the log.

    Args:
        filename: the file

    Examples:
        > LogFile "{:1}/autoexec.bat"
    """
    text = decode(run.machine.files.read(filename), iso_latin=run.variables.is_on("IsoLatin"), code_page=run.code_page)
    run.log(text.text)


@command("LogDir", group="monitoring", usage='"path/pattern"')
def log_dir(run: Run, path: PathName) -> None:
    """Write a directory to the log: date and time, size or <DIR>, and name of each entry.

    Args:
        path: a directory or a file; the last name may be a pattern with `?` and `*`

    Examples:
        > LogDir "{:1}/windows"
        > LogDir "{:1}/usr/g*p"
    """
    folder, pattern = _split_pattern(path)
    file = run.machine.files.at(folder)
    facts = file.stat()
    if facts is None and not _is_flat(file):
        raise NotFoundError(f'no directory "{folder}"')
    if facts is not None and not facts.is_directory:
        if pattern is not None:
            raise InTheWayError(f'"{folder}" is a file, not a directory')
        entries = [(re.split(r"[/\\}]", folder)[-1], facts)]
    else:
        entries = file.entries()
    matches = compile_pattern(pattern or "*", ignore_case=_ignores_case(file))
    for name, each in entries:
        if matches(name):
            size = "<DIR>" if each.is_directory else str(each.size)
            run.log(f"{local_time(each.mtime_ns)} {size:>12} {name}{'/' if each.is_directory else ''}\r\n")


@command("LogTree", group="monitoring")
def log_tree(run: Run, path: PathName) -> None:
    """Write the tree below a directory to the log, two blanks a level.

    Args:
        path: the directory

    Examples:
        > LogTree "{:1}/"
    """
    file = run.machine.files.at(path)
    facts = file.stat()
    if facts is None or not facts.is_directory:
        raise NotFoundError(f'no directory "{path}"')
    for line in _tree(run, path, ""):
        run.log(line + "\r\n")


def _tree(run: Run, path: str, indent: str) -> Iterator[str]:
    for name, facts in run.machine.files.at(path).entries():
        yield f"{indent}{name}{'/' if facts.is_directory else ''}"
        if facts.is_directory:
            yield from _tree(run, f"{path.rstrip('/')}/{name}", indent + "  ")


def _split_pattern(path: str) -> tuple[str, str | None]:
    """The directory, and the pattern if the last name is one."""
    normal = path.replace("\\", "/")
    head, slash, last = normal.rpartition("/")
    if not slash and "}" in normal:
        head, slash, last = normal.partition("}")
    if not ("?" in last or "*" in last):
        return path, None
    return (head + slash).removesuffix("/") or "/", last


def _is_same(run: Run, one: str, other: str) -> bool:
    """Whether two names mean one file: also by another spelling where case does not matter, or through symbolic links."""
    files = run.machine.files
    if files.place(one) == files.place(other):
        return True
    first, second = files.at(one), files.at(other)
    if isinstance(first, SourceFile) and isinstance(second, SourceFile):
        return first.source is second.source and parse_foreign(first.path) == parse_foreign(second.path)
    if not isinstance(first, VolumeFile) or not isinstance(second, VolumeFile) or first.volume is not second.volume:
        return False
    paths = [file.resolved() for file in (first, second)]
    return paths[0] == paths[1] or (first.volume.ignores_case and paths[0].casefold() == paths[1].casefold())


def _caching(run: Run, dest: str) -> AbstractContextManager[Files]:
    """The files of the server by way of the cache, when `$CacheAlways` is on; not what goes into the cache anyway."""
    place = run.machine.files.place(dest)
    if isinstance(place, DiskPlace) and place.partition == CACHE:
        return nullcontext(run.machine.files)
    return run.machine.files.caching(if_asked=True)


def _is_flat(file: File) -> bool:
    """Whether the place has no directories as objects: the cache."""
    return isinstance(file, VolumeFile) and file.volume.kind == "CACHE"


def _ignores_case(file: File) -> bool:
    return isinstance(file, VolumeFile) and file.volume.ignores_case


def _size_of(file: File) -> int | None:
    facts = file.stat()
    return None if facts is None else facts.size


def _write_checked(run: Run, dest: str, chunks: Iterator[bytes], size: int | None) -> None:
    """Write a file, and with `$Verify` on read it back and compare."""
    files = run.machine.files
    if not run.variables.is_on("Verify"):
        files.write(dest, chunks, size)
        return
    from blake3 import blake3  # noqa: PLC0415 - only for $Verify

    wanted, found = blake3(), blake3()

    def hashed() -> Iterator[bytes]:
        for chunk in chunks:
            wanted.update(chunk)
            yield chunk

    files.write(dest, hashed(), size)
    run.machine.disks.flush()
    for chunk in files.chunks(dest):
        found.update(chunk)
    if found.digest() != wanted.digest():
        raise StorageError(f'"{dest}" does not read back as it was written')
