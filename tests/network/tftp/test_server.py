"""What our server takes from strangers: floods, fuzz, files that change, uploads, restarts."""

import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpscript.base.errors import NetworkError
from bpscript.base.events import Kind
from bpscript.network.sockets import Datagrams
from bpscript.network.tftp.limits import Limits
from bpscript.network.tftp.packets import Request, ack_packet, data_packet, oack_packet, parse_error
from bpscript.network.tftp.server import TftpServer
from bpscript.network.tftp.source import TftpSource
from tests.network.tftp.peers import ask, content, fetch, serving
from tests.oracles import need, run_tool


def read(port: int, name: str, **options: int) -> bytes:
    with closing(TftpSource("127.0.0.1", port, **options).open(name)) as reader:  # type: ignore[arg-type]
        return reader.read()


class Client:
    """A socket that speaks to the server packet by packet."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(5)
        self.target = ("127.0.0.1", port)

    def send(self, packet: bytes) -> None:
        self.socket.sendto(packet, self.target)

    def ask(self, packet: bytes) -> bytes:
        self.send(packet)
        answer, self.target = self.socket.recvfrom(65536)
        return answer


def test_ten_thousand_half_open_transfers_do_not_stop_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(50_000))
    with ExitStack() as stack:
        served = stack.enter_context(serving(tmp_path, limits=Limits(transfers=2000, transfers_per_client=200)))
        request = Request("file", "octet", {"tsize": "0", "blksize": "1428"}).build()
        sockets = [stack.enter_context(closing(Client(served.server.port, f"127.0.{1 + number // 200}.1").socket)) for number in range(500)]
        # 500 sockets, 20 rounds on new ports: 10,000 transfers whose clients never answer.
        for number in range(20):
            for index, each in enumerate(sockets):
                each.sendto(request, ("127.0.0.1", served.server.port))
                if index % 50 == 49:
                    time.sleep(0.001)
            if number < 19:
                for index, each in enumerate(sockets):
                    each.close()
                    sockets[index] = stack.enter_context(closing(Client(served.server.port, f"127.0.{1 + index // 200}.{number + 2}").socket))
        assert read(served.server.port, "file") == content(50_000)
        assert 500 < served.server.transfers <= 2000
        evicted = [event for event in served.events if event.data["text"] == "no answer, and others wait"]
        assert len(evicted) > 4000


def test_one_client_cannot_take_all_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(50_000))
    with serving(tmp_path, limits=Limits(transfers_per_client=3)) as served, ExitStack() as stack:
        for _ in range(3):
            client = Client(served.server.port)
            stack.callback(client.socket.close)
            assert client.ask(Request("file").build())[:4] == b"\0\3\0\1"
            client.send(ack_packet(1))
        assert ask(served.server.port, Request("file").build(), 0.3) == b""
        assert served.last()[0]["outcome"] == "busy"
        other = Client(served.server.port, "127.0.0.2")
        stack.callback(other.socket.close)
        assert other.ask(Request("file").build())[:4] == b"\0\3\0\1"


WORDS = st.sampled_from([b"\0\1", b"\0\2", b"\0\3", b"\0\4", b"\0\5", b"\0\6", b"\0\0", b"file\0octet\0", b"blksize\x008\0", b"windowsize\x0064\0", b"..", b"/", b"\xff" * 9, b"\0", b"multicast\0\0", b"timeout\0001\0"])


@given(packets=st.lists(st.one_of(st.binary(max_size=80), st.lists(WORDS, max_size=8).map(b"".join)), max_size=60))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_packets_leave_it_serving_and_below_its_root(packets: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever comes to its ports, the server goes on, sends no byte from outside of its root, and writes nothing."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "root").mkdir()
    (folder / "secret").write_bytes(b"SECRET" * 100)
    (folder / "root" / "file").write_bytes(content(3000))
    with serving(folder / "root", enhanced=True) as served, closing(Client(served.server.port).socket) as client:
        client.setblocking(False)
        data_port = None
        for packet in packets:
            for port in (served.server.port, served.server.enhanced_port, data_port):
                if port is not None:
                    client.sendto(packet, ("127.0.0.1", port))
            try:
                while True:
                    answer, peer = client.recvfrom(65536)
                    data_port = peer[1]
                    assert b"SECRET" not in answer
            except BlockingIOError:
                pass
        assert read(served.server.port, "file") == content(3000)
    assert sorted(path.name for path in folder.rglob("*")) == ["file", "root", "secret"]


def test_random_packets_to_a_transfer_do_not_change_what_arrives(tmp_path: Path) -> None:
    """Acknowledgements of blocks that were never sent, other opcodes, and half packets from the client's own port."""
    (tmp_path / "file").write_bytes(content(20_000))
    randomness = random.Random(7)
    with serving(tmp_path) as served:
        client = Client(served.server.port)
        with closing(client.socket):
            got = b""
            block = client.ask(Request("file").build())
            for number in range(1, 41):
                assert block == data_packet(number, content(20_000)[512 * (number - 1) : 512 * number])
                got += block[4:]
                for _ in range(5):
                    client.send(bytes([0, randomness.choice([1, 2, 3, 6, 9])]) + randomness.randbytes(randomness.randrange(40)))
                    client.send(ack_packet(number + randomness.randrange(1, 60_000)))
                block = client.ask(ack_packet(number)) if number < 40 else b""
        assert got == content(20_000)


