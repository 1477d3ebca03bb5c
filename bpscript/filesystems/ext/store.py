"""What lies below paths: an open libext2fs handle, inodes, block maps, allocation and the order of writing.

A write-back cache stands between the library and the device (channel.py). What a command changes reaches the disk in this order, with
a flush of the device at each bar, so that a power cut leaves a volume that says it wants e2fsck, and every file with its old or its
new contents (there is no journal of ours):

    superblock without its "clean" mark | data, maps of new files, new blocks of directories | inodes, bitmaps, groups | clean superblock

Blocks that were given back are used again only behind the second bar of a later round (allocator.py): until then an inode on
the disk may still lead to them. Two superblocks differ in one sector only (`superblock_sector.py`), which arrives or does not.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from ...base.clock import Clock
from ...base.errors import FormatError, NoSpaceError, ReadOnlyError, StorageError
from ...blocks.device import BlockDevice
from ..write_behind import WriteBehind
from .allocator import Allocator
from .blockmap import Map, Run, Walker, build_extents, build_indirect, largest_file
from .channel import CACHE_LIMIT, CACHE_LIMIT_READING, Channel
from .directory import Shape
from .inodes import EXTENTS_FLAG, INLINE_DATA_FLAG, Inode
from .library import (
    FLAG_64BITS,
    FLAG_CHANGED,
    FLAG_DIRTY,
    FLAG_MASTER_SB_ONLY,
    FLAG_RW,
    FLAG_SKIP_MMP,
    FLUSH_NO_SYNC,
    error_for,
    load,
)
from .superblock import (
    SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
    VALID_FS,
    Compatible,
    Incompatible,
    ReadOnlyCompatible,
    Superblock,
    read_groups,
)
from .superblock_sector import in_one_sector
from .xattrs import Xattrs

_STATE = 0x3A                   # s_state
_RO_FEATURES = 0x64             # s_feature_ro_compat
_HASH_SEED = 0xEC
_CHECKSUM = 0x3FC               # s_checksum: crc32c of what stands before it
_UNSIGNED_HASH = 2              # s_flags: EXT2_FLAGS_UNSIGNED_HASH
_UNSIGNED_VERSIONS = 3          # added to the hash version for unsigned characters
_MAX_HASH_VERSION = 2
_INLINE_BLOCK = 60              # bytes of inline data in i_block
_LARGE = 1 << 31                # bytes from which on a file needs the feature large_file

# Features that change what a writer must keep right, and that we do not keep right.
_NO_WRITE_INCOMPATIBLE = Incompatible.COMPRESSION | Incompatible.MMP | Incompatible.DIRDATA | Incompatible.CASEFOLD
_NO_WRITE = (
    ReadOnlyCompatible.QUOTA
    | ReadOnlyCompatible.BIGALLOC
    | ReadOnlyCompatible.SHARED_BLOCKS
    | ReadOnlyCompatible.READONLY
    | ReadOnlyCompatible.HAS_SNAPSHOT
    | ReadOnlyCompatible.REPLICA
)


class Store:
    """An open volume, without paths. Raises FormatError from every method where the volume is damaged."""

    def __init__(self, device: BlockDevice, superblock: Superblock, *, writable: bool, clock: Clock) -> None:
        if superblock.size > device.size:
            raise FormatError(
                f"ext volume claims {superblock.size} bytes, its partition has {device.size}",
                hint="the image or partition was cut short",
            )
        groups = read_groups(device, superblock)     # refuses metadata outside the volume before the library follows it
        table_blocks = -(-superblock.inodes_per_group * superblock.inode_size // superblock.block_size)
        self._tables = sorted((group.inode_table, group.inode_table + table_blocks) for group in groups)
        self.in_place: set[int] = set()     # blocks of directories that are changed where they are
        self._released: list[tuple[int, Inode, Map | None]] = []
        self.write_out: Callable[[], object] = self.flush       # brings everything to the disk, and leaves the mark
        self.device = device
        self.superblock = superblock
        self.clock = clock
        self.block_size = superblock.block_size
        self.backup_superblocks = False
        self.has_extents = bool(superblock.incompatible & Incompatible.EXTENTS)
        self.largest_file = largest_file(superblock.block_size, extents=self.has_extents)
        self.has_dir_nlink = bool(superblock.read_only_compatible & ReadOnlyCompatible.DIR_NLINK)
        self.read_only_reason = self._why_not_written(writable)
        self._ffi, self._library = load()
        self.channel = Channel(device, CACHE_LIMIT_READING if self.read_only_reason else CACHE_LIMIT)
        self.channel.spill = self.write_files
        self.data = WriteBehind(device)
        self._allocator: Allocator | None = None
        self._marked = False                # the superblock on disk says "not clean"
        # Flags, size and i_block of files by inode number: of those that were listed, until they are asked for, or the first change.
        self.seen: dict[int, tuple[int, int, bytes]] = {}
        self._handle = self._open()
        self._record = self._ffi.new("unsigned char[]", max(superblock.inode_size, 1024))
        self._record_view = self._ffi.buffer(self._record)
        self._number = self._ffi.new("ext2_ino_t *")
        self._hash = self._ffi.new("uint32_t[2]")
        self.shape = Shape(
            block_size=self.block_size,
            has_types=bool(superblock.incompatible & Incompatible.FILETYPE),
            has_checksums=bool(superblock.read_only_compatible & ReadOnlyCompatible.METADATA_CSUM),
            has_index=bool(superblock.compatible & Compatible.DIR_INDEX) and superblock.hash_version <= _MAX_HASH_VERSION,
            hash_version=superblock.hash_version,
            inode_count=superblock.inode_count,
        )

    def _why_not_written(self, writable: bool) -> str:
        features = [feature.name for feature in _NO_WRITE_INCOMPATIBLE & self.superblock.incompatible]
        features += [feature.name for feature in _NO_WRITE & self.superblock.read_only_compatible]
        if features:
            return f"it uses {', '.join(str(name).lower() for name in features)}, which can only be read"
        return "" if writable else "it is open for reading only"

    def _open(self) -> Any:  # noqa: ANN401 - a C structure
        handle = self._ffi.new("ext2_filsys *")
        flags = FLAG_64BITS | FLAG_SKIP_MMP | (0 if self.read_only_reason else FLAG_RW)
        self.check(self._library.ext2fs_open2(b"volume", self._ffi.NULL, flags, 0, 0, self.channel.manager, handle), "ext volume")
        self.channel.keep_back = SUPERBLOCK_OFFSET // self.block_size
        return handle[0]

    def check(self, code: int, what: str) -> None:
        """Raise what a library call reported: the device's own error where there was one."""
        failure, self.channel.failure = self.channel.failure, None
        if failure is not None:
            raise failure
        if code:
            raise error_for(code, what)

    # Changing

    @property
    def allocator(self) -> Allocator:
        """Blocks; only after `begin`."""
        if self._allocator is None:
            raise AssertionError("begin() comes first")
        return self._allocator

    def begin(self) -> None:
        """Say that a change follows. Raises ReadOnlyError where none may."""
        if self._marked:
            return
        if self.read_only_reason:
            raise ReadOnlyError(f"the ext volume cannot be written: {self.read_only_reason}")
        if self._allocator is None:
            self.check(self._library.ext2fs_read_bitmaps(self._handle), "block and inode bitmaps")
            self._allocator = Allocator(
                self._handle, self.channel, self.superblock.first_data_block, self.superblock.block_count,
                bool(self.superblock.incompatible & Incompatible.BITS64),
            )  # fmt: skip
            self._allocator.on_short = self.write_out
        self.seen.clear()
        self._write_superblock(clean=False)
        self.device.flush()
        self._marked = True

    def _write_superblock(self, *, clean: bool) -> None:
        """Write the superblock as it is in the cache, with or without the mark."""
        number, offset = divmod(SUPERBLOCK_OFFSET, self.block_size)
        data = bytearray(self.channel.read_block(number)[offset : offset + SUPERBLOCK_SIZE])
        if not clean:
            state = int.from_bytes(data[_STATE : _STATE + 2], "little") & ~VALID_FS
            data[_STATE : _STATE + 2] = state.to_bytes(2, "little")
            if self.shape.has_checksums:
                data[_CHECKSUM:] = _crc32c(bytes(data[:_CHECKSUM])).to_bytes(4, "little")
        former = self.device.read(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE)
        self.device.write(SUPERBLOCK_OFFSET, in_one_sector(bytes(data), former, _crc32c if self.shape.has_checksums else None))

    @property
    def changed(self) -> bool:
        """True when `flush` has something to do."""
        return self._marked

    def write_files(self) -> None:
        """Before directories are stored: data and maps, then the inodes that lead to them."""
        self._write_new()
        if self.channel.write_back(self._is_table):
            self.device.flush()

    def _write_new(self) -> None:
        """Data, and every block that nothing on the disk leads to yet."""
        self.data.flush()
        self.channel.write_back(lambda block: block not in self.in_place and not self._is_table(block))
        self.device.flush()

    def _is_table(self, block: int) -> bool:
        index = bisect_right(self._tables, (block, self.superblock.block_count)) - 1
        return index >= 0 and block < self._tables[index][1]

    def flush(self, *, clean: bool = True) -> None:
        """Write all metadata, the superblock last; with `clean` False the volume stays marked, because more will follow."""
        if not self._marked:
            return
        if not self.backup_superblocks:
            self._handle.flags |= FLAG_MASTER_SB_ONLY
        else:
            self._handle.flags = self._handle.flags & ~FLAG_MASTER_SB_ONLY | FLAG_DIRTY | FLAG_CHANGED
        self._handle.now = self.clock.now_ns() // 1_000_000_000
        self._write_new()
        if self.channel.write_back():       # entries lead to what is new
            self.device.flush()
        self._release()
        self.allocator.settle()
        self.check(self._library.ext2fs_flush2(self._handle, FLUSH_NO_SYNC), "writing metadata")
        self.channel.write_back()
        self.device.flush()
        self.in_place.clear()
        if not clean:
            return
        if self.data.failed:
            return      # data that were accepted are missing: the volume goes on wanting to be checked
        self._write_superblock(clean=True)
        self.device.flush()
        self._marked = False

    def close(self) -> None:
        """Give the library's memory back; nothing is written."""
        if self._handle is not None:
            self._library.ext2fs_free(self._handle)
            self._handle = None

    # Inodes

    def read_inode(self, number: int) -> Inode:
        """An inode, its checksum verified."""
        return Inode.unpack(self.read_record(number))

    def read_record(self, number: int) -> bytes:
        """The record of an inode, its checksum verified."""
        if not 1 <= number <= self.superblock.inode_count:
            raise FormatError(f"inode {number} does not exist; the volume has {self.superblock.inode_count}")
        size = self.superblock.inode_size
        code = self._library.ext2fs_read_inode_full(self._handle, number, self._record, size)
        if code:
            self.check(code, f"inode {number}")
        record: bytes = self._record_view[:size]
        return record

    def write_inode(self, number: int, inode: Inode) -> None:
        """Store an inode."""
        self.write_record(number, inode.pack(self.superblock.inode_size))

    def write_record(self, number: int, record: bytes) -> None:
        """Store the record of an inode; the library adds the checksum."""
        code = self._library.ext2fs_write_inode_full(self._handle, number, record, len(record))
        if code:
            self.check(code, f"inode {number}")

    def new_inode(self, parent: int, mode: int) -> int:
        """A free inode near the parent's, not yet marked as used."""
        code = self._library.ext2fs_new_inode(self._handle, parent, mode, self._ffi.NULL, self._number)
        if code and self._released:
            self.write_out()
            code = self._library.ext2fs_new_inode(self._handle, parent, mode, self._ffi.NULL, self._number)
        self.check(code, "new file")
        return int(self._number[0])

    def free_inodes_from(self, number: int, count: int) -> int:
        """How many inodes from a free one on are free too, one after the other in its group; `count` at most."""
        per_group = self.superblock.inodes_per_group
        last = min(number + count - 1, -(-number // per_group) * per_group)
        if number < last and self._library.ext2fs_find_first_set_inode_bitmap2(self._handle.inode_map, number, last, self._number) == 0:
            return int(self._number[0]) - number
        return last - number + 1

    def write_new_records(self, number: int, records: list[bytes]) -> None:
        """Store the records of new inodes of one group, from `number` on, block by block; the library adds their checksums."""
        size, per_group = self.superblock.inode_size, self.superblock.inodes_per_group
        data = self._ffi.new("unsigned char[]", b"".join(records))
        if self.shape.has_checksums:
            add_checksum, handle, place = self._library.ext2fs_inode_csum_set, self._handle, data
            for each in range(number, number + len(records)):
                code = add_checksum(handle, each, place)
                if code:
                    self.check(code, f"inode {each}")
                place += size
        group, index = divmod(number - 1, per_group)
        table = self._library.ext2fs_inode_table_loc(self._handle, group)
        view = self._ffi.buffer(data, size * len(records))
        position, offset = 0, index * size
        while position < len(view):
            block, start = divmod(offset + position, self.block_size)
            step = min(self.block_size - start, len(view) - position)
            old = b"" if step == self.block_size else self.channel.read_block(table + block)
            self.channel.write_block(table + block, old[:start] + view[position : position + step] + old[start + step :])
            position += step
        self._library.ext2fs_flush_icache(self._handle)     # what it knows of these blocks is void

    def mark_inode(self, number: int, in_use: bool, is_directory: bool) -> None:
        """Count an inode as used or free."""
        self._library.ext2fs_inode_alloc_stats2(self._handle, number, 1 if in_use else -1, int(is_directory))

    # Where the blocks of an inode lie

    def map_of(self, number: int, inode: Inode) -> Map:
        """Runs and tree blocks of an inode that has blocks."""
        end = self.superblock.block_count
        walker = Walker(self.channel.read_block, self.block_size, self.superblock.first_data_block, end, f"inode {number}")
        return walker.read_extents(inode.block) if inode.flags & EXTENTS_FLAG else walker.read_indirect(inode.block)

    def store_map(self, number: int, inode: Inode, runs: list[Run]) -> None:
        """Give an inode its runs: i_block, tree blocks, i_blocks, and the inode itself. Raises NoSpaceError and stores nothing."""
        taken: list[tuple[int, int]] = []

        def take() -> int:
            taken.append((self.allocator.take_one(), 1))
            return taken[-1][0]

        try:
            block, tree = (build_extents if self.has_extents else build_indirect)(runs, self.block_size, take)
            blocks = sum(run.blocks for run in runs) + len(tree) + bool(inode.file_acl)
            sectors = blocks * (self.block_size // 512)
            if sectors >= 1 << 32 and not self.superblock.read_only_compatible & ReadOnlyCompatible.HUGE_FILE:
                raise StorageError("files of 2 TiB and more need the feature huge_file")
        except BaseException:
            self.allocator.give_back(taken)
            raise
        inode.block = block
        inode.blocks = sectors
        inode.flags = inode.flags | EXTENTS_FLAG if self.has_extents else inode.flags & ~EXTENTS_FLAG
        if inode.size >= _LARGE:
            self._allow_large()
        self.write_inode(number, inode)
        for part in tree:
            data = self._with_checksum(number, part.data) if part.checksum and self.shape.has_checksums else part.data
            self.channel.write_block(part.block, data)

    def _with_checksum(self, number: int, data: bytes) -> bytes:
        buffer = self._ffi.new("unsigned char[]", data)
        self.check(self._library.ext2fs_extent_block_csum_set(self._handle, number, buffer), f"inode {number}")
        return bytes(self._ffi.buffer(buffer, len(data)))

    def _allow_large(self) -> None:
        """Set the feature large_file when the first file needs it, as the kernel does."""
        if not self.superblock.read_only_compatible & ReadOnlyCompatible.LARGE_FILE:
            field = self._ffi.buffer(self._handle.super, SUPERBLOCK_SIZE)
            features = int.from_bytes(field[_RO_FEATURES : _RO_FEATURES + 4], "little") | ReadOnlyCompatible.LARGE_FILE
            field[_RO_FEATURES : _RO_FEATURES + 4] = features.to_bytes(4, "little")
            self._handle.flags |= FLAG_DIRTY | FLAG_CHANGED

    def release_map(self, old: Map) -> None:
        """Give up the data and tree blocks of a map that is on the disk."""
        self.data.flush()      # what waits for these blocks must not come after what they are used for next
        self.allocator.retire([(run.start, run.blocks) for run in old.runs])
        self.allocator.retire([(block, 1) for block in old.tree])

    def has_blocks(self, inode: Inode) -> bool:
        """True when i_block is a map: not for devices, short symlinks and inline data."""
        if inode.flags & INLINE_DATA_FLAG:
            return False
        if inode.mode & 0o170000 in {0o100000, 0o040000}:
            return True
        return inode.mode & 0o170000 == 0o120000 and bool(inode.flags & EXTENTS_FLAG or inode.size >= _INLINE_BLOCK)

    def release_inode(self, number: int, inode: Inode, known_map: Map | None = None) -> None:
        """Free an inode that has no name left, with everything it holds; `known_map` spares reading its map.

        That is done when the disk knows that it has no name.
        """
        # What can fail on a damaged volume comes before anything is given up.
        old = known_map
        if old is None and self.has_blocks(inode):
            old = self.map_of(number, inode)
        self._released.append((number, inode, old))

    def _release(self) -> None:
        released, self._released = self._released, []
        for number, inode, old in released:
            self._release_one(number, inode, old)

    def _release_one(self, number: int, inode: Inode, old: Map | None) -> None:
        if old is not None:
            inode.blocks = self.block_size // 512 if inode.file_acl else 0
        inode.links = 0
        inode.dtime = self.clock.now_ns() // 1_000_000_000
        if inode.has_xattrs:
            size = self.superblock.inode_size
            self._ffi.buffer(self._record, size)[:] = inode.pack(size)
            self.check(self._library.ext2fs_free_ext_attr(self._handle, number, self._record), f"inode {number}")
            inode = Inode.unpack(self._ffi.buffer(self._record, size)[:])
        if old is not None:
            self.release_map(old)
        self.write_inode(number, inode)
        self.mark_inode(number, False, inode.mode & 0o170000 == 0o040000)

    # Extended attributes, inline data, directory blocks

    def xattrs(self, number: int) -> Xattrs:
        """The extended attributes of an inode."""
        return Xattrs(self._handle, number, self.check)

    def inline_data(self, number: int) -> bytes:
        """The contents that lie in the inode itself."""
        size = self._ffi.new("size_t *")
        self.check(self._library.ext2fs_inline_data_size(self._handle, number, size), f"inode {number}")
        if size[0] > self.block_size:
            raise FormatError(f"inode {number}: {size[0]} bytes of inline data are more than a block")
        buffer = self._ffi.new("unsigned char[]", max(int(size[0]), _INLINE_BLOCK))
        self.check(self._library.ext2fs_inline_data_get(self._handle, number, self._ffi.NULL, buffer, size), f"inode {number}")
        return bytes(self._ffi.buffer(buffer, size[0]))

    def expand_inline_data(self, number: int) -> None:
        """Move inline data to a block."""
        self.check(self._library.ext2fs_inline_data_expand(self._handle, number), f"inode {number}")

    def read_directory_block(self, number: int, block: int) -> bytes:
        """A block of a directory, its checksum verified."""
        data = self.channel.read_block(block)
        if self.shape.has_checksums and not self._library.ext2fs_dir_block_csum_verify(self._handle, number, self._ffi.from_buffer(data)):
            raise FormatError(f"directory inode {number}: block {block} has a wrong checksum")
        return data

    def write_directory_block(self, number: int, block: int, data: bytes) -> None:
        """A block of a directory, with its checksum."""
        if self.shape.has_checksums:
            buffer = self._ffi.new("unsigned char[]", data)
            self.check(self._library.ext2fs_dir_block_csum_set(self._handle, number, buffer), f"directory inode {number}")
            data = bytes(self._ffi.buffer(buffer, len(data)))
        self.channel.write_block(block, data)

    def hashes_of(self, names: Iterable[bytes]) -> list[tuple[int, int]]:
        """Major and minor hash of names for a directory index."""
        version = self.superblock.hash_version
        if self.superblock.flags & _UNSIGNED_HASH:
            version += _UNSIGNED_VERSIONS
        digest, nothing, seed = self._library.ext2fs_dirhash2, self._ffi.NULL, self._handle.super + _HASH_SEED
        found = self._hash
        minor = found + 1
        hashes: list[tuple[int, int]] = []
        for name in names:
            code = digest(version, name, len(name), nothing, 0, seed, found, minor)
            if code:
                self.check(code, "directory index")
            hashes.append((found[0], found[1]))
        return hashes

    def free_bytes(self) -> int:
        """Room for data."""
        free = self.superblock.free_blocks if self._allocator is None else self._allocator.free
        return free * self.block_size

    def require_blocks(self, count: int) -> None:
        """Raise NoSpaceError unless so many blocks are free."""
        if count > self.allocator.free:
            raise NoSpaceError(f"{count * self.block_size} bytes are needed and {self.free_bytes()} are free")


def _crc32c(data: bytes) -> int:
    _, library = load()
    return int(library.ext2fs_crc32c_le(0xFFFF_FFFF, data, len(data)))
