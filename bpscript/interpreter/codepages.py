"""Code pages (language.md 8.8, LoadCodePage): Python's own, or a table of 256 Unicode values that a file brings."""

import codecs
import struct

from ..base.errors import FormatError
from ..blocks.device import Buffer

_TABLE_SIZE = 512       # bytes: 256 little-endian 16-bit Unicode values
_PRINTABLE = bytes(range(32, 127))
_UNDEFINED = 0xFFFE     # Python's charmap codecs use U+FFFE for a code without character
_tables: dict[str, codecs.CodecInfo] = {}


def known_code_page(name: str) -> str | None:
    """The codec of a code page that is built in ("cp850", "CP1252"); None when there is none."""
    name = name.lower()
    if not (name.startswith("cp") and name[2:].isdecimal()):
        return None
    try:
        info = codecs.lookup(name)
        return info.name if _PRINTABLE.decode(name) == _PRINTABLE.decode("ascii") else None
    except (LookupError, UnicodeDecodeError):
        return None


def code_page_from_table(data: bytes, name: str) -> str:
    """A codec for a table of 256 values; its name. Raises FormatError."""
    if len(data) != _TABLE_SIZE:
        raise FormatError(f'"{name}" is no code page: it has {len(data)} bytes, expected {_TABLE_SIZE} (256 16-bit values)')
    values = struct.unpack("<256H", data)
    if any(0xD800 <= value < 0xE000 for value in values):
        raise FormatError(f'"{name}" is no code page: it holds half a surrogate pair')
    decoding = "".join(chr(value if value or not code else _UNDEFINED) for code, value in enumerate(values))
    encoding = codecs.charmap_build(decoding)
    codec_name = f"bpscript_page_{len(_tables)}"

    def decode(text: Buffer, errors: str = "strict", /) -> tuple[str, int]:
        return codecs.charmap_decode(bytes(text), errors, decoding)

    def encode(text: str, errors: str = "strict", /) -> tuple[bytes, int]:
        return codecs.charmap_encode(text, errors, encoding)

    _tables[codec_name] = codecs.CodecInfo(encode, decode, name=codec_name)  # type: ignore[arg-type]  # bytes() takes every buffer
    return codec_name


codecs.register(_tables.get)
