"""Real DHCP clients in front of our server, each on a cable of its own."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.namespaces import Namespace, Process, Room, needs_root, program, room

pytestmark = needs_root
POOL = "10.9.0.100-10.9.0.199"
SCRIPT = "#!/bin/sh\n[ \"$1\" = bound ] && env | sort\nexit 0\n"


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[Room]:
    with room(tmp_path) as made:
        yield made


def serve(cable: Room, *arguments: str) -> Process:
    return cable.server.python("tests.network.dhcp.serving", "lan", *(arguments or (POOL,)), ready='"ready"')


def mac_of(machine: Namespace) -> str:
    found = re.search(r"link/ether (\S+)", machine.run(program("ip"), "link", "show", "eth0"))
    assert found is not None
    return found[1]


def udhcpc(machine: Namespace, folder: Path, *options: str) -> dict[str, str]:
    script = folder / "bound.sh"
    script.write_text(SCRIPT, encoding="ascii")
    script.chmod(0o755)
    text = machine.run(program("busybox"), "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", str(script), *options)
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.mark.parametrize("flags", [(), ("-B",)], ids=["unicast", "broadcast"])
def test_udhcpc_gets_address_script_and_options(cable: Room, tmp_path: Path, flags: tuple[str, ...]) -> None:
    server = serve(cable)
    machine = cable.machine()
    found = udhcpc(machine, tmp_path, "-O", "155", *flags)
    assert {name: found[name] for name in ("ip", "subnet", "router", "dns", "siaddr", "serverid", "opt155", "lease")} == {
        "ip": "10.9.0.100", "subnet": "255.255.255.0", "router": "10.9.0.1", "dns": "10.9.0.1", "siaddr": "10.9.0.1", "serverid": "10.9.0.1",
        "opt155": b"-i deploy".hex(), "lease": "43200",
    }
    assert [(each["kind"], each.get("action")) for each in server.events] == [("ready", None), ("lease", "offered"), ("lease", "bound")]
    assert server.events[-1]["mac"] == mac_of(machine)
    assert server.stop() == 0


@pytest.mark.net
def test_udhcpc_renews_and_releases(cable: Room, tmp_path: Path) -> None:
    server = serve(cable)
    machine = cable.machine()
    script = tmp_path / "set.sh"
    script.write_text('#!/bin/sh\n[ "$1" = bound ] && ip addr replace $ip/$mask dev $interface\nexit 0\n', encoding="ascii")
    script.chmod(0o755)
    client = machine.start(program("busybox"), "udhcpc", "-i", "eth0", "-f", "-R", "-s", str(script), ready="obtained")
    client.popen.send_signal(10)        # SIGUSR1: renew
    server.wait_for("kept by")
    client.stop()
    server.wait_for("released by")


@pytest.mark.net
def test_dhclient_gets_an_address_and_keeps_it_after_a_restart(cable: Room, tmp_path: Path) -> None:
    server = serve(cable, POOL, "", str(tmp_path / "leases.db"))
    machine = cable.machine()
    leases = tmp_path / "dhclient.leases"
    command = (program("dhclient"), "-1", "-d", "-sf", "/bin/true", "-lf", str(leases), "-pf", str(tmp_path / "pid"), "eth0")
    client = machine.start(*command, ready="bound to 10.9.0.100")
    client.stop()
    assert "fixed-address 10.9.0.100;" in leases.read_text(encoding="ascii")
    assert server.stop() == 0
    server = serve(cable, POOL, "", str(tmp_path / "leases.db"))
    again = machine.start(*command, ready="bound to 10.9.0.100")        # INIT-REBOOT
    assert "DHCPDISCOVER" not in again.text
    assert [each.get("action") for each in server.events] == [None, "renewed"]


@pytest.mark.net
def test_dhcpcd_probes_the_address_and_uses_it(cable: Room) -> None:
    server = serve(cable)
    machine = cable.machine()
    # It remembers the lease of an earlier run, whoever made that, and on a busy machine takes an address of its own making before ours has come.
    fresh = 'mount -t tmpfs none /var/lib/dhcpcd && exec "$@"'
    command = (program("dhcpcd"), "-1", "-4", "-B", "-L", "-t", "30", "--nohook", "resolv.conf", "eth0")
    text = machine.run(program("unshare"), "-m", "sh", "-c", fresh, "sh", *command, timeout_s=60)
    assert "leased 10.9.0.100" in text
    assert server.events[-1]["action"] == "bound"


@pytest.mark.net
def test_an_address_in_use_is_declined_and_another_is_given(cable: Room, tmp_path: Path) -> None:
    """Somebody has the first address of the pool without asking: udhcpc sees it by ARP."""
    server = serve(cable)
    squatter = cable.machine()
    squatter.ip("addr", "add", "10.9.0.100/24", "dev", "eth0")
    found = udhcpc(cable.machine(), tmp_path, "-a")
    assert found["ip"] == "10.9.0.101"
    assert "declined" in [each.get("action") for each in server.events]


@pytest.mark.net
def test_hosts_of_a_file_get_what_it_says_and_changes_count_at_once(cable: Room, tmp_path: Path) -> None:
    machine = cable.machine()
    hosts = tmp_path / "hosts.toml"
    text = f'[hosts.pc7]\nmac = "{mac_of(machine)}"\naddress = "10.9.0.7"\nscript = "one"\nvariables = {{ BOOTP-NTP-Servers = "10.9.0.3" }}\n'
    hosts.write_text(text, encoding="utf-8")
    server = serve(cable, POOL, str(hosts))
    found = udhcpc(machine, tmp_path, "-O", "155", "-O", "ntpsrv")
    assert (found["ip"], found["opt155"], found["ntpsrv"], found["hostname"]) == ("10.9.0.7", b"one".hex(), "10.9.0.3", "pc7")
    hosts.write_text(text.replace('"one"', '"second"'), encoding="utf-8")
    assert udhcpc(machine, tmp_path, "-O", "155")["opt155"] == b"second".hex()
    hosts.write_text(text.replace('"one"', "third"), encoding="utf-8")
    assert udhcpc(machine, tmp_path, "-O", "155")["opt155"] == b"second".hex()
    assert f"{hosts}:4:10: no TOML: invalid value" in next(each["text"] for each in server.events if each["kind"] == "error")


@pytest.mark.net
def test_dnsmasq_relays_for_a_network_behind_it(cable: Room, tmp_path: Path) -> None:
    """dnsmasq as a relay between `lan` and a second network."""
    hosts = tmp_path / "hosts.toml"
    hosts.write_text('[networks."10.8.0.0/24"]\npool = "10.8.0.50-60"\nrouters = "10.8.0.1"\n', encoding="utf-8")
    server = serve(cable, POOL, str(hosts))
    relay = cable.machine()
    far = cable.namespace()
    relay.ip("addr", "add", "10.9.0.2/24", "dev", "eth0")
    relay.ip("link", "add", "far0", "type", "veth", "peer", "name", "eth0", "netns", str(far.pid))
    relay.ip("addr", "add", "10.8.0.1/24", "dev", "far0")
    relay.ip("link", "set", "far0", "up")
    cable.server.ip("route", "add", "10.8.0.0/24", "via", "10.9.0.2")
    far.ip("link", "set", "eth0", "up")
    relay.start(
        program("dnsmasq"), "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--port=0", "--conf-file=/dev/null", "--user=root", "--pid-file",
        "--dhcp-relay=10.8.0.1,10.9.0.1", f"--dhcp-leasefile={tmp_path / 'relay.leases'}", ready="DHCP relay",
    )
    found = udhcpc(far, tmp_path)
    assert (found["ip"], found["router"], found["serverid"]) == ("10.8.0.50", "10.8.0.1", "10.9.0.1")
    assert server.events[-1]["address"] == "10.8.0.50"
