"""Timing: two or more contestants in turn, several rounds, medians; whole processes with their peak memory."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# Users have compiled modules beside the sources; the first, uncounted round leaves them there.
_ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Sample:
    """Seconds and peak memory (MiB) of the rounds of one contestant."""

    seconds: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def peak(self) -> float | None:
        return max(self.memory_mib) if self.memory_mib else None


Round = Callable[[], tuple[float, float | None]]


def in_turn(contestants: dict[str, Round], rounds: int, *, warm_up: bool = True, limit_s: float | None = None) -> dict[str, Sample]:
    """Run every contestant once per round, after one round that does not count. No round begins after `limit_s`, but one counts always."""
    samples = {name: Sample() for name in contestants}
    end = None if limit_s is None else time.monotonic() + limit_s
    for number in range(0 if warm_up else 1, rounds + 1):
        if number > 1 and end is not None and time.monotonic() > end:
            break
        for name, contestant in contestants.items():
            seconds, memory = contestant()
            if number:
                samples[name].seconds.append(seconds)
                if memory is not None:
                    samples[name].memory_mib.append(memory)
    return samples


def process(arguments: list[str], cwd: Path, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Run a program; wall-clock seconds and its peak memory in MiB. A program that fails ends the benchmark."""
    with open(cwd / "output.txt", "wb") as output:
        started = time.perf_counter()
        child = subprocess.Popen(arguments, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env={**_ENVIRONMENT, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        text = (cwd / "output.txt").read_text(errors="replace")
        raise SystemExit(f"{' '.join(arguments)} failed with {child.returncode}:\n{text[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def script(text: str, cwd: Path, *options: str, name: str = "bench.bpb") -> dict[str, float]:
    """Run a script of ours in a process of its own.

    Returns seconds by command name from the event stream (the longest when a command occurs more than once), with
    "process" for the whole and "memory" (MiB) for its peak.
    """
    (cwd / name).write_text(text)
    events = cwd / "events.jsonl"
    seconds, memory = process([sys.executable, "-m", "bpscript", "run", name, "--events", str(events), *options], cwd)
    found: dict[str, float] = {"process": seconds, "memory": memory}
    for line in events.read_text().splitlines():
        event = json.loads(line)
        if event["kind"] == "command-finished":
            found[event["name"]] = max(found.get(event["name"], 0.0), event["seconds"])
    return found
