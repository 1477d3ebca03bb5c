"""A room of machines in network namespaces: real multicast over a bridge that loses packets, and the whole program at both ends."""

import hashlib
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bpscript.cli.main import main
from tests.cli.images import captured, ext_image, make_tree
from tests.network.carousel.serving import free_port
from tests.network.lab import SERVER, Lab, lab
from tests.oracles import e2fsck, need
from tests.server.test_serve import serve

ROOT = Path(__file__).parents[3]
SIZE = 12_000_000


@contextmanager
def server(room: Lab, folder: Path, log: Path, *options: str) -> Iterator[None]:
    """`bpscript serve` on the switch; its log in a file."""
    words = [sys.executable, "-m", "bpscript", "serve", str(folder), "--listen", SERVER, "--tftp-port", "0", "--enhanced-port", "0", "--carousel", "239.255.69.70", *options]
    with log.open("wb") as out:
        child = subprocess.Popen(room.inside(room.server, *words), stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        for _ in range(200):
            if b"serving" in log.read_bytes():
                break
            assert child.poll() is None, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        child.terminate()
        child.wait(10)


def client(room: Lab, name: str, digest: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "tests.network.carousel.room", f"carousel+http://{SERVER}/", "image.imz", digest]
    return subprocess.Popen(room.inside(name, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.net)])
def test_a_room_with_loss_and_a_late_machine_has_the_same_bytes(count: int, tmp_path: Path) -> None:
    need("nft")
    (tmp_path / "root").mkdir()
    data = random.Random(2).randbytes(SIZE)
    (tmp_path / "root" / "image.imz").write_bytes(data)
    log = tmp_path / "log"
    with lab(count) as room, server(room, tmp_path / "root", log, "--carousel-rate", "60"):
        for number, name in enumerate(room.clients):
            room.drop(name, (0, 20, 100)[number % 3])
        children = [client(room, name, hashlib.sha256(data).hexdigest()) for name in room.clients[:-1]]
        time.sleep(1.2)
        children.append(client(room, room.clients[-1], hashlib.sha256(data).hexdigest()))
        told = [child.communicate(timeout=60) for child in children]
        counted = room.inside(room.server, "cat", "/sys/class/net/br0/statistics/tx_bytes")
        sent = int(subprocess.run(counted, capture_output=True, text=True, check=True).stdout)
        time.sleep(0.2)
    assert [child.returncode for child in children] == [0] * count, told
    found = [json.loads(out) for out, _ in told]
    assert [each["same"] for each in found] == [True] * count
    assert [each["warnings"] for each in found] == [[]] * count
    text = log.read_text()
    session = re.search(rf"carousel /image.imz: {count} of {count} machines have it, ([0-9.]+) turns", text)
    assert session, text
    assert 1 < float(session[1]) < 3.2
    assert len(re.findall(r"carousel 10\.77\.0\.\d+ read /image.imz done", text)) == count
    assert "by HTTP)" in text
    assert sent < (3.2 + 0.2 * count) * SIZE, text


def test_an_image_is_restored_from_a_carousel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "tree").mkdir()
    tree = make_tree(tmp_path / "tree")
    (tree / "more").write_bytes(random.Random(4).randbytes(6 << 20))
    image = ext_image(tmp_path / "part.img", tree)
    captured(image, tmp_path / "root" / "model.imz")
    target = tmp_path / "target.img"
    target.write_bytes(bytes(image.stat().st_size))
    port = free_port()
    with serve(tmp_path / "root", "--carousel", f"239.255.69.72:{port}", "--carousel-rate", "400") as served:
        assert f"carousel 239.255.69.72 port {port} at 400 Mbit/s" in served.first
        assert main(["image", "restore", f"carousel+{served.url('model.imz')}", str(target)]) == 0
        (tmp_path / "disk.bpb").write_text('SetPartitions "LINUX-EXT2:40"\nFullUnzip "model.imz" 1\n')
        assert main(["run", str(tmp_path / "disk.bpb"), "--disk", f"{tmp_path}/disk.img:64M", "--root", f"carousel+{served.url()}"]) == 0
        status, out, err = served.stop()
    assert (status, err) == (143, "bpscript: terminated\n")
    assert capsys.readouterr().err == ""
    e2fsck(target)
    assert out.count(" read /model.imz done ") == 2
    assert out.count("1 of 1 machines have it") == 2


@pytest.mark.parametrize(("options", "sentence"), [
    (["--carousel", "10.0.0.1"], "expected an IPv4 multicast address"), (["--carousel", "239.1.1.1", "--listen", "0.0.0.0"], "one interface with an IPv4 address"),
    (["--carousel", "239.1.1.1", "--carousel-rate", "0"], "'0' is no rate"),
], ids=["group", "address", "rate"])
def test_what_cannot_be_a_carousel_is_refused(options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["serve", str(tmp_path), "--http-port", "0", "--tftp-port", "0", "--enhanced-port", "0", *options])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status != 0
    assert sentence in capsys.readouterr().err
