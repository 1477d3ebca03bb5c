"""The superblock and the group descriptors of ext2/3/4, checked in Python before the C library sees them.

Source: e2fsprogs 1.47 `lib/ext2fs/ext2_fs.h`, struct ext2_super_block and struct ext4_group_desc (the kernel's
Documentation/filesystems/ext4/globals.rst describes the same). `struct` rather than `construct`: every script asks
`detect`, and construct takes longer to import than such a script may run.
"""

import struct
from enum import IntFlag
from typing import NamedTuple
from uuid import UUID

from ...base.errors import FormatError, StorageError
from ...blocks.device import BlockDevice
from .copies import COPY_GROUPS

SUPERBLOCK_OFFSET = 1024        # bytes, whatever the block size
SUPERBLOCK_SIZE = 1024
MAGIC = 0xEF53
VALID_FS = 1                    # s_state: cleanly unmounted
ERROR_FS = 2                    # s_state: the kernel met an error
ROOT_INODE = 2
_DYNAMIC_REVISION = 1           # s_rev_level from which on s_inode_size and features are stored
_OLD_FIRST_INODE = 11
_OLD_INODE_SIZE = 128


class Compatible(IntFlag):
    """s_feature_compat: may be ignored by readers and writers."""

    HAS_JOURNAL = 0x4
    EXT_ATTR = 0x8
    RESIZE_INODE = 0x10
    DIR_INDEX = 0x20
    SPARSE_SUPER2 = 0x200
    FAST_COMMIT = 0x400
    ORPHAN_FILE = 0x1000


class Incompatible(IntFlag):
    """s_feature_incompat: must be understood to read."""

    COMPRESSION = 0x1
    FILETYPE = 0x2
    RECOVER = 0x4
    JOURNAL_DEVICE = 0x8
    META_BG = 0x10
    EXTENTS = 0x40
    BITS64 = 0x80
    MMP = 0x100
    FLEX_BG = 0x200
    EA_INODE = 0x400
    DIRDATA = 0x1000
    CSUM_SEED = 0x2000
    LARGEDIR = 0x4000
    INLINE_DATA = 0x8000
    ENCRYPT = 0x10000
    CASEFOLD = 0x20000


class ReadOnlyCompatible(IntFlag):
    """s_feature_ro_compat: must be understood to write."""

    SPARSE_SUPER = 0x1
    LARGE_FILE = 0x2
    HUGE_FILE = 0x8
    GDT_CSUM = 0x10
    DIR_NLINK = 0x20
    EXTRA_ISIZE = 0x40
    HAS_SNAPSHOT = 0x80
    QUOTA = 0x100
    BIGALLOC = 0x200
    METADATA_CSUM = 0x400
    REPLICA = 0x800
    READONLY = 0x1000
    PROJECT = 0x2000
    SHARED_BLOCKS = 0x4000
    VERITY = 0x8000
    ORPHAN_PRESENT = 0x10000


# What makes a volume EXT4 rather than EXT2/EXT3: any feature that the ext3 driver of the kernel never had.
_EXT4_INCOMPATIBLE = ~(Incompatible.FILETYPE | Incompatible.RECOVER | Incompatible.JOURNAL_DEVICE | Incompatible.META_BG)
_EXT4_READ_ONLY = ~(ReadOnlyCompatible.SPARSE_SUPER | ReadOnlyCompatible.LARGE_FILE)

# name, offset, struct code: the fields we use, in disk order
_FIELDS = (
    ("inodes_count", 0x00, "I"),
    ("blocks_count_lo", 0x04, "I"),
    ("free_blocks_lo", 0x0C, "I"),
    ("free_inodes", 0x10, "I"),
    ("first_data_block", 0x14, "I"),        # 1 with blocks of 1 KiB, else 0
    ("log_block_size", 0x18, "I"),          # block size is 1024 << this
    ("log_cluster_size", 0x1C, "I"),
    ("blocks_per_group", 0x20, "I"),
    ("clusters_per_group", 0x24, "I"),
    ("inodes_per_group", 0x28, "I"),
    ("magic", 0x38, "H"),
    ("state", 0x3A, "H"),
    ("rev_level", 0x4C, "I"),
    ("first_inode", 0x54, "I"),
    ("inode_size", 0x58, "H"),
    ("feature_compat", 0x5C, "I"),
    ("feature_incompat", 0x60, "I"),
    ("feature_ro_compat", 0x64, "I"),
    ("uuid", 0x68, "16s"),
    ("volume_name", 0x78, "16s"),
    ("reserved_gdt_blocks", 0xCE, "H"),
    ("hash_seed", 0xEC, "16s"),
    ("hash_version", 0xFC, "B"),
    ("desc_size", 0xFE, "H"),
    ("first_meta_bg", 0x104, "I"),
    ("blocks_count_hi", 0x150, "I"),
    ("free_blocks_hi", 0x158, "I"),
    ("want_extra_isize", 0x15E, "H"),
    ("flags", 0x160, "I"),
)


