"""Replies as DHCP clients write them down: busybox udhcpc (the environment of its script) and ISC dhclient (its leases file).

Both are turned back into the message they came from, as far as they tell, so that one place decides what variables look like.
Sources: busybox 1.35 networking/udhcp (observed), dhclient.leases(5) and dhcp-options(5) of ISC DHCP 4.4 (observed).
"""

import re
from dataclasses import dataclass, replace

from ...base.errors import UsageError
from .message import Message
from .options import OPTIONS, TYPES, Option

_UDHCPC = {option.udhcpc: option for option in OPTIONS.values() if option.udhcpc}
_DHCLIENT = {option.dhclient: option for option in OPTIONS.values() if option.dhclient}
_ADDRESS = TYPES["ip"]
_TEXT = TYPES["text"]
_HEX = TYPES["hex"]

_ASSIGNMENT = re.compile(r"\s*(?:export\s+|declare\s+-x\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_NUMBERED = re.compile(r"opt(\d{1,3})\Z")
_UDHCPC_FIELDS = {"ip", "siaddr", "giaddr", "boot_file", "sname"}

# A lease is words, strings, and the signs between them.
_TOKEN = re.compile(r'\s+|#[^\n]*|"(?:[^"\\\n]|\\.)*"|[{};]|[^\s{};"#]+')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_UNKNOWN = re.compile(r"(?:[\w-]+\.)?(?:unknown|option)-(\d{1,3})\Z")


@dataclass(frozen=True, slots=True)
class Lease:
    """A reply that was written down. `fields` names the fields of `message` that the text told; the others are not known."""

    message: Message
    fields: frozenset[str]


def is_udhcpc(text: str) -> bool:
    """True for lines NAME=VALUE with an address or at least one option among them."""
    names = {match[1] for match in map(_ASSIGNMENT.match, _assignments(text)) if match}
    return bool(names & {"ip", "siaddr", "serverid"}) or any(_NUMBERED.match(name) for name in names)


def is_dhclient(text: str) -> bool:
    """True for the text of a leases file."""
    return re.search(r"^[ \t]*lease\s*\{", text, re.MULTILINE) is not None


def read_udhcpc(text: str) -> Lease:
    """The reply in the environment of udhcpc's script; other variables are passed over. Raises UsageError for a bad value."""
    message, fields, options = Message(), set(), {}
    for line in _assignments(text):
        match = _ASSIGNMENT.match(line)
        if match is None:
            continue
        name, value = match[1], _unquote(match[2])
        try:
            if name in _UDHCPC_FIELDS:
                message, field = _with_udhcpc_field(message, name, value)
                fields.add(field)
            elif (number := _NUMBERED.match(name)) and 0 < int(number[1]) < 255:
                options[int(number[1])] = _HEX.encode(value)
            elif name in _UDHCPC:
                options[_UDHCPC[name].code] = _encode(_UDHCPC[name], value)
        except ValueError as error:
            raise UsageError(f'the value of "{name}" is wrong: {error}') from error
    return Lease(replace(message, options=tuple(options.items())), frozenset(fields))


def read_dhclient(text: str) -> Lease:
    """The reply in the last lease of a leases file. Raises UsageError when there is none, or for a bad value."""
    statements = _last_lease(text)
    message, fields, options = Message(), set(), {}
    for words in statements:
        name, values = words[0], words[1:]
        try:
            if name == "option" and values:
                code, data = _dhclient_option(values[0], values[1:])
                if code:
                    options[code] = data
            elif name in {"fixed-address", "next-server"} and values:
                field = "your_ip" if name == "fixed-address" else "server_ip"
                message = _with(message, field, _ADDRESS.encode(values[0]))
                fields.add(field)
            elif name in {"filename", "server-name"} and values:
                field = "boot_file" if name == "filename" else "server_name"
                message = _with(message, field, _unescape(values[0]).partition(b"\0")[0])
                fields.add(field)
        except ValueError as error:
            raise UsageError(f'the lease has a wrong value for "{" ".join(words[:2])}": {error}') from error
    return Lease(replace(message, options=tuple(options.items())), frozenset(fields))


def _assignments(text: str) -> list[str]:
    """One NAME=VALUE each. A single line may hold several: then the names we know begin a new one."""
    lines = [line for line in re.split(r"[\n\0]+", text) if line.strip()]
    if len(lines) != 1:
        return lines
    names = "|".join([*sorted(_UDHCPC_FIELDS), *_UDHCPC, r"opt\d{1,3}", "mask", "interface"])
    return [part.strip() for part in re.split(rf"\s(?=(?:{names})=)", lines[0]) if part.strip()]


def _unquote(value: str) -> str:
    value = value.rstrip("\r")
    stripped = value.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    return value


def _with(message: Message, field: str, value: bytes) -> Message:
    return replace(message, **{field: value})  # type: ignore[arg-type]


def _with_udhcpc_field(message: Message, name: str, value: str) -> tuple[Message, str]:
    fields = {"ip": "your_ip", "siaddr": "server_ip", "giaddr": "gateway_ip", "boot_file": "boot_file", "sname": "server_name"}
    field = fields[name]
    return _with(message, field, _TEXT.encode(value) if name in {"boot_file", "sname"} else _ADDRESS.encode(value)), field


def _last_lease(text: str) -> list[list[str]]:
    """The statements of the last `lease { ... }`, each a list of words; strings keep their quotes."""
    found: list[list[str]] | None = None
    current: list[list[str]] = []
    words: list[str] = []
    inside = False
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            line = text.count("\n", 0, position) + 1
            raise UsageError(f"the leases file cannot be read from line {line} on: a string without end")
        piece, position = match[0], match.end()
        if piece.isspace() or piece.startswith("#"):
            continue
        if piece == "{":
            inside, current = words == ["lease"], []
            words = []
        elif piece == "}":
            if inside:
                found = current
            inside, words = False, []
        elif piece == ";":
            if words:
                current.append(words)
            words = []
        else:
            words.append(piece)
    if found is None:
        raise UsageError("the leases file has no complete lease")
    return found


def _dhclient_option(name: str, values: list[str]) -> tuple[int, bytes]:
    """Code and bytes of an option; code 0 for a name we do not know (the client's configuration may define any)."""
    number = _UNKNOWN.match(name)
    option = _DHCLIENT.get(name)
    if number is not None:
        code = int(number[1])
        return (code if 0 < code < 255 else 0), _loose_value(values)
    if option is None:
        return 0, b""
    return option.code, _typed_value(option, values)


def _typed_value(option: Option, values: list[str]) -> bytes:
    text = " ".join(values)
    if option.type_name == "domains":
        return _encode(option, text)
    if values and values[0].startswith('"'):
        return _unescape(values[0])
    if option.type_name == "text":          # text that cannot be shown is written as hexadecimal bytes
        return _HEX.encode(text)
    return _encode(option, text)


def _encode(option: Option, text: str) -> bytes:
    """The bytes of an option. One without a variable of its own, in a notation we do not know, is kept as the text it is."""
    try:
        return option.type.encode(text)
    except ValueError:
        if option.variables:
            raise
        return _TEXT.encode(text)


def _loose_value(values: list[str]) -> bytes:
    """An option without a type: a string, or the hexadecimal bytes between colons (one byte has no colon)."""
    if values and values[0].startswith('"'):
        return _unescape(values[0])
    text = "".join(values)
    return _HEX.encode(text if ":" in text or len(text) != 1 else f"0{text}")


def _unescape(quoted: str) -> bytes:
    """The bytes of a string: backslash before a sign, or before up to three octal digits."""
    if not quoted.startswith('"'):
        return _TEXT.encode(quoted)

    def plain(match: re.Match[bytes]) -> bytes:
        digits = match[1]
        return bytes((int(digits, 8) & 255,)) if digits[:1].isdigit() and digits[:1] < b"8" else digits

    return _ESCAPE.sub(plain, _TEXT.encode(quoted[1:-1]))
