"""Images made by partclone, formats 0001 and 0002: header, bitmap, and the strips in which used blocks are stored.

    header | bitmap | block block ... checksum | block block ... checksum | ...

Only used blocks are stored, in order; a checksum follows every so many of them (a strip). Strips are handled in batches of about 1 MiB.

Sources: partclone's docs/IMAGE_FORMATS.md for the layouts; images made by partclone 0.3.23 for the values in the fields and for what is
covered by which checksum. Its CRC-32 is the usual one (zlib's) without the final inversion. Without "reseed" it runs on from strip to
strip, over blocks only. That of format 0001 runs on too, and takes the first byte of a block again and again, once for each byte.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from struct import Struct

from ..base.errors import FormatError
from ..base.units import MIB
from ..filesystems.bits import bit_runs
from .ranges import MAX_RANGES, Ranges
from .records import MAX_SIZE

START_SIZE = 36             # bytes that tell the format and its byte order

# Format 0002. The first 106 bytes are covered by the CRC-32 behind them.
_HEADER_2 = Struct(
    "<"
    "16s"     # +0   "partclone-image", zero
    "14s"     # +16  version of partclone
    "4s"      # +30  "0002"
    "H"       # +34  C0DE: little-endian
    "16s"     # +36  kind of file system, as partclone names it
    "Q"       # +52  bytes of the device
    "Q"       # +60  blocks
    "Q"       # +68  used blocks, as the superblock says
    "Q"       # +76  used blocks, as the bitmap says
    "I"       # +84  bytes per block
    "I"       # +88  bytes of what follows, without the CRC-32: 18
    "H"       # +92  2
    "H"       # +94  32 or 64: the machine's bits
    "H"       # +96  kind of checksum: 0, or 20h CRC-32 (30h, 31h: xxHash, in later versions)
    "H"       # +98  bytes of a checksum
    "I"       # +100 blocks in a strip; 0 without checksums
    "B"       # +104 1: the checksum begins anew with each strip
    "B"       # +105 kind of bitmap: 1 bits, 8 bytes
    "I"       # +106 CRC-32
)
# Format 0001. No checksum.
_HEADER_1 = Struct(
    "<"
    "15s"     # +0   "partclone-image"
    "15s"     # +15  kind of file system
    "4s"      # +30  "0001"
    "2x"      # +34
    "I"       # +36  bytes per block
    "Q"       # +40  bytes of the device
    "Q"       # +48  blocks
    "Q"       # +56  used blocks
    "4096x"   # +64
)
_LITTLE_ENDIAN = b"\xde\xc0"        # at 34 of format 0002
_NO_CHECKSUM, _CRC32 = 0, 0x20
_BITS, _BYTES = 1, 8
_BYTES_END = b"BiTmAgIc"            # behind a bitmap of bytes
_SEED = 0xFFFF_FFFF
_MAX_BLOCKS = 1 << 35               # a bitmap of 4 GiB; partclone itself holds it in memory
_MAX_BLOCK = 16 * MIB
_MAX_STRIP = 32 * MIB               # Clonezilla makes strips of 10 MiB
_BATCH = MIB
_STEP = MIB

Take = Callable[[int], bytes]       # the next so many bytes, exactly; raises FormatError at the end


def crc32(data: bytes | memoryview, seed: int = _SEED) -> int:
    """Partclone's CRC-32."""
    return zlib.crc32(data, seed ^ _SEED) ^ _SEED