FLOOD = """
import socket, sys
from bpscript.network.tftp.packets import Request
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.sendto(Request("file", "octet", {"tsize": "0"}).build(), ("127.0.0.1", int(sys.argv[1])))
target = client.recvfrom(65536)[1]
print("flooding", flush=True)
client.setsockopt(socket.SOL_UDP, 103, 4)        # UDP_SEGMENT: eight ACKs of a block that was never sent with each call, more than a server can look at
while True:
    client.sendto(bytes([0, 4, 0, 9]) * 8, target)
"""


def test_a_client_that_never_stops_asking_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(50_000))
    with serving(tmp_path) as served:
        flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(served.server.port)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
        try:
            assert flood.stdout is not None
            flood.stdout.readline()
            for _ in range(5):
                assert ask(served.server.port, Request("file").build(), 5.0) == data_packet(1, content(50_000)[:512])
        finally:
            flood.kill()
            flood.communicate()


def test_a_request_that_comes_twice_is_one_transfer(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(2000))
    with serving(tmp_path) as served:
        client = Client(served.server.port)
        with closing(client.socket):
            request = Request("file", "octet", {"tsize": "0"}).build()
            assert client.ask(request) == oack_packet({"tsize": "2000"})
            data_port = client.target
            client.target = ("127.0.0.1", served.server.port)
            assert client.ask(request) == oack_packet({"tsize": "2000"})
            assert client.target == data_port
            assert served.server.transfers == 1
            assert served.events == []
            client.target = data_port
            assert client.ask(ack_packet(0))[:4] == b"\0\3\0\1"
            client.target = ("127.0.0.1", served.server.port)
            assert client.ask(Request("file").build()) == data_packet(1, content(2000)[:512])
            assert served.last()[0]["outcome"] == "replaced"


@pytest.mark.parametrize("change", ["shorter", "other", "gone"])
def test_a_file_that_changes_meanwhile_ends_its_transfer(change: str, tmp_path: Path) -> None:
    old = content(3_000_000)
    blocks = [b"", *(data_packet(number + 1, old[number * 1428 : (number + 1) * 1428]) for number in range(200))]
    path = tmp_path / "file"
    path.write_bytes(old)
    with serving(tmp_path) as served:
        client = Client(served.server.port)
        with closing(client.socket):
            assert client.ask(Request("file", "octet", {"blksize": "1428", "windowsize": "2"}).build())[:2] == b"\0\6"
            client.send(ack_packet(0))
            client.socket.recv(2000), client.socket.recv(2000)
            if change == "shorter":
                with path.open("r+b") as file:
                    file.truncate(1000)
            elif change == "other":
                path.with_name("new").write_bytes(content(100))
                path.with_name("new").replace(path)
                assert read(served.server.port, "file") == content(100)
            else:
                path.unlink()
                assert client.ask(ack_packet(2))[:4] == data_packet(3, b"")        # it stays open until it is done
                return
            answer = client.ask(ack_packet(2))
            acked = 2
            while answer[:2] == b"\0\3":       # windows that were laid out before: of the old file, and not many
                acked += 2
                assert answer == blocks[acked - 1]
                assert client.socket.recv(2000) == blocks[acked]
                answer = client.ask(ack_packet(acked))
            assert answer[:2] == b"\0\5"
            assert ("became shorter" if change == "shorter" else "was changed meanwhile") in parse_error(answer)[1]


