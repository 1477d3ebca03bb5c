"""Facts of a file to the tar headers that carry them: ustar where it can say everything, pax records for the rest.

The bytes depend on path and facts only. User and group names, access and change times are left out on purpose: they would
make two archives of one tree differ.
"""

import re
from zlib import adler32

from ..base.errors import StorageError
from ..filesystems.filesystem import DosFacts, Facts, FileKind
from .tar_layout import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    CHECKSUM,
    DIRECTORY,
    DOS_XATTR,
    FIFO,
    FILE,
    HARD_LINK,
    HEADER_BUILD,
    MAX_PATH,
    PAX,
    POSIX_MAGIC,
    SYMLINK,
    XATTR,
)

_TYPES = {
    FileKind.FILE: FILE,
    FileKind.DIRECTORY: DIRECTORY,
    FileKind.SYMLINK: SYMLINK,
    FileKind.CHARACTER_DEVICE: CHARACTER_DEVICE,
    FileKind.BLOCK_DEVICE: BLOCK_DEVICE,
    FileKind.FIFO: FIFO,
}
_OCTAL_7 = 8**7      # first number that seven octal digits cannot say
_OCTAL_11 = 8**11
_PADDINGS = tuple(map(bytes, range(BLOCK)))     # a chunk of small files has thousands of them
_NO_EQUALS = re.compile(r"[^=\0]+\Z")


def tar_header(path: str, facts: Facts, link: str | None = None) -> bytes:
    """Everything before the contents of one entry: its pax header, if it needs one, and its ustar header.

    With `link`, the path of an earlier entry, the entry is a hard link to it and has no contents.
    Raises StorageError for a path or attribute that tar cannot hold, and for sockets.
    """
    kind = HARD_LINK if link is not None else _TYPES.get(facts.kind)
    if kind is None:
        raise StorageError(f'"{path}" is a {facts.kind}, which an archive of files cannot hold')
    unix = facts.unix
    mode = unix.mode if unix is not None else _mode_of(facts)
    uid, gid = (unix.uid, unix.gid) if unix is not None else (0, 0)
    major, minor = unix.device if unix is not None else (0, 0)
    size = facts.size if kind == FILE else 0
    seconds, fraction = divmod(facts.mtime_ns, 1_000_000_000)
    name = _encoded(path + "/" if kind == DIRECTORY else path, path)
    target = _encoded(link if link is not None else facts.target, path)

    records: list[tuple[bytes, bytes]] = []
    prefix = b""
    if len(name) > 100 or not name.isascii():
        split = _split(name)
        if split is None:
            records.append((b"path", name))
            name = _shortened(name)
        else:
            prefix, name = split
    if len(target) > 100 or not target.isascii():
        records.append((b"linkpath", target))
        target = _shortened(target)
    if size >= _OCTAL_11:
        records.append((b"size", b"%d" % size))
        size = 0
    if fraction or not 0 <= seconds < _OCTAL_11:
        records.append((b"mtime", _decimal(facts.mtime_ns)))
        seconds = min(max(seconds, 0), _OCTAL_11 - 1)
    if uid >= _OCTAL_7:
        records.append((b"uid", b"%d" % uid))
        uid = 0
    if gid >= _OCTAL_7:
        records.append((b"gid", b"%d" % gid))
        gid = 0
    if major >= _OCTAL_7 or minor >= _OCTAL_7:
        raise StorageError(f'"{path}": device number {major}:{minor} is too large for an archive of files')
    if link is None:
        if facts.dos is not None:
            records.append((XATTR + DOS_XATTR.encode(), dos_text(facts.dos)))
        if unix is not None:
            for key in sorted(unix.xattrs):
                if not _NO_EQUALS.match(key):
                    raise StorageError(f'"{path}": an archive of files cannot hold the attribute name {key!r}')
                records.append((XATTR + key.encode(errors="surrogateescape"), unix.xattrs[key]))
    header = _block(name, mode, uid, gid, size, seconds, kind, target, major, minor, prefix)
    return pax_header(records, name) + header if records else header


def pax_header(records: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    """A pax extended header: records of "length key=value\\n" whose length counts itself."""
    if any(not _is_utf8(value) for key, value in records if not key.startswith(XATTR)):
        records = [(b"hdrcharset", b"BINARY"), *records]     # POSIX: values are UTF-8 unless this says otherwise
    parts = []
    for key, value in records:
        bare = len(key) + len(value) + 3
        length = bare + len(str(bare))
        length += len(str(length)) - len(str(bare))
        parts.append(b"%d %b=%b\n" % (length, key, value))
    data = b"".join(parts)
    # The name is only seen by programs that know no pax: what libarchive and GNU tar use, without the process number.
    holder = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2]
    header = _block(holder[:100], 0o644, 0, 0, len(data), 0, PAX, b"", 0, 0, b"")
    return b"".join((header, data, padding(len(data))))


def padding(size: int) -> bytes:
    """Zeros from the end of `size` bytes to the end of their last block."""
    return _PADDINGS[-size % BLOCK]


def dos_text(dos: DosFacts) -> bytes:
    """The value of the attribute `DOS_XATTR`."""
    return f"{dos.attributes} {dos.created_ns} {dos.short_name}".encode()


def _mode_of(facts: Facts) -> int:
    writable = facts.dos is None or not facts.dos.attributes & 1
    if facts.kind is FileKind.DIRECTORY:
        return 0o755
    return 0o644 if writable else 0o444


def _block(  # noqa: PLR0917 - the fields of a header in their order
    name: bytes, mode: int, uid: int, gid: int, size: int, seconds: int, kind: bytes, target: bytes, major: int, minor: int, prefix: bytes
) -> bytes:
    block = bytearray(
        HEADER_BUILD.pack(
            name, b"%07o" % mode, b"%07o" % uid, b"%07o" % gid, b"%011o" % size, b"%011o" % seconds, b" " * 8, kind, target, POSIX_MAGIC,
            b"%07o" % major, b"%07o" % minor, prefix,
        )
    )
    # All texts are ASCII here, so the sum is below the modulus of Adler-32, whose low half is 1 plus the sum of the bytes (RFC 1950).
    block[CHECKSUM] = b"%06o\0 " % ((adler32(block) & 0xFFFF) - 1)
    return bytes(block)


def _encoded(text: str, path: str) -> bytes:
    data = text.encode(errors="surrogateescape")
    if b"\0" in data or len(data) > MAX_PATH:
        raise StorageError(f'"{path[:80]}": an archive of files cannot hold this path')
    return data


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Prefix and name for ustar: at most 155 and 100 bytes, cut at a slash; None when that cannot be."""
    if len(name) > 256 or not name.isascii():
        return None
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    return (name[:cut], name[cut + 1 :]) if cut > 0 and len(name) - cut - 1 <= 100 else None


def _shortened(name: bytes) -> bytes:
    """What stands in the old field when the pax record has the whole: printable, cut to fit."""
    return name.decode(errors="replace").encode("ascii", "replace")[:100]


def _decimal(nanoseconds: int) -> bytes:
    sign = "-" if nanoseconds < 0 else ""
    whole, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    return f"{sign}{whole}.{fraction:09d}".rstrip("0").rstrip(".").encode()


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
