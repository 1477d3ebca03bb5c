"""What zip packs by bzip2, LZMA, Zstandard or xz, in pieces of bounded size: the library's own reader unpacks 4 KiB at once, whatever they stand for.

Source: PKWARE APPNOTE.TXT 4.3.7 (local header), 4.4.5 (methods), 5.8.8 (LZMA).
"""

import zipfile
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import IO

from .packing import MAX_MEMORY, STEP, raw_lzma, unpacked

_PACKINGS = {zipfile.ZIP_BZIP2: "bzip2", 93: "zstd", 95: "xz"}     # zipfile knows neither of the latter
METHODS = {*_PACKINGS, zipfile.ZIP_LZMA}
# Those that somebody may meet (APPNOTE.TXT 4.4.5), for the refusal.
OTHERS = {1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode", 9: "Deflate64", 96: "JPEG", 97: "WavPack", 98: "PPMd", 99: "AES"}
# Local header: signature, then what the directory says too; length of the name, length of the extra field.
_LOCAL = Struct("<4s22xHH")
_LZMA = Struct("<2xHBI")        # version, size of what follows (5), lc + 9 * (lp + 5 * pb), bytes of the dictionary


def contents(file: IO[bytes], info: zipfile.ZipInfo, what: str) -> Iterator[bytes]:
    """The contents of an entry; more than it should have are not given. Raises FormatError, zipfile.BadZipFile."""
    file.seek(info.header_offset)
    start = file.read(_LOCAL.size)
    if len(start) < _LOCAL.size or start[:4] != b"PK\3\4":
        raise zipfile.BadZipFile("its header is missing")
    _, name, extra = _LOCAL.unpack(start)
    file.seek(name + extra, 1)
    packed = _pieces(file, info.compress_size)
    checksum, left = 0, info.file_size
    for data in unpacked(packed, _PACKINGS[info.compress_type], what) if info.compress_type in _PACKINGS else _lzma(packed, left):
        if len(data) > left:
            raise zipfile.BadZipFile(f"more than {info.file_size} bytes come out of it")
        left -= len(data)
        checksum = zlib.crc32(data, checksum)
        yield data
    if left or checksum != info.CRC:
        raise zipfile.BadZipFile("its contents end early, or do not agree with their checksum")


def _pieces(file: IO[bytes], left: int) -> Iterator[bytes]:
    position = file.tell()
    while left:
        file.seek(position)         # who takes the pieces may read other entries meanwhile
        data = file.read(min(left, STEP))
        if not data:
            raise zipfile.BadZipFile("it is cut short")
        position, left = position + len(data), left - len(data)
        yield data


def _lzma(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """A stream without an end mark ends with the size."""
    data = next(pieces, b"")
    if len(data) < _LZMA.size:
        raise zipfile.BadZipFile("it is cut short")
    length, properties, dictionary = _LZMA.unpack_from(data)
    if length != 5 or properties >= 9 * 5 * 5 or dictionary > MAX_MEMORY:
        raise zipfile.BadZipFile(f"it wants {dictionary} bytes of memory, or is damaged")
    unpacker = raw_lzma(dictionary, lc=properties % 9, lp=properties // 9 % 5, pb=properties // 45)
    data = data[_LZMA.size :]
    while size and data:
        for contents in unpacker.feed(data):
            size -= len(contents)
            yield contents
        data = b"" if unpacker.ended else next(pieces, b"")
