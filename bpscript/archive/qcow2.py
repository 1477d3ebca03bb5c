"""qcow2 images: versions 2 and 3, with clusters packed by zlib or zstd. Two levels of tables say where each cluster lies in the file.

    header → L1 table → L2 tables → clusters

Refused with a hint: backing files, encryption, data in another file, subclusters, and images that were not closed properly. Snapshots are passed over.

Read by code of our own, because no library would do: libqcow (20260703) gives wrong bytes for packed clusters without an error,
dissect.hypervisor is AGPL.

Source: QEMU, docs/interop/qcow2.txt.
"""

import sys
import threading
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from ..base.errors import FormatError
from ..blocks.device import ReadsInto, check_range
from .positional import Positional
from .records import MAX_SIZE

_HEADER = Struct(
    ">"
    "4s"      # +0   "QFI", FBh
    "I"       # +4   version: 2 or 3
    "Q"       # +8   position of the backing file's name; 0: none
    "4x"      # +16  length of that name
    "I"       # +20  bits of the cluster size: 9 to 21
    "Q"       # +24  bytes of the disk
    "I"       # +32  encryption; 0: none
    "I"       # +36  entries of the L1 table
    "Q"       # +40  position of the L1 table
    "24x"     # +48  reference counts, snapshots
)
_HEADER_3 = Struct(
    ">"
    "Q"       # +72  incompatible features
    "20x"     # +80  compatible features, autoclear features, width of reference counts
    "I"       # +100 bytes of the header
    "B"       # +104 packing, if the header is that long: 0 zlib, 1 zstd
)
_FEATURES = {
    0: "it was not closed properly", 1: "it is marked as corrupt", 2: "its data are in another file", 4: "it has subclusters",
}
_PACKING_FEATURE = 1 << 3           # says only that +104 is not 0
_POSITION = 0x00FF_FFFF_FFFF_FE00   # bits 9 to 55 of an entry
_PACKED = 1 << 62
_ZEROS = 1                          # version 3: the cluster reads as zeros, whatever its position says
_MAX_L1 = 4 << 20                   # entries; QEMU's own limit
_KEPT_TABLES = 8 << 20              # bytes of L2 tables in memory
_KEPT_CLUSTERS = 8 << 20            # bytes of unpacked clusters
_HINT = "qemu-img convert -O raw makes a raw image of it"


@dataclass(frozen=True, slots=True)
class _Header:
    bits: int           # of the cluster size
    size: int           # bytes of the disk
    l1_entries: int
    l1_position: int
    is_zstd: bool

    @classmethod
    def read(cls, source: Positional) -> "_Header":
        """Raises FormatError when the header makes no sense, or asks for what cannot be done."""
        if source.size < _HEADER.size:
            raise FormatError(f"the qcow2 image ends at byte {source.size}, in its header")
        _, version, backing, bits, size, encryption, entries, position = _HEADER.unpack(source.read(0, _HEADER.size))
        if version not in {2, 3}:
            raise FormatError(f"this is a qcow2 image of version {version}; only 2 and 3 are read", hint=_HINT)
        features = length = packing = 0
        if version == 3:
            if source.size < _HEADER.size + _HEADER_3.size:
                raise FormatError(f"the qcow2 image ends at byte {source.size}, in its header")
            features, length, packing = _HEADER_3.unpack(source.read(_HEADER.size, _HEADER_3.size))
            packing = packing if length > 104 else 0
        if backing:
            raise FormatError("the qcow2 image holds only what differs from its backing file", hint=_HINT)
        if encryption:
            raise FormatError("the qcow2 image is encrypted", hint=_HINT)
        unknown = features & ~_PACKING_FEATURE
        if unknown:
            bit = (unknown & -unknown).bit_length() - 1
            raise FormatError(f"the qcow2 image cannot be read: {_FEATURES.get(bit, f'it has the unknown feature {bit}')}", hint=_HINT)
        if packing > 1:
            raise FormatError(f"the qcow2 image is packed in the unknown way {packing}", hint=_HINT)
        if not 9 <= bits <= 21 or size > MAX_SIZE or entries > _MAX_L1 or entries << (2 * bits - 3) < size:
            raise FormatError(f"the header of the qcow2 image makes no sense: a disk of {size} bytes, clusters of 2^{bits}, {entries} tables of them")
        return cls(bits, size, entries, position, packing == 1)


