"""The DHCP and BOOTP server (RFC 2131, RFC 951, RFC 1542): requests in, replies and events out; no sockets, time is an argument.

    DISCOVER   an address is kept for the client for a minute and offered
    REQUEST    SELECTING   names a server: if it is us the address is bound, else our offer is forgotten
               INIT-REBOOT asks for an address it had: bound, refused when it cannot be right, no answer when we know nothing
               RENEWING, REBINDING  has an address (ciaddr) and keeps it, unless somebody else has it
    DECLINE    somebody unknown uses the address: quarantine
    RELEASE    given back; remembered for the client's next visit
    INFORM     has an address of its own: options only
    BOOTP      no option 53: an address for long, without being asked twice

Whatever a packet holds, the answer is a list of actions, perhaps empty; the pool and the limiter are bounded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from ...base.errors import FormatError
from ...base.events import Event, Kind
from .actions import (
    NOBODY,
    Action,
    Arrival,
    Asking,
    Ports,
    boot_event,
    destination,
    is_answerable,
    lease_event,
    name_of,
)
from .answers import RELAY, SERVER_ID, name_in, refusal, reply
from .boot_options import suboptions
from .firmware import Firmware, client_of
from .limits import Limiter
from .message import ACK, DECLINE, DISCOVER, INFORM, OFFER, RELEASE, REQUEST_ADDRESS, Message
from .plan import BootPolicy, Directory, NoDirectory
from .pool import OFFER_S, Lease, Pool, State
from .subnet import Subnet

_REQUESTED, _SUBNET_SELECTION, _LINK_SELECTION = 50, 118, 5     # RFC 2132 9.1, RFC 3011, RFC 3527 (in option 82)
BOOTP_LEASE_S = 7 * 24 * 3600
_MOST_REMEMBERED = 4096     # machines whose last boot line is kept, so that it is not said again
_PI_OFFER_S = 600.0         # Raspberry Pi's ROM uses an offered address without asking for it


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is told. `subnets` may be other networks too, which relays ask for."""

    subnets: tuple[Subnet, ...]
    policy: BootPolicy = field(default_factory=BootPolicy)
    ports: Ports = field(default_factory=Ports)


