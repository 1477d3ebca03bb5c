"""The server over real connections, with curl and wget as clients, and with peers that behave badly."""

import http.client
import os
import random
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bpscript.network.http.server import Limits
from tests.network.http.serving import received, serving
from tests.oracles import run_tool

DATA = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "image").write_bytes(DATA)
    (root / "small").write_bytes(DATA[:100])
    return root


def curl(*arguments: str) -> bytes:
    return subprocess.run([run_tool(["which", "curl"]).stdout.strip(), "-sS", "--fail-with-body", *arguments], capture_output=True, check=True, timeout=20).stdout


@pytest.mark.parametrize(("text", "expected"), [("0-9", DATA[:10]), ("100000-2000000", DATA[100000:2000001]), ("2999999-", DATA[-1:]), ("-7", DATA[-7:])])
def test_curl_gets_ranges(folder: Path, text: str, expected: bytes) -> None:
    with serving(folder) as server:
        assert curl("-r", text, server.url("image")) == expected


def test_curl_continues_and_asks_only_for_what_is_new(folder: Path, tmp_path: Path) -> None:
    with serving(folder) as server:
        part, tags = tmp_path / "part", tmp_path / "tags"
        part.write_bytes(DATA[:1_234_567])
        curl("-C", "-", "-o", str(part), server.url("image"))
        assert part.read_bytes() == DATA
        assert server.seen[-1].sent == len(DATA) - 1_234_567
        assert curl("--etag-save", str(tags), server.url("small")) == DATA[:100]
        assert curl("--etag-compare", str(tags), server.url("small")) == b""
        assert server.seen[-1].status == 304
        assert curl("-I", server.url("image")).startswith(b"HTTP/1.1 200 OK\r\n")


def test_wget_gets_and_continues(folder: Path, tmp_path: Path) -> None:
    with serving(folder) as server:
        part = tmp_path / "image"
        part.write_bytes(DATA[:2_000_000])
        run_tool(["wget", "-q", "-c", "-P", tmp_path, server.url("image"), server.url("small")])
        assert (part.read_bytes(), (tmp_path / "small").read_bytes()) == (DATA, DATA[:100])
        assert [(each.status, each.sent) for each in server.seen] == [(206, 1_000_000), (200, 100)]
        assert run_tool(["wget", "-q", "-O", "-", server.url("missing")], ok=None).returncode == 8      # "server issued an error response"


def test_one_connection_serves_many_requests(folder: Path) -> None:
    with serving(folder) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for path, status, size in [("/small", 200, 100), ("/missing", 404, None), ("/image", 200, len(DATA)), ("/small", 200, 100)]:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            assert (answer.status, None if size is None else len(body)) == (status, size)
        assert server.server.connections == 1
        connection.close()


