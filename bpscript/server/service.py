"""`bpscript serve`: TFTP, HTTP, DHCP and a carousel for a room of machines, with one log and one list of machines.

    tftp, http, dhcp, carousel, check     a thread each; all tell `_event`, which writes the log line and keeps the list of machines
    pages                                 a thread that makes the status page and the answers of the API

Every port is bound before anything is served; when one cannot be had, those before it are given back and nothing is served.
"""

import os
import queue
import resource
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..base.errors import BpscriptError, NetworkError, UsageError
from ..base.events import Event, Kind
from ..network.dhcp.firmware import Client
from ..network.dhcp.plan import Directory, NoDirectory
from ..network.dhcp.replies import parse_mac
from ..network.folder import FolderSource
from ..network.http.files import Folder
from ..network.http.message import Answer, Request, text_answer
from ..network.http.server import HttpServer, Later, Limits, Served
from ..network.sockets import listen
from ..network.tftp.server import TftpServer
from .fleet import Fleet
from .floppy import unpacked_floppy
from .lines import line_of, stamped
from .next_boot import FLOPPY_SUFFIX, NextBootDirectory, NextBoots, machine_of, packed_floppy_of, script_for
from .next_efi import PROGRAMS
from .raspberry import OwnFolders
from .shelf import Shelf
from .transfers import Transfers

if TYPE_CHECKING:
    from ..network.carousel.server import CarouselServer
    from ..network.dhcp.plan import BootPolicy
    from ..network.dhcp.pool import Pool
    from ..network.dhcp.service import DhcpService
    from ..network.interface import Interface
    from .asgi import AsgiBridge

