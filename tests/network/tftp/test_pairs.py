"""Options in pairs, big files, losses: the bytes are identical.

Every pair of values of two options occurs in at least one transfer (`pairwise`), instead of all combinations of all of them.
"""

import hashlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bpscript.network.tftp.source import TftpSource
from tests.network.lab import SERVER, lab
from tests.network.tftp.peers import (
    client_command,
    content,
    fetch,
    foreign_server,
    large_content,
    server_command,
    serving,
)

SMALL_SIZES = (0, 1, 7, 8, 9, 511, 512, 513, 1427, 1428, 1429, 40_000)
AXES: dict[str, tuple[int, ...]] = {
    "size": SMALL_SIZES, "blksize": (8, 9, 512, 1428, 1468, 8192, 65464), "windowsize": (1, 2, 7, 16, 64), "timeout": (0, 1, 255), "tsize": (0, 1),
}

LARGE_AXES: dict[str, tuple[int, ...]] = {
    "size": (1_000_000, 20_000_000, 100_000_000), "blksize": (512, 1428, 8192, 65464), "windowsize": (1, 7, 16, 64), "timeout": (0, 1), "tsize": (0, 1),
}


def pairwise(axes: dict[str, tuple[int, ...]]) -> Iterator[dict[str, int]]:
    """Rows in which every two values of different axes meet: the row that brings most new pairs is taken next."""
    names = list(axes)
    missing = {frozenset(((one, a), (two, b))) for one, two in itertools.combinations(names, 2) for a in axes[one] for b in axes[two]}
    while missing:
        row = dict(next(iter(sorted(missing, key=sorted))))
        for name in names:
            if name not in row:
                row[name] = max(axes[name], key=lambda value: sum(frozenset((each, (name, value))) in missing for each in row.items()))
        missing -= {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}
        yield row


def test_pairs_are_complete() -> None:
    rows = list(pairwise(AXES))
    for one, two in itertools.combinations(AXES, 2):
        assert {(row[one], row[two]) for row in rows} == set(itertools.product(AXES[one], AXES[two]))
    assert len(rows) < 120


@pytest.mark.parametrize("server", ["ours", "atftpd", pytest.param("tftpd-hpa", marks=pytest.mark.slow)])
def test_our_client_takes_every_pair_of_options(server: str, tmp_path: Path) -> None:
    for size in SMALL_SIZES:
        (tmp_path / f"f{size}").write_bytes(content(size))
    with foreign_server(server, tmp_path) as port:
        for row in pairwise(AXES):
            if server == "atftpd" and row["timeout"] == 255:
                continue        # it waits that long for our last word too
            source = TftpSource("127.0.0.1", port, block_size=row["blksize"], window=row["windowsize"], timeout_s=row["timeout"] or None)
            if not row["tsize"]:
                del source._options["tsize"]
            with closing(source.open(f"f{row['size']}")) as reader:
                # atftpd refuses blocks of 8 bytes with ERROR 8, and is asked again without options.
                assert reader.size == row["size"] if row["tsize"] and server == "ours" else reader.size in {None, row["size"]}, row
                assert reader.read() == content(row["size"]), row


