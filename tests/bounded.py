"""Work in a process of its own, with limits: how it ends, and how much memory and time it took."""

import os
import pickle
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """How it ended: the error's class ("" for none, "signal N" for a crash) and sentence; MiB more than before, seconds of CPU."""

    error: str
    message: str
    memory: int
    seconds: float


def bounded(work: Callable[[], object], *, memory: int = 150, seconds: int = 15) -> Outcome:
    """Run `work` in a forked child that may take `memory` MiB more than it has and `seconds` of CPU; fails the test beyond."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            os.write(writing, pickle.dumps(_run(work, seconds)))
        finally:
            os._exit(0)     # nothing of this process may reach pytest
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    outcome = Outcome(f"signal {os.WTERMSIG(status)}", "", 0, seconds) if os.WIFSIGNALED(status) or not data else pickle.loads(data)
    assert isinstance(outcome, Outcome)
    assert not outcome.error.startswith("signal"), f"it crashed, or took more than {seconds} s: {outcome}"
    assert outcome.memory <= memory, f"it took {outcome.memory} MiB: {outcome}"
    return outcome


def _run(work: Callable[[], object], seconds: int) -> Outcome:
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))      # the machine must live on
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(20 * seconds)                                       # for what only waits
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")               # the peak begins here; proc(5)
    before, started = _status("VmRSS"), time.process_time()
    error = message = ""
    try:
        work()
    except BaseException as raised:      # the caller looks at what it was
        error, message = type(raised).__name__, str(raised)
    return Outcome(error, message, (_status("VmHWM") - before) // 1024, time.process_time() - started)


def _status(key: str) -> int:
    """KiB, of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])
