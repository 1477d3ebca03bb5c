"""A server behind a gateway: the only way to it is the one that the file name tells."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpscript.base.errors import NetworkError
from bpscript.network.routes import GatewayRoute
from tests.network.lab import SERVER, lab
from tests.network.tftp.peers import content

HIDDEN = "10.99.0.1"        # an address of the server on no network that the client is on

SERVE = f"""
import sys, time
from pathlib import Path
from bpscript.network.tftp.server import TftpServer
with TftpServer(Path(sys.argv[1]), address="{HIDDEN}", port=6969) as server:
    print("ready", flush=True)
    server.run()
"""
FETCH = f"""
import json, subprocess
from contextlib import closing
from bpscript.base.errors import NetworkError
from bpscript.network.roots import open_root
root = open_root("tftp://{SERVER}")
routes = lambda: subprocess.run(["ip", "route", "show", "{HIDDEN}"], capture_output=True, text=True).stdout.split()
try:
    root.open("{HIDDEN}@6969:file")
except NetworkError as error:
    without = error.message
with closing(root.open("{SERVER}/{HIDDEN}@6969:file")) as reader:
    during, data = routes(), reader.read()
facts = root.stat("{SERVER}/{HIDDEN}@6969:file")
missing = root.stat("{SERVER}/{HIDDEN}@6969:nothing")
print(json.dumps([without, during[:3], routes(), data.hex(), facts.size, missing]))
"""


def test_a_server_behind_a_gateway_is_reached_through_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(10_000))
    here = Path(__file__).parents[3]
    with lab(1) as net:
        subprocess.run(["ip", "-n", net.server, "addr", "add", f"{HIDDEN}/32", "dev", "lo"], check=True)
        with subprocess.Popen(net.inside(net.server, sys.executable, "-c", SERVE, str(tmp_path)), stdout=subprocess.PIPE, cwd=here) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            done = subprocess.run(net.inside(net.clients[0], sys.executable, "-c", FETCH), capture_output=True, text=True, check=False, cwd=here, timeout=60)
            server.kill()
    assert done.returncode == 0, done.stderr
    without, during, after, data, size, missing = json.loads(done.stdout)
    assert without.startswith(f"there is no way to the server {HIDDEN}")
    assert during == [HIDDEN, "via", SERVER]
    assert after == []
    assert bytes.fromhex(data) == content(10_000)
    assert (size, missing) == (10_000, None)


def test_a_gateway_of_another_kind_is_refused() -> None:
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1 cannot be reached through ::1: one is IPv4, the other IPv6"):
        GatewayRoute("127.0.0.1", "::1")
