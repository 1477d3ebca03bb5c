"""`bpscript serve` for a room of machines: a machine gets its address and script, fetches its files, and is on the list."""

import json
import re
import sys
from pathlib import Path

from tests.network.namespaces import needs_root, program, room
from tests.oracles import need

pytestmark = needs_root
HOSTS = """
[hosts.pc1]
mac = "{mac}"
address = "10.9.0.12"
script = "-i install"

[networks."10.9.0.0/24"]
routers = "10.9.0.254"
"""
BOUND = '#!/bin/sh\n[ "$1" = bound ] && env | sort && ip addr add $ip/$mask dev $interface\nexit 0\n'


def test_a_machine_gets_its_address_and_its_files(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "install.bpb").write_text('echo "installs"\n')
    script = tmp_path / "bound.sh"
    script.write_text(BOUND)
    script.chmod(0o755)
    with room(tmp_path) as made:
        pc1, pc2 = made.machine(), made.machine()
        mac = re.search(r"link/ether (\S+)", pc1.run(program("ip"), "link", "show", "eth0"))
        assert mac is not None
        hosts = tmp_path / "hosts.toml"
        hosts.write_text(HOSTS.format(mac=mac[1]))
        server = made.server.python(
            "bpscript", "serve", str(images), "--interface", "lan", "--dhcp", "10.9.0.100-10.9.0.109", "--hosts", str(hosts), "--state", str(tmp_path / "leases.db"),
            ready="serving ",
        )
        assert "http://10.9.0.1:80/, tftp 10.9.0.1 port 69 and 59 (enhanced), dhcp 10.9.0.100-10.9.0.109" in server.text
        found = pc1.run(program("busybox"), "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-O", "155", "-s", str(script))
        assert "ip=10.9.0.12\n" in found
        assert "router=10.9.0.254\n" in found
        assert f"opt155={b'-i install'.hex()}\n" in found
        assert "ip=10.9.0.100\n" in pc2.run(program("busybox"), "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", str(script))
        for address in ("tftp://10.9.0.1/install.bpb", "http://10.9.0.1/install.bpb"):
            assert pc1.run(need("curl"), "-sS", address) == 'echo "installs"\n'
        machines = {each["address"]: each for each in json.loads(pc1.run(need("curl"), "-sS", "http://10.9.0.1/api/machines"))}
        assert (machines["10.9.0.12"]["mac"], machines["10.9.0.12"]["last_file"]) == (mac[1], "/install.bpb")
        assert sorted(machines) == ["10.9.0.100", "10.9.0.12"]
        assert server.stop() == 143
        lines = server.text
    for pattern in (rf"dhcp .*{mac[1]}|dhcp .*pc1", r"tftp 10\.9\.0\.12 read install\.bpb done", r"http 10\.9\.0\.12 GET /install\.bpb 200"):
        assert re.search(pattern, lines), lines
    assert "Traceback" not in lines
    assert (tmp_path / "leases.db").exists()


def test_a_second_server_is_refused_before_it_serves_anything(tmp_path: Path) -> None:
    with room(tmp_path) as made:
        made.server.python("bpscript", "serve", str(tmp_path), "--interface", "lan", "--dhcp", "10.9.0.100-10.9.0.109", ready="serving ")
        ports = ("--http-port", "0", "--tftp-port", "0", "--enhanced-port", "0")
        second = made.server.run(sys.executable, "-m", "bpscript", "serve", str(tmp_path), "--interface", "lan", "--proxy-dhcp", *ports, check=False)
    assert re.fullmatch(r"bpscript: error: .*port 67.*\n(  .*\n)?", second), second
