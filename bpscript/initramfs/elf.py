"""What ELF files say: libraries a program needs, facts of a kernel module; and programs without what only debuggers read.

Source: "System V Application Binary Interface", chapters 4 and 5; elf(5). Little-endian files of 64 bits, which all machines are
that this builds for.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..base.errors import FormatError

# e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")       # type, flags, offset, address, -, size in the file, size in memory, alignment
_SECTION = struct.Struct("<IIQQQQIIQQ")     # name, type, flags, address, offset, size, link, info, alignment, size of an entry
_DYNAMIC = struct.Struct("<qQ")             # tag, value
_SECTIONS_FIELD = 0x28                      # of e_shoff
_COUNTS_FIELD = 0x3A                        # of e_shentsize, e_shnum, e_shstrndx
_LOAD, _DYNAMIC_SEGMENT, _INTERPRETER = 1, 2, 3
_NEEDED, _STRINGS, _RPATH, _RUNPATH = 1, 5, 15, 29
_MOST_HEADERS = 4096


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a program or library asks the dynamic loader for. `interpreter` is the loader itself ("" for a library)."""

    interpreter: str
    needed: tuple[str, ...]
    run_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int


def is_elf(data: bytes) -> bool:
    """Whether this is a file of the kind that is read here."""
    return data[:6] == b"\x7fELF\x02\x01" and len(data) >= 64


def dependencies(data: bytes, name: str) -> Dependencies:
    """Of a program or shared library. Raises FormatError."""
    with _whole(name):
        return _dependencies(data, name)


@contextmanager
def _whole(name: str) -> Iterator[None]:
    """What lies outside of the file is a FormatError."""
    try:
        yield
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise FormatError(f"{name}: a damaged ELF file") from error


def _dependencies(data: bytes, name: str) -> Dependencies:
    segments = _segments(data, name)
    interpreter = next((_text(data, each.offset) for each in segments if each.type == _INTERPRETER), "")
    found: dict[int, list[int]] = {}
    for segment in segments:
        if segment.type == _DYNAMIC_SEGMENT:
            for tag, value in _DYNAMIC.iter_unpack(data[segment.offset : segment.offset + segment.size // _DYNAMIC.size * _DYNAMIC.size]):
                if tag == 0:
                    break
                found.setdefault(tag, []).append(value)
    if _STRINGS not in found:
        return Dependencies(interpreter, (), ())
    address = found[_STRINGS][0]
    loaded = next((each for each in segments if each.type == _LOAD and each.address <= address < each.address + each.size), None)
    if loaded is None:
        raise FormatError(f"{name}: its dynamic strings lie outside of the file")
    strings = address - loaded.address + loaded.offset
    paths = [_text(data, strings + each) for each in found.get(_RUNPATH) or found.get(_RPATH) or ()]
    return Dependencies(
        interpreter,
        tuple(_text(data, strings + each) for each in found.get(_NEEDED, ())),
        tuple(path for text in paths for path in text.split(":") if path),
    )


def stripped(data: bytes, name: str = "program") -> bytes:
    """A program or library without what lies behind its last loaded segment: section headers, symbols, debug information.

    What is no ELF file, or only a part of one for a linker, stays as it is. Raises FormatError.
    """
    if not is_elf(data):
        return data
    with _whole(name):
        segments = _segments(data, name)
    if not any(each.type == _LOAD for each in segments):
        return data
    end = max(_HEADER.size, *(each.offset + each.size for each in segments))
    kept = bytearray(data[:end])
    struct.pack_into("<Q", kept, _SECTIONS_FIELD, 0)
    struct.pack_into("<HHH", kept, _COUNTS_FIELD, 0, 0, 0)
    return bytes(kept)


def section(data: bytes, wanted: str, name: str) -> bytes:
    """The contents of a section; b"" when there is none. Raises FormatError."""
    with _whole(name):
        return _section(data, wanted.encode())


def _section(data: bytes, wanted: bytes) -> bytes:
    if not is_elf(data):
        return b""
    _, _, _, _, _, start, _, _, _, _, size, count, names = _HEADER.unpack_from(data)
    if count > _MOST_HEADERS:
        return b""
    rows = [_SECTION.unpack_from(data, start + number * size) for number in range(count)]
    texts = rows[names]
    for row in rows:
        position = texts[4] + row[0]
        if data[position : data.index(b"\0", position)] == wanted:
            return data[row[4] : row[4] + row[5]]
    return b""


def _segments(data: bytes, name: str) -> list[_Segment]:
    if not is_elf(data):
        raise FormatError(f"{name}: no ELF file of 64 bits")
    _, _, _, _, start, _, _, _, size, count, _, _, _ = _HEADER.unpack_from(data)
    found = []
    for number in range(min(count, _MOST_HEADERS)):
        kind, _, offset, address, _, length, _, _ = _PROGRAM.unpack_from(data, start + number * size)
        found.append(_Segment(kind, offset, address, length))
    return found


def _text(data: bytes, position: int) -> str:
    end = data.find(b"\0", position)
    if end < 0:
        raise IndexError(position)
    return data[position:end].decode("utf-8", "surrogateescape")
