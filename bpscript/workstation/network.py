"""The network: which interface, an address, and where the server's files are.

The interface that the machine was booted from is asked first (BOOTIF, nbp.interface), then every other with a cable, in order.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

from ..base.errors import BpscriptError, NetworkError
from ..base.events import Event, Kind, Sink, ignore
from ..machine.workstation.hardware import by_place
from ..network import netlink
from ..network.dhcp.obtain import Connection, obtain
from .parameters import Parameters, Passed

_INTERFACES_S = 15.0        # that buses (USB behind a hub) and drivers may take until there is an interface
_LOOK_S = 0.5               # between two looks for new devices
_LINK_S = 8.0               # that a switch may take until there is a link
_ETHERNET = "1"             # /sys/class/net/*/type, linux/if_arp.h
_HTTP_PORT = 80
_PROBE_S = 3.0
_RESOLVER = Path("/etc/resolv.conf")


@dataclass
class Network:
    """What was found out. `variables` are those of language.md section 7."""

    interface: str
    variables: Mapping[str, str] = field(default_factory=dict)
    connection: Connection | None = None

    @property
    def server(self) -> str:
        """The address of the server, "" when nobody said."""
        found = self.variables.get("BOOTP-Server-IP", "")
        return "" if found == "0.0.0.0" else found  # noqa: S104 - not an address to bind to

    def close(self) -> None:
        """Stop renewing the lease; the address stays."""
        if self.connection is not None:
            self.connection.close()


def connect(parameters: Parameters, sink: Sink = ignore, load_drivers: Callable[[], object] = lambda: None) -> Network:
    """An address from a DHCP server, or what the boot loader passed on; `load_drivers` for devices that have appeared meanwhile. Raises NetworkError."""
    names, is_wanted = _candidates(parameters.interface, sink, load_drivers)
    if not is_wanted:
        sink(Event(Kind.WARNING, {"text": f"there is no interface {parameters.interface}, which the machine was booted from: trying {', '.join(names)}"}))
    failure: BpscriptError | None = None
    if parameters.uses_dhcp:
        for name in names:
            sink(Event(Kind.NOTE, {"text": f"{name}: asking for an address"}))
            try:
                connection = obtain(name, timeout_s=parameters.dhcp_timeout_s if len(names) == 1 else parameters.dhcp_timeout_s / 2, sink=sink)
            except BpscriptError as error:
                failure = error
                if len(names) > 1:
                    sink(Event(Kind.WARNING, {"text": error.message}))
                continue
            connection.keep()
            return Network(name, connection.binding.variables, connection)
    if parameters.passed.address is not None:
        netlink.bring_up(names[0])
        netlink.set_address(names[0], parameters.passed.address, parameters.passed.router)
        return Network(names[0], _variables(parameters, netlink.hardware_address(names[0])))
    raise failure or NetworkError("there is no address: nbp.dhcp=off, and nbp.ip is missing")


def write_resolver(variables: Mapping[str, str], file: Path = _RESOLVER) -> None:
    """Let names of servers be found by the name servers of the DHCP reply; without one there are none. Source: resolv.conf(5)."""
    domain = variables.get("BOOTP-Domain-Name", "").split()[:1]
    servers = variables.get("BOOTP-Domain-name-Servers", "").split()
    lines = [*(f"search {each}" for each in domain), *(f"nameserver {each}" for each in servers)]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="replace")


def find_root(network: Network, parameters: Parameters, script: str) -> str:
    """The URL of the server's files: what was said, else the HTTP server that the boot file came from, else HTTP where it is found, else TFTP.

    Raises NetworkError when nobody says who the server is.
    """
    if parameters.root is not None:
        return parameters.root
    parts = urlsplit(network.variables.get("BOOTP-Bootfile", ""))
    if parts.scheme in {"http", "https"} and parts.netloc:
        return f"{parts.scheme}://{parts.netloc}/"
    if not network.server:
        raise NetworkError("no server: the DHCP reply names none", hint="give one on the kernel's command line: nbp.root=http://HOST/")
    if _answers_http(network.server, script):
        return f"http://{network.server}/"
    return f"tftp://{network.server}/"


def _answers_http(host: str, path: str) -> bool:
    from ..network.http.client import Client  # noqa: PLC0415 - the server mostly tells
    from ..network.http.urls import parse_url  # noqa: PLC0415

    with suppress(BpscriptError):
        reply = Client(_PROBE_S).fetch("HEAD", parse_url(f"http://{host}:{_HTTP_PORT}/{path}"), {}, b"")
        reply.close()
        return reply.status == 200
    return False


def _variables(parameters: Parameters, hardware_address: bytes) -> dict[str, str]:
    """What is known without a DHCP server of our own."""
    passed: Passed = parameters.passed
    assert passed.address is not None
    server: IPv4Address | None = passed.server
    found = {
        "BOOTP-Client-ID": hardware_address.hex().upper(),
        "BOOTP-Your-IP": str(passed.address.ip),
        "BOOTP-Subnet-Mask": str(passed.address.netmask),
        "BOOTP-Server-IP": "" if server is None else str(server),
        "BOOTP-Routers": "" if passed.router is None else str(passed.router),
        "BOOTP-Host-Name": passed.host_name,
        "BOOTP-Option-155": parameters.passed_script or "",
    }
    return {name: value for name, value in found.items() if value}


def _candidates(wanted: str | None, sink: Sink, load_drivers: Callable[[], object]) -> tuple[list[str], bool]:
    """Interfaces to ask on, the best first, and whether the one that is wanted is there. Raises NetworkError."""
    end = monotonic() + _INTERFACES_S
    while True:
        names = sorted(_ethernet(), key=lambda name: by_place((Path("/sys/class/net") / name).resolve()))
        chosen = [name for name in names if wanted is not None and wanted.lower() in {name, netlink.hardware_address(name).hex(":")}]
        if chosen or (names and wanted is None) or monotonic() >= end:
            break
        sleep(_LOOK_S)
        load_drivers()
    if not names:
        raise NetworkError("this machine has no network interface that a driver knows", hint="dmesg in a shell tells more; bpscript boot build takes other drivers (--kernel, --modules) and their firmware (--firmware)")
    works = _brought_up(names, sink)
    if chosen and chosen[0] in works:
        return chosen, True
    linked = _with_link(works)
    if not linked:
        sink(Event(Kind.WARNING, {"text": f"no link at {', '.join(works)}: is the cable plugged in?"}))
    return linked or works, wanted is None


def _brought_up(names: list[str], sink: Sink) -> list[str]:
    """Those that carry packets; a card without its firmware must not keep the others from it. Raises NetworkError when it is the last."""
    works = []
    failure = None
    for name in names:
        try:
            netlink.bring_up(name)
            works.append(name)
        except NetworkError as error:
            failure = error
            if len(names) > 1:
                sink(Event(Kind.WARNING, {"text": error.message}))
    if failure is not None and not works:
        raise failure
    return works


def _with_link(names: list[str]) -> list[str]:
    end = monotonic() + _LINK_S
    while True:
        found = [name for name in names if _read(name, "carrier") == "1"]
        if found or monotonic() >= end:
            return found
        sleep(0.1)


def _ethernet() -> Iterator[str]:
    for path in Path("/sys/class/net").iterdir():
        if _read(path.name, "type") == _ETHERNET and (path / "device").exists():
            yield path.name


def _read(interface: str, fact: str) -> str:
    with suppress(OSError):     # `carrier` of one that is down
        return (Path("/sys/class/net") / interface / fact).read_text(encoding="ascii").strip()
    return ""
