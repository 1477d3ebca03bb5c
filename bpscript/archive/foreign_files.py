"""Archives of files made by other programs: tar (plain or packed by zstd, gzip, xz, bzip2) and zip.

Both give a plan first and the entries after it, in the same order. What comes in order only (a pipe) is put into a temporary
file. A tar is read twice; where it has a path twice (`tar -r`), the last one counts.
"""

import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from io import SEEK_CUR, SEEK_END, RawIOBase
from pathlib import Path
from typing import IO, Protocol, cast

from ..base.errors import FormatError, NoSpaceError
from ..base.sources import Reader
from ..base.units import format_size
from ..blocks.device import Buffer
from ..filesystems.filesystem import DosFacts, Facts, FileKind, UnixFacts
from . import zip_fields, zip_packed
from .packing import STEP, Prefixed, packing_of, unpacked
from .plan import DIRECTORY, HARD_LINK, MAX_ENTRIES, Planned, planned
from .positional import Positional, positional
from .tar_layout import BLOCK, MAX_PATH
from .tar_read import TarReader, is_clean_path
from .tar_usual import TarEntry
from .unpack import check_links

_MAX_EMPTY = 1 << 20        # bytes of a tar without entries; tar writes 10,240
ZIP_START = (b"PK\x03\x04", b"PK\x05\x06")        # APPNOTE.TXT 4.3.7 and, of an empty archive, 4.3.16


class ForeignFiles(Protocol):
    """An archive of files that somebody else made."""

    @property
    def ignores_case(self) -> bool:
        """Whether its names come from where case makes no difference."""
        ...

    def plan(self, room: int | None = None) -> list[Planned]:
        """Every entry. Raises FormatError; NoSpaceError as soon as the files have more than `room` bytes."""
        ...

    def stored(self) -> Mapping[str, int]:
        """Bytes that are to be written of files of the plan with holes, by path."""
        ...

    def entries(self) -> Iterator[TarEntry]:
        """The same entries with facts and contents. Raises FormatError."""
        ...

    def left_behind(self) -> dict[str, int]:
        """What could not be taken over: word → how often."""
        ...


def open_foreign(
    source: Positional | Prefixed, name: str, stack: ExitStack, temp_folder: Path | str | None = None
) -> ForeignFiles:
    """The archive in some bytes. `stack` closes temporary files. Raises FormatError for what is no archive of files."""
    where = _spooled(source, name, stack, temp_folder) if isinstance(source, Prefixed) else source
    start = where.read(0, min(BLOCK, where.size))
    if start[:4] in ZIP_START:
        return ZipFiles(where, name, stack)
    packing = packing_of(start)
    if packing is None and not (_is_tar(start) and (any(start) or _is_zero(where))):
        raise FormatError(f"{name} is no archive of files: {_what_else(start)}")
    return TarFiles(where, packing, name)


# What people may try all the same: first bytes → what it is.
_OTHERS = {
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "RAR", b"\x1f\x9d": "packed by compress (.Z)", b"LZIP": "packed by lzip", b"\x89LZO": "packed by lzop",
    b"070701": "cpio", b"070702": "cpio", b"070707": "cpio", b"\xc7\x71": "cpio", b"!<arch>": "ar (or a Debian package)", b"MSCF": "a cabinet",
    b"xar!": "xar", b"hsqs": "SquashFS",
}  # fmt: skip


def _what_else(start: bytes) -> str:
    for magic, word in _OTHERS.items():
        if start.startswith(magic):
            return f"it is {word}, and this program reads incremental archives, tar (packed by gzip, bzip2, xz, zstd, lzma or lz4) and zip"
    return "neither an incremental archive, nor tar, nor zip"


def _is_tar(start: bytes) -> bool:
    if len(start) < BLOCK:
        return False
    if start == bytes(BLOCK) or start[257:262] == b"ustar":
        return True
    # The oldest tar has no magic; its checksum has to do.
    digits = start[148:156].split(b"\0", 1)[0].strip()
    return digits.isdigit() and not set(digits) & set(b"89") and int(digits, 8) == sum(start) - sum(start[148:156]) + 8 * 32


def _is_zero(source: Positional) -> bool:
    """Whether a tar without entries is nothing but its end mark and padding: else its beginning is lost."""
    return source.size <= _MAX_EMPTY and not any(source.read(0, source.size))


