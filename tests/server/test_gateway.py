"""`bpscript gateway` as a process: scripts ask it, the password file answers, and nobody who listens learns anything."""

import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from bpscript.cli.main import main
from bpscript.network.tftp.server import TftpServer
from bpscript.network.tftp.source import TftpSource
from tests.server.gateway_process import SECRET, Running, gateway, shadow_line


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("gateway")
    over = shadow_line("over").replace("7:::", "7::100:")
    (folder / "shadow").write_text(
        shadow_line("joe") + shadow_line("eve") + over + "lock:!$5$rounds=1000$saltsalt$x:19000::::::\nyes:$y$j9T$abc$def:19000::::::\n" + "empty:::::::\n"
    )
    with gateway(folder, "# users of the lab\nunix file shadow\ndeny eve\n") as found:
        yield found


class Relay:
    """A UDP relay that hears everything, both ways."""

    def __init__(self, target: int) -> None:
        self.heard: list[bytes] = []
        self._target = ("127.0.0.1", target)
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self.port: int = self._front.getsockname()[1]
        self._open = True
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        self._front.settimeout(0.05)
        backs: dict[tuple[str, int], socket.socket] = {}
        while self._open:
            try:
                packet, client = self._front.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            self.heard.append(packet)
            if client not in backs:
                backs[client] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                back = threading.Thread(target=self._return, args=(backs[client], client), daemon=True)
                back.start()
            backs[client].sendto(packet, self._target)
        for each in backs.values():
            each.close()

    def _return(self, back: socket.socket, client: tuple[str, int]) -> None:
        side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)     # the transfer's own port, as the client sees it
        side.bind(("127.0.0.1", 0))
        side.settimeout(0.05)
        back.settimeout(0.05)
        server: tuple[str, int] | None = None
        while self._open:
            try:
                packet, server = back.recvfrom(65536)
                self.heard.append(packet)
                side.sendto(packet, client)
            except TimeoutError:
                pass
            except OSError:
                break
            try:
                packet = side.recv(65536)
                self.heard.append(packet)
                if server is not None:
                    back.sendto(packet, server)
            except (TimeoutError, OSError):
                pass
        side.close()

    def close(self) -> None:
        self._open = False
        self._front.close()


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    found = Relay(target)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def file_server(folder: Path) -> Iterator[int]:
    with TftpServer(folder, port=0) as server:
        server.start()
        yield server.port