def test_requests_that_are_sent_ahead_are_answered_in_order(folder: Path) -> None:
    """More of them than Python may nest calls."""
    with serving(folder) as server:
        one = b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n"
        found = server.talk(one * 3000 + b"GET /image HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert found.count(b"HTTP/1.1 200 OK") == 3001
        assert found.endswith(DATA)


def test_a_post_is_refused_with_its_reason_and_the_connection_goes_on(folder: Path) -> None:
    with serving(folder) as server:
        found = server.talk(b"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert found.startswith(b"HTTP/1.1 405 ")
        assert b"Allow: GET, HEAD" in found
        assert found.endswith(DATA[:100])


def test_a_file_that_becomes_shorter_ends_the_connection(folder: Path) -> None:
    """The length was promised: what is missing must not be filled by the next answer."""
    with serving(folder) as server, server.connect() as sock:
        (folder / "shrinks").touch()
        os.truncate(folder / "shrinks", 50_000_000)
        sock.sendall(b"GET /shrinks HTTP/1.1\r\nHost: h\r\n\r\n")
        sock.recv(1000)
        os.truncate(folder / "shrinks", 1_000_000)
        assert len(received(sock)) < 49_000_000
    assert [each.complete for each in server.seen] == [False]


def test_slow_peers_are_closed_while_others_are_served(folder: Path) -> None:
    """One byte at a time, half a request, nothing at all, no reading: each runs out of its time; a good one is served all along."""
    with serving(folder, Limits(idle_s=0.3, request_s=0.6, stalled_s=0.8)) as server:
        (folder / "large").write_bytes(bytes(30_000_000))
        drip, half, silent, kept, deaf = [server.connect() for _ in range(5)]
        half.sendall(b"GET /small HT")
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        kept.sendall(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
        drip.settimeout(0.03)
        with drip, half, silent, kept, deaf:
            for byte in b"GET /small HTTP/1.1\r\nX: " + b"y" * 60:
                drip.sendall(bytes([byte]))
                assert curl(server.url("small")) == DATA[:100]
                try:
                    assert drip.recv(100).startswith(b"HTTP/1.1 408 ")
                    break
                except TimeoutError:
                    pass
            else:
                pytest.fail("it may go on for ever")
            assert received(half).startswith(b"HTTP/1.1 408 ")
            assert received(silent) == b""
            assert received(kept).endswith(DATA[:100])
            end = time.monotonic() + 3
            while server.server.connections and time.monotonic() < end:
                time.sleep(0.05)
            assert server.server.connections == 0
        assert [each.path for each in server.seen if not each.complete] == [b"/large"]


def test_a_peer_that_reads_slowly_but_all_the_time_gets_everything(folder: Path) -> None:
    """It never takes as much at a time as a connection may write in its turn, and needs several times the limit of one that takes nothing."""
    with serving(folder, Limits(stalled_s=0.8)) as server, server.connect() as peer:
        (folder / "large").write_bytes(bytes(12_000_000))
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        peer.sendall(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        start, count = time.monotonic(), 0
        while time.monotonic() < start + 3 and (data := peer.recv(20_000)):
            count += len(data)
            time.sleep(0.02)
        while count < 12_000_000 and (data := peer.recv(1 << 20)):
            count += len(data)
    assert count > 12_000_000


def test_too_many_connections_cost_the_idle_ones(folder: Path) -> None:
    with serving(folder, Limits(connections=20)) as server:
        idle = [server.connect() for _ in range(60)]
        for each in idle[:10]:
            try:
                each.sendall(b"GET /sma")       # half a request is not better than none
            except OSError:
                continue
        assert curl(server.url("image")) == DATA
        assert server.server.connections <= 20
        for each in idle:
            each.close()


def test_many_connections_at_once(folder: Path) -> None:
    """Each has its answer; `make soak` opens 10,000."""
    _many(folder, 1500)


@pytest.mark.slow
def test_ten_thousand_connections_at_once(folder: Path) -> None:
    _many(folder, 10_000)


def _many(folder: Path, count: int) -> None:
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(count, (hard - 200) // 2)       # this process is both ends
    if count < 1000:
        pytest.skip(f"only {hard} open files are allowed: root may raise that")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count + 200), hard))
    sockets = []
    try:
        with serving(folder, Limits(connections=count)) as server:
            for number in range(count):
                sock = socket.socket()
                sock.bind((f"127.0.1.{number // 5000 + 1}", 0))
                sock.connect(("127.0.0.1", server.port))
                sockets.append(sock)
            assert curl("-r", "0-9", server.url("image")) == DATA[:10]      # the oldest idle one goes for it
            for sock in sockets[1:]:
                sock.sendall(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
            for sock in sockets[1:]:
                sock.settimeout(20)
                assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_any_bytes_leave_the_server_alive(folder: Path) -> None:
    """Whatever is sent, in whatever pieces: the server goes on, and nothing but files of the folder comes back."""
    chance = random.Random(2)
    words = [b"GET ", b"HEAD ", b"/small", b"/../../etc/passwd", b"/%2e%2e/", b" HTTP/1.1\r\n", b" HTTP/9.9\r\n", b"Host: h\r\n", b"\r\n", b"\0", b"Range: bytes=",
             b"0-", b"-1", b"9" * 30, b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"If-None-Match: *\r\n", b"Expect: 100-continue\r\n", b"\xff" * 9, b"A" * 20_000]
    with serving(folder) as server:
        for _ in range(150):
            data = b"".join(chance.choice(words) for _ in range(chance.randrange(1, 14)))
            found = server.talk(data)
            assert found == b"" or found.startswith(b"HTTP/1.1 "), (data, found[:80])
            assert b"root:" not in found
        assert curl(server.url("small")) == DATA[:100]


def test_a_stopped_server_closes_everything(folder: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with serving(folder) as server:
        kept = server.connect()
        kept.sendall(b"GET /image HTTP/1.1\r\nHost: h\r\n\r\n")
        kept.recv(100)
    with kept:
        assert len(received(kept)) <= len(DATA) + 1000
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)
