"""NTFS, as far as imaging needs it: boot sector, label, and which clusters are used. No files are read or written.

Sources: Linux-NTFS project, "NTFS Documentation": $Boot, FILE Record, Attributes ($DATA 80h, $ATTRIBUTE_LIST 20h, $VOLUME_NAME 60h),
Data Runs, Fixup; ntfs-3g `layout.h` for the same structures.
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from ..base.errors import FormatError
from ..blocks.device import BlockDevice
from .bits import bit_runs

# First sector. The BIOS parameter block's FAT fields between are zero.
_BOOT = Struct(
    "<"
    "3s"      # +0   jump
    "8s"      # +3   "NTFS    "
    "H"       # +11  bytes per sector: 256 to 4096
    "B"       # +13  sectors per cluster; above 128: 1 << (256 - value)
    "10x"     # +14
    "H"       # +24  sectors per track
    "H"       # +26  heads
    "I"       # +28  hidden sectors
    "8x"      # +32
    "Q"       # +40  sectors of the volume, without the backup boot sector that follows them
    "Q"       # +48  first cluster of $MFT
    "Q"       # +56  first cluster of $MFTMirr
    "b"       # +64  clusters per FILE record; negative: 1 << -value bytes
    "7x"      # +65
    "8s"      # +72  serial number
)
_RECORD = Struct("<4sHH12xH2xI")           # "FILE", offset and count of the fixup array, ..., first attribute, ..., bytes used
_ATTRIBUTE = Struct("<IIBB")               # type, length, not resident, length of its name
_RESIDENT = Struct("<IH")                  # +16 of a resident attribute: length and offset of its value
_NON_RESIDENT = Struct("<QQH6xQQ")         # +16 of the other kind: first and last cluster number in it, offset of runs, sizes
_LIST_ENTRY = Struct("<IHBBQQ")            # type, length of entry, name length and offset, first cluster number in it, record
_DATA, _ATTRIBUTE_LIST, _VOLUME_NAME, _END = 0x80, 0x20, 0x60, 0xFFFF_FFFF
_MFT, _VOLUME, _BITMAP = 0, 3, 6           # numbers of FILE records
_MAX_RUNS = 1 << 16
_MAX_CLUSTERS = 1 << 40
_STEP = 1 << 20

HIDDEN_SECTORS, SECTORS_PER_TRACK, HEADS = (28, 4), (24, 2), (26, 2)    # offset and bytes of what depends on the place

Run = tuple[int, int]                      # first cluster and number of clusters


class NtfsVolume(NamedTuple):
    """What the boot sector of an NTFS volume says. Sizes in bytes."""

    sector_size: int
    cluster_size: int
    total_sectors: int
    mft_cluster: int
    record_size: int
    serial: str
    hidden_sectors: int
    heads: int
    sectors_per_track: int

    @classmethod
    def read(cls, device: BlockDevice) -> "NtfsVolume":
        """Read the boot sector. Raises FormatError when it is none of NTFS or makes no sense."""
        if device.size < 512:
            raise FormatError("NTFS: the device is smaller than a sector")
        boot = _BOOT.unpack(device.read(0, _BOOT.size))
        _, name, sector, per_cluster, track, heads, hidden, total, mft, _, per_record, serial = boot
        if name != b"NTFS    ":
            raise FormatError("this is no NTFS boot sector: its name field is missing")
        if sector not in {256, 512, 1024, 2048, 4096}:
            raise FormatError(f"NTFS boot sector: {sector} bytes per sector, expected 256 to 4096")
        sectors = 1 << (256 - per_cluster) if per_cluster > 128 else per_cluster
        cluster = sectors * sector
        if not per_cluster or sectors & (sectors - 1) or not 512 <= cluster <= 2 << 20:
            raise FormatError(f"NTFS boot sector: impossible cluster size (value {per_cluster})")
        record = 1 << -per_record if per_record < 0 else per_record * cluster
        if not 256 <= record <= 65536 or record & (record - 1):
            raise FormatError(f"NTFS boot sector: impossible size of FILE records (value {per_record})")
        if not 0 < total * sector <= device.size or total // sectors > _MAX_CLUSTERS:
            raise FormatError(f"NTFS boot sector: the volume has {total} sectors of {sector} bytes, the device {device.size} bytes")
        ident = serial[::-1].hex().upper()
        return cls(sector, cluster, total, mft, record, ident, hidden, heads, track)

    @property
    def size(self) -> int:
        """Bytes of the volume, without the backup boot sector."""
        return self.total_sectors * self.sector_size

    @property
    def cluster_count(self) -> int:
        """Whole clusters."""
        return self.size // self.cluster_size

    def label(self, device: BlockDevice) -> str:
        """The volume label, "" without one."""
        for kind, body in _attributes(self._record(device, _VOLUME)):
            if kind == _VOLUME_NAME and not body[8]:
                return _value(body).decode("utf-16-le", "replace")
        return ""

    def used_ranges(self, device: BlockDevice) -> Iterator[tuple[int, int]]:
        """Half-open byte ranges in use, in order and merged: what $Bitmap says, and what lies behind the last cluster."""
        start = end = 0
        for first, last in self._used_clusters(device):
            first, last = first * self.cluster_size, last * self.cluster_size    # noqa: PLW2901 - the same in bytes
            if first > end:
                if end > start:
                    yield start, end
                start = first
            end = last
        # The last sectors that fill no cluster, and the copy of the boot sector behind the volume.
        tail = self.cluster_count * self.cluster_size
        if tail > end:
            if end > start:
                yield start, end
            start = tail
        yield start, min(device.size, self.size + self.sector_size)

    def _used_clusters(self, device: BlockDevice) -> Iterator[tuple[int, int]]:
        runs, length = self._data(device, _BITMAP)
        if length * 8 < self.cluster_count:
            raise FormatError(f"NTFS $Bitmap has {length} bytes, too few for {self.cluster_count} clusters")
        yield 0, 1              # the boot sector, whatever the bitmap says
        position = 0
        for cluster, count in runs:
            offset, left = cluster * self.cluster_size, count * self.cluster_size
            while left and position < self.cluster_count:
                step = min(left, _STEP, -(-(self.cluster_count - position) // 8))
                for first, last in bit_runs(device.read(offset, step)):
                    if position + first >= self.cluster_count:
                        break
                    yield max(1, position + first), min(position + last, self.cluster_count)
                position += step * 8
                offset, left = offset + step, left - step

    def _record(self, device: BlockDevice, number: int, runs: list[Run] | None = None) -> bytes:
        """A FILE record with its fixups undone. `runs` are those of $MFT; without them the record must be one of the first."""
        offset = number * self.record_size
        if runs is None:
            place = self.mft_cluster * self.cluster_size + offset
        else:
            place = -1
            for cluster, count in runs:
                if offset < count * self.cluster_size:
                    place = cluster * self.cluster_size + offset
                    break
                offset -= count * self.cluster_size
        if place < 0 or place + self.record_size > device.size:
            raise FormatError(f"NTFS: FILE record {number} lies outside the volume")
        data = bytearray(device.read(place, self.record_size))
        magic, fixup, count, first, used = _RECORD.unpack_from(data)
        # Every 512 bytes end in the same check value; the real bytes stand in the fixup array behind its own copy.
        if magic != b"FILE" or fixup % 2 or fixup + 2 * count > len(data) or (count - 1) * 512 != len(data) or used > len(data):
            raise FormatError(f"NTFS: FILE record {number} is damaged")
        for index in range(1, count):
            end = index * 512
            if data[end - 2 : end] != data[fixup : fixup + 2]:
                raise FormatError(f"NTFS: FILE record {number} is damaged: its sectors do not belong together")
            data[end - 2 : end] = data[fixup + 2 * index : fixup + 2 * index + 2]
        return bytes(data[first:used])

    def _data(self, device: BlockDevice, number: int) -> tuple[list[Run], int]:
        """Where the unnamed $DATA of a file lies, and its bytes. A file in many pieces has them in further records."""
        bodies = list(_attributes(self._record(device, number)))
        pieces = {number: bodies}
        listed = [body for kind, body in bodies if kind == _ATTRIBUTE_LIST]
        if listed:
            mft_runs, _ = self._data(device, _MFT) if number != _MFT else ([], 0)
            for extension in _listed_records(self._list_value(device, listed[0])):
                if extension not in pieces:
                    pieces[extension] = list(_attributes(self._record(device, extension, mft_runs or None)))
        found = sorted(
            (_NON_RESIDENT.unpack_from(body, 16)[0], body)
            for piece in pieces.values() for kind, body in piece if kind == _DATA and body[8] and not body[9]
        )
        runs: list[Run] = []
        for first, body in found:
            if first != sum(count for _, count in runs):
                raise FormatError(f"NTFS: the runs of file {number} do not follow each other")
            runs += self._runs(body)
        if not found:
            raise FormatError(f"NTFS: file {number} has no list of clusters")
        length = _NON_RESIDENT.unpack_from(found[0][1], 16)[4]
        if length > sum(count for _, count in runs) * self.cluster_size:
            raise FormatError(f"NTFS: file {number} is longer than its clusters")
        return runs, length

    def _list_value(self, device: BlockDevice, body: bytes) -> bytes:
        if not body[8]:
            return _value(body)
        length = _NON_RESIDENT.unpack_from(body, 16)[4]
        if length > 256 << 10:                  # the documented limit of an attribute list
            raise FormatError(f"NTFS: an attribute list has {length} bytes")
        data = b""
        for cluster, count in self._runs(body):
            data += device.read(cluster * self.cluster_size, min(count * self.cluster_size, length - len(data)))
        return data

    def _runs(self, body: bytes) -> list[Run]:
        """The data runs of an attribute that is not resident. Sparse runs make no sense where we look, and are refused."""
        position = _NON_RESIDENT.unpack_from(body, 16)[2]
        runs: list[Run] = []
        cluster = 0
        while position < len(body) and body[position]:
            length_size, offset_size = body[position] & 15, body[position] >> 4
            middle, end = position + 1 + length_size, position + 1 + length_size + offset_size
            if not 1 <= length_size <= 8 or not 1 <= offset_size <= 8 or end > len(body) or len(runs) >= _MAX_RUNS:
                raise FormatError("NTFS: a list of clusters is damaged")
            count = int.from_bytes(body[position + 1 : middle], "little")
            cluster += int.from_bytes(body[middle:end], "little", signed=True)
            if not 0 <= cluster < cluster + count <= self.cluster_count:
                raise FormatError(f"NTFS: clusters {cluster} to {cluster + count} are outside the volume's {self.cluster_count}")
            runs.append((cluster, count))
            position = end
        return runs


def _attributes(record: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each attribute; header fields are known to be inside."""
    position = 0
    while position + 4 <= len(record):      # ends because every attribute is at least 24 bytes long
        if int.from_bytes(record[position : position + 4], "little") == _END:
            return
        if position + _ATTRIBUTE.size > len(record):
            break
        kind, length, away, _ = _ATTRIBUTE.unpack_from(record, position)
        if not (64 if away else 24) <= length <= len(record) - position:
            break
        yield kind, record[position : position + length]
        position += length
    raise FormatError("NTFS: the attributes of a FILE record do not end")


def _value(body: bytes) -> bytes:
    length, offset = _RESIDENT.unpack_from(body, 16)
    if offset + length > len(body):
        raise FormatError("NTFS: an attribute's value lies outside it")
    return body[offset : offset + length]


def _listed_records(data: bytes) -> Iterator[int]:
    """Numbers of the records that hold pieces of the unnamed $DATA."""
    position = 0
    while position + _LIST_ENTRY.size <= len(data):
        kind, length, name_length, _, _, reference = _LIST_ENTRY.unpack_from(data, position)
        if length < _LIST_ENTRY.size:
            raise FormatError("NTFS: an attribute list is damaged")
        if kind == _DATA and not name_length:
            yield reference & 0xFFFF_FFFF_FFFF      # the upper 16 bits are a sequence number
        position += length