class Qcow2Bytes(ReadsInto):
    """The disk or partition in a qcow2 image; may be used by several threads."""

    def __init__(self, source: Positional) -> None:
        """Read header and L1 table. Raises FormatError."""
        self._source = source
        self._header = header = _Header.read(source)
        self._cluster = 1 << header.bits
        self._per_table = self._cluster // 8
        # Only the entries that the size needs; the header was seen to have them.
        count = -(-header.size // (self._cluster * self._per_table))
        self._l1 = self._table(header.l1_position, count, "L1 table")
        self._tables: OrderedDict[int, array[int]] = OrderedDict()
        self._clusters: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes."""
        return self._header.size

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fill the whole buffer. Raises FormatError where the image is damaged."""
        view = memoryview(buffer).cast("B")
        check_range(self.size, offset, len(view), "qcow2 image")
        while len(view):
            number, start = divmod(offset, self._cluster)
            step = min(len(view), self._cluster - start)
            entry = self._entry(number)
            if entry & _PACKED:
                view[:step] = memoryview(self._unpacked(number, entry))[start : start + step]
            elif entry & _ZEROS or not entry & _POSITION:
                view[:step] = bytes(step)
            else:
                position = (entry & _POSITION) + start
                self._expect(position, step, f"cluster {number}")
                self._source.readinto(position, view[:step])
            view, offset = view[step:], offset + step

    def data_ranges(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Ranges of clusters that are there and no zeros."""
        check_range(self.size, offset, length, "qcow2 image")
        end = offset + length
        start = last = offset
        for index in range(offset // self._cluster // self._per_table, -(-end // (self._cluster * self._per_table))):
            if not self._l1[index] & _POSITION:
                continue
            base = index * self._per_table
            for number, entry in enumerate(self._l2(index), base):
                if entry & _PACKED or (entry & _POSITION and not entry & _ZEROS):
                    first = max(offset, number * self._cluster)
                    if first > last:
                        if last > start:
                            yield start, last
                        start = first
                    last = max(last, min(end, (number + 1) * self._cluster))
        if last > start:
            yield start, last

    def _entry(self, number: int) -> int:
        index, place = divmod(number, self._per_table)
        return self._l2(index)[place] if self._l1[index] & _POSITION else 0

    def _l2(self, index: int) -> "array[int]":
        with self._lock:
            table = self._tables.get(index)
            if table is not None:
                self._tables.move_to_end(index)
                return table
        table = self._table(self._l1[index] & _POSITION, self._per_table, f"L2 table {index}")
        with self._lock:
            while self._tables and len(self._tables) >= _KEPT_TABLES // self._cluster:
                self._tables.popitem(last=False)
            self._tables[index] = table
        return table

    def _table(self, position: int, count: int, what: str) -> "array[int]":
        self._expect(position, count * 8, what)
        table = array("Q")
        table.frombytes(self._source.read(position, count * 8))
        if sys.byteorder == "little":
            table.byteswap()
        return table

    def _unpacked(self, number: int, entry: int) -> bytes:
        with self._lock:
            data = self._clusters.get(number)
            if data is not None:
                return data
        # "Compressed Clusters Descriptor": the position in the low bits, above it the number of further sectors of 512 bytes.
        width = 62 - (self._header.bits - 8)
        position = entry & ((1 << width) - 1)
        sectors = ((entry & (_PACKED - 1)) >> width) + 1
        length = min(sectors * 512 - position % 512, self._source.size - position)    # the file may end within the last sector
        self._expect(position, max(1, length), f"packed cluster {number}")
        data = self._decode(self._source.read(position, length))
        if data is None or len(data) != self._cluster:
            raise FormatError(f"the qcow2 image is damaged: its packed cluster {number} cannot be unpacked")
        with self._lock:
            while self._clusters and len(self._clusters) >= _KEPT_CLUSTERS // self._cluster:
                self._clusters.popitem(last=False)
            self._clusters[number] = data
        return data

    def _decode(self, packed: bytes) -> bytes | None:
        if not self._header.is_zstd:
            try:
                return zlib.decompressobj(-15).decompress(packed, self._cluster)    # Deflate without a header
            except zlib.error:
                return None
        import zstandard  # noqa: PLC0415 - few images are packed by it

        try:
            with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as reader:
                return reader.read(self._cluster)
        except zstandard.ZstdError:
            return None

    def _expect(self, position: int, length: int, what: str) -> None:
        if position + length > self._source.size:
            raise FormatError(f"the qcow2 image is damaged or cut short: {what} lies at {position}, the file has {self._source.size} bytes")
