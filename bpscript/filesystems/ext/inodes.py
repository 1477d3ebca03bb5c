"""The inode record, and what it says as Facts.

Source: e2fsprogs `lib/ext2fs/ext2_fs.h`, struct ext2_inode_large; the kernel's Documentation/filesystems/ext4/inodes.rst for the
bits of the extra times. The library wants and gives records in the byte order of the host; all hosts we run on are little-endian,
as the disk is.
"""

import struct

from ...base.errors import FormatError, StorageError
from ..filesystem import FileKind

_BASE = struct.Struct(
    "<"
    "HH"      # +0   i_mode, i_uid
    "IIIII"   # +4   i_size, i_atime, i_ctime, i_mtime, i_dtime
    "HHI"     # +24  i_gid, i_links_count, i_blocks (512-byte units)
    "II"      # +32  i_flags, osd1
    "60s"     # +40  i_block: block numbers, extent tree, symlink text, device number or inline data
    "III"     # +100 i_generation, i_file_acl, i_size_high
    "IHH"     # +112 i_faddr, i_blocks_high, i_file_acl_high
    "HHHH"    # +120 i_uid_high, i_gid_high, checksum (low), reserved
)
_EXTRA = struct.Struct(
    "<"
    "HH"      # +128 i_extra_isize, checksum (high)
    "III"     # +132 i_ctime_extra, i_mtime_extra, i_atime_extra
    "II"      # +144 i_crtime, i_crtime_extra
)
_WHOLE = struct.Struct(_BASE.format + _EXTRA.format[1:])
_NO_EXTRA = (0,) * 7
_EXTRA_START = 128
_TIMES_EXTRA = 152 - _EXTRA_START       # i_extra_isize from which on all extra times are stored
_TIMES_KEPT = 4096
_FULL_EXTRA_SIZE = 32                   # i_extra_isize of new inodes: up to i_projid

EXTENTS_FLAG = 0x0008_0000              # EXT4_EXTENTS_FL and friends
INDEX_FLAG = 0x1000
INLINE_DATA_FLAG = 0x1000_0000
ENCRYPT_FLAG = 0x800
CASEFOLD_FLAG = 0x4000_0000
HUGE_FILE_FLAG = 0x4_0000
IMMUTABLE_FLAGS = 0x30                  # EXT2_IMMUTABLE_FL, EXT2_APPEND_FL: the kernel's business, not an installer's

_XATTR_MAGIC = b"\x00\x00\x02\xea"      # EXT2_EXT_ATTR_MAGIC, little-endian
FAST_SYMLINK_SIZE = 60                  # shorter targets lie in i_block itself

_KINDS = {
    0o100000: FileKind.FILE,
    0o040000: FileKind.DIRECTORY,
    0o120000: FileKind.SYMLINK,
    0o020000: FileKind.CHARACTER_DEVICE,
    0o060000: FileKind.BLOCK_DEVICE,
    0o010000: FileKind.FIFO,
    0o140000: FileKind.SOCKET,
}
TYPE_BITS = {kind: bits for bits, kind in _KINDS.items()}

# File types in directory entries (EXT2_FT_*); 0 where the volume has no feature `filetype`.
ENTRY_TYPES = {
    FileKind.FILE: 1,
    FileKind.DIRECTORY: 2,
    FileKind.CHARACTER_DEVICE: 3,
    FileKind.BLOCK_DEVICE: 4,
    FileKind.FIFO: 5,
    FileKind.SOCKET: 6,
    FileKind.SYMLINK: 7,
}

_SECOND = 1_000_000_000
_MIN_SECONDS = -(1 << 31)
_MAX_SECONDS_128 = (1 << 31) - 1                # January 2038
_MAX_SECONDS = (1 << 34) - (1 << 31) - 1        # the year 2446


