"""A tree of files in memory, and the archive that the kernel unpacks as its first file system.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux ("newc" format). Everything belongs to root and has one
time, entries are sorted, numbers are counted: the same files always give the same bytes, and no root is needed for device nodes.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = b"070701"
_TRAILER = "TRAILER!!!"
_ALIGNMENT = 4          # of names and contents, from the first byte of the archive
_TIME = 1               # seconds since 1970 of every entry: 0 looks like a mistake to some programs


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory, symbolic link (its target in `data`) or device node (its numbers in `device`)."""

    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


class Tree:
    """Files by path, without leading slash. Parent directories are made as they are needed."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    @property
    def size(self) -> int:
        """Bytes of all contents."""
        return sum(len(entry.data) for entry in self._entries.values())

    def add_file(self, path: str, data: bytes, *, executable: bool = False) -> None:
        """A regular file."""
        self._add(path, Entry(stat.S_IFREG | (0o755 if executable else 0o644), data))

    def add_folder(self, path: str, mode: int = 0o755) -> None:
        """An empty directory."""
        self._add(path, Entry(stat.S_IFDIR | mode))

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._add(path, Entry(stat.S_IFLNK | 0o777, target.encode()))

    def add_device(self, path: str, major: int, minor: int) -> None:
        """A character device."""
        self._add(path, Entry(stat.S_IFCHR | 0o600, b"", (major, minor)))

    def _add(self, path: str, entry: Entry) -> None:
        parent, _, _ = path.rpartition("/")
        if parent and parent not in self._entries:
            self.add_folder(parent)
        self._entries[path] = entry

    def to_cpio(self) -> bytes:
        """The archive."""
        pieces: list[bytes] = []
        for number, path in enumerate(self, 1):
            _append(pieces, path, self._entries[path], number)
        _append(pieces, _TRAILER, Entry(0), 0)
        return b"".join(pieces)


def _append(pieces: list[bytes], path: str, entry: Entry, number: int) -> None:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    major, minor = entry.device
    fields = (
        number,             # inode
        entry.mode,
        0, 0,               # owner and group
        links,
        _TIME if number else 0,
        len(entry.data),
        0, 0,               # device the file lies on
        major, minor,
        len(name),
        0,                  # checksum, which this format leaves out
    )
    head = _MAGIC + b"".join(b"%08X" % field for field in fields) + name
    pieces += (head, bytes(-len(head) % _ALIGNMENT), entry.data, bytes(-len(entry.data) % _ALIGNMENT))
