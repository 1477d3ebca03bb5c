"""Our client against real servers: our own, nginx, busybox, Python's, one with a certificate, and a wire that is cut."""

import http.server
import os
import random
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from bpscript.base.errors import InTheWayError, NetworkError, NotFoundError, ReadOnlyError, StorageError
from bpscript.network.http.client import Client
from bpscript.network.http.files import Folder
from bpscript.network.http.message import Answer, Request, text_answer
from bpscript.network.http.remote import RemoteFile
from bpscript.network.http.source import HttpSource
from bpscript.network.http.urls import parse_url
from tests.network.http.serving import cutting, serving
from tests.oracles import need, run_tool

DATA = random.Random(3).randbytes(3_000_000)
STEP = 700_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    root.chmod(0o755)
    (root / "image").write_bytes(DATA)
    (root / "sub" / "räume b").write_bytes(b"small")
    (root / "empty").touch()
    os.utime(root / "image", (10**9, 10**9))
    return root


def whole(file: RemoteFile) -> bytes:
    try:
        return b"".join(iter(lambda: file.read(STEP), b""))
    finally:
        file.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def wait_for(port: int, child: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert child.poll() is None, "the server has ended"
            time.sleep(0.02)
        else:
            return
    pytest.fail("the server does not listen")


@contextmanager
def program(port: int, *command: str, cwd: Path) -> Iterator[int]:
    need(command[0])
    child = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"})
    try:
        wait_for(port, child)
        yield port
    finally:
        child.terminate()
        child.wait(10)


@contextmanager
def nginx(folder: Path, extra: str = "", block: str = "") -> Iterator[int]:
    """nginx in the foreground, as an ordinary process, on a free port; `extra` goes into its server, `block` beside it."""
    port, work = free_port(), folder.parent / "nginx"
    work.mkdir()
    temporary = " ".join(f"{kind}_temp_path {work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (work / "conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {work}/pid; error_log {work}/log; events {{ worker_connections 64; }}\n"
        f"http {{ access_log off; {temporary} default_type application/octet-stream; sendfile on; {block}\n"
        f"server {{ listen 127.0.0.1:{port}; root {folder}; {extra} }} }}\n"
    )
    with program(port, "nginx", "-p", str(work), "-c", str(work / "conf"), "-e", str(work / "log"), cwd=work):
        yield port


@contextmanager
def ours(folder: Path) -> Iterator[int]:
    with serving(folder) as server:
        yield server.port


@contextmanager
def busybox(folder: Path) -> Iterator[int]:
    port = free_port()
    with program(port, "busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", str(folder), cwd=folder):
        yield port


@contextmanager
def pythons(folder: Path) -> Iterator[int]:
    """Knows no ranges, and closes each connection (HTTP/1.0)."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *each: Quiet(*each, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("server", [ours, nginx, busybox, pythons], ids=["ours", "nginx", "busybox", "python"])
def test_files_of_real_servers(server: type, folder: Path) -> None:
    with server(folder) as port:
        source = HttpSource(f"http://127.0.0.1:{port}/")
        facts = source.stat("image")
        assert facts is not None
        assert facts.size in {len(DATA), None}      # busybox does not tell
        assert facts.mtime_ns == 10**18
        assert whole(source.open("image")) == DATA
        assert whole(source.open("/sub/räume b")) == b"small"
        assert whole(source.open("empty")) == b""
        file = source.open("image")
        if file.reads_anywhere:
            assert server is not pythons
            assert file.read_at(1_000_000, 1_500_000) == DATA[1_000_000:2_500_000]
            assert file.read_at(2_999_990, 10) == DATA[-10:]
        file.close()
        assert source.stat("missing") is None
        with pytest.raises(NotFoundError, match=rf'^no file "missing" at http://127.0.0.1:{port}/$'):
            source.open("missing")
        source.close()


def test_a_root_below_the_top(folder: Path) -> None:
    with serving(folder) as server:
        assert whole(HttpSource(server.url("sub")).open("räume b")) == b"small"
        with pytest.raises(StorageError, match="leaves the directory"):
            HttpSource(server.url("sub")).open("../image")


def test_a_folder_is_no_file(folder: Path) -> None:
    with nginx(folder, "autoindex on;") as port:
        source = HttpSource(f"http://127.0.0.1:{port}/")
        facts = source.stat("sub")
        assert facts is not None
        assert facts.is_directory
        for name in ("sub", ""):
            with pytest.raises(InTheWayError, match="is a directory, not a file"):
                source.open(name)
        with pytest.raises(ReadOnlyError, match="can only be read"):
            source.store("x", [b""])
        with pytest.raises(StorageError, match="cannot be listed"):
            source.entries("sub")


def test_one_connection_is_used_again_and_again(folder: Path) -> None:
    with serving(folder) as server:
        source = HttpSource(server.url())
        for _ in range(3):
            assert whole(source.open("image")) == DATA
            assert source.stat("missing") is None
        assert server.server.connections == 1
        source.close()


@pytest.mark.parametrize("server", [ours, nginx, pythons], ids=["ours", "nginx", "python"])
def test_a_wire_that_is_cut_again_and_again(server: type, folder: Path) -> None:
    """Every second connection ends after 0.9 MB, or at once: the bytes arrive all the same, and from a server with ranges hardly any twice."""
    with server(folder) as port, cutting(port, lambda number: (900_000, 0, 2_500_000, 100, None, None)[number % 6]) as (cut, passed):
        file = RemoteFile(Client(), parse_url(f"http://127.0.0.1:{cut}/image"), pause=lambda _: None)
        assert whole(file) == DATA
        assert len(passed) > 2
        if server is not pythons:
            assert sum(passed) < len(DATA) + 600_000        # what lay in buffers when it was cut


def test_a_cut_wire_from_anywhere(folder: Path) -> None:
    with serving(folder) as server, cutting(server.port, lambda number: 500_000 if number % 2 else 70_000) as (cut, passed):
        file = RemoteFile(Client(), parse_url(f"http://127.0.0.1:{cut}/image"), pause=lambda _: None)
        assert file.read_at(100_000, 2_800_000) == DATA[100_000:2_900_000]
        assert len(passed) > 5


def test_a_file_replaced_while_it_is_read(folder: Path) -> None:
    with serving(folder) as server:
        file = HttpSource(server.url()).open("image")
        assert file.read(50_000) == DATA[:50_000]
        (folder / "new").write_bytes(DATA[::-1])
        (folder / "new").replace(folder / "image")
        with pytest.raises(NetworkError, match=r"image changed on the server while it was read: ETag was .* now it is") as caught:
            whole(file)
        assert caught.value.hint == "start again"


def test_packed_answers_are_refused(folder: Path) -> None:
    """nginx packs only for those who ask for it: the server of this test does it always."""

    def handler(request: Request, peer: str) -> Answer:
        answer = Folder(folder).answer(request)
        answer.fields["Content-Encoding"] = "gzip"
        return answer

    with serving(handler=handler) as server, pytest.raises(NetworkError, match=r"packed \(Content-Encoding: gzip\)"):
        HttpSource(server.url()).open("image")


def test_no_body_is_asked_for_packed(folder: Path) -> None:
    with nginx(folder, "gzip on; gzip_types *; gzip_min_length 1;") as port:
        (folder / "text.txt").write_text("a" * 100_000)
        assert whole(HttpSource(f"http://127.0.0.1:{port}/").open("text.txt")) == b"a" * 100_000


def test_redirects_are_followed_and_bounded(folder: Path) -> None:
    files = Folder(folder)

    def handler(request: Request, peer: str) -> Answer:
        where = {b"/old": "/image", b"/loop": "/loop", b"/out": "ftp://elsewhere/"}.get(request.path)
        return files.answer(request) if where is None else text_answer(HTTPStatus.FOUND, "elsewhere", {"Location": where})

    with serving(handler=handler) as server:
        source = HttpSource(server.url())
        assert whole(source.open("old")) == DATA
        with pytest.raises(NetworkError, match="from address to address, more than 5 times"):
            source.open("loop")
        with pytest.raises(NetworkError, match="no address of HTTP"):
            source.open("out")


def test_a_server_that_is_silent_is_given_up(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = HttpSource(f"http://127.0.0.1:{listener.getsockname()[1]}/", Client(timeout_s=0.1))
        with pytest.raises(NetworkError, match="the server was silent too long"):
            source.stat("x")


def test_what_is_no_web_server_is_told(folder: Path) -> None:
    def answer(listener: socket.socket, words: bytes) -> None:
        for _ in range(2):
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener, b"SSH-2.0-OpenSSH\r\n"), daemon=True).start()
        with pytest.raises(NetworkError, match="the answer is not HTTP"):
            HttpSource(f"http://127.0.0.1:{listener.getsockname()[1]}/").stat("x")


def test_nobody_listens() -> None:
    with pytest.raises(NetworkError, match=r"^http://127.0.0.1:\d+: no connection: nobody listens there$"):
        HttpSource(f"http://127.0.0.1:{free_port()}/").stat("x")


@contextmanager
def with_certificate(folder: Path) -> Iterator[tuple[int, Path]]:
    """Python's server behind TLS; its port, and its certificate, for `localhost`."""
    key, certificate = folder.parent / "key.pem", folder.parent / "certificate.pem"
    run_tool(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
              "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
    with pythons(folder) as port:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_tls, args=(listener, context, port), daemon=True).start()
            yield listener.getsockname()[1], certificate


def _tls(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(peer, server_side=True) as wrapped, socket.create_connection(("127.0.0.1", port)) as there:
                there.sendall(wrapped.recv(65536))
                while data := there.recv(65536):
                    wrapped.sendall(data)
        except OSError:
            continue


def test_https_with_certificates_of_the_system(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE stands for what the system trusts."""
    with with_certificate(folder) as (port, certificate):
        with pytest.raises(NetworkError, match="the certificate of the server does not fit: self-signed certificate") as caught:
            HttpSource(f"https://localhost:{port}/").open("image")
        assert caught.value.hint is not None
        assert "SSL_CERT_FILE" in caught.value.hint
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert whole(HttpSource(f"https://localhost:{port}/").open("image")) == DATA
        with pytest.raises(NetworkError, match=r"does not fit: IP address mismatch, certificate is not valid for '127.0.0.1'"):
            HttpSource(f"https://127.0.0.1:{port}/").open("image")


def test_https_to_a_port_without_it(folder: Path) -> None:
    with serving(folder) as server, pytest.raises(NetworkError, match="no protected connection") as caught:
        HttpSource(f"https://127.0.0.1:{server.port}/").open("image")
    assert caught.value.hint == "is this a port that speaks https?"
