"""The replies of the DHCP server: which options, in which order, in which fields.

RFC 2131 4.3.1: what the client must know comes first, then what option 55 asks for in its order, then what is sent unasked.
Option 82 comes back last, as it came (RFC 3046 2.2).
"""

from dataclasses import replace
from ipaddress import IPv4Address

from .actions import NOBODY, Asking
from .boot_options import boot_options
from .firmware import CLIENT_ID
from .message import ACK, MESSAGE_TYPE, NAK, REPLY, Message
from .options import decode_text
from .packing import BOOTP_LIMIT, SMALLEST_LIMIT, pack
from .subnet import Subnet

MASK, ROUTERS, HOST_NAME, BROADCAST_ADDRESS, LEASE_TIME, SERVER_ID = 1, 3, 12, 28, 51, 54
REQUESTED_LIST, TEXT, LARGEST_SIZE, RENEWAL, REBINDING, RELAY = 55, 56, 57, 58, 59, 82
_HEADERS = 28               # bytes of IP and UDP in front of a message
_BROADCAST_FLAG = 0x8000
_NEVER_IN_LIST = {MESSAGE_TYPE, SERVER_ID, LEASE_TIME, RENEWAL, REBINDING, RELAY, 0, 52, 255}


def reply(
    asking: Asking, subnet: Subnet, kind: int | None, your_ip: IPv4Address, boot_file: str, *, lease_s: int | None
) -> tuple[bytes, tuple[int, ...]]:
    """An OFFER, an ACK or a plain BOOTP reply (`kind` None), and the codes of the options that found no room.

    `lease_s` is None for the ACK of an INFORM, and without DHCP.
    """
    request, client, plan = asking.request, asking.client, asking.plan
    known, always = boot_options(request, client, plan, boot_file, asking.server, is_proxy=False)
    known |= {MASK: subnet.network.netmask.packed, BROADCAST_ADDRESS: subnet.network.broadcast_address.packed}
    known |= subnet.options
    if plan.host_name:
        known[HOST_NAME] = plan.host_name.encode()
        always |= {HOST_NAME}
    known |= plan.options
    first: dict[int, bytes] = {}
    if kind is not None:
        first = {MESSAGE_TYPE: bytes((kind,)), SERVER_ID: asking.server.packed}
        if lease_s is not None:
            first |= {LEASE_TIME: _seconds(lease_s), RENEWAL: _seconds(lease_s // 2), REBINDING: _seconds(lease_s * 7 // 8)}
    first[MASK] = known.pop(MASK)                           # RFC 2132 3.3: before the routers
    wanted = request.option(REQUESTED_LIST)
    order = known if wanted is None else [code for code in dict.fromkeys(wanted) if code in known]
    first |= {code: known[code] for code in order if code not in _NEVER_IN_LIST}
    first |= {code: data for code, data in known.items() if code in always}
    file = boot_file.encode()
    message = Message(
        REPLY, request.hardware_type, 0, request.transaction_id, 0, request.flags,
        client_ip=request.client_ip if kind == ACK else bytes(4), your_ip=your_ip.packed, server_ip=asking.server.packed,
        gateway_ip=request.gateway_ip, hardware_address=request.hardware_address, boot_file=file if len(file) <= 127 else b"",
    )
    return finish(message, asking, first)


def refusal(asking: Asking, text: str) -> bytes:
    """A NAK (RFC 2131 table 3); through a relay it must be broadcast there (4.3.2)."""
    request = asking.request
    message = Message(
        REPLY, request.hardware_type, 0, request.transaction_id, 0,
        request.flags | (_BROADCAST_FLAG if asking.relay != NOBODY else 0),
        gateway_ip=request.gateway_ip, hardware_address=request.hardware_address,
    )
    return finish(message, asking, {MESSAGE_TYPE: bytes((NAK,)), SERVER_ID: asking.server.packed, TEXT: text.encode()})[0]


def finish(message: Message, asking: Asking, options: dict[int, bytes]) -> tuple[bytes, tuple[int, ...]]:
    """Add what every reply returns, and fit it into what the client takes."""
    request = asking.request
    limit = size_limit(asking)
    identity = request.option(CLIENT_ID)
    if identity is not None and request.message_type is not None:
        options[CLIENT_ID] = identity                       # RFC 6842 3
    relay = request.option(RELAY)
    return pack(replace(message, options=tuple(options.items())), limit, None if relay is None else (RELAY, relay))


def size_limit(asking: Asking) -> int:
    """How many bytes of message the client takes: option 57, never more than fits into one packet of the interface."""
    request = asking.request
    largest = asking.arrival.interface.mtu - _HEADERS
    if request.message_type is None:
        return BOOTP_LIMIT
    data = request.option(LARGEST_SIZE)
    wanted = int.from_bytes(data, "big") - _HEADERS if data is not None and len(data) == 2 else 0
    return max(SMALLEST_LIMIT, min(wanted, largest))


def name_in(request: Message) -> str:
    """What the client calls itself (option 12); printable, at most 63 signs."""
    name = decode_text(request.option(HOST_NAME) or b"")[:63]
    return name if name.isprintable() else ""


def _seconds(number: int) -> bytes:
    return min(number, 0xFFFFFFFF).to_bytes(4, "big")
