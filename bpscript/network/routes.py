"""A server behind a gateway, as a file name says it: `198.70.0.1/198.76.54.31:help.bpb` (language.md 4.2).

The original had no routing table: a name said through which router its packets go. Here a route to that one host stands in the
kernel's table as long as the file is open. That needs the right to change routes (root, as in the boot environment); without it the
routes of the host decide, and if they lead nowhere the error says so.
"""

from contextlib import suppress
from ipaddress import ip_address

from ..base.errors import NetworkError
from .sockets import resolve


class GatewayRoute:
    """The route to `host` through `gateway`, both names or addresses. Raises NetworkError for a gateway that cannot be one."""

    def __init__(self, host: str, gateway: str) -> None:
        from .netlink import add_host_route  # noqa: PLC0415 - only for those who use it

        self.refused = ""           # why there is no route of ours
        self._added = False
        family, (address, *_) = resolve(host, 0)
        other, (router, *_) = resolve(gateway, 0)
        if family != other:
            raise NetworkError(f"{host} cannot be reached through {gateway}: one is IPv4, the other IPv6")
        self._host, self._router = ip_address(address), ip_address(router)
        try:
            self._added = add_host_route(self._host, self._router)
        except NetworkError as error:
            self.refused = error.message

    def close(self) -> None:
        """Remove it."""
        from .netlink import remove_host_route  # noqa: PLC0415

        if self._added:
            self._added = False
            with suppress(NetworkError):        # it went with its interface
                remove_host_route(self._host, self._router)
