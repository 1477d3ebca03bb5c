"""Serving files by HTTP, against nginx: whole processes on loopback, curl as the client, everything in memory."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.measure import Round, Sample, in_turn, process

IMAGE = 1 << 30         # bytes
SMALL = 4096            # bytes
REQUESTS = 5_000        # for the small file, over one connection


def http_image(folder: Path, rounds: int) -> dict[str, Sample]:
    """HTTP: an image of 1 GB, curl to /dev/null, one client (wanted: at most 1.11, that is 0.9 of nginx)"""
    return _contest(folder, rounds, lambda url: f"curl -sS --fail -o /dev/null {url}image")


def http_four(folder: Path, rounds: int) -> dict[str, Sample]:
    """HTTP: the same image, four clients at once"""
    return _contest(folder, rounds, lambda url: f"for each in 1 2 3 4; do curl -sS --fail -o /dev/null {url}image & done; wait")


def http_small(folder: Path, rounds: int) -> dict[str, Sample]:
    """HTTP: 5,000 requests for 4 KiB over one connection, one after the other"""
    return _contest(folder, rounds, lambda url: f"curl -sS --fail -o /dev/null '{url}small?[1-{REQUESTS}]'")


CONTESTS: dict[str, Callable[[Path, int], dict[str, Sample]]] = {"http-image": http_image, "http-four": http_four, "http-small": http_small}


def _contest(folder: Path, rounds: int, line: Callable[[str], str]) -> dict[str, Sample]:
    root = folder / "root"
    root.mkdir()
    block = os.urandom(16 << 20)
    with (root / "image").open("wb") as image:
        for _ in range(IMAGE // len(block)):
            image.write(block)
    (root / "small").write_bytes(os.urandom(SMALL))
    contestants: dict[str, Round] = {}

    def add(name: str, url: str) -> None:
        contestants[name] = lambda: process(["bash", "-c", line(url)], folder)

    with _ours(root, folder) as ours:
        if shutil.which("nginx", path=_PATH) is None:
            print("nginx is left out: it is not installed")
            add("bpscript serve", ours)
            return in_turn(contestants, rounds)
        with _nginx(root, folder) as theirs:
            add("nginx (a worker for each core, sendfile)", theirs)
            add("bpscript serve (one thread, sendfile)", ours)
            return in_turn(contestants, rounds)


_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@contextmanager
def _ours(root: Path, folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "bpscript", "serve", str(root), "--http-port", "0", "--tftp-port", "0", "--enhanced-port", "0"]
    log = folder / "serve.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as child:
        try:
            for _ in range(500):
                match = re.search(r"http://[^ ,]+", log.read_text())
                if match is not None:
                    break
                time.sleep(0.02)
            else:
                raise SystemExit(f"the server does not start: {log.read_text()}")
            yield match[0]
        finally:
            child.terminate()


@contextmanager
def _nginx(root: Path, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{ }}\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": _PATH}) as child:
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.02)
            yield f"http://127.0.0.1:{port}/"
        finally:
            child.terminate()
