"""The DHCP client's core: against our own server's core, and against servers that misbehave; and its socket against real servers."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.network.dhcp.actions import BROADCAST, Send
from bpscript.network.dhcp.client import Binding, Client, Lost, News, State, Transmit
from bpscript.network.dhcp.message import DISCOVER, NAK, OFFER, RELEASE, REQUEST_ADDRESS, Message
from bpscript.network.dhcp.obtain import machine_id
from bpscript.network.dhcp.plan import NoDirectory, Plan
from bpscript.network.dhcp.proxy import ProxyServer
from bpscript.network.dhcp.server import Server
from tests.network.dhcp.simulation import ARRIVAL, OURS, START, mac_of, server, subnet
from tests.network.dhcp.test_clients import serve
from tests.network.namespaces import Namespace, Room, needs_root, program, room

MAC = mac_of(5)
PLAN = NoDirectory(Plan(script="-i deploy", variables={"Image": "lab.imz"}))


@dataclass
class Wire:
    """A client and the servers that hear it; time goes on only by `run`."""

    servers: list[Server | ProxyServer]
    client: Client = field(default_factory=lambda: Client(MAC, Random(1)))
    now: float = START
    sent: list[tuple[float, Message, IPv4Address]] = field(default_factory=list)
    news: list[News] = field(default_factory=list)

    def start(self) -> "Wire":
        self._do(self.client.start(self.now))
        return self

    def run(self, seconds: float) -> "Wire":
        end = self.now + seconds
        while self.client.wake_at is not None and self.client.wake_at <= end:
            self.now = max(self.now, self.client.wake_at)
            self._do(self.client.tick(self.now))
        self.now = end
        return self

    def hear(self, message: Message) -> "Wire":
        self._do(self.client.receive(message.build(), self.now))
        return self

    def _do(self, news: Sequence[News]) -> None:
        for each in news:
            if not isinstance(each, Transmit):
                self.news.append(each)
                continue
            self.sent.append((self.now, Message.parse(each.packet), each.address))
            for one in self.servers:
                for action in one.receive(each.packet, ARRIVAL, self.now):
                    if isinstance(action, Send):
                        self._do(self.client.receive(action.packet, self.now))

    @property
    def kinds(self) -> list[int | None]:
        return [message.message_type for _, message, _ in self.sent]

    @property
    def binding(self) -> Binding:
        found = [each for each in self.news if isinstance(each, Binding)]
        assert found
        return found[-1]


def test_it_is_bound_at_once_by_a_server_with_a_script() -> None:
    wire = Wire([server(subnet(options={3: OURS.packed, 15: b"lab"}), directory=PLAN)]).start()
    assert wire.kinds == [DISCOVER, REQUEST_ADDRESS]
    assert wire.client.state is State.BOUND
    assert (wire.binding.address, wire.binding.router) == (IPv4Interface("10.0.0.100/24"), OURS)
    variables = wire.binding.variables
    assert {name: variables[name] for name in ("BOOTP-Your-IP", "BOOTP-Client-ID", "BOOTP-Option-155", "Image", "BOOTP-Domain-Name", "DHCP-IP-Address-Lease-Time")} == {
        "BOOTP-Your-IP": "10.0.0.100", "BOOTP-Client-ID": MAC.hex().upper(), "BOOTP-Option-155": "-i deploy", "Image": "lab.imz",
        "BOOTP-Domain-Name": "lab", "DHCP-IP-Address-Lease-Time": "3600",
    }


def test_without_a_script_it_waits_a_second_for_a_better_offer() -> None:
    wire = Wire([server()]).start()
    assert wire.kinds == [DISCOVER]
    wire.run(0.9)
    assert wire.kinds == [DISCOVER]
    wire.run(0.2)
    assert wire.client.state is State.BOUND


@pytest.mark.parametrize("order", [0, 1], ids=["server-first", "proxy-first"])
def test_the_boot_options_of_a_proxy_are_joined_with_the_lease(order: int) -> None:
    proxy = ProxyServer(directory=PLAN)
    lease = server(subnet(options={3: b"\x0a\0\0\xfe"}))
    wire = Wire([lease, proxy] if order == 0 else [proxy, lease]).start()
    assert wire.client.state is State.BOUND, "no wait when both have answered"
    variables = wire.binding.variables
    assert (variables["BOOTP-Your-IP"], variables["BOOTP-Option-155"], variables["Image"]) == ("10.0.0.100", "-i deploy", "lab.imz")
    assert (variables["BOOTP-Server-IP"], variables["BOOTP-Routers"]) == ("10.0.0.1", "10.0.0.254")


def test_it_asks_again_with_back_off_and_a_second_of_chance() -> None:
    """RFC 2131 4.1."""
    wire = Wire([]).start().run(400)
    times = [time - START for time, _, _ in wire.sent]
    waits = [after - before for before, after in pairwise(times)]
    for wait, expected in zip(waits, [4, 8, 16, 32, 64, 64, 64, 64], strict=False):
        assert abs(wait - expected) <= 1
    assert len({round(wait % 1, 6) for wait in waits}) > 3
    assert [message.seconds for _, message, _ in wire.sent] == [int(time) for time in times]
    assert len({message.transaction_id for _, message, _ in wire.sent}) == 1


def test_a_server_that_offers_and_then_is_silent_is_given_up() -> None:
    offering = server(directory=PLAN)
    wire = Wire([]).start()
    replies = offering.receive(wire.sent[0][1].build(), ARRIVAL, START)
    wire.hear(Message.parse(next(each.packet for each in replies if isinstance(each, Send)))).run(70)
    assert wire.kinds[:6] == [DISCOVER, *[REQUEST_ADDRESS] * 4, DISCOVER]


def test_the_lease_is_renewed_by_unicast_then_by_broadcast_then_given_up() -> None:
    silent = Wire([server(subnet(lease_s=3600), directory=PLAN)]).start()
    silent.servers = []
    begin = len(silent.sent)
    silent.run(3590)
    renewals = silent.sent[begin:]
    assert [int(time - START) for time, _, _ in renewals] == [1800, 2475, 2812, 2981, 3065, 3125, 3150, 3375, 3487, 3547]
    assert [address for _, _, address in renewals] == [OURS] * 6 + [BROADCAST] * 4
    assert {message.client_ip for _, message, _ in renewals} == {IPv4Address("10.0.0.100").packed}
    assert {message.option(50) or message.option(54) for _, message, _ in renewals} == {None}       # RFC 2131 4.3.6
    silent.run(20)
    assert isinstance(silent.news[-1], Lost)
    assert silent.news[-1].reason == "the lease is over"
    assert silent.kinds[-1] == DISCOVER


def test_a_lease_that_is_renewed_never_ends() -> None:
    wire = Wire([server(subnet(lease_s=600), directory=PLAN)]).start().run(24 * 3600)
    assert not [each for each in wire.news if isinstance(each, Lost)]
    assert len(wire.sent) == 2 + 24 * 3600 // 300


def test_a_refusal_begins_again() -> None:
    wire = Wire([server(subnet(lease_s=600), directory=PLAN)]).start()
    wire.servers = []
    wire.run(301)
    wire.hear(Message(transaction_id=wire.sent[-1][1].transaction_id, hardware_address=MAC, options=((53, bytes((NAK,))), (54, OURS.packed))))
    assert wire.news[-1] == Lost("the server refused the address")
    assert wire.run(3).kinds[-1] == DISCOVER


def test_a_bootp_server_binds_for_ever() -> None:
    wire = Wire([]).start()
    wire.hear(Message(transaction_id=wire.sent[0][1].transaction_id, hardware_address=MAC, your_ip=b"\x0a\0\0\7", server_ip=OURS.packed))
    assert wire.binding.address == IPv4Interface("10.0.0.7/8")
    assert wire.client.wake_at is None


@pytest.mark.parametrize("change", ["transaction", "address", "request", "not-dhcp"])
def test_replies_for_others_are_passed_over(change: str) -> None:
    wire = Wire([]).start()
    offer = Message(
        transaction_id=wire.sent[0][1].transaction_id, hardware_address=MAC, your_ip=b"\x0a\0\0\7", options=((53, bytes((OFFER,))), (54, OURS.packed), (155, b"x"))
    )
    wrong = {
        "transaction": replace(offer, transaction_id=offer.transaction_id ^ 1), "address": replace(offer, hardware_address=mac_of(6)),
        "request": replace(offer, operation=1), "not-dhcp": replace(offer, options=((53, bytes((OFFER,))),)),
    }[change]
    assert wire.hear(wrong).kinds == [DISCOVER]
    assert wire.hear(offer).kinds == [DISCOVER, REQUEST_ADDRESS]


def test_an_address_is_given_back() -> None:
    bound = server(directory=PLAN)
    wire = Wire([bound]).start()
    wire._do(wire.client.release())
    assert wire.kinds[-1] == RELEASE
    assert [lease.state for lease in bound.pool.leases()] == ["released"]


@given(st.lists(st.tuples(st.binary(max_size=400) | st.just(b"offer"), st.floats(0, 5000)), max_size=30), st.randoms(use_true_random=False))
def test_no_packet_and_no_time_stops_it(events: list[tuple[bytes, float]], random: Random) -> None:
    """Invariant: it always knows when to wake up next, and sends at most one packet for what it hears."""
    client = Client(MAC, random)
    first = client.start(0.0)
    assert len(first) == 1
    now = 0.0
    for data, wait in events:
        now += wait
        template = Message(transaction_id=client._transaction, hardware_address=MAC, options=((53, bytes((random.choice([2, 5, 6]),))), (54, OURS.packed)))
        packet = bytearray(replace(template, your_ip=random.randbytes(4)).build())
        for _ in range(random.choice([0, 0, 1, 5])):
            packet[random.randrange(len(packet))] = random.randrange(256)
        for news in (client.receive(bytes(packet) if data == b"offer" else data, now), client.tick(now)):
            assert sum(isinstance(each, Transmit) for each in news) <= 1
            for each in news:
                if isinstance(each, Binding):
                    assert each.variables["BOOTP-Your-IP"]
                    assert str(each.address)
    assert client.wake_at is not None or client.state is State.BOUND


def test_the_uuid_of_the_machine_is_sent_as_boot_roms_send_it(tmp_path: Path) -> None:
    path = tmp_path / "product_uuid"
    path.write_text("33221100-5544-7766-8899-aabbccddeeff\n", encoding="ascii")
    assert machine_id(path) == bytes(range(0, 256, 17))
    assert machine_id(tmp_path / "none") == b""
    client = Client(MAC, Random(1), machine_id=machine_id(path))
    first = client.start(0)[0]
    assert isinstance(first, Transmit)
    assert Message.parse(first.packet).option(97) == b"\0" + bytes(range(0, 256, 17))


OBTAIN = """
import json, sys
from bpscript.network.dhcp.obtain import obtain
from bpscript.base.events import Event
with obtain("eth0", timeout_s=float(sys.argv[1])) as connection:
    print(json.dumps(connection.binding.variables), flush=True)
    connection.keep()
    if len(sys.argv) > 2:
        input()
    connection.release()
