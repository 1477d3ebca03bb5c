"""A client without a network: builds requests, hands them to a core, takes the reply apart."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from bpscript.base.events import Event
from bpscript.network.dhcp.actions import Action, Arrival, Send
from bpscript.network.dhcp.message import DECLINE, DISCOVER, INFORM, RELEASE, REQUEST, REQUEST_ADDRESS, Message
from bpscript.network.dhcp.plan import BootPolicy, Directory
from bpscript.network.dhcp.pool import Pool
from bpscript.network.dhcp.server import Server, Settings
from bpscript.network.dhcp.subnet import AddressRange, Subnet
from bpscript.network.interface import Interface

OURS = IPv4Address("10.0.0.1")
INTERFACE = Interface("lan0", OURS, 24, bytes.fromhex("020000000001"), 1500, 7)
NETWORK = IPv4Network("10.0.0.0/24")
ARRIVAL = Arrival(INTERFACE)
START = 1_800_000_000.0


def subnet(pool: str = "10.0.0.100-10.0.0.109", lease_s: int = 3600, options: dict[int, bytes] | None = None) -> Subnet:
    return Subnet(NETWORK, (AddressRange.parse(pool),), options if options is not None else {3: OURS.packed}, lease_s)


def server(
    *subnets: Subnet, pool: Pool | None = None, directory: Directory | None = None, policy: BootPolicy | None = None
) -> Server:
    return Server(Settings(subnets or (subnet(),), policy or BootPolicy()), pool, directory)


def mac_of(number: int) -> bytes:
    return b"\x02\0\0" + number.to_bytes(3, "big")


@dataclass
class Machine:
    """One machine in front of a server; keeps what it was given."""

    server: Server
    mac: bytes = mac_of(1)
    options: dict[int, bytes] = field(default_factory=dict)
    arrival: Arrival = ARRIVAL
    relay: bytes = bytes(4)
    flags: int = 0
    events: list[Event] = field(default_factory=list)
    sent: Send | None = None
    now: float = START

    def ask(self, kind: int | None, client_ip: IPv4Address | None = None, /, **options: bytes) -> Message | None:
        """Send a message; options are written `o50=...`. Returns the reply."""
        given = {} if kind is None else {53: bytes((kind,))}
        given |= self.options | {int(name[1:]): data for name, data in options.items()}
        request = Message(
            REQUEST, 1, 0, 0x1234, 0, self.flags, hardware_address=self.mac, gateway_ip=self.relay, options=tuple(given.items()),
            client_ip=bytes(4) if client_ip is None else client_ip.packed,
        )
        return self.take(self.server.receive(request.build(), self.arrival, self.now))

    def take(self, actions: Sequence[Action]) -> Message | None:
        self.events += [each for each in actions if isinstance(each, Event)]
        sent = [each for each in actions if isinstance(each, Send)]
        assert len(sent) <= 1
        self.sent = sent[0] if sent else None
        return None if self.sent is None else Message.parse(self.sent.packet)

    def discover(self, **options: bytes) -> Message | None:
        return self.ask(DISCOVER, **options)

    def select(self, offer: Message, **options: bytes) -> Message | None:
        return self.ask(REQUEST_ADDRESS, **(options | {"o54": offer.option(54) or b"", "o50": offer.your_ip}))

    def boot(self, **options: bytes) -> Message:
        """DISCOVER and REQUEST; the ACK."""
        offer = self.discover(**options)
        assert offer is not None
        ack = self.select(offer, **options)
        assert ack is not None
        assert ack.message_type == 5, "refused"
        return ack

    def renew(self, address: IPv4Address) -> Message | None:
        return self.ask(REQUEST_ADDRESS, address)

    def reboot(self, address: IPv4Address) -> Message | None:
        return self.ask(REQUEST_ADDRESS, o50=address.packed)

    def release(self, address: IPv4Address) -> None:
        assert self.ask(RELEASE, address, o54=OURS.packed) is None

    def decline(self, address: IPv4Address) -> None:
        assert self.ask(DECLINE, o50=address.packed, o54=OURS.packed) is None

    def inform(self, address: IPv4Address) -> Message | None:
        return self.ask(INFORM, address)

    @property
    def texts(self) -> list[str]:
        return [str(each.data["text"]) for each in self.events]

    @property
    def happened(self) -> list[str]:
        return [str(each.data.get("action", each.kind)) for each in self.events]


def another(machine: Machine, number: int) -> Machine:
    """A machine with another hardware address in front of the same server."""
    return replace(machine, mac=mac_of(number), events=[], sent=None)


def address_of(reply: Message | None) -> IPv4Address:
    assert reply is not None
    return IPv4Address(reply.your_ip)
