"""`bpscript serve` as a process: files by TFTP and HTTP, runs that fetch and report, the page and the API, and how it ends."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bpscript.cli.main import main
from tests.cli.images import captured, ext_image, make_tree
from tests.oracles import e2fsck, run_tool

TOKEN = "a-token-for-tests"


@dataclass
class Serve:
    """A server that runs."""

    child: "subprocess.Popen[str]"
    http: int
    tftp: int
    enhanced: int
    first: str

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.http}/{path}"

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        with urllib.request.urlopen(self.url(path), timeout=20) as answer:
            return json.loads(answer.read())

    def post(self, path: str, content: object = None, token: str | None = None) -> int:
        request = urllib.request.Request(self.url(path), json.dumps(content).encode(), {"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=20)
        return self.child.returncode, out, err


@contextmanager
def serve(folder: Path, *options: str, token: str | None = None, environment: dict[str, str] | None = None) -> Iterator[Serve]:
    """The program on free ports of loopback."""
    command = [sys.executable, "-m", "bpscript", "serve", str(folder), "--http-port", "0", "--tftp-port", "0", "--enhanced-port", "0", *options]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **({} if token is None else {"BPSCRIPT_TOKEN": token}), **(environment or {})},
    )
    try:
        assert child.stdout is not None
        first = child.stdout.readline()
        match = re.search(r"http://[^/]*:(\d+)/, tftp \S+ port (\d+) and (\d+)", first)
        assert match, (first, child.stderr.read() if child.stderr and not first else "")
        yield Serve(child, int(match[1]), int(match[2]), int(match[3]), first)
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image and the script that restores it."""
    work = tmp_path_factory.mktemp("serve")
    root = work / "images"
    root.mkdir()
    (work / "tree").mkdir()
    tree = make_tree(work / "tree")
    (tree / "more").write_bytes(random.Random(6).randbytes(6 << 20))
    image = ext_image(work / "part.img", tree)
    captured(image, root / "model.imz")
    (root / "deploy.bpb").write_text('SetPartitions "LINUX-EXT2:40"\nFullUnzip "model.imz" 1\necho "restored"\n')
    (root / "fails.bpb").write_text('echo "begins"\ninclude "none.bpb"\n')
    (work / "secret").write_text("the secret")
    return root