"""


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def obtained(machine: Namespace) -> dict[str, str]:
    text = machine.run(sys.executable, "-c", OBTAIN, "30")
    return {str(name): str(value) for name, value in json.loads(text.splitlines()[0]).items()}


@needs_root
def test_on_a_cable_it_brings_the_interface_up_and_sets_the_address(cable: Room) -> None:
    our_server = serve(cable)
    machine = cable.machine(is_up=False)
    found = obtained(machine)
    assert (found["BOOTP-Your-IP"], found["BOOTP-Option-155"]) == ("10.9.0.100", "-i deploy")
    assert "inet 10.9.0.100/24 brd 10.9.0.255" in machine.run(program("ip"), "addr", "show", "eth0")
    assert "default via 10.9.0.1" in machine.run(program("ip"), "route")
    our_server.wait_for("released by")


@needs_root
@pytest.mark.net
def test_dnsmasq_serves_it(cable: Room, tmp_path: Path) -> None:
    cable.server.start(
        program("dnsmasq"), "--keep-in-foreground", "--log-facility=-", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file", "--interface=lan",
        "--dhcp-range=10.9.0.50,10.9.0.60,1h", f"--dhcp-leasefile={tmp_path / 'leases'}", "--dhcp-option-force=155,-i deploy", "--dhcp-boot=undionly.kpxe",
        "--dhcp-option=option:ntp-server,10.9.0.3,10.9.0.4", "--domain=lab.example", "--dhcp-option-force=209,a,b", ready="DHCP, IP range",
    )
    found = obtained(cable.machine())
    assert {name: found[name] for name in ("BOOTP-Option-155", "BOOTP-Bootfile", "BOOTP-NTP-Servers", "BOOTP-Domain-Name", "BOOTP-Server-IP", "BOOTP-Subnet-Mask")} == {
        "BOOTP-Option-155": "-i deploy", "BOOTP-Bootfile": "undionly.kpxe", "BOOTP-NTP-Servers": "10.9.0.3 10.9.0.4",
        "BOOTP-Domain-Name": "lab.example", "BOOTP-Server-IP": "10.9.0.1", "BOOTP-Subnet-Mask": "255.255.255.0",
    }


@needs_root
@pytest.mark.net
def test_isc_dhcpd_serves_it_also_by_bootp(cable: Room, tmp_path: Path) -> None:
    (tmp_path / "dhcpd.leases").touch()
    configuration = tmp_path / "dhcpd.conf"
    configuration.write_text(
        'option script code 155 = text;\nsubnet 10.9.0.0 netmask 255.255.255.0 { range 10.9.0.70 10.9.0.80; option script "-i deploy"; '
        'option time-offset -3600; option nis-domain "nis"; filename "boot.bpb"; next-server 10.9.0.1; option routers 10.9.0.1, 10.9.0.2; }\n',
        encoding="ascii",
    )
    cable.server.start(
        program("dhcpd"), "-4", "-f", "-d", "-cf", str(configuration), "-lf", str(tmp_path / "dhcpd.leases"), "-pf", str(tmp_path / "dhcpd.pid"), "lan",
        ready="Sending on",
    )
    found = obtained(cable.machine())
    assert {name: found[name] for name in ("BOOTP-Option-155", "BOOTP-Bootfile", "BOOTP-Time-Offset", "BOOTP-NIS-Domain", "BOOTP-Routers")} == {
        "BOOTP-Option-155": "-i deploy", "BOOTP-Bootfile": "boot.bpb", "BOOTP-Time-Offset": "-3600", "BOOTP-NIS-Domain": "nis",
        "BOOTP-Routers": "10.9.0.1 10.9.0.2",
    }
    assert found["BOOTP-Your-IP"] in {f"10.9.0.{number}" for number in range(70, 81)}


@needs_root
@pytest.mark.net
def test_kea_serves_it(cable: Room, tmp_path: Path) -> None:
    configuration = tmp_path / "kea.conf"
    configuration.write_text(json.dumps({"Dhcp4": {
        "interfaces-config": {"interfaces": ["lan"]},
        "lease-database": {"type": "memfile", "persist": False},
        "option-def": [{"name": "script", "code": 155, "type": "string"}],
        "option-data": [{"name": "script", "data": "-i deploy", "always-send": True}, {"name": "domain-name-servers", "data": "10.9.0.1, 10.9.0.2"}],
        "subnet4": [{"subnet": "10.9.0.0/24", "pools": [{"pool": "10.9.0.90 - 10.9.0.95"}], "boot-file-name": "boot.bpb", "next-server": "10.9.0.1"}],
        "loggers": [{"name": "kea-dhcp4", "output_options": [{"output": "stdout", "flush": True}], "severity": "INFO"}],
    }}), encoding="ascii")
    cable.server.start(
        program("kea-dhcp4"), "-c", str(configuration), ready="DHCP4_STARTED", KEA_PIDFILE_DIR=str(tmp_path), KEA_LOCKFILE_DIR=str(tmp_path)
    )
    found = obtained(cable.machine())
    assert (found["BOOTP-Option-155"], found["BOOTP-Domain-name-Servers"], found["BOOTP-Bootfile"]) == ("-i deploy", "10.9.0.1 10.9.0.2", "boot.bpb")


@needs_root
@pytest.mark.net
def test_dnsmasq_gives_the_address_and_our_proxy_the_script(cable: Room, tmp_path: Path) -> None:
    other = cable.machine()
    other.ip("addr", "add", "10.9.0.2/24", "dev", "eth0")
    other.start(
        program("dnsmasq"), "--keep-in-foreground", "--log-facility=-", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file", "--interface=eth0",
        "--dhcp-range=10.9.0.50,10.9.0.60,1h", f"--dhcp-leasefile={tmp_path / 'leases'}", ready="DHCP, IP range",
    )
    proxy = serve(cable, "proxy")
    found = obtained(cable.machine())
    assert (found["BOOTP-Option-155"], found["DHCP-Server-Identifier"], found["BOOTP-Server-IP"]) == ("-i deploy", "10.9.0.2", "10.9.0.1")
    assert proxy.events[-1]["kind"] == "boot-program"


@needs_root
def test_without_a_server_it_says_so(cable: Room) -> None:
    text = cable.machine().run(sys.executable, "-c", OBTAIN, "0.3", check=False)
    assert "NetworkError: no DHCP server answered on eth0 within 0.3 s" in text

