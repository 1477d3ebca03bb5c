"""The server with its sockets: on loopback with ports of the kernel's choice, and in front of a thousand clients on a cable."""

import socket
import sys
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from bpscript.base.errors import NetworkError
from bpscript.base.events import Event
from bpscript.network.advertisement import advertisement, is_solicitation
from bpscript.network.datagram import ip_packet
from bpscript.network.dhcp.actions import Ports
from bpscript.network.dhcp.captures import RAW_IP, Frame, bootp_payload
from bpscript.network.dhcp.firmware import Client
from bpscript.network.dhcp.message import ACK, OFFER, REQUEST, Message
from bpscript.network.dhcp.plan import NoDirectory, Plan
from bpscript.network.dhcp.proxy import ProxyServer
from bpscript.network.dhcp.server import Server, Settings
from bpscript.network.dhcp.service import DhcpService
from bpscript.network.dhcp.subnet import AddressRange, Subnet
from bpscript.network.interface import Interface
from bpscript.network.netlink import interface_with, interfaces, interfaces_named
from tests.network.dhcp.simulation import mac_of
from tests.network.dhcp.test_clients import serve
from tests.network.namespaces import Room, needs_root, program, room

LOOPBACK = IPv4Address("127.0.0.1")
RELAYED = Subnet(IPv4Network("127.0.0.0/8"), (AddressRange.parse("127.5.0.10-127.5.0.200"),))


@pytest.fixture
def relay() -> Iterator[socket.socket]:
    """A relay on loopback, answered where it asks (RFC 8357)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((str(LOOPBACK), 0))
        made.settimeout(5)
        yield made


def ask(relay: socket.socket, port: int, kind: int, number: int = 1, **options: bytes) -> Message:
    given = {53: bytes((kind,)), 82: b"\x13\0"} | {int(name[1:]): data for name, data in options.items()}
    message = Message(REQUEST, hardware_address=mac_of(number), gateway_ip=LOOPBACK.packed, options=tuple(given.items()))
    relay.sendto(message.build(), (str(LOOPBACK), port))
    return Message.parse(relay.recv(2048))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((str(LOOPBACK), 0))
        port: int = one.getsockname()[1]
        return port


def test_a_service_on_loopback_serves_and_stops(relay: socket.socket) -> None:
    events: list[Event] = []
    ports = Ports(free_port(), free_port(), free_port())
    service = DhcpService([interface_with(LOOPBACK)], server=Server(Settings((RELAYED,), ports=ports)), sink=events.append, ports=ports)
    service.start()
    try:
        offer = ask(relay, ports.server, 1)
        assert offer.message_type == OFFER
        ack = ask(relay, ports.server, 3, o54=offer.option(54) or b"", o50=offer.your_ip)
        assert (ack.message_type, IPv4Address(ack.your_ip)) == (ACK, IPv4Address("127.5.0.10"))
        relay.sendto(b"no DHCP", (str(LOOPBACK), ports.server))
        assert ask(relay, ports.server, 1, 2).message_type == OFFER
    finally:
        service.stop()
        service.stop()
    assert [each.data["action"] for each in events] == ["offered", "bound", "offered"]
    assert not [each for each in threading.enumerate() if each.name == "dhcp"]


def test_a_mistake_of_ours_is_said_and_the_others_are_served(relay: socket.socket) -> None:
    class Wrong(NoDirectory):
        def plan_for(self, client: Client) -> Plan:
            if client.hardware_address == mac_of(1):
                raise RuntimeError("oops")
            return Plan()

    events: list[Event] = []
    ports = Ports(free_port(), free_port(), free_port())
    service = DhcpService([interface_with(LOOPBACK)], server=Server(Settings((RELAYED,)), directory=Wrong()), sink=events.append, ports=ports)
    service.start()
    try:
        message = Message(REQUEST, hardware_address=mac_of(1), gateway_ip=LOOPBACK.packed, options=((53, b"\1"), (82, b"\x13\0")))
        relay.sendto(message.build(), (str(LOOPBACK), ports.server))
        assert ask(relay, ports.server, 1, 2).message_type == OFFER
    finally:
        service.stop()
    assert events[0].data["text"] == "a DHCP packet from 127.0.0.1 on lo was not answered: RuntimeError: oops"


def test_a_proxy_listens_on_both_ports(relay: socket.socket) -> None:
    ports = Ports(free_port(), free_port(), free_port())
    service = DhcpService([interface_with(LOOPBACK)], proxy=ProxyServer(directory=NoDirectory(Plan(script="x")), ports=ports), ports=ports)
    service.start()
    try:
        assert ask(relay, ports.server, 1, o60=b"PXEClient", o93=b"\0\0").message_type == OFFER
        assert ask(relay, ports.proxy, 3, o60=b"PXEClient", o93=b"\0\7").boot_file == b"ipxe.efi"
    finally:
        service.stop()


def test_a_port_in_use_is_said_and_nothing_stays_open() -> None:
    ports = Ports(free_port(), free_port(), free_port())
    first = DhcpService([interface_with(LOOPBACK)], server=Server(Settings((RELAYED,))), ports=ports)
    first.start()
    try:
        second = DhcpService([interface_with(LOOPBACK)], server=Server(Settings((RELAYED,))), ports=ports)
        with pytest.raises(NetworkError, match=rf"UDP port {ports.server} on lo cannot be used: Address already in use"):
            second.start()
    finally:
        first.stop()
    third = DhcpService([interface_with(LOOPBACK)], server=Server(Settings((RELAYED,))), ports=ports)
    third.start()
    third.stop()


def test_interfaces_are_known_by_name_and_address() -> None:
    assert interface_with(LOOPBACK).name == "lo"
    assert interfaces_named("lo")[0] in interfaces()
    with pytest.raises(NetworkError, match=r'no interface "nowhere" is up with an IPv4 address'):
        interfaces_named("nowhere")
    with pytest.raises(NetworkError, match=r"192\.0\.2\.77 is no address of this machine"):
        interface_with(IPv4Address("192.0.2.77"))


def test_a_datagram_of_ours_is_read_by_others() -> None:
    packet = ip_packet(b"payload", (IPv4Address("10.0.0.1"), 67), (IPv4Address("10.0.0.9"), 68))
    assert bootp_payload(Frame(RAW_IP, packet)) == b"payload"
    words = [int.from_bytes(packet[index : index + 2], "big") for index in range(0, 20, 2)]
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF       # RFC 1071: the sum with its checksum is all ones


def test_the_advertisement_names_no_router() -> None:
    assert advertisement() == bytes((134, 0, 0, 0, 64, 0, 0, 0)) + bytes(8)
    assert is_solicitation(bytes((133, 0)) + bytes(6))
    assert not is_solicitation(advertisement())
    assert not is_solicitation(b"\x85")


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


SOLICIT = """
import socket, time
for _ in range(100):        # until the link-local address is usable
    try:
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        s.settimeout(0.5)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        s.sendto(bytes((133, 0, 0, 0, 0, 0, 0, 0)), ("ff02::2", 0, 0, socket.if_nametoindex("eth0")))
        while True:
            data, more, _, sender = s.recvmsg(1500, 100)
            if data[0] == 134:
                print(data[0], data[6:8].hex(), int.from_bytes(more[0][2], "little"), sender[0][:4])
                raise SystemExit
    except OSError:
        time.sleep(0.1)
