"""The program on a real pseudo-terminal, and an emulator that shows what a person would see."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import pyte

PLAIN = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "", "LANG": "C.UTF-8"}
_ALTERNATE, _PASTE, _CURSOR = 1049, 2004, 25       # private modes of xterm


class Emulator(pyte.Screen):
    """pyte's screen, with the alternate screen, which it leaves out, and a record of the modes."""

    def __init__(self, columns: int, lines: int) -> None:
        self.modes: set[int] = set()
        self.answer: Callable[[str], object] = lambda data: None       # where answers to questions about the cursor go
        self._main: Any = None
        super().__init__(columns, lines)

    def set_mode(self, *modes: int, **options: bool) -> None:
        if options.get("private"):
            if _ALTERNATE in modes and self._main is None:
                self._main = list(self.display), (self.cursor.y, self.cursor.x)
            self.modes |= set(modes)
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: bool) -> None:
        if options.get("private"):
            self.modes -= set(modes)
            if _ALTERNATE in modes and self._main is not None:
                lines, (line, column) = self._main
                self._main = None
                self.erase_in_display(2)
                for number, text in enumerate(lines):
                    self.cursor_position(number + 1, 1)
                    self.draw(text.rstrip())
                self.cursor_position(line + 1, column + 1)
        super().reset_mode(*modes, **options)

    def write_process_input(self, data: str) -> None:
        self.answer(data)

    @property
    def text(self) -> str:
        """What is seen, without blanks at the ends of lines."""
        return "\n".join(line.rstrip() for line in self.display).rstrip()

    def is_alternate(self) -> bool:
        """Whether the alternate screen is shown."""
        return self._main is not None


class Terminal:
    """A program of ours on a terminal of its own, which is its controlling one."""

    def __init__(
        self, *arguments: str, folder: Path, lines: int = 25, columns: int = 80, environment: dict[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "bpscript"), stdout: Path | None = None,
    ) -> None:
        self.screen = Emulator(columns, lines)
        self.received = b""
        self.status: int | None = None
        self._stream = pyte.ByteStream(self.screen)
        self.master, self.slave = pty.openpty()
        self.resize(lines, columns, tell=False)
        self.screen.answer = self.press
        self.before = termios.tcgetattr(self.slave)
        self.pid = os.fork()
        if self.pid == 0:
            self._become([*command, *arguments], folder, environment or {}, stdout)

    def _become(self, command: list[str], folder: Path, environment: dict[str, str], stdout: Path | None) -> None:
        try:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for descriptor in range(3):
                os.dup2(self.slave, descriptor)
            if stdout is not None:
                os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT), 1)
            os.close(self.master)
            os.close(self.slave)
            os.chdir(folder)
            os.execve(command[0], command, {**os.environ, **PLAIN, **environment})
        finally:
            os._exit(127)

    def resize(self, lines: int, columns: int, *, tell: bool = True) -> None:
        """Change the size of the window; the kernel tells the program."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if tell:
            self.screen.resize(lines, columns)

    def press(self, keys: str | bytes) -> None:
        """Press keys."""
        os.write(self.master, keys if isinstance(keys, bytes) else keys.encode())

    def read(self, timeout_s: float) -> bool:
        """Show what the program sent; False when there was nothing."""
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.received += data
        self._stream.feed(data)
        return True

    def wait_for(self, text: str, timeout_s: float = 30) -> str:
        """Wait until a text is seen and nothing more comes; the whole screen."""
        deadline = monotonic() + timeout_s
        while text not in self.screen.text:
            assert monotonic() < deadline, f"{text!r} did not appear:\n{self.screen.text}"
            self.read(0.1)
        while self.read(0.1):
            pass
        return self.screen.text

    def wait_for_end(self, timeout_s: float = 30) -> int:
        """Wait for the program's end; its exit status."""
        deadline = monotonic() + timeout_s
        while self.status is None:
            self.read(0.02)
            self._reap()
            assert monotonic() < deadline, f"it does not end:\n{self.screen.text}"
        while self.read(0.05):
            pass
        return self.status

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def wait_without_terminal(self, timeout_s: float = 30) -> int:
        """The exit status after `hang_up`."""
        deadline = monotonic() + timeout_s
        while self.status is None:
            select.select([], [], [], 0.02)
            self._reap()
            assert monotonic() < deadline
        return self.status

    @property
    def is_as_before(self) -> bool:
        """Whether line settings, screen, cursor and modes are what they were."""
        return (
            termios.tcgetattr(self.slave) == self.before
            and not self.screen.is_alternate()
            and _PASTE not in self.screen.modes
            and not self.screen.cursor.hidden
            and self.screen.margins is None
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program."""
        os.kill(self.pid, number)

    def cpu_seconds(self) -> float:
        """Processor time that the program has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _reap(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for descriptor in (self.master, self.slave):
            if descriptor >= 0:
                os.close(descriptor)
