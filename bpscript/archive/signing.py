"""Signing an archive, when it is written or afterwards, and asking for a signature (FORMAT.md, "Signature").

Signing later changes the end of the archive only: what follows the table. A crash must leave the old archive or the new one, so
nothing is overwritten: the file is copied as far as it stays (by the kernel, without reading where the file system can share
blocks), gets its new end, and replaces the old one. Of an archive in fragments only the one with the end is copied:

    name   name.001   name.002                 P: where the end begins
    |======|==========|=====P-|                name.002 is replaced; if it would become longer than the longest fragment,
    |======|==========|=====|sss|              the end goes into name.003 instead, and name.002 is cut at P

A reader looks for the end from the last fragment backwards, and takes the first that counts exactly the bytes before it: until
the cut that is the old one, after it the new one.
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from ..base.errors import FormatError, NoSpaceError, StorageError
from ..crypto.signatures import PrivateKey, is_valid, parse_private_key
from .container import Archive
from .opening import find_end
from .positional import JoinedBytes, fragment_name, open_from_host
from .table import SIGNED_TEXT, Signature

_STEP = 64 << 20
_NOT_THAT_WAY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}

Sign = Callable[[bytes], Signature]


def signer(key: PrivateKey) -> Sign:
    """What `ArchiveWriter.finish` and `capture` take to sign what they write."""
    return lambda text: Signature(key.public, key.sign(text))


def load_private_key(path: Path | str) -> PrivateKey:
    """The key in a file. Raises StorageError when it cannot be read, FormatError that names it when it holds no such key."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    try:
        return parse_private_key(text)
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", hint=error.hint) from error


def need_signature(archive: Archive, key: bytes, asked: str) -> None:
    """Raise FormatError unless the archive is signed by the key. `asked` says who wants that, in messages."""
    signature, table = archive.signature, archive.table
    if signature is None or table is None:
        raise FormatError(f"it is not signed, and {asked}")
    if signature.public_key != key or not is_valid(key, SIGNED_TEXT + table.root, signature.signature):
        raise FormatError(f"it carries no valid signature, and {asked}")


def sign_archive(path: Path, key: PrivateKey) -> None:
    """Sign an archive of ours on this host; an older signature is replaced. Raises FormatError, StorageError, NoSpaceError."""
    path = path.resolve()
    source = open_from_host(path)
    if not isinstance(source, JoinedBytes):
        raise StorageError(f"{path} is no file: only files can be signed")
    with closing(source):
        archive = Archive.open(source)
        table = archive.table
        assert table is not None        # it was opened with one
        position, tail = archive.signed(signer(key)(SIGNED_TEXT + table.root))
        end = find_end(source)
        starts = [0, *source.borders]
        ends = [*source.borders, source.size]
    number = max(index for index, start in enumerate(starts) if start <= position)
    last = max(index for index, start in enumerate(starts) if start < end)
    keep = position - starts[number]
    longest = max(stop - start for start, stop in zip(starts[: last + 1], ends, strict=False))
    place = _fragment(path, number)
    if last == number > 0 and keep and keep + len(tail) > longest:
        _replace(_fragment(path, number + 1), None, 0, tail, like=place)
        os.truncate(place, keep)
        _make_durable(place)
        return
    _replace(place, place, keep, tail, like=place)
    for old in range(number + 1, last + 1):
        _fragment(path, old).unlink(missing_ok=True)


def _fragment(path: Path, number: int) -> Path:
    return path.with_name(fragment_name(path.name, number))


def _replace(target: Path, start: Path | None, keep: int, tail: bytes, *, like: Path) -> None:
    """`keep` bytes of `start`, then `tail`, under the name `target`, with owner and mode of `like`. All of it or nothing."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with open(temporary, "xb", buffering=0) as file:
            if start is not None:
                with open(start, "rb", buffering=0) as source:
                    _copy(source.fileno(), file.fileno(), keep)
            file.seek(keep)
            view = memoryview(tail)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        facts = like.stat()
        shutil.copymode(like, temporary)
        with suppress(PermissionError):     # an ordinary user cannot give files away
            os.chown(temporary, facts.st_uid, facts.st_gid)
        temporary.replace(target)
        _make_durable(target.parent)
    except OSError as error:
        kind = NoSpaceError if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else StorageError
        raise kind(f"{target}: {error.strerror}; the archive is as it was") from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: int, target: int, length: int) -> None:
    """The first bytes of one open file to another: by the kernel where it can."""
    position = 0
    by_kernel = True
    while position < length:
        try:
            if by_kernel:
                count = os.copy_file_range(source, target, min(_STEP, length - position), position, position)
            else:
                count = os.pwrite(target, os.pread(source, min(1 << 20, length - position), position), position)
        except OSError as error:
            if not by_kernel or error.errno not in _NOT_THAT_WAY:
                raise
            by_kernel, count = False, 0
        else:
            if not count:
                raise OSError(errno.EIO, "the archive became shorter while it was copied")
        position += count


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
