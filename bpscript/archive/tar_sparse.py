"""Files that tar stored without their holes: the four ways GNU tar has for the map, and the file with the holes put back.

Source: GNU tar manual, appendix "Storing Sparse Files" and "The Type Flag S". bsdtar writes the newest of them by default.

    old GNU    type S; pairs of octal numbers in the header at +386 (4) and in extension blocks (21 each)
    pax 0.0    records GNU.sparse.offset and GNU.sparse.numbytes, again and again
    pax 0.1    record GNU.sparse.map: "offset,length,offset,length"
    pax 1.0    in front of the contents: "count\\n" and "offset\\nlength\\n" for each, filled up to a whole block

A map is a list of segments (offset, length) of the real file; the stored contents are the segments one after the other.
"""

from collections.abc import Callable, Iterable, Iterator

from ..base.zeros import zeros
from .tar_layout import BLOCK, MAX_FILE

Segments = list[tuple[int, int]]
MAX_SEGMENTS = 1 << 18
_MAX_DIGITS = 20


def map_of_header(block: bytes, next_block: Callable[[], bytes]) -> tuple[Segments, int]:
    """Old GNU: segments and real size. Raises ValueError."""
    real_size = _number(block[483:495])
    segments = _pairs(block[386:482])
    extended = block[482]
    while extended:
        block = next_block()
        segments += _pairs(block[:504])
        extended = block[504]
        if len(segments) > MAX_SEGMENTS:
            raise ValueError("too many holes")
    return segments, real_size


def map_of_records(text: bytes) -> Segments:
    """Pax 0.0 and 0.1. Raises ValueError."""
    numbers = [_decimal(digits) for digits in text.split(b",")] if text else []
    if len(numbers) % 2 or len(numbers) > 2 * MAX_SEGMENTS:
        raise ValueError("an odd number of numbers, or too many")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def map_of_contents(next_block: Callable[[], bytes]) -> tuple[Segments, int]:
    """Pax 1.0: segments, and how many bytes of the contents the map took. Raises ValueError."""
    data = bytearray()
    taken = position = 0

    def number() -> int:
        nonlocal taken, position
        while (end := data.find(b"\n", position)) < 0:
            if len(data) - position > _MAX_DIGITS:
                raise ValueError("a number without end")
            del data[:position]
            position = 0
            data.extend(next_block())
            taken += BLOCK
        value = _decimal(bytes(data[position:end]))
        position = end + 1
        return value

    count = number()
    if count > MAX_SEGMENTS:
        raise ValueError("too many holes")
    return [(number(), number()) for _ in range(count)], taken


def check_map(segments: Segments, stored: int, real_size: int) -> None:
    """Raise ValueError unless the segments are in order, inside the file, and exactly what is stored."""
    end = 0
    for offset, length in segments:
        if offset < end:
            raise ValueError("segments out of order")
        end = offset + length
    if end > real_size or real_size > MAX_FILE:
        raise ValueError("a segment beyond the end of the file")
    if sum(length for _, length in segments) != stored:
        raise ValueError("more or less is stored than the map says")


def with_holes(chunks: Iterable[memoryview], segments: Segments, real_size: int) -> Iterator[memoryview]:
    """The file as it was; holes as zeros."""
    source = iter(chunks)
    view = memoryview(b"")
    position = 0
    for offset, length in segments:
        yield from zeros(offset - position)
        left = length
        while left:
            if not view:
                view = next(source)     # the map was compared with the size: there is more
            yield view[:left]
            taken = min(left, len(view))
            view = view[taken:]
            left -= taken
        position = offset + length
    yield from zeros(real_size - position)


def _pairs(data: bytes) -> Segments:
    """Pairs of twelve-byte numbers; the first empty one ends them."""
    found = []
    for start in range(0, len(data), 24):
        if not data[start : start + 24].strip(b"\0 "):
            break
        found.append((_number(data[start : start + 12]), _number(data[start + 12 : start + 24])))
    return found


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256."""
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
    else:
        digits = field.strip(b"\0 ")
        value = int(digits, 8) if digits.isdigit() else 0 if not digits else -1
    if not 0 <= value <= MAX_FILE:
        raise ValueError("an impossible number")
    return value


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > _MAX_DIGITS or int(digits) > MAX_FILE:
        raise ValueError("an impossible number")
    return int(digits)
