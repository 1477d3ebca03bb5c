"""An address for this machine: the DHCP client with its socket, for the boot environment.

    with obtain("eth0", timeout_s=60) as connection:
        connection.binding.variables        # {"BOOTP-Your-IP": "10.0.0.5", ...}
        connection.keep()                   # renew in the background while the images are written

The socket is bound to the interface and asks for broadcasts, so it works before there is an address. (A kernel with strict reverse
path filtering, net.ipv4.conf.*.rp_filter = 1, drops what comes in before; `obtain` turns it off for this interface.)
"""

import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from random import Random, SystemRandom
from threading import Thread
from time import monotonic
from types import TracebackType

from ...base.errors import NetworkError
from ...base.events import Event, Kind, Sink, ignore
from .. import netlink
from ..link import LinkDatagrams
from .actions import Ports
from .client import Binding, Client, Lost, News, Transmit

_MACHINE_UUID = Path("/sys/class/dmi/id/product_uuid")


class Connection:
    """A client with an address. Closing it stops the renewals; the address stays as it is unless it is released."""

    def __init__(self, client: Client, link: LinkDatagrams, interface: str, ports: Ports, sink: Sink, *, configures: bool) -> None:
        self._client = client
        self._link = link
        self._interface = interface
        self._ports = ports
        self._sink = sink
        self._configures = configures
        self._binding: Binding | None = None
        self._thread: Thread | None = None
        self._waker, self._waiting = socket.socketpair()

    @property
    def binding(self) -> Binding:
        """What the server said last."""
        assert self._binding is not None, "made by obtain"
        return self._binding

    def wait(self, timeout_s: float) -> None:
        """Until there is an address. Raises NetworkError when there is none after `timeout_s`."""
        end = monotonic() + timeout_s
        self._do(self._client.start(monotonic()))
        while self._binding is None:
            now = monotonic()
            if now >= end:
                raise NetworkError(
                    f"no DHCP server answered on {self._interface} within {timeout_s:g} s", hint="is the cable plugged in, and a server running?"
                )
            self._turn(min(end, self._client.wake_at or end) - now)

    def keep(self) -> None:
        """Renew the lease from now on, in a thread of its own, until `close`."""
        if self._thread is None:
            self._thread = Thread(target=self._keep, name="dhcp-client", daemon=True)
            self._thread.start()

    def release(self) -> None:
        """Give the address back, and close."""
        self._stop()
        self._do(self._client.release())
        self.close()

    def close(self) -> None:
        """Stop renewing and close the socket."""
        self._stop()
        self._link.close()
        self._waker.close()
        self._waiting.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _stop(self) -> None:
        if self._thread is not None:
            self._waker.send(b"\0")
            self._thread.join()
            self._thread = None

    def _keep(self) -> None:
        while not self._turn(None if self._client.wake_at is None else self._client.wake_at - monotonic()):
            pass

    def _turn(self, timeout_s: float | None) -> bool:
        """Wait for a packet, for the time the client set, or for the end (then True)."""
        readable, _, _ = select.select([self._link.fileno(), self._waiting.fileno()], [], [], None if timeout_s is None else max(0.0, timeout_s))
        if self._waiting.fileno() in readable:
            return True
        while (received := self._link.receive()) is not None:
            self._do(self._client.receive(received.data, monotonic()))
        self._do(self._client.tick(monotonic()))
        return False

    def _do(self, news: Sequence[News]) -> None:
        for each in news:
            if isinstance(each, Transmit):
                self._link.send(each.packet, each.address, self._ports.server)
            elif isinstance(each, Lost):
                self._sink(Event(Kind.WARNING, {"text": f"{self._interface}: {each.reason}"}))
            else:
                self._bound(each)

    def _bound(self, binding: Binding) -> None:
        if self._configures and (self._binding is None or self._binding.address != binding.address):
            netlink.set_address(self._interface, binding.address, binding.router)
        self._binding = binding
        server = binding.variables.get("BOOTP-Server-IP", "")
        self._sink(Event(Kind.NOTE, {"text": f"{self._interface}: address {binding.address} from {server}"}))


def obtain(
    interface: str,
    *,
    timeout_s: float = 120.0,
    sink: Sink = ignore,
    random: Random | None = None,
    ports: Ports | None = None,
    wanted: IPv4Address | None = None,
    configures: bool = True,
) -> Connection:
    """Bring an interface up, get an address by DHCP or BOOTP, and set it (`configures`). Raises NetworkError."""
    used = ports if ports is not None else Ports()
    if configures:
        netlink.bring_up(interface)
        with suppress(OSError):
            Path(f"/proc/sys/net/ipv4/conf/{interface}/rp_filter").write_text("0", encoding="ascii")
    client = Client(netlink.hardware_address(interface), random or SystemRandom(), machine_id=machine_id(), wanted=wanted)
    connection = Connection(client, LinkDatagrams(interface, used.client), interface, used, sink, configures=configures)
    try:
        connection.wait(timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


def machine_id(path: Path = _MACHINE_UUID) -> bytes:
    """The UUID of this machine as option 97 has it (SMBIOS 2.6: the first three fields little-endian); b"" when it has none."""
    try:
        digits = bytes.fromhex(path.read_text(encoding="ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return b""
    if len(digits) != 16:
        return b""
    return digits[3::-1] + digits[5:3:-1] + digits[7:5:-1] + digits[8:]