"""


@needs_root
@pytest.mark.net
def test_who_looks_for_an_ipv6_router_hears_that_there_is_none(cable: Room) -> None:
    server = serve(cable)
    assert cable.machine().run(sys.executable, "-c", SOLICIT) == "134 0000 255 fe80\n"
    assert server.stop() == 0


CROWD = """
import json, random, select, socket, struct, sys, time
sys.path.insert(0, ".")
from bpscript.network.dhcp.client import Client, Binding, Transmit
from bpscript.network.link import LinkDatagrams
count = int(sys.argv[1])
link = LinkDatagrams("eth0", 68)
begin = time.monotonic()
clients = {b"\\2\\0\\1" + n.to_bytes(3, "big"): Client(b"\\2\\0\\1" + n.to_bytes(3, "big"), random.Random(n)) for n in range(count)}
from ipaddress import IPv4Address
bound = {}
def do(mac, news):
    for each in news:
        if isinstance(each, Transmit):
            while not link.send(each.packet, each.address, 67): time.sleep(0.001)
        elif isinstance(each, Binding):
            bound[mac] = str(each.address.ip)
for mac, client in clients.items():
    do(mac, client.start(time.monotonic()))
while len(bound) < count and time.monotonic() < begin + 100:
    select.select([link.fileno()], [], [], 0.1)
    while (r := link.receive()) is not None:
        mac = r.data[28:34]
        if mac in clients:
            do(mac, clients[mac].receive(r.data, time.monotonic()))
    now = time.monotonic()
    for mac, client in clients.items():
        if client.wake_at is not None and client.wake_at <= now:
            do(mac, client.tick(now))
print(json.dumps({"bound": len(bound), "addresses": len(set(bound.values())), "seconds": round(time.monotonic() - begin, 2)}))
"""


@needs_root
@pytest.mark.net
def test_a_thousand_clients_on_a_cable_are_served_at_once(cable: Room, tmp_path: Path) -> None:
    cable.server.ip("addr", "add", "10.10.0.1/16", "dev", "lan")
    cable.server.ip("addr", "del", "10.9.0.1/24", "dev", "lan")
    server = serve(cable, "10.10.1.0-10.10.9.255", "", str(tmp_path / "leases.db"))
    text = cable.machine().run(sys.executable, "-c", CROWD, "1000", timeout_s=150)
    print(text)
    assert '"bound": 1000, "addresses": 1000' in text
    assert len({each["address"] for each in server.events if each.get("action") == "bound"}) == 1000
    assert server.stop() == 0


@needs_root
def test_a_name_of_an_interface_is_all_it_needs(cable: Room) -> None:
    text = cable.server.run(sys.executable, "-c", "from bpscript.network.netlink import *; print(interfaces_named('lan'))")
    assert "IPv4Address('10.9.0.1'), prefix_length=24" in text
    assert program("ip")
    assert Interface("x", LOOPBACK, 8).network == IPv4Network("127.0.0.0/8")
