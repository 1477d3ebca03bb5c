"""Where things are in the cache, and how an entry of its directory looks. FORMAT.md says the same for people.

    | header | use table | directory: slots of 2 KiB | data: blocks of 32 KiB ...                |
    0        4096                                     data_offset (a whole number of blocks)

Nothing in the header is believed: it is valid when it is, byte for byte, the header we would write for this area.
"""

import struct
from dataclasses import dataclass
from zlib import crc32

from ...base.units import KIB, round_up

BLOCK = 32 * KIB                    # language.md 5: each 32 KB block of data carries a CRC-32
HEADER_SIZE = 512
USE_OFFSET = 4096
USE = struct.Struct("<Q")           # one for each slot: when it was last used, 0 never
SLOT = 2048
_FEWEST_SLOTS, _MOST_SLOTS = 64, 4096
_ROOM_PER_SLOT = 256 * KIB          # the directory holds a file for each 256 KiB of the area, within the limits above

LONGEST_NAME = 255                  # characters, language.md 5; at most 4 bytes each in UTF-8
_NAME_ROOM = 1024
MOST_EXTENTS = 120
GREATEST_COUNT = 1 << 62            # of generations and uses: no disk lives that long, and one more always fits its field

# magic +0, version +8, block size +12, start of the area on the disk +16, its size +24, slots +32, unused +36, data offset +40,
# zeros, CRC-32 of all before +508
_HEADER = struct.Struct("<8sIIQQIIQ")
_HEADER_MAGIC = b"BPCACHE\0"
_VERSION = 1

# magic +0, CRC-32 of bytes 8 to 2047 +4, generation +8, size +16, mtime +24, flags +32, extents +36, name length +38,
# checksum of the first block +40, seed +56, name +64, extents +1088 (first block, count: 32 bits each)
_ENTRY = struct.Struct(f"<4sIQQqIHH16sQ{_NAME_ROOM}s")
_ENTRY_MAGIC = b"BPCE"
_EXTENT = struct.Struct("<II")
_SERVER_TIME = 1                    # flag: the time is the one the server gave, not that of our writing

# A block of checksums: 8191 of 4 bytes each for the blocks of data, in order, and that of these bytes themselves at its end.
CHECKSUMS = BLOCK // 4 - 1

Extent = tuple[int, int]            # first block, number of blocks


@dataclass(frozen=True, slots=True)
class Geometry:
    """The parts of an area of `size` bytes that begins `start` bytes into its disk."""

    start: int
    size: int

    @property
    def slots(self) -> int:
        """Entries the directory has room for."""
        return min(max(self.size // _ROOM_PER_SLOT, _FEWEST_SLOTS), _MOST_SLOTS)

    @property
    def directory_offset(self) -> int:
        """Where the first slot is."""
        return USE_OFFSET + round_up(self.slots * USE.size, USE_OFFSET)

    @property
    def data_offset(self) -> int:
        """Where block 0 is."""
        return round_up(self.directory_offset + self.slots * SLOT, BLOCK)

    @property
    def blocks(self) -> int:
        """Blocks of data; 0 when the area is too small for a cache."""
        return min(max(0, (self.size - self.data_offset) // BLOCK), 0xFFFF_FFFF)

    def slot_offset(self, slot: int) -> int:
        """Where a slot of the directory is."""
        return self.directory_offset + slot * SLOT

    def block_offset(self, block: int) -> int:
        """Where a block of data is."""
        return self.data_offset + block * BLOCK

    def header(self) -> bytes:
        """The header of a cache in this area."""
        fields = _HEADER.pack(_HEADER_MAGIC, _VERSION, BLOCK, self.start, self.size, self.slots, 0, self.data_offset)
        body = fields.ljust(HEADER_SIZE - 4, b"\0")
        return body + crc32(body).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `generation` grows with every entry written; `seed` is that under which the contents were.

    `first_block` is the BLAKE3 of the first 32 KB, cut to 16 bytes.

    `mtime_ns` is the server's time if `server_time`, else that of our writing. `extents` are the file's blocks in order:
    data, then blocks of checksums, then what is reserved.
    """

    name: str
    generation: int
    seed: int
    size: int
    mtime_ns: int
    server_time: bool
    first_block: bytes
    extents: tuple[Extent, ...]

    @property
    def data_blocks(self) -> int:
        """Blocks that hold the contents."""
        return -(-self.size // BLOCK)

    @property
    def capacity(self) -> int:
        """Blocks that belong to it."""
        return sum(count for _, count in self.extents)

    def to_bytes(self) -> bytes:
        """The slot."""
        name = self.name.encode("utf-8")
        fields = _ENTRY.pack(
            _ENTRY_MAGIC, 0, self.generation, self.size, self.mtime_ns, _SERVER_TIME if self.server_time else 0, len(self.extents),
            len(name), self.first_block, self.seed, name,
        )
        slot = bytearray(fields + b"".join(_EXTENT.pack(*extent) for extent in self.extents)).ljust(SLOT, b"\0")
        slot[4:8] = crc32(slot[8:]).to_bytes(4, "little")
        return bytes(slot)

    @classmethod
    def from_bytes(cls, slot: bytes, blocks: int) -> "Entry | None":
        """The entry in a slot; None when there is none, or one that does not check or points outside `blocks`."""
        if slot[:4] != _ENTRY_MAGIC or crc32(slot[8:]) != int.from_bytes(slot[4:8], "little"):
            return None
        _, _, generation, size, mtime_ns, flags, extent_count, name_length, first_block, seed, name_field = _ENTRY.unpack_from(slot)
        if extent_count > MOST_EXTENTS or name_length > _NAME_ROOM or generation >= GREATEST_COUNT:
            return None
        try:
            name = name_field[:name_length].decode("utf-8")
        except UnicodeDecodeError:
            return None
        extents = tuple(_EXTENT.iter_unpack(slot[_ENTRY.size : _ENTRY.size + extent_count * _EXTENT.size]))
        entry = cls(name, generation, seed, size, mtime_ns, bool(flags & _SERVER_TIME), first_block, extents)
        if not is_good_name(name) or any(count == 0 or first + count > blocks for first, count in extents):
            return None
        return entry if blocks_for(size) <= entry.capacity <= blocks else None


def blocks_for(size: int) -> int:
    """Blocks that `size` bytes need, checksums included."""
    data = -(-size // BLOCK)
    return data + -(-data // CHECKSUMS)


def block_checksum(seed: int, index: int, data: bytes | bytearray | memoryview) -> int:
    """CRC-32 of a block as its file has it: who wrote it (`seed`) and where it stands are part of it.

    So a block that another file left in the same place does not check, even if it is whole.
    """
    return crc32(data, crc32(struct.pack("<QQ", seed, index)))


def is_good_name(name: str) -> bool:
    """A clean path of 1 to 255 characters."""
    return 0 < len(name) <= LONGEST_NAME and "\0" not in name and all(part not in {"", ".", ".."} for part in name.split("/"))
