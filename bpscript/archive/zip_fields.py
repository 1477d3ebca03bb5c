"""What the extra fields of a zip entry say better than its header: name, time and owner.

    0x000A  NTFS            times in 100 ns since 1601 (PKWARE APPNOTE.TXT 4.5.5); 7-Zip and Windows
    0x5455  "UT"            time in seconds since 1970 (Info-ZIP, extrafld.txt)
    0x7075  Unicode path    UTF-8, valid while the CRC-32 of the name in the header agrees (APPNOTE.TXT 4.6.9)
    0x7875  "ux"            user and group of any size (Info-ZIP)

A field that is damaged is as good as none.
"""

import time
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

_NTFS, _UNIX_TIME, _UNICODE_PATH, _UNIX_OWNER = 0x000A, 0x5455, 0x7075, 0x7875
_UTF8_FLAG = 0x800
_UNIX = 3                                       # APPNOTE.TXT 4.4.2.2
_FILETIME_1970 = 116_444_736_000_000_000        # 100 ns from 1601 to 1970


def name_of(info: zipfile.ZipInfo) -> str:
    """The name: UTF-8 where it says so, or where a Unix program wrote what is UTF-8; else of code page 437."""
    if info.flag_bits & _UTF8_FLAG:
        return info.filename
    try:
        raw = info.filename.encode("cp437")
    except UnicodeEncodeError:
        return info.filename
    for tag, data in _fields(info):
        if tag == _UNICODE_PATH and data[:1] == b"\1" and int.from_bytes(data[1:5], "little") == zlib.crc32(raw) and len(data) > 5:
            return data[5:].decode(errors="surrogateescape").split("\0", 1)[0]
    if info.create_system != _UNIX:
        return info.filename
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return info.filename


def time_of(info: zipfile.ZipInfo) -> int:
    """Nanoseconds since 1970, by the finest field there is; else the DOS time, which is local."""
    found = dict(_fields(info))
    seconds = found.get(_UNIX_TIME, b"")
    ntfs = found.get(_NTFS, b"")
    # Reserved 4 bytes, then attribute 1 of 24 bytes: time of the last change, of the last access, of creation.
    if ntfs[4:8] == b"\1\0\x18\0" and len(ntfs) >= 16 and any(ntfs[8:16]):
        return (int.from_bytes(ntfs[8:16], "little") - _FILETIME_1970) * 100
    if len(seconds) >= 5 and seconds[0] & 1:
        return int.from_bytes(seconds[1:5], "little", signed=True) * 1_000_000_000
    try:
        return int(time.mktime((*info.date_time, 0, 0, -1))) * 1_000_000_000
    except (ValueError, OverflowError):
        return int(datetime(1980, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000    # month 0 and the like


def owner_of(info: zipfile.ZipInfo) -> tuple[int, int]:
    """User and group; root's where nothing is said."""
    for tag, data in _fields(info):
        if tag == _UNIX_OWNER and len(data) > 2 and data[0] == 1:
            first = 2 + data[1]
            second = first + 1 + (data[first] if first < len(data) else 0)
            uid, gid = int.from_bytes(data[2:first], "little"), int.from_bytes(data[first + 1 : second], "little")
            if first < len(data) and second == len(data) and max(uid, gid) < 0xFFFF_FFFF:
                return uid, gid
    return 0, 0


def _fields(info: zipfile.ZipInfo) -> Iterator[tuple[int, bytes]]:
    """Tag and contents of each extra field."""
    extra = info.extra
    while len(extra) >= 4:
        tag, length = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        yield tag, extra[4 : 4 + length]
        extra = extra[4 + length :]
