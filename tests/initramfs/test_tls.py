"""https:// in the boot environment: its files alone, with the certificates of one authority, fetch from a server that has one of it."""

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bpscript.base.errors import UsageError
from bpscript.initramfs.cpio import Tree
from bpscript.initramfs.libraries import Libraries
from bpscript.initramfs.origin import ThisHost
from bpscript.initramfs.tls import add_tls, authorities
from tests.initramfs import test_environment
from tests.oracles import need, run_tool

unpacked = test_environment.unpacked        # the fixture
FETCH = """
import sys
sys.path.append("/usr/lib/bpscript")
from bpscript.base.errors import NetworkError
from bpscript.network.roots import open_root
try:
    print(open_root(sys.argv[1]).open("model").read(100).decode())
except NetworkError as error:
    print(error.message)
    print(error.hint)
"""


def authority(folder: Path, name: str, address: str = "127.0.0.1") -> Path:
    """An authority, and a certificate of it for a server: NAME.pem, NAME-server.pem with its key."""
    need("openssl")
    ca, key, request, server = (folder / f"{name}{each}" for each in (".pem", ".key", ".csr", "-server.pem"))
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run_tool([*new, "-x509", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", ca])
    run_tool([*new, "-subj", "/CN=server", "-keyout", folder / "server.key", "-out", request])
    (folder / "san").write_text(f"subjectAltName=IP:{address}\n")
    run_tool(["openssl", "x509", "-req", "-days", "2", "-in", request, "-CA", ca, "-CAkey", key, "-extfile", folder / "san", "-out", server])
    with server.open("a") as file:
        file.write((folder / "server.key").read_text())
    return ca


@contextmanager
def https(root: Path, certificate: Path) -> Iterator[str]:
    """A server of the standard library."""
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_files_come_by_https_from_who_has_the_right_certificate(unpacked: Path, tmp_path: Path) -> None:
    ca, _ = authority(tmp_path, "school"), authority(tmp_path, "stranger")
    there, tree = Tree(), Tree()
    for path in (unpacked / "lib").rglob("*"):
        there.add_file(str(path.relative_to(unpacked)), b"")
    add_tls(tree, Libraries(tree, there), ThisHost(), authorities(ca))
    assert "lib/libc.so.6" not in tree           # it is there already
    with_tls = tmp_path / "root"
    run_tool(["cp", "-al", unpacked, with_tls])
    test_environment._unpack(tree, with_tls, 99)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "model").write_text("model-8d1f")
    said = {}
    for name in ("school", "stranger"):
        with https(tmp_path / "served", tmp_path / f"{name}-server.pem") as url:
            said[name] = test_environment.inside(with_tls, "/usr/bin/python3", "-IS", "-c", FETCH, url).splitlines()
    assert said["school"] == ["model-8d1f"]
    message, hint = said["stranger"]
    assert "the certificate of the server does not fit: unable to get local issuer certificate" in message
    assert "boot build --ca" in hint


def test_a_file_without_certificates_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate\n")
    authority(tmp_path, "school")
    command = ["bpscript", "boot", "build", str(tmp_path / "out"), "--ca"]
    for name, words in (("no.pem", "no certificates in it"), ("none.pem", "No such file"), (".", "s a directory"), ("school-server.pem", "none of its certificates is that of an authority")):
        done = subprocess.run([sys.executable, "-m", *command, str(tmp_path / name)], capture_output=True, text=True, check=False, env=os.environ)
        assert (done.returncode, words in done.stderr, (tmp_path / "out").exists()) == (2, True, False), done.stderr
    with pytest.raises(UsageError):
        authorities(tmp_path / "no.pem")


def test_without_a_file_it_is_what_this_host_trusts() -> None:
    if ssl.get_default_verify_paths().cafile is None:
        pytest.skip("this host trusts nobody")
    assert b"BEGIN CERTIFICATE" in authorities(None)
