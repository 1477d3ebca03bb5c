"""Running a program of e2fsprogs: its words, its time and its exit status.

posix_spawn instead of `subprocess`: `Clean` takes about as long as mke2fs itself, and importing `subprocess` would be a
twentieth of that. A NamedTuple less for the same reason.
"""

import os
import signal
from collections.abc import Callable, Mapping, Sequence

from ...base.clock import Clock
from ...base.errors import StorageError

_SUPERUSER_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
_IGNORED_BY_PYTHON = [signal.SIGPIPE, signal.SIGXFSZ]
_INTERRUPTS = [signal.SIGINT, signal.SIGTERM]


class Finished:
    """What a program left: its exit status (the negative number of the signal that ended it) and its words."""

    def __init__(self, returncode: int, stdout: str, stderr: str) -> None:
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr


def run_program(
    args: Sequence[str], clock: Clock | None = None, more: Mapping[str, str] | None = None, meanwhile: Callable[[], None] | None = None
) -> Finished:
    """Run a program of e2fsprogs with English messages and, given a clock, its time. It ends when we are interrupted.

    `more` is added to its environment; `meanwhile` is called while it runs. Raises StorageError when it is not installed.
    """
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:{_SUPERUSER_PATH}", **(more or {})}
    if clock is not None:
        seconds = str(clock.now_ns() // 1_000_000_000)
        environment |= {"E2FSPROGS_FAKE_TIME": seconds, "E2FSCK_TIME": seconds, "SOURCE_DATE_EPOCH": seconds}
    program = _find(args[0], environment["PATH"])
    # Files in memory and not pipes: nobody has to read while it runs.
    words = [os.memfd_create(name) for name in ("stdout", "stderr")]
    try:
        # An interrupt waits until the child is known: one that comes while it is made would leave it working on our partition.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            process = os.posix_spawn(
                program, list(args), environment, setsigdef=_IGNORED_BY_PYTHON, setsigmask=before,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    *((os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in enumerate(words, start=1)),
                ],
            )  # fmt: skip
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                if meanwhile is not None:
                    meanwhile()
                os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)       # it stays ours to kill, should an interrupt come right after its end
            except BaseException:
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
                raise
            _, status = os.waitpid(process, 0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        stdout, stderr = (os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace") for descriptor in words)
    finally:
        for descriptor in words:
            os.close(descriptor)
    return Finished(os.waitstatus_to_exitcode(status), stdout, stderr)


def _find(name: str, path: str) -> str:
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    raise StorageError(f"{name} is not installed", hint="apt install e2fsprogs")
