"""Hosts in a database: the same hosts as in hosts.toml, changed by `bpscript hosts` or by SQL, picked up by a server that runs."""

import io
import json
import os
import re
import sqlite3
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpscript.base.errors import StorageError, UsageError
from bpscript.base.events import Event
from bpscript.cli.main import main
from bpscript.network.dhcp.pool import Pool
from bpscript.server.hosts import HostBook, WatchedHosts
from bpscript.server.hosts_database import HostsDatabase, as_toml, is_database, parse_entry, parse_value
from bpscript.server.hosts_format import read_hosts
from tests.server.test_hosts import EXAMPLE, machine

PC = '[hosts.pc]\nmac = "00a0c9112233"\nscript = "one"\n'


@pytest.fixture
def database(tmp_path: Path) -> Iterator[HostsDatabase]:
    with closing(HostsDatabase(tmp_path / "room.db", create=True)) as found:
        found.replace(tomllib.loads(PC))
        yield found


def test_the_example_of_the_manual_is_the_same_in_a_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml, room = tmp_path / "hosts.toml", tmp_path / "room.db"
    toml.write_text(EXAMPLE, encoding="utf-8")
    assert main(["hosts", "import", str(room), str(toml)]) == 0
    with closing(HostsDatabase(room)) as database:
        assert database.read() == read_hosts(EXAMPLE.encode(), "hosts.toml")
    assert main(["hosts", "export", str(room)]) == 0
    assert read_hosts(capsys.readouterr().out.encode(), "hosts.toml") == read_hosts(EXAMPLE.encode(), "hosts.toml")
    assert main(["hosts", "list", str(room), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == tomllib.loads(EXAMPLE)
    assert main(["hosts", "list", str(room)]) == 0
    assert "pi3  4372ee6a\n" in capsys.readouterr().out
    assert main(["hosts", "export", str(room), str(tmp_path / "no" / "folder")]) == 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(texts | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6)


@settings(max_examples=30)
@given(st.fixed_dictionaries({}, optional={
    "unknown": texts, "defaults": st.dictionaries(texts, values, max_size=3), "hosts": st.dictionaries(texts, st.dictionaries(texts, values, max_size=3), min_size=1, max_size=3),
}))
def test_any_tables_are_written_as_toml_that_says_the_same(document: dict[str, object]) -> None:
    assert tomllib.loads(as_toml(document)) == document


def test_a_server_that_runs_picks_up_a_change_and_keeps_what_was_when_it_is_broken(database: HostsDatabase, tmp_path: Path) -> None:
    path = tmp_path / "room.db"
    events: list[Event] = []
    hosts = WatchedHosts(path, events.append)
    assert hosts.plan_for(machine()).script == "one"
    database.edit("hosts", "pc", lambda table: table.update(script="two"))
    assert hosts.plan_for(machine()).script == "two"
    assert hosts.plan_for(machine()).script == "two"
    assert [each.data["text"] for each in events] == [f"{path}: read again, 1 hosts"]
    with closing(sqlite3.connect(path)) as other, other:       # somebody else's program
        other.execute("update hosts_entries set contents = json_set(contents, '$.script', 'three') where name = 'pc'")
    assert hosts.plan_for(machine()).script == "three"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("update hosts_entries set contents = json_set(contents, '$.address', '10.0.0.400') where name = 'pc'")
    assert hosts.plan_for(machine()).script == "three"
    assert hosts.plan_for(machine()).script == "three"
    assert [each.data["text"] for each in events[2:]] == [f'{path}: hosts.pc.address: "10.0.0.400" is no IPv4 address; the hosts of before stay in force']
    database.edit("hosts", "pc", lambda table: table.update(address="10.0.0.4", script="four"))
    assert hosts.plan_for(machine()).script == "four"


def test_file_and_database_may_take_each_others_place(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(PC, encoding="utf-8")
    hosts = WatchedHosts(path)
    with closing(HostsDatabase(tmp_path / "new", create=True)) as database:
        database.replace(tomllib.loads(PC.replace("one", "two")))
    os.replace(tmp_path / "new", path)
    assert hosts.plan_for(machine()).script == "two"
    (tmp_path / "new").write_text(PC.replace("one", "three"), encoding="utf-8")
    os.replace(tmp_path / "new", path)
    assert hosts.plan_for(machine()).script == "three"


def test_the_database_of_leases_may_hold_the_hosts_too(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(Pool(path)):
        with pytest.raises(UsageError, match="a database without hosts"):
            WatchedHosts(path)
        with closing(HostsDatabase(path, create=True)) as database:
            database.replace(tomllib.loads(PC))
        assert WatchedHosts(path).plan_for(machine()).script == "one"
    with closing(Pool(path)) as pool:
        assert pool.leases() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("update hosts_entries set contents = '[]'", "hosts.pc is no table, expected a JSON object"),
        ("""insert into hosts_entries values ('top', '', '{"unknown": 5}')""", 'unknown: "unknown" is 5, expected "serve" or "ignore"'),
        ("""insert into hosts_entries values ('hosts', 'b', '{"mac": "00a0c9112233"}')""", 'hosts.b.mac.0: the mac 00:a0:c9:11:22:33 of host "b" belongs to host "pc" already'),
        ("""insert into hosts_entries values ('groups', 'g', '{"skript": "x"}')""", 'groups.g.skript: there is no key "skript" here'),
    ],
)
def test_what_others_wrote_is_checked_when_it_is_read(change: str, sentence: str, database: HostsDatabase, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "room.db")) as other, other:
        other.execute(change)
    with pytest.raises(UsageError, match=re.escape(f"room.db: {sentence}")):
        HostBook(database.read())


def test_a_change_that_would_be_wrong_is_none(database: HostsDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    room, before = str(tmp_path / "room.db"), database.document()
    for arguments, sentence in (
        (["set", room, "hosts.pc2", "mac=00-a0-c9-11-22-33"], 'the mac 00:a0:c9:11:22:33 of host "pc2" belongs to host "pc" already'),
        (["set", room, "hosts.pc", "groups=[\"lab\"]"], 'there is no group "lab"'),
        (["set", room, "hosts.pc", "mac="], "has neither mac, uuid nor serial"),
        (["set", room, "hosts.pc", "script.x=1"], '"script" is no table, so "script.x" cannot be set'),
        (["set", room, "hosts.pc", "groups=[x]"], "[x]: no TOML value"),
        (["set", room, "hosts.pc", "script"], '"script" is no change, expected KEY=VALUE'),
        (["set", room, "pc", "script=x"], '"pc" names no table of hosts'),
        (["remove", room, "hosts.nobody"], "there is no hosts.nobody"),
        (["list", str(tmp_path / "none.db")], "none.db: no such file"),
        (["import", room, str(tmp_path / "none.toml")], "none.toml: No such file or directory"),
    ):
        assert main(["hosts", *arguments]) in {1, 2}
        assert sentence in capsys.readouterr().err
        assert database.document() == before
    (tmp_path / "wrong.toml").write_text("unknown = 5\n", encoding="utf-8")
    assert main(["hosts", "import", str(tmp_path / "other.db"), str(tmp_path / "wrong.toml")]) == 2
    assert "wrong.toml:1:1: " in capsys.readouterr().err
    assert not (tmp_path / "other.db").exists()
    (tmp_path / "bytes.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises((StorageError, UsageError)):
        HostsDatabase(tmp_path / "bytes.db")


def test_keys_are_set_one_by_one_and_taken_away(database: HostsDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = str(tmp_path / "room.db")
    assert main(["hosts", "set", room, "groups.lab", "variables.Printer=lj4", "ignore=true", "again=2026-11-28"]) == 0
    assert main(["hosts", "set", room, "hosts.pc", 'groups=["lab"]', "script=", "variables.A=1", "variables.B=[1, 2]"]) == 0
    assert main(["hosts", "set", room, "hosts.pc", "variables.A="]) == 0
    assert database.document() == {
        "groups": {"lab": {"variables": {"Printer": "lj4"}, "ignore": True, "again": "2026-11-28"}},
        "hosts": {"pc": {"mac": "00a0c9112233", "groups": ["lab"], "variables": {"B": [1, 2]}}},
    }
    assert main(["hosts", "remove", room, "groups.lab"]) == 2      # pc is in it
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"[hosts.pc]\nserial = '1'\n")))
    assert main(["hosts", "import", room, "-"]) == 0
    assert database.document() == {"hosts": {"pc": {"serial": "1"}}}


def test_entries_and_values_of_a_command_line() -> None:
    assert parse_entry("networks.10.0.0.0/24") == ("networks", "10.0.0.0/24")
    assert parse_entry("defaults") == ("defaults", "")
    for text in ("hosts", "hosts.", "defaults.x", "", "other.x"):
        with pytest.raises(UsageError):
            parse_entry(text)
    assert [parse_value(text) for text in ("00:a0", "5", '"5"', "true", "[1]", "{ a = 1 }")] == ["00:a0", "5", "5", True, [1], {"a": 1}]


def test_what_is_no_database_is_seen(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("SQLite", encoding="utf-8")
    assert not is_database(tmp_path / "x")
    assert not is_database(tmp_path / "none")
