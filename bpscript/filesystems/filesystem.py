"""The Filesystem protocol: one volume, opened on a BlockDevice.

Paths have `/` separators, no leading or trailing slash, no `.` or `..`; the root is "". Whoever takes a path from a script
or an archive cleans it first (`clean_path`).

Errors of every method: NotFoundError (no such path), InTheWayError (a file where a directory is needed, or the reverse),
NoSpaceError, ReadOnlyError, FormatError (the volume is damaged), StorageError (anything else, for example a name the volume
cannot hold). After a refused or failed write the volume is as consistent as before; `flush` makes everything durable.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from ..base.errors import StorageError
from ..base.sources import Reader
from ..blocks.device import BlockDevice, Buffer
from .elsewhere import Elsewhere


class FileKind(StrEnum):
    """What an entry of a directory is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "fifo"
    SOCKET = "socket"


class Family(StrEnum):
    """Families of file systems, as language.md 9.6 has them: what may be put on which type of partition."""

    FAT = "FAT"
    LINUX = "Linux"
    NTFS = "NTFS"
    SWAP = "swap"
    OTHER = "other"


_NO_XATTRS: Mapping[str, bytes] = MappingProxyType({})


# Facts are named tuples, not dataclasses: one is made for every file, and a frozen dataclass costs four times as much.
class UnixFacts(NamedTuple):
    """What a Unix file system keeps of a file. `mode` holds the permission bits only (07777); times are nanoseconds since 1970."""

    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    atime_ns: int = 0
    ctime_ns: int = 0
    device: tuple[int, int] = (0, 0)                # major and minor, for devices
    inode: int = 0                                  # equal for hard links of one file
    links: int = 1
    xattrs: Mapping[str, bytes] = _NO_XATTRS        # full names: "user.comment", "security.capability"


class DosFacts(NamedTuple):
    """What a FAT file system keeps of a file: attribute bits (READ_ONLY 1, HIDDEN 2, SYSTEM 4, ARCHIVE 0x20) and creation time."""

    attributes: int = 0x20
    created_ns: int = 0
    short_name: str = ""                            # 8.3 name; "" lets the volume choose


class Facts(NamedTuple):
    """What is known of one file or directory. `size` is bytes (0 for anything but files); `target` is a symlink's text."""

    kind: FileKind
    size: int = 0
    mtime_ns: int = 0
    target: str = ""
    unix: UnixFacts | None = None
    dos: DosFacts | None = None


class Usage(NamedTuple):
    """Room on a volume, in bytes."""

    total: int
    free: int


