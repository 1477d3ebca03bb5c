"""What the server cores answer: packets with their destinations, and events for the log."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from ...base.events import Event, Kind, Value
from ..interface import Interface
from .boot_options import suboptions
from .firmware import Client
from .message import Message
from .plan import Plan

BROADCAST = IPv4Address("255.255.255.255")
NOBODY = IPv4Address(0)
_BROADCAST_FLAG = 0x8000        # RFC 2131 2
_RELAY, _RELAY_PORT = 82, 19    # RFC 3046, RFC 8357
HARDWARE_ETHERNET = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a request came: on which interface (with which of its addresses we answer), and from whom."""

    interface: Interface
    source: IPv4Address = NOBODY
    source_port: int = 68


@dataclass(frozen=True, slots=True)
class Send:
    """A UDP payload to send. With `hardware_address` the receiver has no address yet: no ARP, the frame goes there at once."""

    packet: bytes
    address: IPv4Address
    port: int
    hardware_address: bytes = b""


Action = Send | Event


@dataclass(frozen=True, slots=True)
class Ports:
    """RFC 951: 67 and 68; PXE 2.1 2.2.1: 4011. Others for tests and for unprivileged use."""

    server: int = 67
    client: int = 68
    proxy: int = 4011


@dataclass(frozen=True, slots=True)
class Asking:
    """One request with everything that is known about it."""

    request: Message
    client: Client
    plan: Plan
    arrival: Arrival

    @property
    def server(self) -> IPv4Address:
        """Our address towards this client."""
        return self.arrival.interface.address

    @property
    def relay(self) -> IPv4Address:
        """Field giaddr; 0.0.0.0 when the client is on our own network."""
        return IPv4Address(self.request.gateway_ip)


def is_answerable(request: Message) -> bool:
    """False for what no client sends: replies, loops of relays (RFC 1542 4.1.1), addresses of nobody or of everybody."""
    address = request.hardware_address
    if request.operation != 1 or request.hops > 16:
        return False
    if not address:
        return bool(request.option(61))         # RFC 4390: InfiniBand
    return any(address) and not (request.hardware_type == HARDWARE_ETHERNET and (len(address) != 6 or address[0] & 1))


def destination(asking: Asking, packet: bytes, your_ip: IPv4Address, ports: Ports, *, is_refusal: bool = False) -> Send:
    """Where a reply goes (RFC 2131 4.1): relay, address the client has, everybody, or its hardware address."""
    request = asking.request
    if asking.relay != NOBODY:
        return Send(packet, asking.relay, _relay_port(asking, ports))
    if is_refusal:
        return Send(packet, BROADCAST, ports.client)
    if any(request.client_ip):
        return Send(packet, IPv4Address(request.client_ip), ports.client)
    if request.flags & _BROADCAST_FLAG or request.hardware_type != HARDWARE_ETHERNET or your_ip == NOBODY:
        return Send(packet, BROADCAST, ports.client)
    return Send(packet, your_ip, ports.client, request.hardware_address)


def _relay_port(asking: Asking, ports: Ports) -> int:
    """RFC 8357 5.2: a relay that asks for it is answered where its packet came from."""
    information = suboptions(asking.request.option(_RELAY) or b"")
    return asking.arrival.source_port if _RELAY_PORT in information else ports.server


def lease_event(action: str, asking: Asking, address: IPv4Address | None, now: float, text: str, *, lease_s: int = 0) -> Event:
    """One line for the log about an address."""
    return Event(Kind.LEASE, _event_data(action, asking, address, text, {"seconds": lease_s}), now)


def boot_event(asking: Asking, address: IPv4Address | None, boot_file: str, now: float) -> Event:
    """One line for the log about what a machine is to boot."""
    firmware = asking.client.firmware
    what = f'boots "{boot_file}"' if boot_file else "has no boot file here"
    if firmware is None:
        what = "is our boot environment"
    script = f', script "{asking.plan.script}"' if asking.plan.script else ""
    text = f"{name_of(asking)}{f' ({firmware})' if firmware else ''} {what}{script}"
    more: dict[str, Value] = {"firmware": firmware.value if firmware else None, "file": boot_file, "script": asking.plan.script}
    return Event(Kind.BOOT_PROGRAM, _event_data("offered", asking, address, text, more), now)


def name_of(asking: Asking) -> str:
    """The machine as the log calls it."""
    mac = asking.client.mac or "a client without hardware address"
    return f"{asking.plan.name} [{mac}]" if asking.plan.name else mac


def _event_data(
    action: str, asking: Asking, address: IPv4Address | None, text: str, more: dict[str, Value]
) -> dict[str, Value]:
    return {
        "text": text, "action": action, "mac": asking.client.mac, "address": None if address is None else str(address),
        "host": asking.plan.name or None, "uuid": asking.client.uuid or None, "interface": asking.arrival.interface.name, **more,
    }
