"""A network interface of this machine, as the protocol cores need it: names and addresses, no sockets."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address on one interface. `mtu` is bytes of an IP packet."""

    name: str
    address: IPv4Address
    prefix_length: int
    hardware_address: bytes = b""
    mtu: int = 1500
    index: int = 0

    @property
    def network(self) -> IPv4Network:
        """The network on this interface."""
        return IPv4Interface(f"{self.address}/{self.prefix_length}").network
