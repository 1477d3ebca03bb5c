"""Serving by TFTP on loopback, in a network namespace of its own (root: dnsmasq answers on port 69 only)."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import Sample, in_turn
from tests.network.tftp.peers import UNPACKED

ROOT = Path(__file__).parents[2]
BLOCK_SIZE = 1428
SERVER = "import sys\nfrom pathlib import Path\nfrom bpscript.network.tftp.server import TftpServer\nTftpServer(Path(sys.argv[1]), port=7001).run()\n"


def single(folder: Path, rounds: int) -> dict[str, Sample]:
    """TFTP, 20 MB to one curl, blocks of 1428 bytes one by one: dnsmasq and bpscript (wanted: at most 1.25)"""
    return _block_by_block(folder, rounds, 1, 20_000_000)


def many(folder: Path, rounds: int) -> dict[str, Sample]:
    """TFTP, 2 MB to each of 32 curls at a time, blocks of 1428 bytes one by one: dnsmasq and bpscript (wanted: at most 1.25)"""
    return _block_by_block(folder, rounds, 32, 2_000_000)


def windows(folder: Path, rounds: int) -> dict[str, Sample]:
    """TFTP, 100 MB in all, windows of 16 and 64 blocks of 1428 bytes to 1 and 32 clients: atftpd and bpscript (wanted: 4 times faster, 0.25)"""
    contestants: dict[str, Callable[[], tuple[float, None]]] = {}
    with _namespace() as inside, _servers(folder, [*inside, *_core(0)]) as ports:
        for window, clients in ((16, 1), (64, 1), (16, 32), (64, 32)):
            size = 100_000_000 // clients
            name = f"f{size}"
            _file(folder, name, size)
            for server in ("atftpd", "bpscript"):
                contestants[f"{server}, window {window}, {clients} clients"] = _sinking(inside, ports[server], name, size, window, clients)
        return in_turn(contestants, rounds)  # type: ignore[arg-type]


def _block_by_block(folder: Path, rounds: int, clients: int, size: int) -> dict[str, Sample]:
    _file(folder, "file", size)
    with _namespace() as inside, _servers(folder, inside) as ports:

        def fetching(port: int) -> Callable[[], tuple[float, float | None]]:
            command = [*inside, "curl", "-sf", "--tftp-blksize", str(BLOCK_SIZE), "-o", "/dev/null", f"tftp://127.0.0.1:{port}/file"]

            def measured() -> tuple[float, None]:
                started = time.perf_counter()
                running = [subprocess.Popen(command) for _ in range(clients)]
                statuses = [each.wait(60) for each in running]
                if any(statuses):
                    raise SystemExit(f"curl failed on port {port}")
                return time.perf_counter() - started, None

            return measured

        return in_turn({name: fetching(ports[name]) for name in ("dnsmasq", "bpscript")}, rounds)


def _sinking(inside: list[str], port: int, name: str, size: int, window: int, clients: int) -> Callable[[], tuple[float, None]]:
    command = [*inside, *_core(-1), sys.executable, "-m", "tests.benchmarks.tftp_sink", str(port), name, str(BLOCK_SIZE), str(window), str(clients)]

    def measured() -> tuple[float, None]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
        came, seconds = done.stdout.split()
        if int(came) != size * clients:
            raise SystemExit(f"{came} bytes came, not {size * clients}")
        return float(seconds), None

    return measured


def _core(number: int) -> list[str]:
    """The words before a command that keep it on one core: server and clients have one each, so that where the scheduler puts them is not measured."""
    return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[number])]


def _file(folder: Path, name: str, size: int) -> None:
    (folder / name).write_bytes(os.urandom(1 << 16) * (size // (1 << 16)) + bytes(size % (1 << 16)))


@contextmanager
def _namespace() -> Iterator[list[str]]:
    """The words before a command that run it inside."""
    name = f"bpscript-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextmanager
def _servers(folder: Path, inside: list[str]) -> Iterator[dict[str, int]]:
    """All three, and their ports."""
    folder.chmod(0o755)
    folder.parent.chmod(0o755)
    commands = (
        [sys.executable, "-c", SERVER, str(folder)],
        [
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp", f"--tftp-root={folder}", "--listen-address=127.0.0.1",
            "--bind-interfaces", "--user=root", "--pid-file=", "--log-facility=/dev/null", "--tftp-max=100",
        ],
        [
            str(UNPACKED / "atftpd"), "--daemon", "--no-fork", "--user", "root", "--group", "root", "--bind-address", "127.0.0.1", "--port", "7003",
            "--maxthread", "100", "--logfile", "/dev/null", str(folder),
        ],
    )
    running = [subprocess.Popen([*inside, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    try:
        time.sleep(1)
        yield {"bpscript": 7001, "dnsmasq": 69, "atftpd": 7003}
    finally:
        for each in running:
            each.kill()
            each.wait()


CONTESTS: dict[str, Callable[[Path, int], dict[str, Sample]]] = {"tftp-one": single, "tftp-many": many, "tftp-windows": windows}
