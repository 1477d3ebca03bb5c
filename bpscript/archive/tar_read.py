"""A tar stream in decoded buffers to entries, without copying contents: pax, ustar, GNU and the oldest formats.

The buffers are taken in order and may be reused by their giver once the next one was asked for; so the contents of an entry
are valid only until the reader goes on. An entry whose contents lie in one buffer (nearly all) costs one slice.

Hostile bytes: every header is checked by its sum, every number and length is bounded, paths never leave the tree, and a
stream that ends early or says something impossible raises FormatError that names the entry. Nothing is allocated by a
number of the stream except extended headers, at most 4 MiB.
"""

import re
from collections.abc import Iterable, Iterator

from ..base.errors import FormatError
from ..blocks.device import Buffer
from ..filesystems.filesystem import DosFacts, Facts, FileKind, UnixFacts
from ..filesystems.sparse import room
from .tar_layout import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    CONTIGUOUS,
    DIRECTORY,
    DOS_XATTR,
    FIFO,
    FILE,
    GNU_DUMP_DIRECTORY,
    GNU_LONG_LINK,
    GNU_LONG_NAME,
    GNU_SPARSE,
    GNU_VOLUME,
    HARD_LINK,
    HEADER,
    MAX_EXTENSION,
    MAX_FILE,
    MAX_PATH,
    MAX_TIME,
    OLD_FILE,
    PAX,
    PAX_GLOBAL,
    PAX_SOLARIS,
    POSIX_MAGIC,
    SYMLINK,
    XATTR,
    ZERO_BLOCK,
)
from .tar_usual import ENDS, TarEntry, is_plain_path, sum_is_right, usual_files

_KINDS = {
    FILE: FileKind.FILE,
    OLD_FILE: FileKind.FILE,
    CONTIGUOUS: FileKind.FILE,
    HARD_LINK: FileKind.FILE,
    GNU_SPARSE: FileKind.FILE,
    SYMLINK: FileKind.SYMLINK,
    CHARACTER_DEVICE: FileKind.CHARACTER_DEVICE,
    BLOCK_DEVICE: FileKind.BLOCK_DEVICE,
    DIRECTORY: FileKind.DIRECTORY,
    GNU_DUMP_DIRECTORY: FileKind.DIRECTORY,
    FIFO: FileKind.FIFO,
}
_EXTENSIONS = {PAX, PAX_SOLARIS, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK, GNU_VOLUME}
_LINKS = {HARD_LINK, SYMLINK}
_DEVICES = {FileKind.CHARACTER_DEVICE, FileKind.BLOCK_DEVICE}
_LONG_NAMES = {GNU_LONG_NAME: b"path", GNU_LONG_LINK: b"linkpath"}
_HAVE_CONTENTS = {FILE, OLD_FILE, CONTIGUOUS, GNU_DUMP_DIRECTORY, GNU_SPARSE}
_DOS_XATTR_KEY = XATTR + DOS_XATTR.encode()
_DOS_VALUE = re.compile(rb"(\d{1,3}) (-?\d{1,20}) ([^\0]{0,64})\Z", re.DOTALL).match
_SPARSE = b"GNU.sparse."
_REPEATED = {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}
_MAX_GLOBALS = 1 << 10   # things that global headers say: every entry is asked for all of them
_MAX_EXTENDED = 16       # extended headers of one entry: tar writes at most three
_MAX_PADDING = 64 << 20  # bytes behind the end mark; tar fills up to its blocking factor, a tape to its blocks
_Extension = dict[bytes, bytes]