def test_who_changes_the_hosts_file_hears_of_a_mistake_at_once(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts.toml"
    hosts.write_text('[defaults]\nscript = "one"\n')
    lines = []
    with serve(tmp_path, "--hosts", str(hosts)) as server:
        assert server.child.stdout is not None
        for text in ('[defaults]\nscirpt = "two"\n', '[defaults]\nscript = "three"\n'):
            (tmp_path / "new").write_text(text)
            os.replace(tmp_path / "new", hosts)         # whole, whenever it is looked at
            lines.append(server.child.stdout.readline())
        assert f"error {hosts}:2:1: there is no key" in lines[0]
        assert f"note {hosts}: read again" in lines[1]


def test_files_by_tftp_and_http(folder: Path) -> None:
    with serve(folder) as server:
        assert "serving " in server.first
        data = (folder / "model.imz").read_bytes()
        with urllib.request.urlopen(server.url("model.imz"), timeout=20) as answer:
            assert answer.read() == data
        assert subprocess.run(["curl", "-sS", f"tftp://127.0.0.1:{server.tftp}/model.imz"], capture_output=True, timeout=20, check=True).stdout == data
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:       # blocks of 1408 bytes without negotiation
            asking.settimeout(10)
            asking.sendto(b"\0\1model.imz\0octet\0", ("127.0.0.1", server.enhanced))
            packet, sender = asking.recvfrom(2000)
            assert packet == b"\0\3\0\1" + data[:1408]
            asking.sendto(b"\0\5\0\0enough\0", sender)
        assert run_tool(["curl", "-s", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", server.url("../secret")]).stdout == "400"
        code, out, err = server.stop()
    assert (code, err) == (143, "bpscript: terminated\n")
    assert re.search(r"^\S+ \S+ http 127.0.0.1 GET /model.imz 200 \S+ MB", out, re.MULTILINE)
    assert re.search(r"^\S+ \S+ tftp 127.0.0.1 read model.imz done \S+ MB", out, re.MULTILINE)
    assert "Traceback" not in out


@pytest.mark.parametrize("scheme", ["http", "tftp"])
def test_a_run_fetches_its_image_and_is_seen(folder: Path, tmp_path: Path, scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk.img"
    with serve(folder) as server:
        root = server.url() if scheme == "http" else f"tftp://127.0.0.1:{server.tftp}/"
        assert main(["run", str(folder / "deploy.bpb"), "--disk", f"{disk}:64M", "--root", root, "--report", server.url(), "--set", "BOOTP-Host-Name=pc7"]) == 0
        assert "restored" in capsys.readouterr().out
        (machine,) = server.get("api/machines")
        assert (machine["address"], machine["host"], machine["script"], machine["state"], machine["last_error"]) == ("127.0.0.1", "pc7", "deploy.bpb", "done", "")
        assert (machine["task"], machine["done"]) == ("restore", machine["total"])
        assert main(["run", str(folder / "fails.bpb"), "--root", root, "--report", server.url()]) == 1
        machine = server.get("api/machines/127.0.0.1")
        assert machine["state"] == "failed"
        assert machine["last_error"].startswith("fails.bpb:2: ")
        assert "none.bpb" in machine["last_error"]
        with urllib.request.urlopen(server.url(), timeout=20) as answer:
            page = answer.read().decode()
        assert "fails.bpb:2:" in page
        assert "model.imz" in page
    e2fsck(disk, 1 << 20)


def test_a_script_that_runs_again_fetches_only_what_differs(folder: Path, tmp_path: Path) -> None:
    """$Rewrite DIFF over HTTP, by what the server's log says it sent."""
    script = tmp_path / "again.bpb"
    script.write_text('set Rewrite = "DIFF"\nFullUnzip "model.imz" 1\n')
    disk = tmp_path / "disk.img"
    assert main(["run", str(folder / "deploy.bpb"), "--disk", f"{disk}:64M", "--root", str(folder)]) == 0
    data = bytearray(disk.read_bytes())
    where = data.index(b"/dev/sda1 / ext4")
    data[where : where + 4] = b"XXXX"
    disk.write_bytes(data)
    with serve(folder) as server:
        assert main(["run", str(script), "--disk", str(disk), "--root", server.url()]) == 0
        _, out, _ = server.stop()
    assert b"XXXX" not in disk.read_bytes()
    match = re.search(r"GET /model.imz 206 (\S+) ([KM])B in \d+ parts", out)
    assert match, out
    assert float(match[1]) * {"K": 1 << 10, "M": 1 << 20}[match[2]] < (folder / "model.imz").stat().st_size / 3


def test_the_script_reads_other_files_by_http_and_cannot_write_them(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s.bpb"
    script.write_text('if exist "deploy.bpb" echo "there"\nif not exist "other" echo "not there"\ninclude "hello.bpb"\nCopy "hello.bpb" "copy"\n')
    (folder / "hello.bpb").write_text('echo "hello from the server"\n')
    with serve(folder) as server:
        assert main(["run", str(script), "--root", server.url()]) == 1
    found = capsys.readouterr()
    assert found.out == "there\nnot there\nhello from the server\n"
    assert "can only be read" in found.err
    assert not (folder / "copy").exists()


def test_changes_need_the_token(folder: Path) -> None:
    with serve(folder, token=TOKEN) as server:
        assert server.post("api/report", {"script": "<script>alert(1)</script>", "events": []}) == 204
        with urllib.request.urlopen(server.url(), timeout=20) as answer:
            assert "<script>alert" not in answer.read().decode()
        for token, status in ((None, 401), ("wrong", 401), (TOKEN + "x", 401)):
            assert server.post("api/machines/127.0.0.1/forget", token=token) == status
            assert server.post("api/images/model.imz/verify", token=token) == status
        assert len(server.get("api/machines")) == 1
        assert server.post("api/machines/127.0.0.1/forget", token=TOKEN) == 204
        assert server.get("api/machines") == []
        assert server.post("api/images/none.imz/verify", token=TOKEN) == 404
        assert server.post("api/images/model.imz/verify", token=TOKEN) == 202
        deadline = time.monotonic() + 10
        while server.get("api/images")[0]["verified"] in {"waiting", "checking"} and time.monotonic() < deadline:
            time.sleep(0.05)
        (image,) = server.get("api/images")
        assert (image["name"], image["kind"], image["filesystem"], image["label"], image["verified"]) == ("model.imz", "full", "EXT4", "model", "right")
        _, out, _ = server.stop(signal.SIGTERM)
    assert "127.0.0.1 POST /api/images/model.imz/verify 202" in out
    assert "model.imz was checked: every byte is right" in out
    assert TOKEN not in out


def test_without_a_token_nothing_can_be_changed(folder: Path) -> None:
    with serve(folder) as server:
        assert server.post("api/images/model.imz/verify", token="") == 403
        assert server.post("api/report", "nonsense") == 400
        assert server.get("api/status")["machines"] == 0


def test_without_the_extra_files_are_served_and_the_page_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('not installed')")
    with serve(folder, environment={"PYTHONPATH": str(tmp_path)}) as server:
        with urllib.request.urlopen(server.url("deploy.bpb"), timeout=20) as answer:
            assert answer.read().startswith(b"SetPartitions")
        with pytest.raises(urllib.error.HTTPError) as caught:
            server.get("")
        assert (caught.value.code, caught.value.read()) == (503, b"the status page needs Starlette and Jinja2: pip install 'bpscript[serve]'\n")


def test_a_port_that_is_taken_is_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "bpscript", "serve", str(folder), "--http-port", str(port), "--tftp-port", "0", "--enhanced-port", "0"],
            capture_output=True, text=True, timeout=20, check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"bpscript: error: TCP port {port} of 127.0.0.1 cannot be used: Address already in use\n  another program is using it\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["none"], "none: no such directory; expected the folder", id="folder"), pytest.param([__file__], "test_serve.py: a file; expected the folder that is served", id="file"), pytest.param([".", "--dhcp", "10.0.0.1-10.0.0.9"], "DHCP needs an interface", id="dhcp-without-interface"),
        pytest.param([".", "--hosts", "none"], "none: no such file", id="hosts"), pytest.param([".", "--http-port", "70000"], "is no port", id="port"),
        pytest.param([".", "--dhcp", "x", "--proxy-dhcp"], "not allowed with", id="both"), pytest.param([".", "--interface", "none0"], "none0", id="interface"),
        pytest.param([".", "--listen", "127.0.0.1", "--dhcp", "10.0.0.1-10.0.0.9", "--http-port", "0", "--tftp-port", "0", "--enhanced-port", "0"], "no network that is served has these addresses", id="other-network"),
    ],
)
def test_wrong_options(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "bpscript", "serve", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode in {1, 2}, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_it_stops_in_the_middle_of_everything(folder: Path) -> None:
    """Transfers under way, a peer that says nothing, a request that is half there: Ctrl-C ends it within moments."""
    (folder / "large").touch()
    os.truncate(folder / "large", 1 << 30)
    with serve(folder) as server, socket.create_connection(("127.0.0.1", server.http)) as busy, socket.create_connection(("127.0.0.1", server.http)):
        busy.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        assert busy.recv(1000)
        began = time.monotonic()
        code, _, err = server.stop(signal.SIGINT)
        assert time.monotonic() - began < 5
    (folder / "large").unlink()
    assert (code, err) == (130, "bpscript: interrupted\n")


def test_a_server_that_does_not_answer_reports_is_a_warning(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "s.bpb").write_text('echo "hello"\n')
    assert main(["run", str(tmp_path / "s.bpb"), "--report", f"http://127.0.0.1:{port}"]) == 0
    assert capsys.readouterr().out == f"hello\n[warning] the reports did not arrive: http://127.0.0.1:{port}: no connection: nobody listens there\n"
    assert main(["run", str(tmp_path / "s.bpb"), "--report", "nonsense"]) == 2


def test_the_record_of_a_failure_arrives_and_is_replayed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.bpb").write_text('getpasswd p\nset x = "y"\nhdboot 3:1\n')
    with serve(folder) as server:
        assert main(["run", "s.bpb", "--keys", "justdoit\r", "--report", server.url()]) == 1
        assert not (tmp_path / "s.record").exists()
        machine = server.get("api/machines/127.0.0.1")
        with urllib.request.urlopen(server.url("api/machines/127.0.0.1/record")) as reply:
            bundle = reply.read()
        assert machine["record"] == len(bundle)
        with urllib.request.urlopen(server.url()) as page:
            assert b"/api/machines/127.0.0.1/record" in page.read()
        assert b"justdoit" not in bundle
        assert server.post("api/record", "no zip") == 400
    (tmp_path / "got.record").write_bytes(bundle)
    capsys.readouterr()
    assert main(["replay", "got.record"]) == 0
    assert "s.bpb:3:8: error" in capsys.readouterr().out


def test_the_record_of_a_failure_is_left_beside_when_nobody_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.bpb").write_text("hdboot 3:1\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["run", "s.bpb", "--report", f"http://127.0.0.1:{port}"]) == 1
    assert "it is in s.record" in capsys.readouterr().err
    assert main(["replay", "s.record"]) == 0