def test_atftp_takes_every_pair_of_options(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for size in SMALL_SIZES:
        (tmp_path / "root" / f"f{size}").write_bytes(content(size))
    with serving(tmp_path / "root") as served:
        for row in pairwise(AXES):
            out = tmp_path / "out"
            out.unlink(missing_ok=True)
            options = {name: value for name, value in row.items() if name in {"blksize", "windowsize"} or (name == "timeout" and value)}
            done = fetch("atftp", f"f{row['size']}", out, served.server.port, options)
            assert done.returncode == 0, (row, done.stderr)
            assert out.read_bytes() == content(row["size"]), row


@pytest.mark.slow
@pytest.mark.parametrize("server", ["ours", "atftpd", "tftpd-hpa"])
def test_our_client_takes_large_files_with_every_pair_of_options(server: str, tmp_path: Path) -> None:
    for size in LARGE_AXES["size"]:
        (tmp_path / f"f{size}").write_bytes(large_content(size))
    with foreign_server(server, tmp_path) as port:
        for row in pairwise(LARGE_AXES):
            source = TftpSource("127.0.0.1", port, block_size=row["blksize"], window=row["windowsize"], timeout_s=row["timeout"] or None)
            if not row["tsize"]:
                del source._options["tsize"]
            with closing(source.open(f"f{row['size']}")) as reader:
                assert reader.read() == (tmp_path / f"f{row['size']}").read_bytes(), row


@pytest.mark.slow
@pytest.mark.parametrize("client", ["curl", "tftp-hpa", "atftp", "busybox"])
def test_a_client_gets_large_files_from_our_server(client: str, tmp_path: Path) -> None:
    """atftp with every pair of options, the others with what they have of them; with 512 bytes block numbers roll over twice."""
    (tmp_path / "root").mkdir()
    for size in LARGE_AXES["size"]:
        (tmp_path / "root" / f"f{size}").write_bytes(large_content(size))
    known = {"atftp": ("blksize", "windowsize", "timeout"), "curl": ("blksize",), "busybox": ("blksize",), "tftp-hpa": ()}[client]
    rows = pairwise({name: LARGE_AXES[name] for name in ("size", *known)}) if known else [{"size": size} for size in LARGE_AXES["size"]]
    out = tmp_path / "out"
    with serving(tmp_path / "root") as served:
        for row in rows:
            out.unlink(missing_ok=True)
            done = fetch(client, f"f{row['size']}", out, served.server.port, {name: row[name] for name in known if row[name]})
            assert done.returncode == 0, (row, done.stderr)
            assert out.read_bytes() == (tmp_path / "root" / f"f{row['size']}").read_bytes(), row


@pytest.mark.slow
@pytest.mark.parametrize(
    ("block_size", "window", "timeout_s"),
    [(512, 64, None), (1428, 1, None), (1428, 16, None), (1428, 64, None), (8192, 8, None), (65464, 1, None), (65464, 16, None), (8192, 32, 5), ("enhanced", 1, None)],
    ids=str,
)
def test_five_gigabytes_arrive(block_size: int | str, window: int, timeout_s: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file with something in it here and there; block numbers roll over many times. The enhanced port negotiates nothing."""
    size = 5_000_000_000 + 77
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(size)
        for at in range(0, size - 100, 99_999_989):
            file.seek(at)
            file.write(b"at %d" % at)
    expected = hashlib.blake2b()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            expected.update(piece)
    program = (
        "import sys\nfrom pathlib import Path\nfrom bpscript.network.tftp.server import TftpServer\n"
        "with TftpServer(Path(sys.argv[1]), port=0, enhanced_port=0) as server:\n    print(server.port, server.enhanced_port, flush=True)\n    server.run()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as server:
        assert server.stdout is not None
        port, enhanced = map(int, server.stdout.readline().split())
        if isinstance(block_size, int):
            source = TftpSource("127.0.0.1", port, block_size=block_size, window=window, timeout_s=timeout_s)
        else:
            monkeypatch.setattr("bpscript.network.tftp.source.ENHANCED_PORT", enhanced)
            source = TftpSource("127.0.0.1", enhanced)
        found = hashlib.blake2b()
        with closing(source.open("large")) as reader:
            while piece := reader.read(1 << 20):
                found.update(piece)
        server.kill()
    assert found.digest() == expected.digest()


READ = """
import sys, json
from contextlib import closing
from bpscript.network.tftp.source import TftpSource
host, port, folder, window = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
for name in sys.argv[5:]:
    with closing(TftpSource(host, port, window=window).open(name)) as reader:
        open(f"{folder}/{name}", "wb").write(reader.read())
"""
SERVE = """
import sys
from pathlib import Path
from bpscript.network.tftp.server import TftpServer
TftpServer(Path(sys.argv[1]), address=sys.argv[2], port=int(sys.argv[3])).run()
"""


def lossy(tmp_path: Path, server: str, client: str, per_mille: int, size: int, options: dict[str, int]) -> float:
    """One file over a network that loses packets in both directions; how many seconds it took."""
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    (root / "file").write_bytes(content(size))
    here = Path(__file__).parents[3]
    port = 69 if server == "dnsmasq" else 6969
    with lab(1) as net:
        command = [sys.executable, "-c", SERVE, str(root), SERVER, str(port)] if server == "ours" else server_command(server, root, port, SERVER)
        with subprocess.Popen(net.inside(net.server, *command), cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            time.sleep(0.7)
            for name in (net.server, *net.clients):
                net.drop(name, per_mille)
            started = time.monotonic()
            if client == "ours":
                words = [sys.executable, "-c", READ, SERVER, str(port), str(out), str(options.get("windowsize", 1)), "file"]
            else:
                words = client_command(client, "file", out / "file", port, options, host=SERVER)
            for _ in range(5):
                done = subprocess.run(net.inside(net.clients[0], *words), capture_output=True, text=True, errors="replace", check=False, cwd=here, timeout=300)
                # atftp gives up when its ACK 0 is lost, because the server then says again what was agreed.
                if client != "atftp" or "unexpected OACK" not in done.stdout + done.stderr:
                    break
            taken = time.monotonic() - started
            running.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "file").read_bytes() == content(size)
    return taken


@pytest.mark.parametrize("window", [1, 32])
def test_a_file_arrives_though_every_tenth_packet_is_lost(window: int, tmp_path: Path) -> None:
    lossy(tmp_path, "ours", "ours", 100, 30_000, {"windowsize": window})


@pytest.mark.net
@pytest.mark.parametrize("per_mille", [10, 100], ids=["1%", "10%"])
@pytest.mark.parametrize(
    ("server", "client", "options"),
    [
        ("ours", "ours", {"windowsize": 1}), ("ours", "ours", {"windowsize": 16}), ("ours", "ours", {"windowsize": 64}),
        ("ours", "curl", {"blksize": 1428}), ("ours", "atftp", {"blksize": 1428, "windowsize": 16}), ("ours", "busybox", {"blksize": 1428}), ("ours", "tftp-hpa", {}),
        ("tftpd-hpa", "ours", {"windowsize": 1}), ("dnsmasq", "ours", {"windowsize": 1}), ("atftpd", "ours", {"windowsize": 16}),
    ],
    ids=["ours-1", "ours-16", "ours-64", "curl", "atftp", "busybox", "tftp-hpa", "tftpd-hpa", "dnsmasq", "atftpd"],
)
def test_a_megabyte_arrives_though_packets_are_lost(server: str, client: str, options: dict[str, int], per_mille: int, tmp_path: Path) -> None:
    # Foreign programs wait a second and more for each loss, some five: they get a smaller file.
    size = 1_000_000 if server == client == "ours" else 200_000 if per_mille == 10 else 40_000
    lossy(tmp_path, server, client, per_mille, size, options)


@pytest.mark.net
def test_our_client_reads_from_dnsmasq(tmp_path: Path) -> None:
    """It answers on port 69 only, and knows no windows."""
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    names = [f"f{size}" for size in SMALL_SIZES]
    for size in SMALL_SIZES:
        (root / f"f{size}").write_bytes(content(size))
    here = Path(__file__).parents[3]
    with lab(1) as net, subprocess.Popen(net.inside(net.server, *server_command("dnsmasq", root, 69, SERVER)), stderr=subprocess.DEVNULL) as running:
        time.sleep(0.5)
        words = [sys.executable, "-c", READ, SERVER, "69", str(out), "32", *names]
        done = subprocess.run(net.inside(net.clients[0], *words), capture_output=True, text=True, check=False, cwd=here, timeout=60)
        running.kill()
    assert done.returncode == 0, done.stderr
    assert {name: (out / name).read_bytes() for name in names} == {f"f{size}": content(size) for size in SMALL_SIZES}
