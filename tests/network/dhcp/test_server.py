"""The DHCP server's core against clients that follow RFC 2131, and some that do not."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from bpscript.base.errors import StorageError, UsageError
from bpscript.network.dhcp.actions import Arrival
from bpscript.network.dhcp.firmware import Client
from bpscript.network.dhcp.message import ACK, NAK, OFFER, REPLY, Message
from bpscript.network.dhcp.plan import NoDirectory, Plan
from bpscript.network.dhcp.pool import QUARANTINE_S, Pool, State
from bpscript.network.dhcp.subnet import AddressRange, Subnet

from .simulation import ARRIVAL, INTERFACE, OURS, START, Machine, address_of, another, mac_of, server, subnet

FIRST, SECOND = IPv4Address("10.0.0.100"), IPv4Address("10.0.0.101")
BROADCAST = IPv4Address("255.255.255.255")


def test_a_machine_gets_an_address_with_what_it_asks_for() -> None:
    machine = Machine(server(subnet(options={3: OURS.packed, 6: b"\1\2\3\4", 15: b"lab"})))
    offer = machine.discover(o55=bytes((6, 3, 1)))
    assert offer is not None
    assert (offer.message_type, address_of(offer), offer.operation, offer.transaction_id) == (OFFER, FIRST, REPLY, 0x1234)
    ack = machine.select(offer, o55=bytes((6, 3, 1)))
    assert ack is not None
    assert (ack.message_type, address_of(ack), IPv4Address(ack.server_ip)) == (ACK, FIRST, OURS)
    assert [code for code, _ in ack.options] == [53, 54, 51, 58, 59, 1, 6, 3]
    assert (ack.option(51), ack.option(58), ack.option(59)) == tuple(each.to_bytes(4, "big") for each in (3600, 1800, 3150))
    assert machine.happened == ["offered", "bound"]
    assert machine.texts[1] == "10.0.0.100 given to 02:00:00:00:00:01 for 3600 s"


def test_without_a_list_every_option_is_sent() -> None:
    ack = Machine(server(subnet(options={3: OURS.packed, 15: b"lab"}))).boot()
    assert {1, 3, 15, 28} <= {code for code, _ in ack.options}


def test_the_script_is_sent_unasked() -> None:
    """notes: option 155 is in nobody's list."""
    machine = Machine(server(directory=NoDirectory(Plan(script="-i deploy"))))
    assert machine.boot(o55=b"\1").option(155) == b"-i deploy"


def test_two_machines_get_two_addresses_and_keep_them() -> None:
    one = Machine(server())
    two = another(one, 2)
    assert (address_of(one.boot()), address_of(two.boot())) == (FIRST, SECOND)
    assert (address_of(two.boot()), address_of(one.boot())) == (SECOND, FIRST)


def test_an_address_that_is_asked_for_is_given_when_it_is_free() -> None:
    wanted = IPv4Address("10.0.0.105")
    one = Machine(server())
    assert address_of(one.boot(o50=wanted.packed)) == wanted
    assert address_of(another(one, 2).discover(o50=wanted.packed)) == FIRST
    assert address_of(another(one, 3).discover(o50=IPv4Address("10.0.0.7").packed)) == SECOND


def test_the_same_machine_with_and_without_a_client_identifier_is_one() -> None:
    """A boot ROM sends none, iPXE and udhcpc send type and hardware address: one lease through all stages."""
    machine = Machine(server())
    assert address_of(machine.boot()) == address_of(machine.boot(o61=b"\1" + machine.mac)) == FIRST
    ack = machine.boot(o61=b"\xffanother system")
    assert address_of(ack) == SECOND
    assert ack.option(61) == b"\xffanother system"      # RFC 6842


@pytest.mark.parametrize(
    ("flags", "relay", "address", "port", "is_by_hardware"),
    [(0, 0, FIRST, 68, True), (0x8000, 0, BROADCAST, 68, False), (0, 1, IPv4Address("10.0.0.254"), 67, False), (0x8000, 1, IPv4Address("10.0.0.254"), 67, False)],
    ids=["unicast", "broadcast", "relay", "relay-broadcast"],
)
def test_replies_go_where_the_rfc_says(flags: int, relay: int, address: IPv4Address, port: int, is_by_hardware: bool) -> None:
    machine = Machine(server(), flags=flags, relay=IPv4Address("10.0.0.254").packed if relay else bytes(4))
    machine.discover()
    assert machine.sent is not None
    assert (machine.sent.address, machine.sent.port) == (address, port)
    assert machine.sent.hardware_address == (machine.mac if is_by_hardware else b"")


