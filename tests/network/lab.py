"""A small network of network namespaces: a switch, on which a server stands, and clients. Needs root."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.oracles import need

SERVER = "10.77.0.1"        # private; the namespaces are connected with nothing else


@dataclass(frozen=True)
class Lab:
    """Names of the namespaces. `clients` have the addresses 10.77.0.10, .11 ..."""

    server: str
    clients: Sequence[str]

    def inside(self, name: str, *command: str) -> list[str]:
        """The command line that runs a command in a namespace."""
        return ["ip", "netns", "exec", name, *command]

    def drop(self, name: str, per_mille: int) -> None:
        """From now on lose packets that arrive there, at random (netem is not in every kernel: nft numgen)."""
        rules = f"add table inet loss; add chain inet loss in {{ type filter hook input priority 0; }}; add rule inet loss in meta l4proto udp numgen random mod 1000 < {per_mille} drop"
        subprocess.run(self.inside(name, need("nft"), rules), check=True, capture_output=True)


@contextmanager
def lab(clients: int) -> Iterator[Lab]:
    """Namespaces that are gone afterwards, with all that runs in them."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    need("ip")
    start = f"bpscript-{os.getpid()}"
    made = Lab(f"{start}-s", [f"{start}-{number}" for number in range(clients)])
    names = (made.server, *made.clients)
    try:
        _batch("", [f"netns add {name}" for name in names])
        _batch(made.server, [
            "link set lo up", "link add br0 type bridge mcast_snooping 0", f"addr add {SERVER}/24 dev br0", "link set br0 up",
            *(f"link add v{number} type veth peer name eth0 netns {name}" for number, name in enumerate(made.clients)),
            *(f"link set v{number} master br0 up" for number in range(clients)),
        ])
        for number, name in enumerate(made.clients):
            _batch(name, ["link set lo up", f"addr add 10.77.0.{10 + number}/24 dev eth0", "link set eth0 up", "route add 239.0.0.0/8 dev eth0"])
        yield made
    finally:
        for name in names:
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for word in found.stdout.split():
                subprocess.run(["kill", "-KILL", word], check=False, capture_output=True)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _batch(name: str, lines: list[str]) -> None:
    where = ["-n", name] if name else []
    subprocess.run(["ip", *where, "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True, capture_output=True)