def test_more_files_than_descriptors_are_served(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"f{number}").write_bytes(content(1500, number + 1))
    with serving(tmp_path, limits=Limits(transfers_per_client=400)) as served, ExitStack() as stack:
        clients = [Client(served.server.port) for _ in range(300)]
        for each in clients:
            stack.callback(each.socket.close)
        for number, client in enumerate(clients):
            assert client.ask(Request(f"f{number}").build())[4:] == content(1500, number + 1)[:512]
        for number, client in enumerate(clients):
            assert client.ask(ack_packet(1))[4:] == content(1500, number + 1)[512:1024]
        assert served.server.transfers == 300
        assert len(list(Path("/proc/self/fd").iterdir())) < 300 + 200 + 100


@pytest.mark.parametrize("client", ["atftp", "tftp-hpa", "busybox", "curl"])
@pytest.mark.parametrize("size", [0, 512, 100_001])
def test_a_client_writes_when_it_is_allowed(client: str, size: int, tmp_path: Path) -> None:
    root, source = tmp_path / "root", tmp_path / "source"
    (root / "in").mkdir(parents=True)
    source.write_bytes(content(size))
    with serving(root, writable=True) as served:
        port = str(served.server.port)
        match client:
            case "atftp":
                run_tool(["atftp", "-p", "-l", source, "-r", "in/new", "--option", "blksize 1428", "127.0.0.1", port])
            case "tftp-hpa":
                run_tool([need("tftp"), "-m", "binary", "127.0.0.1", port, "-c", "put", source, "in/new"])
            case "busybox":
                run_tool(["busybox", "tftp", "-p", "-l", source, "-r", "in/new", "-b", "1428", "127.0.0.1", port])
            case _:
                run_tool(["curl", "-sS", "-T", source, f"tftp://127.0.0.1:{port}/in/new"])
        assert (root / "in" / "new").read_bytes() == content(size)
        event = served.last()[0]
        assert (event["write"], event["outcome"], event["size"]) == (True, "done", size)
    assert [path.name for path in (root / "in").iterdir()] == ["new"]


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    with serving(tmp_path, writable=True, limits=Limits(upload_size=2000)) as served:
        client = Client(served.server.port)
        with closing(client.socket):
            assert client.ask(Request("old", write=True).build()) == ack_packet(0)
            assert client.ask(data_packet(1, bytes(512))) == ack_packet(1)
            client.send(b"\0\5\0\0bye\0")
            assert served.last()[0]["outcome"] == "aborted"
        big = Client(served.server.port)
        with closing(big.socket):
            assert big.ask(Request("big", write=True).build()) == ack_packet(0)
            answers = [big.ask(data_packet(number, bytes(512))) for number in range(1, 5)]
            assert answers[-1][:4] == b"\0\5\0\3"
        assert ask(served.server.port, Request("big", "octet", {"tsize": "3000"}, write=True).build())[:4] == b"\0\5\0\3"
        assert ask(served.server.port, Request("no/such", write=True).build())[:4] == b"\0\5\0\1"
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]


def test_the_last_block_of_an_upload_is_acknowledged_again(tmp_path: Path) -> None:
    with serving(tmp_path, writable=True) as served:
        client = Client(served.server.port)
        with closing(client.socket):
            assert client.ask(Request("file", write=True).build()) == ack_packet(0)
            assert client.ask(data_packet(1, b"end")) == ack_packet(1)
            time.sleep(0.1)
            assert client.ask(data_packet(1, b"end")) == ack_packet(1)
        assert len(served.last()) == len(served.events) == 1
    assert (tmp_path / "file").read_bytes() == b"end"


def test_netascii_changes_line_ends_both_ways(tmp_path: Path) -> None:
    text = (b"one\ntwo\r\nthree\rfour" + b"\n" * 300 + b"\r") * 20
    (tmp_path / "text").write_bytes(text)
    with serving(tmp_path, writable=True) as served:
        for client in ("tftp-hpa", "atftp"):
            done = fetch(client, "text", tmp_path / f"got-{client}", served.server.port, mode="netascii")
            assert done.returncode == 0, done.stderr
        assert (tmp_path / "got-tftp-hpa").read_bytes() == text
        assert read(served.server.port, "text") == text
        run_tool([need("tftp"), "-m", "ascii", "127.0.0.1", str(served.server.port), "-c", "put", str(tmp_path / "text"), "back"])
        assert (tmp_path / "back").read_bytes() == text
        curl = fetch("curl", "text", tmp_path / "wire", served.server.port, mode="netascii")
        assert curl.returncode == 0
        assert (tmp_path / "wire").read_bytes() == text.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")