@dataclass(frozen=True, slots=True)
class PartcloneHeader:
    """What the header says."""

    version: int                # 1 or 2
    writer: str                 # version of partclone, "" in format 0001
    kind: str                   # as partclone names the file system
    device_size: int            # bytes
    block_size: int             # bytes
    block_count: int
    has_bytes: bool             # a byte of the bitmap for each block, not a bit
    checksum_size: int          # bytes; 0 without checksums
    blocks_per_checksum: int    # 0 without checksums
    reseeds: bool

    @property
    def size(self) -> int:
        """Bytes of the partition: what the blocks cover, or the device when it was larger, in whole sectors."""
        return max(self.block_count * self.block_size, self.device_size // 512 * 512)

    @property
    def program(self) -> str:
        """What made it."""
        return f"partclone {self.writer}".strip()

    @classmethod
    def read(cls, take: Take) -> "PartcloneHeader":
        """Take the header, from its magic text on. Raises FormatError."""
        start = take(START_SIZE)
        if start[30:34] == b"0001":
            header = cls._parse_1(start + take(_HEADER_1.size - START_SIZE))
        elif start[30:34] == b"0002":
            if start[34:36] != _LITTLE_ENDIAN:
                raise FormatError(f"the partclone image has byte order {start[34:36].hex()}; only those of little-endian machines are read")
            header = cls._parse_2(start + take(_HEADER_2.size - START_SIZE))
        else:
            raise FormatError(f"the partclone image has format {start[30:34]!r}; 0001 and 0002 are known")
        header._check()
        return header

    @classmethod
    def _parse_1(cls, data: bytes) -> "PartcloneHeader":
        _, kind, _, block_size, size, count, _ = _HEADER_1.unpack(data)
        return cls(1, "", _text(kind), size, block_size, count, True, 4, 1, False)

    @classmethod
    def _parse_2(cls, data: bytes) -> "PartcloneHeader":
        fields = _HEADER_2.unpack(data)
        _, writer, _, _, kind, size, count, _, _, block_size, _, _, _, checksum, checksum_size, strip, reseeds, bitmap, crc = fields
        if crc != crc32(data[:-4]):
            raise FormatError("the header of the partclone image is damaged: its CRC-32 does not agree")
        if checksum not in {_NO_CHECKSUM, _CRC32}:
            raise FormatError(
                f"the partclone image has checksums of kind {checksum:02X}h; only CRC-32 and none are read",
                hint="partclone.restore -W writes it to a raw image, which can be used here",
            )
        if bitmap not in {_BITS, _BYTES} or (checksum == _CRC32 and (checksum_size != 4 or not strip)):
            raise FormatError(f"the header of the partclone image makes no sense: bitmap {bitmap}, {strip} blocks for {checksum_size} bytes of checksum")
        if checksum == _NO_CHECKSUM:
            checksum_size = strip = 0
        return cls(2, _text(writer), _text(kind), size, block_size, count, bitmap == _BYTES, checksum_size, strip, reseeds == 1)

    def _check(self) -> None:
        if not 512 <= self.block_size <= _MAX_BLOCK or self.block_size % 512:
            raise FormatError(f"the header of the partclone image makes no sense: blocks of {self.block_size} bytes")
        if not 0 < self.block_count <= _MAX_BLOCKS or self.size > MAX_SIZE:
            raise FormatError(f"the header of the partclone image makes no sense: {self.block_count} blocks, {self.device_size} bytes")
        if self.blocks_per_checksum * self.block_size > _MAX_STRIP:
            raise FormatError(
                f"the partclone image has one checksum for {self.blocks_per_checksum * self.block_size} bytes, at most {_MAX_STRIP} can be handled",
                hint="partclone.restore -W writes it to a raw image, which can be used here",
            )


def read_bitmap(header: PartcloneHeader, take: Take) -> Ranges:
    """Take the bitmap: the used bytes of the partition. Raises FormatError when it is damaged or too much for memory."""
    return Ranges(_used(header, take))


def _used(header: PartcloneHeader, take: Take) -> Iterator[tuple[int, int]]:
    per_byte = 1 if header.has_bytes else 8
    left = -(-header.block_count // per_byte)
    crc = _SEED
    position = found = 0        # blocks, runs of used ones
    while left:
        data = take(min(left, _STEP))
        crc = crc32(data, crc)
        for first, last in _byte_runs(data) if header.has_bytes else bit_runs(data):
            end = min(position + last, header.block_count)      # the last byte may have bits of no block
            if end > position + first:
                found += 1
                yield (position + first) * header.block_size, end * header.block_size
        if found > MAX_RANGES:
            raise FormatError(
                f"the used blocks of the partclone image lie in more than {MAX_RANGES} pieces, too many for us",
                hint="partclone.restore -W writes it to a raw image, which can be used here",
            )
        left -= len(data)
        position += len(data) * per_byte
    check = _BYTES_END if header.has_bytes else crc.to_bytes(4, "little")
    if take(len(check)) != check:
        raise FormatError("the bitmap of the partclone image is damaged: its check value does not agree")


def _byte_runs(data: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    if data.translate(None, b"\0\1"):
        raise FormatError("the bitmap of the partclone image is damaged: it has other values than 0 and 1")
    while position < len(data):
        start = data.find(1, position)
        if start < 0:
            return
        end = data.find(0, start)
        position = len(data) if end < 0 else end
        yield start, position


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("ascii", "replace")


class Strips:
    """Where used blocks are stored behind the bitmap, and whether they are sound. Positions count from the first block."""

    def __init__(self, header: PartcloneHeader, used: Ranges) -> None:
        self.used = used
        self._block = header.block_size
        self._checksum = header.checksum_size
        self._strip = header.blocks_per_checksum * header.block_size or _BATCH // header.block_size * header.block_size or header.block_size
        self._reseeds = header.reseeds
        self._repeats = header.version == 1
        self._per_batch = max(1, _BATCH // self._strip)
        self.total = used.total                                 # bytes of all used blocks
        self.batch_size = self._per_batch * self._strip         # bytes of blocks in a batch; the last may have fewer
        self.count = -(-self.total // self.batch_size)          # batches

    @property
    def stored(self) -> int:
        """Bytes of all blocks with their checksums."""
        return self.total + -(-self.total // self._strip) * self._checksum

    def length(self, batch: int) -> int:
        """Bytes of blocks in a batch."""
        return min(self.batch_size, self.total - batch * self.batch_size)

    def stored_range(self, batch: int) -> tuple[int, int]:
        """Position and bytes of a batch with its checksums."""
        length = self.length(batch)
        start = batch * (self.batch_size + self._per_batch * self._checksum)
        return start, length + -(-length // self._strip) * self._checksum

    @property
    def runs_on(self) -> bool:
        """True when a batch needs the checksum that stands before it."""
        return bool(self._checksum) and not self._reseeds

    def check(self, batch: int, data: memoryview, before: bytes | None) -> memoryview:
        """The blocks of a batch that was read into `data`, their checksums taken out, in place.

        `before`: the last checksum of the batch before, when they run on. Raises FormatError when one does not agree.
        """
        if not self._checksum:
            return data
        length = self.length(batch)
        seed = _SEED if before is None else int.from_bytes(before[:4], "little")
        source = target = 0
        for _ in range(-(-length // self._strip)):
            strip = min(self._strip, length - target)
            blocks = data[source : source + strip]
            seed = self.sum(blocks, _SEED if self._reseeds else seed)
            source += strip
            if data[source : source + 4] != seed.to_bytes(4, "little"):
                at = batch * self.batch_size + target
                raise FormatError(f"the partclone image is damaged: the checksum of used bytes {at} to {at + strip} does not agree")
            source += self._checksum
            if target + strip != source - self._checksum:
                data[target : target + strip] = blocks
            target += strip
        return data[:length]

    def sum(self, blocks: memoryview, seed: int = _SEED) -> int:
        """The checksum of a strip."""
        if not self._repeats:
            return crc32(blocks, seed)
        return crc32(bytes(blocks[:1]) * len(blocks), seed)     # strips of format 0001 are single blocks


def widen_checksum(header: PartcloneHeader, used: Ranges, peek: Take) -> PartcloneHeader:
    """The header with the true size of the checksums of a format 0001 image.

    Some versions of partclone for 64 bits wrote 8 bytes for each, the upper four of no meaning. `peek` gives bytes of the first blocks, or fewer
    at the end, without taking them.
    """
    wide = replace(header, checksum_size=8)
    if header.version != 1 or not used.total:
        return header
    strips = Strips(wide, used)
    if strips.total == header.block_size:       # a single block, and the end behind its checksum
        return wide if len(peek(header.block_size + 8)) == header.block_size + 8 else header
    data = peek(2 * header.block_size + 12)
    first, second = (memoryview(data)[start : start + header.block_size] for start in (0, header.block_size + 8))
    seed = strips.sum(second, strips.sum(first))
    return wide if data[-4:] == seed.to_bytes(4, "little") else header