def _record() -> struct.Struct:
    """One struct with the gaps between the fields as padding."""
    code, end = "<", 0
    for _, offset, kind in _FIELDS:
        code += f"{offset - end}x{kind}" if offset > end else kind
        end = offset + struct.calcsize(f"<{kind}")
    return struct.Struct(f"{code}{SUPERBLOCK_SIZE - end}x")


_RECORD = _record()
_NAMES = tuple(name for name, _, _ in _FIELDS)


class Superblock(NamedTuple):
    """What the superblock says, checked: every count fits the others. Sizes in bytes, counts in blocks."""

    block_size: int
    block_count: int
    first_data_block: int
    blocks_per_group: int
    inodes_per_group: int
    inode_count: int
    inode_size: int
    first_inode: int
    free_blocks: int
    free_inodes: int
    cluster_ratio: int              # blocks per bit of a block bitmap; 1 without bigalloc
    descriptor_size: int
    reserved_gdt_blocks: int
    first_meta_bg: int
    want_extra_isize: int
    compatible: Compatible
    incompatible: Incompatible
    read_only_compatible: ReadOnlyCompatible
    state: int
    flags: int
    label: str
    uuid: UUID | None
    hash_seed: bytes
    hash_version: int

    @property
    def size(self) -> int:
        """Bytes the file system covers."""
        return self.block_count * self.block_size

    @property
    def group_count(self) -> int:
        """Block groups."""
        return -(-(self.block_count - self.first_data_block) // self.blocks_per_group)

    @property
    def kind(self) -> str:
        """EXT4 when it uses what the ext3 driver never knew, EXT3 when there is a journal, else EXT2."""
        if self.incompatible & _EXT4_INCOMPATIBLE or self.read_only_compatible & _EXT4_READ_ONLY:
            return "EXT4"
        return "EXT3" if self.compatible & Compatible.HAS_JOURNAL else "EXT2"

    @property
    def has_group_checksums(self) -> bool:
        """True when groups may be marked uninitialised (`bg_flags` counts)."""
        return bool(self.read_only_compatible & (ReadOnlyCompatible.GDT_CSUM | ReadOnlyCompatible.METADATA_CSUM))

    @property
    def needs_recovery(self) -> bool:
        """True when the last writer did not finish: journal to replay, orphans, or not marked clean."""
        return bool(
            self.incompatible & Incompatible.RECOVER
            or self.read_only_compatible & ReadOnlyCompatible.ORPHAN_PRESENT
            or not self.state & VALID_FS
            or self.state & ERROR_FS
        )

    @property
    def was_cut_off(self) -> bool:
        """True when it was being written to, there is nothing to replay, and nobody found an error in it."""
        waits = self.incompatible & Incompatible.RECOVER or self.read_only_compatible & ReadOnlyCompatible.ORPHAN_PRESENT
        return not waits and not self.state & (VALID_FS | ERROR_FS)

    @classmethod
    def read(cls, device: BlockDevice) -> "Superblock":
        """The primary superblock of a device. Raises FormatError that names the field which makes no sense."""
        if device.size < SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE:
            raise FormatError(f"ext superblock: {device.size} bytes are too few for an ext file system")
        return cls.parse(device.read(SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE))

    @classmethod
    def parse(cls, data: bytes) -> "Superblock":
        """The fields of a superblock's 1024 bytes, checked against each other."""
        field = dict(zip(_NAMES, _RECORD.unpack(data), strict=True))
        _require(field["magic"] == MAGIC, f"magic is 0x{field['magic']:04x}, expected 0x{MAGIC:04x}")
        _require(field["rev_level"] <= _DYNAMIC_REVISION, f"revision is {field['rev_level']}, expected 0 or 1")
        _require(field["log_block_size"] <= 6, f"block size is 1024 << {field['log_block_size']}, expected at most 1024 << 6")
        block_size = 1024 << field["log_block_size"]
        dynamic = field["rev_level"] == _DYNAMIC_REVISION
        incompatible = Incompatible(field["feature_incompat"] if dynamic else 0)
        read_only = ReadOnlyCompatible(field["feature_ro_compat"] if dynamic else 0)
        wide = bool(incompatible & Incompatible.BITS64)

        cluster_ratio = 1
        if read_only & ReadOnlyCompatible.BIGALLOC:
            shift = field["log_cluster_size"] - field["log_block_size"]
            _require(0 <= shift <= 15, f"cluster size is block size << {shift}")
            cluster_ratio = 1 << shift
        block_count = field["blocks_count_lo"] | (field["blocks_count_hi"] << 32 if wide else 0)
        blocks_per_group = field["blocks_per_group"]
        inode_size = field["inode_size"] if dynamic else _OLD_INODE_SIZE
        descriptor_size = max(field["desc_size"], 32) if wide else 32
        bits = 8 * block_size
        first_data_block = field["first_data_block"]
        _require(first_data_block == (1 if block_size == 1024 and cluster_ratio == 1 else 0), f"first data block is {first_data_block}")
        _require(block_count > first_data_block + 7, f"{block_count} blocks are too few")
        _require(
            8 <= blocks_per_group <= bits * cluster_ratio and blocks_per_group % 8 == 0,
            f"{blocks_per_group} blocks per group, expected at most {bits * cluster_ratio}",
        )
        _require(
            cluster_ratio == 1 or field["clusters_per_group"] * cluster_ratio == blocks_per_group,
            f"{field['clusters_per_group']} clusters per group of {blocks_per_group} blocks",
        )
        _require(128 <= inode_size <= block_size and inode_size & (inode_size - 1) == 0, f"inode size is {inode_size} bytes")
        _require(
            8 <= field["inodes_per_group"] <= bits and field["inodes_per_group"] % 8 == 0,
            f"{field['inodes_per_group']} inodes per group, expected 8 to {bits}",
        )
        _require(
            32 <= descriptor_size <= block_size and descriptor_size & (descriptor_size - 1) == 0,
            f"group descriptors of {descriptor_size} bytes",
        )
        groups = -(-(block_count - first_data_block) // blocks_per_group)
        _require(
            field["inodes_count"] == groups * field["inodes_per_group"],
            f"{field['inodes_count']} inodes in {groups} groups of {field['inodes_per_group']}",
        )
        _require(
            field["reserved_gdt_blocks"] <= block_size // 4,
            f"{field['reserved_gdt_blocks']} blocks reserved for group descriptors, expected at most {block_size // 4}",
        )
        free_blocks = field["free_blocks_lo"] | (field["free_blocks_hi"] << 32 if wide else 0)
        _require(free_blocks <= block_count, f"{free_blocks} of {block_count} blocks are free")
        _require(field["free_inodes"] <= field["inodes_count"], f"{field['free_inodes']} of {field['inodes_count']} inodes are free")
        # Extra fields reach past the first 128 bytes; an inode of 128 has none (want_extra_isize is noise there).
        _require(
            inode_size == _OLD_INODE_SIZE or field["want_extra_isize"] <= inode_size - _OLD_INODE_SIZE,
            f"{field['want_extra_isize']} extra bytes in inodes of {inode_size}",
        )
        return cls(
            block_size=block_size,
            block_count=block_count,
            first_data_block=first_data_block,
            blocks_per_group=blocks_per_group,
            inodes_per_group=field["inodes_per_group"],
            inode_count=field["inodes_count"],
            inode_size=inode_size,
            first_inode=field["first_inode"] if dynamic else _OLD_FIRST_INODE,
            free_blocks=free_blocks,
            free_inodes=field["free_inodes"],
            cluster_ratio=cluster_ratio,
            descriptor_size=descriptor_size,
            reserved_gdt_blocks=field["reserved_gdt_blocks"],
            first_meta_bg=field["first_meta_bg"],
            want_extra_isize=field["want_extra_isize"],
            compatible=Compatible(field["feature_compat"] if dynamic else 0),
            incompatible=incompatible,
            read_only_compatible=read_only,
            state=field["state"],
            flags=field["flags"],
            label=field["volume_name"].partition(b"\0")[0].decode("utf-8", "replace"),
            uuid=UUID(bytes=field["uuid"]) if any(field["uuid"]) else None,
            hash_seed=field["hash_seed"],
            hash_version=field["hash_version"],
        )


def _require(condition: bool, found: str) -> None:
    if not condition:
        raise FormatError(f"ext superblock: {found}")


def detect_ext(device: BlockDevice) -> str | None:
    """EXT2, EXT3 or EXT4 when the device starts with a superblock that makes sense, whatever else is damaged.

    EXT4 is a volume with any feature the ext3 driver never knew (extents, 64bit, metadata_csum, flex_bg, huge_file, ...);
    of the others those with a journal are EXT3.
    """
    try:
        superblock = Superblock.read(device)
    except (FormatError, StorageError):
        return None
    return None if superblock.incompatible & Incompatible.JOURNAL_DEVICE else superblock.kind


# Group descriptors: the low halves, then (64bit, 64 bytes) the high ones. bg_flags is at +18.
BLOCK_UNINIT = 2                        # the block bitmap was never written: only metadata of this group is used
_GROUP = struct.Struct("<III6xH12x")            # block bitmap, inode bitmap, inode table, (counts), flags
_GROUP_HIGH = struct.Struct("<III")             # +32: high 32 bits of the three addresses


class Group(NamedTuple):
    """Where the metadata of one group lies (block numbers), and its flags."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    flags: int


def has_superblock(superblock: Superblock, group: int, backup_groups: tuple[int, int] = (0, 0)) -> bool:
    """True when a group begins with a copy of the superblock.

    Source: ext2fs_bg_has_super: all groups, or with sparse_super those of COPY_GROUPS, with sparse_super2 two named ones.
    """
    if group == 0:
        return True
    if superblock.compatible & Compatible.SPARSE_SUPER2:
        return group in backup_groups
    return not superblock.read_only_compatible & ReadOnlyCompatible.SPARSE_SUPER or group in COPY_GROUPS


def read_groups(device: BlockDevice, superblock: Superblock) -> list[Group]:
    """All group descriptors of a volume. Raises FormatError where metadata would lie outside of it."""
    size, block_size = superblock.descriptor_size, superblock.block_size
    per_block = block_size // size
    block_total = -(-superblock.group_count // per_block)
    inode_blocks = -(-superblock.inodes_per_group * superblock.inode_size // block_size)
    groups: list[Group] = []
    for number in range(block_total):
        block = _descriptor_block(superblock, number, per_block)
        if (block + 1) * block_size > device.size:
            raise FormatError(f"ext: group descriptors in block {block} lie outside the {device.size} bytes of the device")
        data = device.read(block * block_size, block_size)
        for index in range(min(per_block, superblock.group_count - len(groups))):
            block_bitmap, inode_bitmap, inode_table, flags = _GROUP.unpack_from(data, index * size)
            if size >= 64:
                high = _GROUP_HIGH.unpack_from(data, index * size + 32)
                block_bitmap |= high[0] << 32
                inode_bitmap |= high[1] << 32
                inode_table |= high[2] << 32
            group = Group(block_bitmap, inode_bitmap, inode_table, flags)
            for address, length in ((block_bitmap, 1), (inode_bitmap, 1), (inode_table, inode_blocks)):
                if not superblock.first_data_block <= address <= superblock.block_count - length:
                    raise FormatError(
                        f"ext: group {len(groups)} has metadata in block {address}, outside the volume's {superblock.block_count} blocks"
                    )
            groups.append(group)
    return groups


def _descriptor_block(superblock: Superblock, number: int, per_block: int) -> int:
    """Where a block of descriptors lies. Source: ext2fs_descriptor_block_loc2 (meta_bg: in the first group it describes)."""
    if not superblock.incompatible & Incompatible.META_BG or number < superblock.first_meta_bg:
        return superblock.first_data_block + (1 if superblock.block_size > 1024 or superblock.first_data_block else 2) + number
    group = number * per_block
    return superblock.first_data_block + group * superblock.blocks_per_group + int(has_superblock(superblock, group))
