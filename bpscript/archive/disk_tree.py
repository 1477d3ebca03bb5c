"""A whole disk as one tree that can be read: each partition is a directory named by its number.

    1/etc/fstab     a file on partition 1
    2               a partition whose files cannot be reached (swap, NTFS, anything unknown) is a file with its bytes
"""

from ..base.clock import Clock
from ..base.errors import BpscriptError, InTheWayError, NotFoundError
from ..base.sources import Reader
from ..blocks.device import BlockDevice
from ..blocks.slice import SliceDevice
from ..filesystems.detect import detect, open_volume
from ..filesystems.filesystem import Extent, Facts, Family, FileKind, Filesystem, HasExtents, UnixFacts
from ..partitions.table import SECTOR_SIZES, Table, open_partition, read_table
from .pieces import Piece
from .read_only import ReadOnlyTree

_INODES = 1 << 33       # numbers of files on one partition: ext has 32 bits


class DiskTree(ReadOnlyTree):
    """The files on all partitions of a disk."""

    kind = "DISK"
    family = Family.OTHER
    label = ""
    ident = ""
    ignores_case = False

    def __init__(self, device: BlockDevice, table: Table) -> None:
        self.device = device
        self._parts: dict[str, SliceDevice] = {
            str(each.number): open_partition(device, table, each.number) for each in table.partitions if not each.is_extended
        }
        self._volumes: dict[str, Filesystem | None] = {}

    @classmethod
    def find(cls, device: BlockDevice) -> "DiskTree | None":
        """The tree of a device with a partition table; None for one without. Raises FormatError for a damaged table."""
        for sector_size in SECTOR_SIZES:
            table = read_table(device, sector_size)
            if table.scheme is not None and table.partitions:
                return cls(device, table)
        return None

    def stat(self, path: str) -> Facts:
        """Facts of a path."""
        if not path:
            return Facts(FileKind.DIRECTORY)
        number, inner = self._split(path)
        volume = self._volume(number)
        if inner:
            return self._apart(number, self._need(volume, number).stat(inner))
        return Facts(FileKind.FILE, self._parts[number].size) if volume is None else self._apart(number, volume.stat(""))

    def exists(self, path: str) -> bool:
        """True when `stat` would answer."""
        if not path:
            return True
        number, _, inner = path.partition("/")
        if number not in self._parts:
            return False
        volume = self._volume(number)
        return not inner or (volume is not None and volume.exists(inner))

    def entries(self, path: str) -> list[tuple[str, Facts]]:
        """Names and facts of a directory's entries."""
        if not path:
            return [(number, self._facts_of_part(number)) for number in self._parts]
        number, inner = self._split(path)
        return [(name, self._apart(number, facts)) for name, facts in self._need(self._volume(number), number).entries(inner)]

    def open(self, path: str) -> Reader:
        """The contents of a file, or the bytes of a partition whose files cannot be reached."""
        number, inner = self._split(path)
        volume = self._volume(number)
        if volume is None and not inner:
            return Piece(self._parts[number], 0, self._parts[number].size)
        return self._need(volume, number).open(inner)

    def extents(self, path: str) -> list[Extent] | None:
        """Where the contents of a file lie on the disk; None where that is not known."""
        number, inner = self._split(path)
        part, volume = self._parts[number], self._volume(number)
        if volume is None:
            return [Extent(0, part.start, part.size)]
        if not isinstance(volume, HasExtents) or volume.device is not part:
            return None
        found = volume.extents(inner)
        return None if found is None else [Extent(logical, offset + part.start, length) for logical, offset, length in found]

    def volume(self, number: str) -> Filesystem | None:
        """The volume of a partition; None when its files cannot be reached. Raises NotFoundError."""
        self._split(number)
        return self._volume(number)

    def part(self, number: str) -> SliceDevice:
        """The bytes of a partition. Raises NotFoundError."""
        return self._parts[self._split(number)[0]]

    def close(self) -> None:
        """Close the volumes."""
        for volume in self._volumes.values():
            if volume is not None:
                volume.close()
        self._volumes = {}

    # --- inside ------------------------------------------------------------------------------------------------------

    def _facts_of_part(self, number: str) -> Facts:
        """For a listing: a damaged file system does not hide the others."""
        try:
            return self.stat(number)
        except BpscriptError:
            return Facts(FileKind.FILE, self._parts[number].size)

    def _split(self, path: str) -> tuple[str, str]:
        number, _, inner = path.partition("/")
        if number not in self._parts:
            raise NotFoundError(f"this disk has no partition {number}", hint=f"its partitions: {', '.join(self._parts) or 'none'}")
        return number, inner

    def _volume(self, number: str) -> Filesystem | None:
        if number not in self._volumes:
            kind = detect(self._parts[number])
            readable = kind is not None and (kind.startswith("FAT") or kind in {"EXT2", "EXT3", "EXT4"})
            self._volumes[number] = open_volume(self._parts[number], clock=Clock(0), writable=False) if readable else None
        return self._volumes[number]

    def _need(self, volume: Filesystem | None, number: str) -> Filesystem:
        if volume is None:
            raise InTheWayError(f"partition {number} holds no file system whose files can be reached")
        return volume

    def _apart(self, number: str, facts: Facts) -> Facts:
        """With an inode number that no file of another partition has."""
        unix = facts.unix
        if unix is None:
            return facts
        inode = unix.inode + int(number) * _INODES
        unix = UnixFacts(unix.mode, unix.uid, unix.gid, unix.atime_ns, unix.ctime_ns, unix.device, inode, unix.links, unix.xattrs)
        return Facts(facts.kind, facts.size, facts.mtime_ns, facts.target, unix, facts.dos)


