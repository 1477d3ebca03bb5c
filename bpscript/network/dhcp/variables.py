"""Variables of a script from a BOOTP or DHCP reply (language.md section 7).

An option whose length does not fit its type leaves its named variable undefined; `BOOTP-Option-N` then shows the bytes, as it
does for options without a name of their own.
"""

from dataclasses import dataclass
from functools import cache

from .message import Message
from .options import OPTIONS, decode_text, show_address

SERVER_IDENTIFIER, TFTP_SERVER, BOOT_FILE = 54, 66, 67      # RFC 2132 9.7, 9.4, 9.5


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of a reply: every variable that shows it, and its type (a key of `options.TYPES`, "text" where it is shown as it is)."""

    names: tuple[str, ...]
    type_name: str


# Variables that come from a field of the message rather than from an option; file and sname have an option that stands in.
_FIELDS = (
    Parameter(("BOOTP-Client-ID",), "hex"),
    Parameter(("BOOTP-Your-IP",), "ip"),
    Parameter(("BOOTP-Server-IP",), "ip"),
    Parameter(("BOOTP-Gateway-IP",), "ip"),
    Parameter(("BOOTP-Bootfile", f"BOOTP-Option-{BOOT_FILE}"), "text"),
    Parameter(("BOOTP-Server-Name", f"BOOTP-Option-{TFTP_SERVER}"), "text"),
)


def variables_of(message: Message) -> dict[str, str]:
    """Every variable that the message defines."""
    found = {"BOOTP-Client-ID": message.hardware_address.hex().upper()} if message.hardware_address else {}
    found |= {
        "BOOTP-Your-IP": show_address(message.your_ip),
        "BOOTP-Server-IP": show_address(message.server_ip),
        "BOOTP-Gateway-IP": show_address(message.gateway_ip),
        **variables_of_options(message.options),
    }
    identifier = found.get("DHCP-Server-Identifier")
    if not any(message.server_ip) and identifier is not None:
        found["BOOTP-Server-IP"] = identifier
    for name, field in (("BOOTP-Bootfile", message.boot_file), ("BOOTP-Server-Name", message.server_name)):
        if field:
            found[name] = decode_text(field)
    return found


def variables_of_options(options: tuple[tuple[int, bytes], ...]) -> dict[str, str]:
    """The variables of options alone: the named ones, `BOOTP-Option-N` for each, and Bootfile and Server-Name from 67 and 66."""
    found = {}
    for code, data in options:
        option = OPTIONS.get(code)
        named = option.type.render(data) if option is not None and option.variables else None
        if option is not None and named is not None:
            found.update(dict.fromkeys(option.variables, named))
        found[f"BOOTP-Option-{code}"] = show(data) if named is None else named
        if code in {BOOT_FILE, TFTP_SERVER}:
            text = decode_text(data)
            found["BOOTP-Bootfile" if code == BOOT_FILE else "BOOTP-Server-Name"] = text
            found[f"BOOTP-Option-{code}"] = text
    return found


def show(data: bytes) -> str:
    """An option nobody named: text if every byte is printable ASCII (trailing NULs dropped), else hexadecimal.

    Bytes that are all NUL are shown in hexadecimal: dropping them would hide a value.
    """
    text = data.rstrip(b"\0")
    if all(0x20 <= byte < 0x7F for byte in text) and (text or not data):
        return text.decode("ascii")
    return data.hex().upper()


@cache
def parameters() -> dict[str, Parameter]:
    """What each variable's name, in lower case, stands for."""
    found: dict[str, Parameter] = {}
    for code in range(1, 255):
        option = OPTIONS.get(code)
        named = option.variables if option is not None else ()
        parameter = Parameter((*named, f"BOOTP-Option-{code}"), option.type_name if option is not None and named else "text")
        found |= dict.fromkeys((name.lower() for name in parameter.names), parameter)
    for parameter in _FIELDS:
        found |= dict.fromkeys((name.lower() for name in parameter.names), parameter)
    return found