def test_names_may_be_looked_up_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"from the folder")
    asked: list[tuple[str, str]] = []

    def lookup(path: str, client: str) -> str | bytes | None:
        asked.append((path, client))
        answers: dict[str, str | bytes] = {"made": b"made in memory", "other": "real", "out": "../secret"}
        return answers.get(path)

    with serving(tmp_path, lookup=lookup) as served:
        assert read(served.server.port, "made") == b"made in memory"
        assert read(served.server.port, "other") == b"from the folder"
        assert read(served.server.port, "real") == b"from the folder"
        assert ask(served.server.port, Request("out").build())[:2] == b"\0\5"
    assert asked[0] == ("made", "127.0.0.1")


def test_answers_come_from_the_address_that_was_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    for address, targets in (("0.0.0.0", ("127.0.0.1", "127.0.0.9")), ("::", ("::1",))):
        with serving(tmp_path, address=address) as served:
            for target in targets:
                with closing(TftpSource(target, served.server.port).open("file")) as reader:
                    assert reader.read() == b"hello"


def test_stopping_tells_the_clients(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(5000))
    client = None
    with serving(tmp_path) as served:
        client = Client(served.server.port)
        client.ask(Request("file").build())
    with closing(client.socket):
        answer = client.socket.recv(1000)
    assert parse_error(answer) == (0, "the server is stopping")
    assert served.last()[0]["text"] == "the server is stopping"
    served.server.stop()


def test_a_port_in_use_is_an_error_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as served, pytest.raises(NetworkError, match=f"UDP port {served.server.port} of 127.0.0.1 cannot be used") as error:
        TftpServer(tmp_path, port=served.server.port)
    assert error.value.hint == "another program is using it"
    before = threading.active_count()
    with pytest.raises(NetworkError, match="cannot be used"):
        TftpServer(tmp_path, address="192.0.2.1", port=0)
    assert threading.active_count() == before


@pytest.mark.parametrize("segments", [True, False], ids=["segmented", "one-by-one"])
@pytest.mark.parametrize(("block_size", "window"), [(8, 64), (512, 64), (1428, 45), (1428, 46), (9000, 7), (9000, 8), (65464, 16)])
def test_windows_arrive_with_and_without_segmentation(segments: bool, block_size: int, window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not segments:
        monkeypatch.setattr("bpscript.network.sockets.MAX_SEGMENTS", 0)
    for factor in (window, 2 * window):
        for extra in (-1, 0, 1):
            size = min(8 * block_size * factor, 3_000_000) + extra if block_size > 8 else block_size * factor + extra
            (tmp_path / "file").write_bytes(content(size))
            with serving(tmp_path) as served:
                assert read(served.server.port, "file", block_size=block_size, window=window) == content(size)
                assert served.last()[0]["window"] == window


def test_every_transfer_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content(5000))
    with serving(tmp_path) as served:
        read(served.server.port, "file")
        assert ask(served.server.port, Request("no\x1bfile").build())[:4] == b"\0\5\0\1"
        first, second = (dict(event) for event in served.last(2))
    assert {event.kind for event in served.events} == {Kind.TRANSFER}
    assert len(served.events) == 2
    assert float(str(first.pop("seconds"))) < 5
    assert first.pop("port") != served.server.port
    assert first == {
        "protocol": "tftp", "client": "127.0.0.1", "path": "file", "write": False, "outcome": "done", "text": "", "size": 5000,
        "block_size": 1428, "window": 32, "multicast": False, "repeated": 0,
    }
    assert second["path"] == "no\ufffdfile"
    assert second["outcome"] == "refused"


def test_a_socket_without_a_destination_still_answers() -> None:
    packets = Datagrams("127.0.0.1", 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", packets.where)
            assert packets.receive_with_destination(bytearray(10))[2] == "127.0.0.1"  # type: ignore[index]
    finally:
        packets.close()


def test_a_file_that_was_written_over_in_place_is_served_as_it_is_now(tmp_path: Path) -> None:
    """Same inode, same size: only the time says so."""
    (tmp_path / "x").write_bytes(content(100_000, 1))
    with serving(tmp_path) as served:
        source = TftpSource("127.0.0.1", served.server.port)
        for seed in (1, 2, 3):
            with (tmp_path / "x").open("r+b") as file:
                file.write(content(100_000, seed))
            with closing(source.open("x")) as reader:
                assert b"".join(iter(lambda: reader.read(1 << 16), b"")) == content(100_000, seed)