def test_a_renewal_is_answered_to_the_address_the_client_has() -> None:
    machine = Machine(server())
    address = address_of(machine.boot())
    machine.now += 1800
    ack = machine.renew(address)
    assert ack is not None
    assert ack.message_type == ACK
    assert IPv4Address(ack.client_ip) == address
    assert machine.sent is not None
    assert (machine.sent.address, machine.sent.port, machine.sent.hardware_address) == (address, 68, b"")
    assert machine.happened[-1] == "renewed"
    lease = machine.server.pool.lease(address)
    assert lease is not None
    assert lease.expires == START + 1800 + 3600


def test_a_renewal_of_an_address_somebody_else_has_is_refused() -> None:
    one = Machine(server())
    address = address_of(one.boot())
    two = another(one, 2)
    nak = two.renew(address)
    assert nak is not None
    assert (nak.message_type, nak.option(56), nak.option(54)) == (NAK, b"the address is not yours", OURS.packed)
    assert not any(nak.your_ip)
    assert two.sent is not None
    assert two.sent.address == BROADCAST


def test_a_renewal_after_the_database_was_lost_is_granted_when_the_address_is_free() -> None:
    machine = Machine(server())
    assert address_of(machine.renew(SECOND)) == SECOND


def test_a_reboot_with_a_known_address_is_confirmed() -> None:
    machine = Machine(server())
    address = address_of(machine.boot())
    assert address_of(machine.reboot(address)) == address


def test_a_reboot_in_another_network_is_refused_through_the_relay_as_a_broadcast() -> None:
    machine = Machine(server(), relay=IPv4Address("10.0.0.254").packed)
    nak = machine.reboot(IPv4Address("192.168.1.5"))
    assert nak is not None
    assert (nak.message_type, nak.flags) == (NAK, 0x8000)
    assert machine.sent is not None
    assert machine.sent.address == IPv4Address("10.0.0.254")


def test_a_reboot_of_a_client_without_a_record_is_not_answered() -> None:
    assert Machine(server()).reboot(FIRST) is None


def test_an_offer_is_forgotten_when_the_client_takes_another_server() -> None:
    one = Machine(server(subnet("10.0.0.100")))
    assert one.discover() is not None
    assert one.ask(3, o54=IPv4Address("10.0.0.2").packed, o50=FIRST.packed) is None
    assert [lease.state for lease in one.server.pool.leases()] == [State.RELEASED]
    assert address_of(another(one, 2).boot()) == FIRST


def test_a_released_address_is_kept_for_its_owner_as_long_as_possible() -> None:
    one = Machine(server(subnet("10.0.0.100-10.0.0.101")))
    address = address_of(one.boot())
    one.release(address)
    assert one.happened[-1] == "released"
    assert address_of(another(one, 2).boot()) == SECOND
    assert address_of(one.boot()) == address
    one.release(address)
    assert address_of(another(one, 3).boot()) == address


def test_only_its_owner_can_release_or_decline_an_address() -> None:
    one = Machine(server(subnet("10.0.0.100")))
    address = address_of(one.boot())
    stranger = another(one, 2)
    stranger.release(address)
    stranger.decline(address)
    assert stranger.events == []
    lease = one.server.pool.lease(address)
    assert lease is not None
    assert lease.state is State.BOUND


def test_a_declined_address_is_left_alone_for_a_while() -> None:
    machine = Machine(server(subnet("10.0.0.100-10.0.0.107")))
    address = address_of(machine.boot())
    machine.decline(address)
    assert machine.texts[-1] == "10.0.0.100 is used by somebody else, says 02:00:00:00:00:01: nobody gets it for a while"
    assert address_of(machine.boot()) == SECOND
    others = [another(machine, number) for number in range(2, 8)]
    for each in others:
        each.boot()
    last = another(machine, 9)
    assert last.discover() is None
    assert last.happened == ["exhausted"]
    last.now += QUARANTINE_S + 1
    assert address_of(last.discover()) == address