def _spooled(reader: Reader, name: str, stack: ExitStack, folder: Path | str | None) -> Positional:
    file = stack.enter_context(tempfile.TemporaryFile(dir=folder))   # noqa: SIM115 - the stack is its context
    try:
        while data := reader.read(STEP):
            file.write(data)
        file.flush()
    except OSError as error:
        raise NoSpaceError(f"no room for {name}, which comes in order only: {error.strerror}", hint="TempPath names another folder") from error
    found = positional(cast("Reader", file), name)
    assert found is not None        # a temporary file has a descriptor
    return found


class TarFiles:
    """A tar of any kind."""

    ignores_case = False

    def __init__(self, source: Positional, packing: str | None, name: str) -> None:
        self._source = source
        self._packing = packing
        self._name = name
        self._reader: TarReader | None = None
        self._last: dict[str, int] = {}     # path → number of the entry that counts
        self._stored: dict[str, int] = {}

    def plan(self, room: int | None = None) -> list[Planned]:
        """Reads the whole tar. Raises FormatError, NoSpaceError."""
        found: list[Planned] = []
        repeated = False
        total = 0       # bytes of files; those that are there again count once
        for entry in self._read():
            if len(found) >= MAX_ENTRIES:
                raise FormatError(f"{self._name} has more than {MAX_ENTRIES} entries")
            item = planned(entry.path, entry.facts, entry.link)
            if item.path in self._last:
                repeated = True
                total -= self._stored.pop(item.path, found[self._last[item.path]].size)
            if entry.stored is not None:
                self._stored[item.path] = entry.stored
            total += item.size if entry.stored is None else entry.stored
            if room is not None and total > room:       # now, and not when gigabytes of nothing are unpacked
                raise NoSpaceError(
                    f"the files of {self._name} need {format_size(total)} or more, the target has {format_size(room)} in all:"
                    f" {total - room} bytes too few"
                )
            self._last[item.path] = len(found)
            found.append(item)
        check_links(found, self._name)
        if repeated:
            counts = self._last.values()
            kept = set(counts)
            linked = {item.link: number for number, item in enumerate(found) if item.code == HARD_LINK}
            for number, item in enumerate(found):
                if number not in kept and item.code != DIRECTORY and item.path in linked:
                    raise FormatError(f'{self._name}: "{item.path}" is there twice, and "{item.path}" has hard links: which one is meant?')
            found = [item for number, item in enumerate(found) if number in kept]
        return found

    def stored(self) -> Mapping[str, int]:
        """What the maps of holes say."""
        return self._stored

    def entries(self) -> Iterator[TarEntry]:
        """Reads the tar again."""
        for number, entry in enumerate(self._read()):
            if self._last.get(entry.path) == number:
                yield entry

    def left_behind(self) -> dict[str, int]:
        """What tar says and no volume of ours can hold."""
        return {} if self._reader is None else self._reader.left_behind

    def _read(self) -> TarReader:
        pieces = _pieces(self._source)
        chunks: Iterator[bytes] = pieces if self._packing is None else unpacked(pieces, self._packing, self._name)
        self._reader = TarReader(chunks, self._name)
        return self._reader


