"""`bpscript gateway` as a process, and scripts that ask it; for tests."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bpscript.crypto.unix_crypt import crypt
from bpscript.network.gateway.asking import ask_gateway
from bpscript.network.gateway.protocol import Question

SECRET = "correct-horse-17"     # a password that no packet may hold


@dataclass
class Running:
    """A gateway that runs."""

    child: "subprocess.Popen[str]"
    port: int
    key: str
    log: Path

    @property
    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def ask(self, user: str, password: str, domain: str) -> bool:
        return ask_gateway("127.0.0.1", self.port, Question(user, domain, password), bytes.fromhex(self.key)).passed

    def has_line(self, pattern: str) -> bool:
        """Whether the log has such a line; it may come a moment after the answer."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if re.search(pattern, self.text):
                return True
            time.sleep(0.02)
        return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.child.send_signal(number)
        return self.child.wait(20)


@contextmanager
def gateway(folder: Path, config: str, *, prefix: Sequence[str] = ()) -> Iterator[Running]:
    """The program on a free port of loopback; `prefix` is a command in front."""
    folder.mkdir(exist_ok=True)
    (folder / "stftpd.conf").write_text(config)
    log = folder / "gateway.log"
    # A shell lets what runs in the background ignore SIGINT, and its children inherit that.
    command = ["env", "--default-signal=INT", *prefix, sys.executable, "-m", "bpscript", "gateway", "--config", str(folder / "stftpd.conf"), "--port", "0"]
    with log.open("w") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        end = time.monotonic() + 20
        while (match := re.search(r"port (\d+), key ([0-9a-f]{64})", log.read_text())) is None:
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield Running(child, int(match[1]), match[2], log)
    finally:
        child.terminate()       # so that it takes away its temporary folder
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def shadow_line(user: str, password: str = SECRET, salt: str = "$5$rounds=1000$saltsalt") -> str:
    return f"{user}:{crypt(password.encode(), salt)}:19000:0:99999:7:::\n"
