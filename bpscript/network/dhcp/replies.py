"""`--bootp FILE`: the BOOTP variables from a reply in whatever form it was kept (spec: the command line, `run`).

    pcap, pcapng             last ACK, else last OFFER or plain BOOTP reply; `mac` picks the client
    a raw packet             the UDP payload, or an IP packet or Ethernet frame around it
    {"Host-Name": "pc12"}    JSON: names of variables with or without BOOTP-, or numbers of options
    lease { ... }            the leases file of dhclient
    ip=10.0.0.5              the environment of udhcpc's script

Everything that is wrong is a UsageError: the file was named on the command line.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ...base.errors import FormatError, UsageError
from .captures import ETHERNET, RAW_IP, Frame, bootp_payload, is_capture, read_frames
from .leases import Lease, is_dhclient, is_udhcpc, read_dhclient, read_udhcpc
from .message import ACK, OFFER, REPLY, Message
from .variables import Parameter, parameters, variables_of

_LONGEST_FILE = 4 << 20         # bytes of anything but a capture in a file
_HINT = "a packet, pcap, pcapng, udhcpc environment, dhclient leases or JSON is expected"
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:([:.-]?)[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2})*\Z|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4})+\Z")
# Files people have by mistake, by their first bytes.
_STRANGERS = {
    b"\x1f\x8b": "gzip-compressed", b"\x28\xb5\x2f\xfd": "zstd-compressed", b"\xfd7zXZ": "xz-compressed", b"BZh": "bzip2-compressed",
    b"PK\x03\x04": "a zip archive", b"snoop": "a Solaris snoop capture", b"\x7fELF": "a program",
}


def read_reply(source: Path | str | bytes, mac: str | None = None) -> dict[str, str]:
    """The variables of the reply in a file (a path) or in its contents (bytes).

    `mac` picks a client in a capture, must be the client of a packet, and tells the client where the form does not.
    Raises UsageError when there is no such file, no reply in it, or it is in no form we know.
    """
    wanted = None if mac is None else parse_mac(mac)
    name = "the reply" if isinstance(source, bytes) else str(source)
    try:
        if isinstance(source, bytes):
            found = _read(BytesIO(source), wanted)
        else:
            with Path(source).open("rb") as file:
                found = _read(file, wanted)
    except (FormatError, UsageError) as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    if wanted is not None:
        found.setdefault("BOOTP-Client-ID", wanted.hex().upper())
    return found


def parse_mac(text: str) -> bytes:
    """The bytes of a hardware address: 00:a0:c9:11:22:33, with dashes, with dots, or digits alone. Raises UsageError."""
    digits = re.sub(r"[:.-]", "", text)
    if not _MAC.match(text) or len(digits) % 2 or not 2 <= len(digits) // 2 <= 16:
        raise UsageError(f'"{text}" is no hardware address', hint="for example 00:a0:c9:11:22:33")
    return bytes.fromhex(digits)


def _read(file: BinaryIO, wanted: bytes | None) -> dict[str, str]:
    if not file.seekable():     # a pipe
        file = BytesIO(file.read(_LONGEST_FILE + 1))
    start = file.read(8)
    file.seek(0)
    if is_capture(start):
        return variables_of(_from_capture(file, wanted))
    data = file.read(_LONGEST_FILE + 1)
    if len(data) > _LONGEST_FILE:
        raise UsageError(f"too large for a reply (more than {_LONGEST_FILE} bytes)", hint=_HINT)
    if not data.strip():
        raise UsageError("an empty file, not a reply", hint=_HINT)
    for magic, what in _STRANGERS.items():
        if data.startswith(magic):
            raise UsageError(f"{what} data, not a reply", hint=_HINT)
    text = _as_text(data)
    if text is None:
        return variables_of(_from_packet(data, wanted))
    if text.lstrip().startswith("{"):
        return _from_json(text)
    if is_dhclient(text):
        return _of_lease(read_dhclient(text))
    if is_udhcpc(text):
        return _of_lease(read_udhcpc(text))
    first = next(line.strip() for line in text.split("\n") if line.strip())
    raise UsageError(f'text that begins with "{first[:40]}", not a reply', hint=_HINT)


def _as_text(data: bytes) -> str | None:
    """The data as text; None when it has control characters that texts do not have. `env -0` ends lines with NUL."""
    if data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    if re.search(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]|\0\0", data) or data.startswith(b"\0"):
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def _from_capture(file: BinaryIO, wanted: bytes | None) -> Message:
    frames = requests = refused = 0
    ack: Message | None = None
    offer: Message | None = None
    clients: dict[str, None] = {}
    for message in _messages(file):
        frames += 1
        if message is None:
            continue
        if message.operation != REPLY:
            requests += 1
        elif wanted is not None and message.hardware_address != wanted:
            clients[message.hardware_address.hex(":")] = None
        elif message.message_type == ACK:
            ack = message
        elif message.message_type in {OFFER, None}:
            offer = message
        else:
            refused += 1
    found = ack or offer
    if found is not None:
        return found
    if wanted is not None and clients:
        raise UsageError(f"no reply for client {wanted.hex(':')}", hint=f"it has replies for {', '.join(list(clients)[:8])}")
    raise UsageError(f"no BOOTP or DHCP reply in {frames} packets ({requests} requests, {refused} refusals)")


def _messages(file: BinaryIO) -> Iterator[Message | None]:
    """One for each frame: the BOOTP message in it, None when there is none or it is broken."""
    for frame in read_frames(file):
        payload = bootp_payload(frame)
        try:
            yield None if payload is None else Message.parse(payload)
        except FormatError:
            yield None


def _from_packet(data: bytes, wanted: bytes | None) -> Message:
    """A UDP payload; or an IP packet or Ethernet frame that carries one."""
    payload = next(filter(None, (bootp_payload(Frame(link_type, data)) for link_type in (RAW_IP, ETHERNET))), data)
    try:
        message = Message.parse(payload)
    except FormatError as error:
        raise UsageError(f"neither a text, nor a capture, nor a BOOTP packet: {error.message}", hint=_HINT) from error
    if message.operation != REPLY:
        raise UsageError("a BOOTP request, not a reply", hint="the answer of the server is needed")
    if message.message_type not in {ACK, OFFER, None}:
        raise UsageError(f"a DHCP message of type {message.message_type}, not an ACK (5) or OFFER (2)")
    if wanted is not None and message.hardware_address != wanted:
        raise UsageError(f"a reply for client {message.hardware_address.hex(':')}, not for {wanted.hex(':')}")
    return message


def _of_lease(lease: Lease) -> dict[str, str]:
    """The variables of what was written down; an address that was not is left undefined."""
    found = variables_of(lease.message)
    for field, name in (("your_ip", "BOOTP-Your-IP"), ("server_ip", "BOOTP-Server-IP"), ("gateway_ip", "BOOTP-Gateway-IP")):
        if field not in lease.fields and found[name] == "0.0.0.0":  # noqa: S104 - no address, not a listener
            del found[name]
    return found


def _from_json(text: str) -> dict[str, str]:
    import json  # noqa: PLC0415 - the other forms do not need it

    try:
        keys = json.loads(text)
    except RecursionError as error:
        raise UsageError("JSON nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"not valid JSON: {error}") from error
    given: dict[str, str] = {}
    implied: dict[str, str] = {}
    for key, value in keys.items():
        if value is None:
            continue
        parameter = _parameter(key)
        shown = _json_text(key, value, parameter.type_name)
        own = key.strip().lower()
        for name in parameter.names:
            exact = name.lower() in {own, f"bootp-{own}"} or name == f"BOOTP-Option-{own}"
            (given if exact else implied)[name] = shown
    found = implied | given
    if "DHCP-Server-Identifier" in found:
        found.setdefault("BOOTP-Server-IP", found["DHCP-Server-Identifier"])
    return found


def _parameter(key: str) -> Parameter:
    known = parameters()
    word = key.strip().lower()
    found = known.get(word) or known.get(f"bootp-{word}") or known.get(f"bootp-option-{word}")
    if found is None:
        from difflib import get_close_matches  # noqa: PLC0415 - only for a hint

        near = get_close_matches(word.removeprefix("bootp-"), [each.removeprefix("bootp-") for each in known], 1)
        names = [parameter.names[0] for each, parameter in known.items() if near and each in {near[0], f"bootp-{near[0]}"}]
        hint = f"did you mean {names[0]}?" if names else None
        raise UsageError(f'"{key}" is neither a BOOTP variable nor the number of an option (1 to 254)', hint=hint)
    return found


def _json_text(key: str, value: object, type_name: str) -> str:
    if type_name == "flag" and str(value).lower() in {"1", "0", "true", "false", "on", "off"}:
        return "ON" if str(value).lower() in {"1", "true", "on"} else "OFF"
    if isinstance(value, bool):
        return "ON" if value else "OFF"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if "\0" in value:
            raise UsageError(f'the value of "{key}" holds the character code 0')
        return parse_mac(value).hex().upper() if type_name == "hex" else value
    if isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
        return " ".join(_json_text(key, each, type_name) for each in value)
    raise UsageError(f'the value of "{key}" is {_json_kind(value)}; expected a text, a number or a list of them')


def _json_kind(value: object) -> str:
    return {dict: "an object", list: "a list of lists", float: "a fraction", type(None): "null"}.get(type(value), "of no known kind")
