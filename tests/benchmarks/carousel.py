"""A room of machines and one file over a link of 100 Mbit/s: each fetches it by HTTP, or all take it from the carousel.

Every machine is a network namespace on a switch; the server's own port is shaped by tbf (`tc`), as its network card would be. Processes are
started and have loaded everything before the clock starts; it stops when the last one has checked every byte (SHA-256). Needs root.
"""

import hashlib
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.imaging import Bench, Contest
from tests.benchmarks.measure import Sample
from tests.benchmarks.report import Goal, Outcome
from tests.network.lab import SERVER, Lab, lab
from tests.oracles import need

ROOT = Path(__file__).parent.parent.parent
MACHINES = 32
SIZE = 12_000_000
UNICAST, CAROUSEL, LOSING = "32 times HTTP", "carousel", "carousel, each machine loses 1 % of what arrives"


def room(bench: Bench) -> Outcome:
    """32 machines, one file of 12 MB."""
    need("tc")
    data = random.Random(3).randbytes(SIZE)
    (bench.folder / "root").mkdir()
    (bench.folder / "root" / "image.imz").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    rows: dict[str, Sample] = {}
    notes = []
    with lab(MACHINES) as made:
        shape = "tc qdisc add dev br0 root tbf rate 100mbit burst 64kb latency 100ms"
        subprocess.run(made.inside(made.server, *shape.split()), check=True, capture_output=True)
        command = [sys.executable, "-m", "bpscript", "serve", str(bench.folder / "root"), "--listen", SERVER, "--tftp-port", "0", "--enhanced-port", "0", "--carousel", "239.255.69.70"]
        with (bench.folder / "log").open("wb") as log:
            server = subprocess.Popen(made.inside(made.server, *command), stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            while b"serving" not in (bench.folder / "log").read_bytes():
                assert server.poll() is None, (bench.folder / "log").read_text()
                time.sleep(0.05)
            for row, scheme in ((UNICAST, "http"), (CAROUSEL, "carousel+http"), (LOSING, "carousel+http")):
                if row == LOSING:
                    for name in made.clients:
                        made.drop(name, 10)
                before = _sent(made)
                seconds, each = _together(made, f"{scheme}://{SERVER}/", digest)
                rows[row] = Sample([seconds])
                notes.append(f"{row}: a machine took {statistics.median(each):.2f} s (median; {min(each):.2f} - {max(each):.2f}), the server sent {(_sent(made) - before) / 1e6:.1f} MB")
        finally:
            server.terminate()
            server.wait(20)
    text = (bench.folder / "log").read_text()
    notes += [line.partition(" carousel ")[2] for line in text.splitlines() if "machines have it" in line]
    return Outcome(rows, (Goal(CAROUSEL, UNICAST, 4), Goal(LOSING, UNICAST, 4)), notes)


def _together(made: Lab, url: str, digest: str) -> tuple[float, list[float]]:
    """Seconds until the last machine has the file, and those of each."""
    words = [sys.executable, "-m", "tests.network.carousel.room", url, "image.imz", digest, "wait"]
    children = [
        subprocess.Popen(made.inside(name, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) for name in made.clients
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    started = time.perf_counter()
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    found = []
    for child in children:
        assert child.stdout is not None
        found.append(json.loads(child.stdout.readline()))
    seconds = time.perf_counter() - started
    for child in children:
        child.communicate()
    assert all(each["same"] and not each["warnings"] for each in found), found
    return seconds, [each["seconds"] for each in found]


def _sent(made: Lab) -> int:
    """Bytes that the server has put onto its link."""
    command = made.inside(made.server, "cat", "/sys/class/net/br0/statistics/tx_bytes")
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


CONTESTS: dict[str, tuple[str, Contest]] = {"carousel": ("32 machines, one file of 12 MB, a link of 100 Mbit/s", room)}
