"""hosts.toml: who a machine is, what it gets, and what is said of files that are wrong."""

import os
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import UsageError
from bpscript.base.events import Event
from bpscript.network.dhcp.firmware import Client, Firmware
from bpscript.network.dhcp.plan import DEFAULT_PROGRAMS, Plan
from bpscript.server.hosts import HostBook, WatchedHosts, swapped
from bpscript.server.hosts_format import read_hosts

MANUAL = (Path(__file__).parents[2] / "docs" / "hosts.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL)[0]
PC12 = bytes.fromhex("00a0c9112233")


def book(text: str) -> HostBook:
    return HostBook(read_hosts(text.encode(), "hosts.toml"))


def complaint(text: str | bytes) -> str:
    with pytest.raises(UsageError) as caught:
        read_hosts(text.encode() if isinstance(text, str) else text, "hosts.toml")
    return caught.value.message + (f" ({caught.value.hint})" if caught.value.hint else "")


def test_the_example_of_the_manual_means_what_it_says() -> None:
    hosts = book(EXAMPLE)
    pc12 = hosts.find(mac=PC12)
    assert (pc12.name, pc12.address, pc12.host_name, pc12.script, pc12.ignore) == ("pc12", IPv4Address("10.0.0.12"), "pc12", "-i install", False)
    assert pc12.variables == {"Image": "pc12.imz", "Printer": "lj4"}
    assert pc12.options == {42: bytes((10, 0, 0, 1, 10, 0, 0, 2))}
    assert pc12.programs == {Firmware.BIOS: "pxelinux.0", Firmware.UEFI_X64: "grubx64.efi"}
    assert hosts.find(serials=("4372EE6A",)).host_name == "weather-station"
    assert hosts.find(mac=bytes.fromhex("00a0c9445567")).ignore
    stranger = hosts.find(mac=b"\2\0\0\0\0\1")
    assert (stranger.name, stranger.script, stranger.variables, stranger.ignore) == ("", "install", {"Image": "lab.imz"}, False)
    near, far = hosts.networks()
    assert (near.network, near.lease_s, near.options[3], near.options[15]) == (IPv4Network("10.0.0.0/24"), 43200, b"\x0a\0\0\xfe", b"lab.example")
    assert (len(far.ranges), far.options) == (2, {3: b"\x0a\7\0\1"})
    assert hosts.reserved() == {IPv4Address("10.0.0.12"): "pc12"}


def test_every_firmware_and_every_default_program_is_in_the_manual() -> None:
    assert [each for each in Firmware if f"`{each.value}`" not in MANUAL] == []
    assert [name for names in DEFAULT_PROGRAMS.values() for name in names if f"`{name}`" not in MANUAL] == []


def test_the_hardware_address_wins_over_the_uuid_and_that_over_the_serial_number() -> None:
    uuid = "12345678-9abc-def0-1234-56789abcdef0"
    hosts = book(f'[hosts.a]\nmac = "00:a0:c9:11:22:33"\n[hosts.b]\nuuid = "{uuid.upper()}"\n[hosts.c]\nserial = "S1"\n')
    assert hosts.find(mac=PC12, uuid=uuid, serials=("s1",)).name == "a"
    assert hosts.find(mac=b"other", uuid=uuid, serials=("s1",)).name == "b"
    assert hosts.find(mac=b"other", uuid=swapped(uuid), serials=("s1",)).name == "b"
    assert hosts.find(mac=b"other", uuid="no", serials=("x", "s1")).name == "c"
    assert hosts.find(mac=b"other") == Plan()


def test_a_host_wins_over_its_groups_in_their_order_and_these_over_the_defaults() -> None:
    hosts = book(
        '[defaults]\nscript = "d"\nvariables = { A = "d", B = "d", C = "d", D = "d" }\n'
        '[groups.one]\nvariables = { B = "one", C = "one" }\n'
        '[groups.two]\nscript = "two"\nvariables = { C = "two", D = "two", B = "two" }\n'
        '[hosts.pc]\nserial = "1"\ngroups = ["one", "two"]\nvariables = { B = "pc" }\n'
    )
    plan = hosts.find(serials=("1",))
    assert plan.script == "two"
    assert plan.variables == {"A": "d", "B": "pc", "C": "one", "D": "two"}


CLASSES = """
[defaults]
script = "d"
variables = { A = "d", B = "d" }
[groups.phones]
class = ["snom*", "Cisco ?P Phone", "T[1]*"]
ignore = true
[groups.clients]
class = "PXEClient*"
script = "pxe"
variables = { A = "pxe", B = "pxe" }
[groups.pilot]
class = "pilot"
script = "pilot"
[groups.physics]
variables = { A = "physics" }
[hosts.pc12]
mac = "00a0c9112233"
groups = ["physics"]
"""


@pytest.mark.parametrize(("client", "name", "script", "variables", "ignore"), [
    (Client(b"other", b"1"), "", "d", {"A": "d", "B": "d"}, False),
    (Client(b"other", b"1", vendor_class="SNOM-870"), "", "d", {"A": "d", "B": "d"}, True),
    (Client(b"other", b"1", vendor_class="cisco ip phone"), "", "d", {"A": "d", "B": "d"}, True),
    (Client(b"other", b"1", vendor_class="t[1] x"), "", "d", {"A": "d", "B": "d"}, True),
    (Client(b"other", b"1", vendor_class="t1 x"), "", "d", {"A": "d", "B": "d"}, False),
    (Client(b"other", b"1", vendor_class="PXEClient:Arch:00000"), "", "pxe", {"A": "pxe", "B": "pxe"}, False),
    (Client(b"other", b"1", vendor_class="PXEClient:Arch:00000", user_classes=("x", "pilot")), "", "pxe", {"A": "pxe", "B": "pxe"}, False),
    (Client(b"other", b"1", user_classes=("x", "pilot")), "", "pilot", {"A": "d", "B": "d"}, False),
    (Client(PC12, b"1", vendor_class="PXEClient:Arch:00000"), "pc12", "pxe", {"A": "physics", "B": "pxe"}, False),
    (Client(PC12, b"1"), "pc12", "d", {"A": "physics", "B": "d"}, False),
], ids=["none", "prefix", "letters", "bracket", "no-bracket", "boot-rom", "first-in-the-file", "user-class", "own-groups-first", "own-groups"])
def test_groups_take_in_machines_of_their_class(client: Client, name: str, script: str, variables: dict[str, str], ignore: bool) -> None:
    plan = book(CLASSES).plan_for(client)
    assert (plan.name, plan.script, plan.variables, plan.ignore) == (name, script, variables, ignore)


def test_machines_without_an_entry_can_be_ignored() -> None:
    hosts = book('unknown = "ignore"\n[hosts.pc]\nmac = "00a0c9112233"\n')
    assert hosts.find(mac=b"other").ignore
    assert not hosts.find(mac=PC12).ignore


def test_one_boot_program_is_for_every_firmware_but_ipxe() -> None:
    programs = book('[defaults]\nboot = "my.efi"\n').find().programs
    assert Firmware.IPXE not in programs
    assert set(programs) == set(Firmware) - {Firmware.IPXE}


WRONG: list[tuple[str | bytes, str]] = [
    ("[hosts.a\n", "1:9: no TOML: expected ']' at the end of a table declaration"),
    ("[hosts.a]\nmac = \n", "2:7: no TOML: invalid value"),
    ("[hosts.a]\nmac = 'x", "2:9: no TOML: expected \"'\" at the end of the file"),
    ("a = 1\na = 2\n", "2:6: no TOML: cannot overwrite a value"),
    (b"# \xff\n", "1:3: the byte ff is not UTF-8"),
    ("\n  host = 1\n", '2:3: there is no key "host" here (did you mean hosts?)'),
    ("[hosts.a]\nmac = '00:11:22:33:44:55'\ncolour = 1\n", '3:1: there is no key "colour" here (expected address, again, boot, done, groups, ignore, mac, name, script, serial, uuid, variables)'),
    ("[hosts.a]\n# nothing\n", '1:2: the host "a" has neither mac, uuid nor serial, so no machine can be it'),
    ("[hosts]\na.mac = ['00:11:22:33:44:55', 'zz']\n", '2:31: "zz" is no hardware address (for example 00:a0:c9:11:22:33)'),
    ("[hosts.a]\nmac = 5\n", '2:1: "mac" is 5, expected a text'),
    ("[hosts.a]\nuuid = 'x'\n", '2:1: "x" is no UUID (for example 12345678-9abc-def0-1234-56789abcdef0)'),
    ("[hosts.a]\nserial = '1'\naddress = '10.0.0'\n", '3:1: "10.0.0" is no IPv4 address'),
    ("[hosts.a]\nserial = '1'\n[hosts.b]\nserial = [\n  '2', '1' ]\n", '5:8: the serial 1 of host "b" belongs to host "a" already'),
    ("[hosts]\na = {mac = '001122334455'}\nb = {mac = '00:11:22:33:44:55'}\n", '3:6: the mac 00:11:22:33:44:55 of host "b" belongs to host "a" already'),
    ("[groups.lab]\n[hosts.a]\nserial = '1'\ngroups = ['labs']\n", '4:11: there is no group "labs" (did you mean lab?)'),
    ("[hosts.a]\nserial = '1'\nname = '-x'\n", '3:1: "-x" cannot be the name of a machine (letters, digits, dots and dashes, at most 63)'),
    ("[defaults]\nscript = 5\n", "2:1: the script is 5, expected a text of at most 255 bytes"),
    ("[defaults]\nignore = true\n", '2:1: there is no key "ignore" here (expected again, boot, done, script, variables)'),
    ("[groups.g]\nclass = 'x'\nagain = 1\n", '3:1: "again" is not for a group with a class: a boot ROM and the system after it name different ones (say it in another group, a host or the defaults)'),
    ("[groups.g]\nclass = [5]\n", '2:10: "class" is 5, expected a text'),
    ("[defaults]\nclass = 'x'\n", '2:1: there is no key "class" here (expected again, boot, done, script, variables)'),
    ("[groups.g]\nignore = 1\n", '2:1: "ignore" is 1, expected true or false'),
    ("[defaults]\nboot = { ipxe = '', bios = 'x' }\n", '2:10: the boot file is "", expected the name of a file or a URL'),
    ("[defaults]\nboot.bio = 'x'\n", '2:1: there is no key "bio" here (did you mean bios?)'),
    ("[defaults.variables]\n'a b' = 1\n", '2:1: "a b" cannot be the name of a variable'),
    ("[defaults.variables]\nBOOTP-Your-IP = '10.0.0.1'\n", '2:1: "BOOTP-Your-IP" is a field of the reply and no variable that a hosts file can set'),
    ("[defaults.variables]\nBOOTP-Option-155 = 'x'\n", '2:1: "BOOTP-Option-155" (option 155) is not for a hosts file (use the key "script")'),
    ("[defaults.variables]\nBOOTP-Routers = 'here'\n", '2:1: the value of "BOOTP-Routers" is wrong: "here" is no list of IPv4 addresses'),
    ("[defaults.variables]\nA = 1.5\n", '2:1: the value of "A" is 1.5, expected a text, a number, true, false or a list of them'),
    (f"[defaults.variables]\nA = '{'x' * 1300}'\n", "1:2: the variables are longer than 1200 bytes together and do not fit into a packet"),
    ("[defaults]\nvariables = 1\n", "2:1: the variables are 1, expected a table"),
    ("unknown = 'x'\n", '1:1: "unknown" is "x", expected "serve" or "ignore"'),
    ("networks = 1\n", '1:1: "networks" is 1, expected tables [networks.NAME]'),
    ("[networks.lan]\n", '1:2: "lan" is no IPv4 network'),
    ("[networks.'10.0.0.0/24']\npool = '10.1.0.1'\n", "2:1: the range 10.1.0.1-10.1.0.1 is not in the network 10.0.0.0/24"),
    ("[networks.'10.0.0.0/24']\npool = ['10.0.0.9-3']\n", '2:9: the range "10.0.0.9-3" ends before it begins'),
    ("[networks.'10.0.0.0/24']\nlease = '10s'\n", '2:1: the lease is "10s", expected a time of at least a minute (for example "12h", "30m" or 3600 (seconds))'),
    ("[networks.'10.0.0.0/24'.variables]\nImage = 'x'\n", '2:1: "Image" is no option, so a network cannot set it'),
    ("hosts.a = 1\n", '1:1: "a" is 1, expected a table'),
]


def slug(message: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", message.partition(": ")[2].lower())[:50].strip("-")


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[f"{number}-{slug(message)}" for number, (_, message) in enumerate(WRONG)])
def test_what_is_wrong_is_named_with_its_place(text: str | bytes, message: str) -> None:
    assert complaint(text) == f"hosts.toml:{message}"


def test_a_file_that_nests_too_deeply_is_refused() -> None:
    assert "nested too deeply" in complaint("a = " + "[" * 5000 + "]" * 5000)


@given(st.text(alphabet=" \n\"'[]{}=.,#ab1:-\\", max_size=60) | st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    message = "hosts.toml:1:1: fine"
    try:
        read_hosts(text.encode("utf-8", "surrogatepass"), "hosts.toml")
    except UsageError as error:
        message = error.message
    assert re.match(r"hosts\.toml:\d+:\d+: .", message)


def machine(mac: bytes = PC12) -> Client:
    return Client(mac, b"\1" + mac)


def test_a_change_is_picked_up_and_a_broken_file_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / "hosts.toml"
    path.write_text('[hosts.pc]\nmac = "00a0c9112233"\nscript = "one"\n', encoding="utf-8")
    events: list[Event] = []
    hosts = WatchedHosts(path, events.append)
    assert hosts.plan_for(machine()).script == "one"
    path.write_text('[hosts.pc]\nmac = "00a0c9112233"\nscript = "second"\n', encoding="utf-8")
    assert hosts.plan_for(machine()).script == "second"
    assert [each.data["text"] for each in events] == [f"{path}: read again, 1 hosts"]
    path.write_text('[hosts.pc]\nmac = "00a0c9112233"\nscript = third\n', encoding="utf-8")
    assert hosts.plan_for(machine()).script == "second"
    assert hosts.plan_for(machine()).script == "second"
    assert [each.data["text"] for each in events[1:]] == [f"{path}:3:10: no TOML: invalid value; the hosts of before stay in force"]
    path.unlink()
    assert hosts.plan_for(machine()).script == "second"
    assert events[-1].data["text"] == f"{path}: No such file or directory; the hosts of before stay in force"
    replacement = tmp_path / "new"
    replacement.write_text('[hosts.pc]\nmac = "00a0c9112233"\nscript = "fourth"\n', encoding="utf-8")
    os.replace(replacement, path)
    assert hosts.plan_for(machine()).script == "fourth"


def test_a_file_that_is_broken_at_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        WatchedHosts(tmp_path / "hosts.toml")
    (tmp_path / "hosts.toml").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"hosts\.toml:1:2: no TOML: expected '=' after a key"):
        WatchedHosts(tmp_path / "hosts.toml")
