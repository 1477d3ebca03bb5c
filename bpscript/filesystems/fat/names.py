"""Names on FAT: what is allowed, how names compare, 8.3 names and long-name slots.

A name is stored in one of three ways:

    README.TXT   8.3 and upper case               short slot only
    readme.txt   8.3, base or extension lower     short slot with Windows NT's case flags
    ReadMe.txt   anything else                    long-name slots, and a short name made for DOS (README.TXT, or LONGNA~1.TXT)

Short names are bytes of an OEM code page that the volume does not name. So a name with other characters than ASCII always gets
long-name slots (UTF-16), and reads right whatever code page the reader assumes.

Own code and not pyfatfs's `EightDotThree`: its search for a free ~N reads the whole directory for every name, its text form
changes the bytes it is made from, and it knows no case flags. Tests compare the two where both have an answer.
"""

import re
from collections.abc import Container
from functools import lru_cache

from ...base.errors import StorageError
from .layout import LAST_LONG_SLOT, LONG_NAME, LOWER_BASE, LOWER_EXTENSION, MAX_NAME_UNITS, UNITS_PER_SLOT

_FORBIDDEN = re.compile(r'[\x00-\x1f"*/:<>?\\|]')             # fatgen103, "Naming Conventions"
_PLAIN = re.compile(r'[^\x00-\x1f"*/:<>?\\|]+')
_SHORT = re.compile(r"[A-Z0-9!#$%&'()\-@^_`{}~]{1,8}(\.[A-Z0-9!#$%&'()\-@^_`{}~]{1,3})?")
_DOTS = frozenset({".", ".."})
_NOT_IN_SHORT = re.compile(rb"[\x00-\x20\x22\x2a-\x2c\x2e\x2f\x3a-\x3f\x5b-\x5d\x7c\x7f]")

# Upper-cased bytes of a name to those of its short name; spaces and dots are deleted beside it.
_TO_SHORT = bytes(ord("_") if _NOT_IN_SHORT.match(bytes([code])) else code for code in range(256))
# The constant parts of long-name slots: ordinal, by the place of the slot's part in the name; attributes, type and checksum; cluster.
_ORDINALS = {26 * number - 26: bytes((number,)) for number in range(1, 21)}
_MIDDLES = [bytes((LONG_NAME, 0, total)) for total in range(256)]
_NO_CLUSTER = bytes(2)
_ROTATED = bytes((value >> 1 | value << 7) & 0xFF for value in range(256))


def check_name(name: str) -> None:
    """Raise StorageError, with the reason, when FAT cannot hold a file of this name."""
    if name.isascii() and len(name) <= MAX_NAME_UNITS and _PLAIN.fullmatch(name) and name[-1] not in ". ":
        return
    if name in {"", ".", ".."}:
        raise StorageError(f'"{name}" is no name for a file')
    found = _FORBIDDEN.search(name)
    if found:
        what = f"the control character {ord(found[0]):02X} hex" if found[0] < " " else found[0]
        raise StorageError(f'"{_printable(name)}" cannot be a name on FAT: {what} is not allowed')
    if name[-1] in ". ":
        what = "dot" if name[-1] == "." else "space"
        raise StorageError(f'"{name}" cannot be a name on FAT: it ends with a {what}, which DOS and Windows drop')
    try:
        units = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        raise StorageError(f'"{_printable(name)}" cannot be a name on FAT: it is not valid Unicode') from error
    if units > MAX_NAME_UNITS:
        raise StorageError(f'"{name[:20]}..." cannot be a name on FAT: it has {units} characters, at most {MAX_NAME_UNITS} fit')


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def fold(name: str) -> str:
    """What names are compared by: equal for names that differ only in case."""
    return name.upper() if name.isascii() else "".join(map(_upper, name))


@lru_cache(maxsize=4096)
def _upper(character: str) -> str:
    # One character to one, as in the upcase tables of Windows: sharp s stays itself, and nothing turns into an ASCII letter.
    upper = character.upper()
    return upper if len(upper) == 1 and (character.isascii() or not upper.isascii()) else character


def plain_short(name: str) -> tuple[bytes, int] | None:
    """The 11 bytes and the case flags, when the name needs no long-name slots; else None."""
    if len(name) > 12:
        return None
    base, dot, extension = name.partition(".")
    upper_base, upper_extension = base.upper(), extension.upper()
    if not (name.isascii() and _SHORT.fullmatch(f"{upper_base}{dot}{upper_extension}")):
        return None
    flags = 0
    if base != upper_base:
        if base != base.lower():
            return None
        flags = LOWER_BASE
    if extension != upper_extension:
        if extension != extension.lower():
            return None
        flags |= LOWER_EXTENSION
    return f"{upper_base:<8}{upper_extension:<3}".encode("ascii"), flags


def encode_short(text: str, codec: str) -> bytes | None:
    """The 11 bytes of a short name such as "LONGFI~1.TXT" in any case; None when it cannot be one."""
    base, dot, extension = text.partition(".")
    try:
        raw_base, raw_extension = fold(base).encode(codec), fold(extension).encode(codec)
    except UnicodeEncodeError:
        return None
    if not 1 <= len(raw_base) <= 8 or len(raw_extension) > 3 or (dot and not raw_extension):
        return None
    if _NOT_IN_SHORT.search(raw_base) or _NOT_IN_SHORT.search(raw_extension):
        return None
    if raw_base[0] == 0xE5:
        raw_base = b"\x05" + raw_base[1:]      # E5 marks a free slot; fatgen103 has 05 stand for it
    return raw_base.ljust(8) + raw_extension.ljust(3)


