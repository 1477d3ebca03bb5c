"""The proxyDHCP server (PXE 2.1 section 2.2): boot files beside another DHCP server, which gives the addresses.

    port 67     DISCOVER of a boot client: an OFFER without an address. The client joins it with the offer of the other server.
    port 4011   REQUEST or INFORM of a client that has its address by now: an ACK, sent to where it came from.

Clients that boot nothing are left alone. Who says so in option 60 is a boot client: PXEClient, HTTPClient, and our boot environment.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address

from ...base.errors import FormatError
from .actions import BROADCAST, NOBODY, Action, Arrival, Asking, Ports, Send, boot_event, destination, is_answerable
from .answers import RELAY, SERVER_ID, finish
from .boot_options import BOOT_FILE, boot_options
from .firmware import client_of
from .limits import Limiter
from .message import ACK, DISCOVER, INFORM, MESSAGE_TYPE, OFFER, REPLY, REQUEST_ADDRESS, Message
from .plan import BootPolicy, Directory, NoDirectory

_REQUESTED_LIST = 55
_BOOT_CLIENTS = ("PXEClient", "HTTPClient", "bpscript")


class ProxyServer:
    """The proxy's core."""

    def __init__(self, policy: BootPolicy | None = None, directory: Directory | None = None, ports: Ports | None = None) -> None:
        self._policy = policy if policy is not None else BootPolicy()
        self._directory = directory if directory is not None else NoDirectory()
        self._ports = ports if ports is not None else Ports()
        self._limiter = Limiter()

    def receive(self, packet: bytes, arrival: Arrival, now: float) -> Sequence[Action]:
        """What a packet to port 67 leads to; `now` in seconds."""
        asking = self._asking(packet, arrival, now)
        if asking is None or asking.request.message_type != DISCOVER:
            return []
        answer, boot_file = self._answer(asking, OFFER)
        if answer is None:
            return []
        return [destination(asking, answer, NOBODY, self._ports), boot_event(asking, None, boot_file, now)]

    def receive_boot_request(self, packet: bytes, arrival: Arrival, now: float) -> Sequence[Action]:
        """What a packet to port 4011 leads to."""
        asking = self._asking(packet, arrival, now)
        if asking is None or asking.request.message_type not in {REQUEST_ADDRESS, INFORM, DISCOVER}:
            return []
        source = arrival.source
        if source in {NOBODY, BROADCAST} or source.is_multicast:
            return []
        answer, boot_file = self._answer(asking, ACK)
        if answer is None:
            return []
        return [Send(answer, source, arrival.source_port), boot_event(asking, source, boot_file, now)]

    def _asking(self, packet: bytes, arrival: Arrival, now: float) -> Asking | None:
        try:
            request = Message.parse(packet)
        except FormatError:
            return None
        client = client_of(request)
        if not is_answerable(request) or not client.vendor_class.startswith(_BOOT_CLIENTS):
            return None
        if not self._limiter.allow(client.hardware_address or client.identity, now):
            return None
        plan = self._directory.plan_for(client)
        return None if plan.ignore else Asking(request, client, plan, arrival)

    def _answer(self, asking: Asking, kind: int) -> tuple[bytes | None, str]:
        """The reply and the boot file in it; None when there is nothing to tell."""
        request, plan, client = asking.request, asking.plan, asking.client
        boot_file = self._policy.choose(client, plan, asking.server)
        if not boot_file and not (client.is_ours and (plan.script or plan.variables)):
            return None, ""
        known, always = boot_options(request, client, plan, boot_file, asking.server, is_proxy=True)
        known |= {code: data for code, data in plan.options.items() if code not in known}
        wanted = request.option(_REQUESTED_LIST) or bytes((BOOT_FILE,))
        options = {MESSAGE_TYPE: bytes((kind,)), SERVER_ID: asking.server.packed}
        options |= {code: data for code, data in known.items() if code in always}
        options |= {code: known[code] for code in wanted if code in known and code != RELAY}
        file = boot_file.encode()
        message = Message(
            REPLY, request.hardware_type, 0, request.transaction_id, 0, request.flags,
            client_ip=request.client_ip if kind == ACK else IPv4Address(0).packed, server_ip=asking.server.packed,
            gateway_ip=request.gateway_ip, hardware_address=request.hardware_address, boot_file=file if len(file) <= 127 else b"",
        )
        return finish(message, asking, options)[0], boot_file