class ZipFiles:
    """A zip archive. Source: PKWARE APPNOTE.TXT; Info-ZIP's extra fields."""

    def __init__(self, source: Positional, name: str, stack: ExitStack) -> None:
        """Raises FormatError."""
        self._name = name
        self._file = cast("IO[bytes]", stack.enter_context(closing(_Cursor(source))))
        try:
            self._zip = stack.enter_context(zipfile.ZipFile(self._file))
        except (zipfile.BadZipFile, zipfile.LargeZipFile, ValueError, OSError, EOFError, NotImplementedError, IndexError, struct.error) as error:
            raise FormatError(f"{name} is a damaged zip archive: {error}") from error
        self._infos = self._zip.infolist()
        if len(self._infos) > MAX_ENTRIES:
            raise FormatError(f"{name} has more than {MAX_ENTRIES} entries")
        self.ignores_case = bool(self._infos) and all(info.create_system in _DOS_SYSTEMS for info in self._infos)

    def plan(self, room: int | None = None) -> list[Planned]:
        """From the directory at the end; symbolic links are read for their targets. Raises FormatError."""
        found = []
        seen: set[str] = set()
        for _, path, facts in self._listing():
            if path in seen and facts.kind is not FileKind.DIRECTORY:
                raise FormatError(f'{self._name}: "{path}" is there twice')
            seen.add(path)
            found.append(planned(path, facts))
        return found

    def stored(self) -> Mapping[str, int]:
        """A zip knows of no holes."""
        return {}

    def _check_method(self, info: zipfile.ZipInfo, path: str) -> None:
        """Refuse what could not be unpacked later, before anything is written."""
        if info.flag_bits & 1:
            raise FormatError(f'{self._name}: "{path}" is encrypted, which is not supported', hint="unpack it yourself, and pack it again")
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED} | zip_packed.METHODS:
            word = zip_packed.OTHERS.get(info.compress_type)
            shown = f"by {word}" if word else f"in a way that is not known (method {info.compress_type})"
            raise FormatError(f'{self._name}: "{path}" is packed {shown}, which is not supported', hint="unpack it yourself, and pack it again")

    def entries(self) -> Iterator[TarEntry]:
        """In the order of the directory."""
        for info, path, facts in self._listing():
            yield TarEntry(path, facts, None, self._contents(info, path) if facts.kind is FileKind.FILE else ())

    def left_behind(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def _listing(self) -> Iterator[tuple[zipfile.ZipInfo, str, Facts]]:
        for info in self._infos:
            path = _clean(info, self._name)
            if path:
                self._check_method(info, path)
                yield info, path, self._facts(info, path)

    def _facts(self, info: zipfile.ZipInfo, path: str) -> Facts:
        """Kind, mode and attributes from the "external attributes": Unix mode in the high half, DOS attributes in the low one."""
        mtime_ns = zip_fields.time_of(info)
        mode = info.external_attr >> 16
        dos = DosFacts(info.external_attr & 0x27, mtime_ns) if info.create_system in _DOS_SYSTEMS else None
        unix = UnixFacts(stat.S_IMODE(mode), *zip_fields.owner_of(info)) if mode and info.create_system not in _DOS_SYSTEMS else None
        if info.is_dir() or (unix is not None and stat.S_ISDIR(mode)):
            return Facts(FileKind.DIRECTORY, 0, mtime_ns, unix=unix, dos=dos)
        if unix is not None and stat.S_ISLNK(mode):
            if info.file_size > MAX_PATH:
                raise FormatError(f'{self._name}: "{path}" is a symbolic link of {info.file_size} bytes')
            target = b"".join(map(bytes, self._contents(info, path)))
            if not target or b"\0" in target:
                raise FormatError(f'{self._name}: "{path}" is a link to nowhere')
            return Facts(FileKind.SYMLINK, 0, mtime_ns, target.decode(errors="surrogateescape"), unix)
        return Facts(FileKind.FILE, info.file_size, mtime_ns, unix=unix, dos=dos)

    def _contents(self, info: zipfile.ZipInfo, path: str) -> Iterator[memoryview]:
        """Exactly `file_size` bytes whose CRC-32 is right. Raises FormatError."""
        size = 0
        import lzma  # noqa: PLC0415 - only for zip

        try:
            if info.compress_type in zip_packed.METHODS and not info.flag_bits & 1:
                for data in zip_packed.contents(self._file, info, f'{self._name}: "{path}"'):
                    size += len(data)
                    yield memoryview(data)
            else:
                with self._zip.open(info) as reader:
                    while data := reader.read(STEP):
                        size += len(data)
                        yield memoryview(data)
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error) as error:
            raise FormatError(f'{self._name}: "{path}" is damaged: {error}') from error
        if size != info.file_size:
            raise FormatError(f'{self._name}: "{path}" has {size} bytes, expected {info.file_size}')


_DOS_SYSTEMS = {0, 10, 14}      # APPNOTE.TXT 4.4.2.2: MS-DOS and OS/2, Windows NTFS, VFAT


def _clean(info: zipfile.ZipInfo, name: str) -> str:
    r"""A path inside the tree. Some DOS programs write `\`."""
    path = zip_fields.name_of(info)
    if info.create_system in _DOS_SYSTEMS:
        path = path.replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    path = path.rstrip("/")
    if path in {"", "."} and info.filename not in {"", "/"}:
        return ""       # the root itself
    if not is_clean_path(path) or len(path) > MAX_PATH:
        raise FormatError(f'{name}: "{info.filename[:200]}" is a path that is not inside the tree')
    return path


def _pieces(source: Positional) -> Iterator[bytes]:
    for start in range(0, source.size, STEP):
        yield source.read(start, min(STEP, source.size - start))


class _Cursor(RawIOBase):
    """Positional bytes as the file object that zipfile wants."""

    def __init__(self, source: Positional) -> None:
        super().__init__()
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {SEEK_CUR: self._position, SEEK_END: self._source.size}.get(whence, 0)
        if base + offset < 0:
            raise ValueError("a position before the first byte")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        length = max(0, min(len(view), self._source.size - self._position))
        if length:
            self._source.readinto(self._position, view[:length])
            self._position += length
        return length
