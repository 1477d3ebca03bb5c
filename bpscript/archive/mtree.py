"""Specifications of file trees: mtree(5), as `bsdtar --format=mtree`, `mtree -c` of NetBSD and FreeBSD and `makefs -F` have them.

    #mtree
    /set type=file uid=0 gid=0 mode=0644
    ./etc           type=dir mode=0755
    ./etc/shadow    mode=0600 gid=42 gname=shadow
    ./dev/console   type=char device=native,5,1 mode=0600
    etc             type=dir          a name without a slash lies in the directory that was named last ...
        passwd
    ..                                ... and this leaves it

Source: mtree(5) of NetBSD 10 and FreeBSD 14, libarchive's archive_read_support_format_mtree.c for what the others leave open: a name that
has a slash behind its first character is a full path; the part of `time` behind the dot counts nanoseconds. Checksums, sizes and
flags are passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..base.errors import FormatError
from ..filesystems.filesystem import FileKind, clean_path

KINDS = {
    "file": FileKind.FILE, "dir": FileKind.DIRECTORY, "link": FileKind.SYMLINK, "char": FileKind.CHARACTER_DEVICE,
    "block": FileKind.BLOCK_DEVICE, "fifo": FileKind.FIFO, "socket": FileKind.SOCKET,
}
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|([nrtsabvf0\\# ]))")       # vis(3): VIS_OCTAL as all writers use it, VIS_CSTYLE
_NAMED = {"n": "\n", "r": "\r", "t": "\t", "s": " ", "a": "\a", "b": "\b", "v": "\v", "f": "\f", "0": "\0"}
_DEVICE = re.compile(r"(?:[a-z0-9]+,)?(\d+|0x[0-9a-f]+),(\d+|0x[0-9a-f]+)", re.ASCII)
_NUMBER = re.compile(r"\d{1,10}", re.ASCII)
_TIME = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Specified:
    """What a specification says of one path ("" is the root); None where it says nothing."""

    path: str
    line: int
    kind: FileKind | None = None
    uid: int | None = None
    gid: int | None = None
    user: str | None = None
    group: str | None = None
    mode: int | None = None
    target: str | None = None
    device: tuple[int, int] | None = None
    mtime_ns: int | None = None
    optional: bool = False


def parse_mtree(text: str, what: str) -> list[Specified]:
    """Every entry, in order. Raises FormatError with `what` and the line."""
    return list(_entries(text, what))


def _entries(text: str, what: str) -> Iterator[Specified]:
    defaults: dict[str, str] = {}
    here: list[str] = []
    for number, line in _lines(text):
        first, *words = line.split()
        if first == "/set":
            defaults |= _keywords(words)
            continue
        if first == "/unset":
            defaults = {} if "all" in words else {key: value for key, value in defaults.items() if key not in words}
            continue
        if first == "..":
            if not here:
                raise FormatError(f'{what}: line {number} leaves the directory ".."  of which nothing was named')
            here.pop()
            continue
        name = _unescaped(first)
        is_full = "/" in name[1:]
        entry = _specified(clean_path(name if is_full else "/".join((*here, name))), number, defaults | _keywords(words), what)
        yield entry
        if not is_full and entry.kind is FileKind.DIRECTORY:
            here.append(name)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Logical lines without comments: one that ends in a backslash goes on."""
    held, begun = "", 0
    for number, physical in enumerate(text.splitlines(), 1):
        line = physical.strip()
        begun = begun or number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        line = (held + line).strip()
        if line and not line.startswith("#"):
            yield begun, line
        held, begun = "", 0


def _keywords(words: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (word.partition("=") for word in words)}


def _specified(path: str, line: int, words: dict[str, str], what: str) -> Specified:
    where = f"{what}: line {line}"
    kind = None
    if "type" in words:
        kind = KINDS.get(words["type"])
        if kind is None:
            raise FormatError(f'{where} has type "{words["type"]}"; expected {", ".join(KINDS)}')
    device = None
    if (text := words.get("device")) is not None and kind in {FileKind.CHARACTER_DEVICE, FileKind.BLOCK_DEVICE}:
        match = _DEVICE.fullmatch(text)
        if match is None:
            raise FormatError(f'{where} has device "{text}"; expected native,MAJOR,MINOR')
        device = int(match[1], 0), int(match[2], 0)
    mtime_ns = None
    if (text := words.get("time")) is not None:
        match = _TIME.fullmatch(text)
        if match is None:
            raise FormatError(f'{where} has time "{text}"; expected SECONDS.NANOSECONDS')
        mtime_ns = int(match[1]) * 10**9 + int(match[2] or 0)
    target = words.get("link")
    return Specified(
        path, line, kind, _number(words, "uid", where), _number(words, "gid", where), words.get("uname"), words.get("gname"),
        parse_mode(words["mode"], where) if "mode" in words else None, None if target is None else _unescaped(target), device, mtime_ns,
        "optional" in words,
    )


def _number(words: dict[str, str], key: str, where: str) -> int | None:
    text = words.get(key)
    return None if text is None else parse_id(text, where)


def parse_id(text: str, where: str) -> int:
    """A user or group number. Raises FormatError."""
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 32:
        raise FormatError(f'{where}: "{text}" is no user or group number')
    return int(text)


def parse_mode(text: str, where: str) -> int:
    """Permission bits in octal. Raises FormatError."""
    if not re.fullmatch(r"[0-7]{1,5}", text) or int(text, 8) > 0o7777:
        raise FormatError(f'{where}: "{text}" is no mode; expected octal digits')
    return int(text, 8)


def _unescaped(text: str) -> str:
    """A name as it is; escaped bytes that are no UTF-8 become what `os.fsdecode` makes of them."""
    if "\\" not in text:
        return text
    data = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        data += text[position : match.start()].encode(errors="surrogateescape")
        # `\0` alone is octal too, and no name has it.
        data += bytes([int(match[1], 8) & 0xFF]) if match[1] else _NAMED.get(match[2], match[2]).encode()
        position = match.end()
    return (data + text[position:].encode(errors="surrogateescape")).decode(errors="surrogateescape")
