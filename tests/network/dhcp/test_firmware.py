"""Which firmware asks, and what it is given to boot: from captures of real clients, and from what is known of others."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bpscript.network.dhcp.actions import BROADCAST, Arrival, Send
from bpscript.network.dhcp.boot_options import pack_variables, suboptions, unpack_variables
from bpscript.network.dhcp.captures import bootp_payload, read_frames
from bpscript.network.dhcp.firmware import ARCHITECTURES, FEATURE_HTTP, Firmware, client_of
from bpscript.network.dhcp.message import ACK, DISCOVER, INFORM, OFFER, REQUEST, REQUEST_ADDRESS, Message
from bpscript.network.dhcp.plan import BootPolicy, NoDirectory, Plan
from bpscript.network.dhcp.proxy import ProxyServer
from tests.network.dhcp.simulation import ARRIVAL, INTERFACE, OURS, START, Machine, address_of, mac_of, server

PCAPS = Path(__file__).parents[2] / "data" / "pcaps"
NAMES = sorted(path.stem for path in PCAPS.glob("*.pcap"))
PXE_BIOS = {60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0", 94: b"\1\2\1", 97: bytes(17)}
PI_GUID = bytes.fromhex("00 34695052 4131a000 01f8deb9 600c1a2b")       # type; "4iPR", board revision, end of the address, serial


def messages(name: str) -> Iterator[Message]:
    with (PCAPS / f"{name}.pcap").open("rb") as file:
        for frame in read_frames(file):
            payload = bootp_payload(frame)
            if payload is not None:
                yield Message.parse(payload)


def requests(name: str) -> list[Message]:
    return [message for message in messages(name) if message.operation == REQUEST]


def request(options: dict[int, bytes], kind: int | None = DISCOVER, mac: bytes = mac_of(1), **fields: bytes) -> Message:
    given = ({} if kind is None else {53: bytes((kind,))}) | options
    return replace(Message(REQUEST, hardware_address=mac, transaction_id=7, options=tuple(given.items())), **fields)  # type: ignore[arg-type]


def test_the_firmware_of_the_captured_clients_is_known() -> None:
    found = {name: [client_of(each).firmware for each in requests(name)] for name in NAMES}
    assert set(found["bios-ipxe-virtio"][:2]) == {Firmware.IPXE}
    assert found["uefi-ovmf"][:2] == [Firmware.UEFI_X64] * 2
    assert found["uefi-ovmf"][2:4] == [Firmware.IPXE] * 2
    assert set(found["dhcp-full-options"]) == {None}


def test_the_captured_ipxe_knows_http() -> None:
    assert FEATURE_HTTP in client_of(requests("bios-ipxe-virtio")[0]).ipxe_features


@pytest.mark.parametrize("name", NAMES)
def test_every_captured_exchange_ends_with_an_ack(name: str) -> None:
    """The requests of real clients, with our server in place of the one they had: each gets its answer, and one address."""
    machine = Machine(server(directory=NoDirectory(Plan(script="-i deploy"))))
    given: dict[bytes, set[IPv4Address]] = {}
    for number, captured in enumerate(requests(name)):
        machine.now += number
        asked = captured
        if captured.message_type == REQUEST_ADDRESS:       # of us rather than of the server it had
            known = machine.server.pool.lease_of(client_of(captured).identity, machine.server._settings.subnets[0])
            assert known is not None
            renamed = {50: known.address.packed, 54: OURS.packed}
            asked = replace(captured, options=tuple((code, renamed.get(code, data)) for code, data in captured.options))
        reply = machine.take(machine.server.receive(asked.build(), ARRIVAL, machine.now))
        assert reply is not None
        assert reply.message_type == (OFFER if captured.message_type == DISCOVER else ACK)
        assert reply.option(155) == b"-i deploy"
        assert reply.transaction_id == captured.transaction_id
        given.setdefault(captured.hardware_address, set()).add(address_of(reply))
        size = captured.option(57)
        assert machine.sent is not None
        assert len(machine.sent.packet) <= (576 if size is None else int.from_bytes(size, "big")) - 28
    assert all(len(addresses) == 1 for addresses in given.values()), given
    assert given


@pytest.mark.parametrize(("number", "expected"), sorted(ARCHITECTURES.items()), ids=[f"{number}-{each.value}" for number, each in sorted(ARCHITECTURES.items())])
def test_the_architecture_number_tells_the_firmware(number: int, expected: Firmware) -> None:
    vendor = b"HTTPClient" if expected.is_http else b"PXEClient"
    assert client_of(request({60: vendor, 93: number.to_bytes(2, "big")})).firmware is expected
    assert client_of(request({60: vendor + b":Arch:%05d:UNDI:003000" % number})).firmware is expected


def test_the_first_known_architecture_counts() -> None:
    assert client_of(request({60: b"PXEClient", 93: b"\x7f\x7f\0\x0b\0\7"})).firmware is Firmware.UEFI_ARM64
    assert client_of(request({60: b"PXEClient", 93: b"\x7f\x7f"})).firmware is None
    assert client_of(request({93: b""})).firmware is None
    assert client_of(request({})).firmware is None
    assert client_of(request({}, kind=None)).firmware is Firmware.BIOS


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (PXE_BIOS, "undionly.kpxe"),
        (PXE_BIOS | {77: b"iPXE"}, "boot.ipxe"),
        (PXE_BIOS | {77: b"\4iPXE"}, "boot.ipxe"),
        (PXE_BIOS | {175: b"\xb1\1\0"}, "boot.ipxe"),
        (PXE_BIOS | {175: b"\x13\1\1"}, "http://10.0.0.1:8080/boot.ipxe"),
        ({60: b"PXEClient", 93: b"\0\7"}, "ipxe.efi"),
        ({60: b"PXEClient", 93: b"\0\6"}, "ipxe-ia32.efi"),
        ({60: b"PXEClient", 93: b"\0\x0b"}, "ipxe-arm64.efi"),
        ({60: b"HTTPClient", 93: b"\0\x10"}, "http://10.0.0.1:8080/ipxe.efi"),
        ({60: b"HTTPClient", 93: b"\0\x13"}, "http://10.0.0.1:8080/ipxe-arm64.efi"),
        ({60: b"udhcp 1.35.0"}, ""),
    ],
    ids=["bios", "ipxe-bare", "ipxe-rfc3004", "ipxe-175", "ipxe-http", "x64", "ia32", "arm64", "http-x64", "http-arm64", "system"],
)
def test_every_client_gets_its_boot_program(options: dict[int, bytes], expected: str) -> None:
    machine = Machine(server(policy=BootPolicy(http_port=8080)))
    reply = machine.discover(**{f"o{code}": data for code, data in options.items()})
    assert reply is not None
    assert reply.boot_file.decode() == expected
    assert IPv4Address(reply.server_ip) == OURS
    is_http = options[60].startswith(b"HTTP")
    assert reply.option(60) == (b"HTTPClient" if is_http else None)     # UEFI takes no HTTP offer without it
    assert reply.option(43) is None
    is_ipxe = 175 in options or 77 in options
    assert reply.option(175) == (b"\xb0\1\1" if is_ipxe else None)
    assert reply.option(97) == options.get(97)


def test_the_first_program_that_exists_is_chosen_and_none_is_not() -> None:
    there = {"pxelinux.0", "snponly.efi"}
    policy = BootPolicy(has_file=there.__contains__)
    assert [
        policy.choose(client_of(request({60: b"PXEClient", 93: number})), Plan(), OURS) for number in (b"\0\0", b"\0\7", b"\0\x0b")
    ] == ["pxelinux.0", "snponly.efi", ""]


def test_what_a_plan_says_is_taken_as_it_is() -> None:
    plan = Plan(programs={Firmware.BIOS: "my program.0", Firmware.IPXE: "https://example.org/x.ipxe", Firmware.UEFI_X64: "a b.efi"})
    policy = BootPolicy(has_file=lambda name: False, http_port=80)
    assert policy.choose(client_of(request(PXE_BIOS)), plan, OURS) == "my program.0"
    assert policy.choose(client_of(request(PXE_BIOS | {175: b"\x13\1\1"})), plan, OURS) == "https://example.org/x.ipxe"
    assert policy.choose(client_of(request({60: b"HTTPClient", 93: b"\0\x10"})), plan, OURS) == "http://10.0.0.1/a%20b.efi"
    assert BootPolicy().choose(client_of(request({60: b"HTTPClient", 93: b"\0\x10"})), plan, OURS) == ""


@pytest.mark.parametrize("mac", ["b827eb000001", "dca632000001"], ids=["pi3", "pi4"])
def test_a_raspberry_pi_sees_its_menu_entry_and_keeps_an_offer_it_never_asks_for(mac: str) -> None:
    machine = Machine(server(), mac=bytes.fromhex(mac))
    offer = machine.discover(o60=b"PXEClient:Arch:00000:UNDI:002001", o93=b"\0\0")
    assert offer is not None
    menu = suboptions(offer.option(43) or b"")
    assert menu[9][3:] == b"Raspberry Pi Boot"
    assert (offer.option(60), offer.option(66)) == (b"PXEClient", b"10.0.0.1")
    assert (offer.option(43) or b"")[-1] == 255
    lease = machine.server.pool.lease(address_of(offer))
    assert lease is not None
    assert lease.expires == START + 600
    assert machine.happened == ["offered", "offered"]


def test_a_raspberry_pi_is_known_by_its_guid_and_by_its_serial_number() -> None:
    client = client_of(request(PXE_BIOS | {97: PI_GUID}))
    assert (client.firmware, client.serials) == (Firmware.RASPBERRY_PI, ("2b1a0c60", "600c1a2b"))
    repeated = client_of(request(PXE_BIOS | {97: b"\0" + bytes.fromhex("4372ee6a") * 4}, mac=bytes.fromhex("dca632000001")))
    assert repeated.serials == ("6aee7243", "4372ee6a")


def test_the_uuid_is_written_as_smbios_tools_write_it() -> None:
    assert client_of(request({97: bytes(range(17))})).uuid == "04030201-0605-0807-090a-0b0c0d0e0f10"
    for nobody in (bytes(17), b"\0" + b"\xff" * 16, b"\0\1\2", b"\1" + bytes(range(16))):
        assert client_of(request({97: nobody})).uuid == ""


# proxyDHCP


def proxied(message: Message, *, port: int = 67, arrival: Arrival = ARRIVAL, plan: Plan | None = None) -> tuple[Message, Send] | None:
    proxy = ProxyServer(BootPolicy(), NoDirectory(plan))
    actions = proxy.receive(message.build(), arrival, START) if port == 67 else proxy.receive_boot_request(message.build(), arrival, START)
    sent = [each for each in actions if isinstance(each, Send)]
    return (Message.parse(sent[0].packet), sent[0]) if sent else None


def test_a_proxy_offers_a_boot_file_and_no_address() -> None:
    found = proxied(request(PXE_BIOS))
    assert found is not None
    offer, sent = found
    assert (offer.message_type, offer.your_ip, offer.boot_file, offer.server_ip) == (OFFER, bytes(4), b"undionly.kpxe", OURS.packed)
    assert (offer.option(60), offer.option(97), offer.option(54)) == (b"PXEClient", bytes(17), OURS.packed)
    assert suboptions(offer.option(43) or b"") == {6: b"\x08"}
    assert offer.option(51) is None
    assert offer.option(1) is None
    assert (sent.address, sent.port) == (BROADCAST, 68)


def test_on_port_4011_it_acknowledges_and_returns_the_boot_item() -> None:
    client = Arrival(INTERFACE, IPv4Address("10.0.0.55"), 4321)
    asked = request(PXE_BIOS | {43: b"\x47\4\0\0\0\0\xff"}, REQUEST_ADDRESS, client_ip=IPv4Address("10.0.0.55").packed)
    found = proxied(asked, port=4011, arrival=client)
    assert found is not None
    ack, sent = found
    assert (ack.message_type, ack.boot_file, ack.client_ip) == (ACK, b"undionly.kpxe", asked.client_ip)
    assert suboptions(ack.option(43) or b"") == {6: b"\x08", 71: bytes(4)}
    assert (sent.address, sent.port) == (IPv4Address("10.0.0.55"), 4321)
    assert proxied(replace(asked, options=((53, bytes((INFORM,))), *asked.options[1:])), port=4011, arrival=client) is not None
    assert proxied(asked, port=4011) is None, "from nowhere"


@pytest.mark.parametrize(
    ("message", "plan"),
    [
        (request({60: b"udhcp 1.35.0"}), None), (request({}), None), (request(PXE_BIOS, REQUEST_ADDRESS), None), (request(PXE_BIOS, None), None),
        (request(PXE_BIOS), Plan(ignore=True)), (request({60: b"PXEClient", 93: b"\x7f\0"}), None),
    ],
    ids=["system", "nobody", "request-for-the-server", "bootp", "ignored", "unknown-firmware"],
)
def test_a_proxy_is_silent_to_who_does_not_boot_from_it(message: Message, plan: Plan | None) -> None:
    assert proxied(message, plan=plan) is None


def test_a_proxy_tells_our_boot_environment_where_it_came_from() -> None:
    """Without a script, too: the files are where the boot file is."""
    found = proxied(request({60: b"bpscript"}))
    assert found is not None
    assert found[0].boot_file == b"boot.ipxe"


def test_a_proxy_tells_our_boot_environment_its_script() -> None:
    found = proxied(request({60: b"bpscript", 55: bytes((155, 224))}), plan=Plan(script="-i deploy", variables={"A": "1", "B": "x=y"}))
    assert found is not None
    assert (found[0].option(155), found[0].option(60)) == (b"-i deploy", b"bpscript")
    assert unpack_variables(found[0].option(224) or b"") == {"A": "1", "B": "x=y"}


def test_a_proxy_answers_a_relay_there() -> None:
    found = proxied(request(PXE_BIOS | {82: b"\1\1x"}, gateway_ip=b"\x0a\7\0\1"))
    assert found is not None
    assert (found[1].address, found[1].port, found[0].options[-1]) == (IPv4Address("10.7.0.1"), 67, (82, b"\1\1x"))


def test_variables_travel_in_one_option() -> None:
    given = {"Image": "lab.imz", "Empty": "", "Sign": "a=b", "Umlaut": "ä"}
    assert unpack_variables(pack_variables(given)) == given
    assert unpack_variables(b"") == {}
    assert unpack_variables(b"\0=x\0no sign\0\xff=1") == {"�": "1"}


def test_encapsulated_options_end_where_they_no_longer_fit() -> None:
    assert suboptions(b"\0\1\2ab\2\1c\3\\9") == {1: b"ab", 2: b"c"}
    assert suboptions(b"\1\1a\xff\2\1b") == {1: b"a"}
    assert suboptions(b"\1") == {}


@pytest.mark.parametrize(("data", "classes"), [
    (b"", ()), (b"iPXE", ("iPXE",)), (b"\3lab\5pilot", ("lab", "pilot")), (b"\3lab\6pilot", ("\3lab\6pilot",)), (b"\0lab", ("",)),
], ids=["none", "bare", "list", "too-long", "empty"])
def test_user_classes_come_as_a_list_or_bare(data: bytes, classes: tuple[str, ...]) -> None:
    assert client_of(request({77: data} if data else {})).user_classes == classes