class TarReader:
    """Iterate over it to get the entries. `what` names the archive in messages."""

    def __init__(self, chunks: Iterable[Buffer], what: str = "archive") -> None:
        self._source = iter(chunks)
        self._what = what
        self._view = memoryview(b"")
        self._position = 0              # in the view
        self._offset = 0                # of the view in the stream
        self._block: Buffer = b""       # the last header; valid until the next buffer
        self._owed = 0                  # contents of the current entry that nobody has taken, and their padding
        self._owners: dict[bytes, UnixFacts] = {}        # by the bytes of mode, uid and gid: the same few again and again
        self._globals: _Extension = {}
        self.left_behind: dict[str, int] = {}   # what the stream says and Facts cannot hold: word → how often

    def __iter__(self) -> Iterator[TarEntry]:
        for group in self.groups():
            yield from group

    def groups(self) -> Iterator[list[TarEntry]]:
        """The entries, as many at a time as lie in one buffer and are usual files; their contents are valid until the next group is asked for.

        Every entry of a group of several is a file without a link, its contents one view (none for an empty file).
        """
        extension: _Extension = {}
        extended = 0        # extended headers before this entry
        while True:
            if self._owed:
                self._skip(self._owed)
            if not extension and not self._globals:
                usual, self._position, self._owed = usual_files(self._view, self._position, self._owners)
                if usual:
                    yield usual
                    continue
            header = self._header()
            if header is None:
                if extension:
                    raise FormatError(f"{self._what}: an extended header at byte {self._at()} has no entry after it")
                self._drain()
                return
            if header[5] in _EXTENSIONS:
                extension = self._read_extension(header, extension)
                extended += header[5] != PAX_GLOBAL
                if extended > _MAX_EXTENDED:
                    raise FormatError(f"{self._what}: more than {_MAX_EXTENDED} extended headers for one entry at byte {self._at()}")
                continue
            entry = self._entry(header, {**self._globals, **extension} if self._globals else extension)
            extension, extended = {}, 0
            if entry is not None:
                yield [entry]

    # --- bytes -------------------------------------------------------------------------------------------------------

    def _at(self) -> int:
        return self._offset + self._position

    def _next_buffer(self) -> bool:
        """Go on to the next buffer that is not empty; False at the end of the stream."""
        self._offset += len(self._view)
        self._position = 0
        for chunk in self._source:
            self._view = memoryview(chunk)
            if len(self._view):
                return True
        self._view = memoryview(b"")
        return False

    def _take(self, length: int, what: str) -> bytes:
        """`length` bytes as a copy."""
        start = self._position
        if len(self._view) - start >= length:
            self._position = start + length
            return bytes(self._view[start : self._position])
        parts = []
        while length:
            if self._position == len(self._view) and not self._next_buffer():
                raise FormatError(f"{self._what} ends in the middle of {what}")
            part = self._view[self._position : self._position + length]
            self._position += len(part)
            length -= len(part)
            parts.append(bytes(part))
        return b"".join(parts)

    def _skip(self, length: int) -> None:
        self._owed = 0
        if len(self._view) - self._position >= length:
            self._position += length
            return
        while True:
            step = min(length, len(self._view) - self._position)
            self._position += step
            length -= step
            if not length:
                return
            if not self._next_buffer():
                raise FormatError(f"{self._what} ends {length} bytes before the end of a file")

    def _drain(self) -> None:
        """Read what follows the end mark (padding), so that whoever gives the buffers sees the end of the stream."""
        end = self._at() + _MAX_PADDING
        while self._next_buffer():
            if self._offset > end:
                raise FormatError(f"{self._what} goes on for more than {_MAX_PADDING} bytes behind its end mark")

    def _header(self) -> tuple[bytes, ...] | None:
        """The fields of the next header; None at the end mark."""
        position = self._position
        if len(self._view) - position >= BLOCK:
            block: Buffer = self._view[position : position + BLOCK]
            self._position = position + BLOCK
        else:
            block = self._take(BLOCK, "a header (the end mark is missing)")
        self._block = block
        fields = HEADER.unpack(block)
        checksum = fields[4]
        if not sum_is_right(block, checksum):
            data = bytes(block)
            if data == ZERO_BLOCK:
                return None
            # Others put the digits elsewhere in the field, or added the bytes as signed numbers.
            rest = data[:148] + data[156:]
            unsigned = sum(rest) + 8 * 0x20
            if _octal(checksum) not in {unsigned, unsigned - 256 * sum(byte > 127 for byte in rest)}:
                raise FormatError(f"{self._what}: no tar header at byte {self._at() - BLOCK}, its checksum is wrong")
        return fields

    # --- extended headers --------------------------------------------------------------------------------------------

    def _read_extension(self, header: tuple[bytes, ...], extension: _Extension) -> _Extension:
        kind = header[5]
        where = "an extended header"
        size = self._number(header[2], "size", b"an extended header")
        if size > MAX_EXTENSION:
            raise FormatError(f"{self._what}: {where} has {size} bytes, at most {MAX_EXTENSION} are allowed")
        data = self._take(size, where)
        self._skip(-size % BLOCK)
        if kind == PAX_GLOBAL:
            self._globals |= self._records(data, where)
            if sum(map(len, self._globals)) + sum(map(len, self._globals.values())) > MAX_EXTENSION:
                raise FormatError(f"{self._what}: its global headers have more than {MAX_EXTENSION} bytes")
            if len(self._globals) > _MAX_GLOBALS:
                raise FormatError(f"{self._what}: its global headers have more than {_MAX_GLOBALS} keys")
            return extension
        if kind == GNU_VOLUME:
            return extension
        if kind in _LONG_NAMES:
            return {**extension, _LONG_NAMES[kind]: data.split(b"\0", 1)[0]}
        found = self._records(data, where)
        return {**extension, **found} if extension else found

    def _records(self, data: bytes, where: str) -> _Extension:
        """The records of a pax header: "length key=value\\n"."""
        found: _Extension = {}
        repeated: list[bytes] = []
        position, end = 0, len(data)
        while position < end:
            space = data.find(b" ", position, position + 20)
            digits = data[position:space]
            if space < 0 or not digits.isdigit():
                raise FormatError(f"{self._what}: {where} is damaged at its byte {position}")
            stop = position + int(digits)
            if not space + 2 < stop <= end or data[stop - 1] != 0x0A:
                raise FormatError(f"{self._what}: {where} is damaged at its byte {position}")
            key, equals, value = data[space + 1 : stop - 1].partition(b"=")
            if not equals or not key:
                raise FormatError(f"{self._what}: {where} has a record without a name at its byte {position}")
            position = stop
            if key in _REPEATED:        # the oldest pax way of sparse files says each of these again and again
                repeated.append(value)
            else:
                found[key] = value
        if repeated:
            found[b"GNU.sparse.map"] = b",".join(repeated)
        return found

    # --- entries -----------------------------------------------------------------------------------------------------

    def _entry(self, header: tuple[bytes, ...], extension: _Extension) -> TarEntry | None:
        raw_name, owner, raw_size, raw_mtime, _, kind, raw_link, magic, major, minor, prefix = header
        name = extension.get(b"path")
        if name is None:
            name = raw_name.split(b"\0", 1)[0]
            if prefix[0] and magic == POSIX_MAGIC:
                name = prefix.split(b"\0", 1)[0] + b"/" + name
        if len(name) > MAX_PATH:
            raise FormatError(f'{self._what}: the path "{name[:200].decode(errors="replace")}..." has {len(name)} bytes')
        is_sparse = kind == GNU_SPARSE or (len(extension) > 1 and any(key.startswith(_SPARSE) for key in extension))
        if is_sparse:
            name = extension.get(b"GNU.sparse.name", name)
        file_kind = _KINDS.get(kind)
        if file_kind is None:
            raise FormatError(f'{self._what}: "{_shown(name)}" has the unknown type {kind!r}')
        path = self._path(name, name)
        if file_kind is FileKind.FILE and name.endswith(b"/") and kind in {FILE, OLD_FILE}:
            file_kind = FileKind.DIRECTORY      # before POSIX directories were marked by a slash only

        size = 0
        if kind in _HAVE_CONTENTS:
            said = extension.get(b"size")
            size = self._number(raw_size, "size", name) if said is None else self._decimal(said, "size", name)
        said = extension.get(b"mtime")
        mtime_ns = self._number(raw_mtime, "time", name, signed=True) * 1_000_000_000 if said is None else self._time(said, name)
        link = None
        target = ""
        if kind in _LINKS:
            text = extension.get(b"linkpath")
            text = raw_link.split(b"\0", 1)[0] if text is None else text
            if not text or len(text) > MAX_PATH or b"\0" in text:
                raise FormatError(f'{self._what}: "{_shown(name)}" is a link to nowhere')
            if kind == SYMLINK:
                target = text.decode(errors="surrogateescape")
            else:
                link = self._path(text, name)

        unix = self._owners.get(owner) or self._owner(owner, name)
        dos = None
        if file_kind in _DEVICES:
            unix = unix._replace(device=(self._number(major, "device", name), self._number(minor, "device", name)))
        if len(extension) > (b"mtime" in extension) + (b"path" in extension):
            unix, dos = self._more_facts(extension, unix, name)
        chunks: Iterable[memoryview] = ()
        stored = None
        if is_sparse and file_kind is FileKind.FILE:
            size, stored, chunks = self._sparse(kind, extension, size, name)
        elif size:
            chunks = self._contents(size, name)
            if file_kind is not FileKind.FILE:
                size = 0        # a directory of GNU's incremental dumps lists its names
        if not path:
            return None         # the root itself belongs to whoever unpacks
        return TarEntry(path, Facts(file_kind, size, mtime_ns, target, unix, dos), link, chunks, stored)

    def _sparse(self, kind: bytes, extension: _Extension, stored: int, name: bytes) -> tuple[int, int, Iterable[memoryview]]:
        """Real size, what is to be written, and contents of a file that was stored without its holes."""
        from . import tar_sparse  # noqa: PLC0415 - few archives need it

        def next_block() -> bytes:
            return self._take(BLOCK, f'the map of "{_shown(name)}"')

        try:
            if kind == GNU_SPARSE:
                segments, size = tar_sparse.map_of_header(bytes(self._block), next_block)
            elif b"GNU.sparse.major" in extension:
                size = self._decimal(extension.get(b"GNU.sparse.realsize", b""), "size", name)
                segments, taken = tar_sparse.map_of_contents(next_block)
                stored -= taken
            else:
                size = self._decimal(extension.get(b"GNU.sparse.size", b""), "size", name)
                segments = tar_sparse.map_of_records(extension.get(b"GNU.sparse.map", b""))
            tar_sparse.check_map(segments, stored, size)
        except ValueError as error:
            raise FormatError(f'{self._what}: "{_shown(name)}" has a damaged map of its holes: {error}') from error
        written = room([(offset, offset + length) for offset, length in segments if length], size)
        return size, written, tar_sparse.with_holes(self._contents(stored, name) if stored else (), segments, size)

    def _contents(self, size: int, name: bytes) -> Iterable[memoryview]:
        start = self._position
        if len(self._view) - start >= size:
            self._owed = size + (-size % BLOCK)
            return (self._view[start : start + size],)
        self._owed = size + (-size % BLOCK)
        return self._pieces(size, name)

    def _pieces(self, size: int, name: bytes) -> Iterator[memoryview]:
        while size:
            if self._position == len(self._view) and not self._next_buffer():
                raise FormatError(f'{self._what} ends in the middle of "{_shown(name)}", {size} bytes are missing')
            piece = self._view[self._position : self._position + size]
            self._position += len(piece)
            self._owed -= len(piece)
            size -= len(piece)
            yield piece

    def _path(self, text: bytes, name: bytes) -> str:
        """A path of the entry `name` as the protocol wants it. Raises FormatError when it leaves the tree."""
        path = text.decode(errors="surrogateescape")
        if path[-1:] == "/":
            path = path.rstrip("/") or "/"
        if is_plain_path(path):
            return path
        if not path or path[0] == "/" or "\0" in path:
            raise FormatError(f'{self._what}: "{_shown(name)}" has the path "{path[:200]}", which is not inside the tree')
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise FormatError(f'{self._what}: "{_shown(name)}" has the path "{path[:200]}", which may leave the tree')
        return "/".join(parts)

    def _owner(self, field: bytes, name: bytes) -> UnixFacts:
        """Mode, owner and group."""
        if len(self._owners) > 1000:
            self._owners.clear()
        mode = self._number(field[:8], "mode", name) & 0o7777
        uid = self._number(field[8:16], "owner", name) & 0xFFFFFFFF
        found = self._owners[field] = UnixFacts(mode, uid, self._number(field[16:], "group", name) & 0xFFFFFFFF)
        return found

    def _more_facts(self, extension: _Extension, unix: UnixFacts, name: bytes) -> tuple[UnixFacts, DosFacts | None]:
        """Large owner numbers, extended attributes, and what only FAT knows."""
        dos: DosFacts | None = None
        xattrs: dict[str, bytes] = {}
        for key, value in extension.items():
            if key == _DOS_XATTR_KEY and (match := _DOS_VALUE(value)):
                dos = DosFacts(int(match[1]) & 0x27, int(match[2]), match[3].decode(errors="replace"))
            elif key.startswith(XATTR):
                xattrs[key[len(XATTR) :].decode(errors="surrogateescape")] = value
            elif key == b"uid":
                unix = unix._replace(uid=self._decimal(value, "owner", name))
            elif key == b"gid":
                unix = unix._replace(gid=self._decimal(value, "group", name))
            elif key == b"RHT.security.selinux":
                xattrs["security.selinux"] = value
            elif key.startswith((b"SCHILY.acl.", b"LIBARCHIVE.xattr.")):
                self._foreign_xattr(key, value, xattrs)
        return (unix._replace(xattrs=xattrs) if xattrs else unix), dos

    def _foreign_xattr(self, key: bytes, value: bytes, xattrs: dict[str, bytes]) -> None:
        """An attribute that is written in another way than ours."""
        from . import tar_xattrs  # noqa: PLC0415 - few archives need it

        if key.startswith(tar_xattrs.LIBARCHIVE):
            found = tar_xattrs.of_libarchive(key, value)
            if found is not None:
                xattrs.setdefault(*found)
            return
        name = tar_xattrs.ACLS.get(key)
        acl = None if name is None else tar_xattrs.of_acl(value)
        if name is None or acl is None:
            self.left_behind["access control list"] = self.left_behind.get("access control list", 0) + 1
        elif not tar_xattrs.is_minimal(acl) or key == b"SCHILY.acl.default":
            xattrs[name] = acl

    # --- numbers -----------------------------------------------------------------------------------------------------

    def _number(self, field: bytes, what: str, name: bytes, *, signed: bool = False) -> int:
        """A field of a header: octal digits, or GNU's base 256 (first byte 80h, or FFh for negative)."""
        if field[-1] in ENDS:
            try:
                value = int(field[:-1], 8)      # the usual form; whatever else int() takes is harmless
            except ValueError:
                pass
            else:
                if value >= 0:
                    return value                # at most eleven digits: within all bounds
        if field[0] & 0x80:
            value = int.from_bytes(field[1:], "big")
            if field[0] == 0xFF:
                value -= 1 << 8 * (len(field) - 1)
            elif field[0] & 0x7F:
                value = MAX_FILE + 1       # beyond all bounds
        else:
            found = _octal(field)
            value = -1 if found is None else found
            signed = signed and found is not None
        if not (-MAX_TIME if signed else 0) <= value <= (MAX_TIME if signed else MAX_FILE):
            raise FormatError(f'{self._what}: "{_shown(name)}" has an impossible {what}, {bytes(field)!r}')
        return value

    def _decimal(self, text: bytes, what: str, name: bytes) -> int:
        if not text.isdigit() or len(text) > 20 or int(text) > (MAX_FILE if what == "size" else 0xFFFFFFFF):
            raise FormatError(f'{self._what}: "{_shown(name)}" has an impossible {what}, {text[:40]!r}')
        return int(text)

    def _time(self, text: bytes, name: bytes) -> int:
        """Seconds with a decimal fraction, to nanoseconds (what is finer is cut off)."""
        digits = text[1:] if text[:1] == b"-" else text
        whole, _, fraction = digits.partition(b".")
        if not whole.isdigit() or len(whole) > 13 or (fraction and not fraction.isdigit()):
            raise FormatError(f'{self._what}: "{_shown(name)}" has an impossible time, {text[:40]!r}')
        value = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
        return -value if digits is not text else value


def _shown(name: bytes) -> str:
    """A path for a message."""
    return name[:200].decode(errors="replace")


def is_clean_path(path: str) -> bool:
    """Whether a path is one that an archive of ours may have: relative, without empty parts, `.` and `..`."""
    return is_plain_path(path) is not None or (
        path[:1] not in {"", "/"} and "\0" not in path and not {"", ".", ".."} & set(path.split("/"))
    )


def _octal(field: bytes) -> int | None:
    """Octal digits between blanks, ended by NUL or blank; an empty field is 0, anything else None."""
    digits = field.rstrip(b"\0 ")
    if not digits.isdigit():        # empty, blanks before, or something after the end
        digits = field.split(b"\0", 1)[0].strip(b" ")
        if not digits.isdigit():
            return None if digits else 0
    try:
        return int(digits, 8)
    except ValueError:
        return None     # 8 or 9
