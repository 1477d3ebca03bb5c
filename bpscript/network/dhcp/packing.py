"""A message made to fit what its receiver can take: option overload, options that are split, options left behind.

    fixed fields | sname 64 | file 128 | cookie | options ...                the receiver says how long this may be
                      ^           ^
                      used for options when they are empty and the options field is full (RFC 2132 9.3)

Options are placed in the order given, so the important ones come first. One that is longer than 255 bytes is split (RFC 3396)
and may lie across the fields, which are read in the order options, file, sname.
"""

from dataclasses import dataclass, field, replace

from .message import END, OVERLOAD, Message

SMALLEST_LIMIT = 548        # bytes; RFC 2131 2: every client takes an IP datagram of 576 bytes, 28 of them IP and UDP headers
BOOTP_LIMIT = 300           # bytes; RFC 951 3: a client without DHCP has 64 bytes of vendor area
_FIXED = 240                # fields and magic cookie
_OVERLOAD_OPTION = 3        # bytes of option 52
_FILE, _NAME = 128, 64      # bytes of the fields
_LONGEST_PART = 255


@dataclass(slots=True)
class _Area:
    """A place for options; one byte of `room` is kept for the end option."""

    room: int
    data: bytearray = field(default_factory=bytearray)

    def left(self) -> int:
        return self.room - 1 - len(self.data)

    def put(self, code: int, data: bytes) -> None:
        self.data += bytes((code, len(data))) + data


def pack(message: Message, limit: int, last: tuple[int, bytes] | None = None) -> tuple[bytes, tuple[int, ...]]:
    """The UDP payload in at most `limit` bytes (at least 300), and the codes of the options that found no room.

    `last` is an option that must be there, as the last one: option 82 of a relay. It may exceed the limit rather than be left behind.
    """
    plain = replace(message, options=message.options if last is None else (*message.options, last)).build()
    if len(plain) <= limit:
        return plain, ()
    tail = _Area(1 << 16)
    if last is not None:
        for start in range(0, max(1, len(last[1])), _LONGEST_PART):
            tail.put(last[0], last[1][start : start + _LONGEST_PART])
    file = _Area(0 if message.boot_file else _FILE)
    name = _Area(0 if message.server_name else _NAME)
    options = _Area(max(limit, BOOTP_LIMIT) - _FIXED - len(tail.data) - (_OVERLOAD_OPTION if file.room or name.room else 0))
    areas = [options, file, name]
    left_behind = tuple(code for code, data in message.options if not _place(areas, code, data))
    overload = (1 if file.data else 0) | (2 if name.data else 0)
    if overload:
        # Behind the message type, which some clients expect first.
        cut = 2 + options.data[1] if options.data else 0
        options.data[cut:cut] = bytes((OVERLOAD, 1, overload))
    head = bytearray(replace(message, options=()).build()[:_FIXED])
    if file.data:
        head[108 : 108 + _FILE] = bytes(file.data + bytes((END,))).ljust(_FILE, b"\0")
    if name.data:
        head[44 : 44 + _NAME] = bytes(name.data + bytes((END,))).ljust(_NAME, b"\0")
    return bytes(head + options.data + tail.data + bytes((END,))).ljust(BOOTP_LIMIT, b"\0"), left_behind


def _place(areas: list[_Area], code: int, data: bytes) -> bool:
    """Put an option into the first area with room for all of it, or split a long one; False when there is no room."""
    if len(data) <= _LONGEST_PART:
        area = next((each for each in areas if each.left() >= 2 + len(data)), None)
        if area is None:
            return False
        area.put(code, data)
        return True
    plan: list[tuple[_Area, int]] = []
    remaining = len(data)
    for area in areas:
        room = area.left()
        while remaining and room > 2:
            length = min(remaining, room - 2, _LONGEST_PART)
            plan.append((area, length))
            room -= 2 + length
            remaining -= length
    if remaining:
        return False
    start = 0
    for area, length in plan:
        area.put(code, data[start : start + length])
        start += length
    return True