class Server:
    """The server's core."""

    def __init__(self, settings: Settings, pool: Pool | None = None, directory: Directory | None = None) -> None:
        self._settings = settings
        self._pool = pool if pool is not None else Pool()
        self._directory = directory if directory is not None else NoDirectory()
        self._limiter = Limiter()
        self._booted: dict[bytes, str] = {}         # what the log knows already
        self._answers: Mapping[int | None, Callable[[Asking, Subnet, float], list[Action]]] = {
            None: self._bootp, DISCOVER: self._discover, REQUEST_ADDRESS: self._request, DECLINE: self._decline,
            RELEASE: self._release, INFORM: self._inform,
        }

    @property
    def pool(self) -> Pool:
        """The leases."""
        return self._pool

    def receive(self, packet: bytes, arrival: Arrival, now: float) -> Sequence[Action]:
        """What one packet to port 67 leads to; `now` in seconds since 1970. Raises StorageError when a lease cannot be written."""
        try:
            request = Message.parse(packet)
        except FormatError:
            return []
        answer = self._answers.get(request.message_type)
        if answer is None or not is_answerable(request):
            return []
        client = client_of(request)
        if not self._limiter.allow(client.hardware_address or client.identity, now):
            return []
        plan = self._directory.plan_for(client)
        asking = Asking(request, client, plan, arrival)
        subnet = self._subnet_of(asking)
        if subnet is None:
            return []
        if plan.ignore:
            if request.message_type not in {DISCOVER, None}:
                return []
            return [lease_event("ignored", asking, None, now, f"{name_of(asking)} asks for an address and is ignored, as the hosts file says")]
        return answer(asking, subnet, now)

    def _subnet_of(self, asking: Asking) -> Subnet | None:
        """The network a client is on: what a relay or the client says (RFC 3527, RFC 3011), giaddr, else that of the interface."""
        request = asking.request
        link = suboptions(request.option(RELAY) or b"").get(_LINK_SELECTION) or request.option(_SUBNET_SELECTION)
        if asking.relay != NOBODY or link is not None:
            place = IPv4Address(link) if link is not None and len(link) == 4 else asking.relay
        else:
            place = asking.server
        return next((each for each in self._subnets() if place in each.network), None)

    def _subnets(self) -> tuple[Subnet, ...]:
        """Those of the directory first; one without a pool of its own has that of the settings."""
        pools = {each.network: each.ranges for each in self._settings.subnets}
        named = (each if each.ranges else replace(each, ranges=pools.get(each.network, ())) for each in self._directory.networks())
        return (*named, *self._settings.subnets)

    # The answers to each kind of message.

    def _discover(self, asking: Asking, subnet: Subnet, now: float) -> list[Action]:
        identity = asking.client.identity
        address = self._address_for(asking, subnet, _address_in(asking.request, _REQUESTED), now)
        if address is None:
            return [self._exhausted(asking, subnet, now)]
        held = self._pool.lease(address)
        if held is None or held.identity != identity or held.state is not State.BOUND or not held.holds(now):
            self._pool.drop_offers(identity, now, but=address)
            keep_s = _PI_OFFER_S if asking.client.firmware is Firmware.RASPBERRY_PI else OFFER_S
            self._pool.offer(self._lease(asking, address, now + keep_s))
        lease_s = self._lease_s(asking, subnet)
        actions, boot_file = self._answer(asking, subnet, OFFER, address, now, lease_s=lease_s)
        text = f"{address} offered to {name_of(asking)}"
        actions.append(lease_event("offered", asking, address, now, text, lease_s=lease_s))
        if asking.client.firmware is Firmware.RASPBERRY_PI:
            actions += self._boot_line(asking, address, boot_file, now)
        return actions

    def _request(self, asking: Asking, subnet: Subnet, now: float) -> list[Action]:
        request = asking.request
        server = _address_in(request, SERVER_ID)
        wanted = _address_in(request, _REQUESTED)
        current = IPv4Address(request.client_ip)
        if server is not None:
            if server != asking.server:
                self._pool.drop_offers(asking.client.identity, now)
                return []
            return self._select(asking, subnet, wanted or current, now)
        if wanted is not None and current == NOBODY:
            return self._reboot(asking, subnet, wanted, now)
        if current != NOBODY:
            return self._renew(asking, subnet, current, now)
        return []

    def _select(self, asking: Asking, subnet: Subnet, wanted: IPv4Address, now: float) -> list[Action]:
        if self._may_have(asking, subnet, wanted, now):
            return self._bind(asking, subnet, wanted, now)
        return self._refuse(asking, now, wanted, "the address is not yours")

    def _reboot(self, asking: Asking, subnet: Subnet, wanted: IPv4Address, now: float) -> list[Action]:
        """RFC 2131 4.3.2: a wrong network is refused; of clients without a record nothing is said."""
        if wanted not in subnet.network:
            return self._refuse(asking, now, wanted, "the address is of another network")
        if self._pool.lease_of(asking.client.identity, subnet) is None and asking.plan.address is None:
            return []
        return self._select(asking, subnet, wanted, now)

    def _renew(self, asking: Asking, subnet: Subnet, current: IPv4Address, now: float) -> list[Action]:
        """A client that has an address and wants to keep it; one without a record gets it if it is free, so a lost database heals."""
        if asking.relay == NOBODY and current not in subnet.network:
            own = next((each for each in self._subnets() if current in each.network), None)
            if own is None:
                return []       # RFC 2131 4.3.2: it reached us by unicast, from a network that is not ours to judge
            subnet = own
        if self._may_have(asking, subnet, current, now):
            return self._bind(asking, subnet, current, now)
        return self._refuse(asking, now, current, "the address is not yours")

    def _decline(self, asking: Asking, subnet: Subnet, now: float) -> list[Action]:
        address = _address_in(asking.request, _REQUESTED)
        lease = None if address is None else self._pool.lease(address)
        if lease is None or address is None or lease.identity != asking.client.identity:
            return []           # only who was given an address can know that it is in use
        if _address_in(asking.request, SERVER_ID) not in {None, asking.server} or lease.state is State.RELEASED:
            return []
        self._pool.decline(address, subnet, now)
        text = f"{address} is used by somebody else, says {name_of(asking)}: nobody gets it for a while"
        return [lease_event("declined", asking, address, now, text)]

    def _release(self, asking: Asking, subnet: Subnet, now: float) -> list[Action]:
        address = IPv4Address(asking.request.client_ip)
        lease = self._pool.lease(address)
        if lease is None or lease.identity != asking.client.identity or lease.state is not State.BOUND:
            return []
        self._pool.release(lease, now)
        return [lease_event("released", asking, address, now, f"{address} released by {name_of(asking)}")]

    def _inform(self, asking: Asking, subnet: Subnet, now: float) -> list[Action]:
        address = IPv4Address(asking.request.client_ip)
        if address not in subnet.network:
            return []           # never a packet to an address that somebody made up (RFC 2131 4.3.5 has the client give its own)
        actions, boot_file = self._answer(asking, subnet, ACK, NOBODY, now, lease_s=None)
        text = f"{address} ({name_of(asking)}) has its own address and is told the rest"
        actions.append(lease_event("informed", asking, address, now, text))
        return actions + self._boot_line(asking, address, boot_file, now)

    def _bootp(self, asking: Asking, subnet: Subnet, now: float) -> list[Action]:
        """RFC 1534 2: a client without DHCP gets its address at once."""
        own = IPv4Address(asking.request.client_ip)
        if own != NOBODY:       # it knows its address and wants the boot file (RFC 951 7.1)
            if own not in subnet.network:
                return []
            actions, boot_file = self._answer(asking, subnet, None, own, now, lease_s=None)
            return actions + self._boot_line(asking, own, boot_file, now)
        address = self._address_for(asking, subnet, None, now)
        if address is not None and asking.plan.address is None:
            mine = self._pool.lease_of(asking.client.identity, subnet)
            most = sum(map(len, subnet.ranges)) // 2
            if (mine is None or not mine.holds(now)) and self._pool.bootp_count(subnet, now) >= most:
                address = None
        if address is None:
            return [self._exhausted(asking, subnet, now)]
        self._pool.bind(self._lease(asking, address, now + BOOTP_LEASE_S, is_bootp=True))
        actions, boot_file = self._answer(asking, subnet, None, address, now, lease_s=None)
        text = f"{address} given to {name_of(asking)}, which speaks BOOTP only"
        actions.append(lease_event("bound", asking, address, now, text, lease_s=BOOTP_LEASE_S))
        return actions + self._boot_line(asking, address, boot_file, now)

    # What they are made of.

    def _address_for(self, asking: Asking, subnet: Subnet, wanted: IPv4Address | None, now: float) -> IPv4Address | None:
        identity = asking.client.identity
        fixed = asking.plan.address
        if fixed is not None and fixed in subnet.network and self._is_free_for_entry(asking, fixed, now):
            return fixed
        return self._pool.find(subnet, identity, wanted, self._others(asking, subnet), now)

    def _may_have(self, asking: Asking, subnet: Subnet, address: IPv4Address, now: float) -> bool:
        if address not in subnet.network:
            return False
        if address == asking.plan.address:
            return self._is_free_for_entry(asking, address, now)
        fixed = asking.plan.address
        if fixed is not None and fixed in subnet.network and self._is_free_for_entry(asking, fixed, now):
            return False        # it shall come to its own
        if address in self._others(asking, subnet) or not subnet.may_give(address):
            return False
        return self._pool.is_free_for(address, asking.client.identity, now)

    def _others(self, asking: Asking, subnet: Subnet) -> "_Others":
        return _Others(self._directory.reserved(), frozenset((asking.server, asking.relay, *subnet.routers)))

    def _is_free_for_entry(self, asking: Asking, fixed: IPv4Address, now: float) -> bool:
        """The address of an entry goes to whoever is the entry: two cards of a machine, its boot ROM and its system. Not while a
        stranger has it, whose lease is older than the entry."""
        lease = self._pool.lease(fixed)
        return lease is None or not lease.holds(now) or asking.client.identity == lease.identity or asking.plan.name == lease.host

    def _bind(self, asking: Asking, subnet: Subnet, address: IPv4Address, now: float) -> list[Action]:
        identity = asking.client.identity
        before = self._pool.lease(address)
        is_renewed = before is not None and before.identity == identity and before.state is State.BOUND and before.holds(now)
        lease_s = self._lease_s(asking, subnet)
        other = self._pool.lease_of(identity, subnet)
        if other is not None and other.address != address and other.holds(now):
            self._pool.release(other, now)      # one address for each client of a network
        self._pool.bind(self._lease(asking, address, now + lease_s))
        actions, boot_file = self._answer(asking, subnet, ACK, address, now, lease_s=lease_s)
        action = "renewed" if is_renewed else "bound"
        text = f"{address} {'kept by' if is_renewed else 'given to'} {name_of(asking)} for {lease_s} s"
        actions.append(lease_event(action, asking, address, now, text, lease_s=lease_s))
        return actions + self._boot_line(asking, address, boot_file, now)

    def _answer(
        self, asking: Asking, subnet: Subnet, kind: int | None, address: IPv4Address, now: float, *, lease_s: int | None
    ) -> tuple[list[Action], str]:
        """The reply on its way, with a warning when options had no room; and the boot file in it."""
        boot_file = self._settings.policy.choose(asking.client, asking.plan, asking.server)
        packet, left_behind = reply(asking, subnet, kind, address, boot_file, lease_s=lease_s)
        actions: list[Action] = [destination(asking, packet, address, self._settings.ports)]
        if left_behind and kind in {ACK, None}:
            codes = ", ".join(str(code) for code in left_behind)
            text = f"the reply to {name_of(asking)} has no room for option {codes}: the client takes {len(packet)} bytes"
            actions.append(Event(Kind.WARNING, {"text": text}, now))
        return actions, boot_file

    def _boot_line(self, asking: Asking, address: IPv4Address, boot_file: str, now: float) -> list[Action]:
        """What a machine boots; nothing of clients that boot nothing, and of renewals by our boot environment once."""
        client = asking.client
        if client.firmware is None and not client.is_ours:
            return []
        value = f"{client.firmware}\0{boot_file}\0{asking.plan.script}"
        is_known = self._booted.pop(client.hardware_address, None) == value
        self._booted[client.hardware_address] = value
        if len(self._booted) > _MOST_REMEMBERED:
            del self._booted[next(iter(self._booted))]
        return [] if is_known and client.is_ours else [boot_event(asking, address, boot_file, now)]

    def _refuse(self, asking: Asking, now: float, address: IPv4Address, why: str) -> list[Action]:
        packet = refusal(asking, why)
        send = destination(asking, packet, NOBODY, self._settings.ports, is_refusal=True)
        return [send, lease_event("refused", asking, address, now, f"{address} refused to {name_of(asking)}: {why}")]

    def _exhausted(self, asking: Asking, subnet: Subnet, now: float) -> Event:
        return lease_event("exhausted", asking, None, now, f"no address is free in {subnet.network} for {name_of(asking)}")

    def _lease_s(self, asking: Asking, subnet: Subnet) -> int:
        """The time a client asks for, if it is shorter than ours; a minute at least."""
        data = asking.request.option(51)
        wanted = int.from_bytes(data, "big") if data is not None and len(data) == 4 else subnet.lease_s
        return min(subnet.lease_s, max(60, wanted))

    def _lease(self, asking: Asking, address: IPv4Address, expires: float, *, is_bootp: bool = False) -> Lease:
        client = asking.client
        host = asking.plan.name or name_in(asking.request)
        return Lease(address, client.identity, client.hardware_address, State.BOUND, expires, host, is_bootp)


@dataclass(frozen=True, slots=True)
class _Others:
    """Addresses that stand in a pool and are not for its clients: those of entries, the server's own, the relay's and the routers'."""

    entries: Mapping[IPv4Address, str]
    stations: frozenset[IPv4Address]

    def __contains__(self, address: object) -> bool:
        return address in self.stations or address in self.entries


def _address_in(request: Message, code: int) -> IPv4Address | None:
    data = request.option(code)
    return IPv4Address(data) if data is not None and len(data) == 4 and any(data) else None