CAROUSEL_PATH = b"/api/carousel"
NEEDS_EXTRA = "the status page needs Starlette and Jinja2: pip install 'bpscript[serve]'"
_TICK_S = 1.0
_FILES_EACH = 2         # descriptors that a connection needs: itself, and the file
_OTHER_FILES = 200


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What to serve and where; the fields are the options of `bpscript serve` (see the manual).

    `dhcp` is a range of addresses to give away. `token` allows changes over the network. `carousel` is a
    multicast group and port, `carousel_rate` bits a second on the wire.
    """

    root: Path
    address: str | None = None
    interface: str | None = None
    dhcp: str | None = None
    proxy_dhcp: bool = False
    tftp_port: int = 69
    enhanced_port: int = 59
    http_port: int = 80
    hosts: Path | None = None
    state: Path | None = None
    token: str | None = None
    carousel: tuple[str, int] | None = None
    carousel_rate: int = 90_000_000


class Service:
    """All servers of one folder. Use it in a `with`; `run` returns never, but raises what ends it."""

    def __init__(self, options: ServeOptions, log: Callable[[str], None]) -> None:
        """Binds everything. Raises UsageError, NetworkError, StorageError."""
        if not options.root.is_dir():
            raise UsageError(f"{options.root}: {'a file' if options.root.exists() else 'no such directory'}; expected the folder that is served")
        self._options = options
        self._log = log
        self._log_lock = threading.Lock()
        self._ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
        self._fleet = Fleet()
        self._transfers = Transfers(self._event)
        self._files = Folder(options.root)
        self._stack = ExitStack()
        with ExitStack() as failing:
            failing.callback(self._stack.close)
            self._open()
            failing.pop_all()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything and give it back."""
        self._stack.close()
        self._transfers.flush(monotonic(), 0.0)

    def run(self) -> None:
        """Serve until an exception ends it: that of a signal, or of a server that cannot go on."""
        if self._dhcp is not None:
            self._dhcp.start()      # binds its ports, so it comes before the others serve
            self._stack.callback(self._dhcp.stop)
        self._stack.enter_context(self._running("http", self._http.run, self._http.stop))
        self._stack.enter_context(self._running("tftp", self._tftp.run, self._tftp.stop))
        if self._carousel is not None:
            self._stack.enter_context(self._running("carousel", self._carousel.run, self._carousel.stop))
        self._say(f"serving {self._options.root}: {self.where}")
        if self._pages is None:
            self._say(NEEDS_EXTRA)
        while True:
            with suppress(queue.Empty):
                name, error = self._ended.get(timeout=_TICK_S)
                if error is not None:
                    raise error
                raise NetworkError(f"the {name} server has ended")
            self._transfers.flush(monotonic())
            self._look_at_hosts()       # who has written them hears of a mistake at once, not when the next machine asks

    @property
    def where(self) -> str:
        """The addresses, for people."""
        host, port = self._http.addresses[0]
        shown = f"[{host}]" if ":" in host else host
        words = [f"http://{shown}:{port}/", f"tftp {shown} port {self._tftp.port} and {self._tftp.enhanced_port} (enhanced)"]
        if self._options.dhcp is not None:
            words.append(f"dhcp {self._options.dhcp}")
        elif self._options.proxy_dhcp:
            words.append("proxy dhcp")
        if self._options.carousel is not None:
            group, port = self._options.carousel
            words.append(f"carousel {group} port {port} at {self._options.carousel_rate / 1e6:g} Mbit/s")
        return ", ".join(words)

    # --- opening -------------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        options = self._options
        interfaces = self._interfaces()
        address = options.address or (str(interfaces[0].address) if options.interface else "127.0.0.1")
        self._next = NextBoots(options.state)
        self._stack.callback(self._next.close)
        self._look_at_hosts: Callable[[], object] = lambda: None
        self._hosts = self._directory()
        listener = listen(address, options.http_port)
        limits = Limits(connections=_room_for_connections())
        self._http = HttpServer([listener], self._answer, limits=limits, watch=self._served, mistake=self._mistake)
        self._stack.callback(self._http.close)
        self._own_folders = OwnFolders(options.root)
        self._tftp = TftpServer(
            options.root, address=address, port=options.tftp_port, enhanced_port=options.enhanced_port, events=self._event,
            lookup=self._lookup,
        )
        self._stack.callback(self._tftp.close)
        self._shelf = Shelf(options.root, self._event)
        self._stack.callback(self._shelf.close)
        self._carousel = self._open_carousel(address)
        self._pages = self._open_pages()
        if self._pages is not None:
            self._stack.callback(self._pages.close)
        self._pool: Pool | None = None
        self._dhcp = self._open_dhcp(interfaces, NextBootDirectory(self._hosts, self._next), self._http.addresses[0][1])

    def _open_carousel(self, address: str) -> "CarouselServer | None":
        options = self._options
        if options.carousel is None:
            return None
        from ..network.carousel.server import CarouselServer  # noqa: PLC0415 - only with --carousel

        found = CarouselServer(self._files, address, options.carousel, rate=options.carousel_rate, events=self._event)
        self._stack.callback(found.close)
        return found

    def _open_pages(self) -> "AsgiBridge | None":
        try:
            from .pages import Pages  # noqa: PLC0415 - an extra
        except ImportError:
            return None
        from .asgi import AsgiBridge  # noqa: PLC0415

        pages = Pages(self._fleet, self._shelf, self._next, root=str(self._options.root), token=self._options.token, facts=self._facts, reported=self._reported)
        return AsgiBridge(pages.application, self._mistake)

    def _interfaces(self) -> "list[Interface]":
        """Those that DHCP is served on, or that of `--interface`. Raises UsageError, NetworkError."""
        options = self._options
        if options.interface is not None:
            from ..network.netlink import interfaces_named  # noqa: PLC0415 - only with --interface or DHCP

            return interfaces_named(options.interface)
        if options.dhcp is None and not options.proxy_dhcp:
            return []
        from ..network.netlink import interface_with, interfaces  # noqa: PLC0415

        if options.address is None:
            raise UsageError("DHCP needs an interface", hint="name it: --interface eth0, or its address: --listen 10.0.0.1")
        address = ip_address(options.address) if _is_address(options.address) else None
        if not isinstance(address, IPv4Address):
            raise UsageError(f"--listen {options.address}: DHCP needs an IPv4 address")
        if not address.is_unspecified:
            return [interface_with(address)]
        return [each for each in interfaces() if not each.address.is_loopback]

    def _directory(self) -> Directory:
        if self._options.hosts is None:
            return NoDirectory()
        from .hosts import WatchedHosts  # noqa: PLC0415 - only with --hosts

        watched = WatchedHosts(self._options.hosts, self._event)
        self._look_at_hosts = watched.look
        return watched

    def _open_dhcp(self, interfaces: "list[Interface]", directory: Directory, http_port: int) -> "DhcpService | None":
        options = self._options
        if options.dhcp is None and not options.proxy_dhcp:
            return None
        from ..network.dhcp.plan import BootPolicy  # noqa: PLC0415
        from ..network.dhcp.proxy import ProxyServer  # noqa: PLC0415
        from ..network.dhcp.service import DhcpService  # noqa: PLC0415

        policy = BootPolicy(has_file=lambda name: (options.root / name).is_file(), http_port=http_port)
        if options.dhcp is None:
            return DhcpService(interfaces, proxy=ProxyServer(policy, directory), sink=self._event)
        return self._dhcp_server(interfaces, directory, policy, options.dhcp)

    def _dhcp_server(self, interfaces: "list[Interface]", directory: Directory, policy: "BootPolicy", text: str) -> "DhcpService":
        from ..network.dhcp.pool import Pool  # noqa: PLC0415
        from ..network.dhcp.server import Server, Settings  # noqa: PLC0415
        from ..network.dhcp.service import DhcpService  # noqa: PLC0415
        from ..network.dhcp.subnet import AddressRange, Subnet  # noqa: PLC0415

        given = AddressRange.parse(text)
        serving = [each for each in interfaces if given.first in each.network]
        if not serving:
            shown = ", ".join(f"{each.name} {each.network}" for each in interfaces) or "none"
            raise UsageError(f"--dhcp {text}: no network that is served has these addresses (there is {shown})")
        subnet = Subnet(serving[0].network, (given,))       # networks of the hosts file come from the directory, as it is at the time
        if not any(subnet.may_give(each) and each != serving[0].address for each in given.some(3)):
            raise UsageError(f"--dhcp {text}: no address is left for machines, beside this server's own and the names of the network {subnet.network}")
        settings = Settings((subnet,), policy)
        self._pool = Pool(self._options.state)
        return DhcpService(serving, server=Server(settings, self._pool, directory), sink=self._event)

    # --- what happens ----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request, peer: str) -> Answer | Later:
        if not _is_page(request.path):
            return self._files.answer(request)
        program = PROGRAMS.get(request.path.decode("ascii", "replace").lstrip("/"))
        if program is not None:
            self._next.take(self._mac_at(peer))
            return Answer(HTTPStatus.OK, {"Content-Type": "application/efi", "Cache-Control": "no-store"}, program)
        mac = machine_of(request.path.decode("ascii", "replace"))
        if mac is not None:
            return self._onward(mac, request)
        mac = machine_of(request.path.decode("ascii", "replace"), FLOPPY_SUFFIX)
        if mac is not None:
            return self._floppy(mac)
        if request.path == CAROUSEL_PATH:
            if self._carousel is None:
                return text_answer(HTTPStatus.NOT_FOUND, "there is no carousel: the server was started without --carousel")
            return self._carousel.answer(request, peer)
        if self._pages is None:
            return text_answer(HTTPStatus.SERVICE_UNAVAILABLE, NEEDS_EXTRA)
        return self._pages.answer(request, peer)

    def _lookup(self, name: str, client: str) -> str | bytes | None:
        """What TFTP gives for a name that is no file of the root."""
        program = PROGRAMS.get(name.lstrip("/"))
        if program is None:
            return self._own_folders(name, client)
        mac = self._mac_at(client)
        if mac:
            self._next.take(mac)        # what is booted once has been
        return program

    def _onward(self, mac: bytes, request: Request) -> Answer:
        """The iPXE script of a machine that is done."""
        if request.method not in {"GET", "HEAD"}:
            return text_answer(HTTPStatus.METHOD_NOT_ALLOWED, "a script can only be read", {"Allow": "GET, HEAD"})
        found = self._next.take(mac) if request.method == "GET" else self._next.of(mac)
        return text_answer(HTTPStatus.OK, script_for(found, mac).rstrip(), {"Cache-Control": "no-store"})

    def _floppy(self, mac: bytes) -> Answer:
        """The floppy image that a machine boots, if it must be unpacked."""
        name = packed_floppy_of(self._next.of(mac))
        if name is None:
            return text_answer(HTTPStatus.NOT_FOUND, "this machine boots no packed floppy image now")
        try:
            image = unpacked_floppy(FolderSource(self._options.root, writable=False, server_parts=False), name)
        except BpscriptError as error:
            return text_answer(HTTPStatus.NOT_FOUND, error.message)
        return Answer(HTTPStatus.OK, {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}, image)

    def _reported(self, address: str, content: Mapping[str, Any]) -> None:
        """A run on a machine told what it does: is there something that it boots the next time?"""
        events = content.get("events")
        for event in events if isinstance(events, list) else []:
            if isinstance(event, dict) and event.get("kind") == Kind.BOOT and event.get("boots") is not None:
                client = self._client_at(address, content)
                if client is None:
                    continue
                found = self._next.record(client.hardware_address, event, self._hosts.plan_for(client))
                if found is not None:
                    self._event(Event(Kind.NOTE, {"text": f"{client.mac} at {address} boots {found.words} the next time"}))

    def _mac_at(self, address: str) -> bytes:
        """Who has an address from us; nothing when that is not known."""
        lease = self._pool.lease(IPv4Address(address)) if self._pool is not None and _is_ipv4(address) else None
        return lease.hardware_address if lease is not None else b""

    def _client_at(self, address: str, content: Mapping[str, Any]) -> Client | None:
        """The machine that a report comes from: the one that has the address from us, else the one it says it is."""
        mac = self._mac_at(address)
        if not mac:
            try:
                mac = parse_mac(str(content.get("mac") or ""))
            except UsageError:
                return None
        uuid, serial = (str(content.get(key) or "")[:100].lower() for key in ("uuid", "serial"))
        return Client(mac, b"\1" + mac, uuid=uuid, serials=(serial,) if serial else ())

    def _served(self, served: Served) -> None:
        if not _is_page(served.path):
            self._transfers.add(served, monotonic())
        elif served.method not in {"GET", "HEAD"} and served.path not in {b"/api/report", b"/api/record", CAROUSEL_PATH}:
            shown = served.path.decode("utf-8", "replace")[:300]
            self._event(Event(Kind.NOTE, {"text": f"{served.peer} {served.method} {shown} {served.status}"}))

    def _event(self, event: Event) -> None:
        self._fleet.observe(event)
        line = line_of(event)
        if line is not None:
            self._say(line)

    def _mistake(self, error: Exception) -> None:
        for line in traceback.format_exception(error):
            for each in line.rstrip().splitlines():
                self._say(f"error {each}")

    def _say(self, text: str) -> None:
        try:
            with self._log_lock:
                self._log(stamped(text))
        except OSError as error:        # who read the log has gone: the service ends, rather than work unseen
            self._ended.put(("log", error))

    def _facts(self) -> dict[str, Any]:
        return {"connections": self._http.connections, "tftp_transfers": self._tftp.transfers, "machines": len(self._fleet), "carousel_members": 0 if self._carousel is None else self._carousel.members}

    def _running(self, name: str, run: Callable[[], None], stop: Callable[[], None]) -> ExitStack:
        """A server in a thread of its own, until the stack is closed."""

        def work() -> None:
            error: BaseException | None = None
            try:
                run()
            except BaseException as raised:     # raised again in the main thread
                error = raised
            self._ended.put((name, error))

        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        stack = ExitStack()
        stack.callback(thread.join)
        stack.callback(stop)
        return stack


def _is_page(path: bytes) -> bool:
    """Whether this is no file of the folder."""
    return path in {b"/", b"/api"} or path.startswith(b"/api/")


def _is_ipv4(text: str) -> bool:
    return _is_address(text) and ":" not in text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _room_for_connections() -> int:
    """How many connections the host lets us have, with the limit of open files raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Limits().connections
    wanted = _FILES_EACH * Limits().connections + _OTHER_FILES
    endless = hard == resource.RLIM_INFINITY
    for most in (wanted, wanted if endless else min(wanted, hard)):     # more than the hard limit only as root
        if soft < most:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard if endless else max(hard, most)))
                soft = most
    return max(16, min(Limits().connections, (soft - _OTHER_FILES) // _FILES_EACH))


def free_token() -> str | None:
    """The token of the environment, None when there is none."""
    return os.environ.get("BPSCRIPT_TOKEN") or None