class Problem(NamedTuple):
    """One finding of `check`: where and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class Filesystem(Protocol):
    """What every volume can do."""

    @property
    def kind(self) -> str:
        """FAT12, FAT16, FAT32, EXT2, EXT3, EXT4, CACHE, MBR, FOLDER."""
        ...

    @property
    def family(self) -> Family:
        """Which partition types it belongs on."""
        ...

    @property
    def label(self) -> str:
        """The volume label, "" without one."""
        ...

    @property
    def ident(self) -> str:
        """UUID or serial number as people write it: "1234-ABCD" for FAT, UUID text for ext; "" without one."""
        ...

    @property
    def ignores_case(self) -> bool:
        """True when `README` and `readme` are the same file."""
        ...

    def usage(self) -> Usage:
        """Room for data."""
        ...

    def stat(self, path: str) -> Facts:
        """Facts of a path; a symlink is not followed. Raises NotFoundError."""
        ...

    def exists(self, path: str) -> bool:
        """True when `stat` would answer."""
        ...

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names (as stored) and facts of a directory's entries, in no particular order, without `.` and `..`."""
        ...

    def open(self, path: str) -> Reader:
        """The contents of a file, streamed."""
        ...

    def write_file(self, path: str, chunks: Iterable[Buffer], size: int | None = None, facts: Facts | None = None) -> None:
        """Create or replace a file from its contents in order; the parent directory must exist.

        With `size` (bytes, exactly what `chunks` will give) the room is allocated ahead, in one run where possible, and
        NoSpaceError comes before the old file is touched. A buffer in `chunks` may be reused by the giver after the next
        one was asked for. No partial file is left on failure. Without `facts` a replaced file keeps its own and gets the
        present time; a new one gets defaults (FAT: archive bit; ext: 0644 root).
        """
        ...

    def make_dir(self, path: str, facts: Facts | None = None) -> None:
        """Make one directory; the parent must exist. If it exists, only the facts are applied. Raises InTheWayError at a file."""
        ...

    def set_facts(self, path: str, facts: Facts) -> None:
        """Apply times, and what of modes, owners, xattrs or attributes the volume can hold."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, link, device or *empty* directory. Raises NotFoundError; InTheWayError for a directory that is not empty."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Move an entry; `new` must not exist and its parent must."""
        ...

    def used_ranges(self) -> Iterator[tuple[int, int]]:
        """Half-open byte ranges of the device that hold metadata or data, in order and merged; the rest is unused."""
        ...

    def check(self) -> list[Problem]:
        """What is inconsistent; an empty list for a healthy volume. Reads only."""
        ...

    def flush(self) -> None:
        """Write everything that is still in memory, in an order that keeps the volume consistent, and flush the device."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


@runtime_checkable
class HasUnixObjects(Protocol):
    """A volume that holds what only Unix knows."""

    def make_symlink(self, path: str, target: str, facts: Facts | None = None) -> None:
        """Make a symbolic link."""
        ...

    def make_hard_link(self, path: str, existing: str) -> None:
        """Give an existing file (not a directory) a second name."""
        ...

    def make_node(self, path: str, facts: Facts) -> None:
        """Make a device, fifo or socket."""
        ...


class NewFile(NamedTuple):
    """A file that is to be made: its name in the directory, all its contents (items of one byte) or where they are, and its facts."""

    name: str
    data: memoryview | Elsewhere
    facts: Facts


@runtime_checkable
class MakesManyFiles(Protocol):
    """A volume that makes the files of a directory in one go: a system has tens of thousands of small ones."""

    def make_files(self, directory: str, files: Sequence[NewFile]) -> int:
        """Make the first files of the list, as many as are new, usual and have room; how many. The next one is for `write_file`.

        Raises what makes the volume unusable, never what is wrong with a file; a file is made whole or not at all.
        """
        ...


class Extent(NamedTuple):
    """A piece of a file on the device; all three in bytes."""

    logical: int            # offset in the file
    offset: int             # on the device
    length: int


@runtime_checkable
class HasExtents(Protocol):
    """A volume whose files lie in ranges of its device: several threads can read them at once, without the volume."""

    @property
    def device(self) -> BlockDevice:
        """What the extents lie on."""
        ...

    def extents(self, path: str) -> list[Extent] | None:
        """Where the contents of a file lie, in the order of the file; what no extent covers is zeros.

        None for contents that do not lie on the device as they are (in an inode). Valid until the file is changed.
        """
        ...


@runtime_checkable
class ReadsAnywhere(Protocol):
    """A volume whose files several threads can read at once, each from anywhere."""

    def read_at(self, path: str, offset: int, buffer: memoryview) -> int:
        """Fill the buffer from an offset of a file on; how many bytes that was: fewer at the end of the file."""
        ...

    def data_ranges(self, path: str, size: int) -> list[tuple[int, int]]:
        """Half-open ranges of the first `size` bytes of a file that are not known to be zeros, in order."""
        ...


def clean_path(text: str) -> str:
    r"""The path as this protocol wants it: `\` is a separator too, `.` and `..` are resolved and never leave the root."""
    parts: list[str] = []
    for part in text.replace("\\", "/").split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def split_path(path: str) -> tuple[str, str]:
    """Parent and last name: "a/b/c" gives ("a/b", "c"), "a" gives ("", "a"). Raises StorageError for the root."""
    if not path:
        raise StorageError("the root directory has no name")
    parent, _, name = path.rpartition("/")
    return parent, name


def make_dirs(volume: Filesystem, path: str) -> None:
    """Make a directory and the parents it needs. Raises InTheWayError where a file is in the way."""
    parts: Sequence[str] = path.split("/") if path else []
    for count in range(1, len(parts) + 1):
        volume.make_dir("/".join(parts[:count]))


def remove_tree(volume: Filesystem, path: str) -> None:
    """Remove a directory with everything in it, or a file; the root is emptied and stays."""
    if volume.stat(path).kind is FileKind.DIRECTORY:
        for name, _ in volume.entries(path):
            remove_tree(volume, f"{path}/{name}" if path else name)
    if path:
        volume.remove(path)


def walk(volume: Filesystem, path: str = "") -> Iterator[tuple[str, Facts]]:
    """Every path below `path`, parents first, names sorted by code point; not `path` itself."""
    for name, facts in sorted(volume.entries(path), key=lambda entry: entry[0]):
        inner = f"{path}/{name}" if path else name
        yield inner, facts
        if facts.kind is FileKind.DIRECTORY:
            yield from walk(volume, inner)
