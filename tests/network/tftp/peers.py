"""Other people's TFTP programs, and our server with everything it reports."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bpscript.base.events import Event
from bpscript.network.tftp.limits import Limits
from bpscript.network.tftp.server import TftpServer
from bpscript.network.tftp.serving import Lookup
from tests.oracles import need

UNPACKED = Path(__file__).parents[3] / ".venv" / "unpacked" / "usr" / "sbin"


def content(size: int, seed: int = 1) -> bytes:
    """Bytes in which no block equals another."""
    step = b"".join(number.to_bytes(4, "big") for number in range(seed << 20, (seed << 20) + size // 4 + 1))
    return step[:size]


def large_content(size: int) -> bytes:
    """Bytes that repeat themselves, but nowhere at a distance of 65,536 blocks."""
    piece = content(999_983)
    return (piece * (size // len(piece) + 1))[:size]


@dataclass
class Served:
    server: TftpServer
    root: Path
    events: list[Event] = field(default_factory=list)

    def last(self, count: int = 1) -> list[Mapping[str, object]]:
        """The last events; waits for them, because they are told after the client has its last packet."""
        end = time.monotonic() + 5
        while len(self.events) < count and time.monotonic() < end:
            time.sleep(0.005)
        assert len(self.events) >= count, "no event came"
        return [event.data for event in self.events[-count:]]


@contextmanager
def serving(
    root: Path, *, writable: bool = False, limits: Limits | None = None, enhanced: bool = False, lookup: Lookup | None = None, address: str = "127.0.0.1"
) -> Iterator[Served]:
    events: list[Event] = []
    with TftpServer(
        root, address=address, port=0, enhanced_port=0 if enhanced else None, writable=writable, limits=limits, events=events.append, lookup=lookup
    ) as server:
        server.start()
        yield Served(server, root, events)


def client_command(
    client: str, name: str, target: Path, port: int, options: Mapping[str, int], *, mode: str = "octet", host: str = "127.0.0.1"
) -> list[str]:
    """The command line that fetches a file."""
    match client:
        case "curl":
            words = ["--tftp-blksize", str(options["blksize"])] if "blksize" in options else ["--tftp-no-options"]
            kind = ";mode=netascii" if mode == "netascii" else ""
            return [need("curl"), "-sS", "--max-time", "300", *words, "-o", str(target), f"tftp://{host}:{port}/{name}{kind}"]
        case "tftp-hpa":
            return [need("tftp"), "-m", "binary" if mode == "octet" else "ascii", host, str(port), "-c", "get", name, str(target)]
        case "busybox":
            words = ["-b", str(options["blksize"])] if "blksize" in options else []
            return [need("busybox"), "tftp", "-g", "-r", name, "-l", str(target), *words, host, str(port)]
        case _:
            words = [word for option, value in options.items() for word in ("--option", f"{option} {value}")]
            if mode == "netascii":
                words += ["--option", "mode netascii"]
            return [need("atftp"), "-g", "-r", name, "-l", str(target), *words, host, str(port)]


def fetch(client: str, name: str, target: Path, port: int, options: Mapping[str, int] | None = None, *, mode: str = "octet") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        client_command(client, name, target, port, options or {}, mode=mode), cwd=target.parent, capture_output=True, text=True, errors="replace",
        timeout=320, check=False,
    )


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_command(kind: str, root: Path, port: int, host: str = "127.0.0.1") -> list[str]:
    match kind:
        case "tftpd-hpa":
            return [need("in.tftpd"), "-L", "-a", f"{host}:{port}", "-s", "-u", "root", str(root)]
        case "atftpd":
            program = UNPACKED / "atftpd"
            if not program.exists():
                if os.environ.get("CI"):
                    pytest.fail("atftpd is not unpacked")
                pytest.skip("atftpd is not unpacked; tests/install_system_packages.sh does it")
            return [str(program), "--daemon", "--no-fork", "--user", "root", "--group", "root", "--bind-address", host, "--port", str(port), "--logfile", "-", str(root)]
        case _:
            return [
                need("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp", f"--tftp-root={root}",
                f"--listen-address={host}", "--bind-interfaces", "--user=root", "--pid-file=", "--log-facility=-",
            ]


@contextmanager
def foreign_server(kind: str, root: Path) -> Iterator[int]:
    """A server of ours ("ours") or of other people on a free port of loopback."""
    if kind == "ours":
        with serving(root) as served:
            yield served.server.port
        return
    port = free_port()
    process = subprocess.Popen(server_command(kind, root, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 10
        while not ask(port, b"\0\1there is no such file\0octet\0", 0.1):
            assert process.poll() is None, f"{kind} ended with {process.returncode}"
            assert time.monotonic() < end, f"{kind} does not answer"
            time.sleep(0.02)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def stub(port: int, answers: list[bytes]) -> Iterator[list[bytes]]:
    """A server that answers packet after packet with what it was told, and then falls silent; what it heard."""
    heard: list[bytes] = []
    left = list(answers)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", port))
    server.settimeout(0.05)
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            try:
                packet, client = server.recvfrom(65536)
            except TimeoutError:
                continue
            heard.append(packet)
            if left:
                server.sendto(left.pop(0), client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield heard
    finally:
        stopping.set()
        thread.join()
        server.close()


def ask(port: int, packet: bytes, timeout_s: float = 2.0) -> bytes:
    """The answer to one packet; b"" when none comes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(timeout_s)
        asker.sendto(packet, ("127.0.0.1", port))
        try:
            return asker.recv(65536)
        except TimeoutError:
            return b""
