"""A DHCP server in a process of its own, for tests in network namespaces: prints its events, one JSON object a line.

    python -m tests.network.dhcp.serving INTERFACE POOL|proxy [HOSTS [STATE [ROOT]]]        with ROOT its files by TFTP too
"""

import json
import signal
import sys
from pathlib import Path

from bpscript.base.events import Event
from bpscript.network.dhcp.plan import BootPolicy, Directory, NoDirectory, Plan
from bpscript.network.dhcp.pool import Pool
from bpscript.network.dhcp.proxy import ProxyServer
from bpscript.network.dhcp.server import Server, Settings
from bpscript.network.dhcp.service import DhcpService
from bpscript.network.dhcp.subnet import AddressRange, Subnet
from bpscript.network.netlink import interfaces_named
from bpscript.network.tftp.server import TftpServer
from bpscript.server.hosts import WatchedHosts
from bpscript.server.raspberry import OwnFolders


def show(event: Event) -> None:
    print(json.dumps({"kind": event.kind, **event.data}), flush=True)


def main(name: str, pool: str, hosts: str | None = None, state: str | None = None, root: str | None = None) -> None:
    interface = interfaces_named(name)[0]
    directory: Directory = WatchedHosts(Path(hosts), show) if hosts else NoDirectory(Plan(script="-i deploy"))
    policy = BootPolicy(has_file=lambda name: root is None or (Path(root) / name).is_file())
    if pool == "proxy":
        service = DhcpService([interface], proxy=ProxyServer(policy, directory), sink=show)
    else:
        subnet = Subnet(interface.network, (AddressRange.parse(pool),), {3: interface.address.packed, 6: interface.address.packed})
        server = Server(Settings((subnet,), policy), Pool(Path(state) if state else None), directory)
        service = DhcpService([interface], server=server, sink=show)
    service.start()
    tftp = None
    if root is not None:
        tftp = TftpServer(Path(root), address=str(interface.address), events=show, lookup=OwnFolders(Path(root)))
        tftp.start()
    print(json.dumps({"kind": "ready"}), flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    service.stop()
    if tftp is not None:
        tftp.stop()
        tftp.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main(*sys.argv[1:])
