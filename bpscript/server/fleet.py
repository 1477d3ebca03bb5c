"""What is known of each machine: from its lease, its boot program, the files it fetched, and what its runs report.

Machines are known by their address. Everything they say is cut to a length and shown as text; how many there are is bounded, and
the one that was silent the longest goes first.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from time import time
from typing import Any

from ..base.events import Event, Kind

MAX_MACHINES = 5_000
MAX_EVENTS = 1_000      # in one report
_LONGEST = 300          # characters of one text
MAX_RECORDS = 64 << 20  # bytes of all records of failures together; the oldest go first
_QUIET_S = 60.0         # a run that reported nothing for so long is told as silent


@dataclass(slots=True)
class Machine:
    """One machine. Times are seconds since 1970, sizes bytes, rates bytes a second; "" and None where nothing is known.

    `state` is seen (it asked for something), running, done, failed or booted.
    """

    address: str
    first_seen: float
    last_seen: float
    mac: str = ""
    host: str = ""
    firmware: str = ""
    boot_file: str = ""
    state: str = "seen"
    script: str = ""
    command: str = ""
    line: int | None = None
    task: str = ""
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    last_error: str = ""
    last_note: str = ""
    last_file: str = ""
    fetched: int = 0            # bytes in all
    reported: float | None = None
    record: int | None = None   # bytes of the record of its last failure

    def as_dict(self, now: float) -> dict[str, Any]:
        """For JSON."""
        silent = self.state == "running" and self.reported is not None and now - self.reported > _QUIET_S
        return {**asdict(self), "silent": silent}


class Fleet:
    """All machines; may be used by several threads. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._machines: OrderedDict[str, Machine] = OrderedDict()
        self._runs: dict[str, str] = {}         # address → the run that is shown
        self._records: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def __len__(self) -> int:
        """How many machines are known."""
        return len(self._machines)

    def machines(self) -> list[dict[str, Any]]:
        """Every machine, the one that was heard last first."""
        now = self._clock()
        with self._lock:
            return [machine.as_dict(now) for machine in reversed(self._machines.values())]

    def machine(self, address: str) -> dict[str, Any] | None:
        """One machine."""
        with self._lock:
            found = self._machines.get(address)
            return None if found is None else found.as_dict(self._clock())

    def keep_record(self, address: str, bundle: bytes) -> None:
        """The record of a run that failed on a machine; the last one counts."""
        with self._lock:
            machine = self._heard(address)
            self._records.pop(address, None)
            self._records[address] = self._clock(), bundle
            machine.record = len(bundle)
            while sum(len(each) for _, each in self._records.values()) > MAX_RECORDS:
                gone, _ = self._records.popitem(last=False)
                if gone in self._machines:
                    self._machines[gone].record = None

    def record(self, address: str) -> bytes | None:
        """The record of the last run that failed on a machine."""
        with self._lock:
            found = self._records.get(address)
            return None if found is None else found[1]

    def forget(self, address: str) -> bool:
        """Take a machine off the list until it is heard again; False when it is not there."""
        with self._lock:
            self._records.pop(address, None)
            self._runs.pop(address, None)
            return self._machines.pop(address, None) is not None

    def observe(self, event: Event) -> None:
        """What a server of ours saw: a lease, a boot program, a transfer."""
        data = event.data
        if event.kind in {Kind.LEASE, Kind.BOOT_PROGRAM} and data.get("address"):
            with self._lock:
                machine = self._heard(str(data["address"]))
                machine.mac = _text(data.get("mac")) or machine.mac
                machine.host = _text(data.get("host")) or machine.host
                if event.kind is Kind.BOOT_PROGRAM:
                    machine.firmware, machine.boot_file = _text(data.get("firmware")), _text(data.get("file"))
        elif event.kind is Kind.TRANSFER:
            with self._lock:
                machine = self._heard(str(data["client"]))
                size, seconds = data.get("size"), data.get("seconds")
                if data.get("outcome") == "refused":
                    return
                machine.last_file = _text(data.get("path"))
                if isinstance(size, int):
                    machine.fetched += size
                    if machine.state != "running" and isinstance(seconds, float) and seconds > 0:
                        machine.rate = round(size / seconds)

    def report(self, address: str, content: Mapping[str, Any]) -> None:
        """What a run on a machine says of itself; anything that is not as it should be is passed over."""
        events = content.get("events")
        with self._lock:
            machine = self._heard(address)
            machine.reported = self._clock()
            run = _text(content.get("run"))
            if run != self._runs.get(address):
                self._runs[address] = run
                machine.state, machine.command, machine.line, machine.task = "running", "", None, ""
                machine.done = machine.total = machine.rate = None
                machine.last_error = machine.last_note = ""
            machine.script = _text(content.get("script")) or machine.script
            machine.mac = _text(content.get("mac")) or machine.mac
            machine.host = _text(content.get("host")) or machine.host
            for event in (events if isinstance(events, list) else [])[:MAX_EVENTS]:
                if isinstance(event, dict):
                    _apply(machine, event)
            state = _text(content.get("state"))
            if state in {"running", "done", "failed", "booted"}:
                machine.state = state
                if state != "running":
                    machine.command, machine.line = "", None

    def _heard(self, address: str) -> Machine:
        now = self._clock()
        machine = self._machines.get(address)
        if machine is None:
            machine = self._machines[address] = Machine(address, now, now)
            while len(self._machines) > MAX_MACHINES:
                gone, _ = self._machines.popitem(last=False)
                self._runs.pop(gone, None)
                self._records.pop(gone, None)
        machine.last_seen = now
        self._machines.move_to_end(address)
        return machine


def _apply(machine: Machine, event: Mapping[str, Any]) -> None:
    """One event of a run, as `--events` writes it."""
    match event.get("kind"):
        case Kind.COMMAND_STARTED:
            machine.command, machine.line = _text(event.get("name")), _count(event.get("line"))
        case Kind.PROGRESS:
            task, done, when = _text(event.get("task")), _count(event.get("done")), event.get("time")
            machine.task, machine.done, machine.total = task, done, _count(event.get("total"))
            rate = event.get("rate")
            machine.rate = round(rate) if isinstance(rate, int | float) and 0 <= rate < 1e15 and isinstance(when, int | float) else machine.rate
        case Kind.ERROR:
            where = f"{_text(event.get('file')).rpartition('/')[2]}:{_count(event.get('line'))}: " if event.get("file") else ""
            machine.last_error = _text(f"{where}{_text(event.get('text'))}")
        case Kind.NOTE | Kind.WARNING | Kind.BOOT:
            machine.last_note = _text(event.get("text"))


def _text(value: object) -> str:
    """What a peer wrote, fit to be shown."""
    if not isinstance(value, str):
        return ""
    return "".join(each if each.isprintable() else "\ufffd" for each in value[:_LONGEST])


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None