def test_declining_never_takes_more_than_a_quarter_of_the_addresses() -> None:
    machine = Machine(server(subnet("10.0.0.100-10.0.0.119")))
    for number in range(40):
        one = another(machine, number + 10)
        one.decline(address_of(one.boot()))
    states = [lease.state for lease in machine.server.pool.leases()]
    assert states.count(State.DECLINED) == 5
    assert address_of(machine.boot()) in subnet("10.0.0.100-10.0.0.119").network


def test_a_full_pool_says_so_and_recovers_when_leases_end() -> None:
    one = Machine(server(subnet("10.0.0.100-10.0.0.101")))
    one.boot()
    another(one, 2).boot()
    three = another(one, 3)
    assert three.discover() is None
    assert three.texts == ["no address is free in 10.0.0.0/24 for 02:00:00:00:00:03"]
    three.now += 3601
    assert address_of(three.boot()) == FIRST


def test_a_flood_of_discovers_leaves_room_for_a_real_client() -> None:
    """Offers are not leases: the oldest makes room."""
    machine = Machine(server())
    for number in range(1000, 3000):
        assert another(machine, number).discover() is not None
    assert machine.boot().message_type == ACK
    assert [lease.state for lease in machine.server.pool.leases()].count(State.BOUND) == 1
    assert len(machine.server.pool.leases()) == 10


def test_a_client_that_loops_is_not_answered_for_ever() -> None:
    machine = Machine(server())
    answered = sum(machine.discover() is not None for _ in range(200))
    assert answered == 32
    machine.now += 10
    assert machine.discover() is not None


def test_an_inform_gets_options_but_no_address_and_no_lease() -> None:
    machine = Machine(server())
    ack = machine.inform(IPv4Address("10.0.0.7"))
    assert ack is not None
    assert ack.message_type == ACK
    assert not any(ack.your_ip)
    assert ack.option(51) is None
    assert ack.option(3) == OURS.packed
    assert machine.sent is not None
    assert machine.sent.address == IPv4Address("10.0.0.7")
    assert machine.server.pool.leases() == []


def test_an_inform_never_makes_us_send_to_a_stranger() -> None:
    assert Machine(server()).inform(IPv4Address("8.8.8.8")) is None


def test_a_bootp_client_gets_its_address_at_once() -> None:
    machine = Machine(server())
    reply = machine.ask(None)
    assert reply is not None
    assert (reply.message_type, address_of(reply), reply.option(51), reply.option(54)) == (None, FIRST, None, None)
    assert reply.boot_file == b"undionly.kpxe"
    assert len(reply.build()) == 300
    assert address_of(machine.ask(None)) == FIRST
    assert machine.happened[:2] == ["bound", "offered"]


def test_a_bootp_client_with_an_address_is_told_its_boot_file() -> None:
    machine = Machine(server())
    reply = machine.ask(None, IPv4Address("10.0.0.9"))
    assert reply is not None
    assert reply.boot_file == b"undionly.kpxe"
    assert machine.server.pool.leases() == []


def test_bootp_clients_get_at_most_half_of_the_addresses() -> None:
    machine = Machine(server())
    given = [another(machine, number).ask(None) for number in range(10, 20)]
    assert sum(each is not None for each in given) == 5
    assert machine.boot().message_type == ACK


def test_an_entry_has_its_address_and_nobody_else_gets_it() -> None:
    class Known(NoDirectory):
        def plan_for(self, client: Client) -> Plan:
            return Plan("pc1", FIRST, "pc1") if client.hardware_address == mac_of(1) else Plan()

        def reserved(self) -> dict[IPv4Address, str]:
            return {FIRST: "pc1"}

    machine = Machine(server(directory=Known()))
    assert address_of(another(machine, 2).boot()) == SECOND
    ack = machine.boot(o55=b"\1")
    assert address_of(ack) == FIRST
    assert ack.option(12) == b"pc1"
    assert address_of(machine.boot(o61=b"\xffsecond system")) == FIRST
    nak = another(machine, 3).reboot(FIRST)
    assert nak is None
    refused = another(machine, 2).renew(FIRST)
    assert refused is not None
    assert refused.message_type == NAK


