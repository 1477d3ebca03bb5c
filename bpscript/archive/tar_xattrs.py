"""Extended attributes and access control lists as other programs put them into pax headers.

    SCHILY.xattr.NAME       the value as it is (GNU tar, star, bsdtar); read by `tar_read` itself
    LIBARCHIVE.xattr.NAME   the name with %XX, the value in base64 without padding (libarchive, `archive_write_set_format_pax.c`)
    SCHILY.acl.access       text, "user::rw-,user:lisa:r--:502,group::r--,mask::r--,other::---" (star(4); the number is star's)
    SCHILY.acl.default

On disk a list is an attribute of its own. Source: linux/posix_acl_xattr.h and posix_acl.h; a list is version 2 and entries of tag,
permissions and id, sorted by tag and id.
"""

from base64 import b64decode
from struct import Struct
from urllib.parse import unquote_to_bytes

LIBARCHIVE = b"LIBARCHIVE.xattr."
ACLS = {b"SCHILY.acl.access": "system.posix_acl_access", b"SCHILY.acl.default": "system.posix_acl_default"}

_VERSION = Struct("<I")
_ENTRY = Struct("<HHI")
_NO_ID = 0xFFFF_FFFF
_TAGS = {("user", False): 1, ("user", True): 2, ("group", False): 4, ("group", True): 8, ("mask", False): 0x10, ("other", False): 0x20}
_SHORT = {"u": "user", "g": "group", "m": "mask", "o": "other"}
_BITS = {"r": 4, "w": 2, "x": 1, "-": 0}
_MAX_ENTRIES = 8191         # what fits in the 64 KiB of an attribute


def of_libarchive(key: bytes, value: bytes) -> tuple[str, bytes] | None:
    """Name and value of an attribute; None when it makes no sense."""
    name = unquote_to_bytes(key[len(LIBARCHIVE) :]).decode(errors="surrogateescape")
    try:
        data = b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError:
        return None
    return (name, data) if name and "\0" not in name else None


def of_acl(text: bytes) -> bytes | None:
    """An access control list as an attribute; None when it makes no sense, or names somebody without a number."""
    entries = []
    for item in text.decode(errors="replace").replace("\n", ",").split(","):
        fields = item.split("#")[0].strip().split(":")
        if fields == [""]:
            continue
        word = _SHORT.get(fields[0], fields[0])
        who = fields[1] if len(fields) > 2 else ""      # "mask:r--" is written too
        permissions = fields[2] if len(fields) > 2 else fields[-1]
        number = fields[3] if len(fields) > 3 and fields[3] else who
        tag = _TAGS.get((word, bool(who)))
        if tag is None or len(fields) > 4 or not permissions or not set(permissions) <= _BITS.keys():
            return None
        if who and not (number.isdecimal() and number.isascii() and len(number) <= 10 and int(number) < _NO_ID):
            return None
        entries.append((tag, sum(_BITS[bit] for bit in set(permissions)), int(number) if who else _NO_ID))
    tags = [tag for tag, _, _ in entries]
    named = 2 in tags or 8 in tags
    if not {1, 4, 0x20} <= set(tags) or any(tags.count(tag) > 1 for tag in (1, 4, 0x10, 0x20)) or (named and 0x10 not in tags):
        return None
    if len(entries) > _MAX_ENTRIES or len({(tag, number) for tag, _, number in entries}) < len(entries):
        return None
    return _VERSION.pack(2) + b"".join(_ENTRY.pack(*entry) for entry in sorted(entries, key=lambda entry: (entry[0], entry[2])))


def is_minimal(acl: bytes) -> bool:
    """Whether a list says no more than the permission bits of the file do: no such attribute is kept then."""
    return len(acl) == _VERSION.size + 3 * _ENTRY.size