class Inode:
    """One inode; `size` bytes, `blocks` in 512-byte units, times in nanoseconds since 1970. `tail` is what follows the known fields."""

    def __init__(
        self, *, mode: int = 0, uid: int = 0, gid: int = 0, size: int = 0, links: int = 0, blocks: int = 0, flags: int = 0, block: bytes = bytes(60),
        atime_ns: int = 0, ctime_ns: int = 0, mtime_ns: int = 0, crtime_ns: int = 0, dtime: int = 0, generation: int = 0, file_acl: int = 0,
        version: int = 0, fragment: int = 0, extra_size: int = 0, tail: bytes = b"",
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.links = links
        self.blocks = blocks
        self.flags = flags
        self.block = block
        self.atime_ns = atime_ns
        self.ctime_ns = ctime_ns
        self.mtime_ns = mtime_ns
        self.crtime_ns = crtime_ns
        self.dtime = dtime              # seconds: when it was deleted
        self.generation = generation
        self.file_acl = file_acl
        self.version = version          # osd1
        self.fragment = fragment        # i_faddr
        self.extra_size = extra_size    # i_extra_isize
        self.tail = tail

    @property
    def kind(self) -> FileKind:
        """What it is. Raises FormatError for a mode no kernel writes."""
        kind = _KINDS.get(self.mode & 0o170000)
        if kind is None:
            raise FormatError(f"inode: mode is 0{self.mode:o}, which is no kind of file")
        return kind

    @property
    def has_xattrs(self) -> bool:
        """True when extended attributes may be stored, in a block of their own or behind the fields."""
        start = max(0, self.extra_size - (_EXTRA.size))
        return bool(self.file_acl) or self.tail[start : start + 4] == _XATTR_MAGIC

    @classmethod
    def unpack(cls, record: bytes) -> "Inode":
        """The fields of a record of 128 or more bytes."""
        (
            mode, uid, size, atime, ctime, mtime, dtime, gid, links, blocks, flags, version, block, generation, file_acl, size_high,
            fragment, blocks_high, file_acl_high, uid_high, gid_high, _, _,
        ) = _BASE.unpack_from(record)  # fmt: skip
        extra_size = ctime_extra = mtime_extra = atime_extra = crtime = crtime_extra = 0
        tail = b""
        if len(record) > _EXTRA_START:
            extra_size, _, ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra = _EXTRA.unpack_from(record, _EXTRA_START)
            tail = record[_EXTRA_START + _EXTRA.size :]
            if extra_size < _TIMES_EXTRA:
                ctime_extra = mtime_extra = atime_extra = crtime = crtime_extra = 0
        return cls(
            mode=mode,
            uid=uid | uid_high << 16,
            gid=gid | gid_high << 16,
            size=size | size_high << 32,
            links=links,
            blocks=blocks | blocks_high << 32,
            flags=flags,
            block=block,
            atime_ns=_nanoseconds(atime, atime_extra),
            ctime_ns=_nanoseconds(ctime, ctime_extra),
            mtime_ns=_nanoseconds(mtime, mtime_extra),
            crtime_ns=_nanoseconds(crtime, crtime_extra),
            dtime=dtime,
            generation=generation,
            file_acl=file_acl | file_acl_high << 32,
            version=version,
            fragment=fragment,
            extra_size=extra_size,
            tail=tail,
        )

    def pack(self, inode_size: int) -> bytes:
        """The record; the checksum is left to the library."""
        wide = inode_size > _EXTRA_START and self.extra_size >= _TIMES_EXTRA
        atime, atime_extra = _on_disk(self.atime_ns, wide)
        ctime, ctime_extra = _on_disk(self.ctime_ns, wide)
        mtime, mtime_extra = _on_disk(self.mtime_ns, wide)
        base = _BASE.pack(
            self.mode, self.uid & 0xFFFF, self.size & 0xFFFF_FFFF, atime, ctime, mtime, self.dtime & 0xFFFF_FFFF, self.gid & 0xFFFF,
            self.links, self.blocks & 0xFFFF_FFFF, self.flags, self.version, self.block, self.generation,
            self.file_acl & 0xFFFF_FFFF, self.size >> 32, self.fragment, self.blocks >> 32, self.file_acl >> 32,
            self.uid >> 16, self.gid >> 16, 0, 0,
        )  # fmt: skip
        if inode_size <= _EXTRA_START:
            return base
        if not wide:
            return base + _EXTRA.pack(self.extra_size, *_NO_EXTRA[1:]) + self.tail
        crtime, crtime_extra = _on_disk(self.crtime_ns, wide)
        extra = _EXTRA.pack(self.extra_size, 0, ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra)
        return base + extra + (self.tail or bytes(inode_size - _EXTRA_START - _EXTRA.size))

    @property
    def device(self) -> tuple[int, int]:
        """Major and minor number of a device. Source: linux kdev_t.h, old_decode_dev and new_decode_dev."""
        old, new = struct.unpack_from("<II", self.block)
        if old:
            return old >> 8 & 0xFF, old & 0xFF
        return new >> 8 & 0xFFF, new & 0xFF | new >> 12 & 0xFFF00


def usual_file(record: bytes) -> tuple[int, int, int, int, int, int, int, int, int, bytes] | None:
    """Mode, uid, gid, links, size, atime, ctime and mtime (nanoseconds), flags and i_block of a regular file whose fields are all that there is.

    None for anything else, and for a file with extended attributes.
    """
    if len(record) == _EXTRA_START:
        return None
    (
        mode, uid, size, atime, ctime, mtime, _, gid, links, _, flags, _, block, _, file_acl, size_high, _, _, file_acl_high, uid_high, gid_high, _, _,
        extra_size, _, ctime_extra, mtime_extra, atime_extra, _, _,
    ) = _WHOLE.unpack_from(record)  # fmt: skip
    if mode & 0o170000 != 0o100000 or file_acl or file_acl_high or flags & (INLINE_DATA_FLAG | ENCRYPT_FLAG) or extra_size < _TIMES_EXTRA:
        return None
    if record[_EXTRA_START + extra_size : _EXTRA_START + extra_size + 4] == _XATTR_MAGIC:
        return None
    return (
        mode & 0o7777, uid | uid_high << 16, gid | gid_high << 16, links, size | size_high << 32,
        _nanoseconds(atime, atime_extra), _nanoseconds(ctime, ctime_extra), _nanoseconds(mtime, mtime_extra), flags, block,
    )  # fmt: skip


def file_map(record: bytes) -> tuple[int, int, bytes]:
    """Flags, size and i_block of a regular file."""
    base = _BASE.unpack_from(record)
    return base[10], base[2] | base[15] << 32, base[12]


class NewRecords:
    """Records of new files with one name, without an `Inode`."""

    def __init__(self, inode_size: int, want_extra_size: int) -> None:
        """`want_extra_size`: i_extra_isize that the volume wants."""
        self._size = inode_size
        self._extra_size = new_extra_size(inode_size, want_extra_size)
        self._wide = self._extra_size >= _TIMES_EXTRA
        self._times: dict[int, tuple[int, int]] = {}        # files of a system share most of theirs

    def _time(self, time_ns: int) -> tuple[int, int]:
        found = self._times.get(time_ns)
        if found is None:
            if len(self._times) >= _TIMES_KEPT:
                self._times.clear()
            found = self._times[time_ns] = _on_disk(time_ns, self._wide)
        return found

    def make(  # noqa: PLR0917 - the fields
        self, mode: int, uid: int, gid: int, size: int, sectors: int, flags: int, block: bytes, times_ns: tuple[int, int, int, int]
    ) -> bytes:
        """One record; `times_ns` are atime, ctime, mtime and crtime."""
        atime, atime_extra = self._time(times_ns[0])
        ctime, ctime_extra = self._time(times_ns[1])
        mtime, mtime_extra = self._time(times_ns[2])
        base = _BASE.pack(
            mode, uid & 0xFFFF, size & 0xFFFF_FFFF, atime, ctime, mtime, 0, gid & 0xFFFF, 1, sectors & 0xFFFF_FFFF, flags, 0, block, 0, 0,
            size >> 32, 0, sectors >> 32, 0, uid >> 16, gid >> 16, 0, 0,
        )  # fmt: skip
        if self._size <= _EXTRA_START:
            return base
        if not self._wide:
            return (base + _EXTRA.pack(self._extra_size, *_NO_EXTRA[1:])).ljust(self._size, b"\0")
        crtime, crtime_extra = self._time(times_ns[3])
        return (base + _EXTRA.pack(self._extra_size, 0, ctime_extra, mtime_extra, atime_extra, crtime, crtime_extra)).ljust(self._size, b"\0")


def new_extra_size(inode_size: int, wanted: int) -> int:
    """i_extra_isize of a new inode: what the volume wants, at least up to i_projid."""
    return min(max(wanted, _FULL_EXTRA_SIZE), inode_size - _EXTRA_START) if inode_size > _EXTRA_START else 0


def device_block(device: tuple[int, int]) -> bytes:
    """i_block of a device: the old form where both numbers fit in a byte, else the new one."""
    major, minor = device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise StorageError(f"device {major}:{minor} cannot be stored; a major number has 12 bits and a minor 20")
    if major < 256 and minor < 256:
        return struct.pack("<II52x", major << 8 | minor, 0)
    return struct.pack("<II52x", 0, minor & 0xFF | major << 8 | (minor & ~0xFF) << 12)


def _nanoseconds(seconds: int, extra: int) -> int:
    """Seconds as a signed 32-bit number, plus two bits of epoch, plus nanoseconds in the upper 30 bits of the extra field."""
    signed = seconds - (1 << 32) if seconds & 0x8000_0000 else seconds
    return (signed + ((extra & 3) << 32)) * _SECOND + (extra >> 2)


def _on_disk(time_ns: int, wide: bool) -> tuple[int, int]:
    """Both fields of a time; what an inode cannot hold becomes the nearest it can."""
    seconds, nanoseconds = divmod(time_ns, _SECOND)
    if 0 <= seconds < 0x8000_0000:      # nearly always
        return seconds, nanoseconds << 2
    if not wide:
        return min(max(seconds, _MIN_SECONDS), _MAX_SECONDS_128) & 0xFFFF_FFFF, 0
    if not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
        seconds, nanoseconds = (_MIN_SECONDS, 0) if seconds < _MIN_SECONDS else (_MAX_SECONDS, _SECOND - 1)
    low = seconds & 0xFFFF_FFFF
    signed = low - (1 << 32) if low & 0x8000_0000 else low
    return low, (seconds - signed) >> 32 & 3 | nanoseconds << 2
