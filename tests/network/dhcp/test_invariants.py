"""What holds whatever comes: no address twice, no packet that stops a server, bounded memory."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from bpscript.base.events import Event
from bpscript.network.dhcp.actions import Arrival, Send
from bpscript.network.dhcp.captures import bootp_payload, read_frames
from bpscript.network.dhcp.firmware import Client, client_of
from bpscript.network.dhcp.limits import Limiter
from bpscript.network.dhcp.message import REQUEST, Message
from bpscript.network.dhcp.plan import NoDirectory, Plan
from bpscript.network.dhcp.pool import Lease, State
from bpscript.network.dhcp.proxy import ProxyServer
from bpscript.network.dhcp.subnet import AddressRange, Subnet
from tests.network.dhcp.simulation import (
    ARRIVAL,
    INTERFACE,
    OURS,
    START,
    Machine,
    address_of,
    another,
    mac_of,
    server,
    subnet,
)
from tests.network.dhcp.test_firmware import PCAPS

FAR = Subnet(IPv4Network("10.7.0.0/16"), (AddressRange.parse("10.7.0.10-12"),))
FIXED = IPv4Address("10.0.0.101")
NUMBERS = st.integers(1, 8)


class Known(NoDirectory):
    """Machine 1 has an address of its own."""

    def plan_for(self, client: Client) -> Plan:
        return Plan("pc1", FIXED) if client.hardware_address == mac_of(1) else Plan()

    def reserved(self) -> dict[IPv4Address, str]:
        return {FIXED: "pc1"}


class Leases(RuleBasedStateMachine):
    """Machines do what they like, in any order and at any time; a model keeps what each was promised, and until when."""

    @initialize()
    def begin(self) -> None:
        self.machine = Machine(server(subnet("10.0.0.100-10.0.0.104", lease_s=600), FAR, directory=Known()))
        self.now = START
        self.promised: dict[IPv4Address, tuple[bytes, float]] = {}
        self.has: dict[tuple[int, bool], Message] = {}

    def _one(self, number: int, far: bool) -> Machine:
        one = another(self.machine, number)
        return replace(one, now=self.now, relay=IPv4Address("10.7.0.1").packed if far else bytes(4))

    def _take(self, one: Machine, reply: Message | None) -> None:
        if reply is None or not any(reply.your_ip):
            return
        address = address_of(reply)
        owner, until = self.promised.get(address, (b"", 0.0))
        assert until <= self.now or owner == one.mac, f"{address} was promised to {owner.hex(':')}"
        if reply.message_type != 2:
            seconds = int.from_bytes(reply.option(51) or b"", "big") if reply.message_type == 5 else 7 * 86400
            self.promised = {each: (who, end) for each, (who, end) in self.promised.items() if who != one.mac or each == address or (each in FAR.network) != (address in FAR.network)}
            self.promised[address] = (one.mac, self.now + seconds)
        assert address in (FAR.network if any(one.relay) else subnet().network)
        assert address != FIXED or one.mac == mac_of(1)
        declined = one.server.pool.lease(FIXED)
        if one.mac == mac_of(1) and not any(one.relay) and (declined is None or declined.state is not State.DECLINED):
            assert address == FIXED

    @rule(number=NUMBERS, far=st.booleans())
    def discover(self, number: int, far: bool) -> None:
        one = self._one(number, far)
        offer = one.discover()
        if offer is not None:
            self._take(one, offer)
            self.has[number, far] = offer

    @rule(number=NUMBERS, far=st.booleans())
    def select(self, number: int, far: bool) -> None:
        offer = self.has.get((number, far))
        if offer is not None:
            one = self._one(number, far)
            self._take(one, one.select(offer))

    @rule(number=NUMBERS, far=st.booleans(), last=st.integers(99, 106))
    def reboot(self, number: int, far: bool, last: int) -> None:
        one = self._one(number, far)
        self._take(one, one.reboot(IPv4Address(f"10.0.0.{last}")))

    @rule(number=NUMBERS, last=st.integers(99, 106))
    def renew(self, number: int, last: int) -> None:
        one = self._one(number, False)
        self._take(one, one.renew(IPv4Address(f"10.0.0.{last}")))

    @rule(number=NUMBERS, last=st.integers(99, 106))
    def release(self, number: int, last: int) -> None:
        address = IPv4Address(f"10.0.0.{last}")
        self._one(number, False).release(address)
        if self.promised.get(address, (b"",))[0] == mac_of(number):
            del self.promised[address]

    @rule(number=NUMBERS, last=st.integers(99, 106))
    def decline(self, number: int, last: int) -> None:
        address = IPv4Address(f"10.0.0.{last}")
        self._one(number, False).decline(address)
        if self.promised.get(address, (b"",))[0] == mac_of(number):
            del self.promised[address]

    @rule(number=NUMBERS)
    def bootp(self, number: int) -> None:
        one = self._one(number, False)
        self._take(one, one.ask(None))

    @rule(seconds=st.sampled_from([0.5, 30.0, 100.0, 700.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def every_promise_is_in_the_pool(self) -> None:
        leases = self.machine.server.pool.leases() if hasattr(self, "machine") else []
        assert len({lease.address for lease in leases}) == len(leases)
        for address, (owner, until) in getattr(self, "promised", {}).items():
            if until > self.now:
                lease = self.machine.server.pool.lease(address)
                assert lease is not None
                assert (lease.hardware_address, lease.state, lease.expires >= until) == (owner, State.BOUND, True)

    @invariant()
    def one_address_for_each_client_of_a_network(self) -> None:
        held: list[Lease] = [lease for lease in self.machine.server.pool.leases() if lease.holds(self.now) and lease.state is State.BOUND] if hasattr(self, "machine") else []
        for network in (FAR.network, subnet().network):
            owners = [lease.identity for lease in held if lease.address in network]
            assert len(owners) == len(set(owners))


@pytest.mark.hypothesis
def test_whatever_happens_no_address_has_two_owners() -> None:
    run_state_machine_as_test(Leases, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


def captured() -> list[bytes]:
    found = []
    for path in sorted(PCAPS.glob("*.pcap")):
        with path.open("rb") as file:
            found += [payload for frame in read_frames(file) if (payload := bootp_payload(frame)) is not None]
    return found


CAPTURED = captured()


@given(st.lists(st.tuples(st.integers(0, len(CAPTURED) - 1), st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6), st.integers(0, 700)), max_size=20))
def test_damaged_packets_of_real_clients_never_stop_a_server(changes: list[tuple[int, list[tuple[int, int]], int]]) -> None:
    """Invariant: every packet gives a list of packets that a client can read, and of events with a text; nothing is raised."""
    cores = [server(subnet(), FAR, directory=NoDirectory(Plan(script="-i deploy", variables={"A": "x" * 300}))).receive]
    proxy = ProxyServer(directory=NoDirectory(Plan(script="x")))
    cores += [proxy.receive, proxy.receive_boot_request]
    for number, bytes_changed, length in changes:
        packet = bytearray(CAPTURED[number])
        for position, value in bytes_changed:
            packet[position % len(packet)] = value
        for core in cores:
            for action in core(bytes(packet[: max(length, 240)] if length < 240 else packet), Arrival(INTERFACE, IPv4Address("10.0.0.50"), 68), START):
                check(action)


@given(st.binary(max_size=700))
def test_any_bytes_never_stop_a_server(data: bytes) -> None:
    for packet in (data, CAPTURED[0][:240] + data):
        for action in [*server().receive(packet, ARRIVAL, START), *ProxyServer().receive(packet, ARRIVAL, START)]:
            check(action)


def check(action: object) -> None:
    if isinstance(action, Send):
        reply = Message.parse(action.packet)
        assert reply.operation == 2
        assert len(action.packet) <= 1472 + 512
        assert action.address != IPv4Address(0)
    else:
        assert isinstance(action, Event)
        assert action.data["text"]


def test_made_up_clients_use_bounded_memory() -> None:
    random = Random(1)
    machine = Machine(server())
    for _ in range(20_000):
        mac = b"\2" + random.randbytes(5)
        message = Message(REQUEST, hardware_address=mac, options=((53, bytes((random.choice([1, 3, 4, 7, 8]),))), (50, b"\x0a\0\0" + random.randbytes(1)), (60, b"bpscript")))
        machine.server.receive(message.build(), ARRIVAL, START)
    assert len(machine.server.pool.leases()) <= 10
    assert len(machine.server.pool._ends) <= 4 * 10 + 65
    assert len(machine.server._limiter._filled) <= 4096
    assert len(machine.server._booted) <= 4096
    assert len(machine.server.pool._owned) <= 10


def test_a_bucket_runs_empty_and_forgets_who_was_silent_longest() -> None:
    limiter = Limiter(burst=2, per_second=1, most_clients=2)
    assert [limiter.allow(b"a", 0.0) for _ in range(3)] == [True, True, False]
    assert limiter.allow(b"a", 1.0)
    assert not limiter.allow(b"a", 1.0)
    assert limiter.allow(b"b", 1.0)
    assert limiter.allow(b"c", 1.0)
    assert limiter.allow(b"a", 1.0), "forgotten"
    assert limiter.allow(b"b", 0.5), "a clock that was set back"


def test_a_thousand_clients_at_once_get_a_thousand_addresses() -> None:
    machine = Machine(server(subnet("10.0.0.2-10.0.0.254"), Subnet(IPv4Network("10.8.0.0/16"), (AddressRange.parse("10.8.0.10-10.8.4.9"),))))
    machines = [replace(another(machine, number), relay=IPv4Address("10.8.0.1").packed) for number in range(1, 1001)]
    offers = [each.discover() for each in machines]
    given = {address_of(each.select(offer)) for each, offer in zip(machines, offers, strict=True) if offer is not None}
    assert len(given) == 1000
    assert client_of(Message(REQUEST, hardware_address=mac_of(1))).identity == b"\1" + mac_of(1)
    assert OURS not in given