def check(tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, gateway_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a script whose files come from a server."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    script = tmp_path / "s.bpb"
    script.write_text(f'set Security-Gateway = "127.0.0.1@{gateway_port}"\n{lines}')
    with file_server(tmp_path) as port:
        status = main(["run", str(script), "--root", f"tftp://127.0.0.1:{port}/"])
    captured = capsys.readouterr()
    assert status == 0, captured.out + captured.err
    return captured.out + captured.err


CHECKS = [
    ("joe", SECRET, "Unix", "PASSED"), ("joe", SECRET, "UNIX", "PASSED"), ("joe", "wrong-one", "Unix", "FAILED"), ("nobody", SECRET, "Unix", "FAILED"),
    ("eve", SECRET, "Unix", "FAILED"), ("joe", SECRET, "lab", "FAILED"), ("over", SECRET, "Unix", "FAILED"),
    ("lock", SECRET, "Unix", "FAILED"), ("yes", SECRET, "Unix", "FAILED"), ("joe", "", "Unix", "FAILED"), ("empty", "x", "Unix", "FAILED"),
]


def test_a_script_asks_the_gateway_when_its_files_come_from_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    lines = f'checkuser "joe" "{SECRET}" "Unix"\necho "<$Security-Check>"\ncheckuser "joe" "wrong" "Unix"\necho "<$Security-Check>"\n'
    out = check(tmp_path, capsys, lines, running.port, monkeypatch)
    assert re.findall("<(.*)>", out) == ["PASSED", "FAILED"]
    assert out.count(f"the gateway 127.0.0.1@{running.port} is trusted from now on: its key is {running.key}") == 1
    assert (tmp_path / "state" / "bpscript" / "gateways").read_text() == f"127.0.0.1@{running.port} {running.key}\n"
    out = check(tmp_path, capsys, f'checkuser "joe" "{SECRET}" "Unix"\necho "<$Security-Check>"\n', running.port, monkeypatch)
    assert "trusted" not in out
    assert re.findall("<(.*)>", out) == ["PASSED"]


def test_another_gateway_at_a_known_address_gets_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    state = tmp_path / "state" / "bpscript"
    state.mkdir(parents=True)
    (state / "gateways").write_text(f"127.0.0.1@{running.port} {'ab' * 32}\n")
    out = check(tmp_path, capsys, f'checkuser "pinned" "{SECRET}" "Unix"\necho "<$Security-Check>"\n', running.port, monkeypatch)
    assert re.findall("<(.*)>", out) == ["FAILED"]
    assert f"the gateway has the key {running.key}; expected {'ab' * 32}" in out
    given = f'set Gateway-Key = "{running.key}"\ncheckuser "joe" "{SECRET}" "Unix"\necho "<$Security-Check>"\n'
    assert re.findall("<(.*)>", check(tmp_path, capsys, given, running.port, monkeypatch)) == ["PASSED"]
    assert "pinned" not in running.text


def test_a_gateway_that_is_not_there_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    out = check(tmp_path, capsys, f'checkuser "joe" "{SECRET}" "Unix"\necho "<$Security-Check>"\n', port, monkeypatch)
    assert re.findall("<(.*)>", out) == ["FAILED"]
    assert f"[note] CheckUser: the login gateway 127.0.0.1@{port} cannot be asked: " in out
    assert time.monotonic() - began < 10


def test_the_verdicts(tmp_path: Path, running: Running) -> None:
    with gateway(tmp_path / "own", f"unix file {running.log.parent / 'shadow'}\ndeny EVE\n") as own, ThreadPoolExecutor(len(CHECKS)) as threads:
        found = list(threads.map(lambda each: own.ask(*each[:3]), CHECKS))
        assert found == [verdict == "PASSED" for *_, verdict in CHECKS]
        for user, _, domain, verdict in CHECKS:
            assert own.has_line(rf"login 127\.0\.0\.1 {user} {domain} {verdict}")
        assert own.has_line(r"yes Unix FAILED \(.*in a format that we do not know; ")
        assert own.has_line(r"eve Unix FAILED \(denied\)")
        assert SECRET not in own.text
        assert "wrong-one" not in own.text


def test_who_listens_finds_no_password_and_no_name(running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with relay(running.port) as wire:
        lines = f'checkuser "joe" "{SECRET}" "Unix"\necho "<$Security-Check>"\ncheckuser "joe" "otherwise" "Unix"\necho "<$Security-Check>"\n'
        out = check(tmp_path, capsys, lines, wire.port, monkeypatch)
        assert re.findall("<(.*)>", out) == ["PASSED", "FAILED"]
        heard = b"".join(wire.heard)
    assert len(wire.heard) > 8
    assert b"check/" in heard
    for secret in (SECRET.encode(), b"otherwise", b"joe", b"Unix"):
        assert secret not in heard
        assert secret.hex().encode() not in heard


def test_the_clock_is_set_by_the_script_of_the_gateway(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    lines = 'setdate "99/12/31"\nInclude "$Security-Gateway:gettime"\ngetdate d\ngettime t\necho "<$d $t>"\n'
    out = check(tmp_path, capsys, lines, running.port, monkeypatch)
    found = datetime.strptime(re.findall("<(.*)>", out)[0], "%y/%m/%d %H:%M:%S")
    assert abs((datetime.now() - found).total_seconds()) < 60


def test_no_other_file_is_served(running: Running) -> None:
    source = TftpSource("127.0.0.1", running.port)
    for name in ("stftpd.conf", "stftpd.key", "../stftpd.conf", "hello/", "check/AAAA", "hello/" + "A" * 43 + "=", "x" * 400):
        assert source.stat(name) is None
    assert source.stat("gettime") is not None


def test_the_key_stays_the_same_and_is_private(tmp_path: Path) -> None:
    with gateway(tmp_path, "unix file none\n") as first:
        assert (tmp_path / "stftpd.key").stat().st_mode & 0o777 == 0o600
        assert first.stop() == 143
    with gateway(tmp_path, "unix file none\n") as second:
        assert second.key == first.key
        assert not second.ask("joe", SECRET, "Unix")
        assert second.has_line("joe Unix FAILED .*none: cannot be read")
        assert second.stop(signal.SIGINT) == 130


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--config", str(tmp_path / "none"), "--port", "0"]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "bad.conf").write_text("\nradius lab\n")
    assert main(["gateway", "--config", str(tmp_path / "bad.conf"), "--port", "0"]) == 2
    assert f"{tmp_path}/bad.conf:2:11: the line ends too early" in capsys.readouterr().err
