"""The list of machines: what is seen, what is reported, and what strangers may write into it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.events import Event, Kind
from bpscript.server import fleet as module
from bpscript.server.fleet import Fleet


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def only(fleet: Fleet) -> dict[str, Any]:
    (machine,) = fleet.machines()
    return machine


def test_a_machine_is_seen_from_its_lease_to_its_last_command() -> None:
    clock = Clock()
    fleet = Fleet(clock)
    fleet.observe(Event(Kind.LEASE, {"address": "10.0.0.5", "mac": "52:54:00:00:00:01", "host": "pc5"}))
    fleet.observe(Event(Kind.BOOT_PROGRAM, {"address": "10.0.0.5", "firmware": "bios", "file": "undionly.kpxe"}))
    fleet.observe(Event(Kind.TRANSFER, {"protocol": "tftp", "client": "10.0.0.5", "path": "undionly.kpxe", "outcome": "done", "size": 1000, "seconds": 0.5}))
    seen = only(fleet)
    assert (seen["mac"], seen["host"], seen["firmware"], seen["boot_file"]) == ("52:54:00:00:00:01", "pc5", "bios", "undionly.kpxe")
    assert (seen["state"], seen["last_file"], seen["fetched"], seen["rate"]) == ("seen", "undionly.kpxe", 1000, 2000)
    clock.now = 1010.0
    fleet.report("10.0.0.5", {"run": "1", "script": "deploy.bpb", "state": "running", "events": [
        {"kind": "command-started", "name": "FullUnzip", "file": "deploy.bpb", "line": 7},
        {"kind": "progress", "task": "restore", "done": 5, "total": 10, "time": 1.0, "rate": 123.4},
    ]})
    running = only(fleet)
    assert (running["state"], running["script"], running["command"], running["line"]) == ("running", "deploy.bpb", "FullUnzip", 7)
    assert (running["task"], running["done"], running["total"], running["rate"]) == ("restore", 5, 10, 123)
    assert (running["first_seen"], running["last_seen"], running["silent"]) == (1000.0, 1010.0, False)
    clock.now = 1100.0
    assert only(fleet)["silent"]
    fleet.report("10.0.0.5", {"run": "1", "state": "failed", "events": [{"kind": "error", "text": "it is full", "file": "deploy.bpb", "line": 7}]})
    failed = only(fleet)
    assert (failed["state"], failed["last_error"], failed["command"], failed["silent"]) == ("failed", "deploy.bpb:7: it is full", "", False)
    fleet.report("10.0.0.5", {"run": "2", "events": []})
    assert (only(fleet)["state"], only(fleet)["last_error"], only(fleet)["done"]) == ("running", "", None)


def test_the_machine_that_was_heard_last_comes_first_and_can_be_forgotten() -> None:
    fleet = Fleet()
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
        fleet.report(address, {})
    assert [each["address"] for each in fleet.machines()] == ["10.0.0.1", "10.0.0.2"]
    assert fleet.forget("10.0.0.1")
    assert not fleet.forget("10.0.0.1")
    assert fleet.machine("10.0.0.1") is None


def test_there_are_never_too_many_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MACHINES", 10)
    fleet = Fleet()
    for number in range(50):
        fleet.report(f"10.0.0.{number}", {"run": "x"})
    assert [each["address"] for each in fleet.machines()] == [f"10.0.0.{number}" for number in range(49, 39, -1)]
    assert len(fleet._runs) == 10


def test_long_texts_are_cut_and_control_characters_shown() -> None:
    fleet = Fleet()
    fleet.report("10.0.0.1", {"run": "1", "script": "x" * 10_000, "host": "a\n\x1b[0mb"})
    assert (len(only(fleet)["script"]), only(fleet)["host"]) == (300, "a\ufffd\ufffd[0mb")


_ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=400), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=5)
_KEYS = st.sampled_from(["run", "script", "mac", "host", "state", "events", "kind", "name", "line", "done", "total", "rate", "time", "text", "file", "task"])


@given(st.dictionaries(_KEYS, _ANY | st.lists(st.dictionaries(_KEYS, st.sampled_from([str(each) for each in Kind]) | _ANY, max_size=6), max_size=4), max_size=6))
def test_any_report_is_taken_or_passed_over(content: dict[str, Any]) -> None:
    """Whatever a peer reports, the list stays what the page expects, and small."""
    fleet = Fleet()
    fleet.report("10.0.0.1", content)
    machine = only(fleet)
    assert machine["state"] in {"running", "seen", "done", "failed", "booted"}
    for key in ("script", "mac", "host", "command", "last_error", "last_note", "task"):
        assert isinstance(machine[key], str)
        assert len(machine[key]) <= 300
        assert machine[key].isprintable()
    for key in ("line", "done", "total", "rate"):
        assert machine[key] is None or 0 <= machine[key] < 1 << 63


def test_records_are_bounded_and_go_with_their_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpscript.server.fleet.MAX_RECORDS", 2500)
    fleet = Fleet(clock=lambda: 5.0)
    for number in range(4):
        fleet.keep_record(f"10.0.0.{number}", bytes(1000))
    assert [fleet.record(f"10.0.0.{number}") is not None for number in range(4)] == [False, False, True, True]
    assert [machine["record"] for machine in reversed(fleet.machines())] == [None, None, 1000, 1000]
    fleet.keep_record("10.0.0.3", b"PK")
    assert fleet.record("10.0.0.3") == b"PK"
    assert fleet.forget("10.0.0.3")
    assert fleet.record("10.0.0.3") is None
