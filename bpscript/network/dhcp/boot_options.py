"""The options that only booting needs: PXE, HTTP boot, iPXE, Raspberry Pi, our own.

Sources: PXE 2.1 "Preboot Execution Environment" 2.2 (option 43), RFC 4578 (93, 94, 97), UEFI 2.10 section 24.7 (HTTP boot), RFC 5859
(150), ipxe.org/howto/dhcpd (175), notes of Raspberry Pi's boot ROM (option 43 must hold its menu entry, nothing may be padded).
"""

from collections.abc import Mapping
from ipaddress import IPv4Address

from .firmware import MACHINE_ID, VENDOR_CLASS, Client, Firmware
from .message import Message
from .plan import Plan

VENDOR_OPTIONS, TFTP_NAME, BOOT_FILE, TFTP_ADDRESS, SCRIPT, IPXE = 43, 66, 67, 150, 155, 175
VARIABLES = 224         # RFC 3942: site-specific. Ours: variables of a script, NAME=VALUE, separated by NUL

_DISCOVERY_CONTROL, _BOOT_ITEM, _MENU, _MENU_PROMPT = 6, 71, 9, 10
_USE_THIS_FILE = b"\x08"            # PXE 2.1 table 2-3: bit 3, download the boot file of this packet, no prompt, no menu
_END = b"\xff"
# iPXE's own option 176 in option 175: do not wait for a proxyDHCP server.
_NO_PXE_DHCP = bytes((176, 1, 1))


def pxe_options(request: Message, client: Client) -> bytes:
    """Option 43 for a PXE client that shall take the boot file of this packet."""
    if client.firmware is Firmware.RASPBERRY_PI:
        entry = b"Raspberry Pi Boot"
        return (
            _suboption(_DISCOVERY_CONTROL, b"\x03")
            + _suboption(_MENU_PROMPT, b"\0PXE")
            + _suboption(_MENU, bytes((0, 0, len(entry))) + entry)
            + _END
        )
    item = suboptions(request.option(VENDOR_OPTIONS) or b"").get(_BOOT_ITEM)
    return _suboption(_DISCOVERY_CONTROL, _USE_THIS_FILE) + (b"" if item is None else _suboption(_BOOT_ITEM, item[:4])) + _END


def suboptions(data: bytes) -> dict[int, bytes]:
    """What an encapsulated option holds, up to the first that does not fit."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data) and data[position] != 255:       # each turn consumes at least one byte
        code = data[position]
        position += 1
        if code == 0:
            continue
        if position >= len(data) or position + 1 + data[position] > len(data):
            break
        found[code] = data[position + 1 : position + 1 + data[position]]
        position += 1 + data[position]
    return found


def boot_options(
    request: Message, client: Client, plan: Plan, boot_file: str, server: IPv4Address, *, is_proxy: bool
) -> tuple[dict[int, bytes], frozenset[int]]:
    """What there is to tell about booting, and what is sent even when option 55 does not ask for it."""
    found: dict[int, bytes] = {TFTP_ADDRESS: server.packed, TFTP_NAME: str(server).encode()}
    always = set()
    if boot_file:
        found[BOOT_FILE] = boot_file.encode()
        if len(found[BOOT_FILE]) > 127:         # more than the file field takes with its NUL
            always.add(BOOT_FILE)
    if plan.script:
        found[SCRIPT] = plan.script.encode()
        always.add(SCRIPT)                      # never in a boot ROM's list, but scripts of iPXE and our boot environment read it
    if plan.variables:
        found[VARIABLES] = pack_variables(plan.variables)
        if client.is_ours:
            always.add(VARIABLES)
    is_pi = client.firmware is Firmware.RASPBERRY_PI
    if client.firmware is not None and client.firmware.is_http:
        found[VENDOR_CLASS] = b"HTTPClient"
        always.add(VENDOR_CLASS)
    elif is_pi or (is_proxy and client.is_pxe):
        # A plain DHCP offer without 60 and 43 makes a ROM take its boot file at once; with them it would look for a menu.
        found |= {VENDOR_CLASS: b"PXEClient", VENDOR_OPTIONS: pxe_options(request, client)}
        always |= {VENDOR_CLASS, VENDOR_OPTIONS}
        if is_pi:
            always.add(TFTP_NAME)
    elif is_proxy and client.is_ours:
        found[VENDOR_CLASS] = client.vendor_class.encode()[:32]
        always.add(VENDOR_CLASS)
    machine = request.option(MACHINE_ID)
    if machine is not None and len(machine) == 17:
        found[MACHINE_ID] = machine
        always.add(MACHINE_ID)                  # RFC 4578 2.3 has the client send it; PXE 2.1 has the server return it
    if client.firmware is Firmware.IPXE and not is_proxy:
        found[IPXE] = _NO_PXE_DHCP
        always.add(IPXE)
    return found, frozenset(always)


def pack_variables(variables: Mapping[str, str]) -> bytes:
    """Option 224."""
    return b"\0".join(f"{name}={value}".encode() for name, value in variables.items())


def unpack_variables(data: bytes) -> dict[str, str]:
    """The variables in option 224; a piece without a name is passed over."""
    pieces = (piece.partition("=") for piece in data.decode("utf-8", "replace").split("\0"))
    return {name: value for name, sign, value in pieces if name and sign}


def _suboption(code: int, data: bytes) -> bytes:
    return bytes((code, len(data))) + data
