"""The kernel's tables of interfaces and addresses: asked, and in the boot environment set.

Source: rtnetlink(7), netlink(7), linux/rtnetlink.h, linux/if_addr.h, linux/if_link.h. Numbers are in the byte order of the host.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from ..base.errors import NetworkError
from .interface import Interface

_HEADER = struct.Struct("=IHHII")       # nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")        # ifinfomsg: family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")      # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")    # rtmsg: family, to and from prefix length, tos, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")       # rtattr: length, type
_ERROR, _DONE = 2, 3
_NEW_LINK, _GET_LINK, _NEW_ADDRESS, _GET_ADDRESS, _NEW_ROUTE, _DELETE_ROUTE = 16, 18, 20, 22, 24, 25
_REQUEST, _ACKNOWLEDGE, _DUMP, _REPLACE, _EXCLUSIVE, _CREATE = 1, 4, 0x300, 0x100, 0x200, 0x400
_UP = 1                                 # IFF_UP
_MAIN_TABLE, _BOOT_PROTOCOL, _UNIVERSE, _UNICAST = 254, 3, 0, 1


def interfaces() -> list[Interface]:
    """Every IPv4 address of every interface that is up, in the kernel's order. Raises NetworkError."""
    links: dict[int, tuple[str, bytes, int]] = {}
    for body in _ask(_GET_LINK, _REQUEST | _DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, _, index, flags, _ = _LINK.unpack_from(body)
        found = _attributes(body[_LINK.size :])
        if flags & _UP:
            name = found.get(3, b"").rstrip(b"\0").decode("utf-8", "surrogateescape")
            links[index] = name, found.get(1, b""), int.from_bytes(found.get(4, b"\xdc\x05\0\0"), sys.byteorder)
    result = []
    for body in _ask(_GET_ADDRESS, _REQUEST | _DUMP, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
        family, prefix_length, _, _, index = _ADDRESS.unpack_from(body)
        found = _attributes(body[_ADDRESS.size :])
        local = found.get(2) or found.get(1)
        if family == socket.AF_INET and index in links and local is not None and len(local) == 4:
            name, hardware_address, mtu = links[index]
            result.append(Interface(name, IPv4Address(local), prefix_length, hardware_address, mtu, index))
    return result


def interfaces_named(name: str) -> list[Interface]:
    """The addresses of one interface. Raises NetworkError when there is no such interface or it has none."""
    found = [each for each in interfaces() if each.name == name]
    if not found:
        names = ", ".join(dict.fromkeys(each.name for each in interfaces()))
        raise NetworkError(f'no interface "{name}" is up with an IPv4 address', hint=f"there are: {names}" if names else None)
    return found


def interface_with(address: IPv4Address) -> Interface:
    """The interface that has this address. Raises NetworkError."""
    for each in interfaces():
        if each.address == address:
            return each
    raise NetworkError(f"{address} is no address of this machine", hint="it has " + ", ".join(str(each.address) for each in interfaces()))


def bring_up(name: str) -> None:
    """Make an interface carry packets. Raises NetworkError."""
    try:
        _change(_NEW_LINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, _index(name), _UP, _UP), f"the interface {name} cannot be brought up")
    except NetworkError as error:
        if _reason(error) != errno.ENOENT:
            raise
        # What drivers say when request_firmware() has found nothing.
        raise NetworkError(
            f"the interface {name} cannot be brought up: its driver does not find the card's firmware", hint="bpscript boot build --firmware takes it along; dmesg in a shell names the file"
        ) from error


def set_address(name: str, address: IPv4Interface, router: IPv4Address | None = None) -> None:
    """Give an interface its address, and the machine its default route. Raises NetworkError."""
    index = _index(name)
    network = address.network
    body = _ADDRESS.pack(socket.AF_INET, network.prefixlen, 0, _UNIVERSE, index) + _attribute(2, address.ip.packed) + _attribute(1, address.ip.packed)
    if network.prefixlen < 31:
        body += _attribute(4, network.broadcast_address.packed)
    _change(_NEW_ADDRESS, _CREATE | _REPLACE, body, f"{name} cannot be given the address {address}")
    if router is not None:
        route = _ROUTE.pack(socket.AF_INET, 0, 0, 0, _MAIN_TABLE, _BOOT_PROTOCOL, _UNIVERSE, _UNICAST, 0)
        route += _attribute(5, router.packed) + _attribute(4, struct.pack("=I", index))
        _change(_NEW_ROUTE, _CREATE | _REPLACE, route, f"{router} cannot be made the router")


def add_host_route(address: IPv4Address | IPv6Address, router: IPv4Address | IPv6Address) -> bool:
    """Send packets for one host through a router. False when there is such a route already. Raises NetworkError."""
    try:
        _change(_NEW_ROUTE, _CREATE | _EXCLUSIVE, _host_route(address, router), f"{address} cannot be reached through {router}")
    except NetworkError as error:
        if _reason(error) == errno.EEXIST:
            return False
        raise
    return True


def remove_host_route(address: IPv4Address | IPv6Address, router: IPv4Address | IPv6Address) -> None:
    """Undo `add_host_route`. Raises NetworkError."""
    _change(_DELETE_ROUTE, 0, _host_route(address, router), f"the route to {address} cannot be removed")


def _host_route(address: IPv4Address | IPv6Address, router: IPv4Address | IPv6Address) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    head = _ROUTE.pack(family, address.max_prefixlen, 0, 0, _MAIN_TABLE, _BOOT_PROTOCOL, _UNIVERSE, _UNICAST, 0)
    return head + _attribute(1, address.packed) + _attribute(5, router.packed)


def hardware_address(name: str) -> bytes:
    """The address of an interface's card, also when it has no IP address or is down. Raises NetworkError."""
    wanted = _index(name)
    for body in _ask(_GET_LINK, _REQUEST | _DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        if _LINK.unpack_from(body)[2] == wanted:
            return _attributes(body[_LINK.size :]).get(1, b"")
    raise NetworkError(f'there is no interface "{name}"')


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        names = ", ".join(each for _, each in socket.if_nameindex())
        raise NetworkError(f'there is no interface "{name}"', hint=f"there are: {names}") from error


def _change(kind: int, flags: int, body: bytes, what: str) -> None:
    try:
        for _ in _ask(kind, _REQUEST | _ACKNOWLEDGE | flags, body):
            pass
    except NetworkError as error:
        raise NetworkError(f"{what}: {error.message}") from error


def _reason(error: NetworkError) -> int | None:
    """The kernel's number of an error of `_change`."""
    cause = error.__cause__.__cause__ if error.__cause__ is not None else None
    return cause.errno if isinstance(cause, OSError) else None


def _ask(kind: int, flags: int, body: bytes) -> Iterator[bytes]:
    """The bodies of the answers. Raises NetworkError with the kernel's reason."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as kernel:
        kernel.settimeout(5)
        try:
            kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
            while True:
                data = kernel.recv(1 << 17)
                position = 0
                while position + _HEADER.size <= len(data):
                    length, answer, _, _, _ = _HEADER.unpack_from(data, position)
                    content = data[position + _HEADER.size : position + length]
                    position += max(_HEADER.size, length + 3 & ~3)
                    if answer == _DONE:
                        return
                    if answer == _ERROR:
                        number = -struct.unpack_from("=i", content)[0]
                        if number:
                            raise OSError(number, os.strerror(number))
                        return
                    yield content
        except OSError as error:
            raise NetworkError(error.strerror or str(error)) from error


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    position = 0
    while position + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, position)
        if length < _ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = data[position + _ATTRIBUTE.size : position + length]
        position += length + 3 & ~3
    return found


def _attribute(kind: int, data: bytes) -> bytes:
    return (_ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data).ljust(_ATTRIBUTE.size + len(data) + 3 & ~3, b"\0")
