"""Entries of a FAT as bytes: which are used, the 12-bit packing, and reading a long table without what was never written."""

from array import array

from ...blocks.device import BlockDevice, data_ranges_of

SCAN_SIZE = 1 << 20             # bytes read at once when a table is scanned

_NON_ZERO_IS_ONE = bytes([0]) + b"\1" * 255
_LOW_NIBBLE = bytes(value & 0x0F for value in range(256))


def used_bytes(raw: bytes, width: int) -> bytes:
    """One byte for each entry: 0 when it is free. Works on the columns of bytes, as big integers: no loop over entries."""
    if not raw.strip(b"\0"):
        return bytes(len(raw) * 8 // width)
    if width == 16:
        columns = [raw[0::2], raw[1::2]]
    else:
        columns = [raw[0::4], raw[1::4], raw[2::4], raw[3::4].translate(_LOW_NIBBLE)]
    mixed = 0
    for column in columns:
        mixed |= int.from_bytes(column, "little")
    return mixed.to_bytes(len(columns[0]), "little").translate(_NON_ZERO_IS_ONE)


def unpack_12(raw: bytes, count: int) -> "array[int]":
    """`count` entries of FAT12: two of them share three bytes."""
    entries = array("H", bytes(2 * count))
    for index in range(count):
        pair = raw[index * 3 // 2] | raw[index * 3 // 2 + 1] << 8
        entries[index] = pair >> 4 if index & 1 else pair & 0xFFF
    return entries


def pack_12(entries: "array[int]", old: bytes) -> bytes:
    """FAT12 entries as bytes; what lies behind the last one is kept from `old`."""
    raw = bytearray(old)
    for index, value in enumerate(entries):
        at = index * 3 // 2
        if index & 1:
            raw[at] = raw[at] & 0x0F | (value & 0x0F) << 4
            raw[at + 1] = value >> 4
        else:
            raw[at] = value & 0xFF
            raw[at + 1] = raw[at + 1] & 0xF0 | value >> 8
    return bytes(raw)


class Window:
    """A part of the device read forward in large steps; what was never written is not read."""

    def __init__(self, device: BlockDevice, start: int, length: int) -> None:
        self._device = device
        self._start = start
        self._length = length
        self._ranges = iter(data_ranges_of(device, start, length))
        self._range = next(self._ranges, None)
        self._held = b""
        self._held_at = 0

    def read(self, offset: int, length: int) -> bytes | None:
        """Bytes at an offset that only goes up; None when they all are zero because nothing was ever written."""
        low, high = self._start + offset, self._start + offset + length
        while self._range is not None and self._range[1] <= low:
            self._range = next(self._ranges, None)
        if self._range is None or self._range[0] >= high:
            return None
        if not self._held_at <= offset or offset + length > self._held_at + len(self._held):
            self._held = self._device.read(low, min(max(SCAN_SIZE, length), self._length - offset))
            self._held_at = offset
        return self._held[offset - self._held_at : offset - self._held_at + length]
