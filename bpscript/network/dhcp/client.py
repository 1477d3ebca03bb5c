"""The DHCP client of the boot environment (RFC 2131 4.4): time and packets in, packets and news out; no sockets.

    INIT ──start──> SELECTING ──offer──> REQUESTING ──ACK──> BOUND ──T1──> RENEWING ──T2──> REBINDING
                      ^  ^                 │  no answer        ^               │ ACK           │ ACK
                      │  └─────────────────┘  or NAK           └───────────────┴───────────────┘
                      └── NAK, or the lease is over ───────────────────────────────────────────┘

* A reply of a server that speaks only BOOTP binds at once, for ever.
* An offer with a script (option 155) is taken at once. Else the client waits a second for better ones, and for a proxyDHCP server
  (an offer without an address), whose boot options are joined with the lease.
* DISCOVER and REQUEST are sent again after 4, 8, 16, 32 and then every 64 seconds, each a second more or less (RFC 2131 4.1).
* ARP probing of RFC 2131 4.4.1 is left out: the server of a lab knows its addresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from ipaddress import IPv4Address, IPv4Interface
from random import Random

from ...base.errors import FormatError
from .actions import BROADCAST, NOBODY
from .boot_options import BOOT_FILE, IPXE, SCRIPT, TFTP_ADDRESS, TFTP_NAME, VARIABLES, unpack_variables
from .firmware import CLIENT_ID, MACHINE_ID, OUR_VENDOR_CLASS, VENDOR_CLASS
from .message import ACK, DISCOVER, MESSAGE_TYPE, NAK, OFFER, RELEASE, REPLY, REQUEST, REQUEST_ADDRESS, Message
from .options import OPTIONS
from .variables import variables_of

_MASK, _ROUTERS, _REQUESTED, _LEASE_TIME, _SERVER, _LIST, _SIZE, _RENEWAL, _REBINDING = 1, 3, 50, 51, 54, 55, 57, 58, 59
_BROADCAST_FLAG = 0x8000
_LARGEST_MESSAGE = 1472         # bytes of an IP datagram, as boot ROMs say
_FIRST_WAIT_S, _LONGEST_WAIT_S = 4.0, 64.0
_LEAST_RENEWAL_WAIT_S = 60.0    # RFC 2131 4.4.5
_MOST_REQUESTS = 4              # then back to DISCOVER: the server that offered is gone
_PROXY_WAIT_S = 1.0
_AFTER_REFUSAL_S = 2.0
_FOR_EVER = 0xFFFFFFFF          # RFC 2131 3.3
# Every option with a variable of its own (language.md section 7), and what else a boot needs.
_WANTED = bytes(sorted({code for code, option in OPTIONS.items() if option.variables and code not in {51, 53, 54, 58, 59}}
                       | {43, TFTP_NAME, BOOT_FILE, 97, 119, 121, TFTP_ADDRESS, SCRIPT, VARIABLES}))
_OF_PROXY = (SCRIPT, VARIABLES, TFTP_NAME, BOOT_FILE, TFTP_ADDRESS, IPXE)


@dataclass(frozen=True, slots=True)
class Transmit:
    """A UDP payload for port 67."""

    packet: bytes
    address: IPv4Address = BROADCAST


@dataclass(frozen=True, slots=True)
class Binding:
    """What the client was given. `message` is the reply, joined with that of a proxyDHCP server."""

    message: Message

    @property
    def address(self) -> IPv4Interface:
        """Its address, with the length of the network's prefix (RFC 791's classes when the server did not say)."""
        mask = self.message.option(_MASK)
        address = IPv4Address(self.message.your_ip)
        if mask is not None and len(mask) == 4:
            bits = f"{int.from_bytes(mask, 'big'):032b}"
            if "01" not in bits:
                return IPv4Interface((address, bits.count("1")))
        first = self.message.your_ip[0]
        return IPv4Interface((address, 8 if first < 128 else 16 if first < 192 else 24))

    @property
    def router(self) -> IPv4Address | None:
        """The first router."""
        routers = self.message.option(_ROUTERS)
        return IPv4Address(routers[:4]) if routers is not None and len(routers) >= 4 else None

    @property
    def variables(self) -> dict[str, str]:
        """Every variable that a script finds set: those of language.md section 7, and the machine's own of option 224."""
        return unpack_variables(self.message.option(VARIABLES) or b"") | variables_of(self.message)