def decode_short(raw: bytes, case_flags: int, codec: str) -> str:
    """The text of 11 bytes. Anything that would break a path becomes `_`."""
    base, extension = raw[:8].rstrip(b" "), raw[8:].rstrip(b" ")
    if base[:1] == b"\x05":
        base = b"\xe5" + base[1:]
    text, tail = base.decode(codec, "replace"), extension.decode(codec, "replace")
    if case_flags:
        text = text.lower() if case_flags & LOWER_BASE else text
        tail = tail.lower() if case_flags & LOWER_EXTENSION else tail
    name = f"{text}.{tail}" if tail else text
    if not _PLAIN.fullmatch(name):
        text = _FORBIDDEN.sub("_", text) or "_"
        name = f"{text}.{_FORBIDDEN.sub('_', tail)}" if tail else text
    return "__" if name in _DOTS else name


class ShortNames:
    """The short names of one directory: where to go on counting ~1, ~2, ... for each beginning.

    A beginning is what stands before ~N, so there is one counter for each number of digits. Numbers only go up while the
    directory is open: 10,000 similar names cost 10,000 steps, not 50 million.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._next: dict[tuple[bytes, bytes], int] = {}         # beginning, extension → number to try
        self._digits: dict[tuple[bytes, bytes], int] = {}       # first six bytes, extension → fewest digits with numbers left

    def make(self, name: str, taken: Container[bytes]) -> bytes:
        """A short name for a long one that `taken` does not have. Raises StorageError when all are taken."""
        base, extension, exact = _basis(name, self._codec)
        if exact:
            candidate = _pack(base, extension)
            if candidate not in taken:
                return candidate
        family = base[:6], extension
        for digits in range(self._digits.get(family, 1), 7):
            prefix = base[: 7 - digits]
            key = prefix + b"~%d" % digits, extension
            number = self._next.get(key, 10 ** (digits - 1))
            while number < 10**digits:
                candidate = _pack(prefix + b"~%d" % number, extension)
                number += 1
                if candidate not in taken:
                    self._next[key] = number
                    return candidate
            self._next[key] = number
            self._digits[family] = digits + 1
        raise StorageError(f'no short name is left for "{name}": its directory has a million like it')


def _pack(base: bytes, extension: bytes) -> bytes:
    if base[:1] == b"\xe5":
        base = b"\x05" + base[1:]
    return base.ljust(8) + extension.ljust(3)


def _basis(name: str, codec: str) -> tuple[bytes, bytes, bool]:
    """fatgen103 "The Basis-Name Generation Algorithm": base (at most 8), extension (at most 3), and whether no tail is needed."""
    raw, exact = _to_oem(name, codec)
    stripped = raw.lstrip(b". ")
    stem, dot, ending = stripped.rpartition(b".")
    if not dot:
        stem, ending = ending, b""
    base, extension = stem.translate(_TO_SHORT, b" ."), ending.translate(_TO_SHORT, b" ")
    exact = exact and base == stem and extension == ending and stripped == raw and 1 <= len(base) <= 8 and len(extension) <= 3
    return _cut(base, 8, codec) or b"_", _cut(extension, 3, codec), exact


@lru_cache(maxsize=4096)
def _oem_character(character: str, codec: str) -> bytes | None:
    try:
        return _upper(character).encode(codec)
    except UnicodeEncodeError:
        return None


def _to_oem(text: str, codec: str) -> tuple[bytes, bool]:
    """Upper case in bytes of the code page, `_` for what it does not have; and whether nothing was lost."""
    if text.isascii():
        return text.upper().encode("ascii"), True
    codes = [_oem_character(character, codec) for character in text]
    return b"".join(b"_" if code is None else code for code in codes), None not in codes


def _cut(raw: bytes, length: int, codec: str) -> bytes:
    """At most `length` bytes, without half a character of a two-byte code page."""
    if len(raw) <= length or raw.isascii():
        return raw[:length]
    return raw[:length].decode(codec, "ignore").encode(codec, "replace")[:length]


def checksum(short: bytes) -> int:
    """What binds long-name slots to their short one (fatgen103, `ChkSum`)."""
    total = 0
    for byte in short:
        total = _ROTATED[total] + byte & 0xFF
    return total


def long_slots(name: str, short: bytes) -> bytes:
    """The long-name slots of a name in disk order: last part first."""
    units = name.encode("utf-16-le")
    count = -(-len(units) // (2 * UNITS_PER_SLOT))
    if len(units) < 2 * UNITS_PER_SLOT * count:
        units = (units + b"\0\0").ljust(2 * UNITS_PER_SLOT * count, b"\xff")
    middle = _MIDDLES[checksum(short)]
    parts: list[bytes] = []
    for at in range(26 * count - 26, -1, -26):
        parts += (_ORDINALS[at], units[at : at + 10], middle, units[at + 10 : at + 22], _NO_CLUSTER, units[at + 22 : at + 26])
    parts[0] = bytes((count | LAST_LONG_SLOT,))
    return b"".join(parts)


def decode_long(units: bytes) -> str | None:
    """The text of the parts of a long name in their order; None when it is damaged or could not be part of a path."""
    try:
        name = units.decode("utf-16-le").partition("\0")[0]
    except UnicodeDecodeError:
        return None
    if not _PLAIN.fullmatch(name) or name in _DOTS or (len(units) > 2 * MAX_NAME_UNITS and len(name.encode("utf-16-le")) > 2 * MAX_NAME_UNITS):
        return None
    return name
