"""GIF pictures: GIF87a and GIF89a, interlaced or not, with a transparent colour; of an animation the first frame.

Our own decoder, since a library for this one format would be the largest thing in the boot environment. Source: CompuServe,
"Graphics Interchange Format, Version 89a", 17 to 23 and appendix F.

Hostile files: sizes are checked before anything is decoded, decoding stops at the last pixel and when there are more codes than pixels can
need, and a string of the table is no longer than the table (4096): time and memory are bounded by a few times the picture.
"""

import struct
from typing import NamedTuple

from ..base.errors import FormatError
from .screen import Mode, Picture

_SIGNATURES = (b"GIF87a", b"GIF89a")
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9
_SCREEN = struct.Struct("<HHBBB")       # +6   width, height, flags, background, aspect ratio
_DESCRIPTOR = struct.Struct("<HHHHB")   # after 2C: left, top, width, height, flags
_HAS_TABLE, _INTERLACED = 0x80, 0x40    # of both flags; of the descriptor's
_MOST_CODES = 4096                      # appendix F: codes have at most 12 bits
_PASSES = ((0, 8), (4, 8), (2, 4), (1, 2))      # appendix E: first line and step of the four passes


class _Frame(NamedTuple):
    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    colors: tuple[tuple[int, int, int], ...]
    transparent: int | None
    start: int      # of the picture data


def read_gif(data: bytes, name: str, mode: Mode) -> Picture:
    """The first picture of a GIF file. Raises FormatError when it is none, is damaged, or is larger than the mode."""
    try:
        frame = _first_frame(data)
        width, height = frame.left + frame.width, frame.top + frame.height
        if width > mode.width or height > mode.height:
            raise FormatError(f'"{name}" does not fit on the screen: it has {width} x {height} pixels, the mode {mode.width} x {mode.height}')
        pixels = _decode(data, frame.start, frame.width * frame.height)
    except _DamageError as damage:
        raise FormatError(f'"{name}" is no GIF picture: {damage}') from None
    except (IndexError, struct.error):
        raise FormatError(f'"{name}" is no GIF picture: it ends too early, after {len(data)} bytes') from None
    if frame.interlaced:
        pixels = _in_order(pixels, frame.width, frame.height)
    return Picture(frame.width, frame.height, pixels, frame.colors, frame.transparent, frame.left, frame.top)


class _DamageError(Exception):
    """What is wrong with a file."""


def _first_frame(data: bytes) -> _Frame:
    """What stands before the data of the first picture."""
    if data[:6] not in _SIGNATURES:
        raise _DamageError("it does not begin with GIF87a or GIF89a")
    _, _, flags, _, _ = _SCREEN.unpack_from(data, 6)
    position = 6 + _SCREEN.size
    shared, position = _color_table(data, position, flags)
    transparent = None
    while True:     # every block moves the position on
        kind = data[position]
        if kind == _EXTENSION:
            if data[position + 1] == _GRAPHIC_CONTROL and data[position + 3] & 1:
                transparent = data[position + 6]
            position = _after_blocks(data, position + 2)
        elif kind == _IMAGE:
            left, top, width, height, flags = _DESCRIPTOR.unpack_from(data, position + 1)
            own, start = _color_table(data, position + 1 + _DESCRIPTOR.size, flags)
            if not width or not height:
                raise _DamageError(f"a picture of {width} x {height} pixels")
            if not own and not shared:
                raise _DamageError("it has no colours")
            return _Frame(left, top, width, height, bool(flags & _INTERLACED), own or shared, transparent, start)
        elif kind == _TRAILER:
            raise _DamageError("there is no picture in it")
        else:
            raise _DamageError(f"there is no block of kind {kind:#04x}, found at byte {position}")


def _color_table(data: bytes, position: int, flags: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
    """The colours that stand there when the flags say so, and where they end."""
    if not flags & _HAS_TABLE:
        return (), position
    end = position + 3 * (2 << (flags & 7))
    table = data[position:end]
    if len(table) < end - position:
        raise IndexError
    return tuple(zip(table[0::3], table[1::3], table[2::3], strict=True)), end


def _after_blocks(data: bytes, position: int) -> int:
    """Where a chain of blocks ends: each begins with its length, the last has none."""
    while data[position]:
        position += data[position] + 1
    return position + 1


def _blocks(data: bytes, position: int, most: int) -> bytes:
    """A chain of blocks as one; it may be cut short by the end of the file, and after `most` bytes."""
    pieces = []
    end = min(len(data), position + most)
    while position < end and data[position]:
        pieces.append(data[position + 1 : position + 1 + data[position]])
        position += data[position] + 1
    return b"".join(pieces)


def _decode(data: bytes, start: int, length: int) -> bytes:
    """The picture data (appendix F): LZW codes of growing width, the lowest bits first."""
    bits = data[start]
    if not 1 <= bits <= 8:
        raise _DamageError(f"its pixels have {bits} bits, expected 1 to 8")
    clear = 1 << bits
    end = clear + 1
    roots = [bytes([value]) for value in range(clear)] + [b"", b""]
    strings, width, limit = roots.copy(), bits + 1, 2 << bits
    pieces: list[bytes] = []
    done = 0
    last = b""
    kept = kept_bits = 0
    # A pixel takes at most a code of 12 bits; a table that is thrown away again and again would take us for ever.
    for byte in _blocks(data, start + 1, 2 * length + 1024):
        kept |= byte << kept_bits
        kept_bits += 8
        while kept_bits >= width:
            code = kept & (limit - 1)
            kept >>= width
            kept_bits -= width
            if code == clear:
                strings, width, limit, last = roots.copy(), bits + 1, 2 << bits, b""
                continue
            if code == end:
                raise _DamageError(f"its pixels end after {done} of {length}")
            if code < len(strings):
                string = strings[code]
            elif code == len(strings) and last:
                string = last + last[:1]        # the code that is about to be made
            else:
                raise _DamageError(f"code {code} after {done} of {length} pixels means nothing")
            if last and len(strings) < _MOST_CODES:
                strings.append(last + string[:1])
                if len(strings) == limit and width < 12:
                    width += 1
                    limit *= 2
            pieces.append(string)
            done += len(string)
            last = string
            if done >= length:
                return b"".join(pieces)[:length]
    raise _DamageError(f"it ends after {done} of {length} pixels")


def _in_order(pixels: bytes, width: int, height: int) -> bytes:
    """Lines of an interlaced picture, from top to bottom."""
    lines = [b""] * height
    at = 0
    for first, step in _PASSES:
        for line in range(first, height, step):
            lines[line] = pixels[at : at + width]
            at += width
    return b"".join(lines)
