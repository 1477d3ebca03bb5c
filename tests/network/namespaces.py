"""Small networks in namespaces: machines that share a cable with nobody but each other. They end with the test."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def program(name: str) -> str:
    """The path of a program; the test is skipped without it (in continuous integration a skip is a failure)."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def patience() -> float:
    """How many times as long as on an idle machine things take here at present."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Process:
    """A program in a namespace; its output is kept in a file."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path) -> None:
        self.popen = popen
        self._log = log

    @property
    def text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines() if line.startswith("{") and line.endswith("}")]

    def wait_for(self, text: str, timeout_s: float = 20.0) -> None:
        timeout_s *= patience()
        end = time.monotonic() + timeout_s
        while text not in self.text:
            assert time.monotonic() < end, f"no {text!r} within {timeout_s} s in:\n{self.text}"
            assert self.popen.poll() is None or text in self.text, f"ended with {self.popen.returncode}:\n{self.text}"
            time.sleep(0.02)

    def stop(self, timeout_s: float = 10.0) -> int:
        self.popen.terminate()
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


class Namespace:
    """One machine: programs run in it see its interfaces only."""

    def __init__(self, pid: int, folder: Path, stack: ExitStack) -> None:
        self.pid = pid
        self._folder = folder
        self._stack = stack
        self._count = 0

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command in here."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command]

    def run(self, *command: str, timeout_s: float = 60.0, check: bool = True, **environment: str) -> str:
        done = subprocess.run(
            self.command(command), capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT, env=os.environ | environment,
            stdin=subprocess.DEVNULL,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.returncode}\n{output}"
        return output

    def start(self, *command: str, ready: str = "", **environment: str) -> Process:
        self._count += 1
        log = self._folder / f"{Path(command[0]).name}-{self.pid}-{self._count}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen(
                self.command(command), stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT, env=os.environ | environment
            )
        process = Process(popen, log)
        self._stack.callback(process.stop)
        if ready:
            process.wait_for(ready)
        return process

    def python(self, module: str, *arguments: str, ready: str = "") -> Process:
        return self.start(sys.executable, "-m", module, *arguments, ready=ready)

    def ip(self, *arguments: str) -> None:
        self.run(program("ip"), *arguments)


class Room:
    """A server and machines around one bridge; the server has 10.9.0.1/24 on `lan`, each machine an `eth0`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._machines = 0
        self.server = self.namespace()
        self.server.ip("link", "add", "lan", "type", "bridge")
        self.server.ip("addr", "add", "10.9.0.1/24", "dev", "lan")
        self.server.ip("link", "set", "lan", "up")

    def namespace(self) -> Namespace:
        holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self._stack.callback(_end, holder, holder.stdin)
        own = os.readlink("/proc/self/ns/net")
        for _ in range(500):            # until unshare has done its work
            if os.readlink(f"/proc/{holder.pid}/ns/net") != own:
                break
            time.sleep(0.01)
        found = Namespace(holder.pid, self.folder, self._stack)
        found.ip("link", "set", "lo", "up")
        return found

    def machine(self, *, is_up: bool = True) -> Namespace:
        """A machine on the cable, without an address."""
        self._machines += 1
        found = self.namespace()
        port = f"port{self._machines}"
        self.server.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(found.pid))
        self.server.ip("link", "set", port, "master", "lan", "up")
        if is_up:
            found.ip("link", "set", "eth0", "up")
        return found


@contextmanager
def room(folder: Path) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(folder, stack)


def _end(holder: "subprocess.Popen[bytes]", pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        pipe.close()
    holder.wait(10)