@dataclass(frozen=True, slots=True)
class Lost:
    """The address must not be used any longer; the client looks for another."""

    reason: str


News = Transmit | Binding | Lost


class State(Enum):
    """RFC 2131 figure 5."""

    INIT = auto()
    SELECTING = auto()
    REQUESTING = auto()
    BOUND = auto()
    RENEWING = auto()
    REBINDING = auto()


class Client:
    """One interface's client. After each call `wake_at` is the time for the next `tick` (seconds; None: never)."""

    def __init__(self, hardware_address: bytes, random: Random, *, machine_id: bytes = b"", wanted: IPv4Address | None = None) -> None:
        """`machine_id` is the UUID of the machine (16 bytes), `wanted` an address it would like."""
        self._hardware_address = hardware_address
        self._random = random
        self._machine_id = machine_id
        self._wanted = wanted
        self._state = State.INIT
        self._transaction = 0
        self._began = 0.0           # of the exchange, for the field secs
        self._attempt = 0
        self._offer: Message | None = None
        self._proxy: Message | None = None
        self._lease: Message | None = None
        self._times = (0.0, 0.0, 0.0)       # T1, T2 and the end
        self.wake_at: float | None = None

    @property
    def state(self) -> State:
        """Where in the picture it is."""
        return self._state

    def start(self, now: float) -> Sequence[News]:
        """Look for an address."""
        self._state = State.SELECTING
        self._transaction = self._random.getrandbits(32)
        self._began, self._attempt = now, 0
        self._offer = self._proxy = self._lease = None
        return self._discover(now)

    def receive(self, packet: bytes, now: float) -> Sequence[News]:
        """A packet to port 68; what is not for us, or not expected now, is passed over."""
        try:
            message = Message.parse(packet)
        except FormatError:
            return []
        if message.operation != REPLY or message.transaction_id != self._transaction or message.hardware_address != self._hardware_address:
            return []
        if self._state is State.SELECTING:
            return self._offered(message, now)
        if self._state in {State.REQUESTING, State.RENEWING, State.REBINDING}:
            return self._answered(message, now)
        return []

    def tick(self, now: float) -> Sequence[News]:
        """The time `wake_at` has come."""
        if self.wake_at is None or now < self.wake_at:
            return []
        if self._state is State.SELECTING:
            return self._discover(now) if self._offer is None else self._select(now)
        if self._state is State.REQUESTING:
            return self.start(now) if self._attempt >= _MOST_REQUESTS else self._request(now)
        renewal, rebinding, end = self._times
        if now >= end:
            return [Lost("the lease is over"), *self.start(now)]
        if now >= rebinding:
            return self._renew(State.REBINDING, end, now)
        return self._renew(State.RENEWING, rebinding, now) if now >= renewal else []

    def release(self) -> Sequence[News]:
        """Give the address back and stop."""
        lease, self._state, self.wake_at = self._lease, State.INIT, None
        server = None if lease is None else lease.option(_SERVER)
        if lease is None or server is None or len(server) != 4:
            return []
        message = self._message(RELEASE, self._began, {_SERVER: server}, client_ip=lease.your_ip)
        return [Transmit(replace(message, flags=0, options=tuple(each for each in message.options if each[0] != _LIST)).build(), IPv4Address(server))]

    # SELECTING

    def _discover(self, now: float) -> Sequence[News]:
        options = {} if self._wanted is None else {_REQUESTED: self._wanted.packed}
        self._retransmit_at(now)
        return [Transmit(self._message(DISCOVER, now, options).build())]

    def _offered(self, message: Message, now: float) -> Sequence[News]:
        kind = message.message_type
        if kind is None and any(message.your_ip):
            return self._bind(message, now)         # a server without DHCP
        if kind != OFFER or len(message.option(_SERVER) or b"") != 4:
            return []
        if not any(message.your_ip):
            vendor = message.option(VENDOR_CLASS) or b""
            if self._proxy is None and vendor.startswith((b"PXEClient", OUR_VENDOR_CLASS.encode())):
                self._proxy = message
            return self._select(now) if self._offer is not None and self._proxy is message else []
        has_script = message.option(SCRIPT) is not None
        if self._offer is None or has_script:
            self._offer = message
        if has_script or self._proxy is not None:
            return self._select(now)
        self.wake_at = now + _PROXY_WAIT_S
        return []

    def _select(self, now: float) -> Sequence[News]:
        self._state = State.REQUESTING
        self._attempt = 0
        return self._request(now)

    # REQUESTING

    def _request(self, now: float) -> Sequence[News]:
        assert self._offer is not None
        self._retransmit_at(now)
        options = {_REQUESTED: self._offer.your_ip, _SERVER: self._offer.option(_SERVER) or b""}
        return [Transmit(self._message(REQUEST_ADDRESS, now, options).build())]

    def _answered(self, message: Message, now: float) -> Sequence[News]:
        if self._state is State.REQUESTING and self._offer is not None and message.option(_SERVER) != self._offer.option(_SERVER):
            return []               # another server that refuses what we did not ask it for
        if message.message_type == ACK and any(message.your_ip):
            return self._bind(message, now)
        if message.message_type == NAK:
            had_address = self._lease is not None
            self._state, self._offer, self._lease = State.SELECTING, None, None
            self._transaction = self._random.getrandbits(32)
            self._began, self._attempt, self.wake_at = now, 0, now + _AFTER_REFUSAL_S
            return [Lost("the server refused the address")] if had_address else []
        return []

    # BOUND and after

    def _bind(self, message: Message, now: float) -> Sequence[News]:
        self._state, self._lease = State.BOUND, message
        lease_s = _seconds(message, _LEASE_TIME, _FOR_EVER)
        if lease_s == _FOR_EVER:
            self.wake_at = None
        else:
            rebinding = min(_seconds(message, _REBINDING, lease_s * 7 // 8), lease_s)
            renewal = min(_seconds(message, _RENEWAL, lease_s // 2), rebinding)
            self._times = (now + renewal, now + rebinding, now + lease_s)
            self.wake_at = self._times[0]
        return [Binding(_joined(message, self._proxy))]

    def _renew(self, state: State, until: float, now: float) -> Sequence[News]:
        assert self._lease is not None
        if self._state is not state:
            self._state, self._began = state, now
            self._transaction = self._random.getrandbits(32)
        # RFC 2131 4.4.5: half of the time that is left, at least a minute
        self.wake_at = min(until, now + max(_LEAST_RENEWAL_WAIT_S, (until - now) / 2))
        message = replace(self._message(REQUEST_ADDRESS, now, {}, client_ip=self._lease.your_ip), flags=0)
        server = self._lease.option(_SERVER) or b""
        by_unicast = state is State.RENEWING and len(server) == 4 and server != NOBODY.packed
        return [Transmit(message.build(), IPv4Address(server) if by_unicast else BROADCAST)]

    def _retransmit_at(self, now: float) -> None:
        wait_s = min(_FIRST_WAIT_S * 2**self._attempt, _LONGEST_WAIT_S)
        self._attempt = min(self._attempt + 1, 16)
        self.wake_at = now + wait_s + self._random.uniform(-1, 1)

    def _message(self, kind: int, now: float, options: dict[int, bytes], *, client_ip: bytes = bytes(4)) -> Message:
        given = {
            MESSAGE_TYPE: bytes((kind,)), **options,
            CLIENT_ID: b"\1" + self._hardware_address,
            _SIZE: _LARGEST_MESSAGE.to_bytes(2, "big"),
            VENDOR_CLASS: OUR_VENDOR_CLASS.encode(),
            _LIST: _WANTED,
        }
        if self._machine_id:
            given[MACHINE_ID] = b"\0" + self._machine_id
        return Message(
            REQUEST, 1, 0, self._transaction, min(0xFFFF, max(0, int(now - self._began))), _BROADCAST_FLAG,
            client_ip=client_ip, hardware_address=self._hardware_address, options=tuple(given.items()),
        )


def _joined(lease: Message, proxy: Message | None) -> Message:
    """The lease with the boot options of a proxyDHCP server, unless the lease brings a script of its own."""
    if proxy is None or lease.option(SCRIPT) is not None:
        return lease
    added = {code: data for code, data in proxy.options if code in _OF_PROXY}
    kept = {code: data for code, data in lease.options if code not in added}
    return replace(
        lease, server_ip=proxy.server_ip if any(proxy.server_ip) else proxy.option(_SERVER) or lease.server_ip,
        boot_file=proxy.boot_file or lease.boot_file, options=tuple((kept | added).items()),
    )


def _seconds(message: Message, code: int, default: int) -> int:
    data = message.option(code)
    return int.from_bytes(data, "big") if data is not None and len(data) == 4 else default
