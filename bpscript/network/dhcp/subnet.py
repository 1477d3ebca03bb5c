"""A network that is served: its addresses and what everybody on it is told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from ...base.errors import UsageError

LARGEST_POOL = 1 << 17      # addresses; leases are kept in memory too
DEFAULT_LEASE_S = 12 * 3600
_ROUTERS = 3                # option, RFC 2132 3.5


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses that may be given away; both ends included, as people write them."""

    first: IPv4Address
    last: IPv4Address

    @classmethod
    def parse(cls, text: str) -> "AddressRange":
        """`10.0.0.100-10.0.0.199`, `10.0.0.100-199` or one address. Raises UsageError."""
        first_text, dash, last_text = (part.strip() for part in text.partition("-"))
        if dash and last_text.isdecimal():
            last_text = f"{first_text.rpartition('.')[0]}.{last_text}"
        try:
            first = IPv4Address(first_text)
            last = IPv4Address(last_text) if dash else first
        except ValueError as error:
            raise UsageError(f'"{text}" is no range of IPv4 addresses', hint="for example 10.0.0.100-10.0.0.199") from error
        if last < first:
            raise UsageError(f'the range "{text}" ends before it begins')
        if int(last) - int(first) >= LARGEST_POOL:
            raise UsageError(f'the range "{text}" has {int(last) - int(first) + 1} addresses, at most {LARGEST_POOL} are possible')
        return cls(first, last)

    def some(self, count: int) -> list[IPv4Address]:
        """The first few."""
        return [self.first + number for number in range(min(count, len(self)))]

    def __contains__(self, address: IPv4Address) -> bool:
        return self.first <= address <= self.last

    def __len__(self) -> int:
        return int(self.last) - int(self.first) + 1


@dataclass(frozen=True, slots=True)
class Subnet:
    """One network. `options` are sent to who asks for them; option 1 (mask) and 28 (broadcast) follow from `network`."""

    network: IPv4Network
    ranges: tuple[AddressRange, ...] = ()
    options: Mapping[int, bytes] = field(default_factory=dict)
    lease_s: int = DEFAULT_LEASE_S

    def __post_init__(self) -> None:
        for each in self.ranges:
            if each.first not in self.network or each.last not in self.network:
                raise UsageError(f"the range {each.first}-{each.last} is not in the network {self.network}")

    def may_give(self, address: IPv4Address) -> bool:
        """True for an address of the pool that a machine can have."""
        return any(address in each for each in self.ranges) and not self.is_special(address)

    @property
    def routers(self) -> list[IPv4Address]:
        """Those that option 3 names."""
        named = self.options.get(_ROUTERS, b"")
        return [IPv4Address(named[at : at + 4]) for at in range(0, len(named) - 3, 4)]

    def is_special(self, address: IPv4Address) -> bool:
        """True for the names of the network itself and of all its machines."""
        return self.network.prefixlen < 31 and address in {self.network.network_address, self.network.broadcast_address}


def addresses(options: Iterable[IPv4Address]) -> bytes:
    """An option of IPv4 addresses."""
    return b"".join(each.packed for each in options)