def test_an_entry_whose_address_a_stranger_still_has_waits_for_it() -> None:
    plans = {mac_of(2): Plan("pc2", FIRST)}

    class Later(NoDirectory):
        known = False

        def plan_for(self, client: Client) -> Plan:
            return plans.get(client.hardware_address, Plan()) if self.known else Plan()

        def reserved(self) -> dict[IPv4Address, str]:
            return {FIRST: "pc2"} if self.known else {}

    directory = Later()
    one = Machine(server(directory=directory))
    assert address_of(one.boot()) == FIRST
    directory.known = True
    two = another(one, 2)
    assert address_of(two.boot()) == SECOND
    two.now += 3601
    assert address_of(two.boot()) == FIRST


def test_who_is_to_be_ignored_gets_nothing_but_a_line_in_the_log() -> None:
    machine = Machine(server(directory=NoDirectory(Plan("printer", ignore=True))))
    assert machine.discover() is None
    assert machine.happened == ["ignored"]


def test_a_relay_chooses_the_network_and_gets_its_option_back_last() -> None:
    far = Subnet(IPv4Network("10.7.0.0/16"), (AddressRange.parse("10.7.0.10-20"),), {3: b"\x0a\7\0\1"})
    information = bytes((1, 4)) + b"sw1/"
    machine = Machine(server(subnet(), far), relay=IPv4Address("10.7.0.1").packed, options={82: information})
    ack = machine.boot(o55=bytes((1, 3, 82)))
    assert address_of(ack) == IPv4Address("10.7.0.10")
    assert ack.option(1) == IPv4Address("255.255.0.0").packed
    assert ack.options[-1] == (82, information)
    assert ack.gateway_ip == IPv4Address("10.7.0.1").packed


@pytest.mark.parametrize("place", ["link-selection", "subnet-selection"])
def test_a_link_that_is_named_wins_over_the_relay(place: str) -> None:
    """RFC 3527 and RFC 3011."""
    far = Subnet(IPv4Network("10.7.0.0/16"), (AddressRange.parse("10.7.0.10-20"),))
    link = IPv4Address("10.7.0.0").packed
    option = {82: b"\5\4" + link} if place == "link-selection" else {118: link}
    machine = Machine(server(subnet(), far), relay=IPv4Address("10.0.0.254").packed, options=option)
    assert address_of(machine.discover()) == IPv4Address("10.7.0.10")
    assert machine.sent is not None
    assert machine.sent.address == IPv4Address("10.0.0.254")


def test_a_relay_on_another_port_is_answered_there() -> None:
    """RFC 8357."""
    machine = Machine(server(), relay=OURS.packed, options={82: b"\x13\0"}, arrival=Arrival(INTERFACE, OURS, 40_000))
    machine.discover()
    assert machine.sent is not None
    assert machine.sent.port == 40_000


def test_a_network_that_is_not_served_is_not_answered() -> None:
    assert Machine(server(), relay=IPv4Address("10.99.0.1").packed).discover() is None


@pytest.mark.parametrize(
    "broken",
    [
        lambda message: replace(message, operation=REPLY),
        lambda message: replace(message, hops=17),
        lambda message: replace(message, hardware_address=bytes(6)),
        lambda message: replace(message, hardware_address=b"\xff" * 6),
        lambda message: replace(message, hardware_address=b"\1\2\3"),
        lambda message: replace(message, hardware_address=b""),
        lambda message: replace(message, options=((53, b"\x09"),)),
        lambda message: replace(message, options=((53, b"\2"),)),
    ],
    ids=["reply", "relay-loop", "no-address", "everybody", "short-address", "nobody", "unknown-type", "offer"],
)
def test_what_no_client_sends_is_not_answered(broken: Callable[[Message], Message]) -> None:
    message = Message(1, hardware_address=mac_of(1), options=((53, b"\1"),))
    assert server().receive(message.build(), ARRIVAL, START)
    assert server().receive(broken(message).build(), ARRIVAL, START) == []


def test_a_client_of_infiniband_is_answered_by_broadcast() -> None:
    """RFC 4390: no hardware address, a client identifier, a broadcast."""
    message = Message(1, hardware_type=32, options=((53, b"\1"), (61, b"\0guid")))
    machine = Machine(server())
    assert address_of(machine.take(machine.server.receive(message.build(), ARRIVAL, START))) == FIRST
    assert machine.sent is not None
    assert (machine.sent.address, machine.sent.hardware_address) == (BROADCAST, b"")


def test_a_short_lease_is_given_to_who_asks_for_one_and_never_a_longer() -> None:
    machine = Machine(server())
    for wanted, given in ((600, 600), (1, 60), (1 << 31, 3600)):
        assert machine.boot(o51=wanted.to_bytes(4, "big")).option(51) == given.to_bytes(4, "big")


@pytest.mark.parametrize(("size", "limit"), [(None, 548), (100, 548), (1000, 972), (9000, 1472)], ids=["none", "small", "own", "larger-than-the-wire"])
def test_a_reply_is_no_longer_than_client_and_wire_take(size: int | None, limit: int) -> None:
    """RFC 2131 2 and option 57; what has no room is said."""
    options = {code: bytes(100) for code in range(128, 150)}
    machine = Machine(server(subnet(options=options)), options={} if size is None else {57: size.to_bytes(2, "big")})
    machine.boot()
    assert machine.sent is not None
    assert limit - 102 <= len(machine.sent.packet) <= limit
    warning = next(text for text in machine.texts if "no room" in text)
    assert warning.startswith("the reply to 02:00:00:00:00:01 has no room for option ")


def test_leases_survive_a_restart(tmp_path: Path) -> None:
    pool = Pool(tmp_path / "leases.db")
    one = Machine(server(pool=pool))
    one.boot()
    two = another(one, 2)
    address = address_of(two.boot())
    two.decline(address)
    before = pool.leases()
    pool.close()
    again = Pool(tmp_path / "leases.db")
    assert again.leases() == before
    assert address_of(another(Machine(server(pool=again)), 3).boot()) == IPv4Address("10.0.0.102")
    again.close()


def test_a_file_that_is_no_lease_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "leases.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(StorageError, match=r"leases\.db: the lease database cannot be opened: file is not a database"):
        Pool(path)


def test_a_lease_that_cannot_be_written_is_not_given(tmp_path: Path) -> None:
    """RFC 2131 3.1: the binding is committed before the ACK."""
    pool = Pool(tmp_path / "leases.db")
    machine = Machine(server(pool=pool))
    offer = machine.discover()
    assert offer is not None
    pool.close()
    with pytest.raises(StorageError, match=r"the lease of 10\.0\.0\.100 cannot be written"):
        machine.select(offer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10.0.0.1-", '"10.0.0.1-" is no range of IPv4 addresses'),
        ("ten", '"ten" is no range of IPv4 addresses'),
        ("10.0.0.9-10.0.0.1", 'the range "10.0.0.9-10.0.0.1" ends before it begins'),
        ("10.0.0.0-10.9.0.0", 'the range "10.0.0.0-10.9.0.0" has 589825 addresses, at most 131072 are possible'),
    ],
    ids=["half", "word", "backwards", "large"],
)
def test_a_range_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        AddressRange.parse(text)
    assert caught.value.message == message


def test_a_range_outside_its_network_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the range 10\.1\.0\.1-10\.1\.0\.9 is not in the network 10\.0\.0\.0/24"):
        subnet("10.1.0.1-9")


def test_the_names_of_the_network_are_never_given() -> None:
    machine = Machine(server(subnet("10.0.0.0-10.0.0.2")))
    assert address_of(machine.boot()) == IPv4Address("10.0.0.2")
    assert another(machine, 2).discover() is None


def test_the_addresses_of_server_routers_and_relay_are_never_given() -> None:
    routers = IPv4Address("10.0.0.2").packed + IPv4Address("10.0.0.3").packed
    machine = Machine(server(subnet("10.0.0.1-10.0.0.5", options={3: routers})), relay=IPv4Address("10.0.0.4").packed)
    assert address_of(machine.boot(o50=OURS.packed)) == IPv4Address("10.0.0.5")
    assert another(machine, 2).discover(o50=IPv4Address("10.0.0.2").packed) is None
