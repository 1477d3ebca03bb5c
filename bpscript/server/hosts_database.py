"""The hosts in an SQLite file instead of hosts.toml, for those who change them by program: the same tables and keys, a row for each table.

    kind        name      contents (JSON)
    top                   {"unknown": "ignore"}
    defaults              {"script": "install"}
    groups      physics   {"script": "-i install", "variables": {"Printer": "lj4"}}
    hosts       pc12      {"mac": "00:a0:c9:11:22:33", "groups": ["physics"]}

It may be the database of `--state`. Every change counts up `hosts_revision`, by triggers, whoever makes it, so a server that runs
needs to look at one number. What is written here was checked as a whole before; what others wrote is checked when it is read.
"""

import json
import sqlite3
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from ..base.errors import NotFoundError, StorageError, UsageError
from .hosts_format import HostsFile, check_hosts

SINGLE = ("top", "defaults")                    # kinds with one table, whose name is empty
NAMED = ("groups", "hosts", "networks")
_MAGIC = b"SQLite format 3\0"
_SCHEMA = """
create table if not exists hosts_entries (
    kind text not null check (kind in ('top', 'defaults', 'groups', 'hosts', 'networks')),
    name text not null,                                     -- empty for top and defaults
    contents text not null check (json_valid(contents)),    -- the keys of hosts.toml
    primary key (kind, name)
);
create table if not exists hosts_revision (number integer not null);
insert into hosts_revision select 0 where not exists (select 1 from hosts_revision);
create trigger if not exists hosts_inserted after insert on hosts_entries begin update hosts_revision set number = number + 1; end;
create trigger if not exists hosts_updated after update on hosts_entries begin update hosts_revision set number = number + 1; end;
create trigger if not exists hosts_deleted after delete on hosts_entries begin update hosts_revision set number = number + 1; end;
"""
Table = dict[str, object]


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


class HostsDatabase:
    """An SQLite file with hosts; may be used by several threads. Raises StorageError, UsageError for a database without hosts."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        self._lock = Lock()
        if not create and not is_database(path):
            raise UsageError(f"{path}: {'no database of hosts' if path.exists() else 'no such file'}", hint=f"bpscript hosts import {path} hosts.toml")
        try:
            mode = "rwc" if create else "rw"
            self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False)
            if create:
                self._database.execute("pragma journal_mode = wal")
                self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StorageError(f"{path}: the database cannot be used: {error}") from error
        try:
            self.revision()
        except UsageError:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def revision(self) -> int:
        """Another number after every change."""
        with self._lock:
            try:
                found = self._database.execute("select number from hosts_revision").fetchone()
            except sqlite3.OperationalError as error:
                if "no such table" not in str(error):
                    raise StorageError(f"{self._path}: the database cannot be read: {error}") from error
                raise UsageError(f"{self._path}: a database without hosts", hint=f"bpscript hosts import {self._path} hosts.toml") from error
            except sqlite3.Error as error:
                raise StorageError(f"{self._path}: the database cannot be read: {error}") from error
        return int(found[0]) if found is not None else -1

    def document(self) -> Table:
        """What a hosts.toml with the same contents says. Raises UsageError for a row that is none."""
        with self._lock:
            return self._document()

    def read(self) -> HostsFile:
        """The hosts, checked. Raises UsageError that names table and key of what is wrong."""
        return check_hosts(self.document(), str(self._path))

    def replace(self, document: Mapping[str, object]) -> None:
        """These hosts in place of all that are there. Raises UsageError when something is wrong with them."""
        check_hosts(document, str(self._path))
        with self._change():
            self._database.execute("delete from hosts_entries")
            for kind, name, contents in _rows(document):
                self._write(kind, name, contents)

    def edit(self, kind: str, name: str, change: Callable[[Table], None]) -> None:
        """Change one table, or add it; nothing happens when what comes out is wrong. Raises UsageError."""
        with self._change():
            contents = _table_of(self._document(), kind, name) or {}
            change(contents)
            self._write(kind, name, contents)
            check_hosts(self._document(), str(self._path))

    def remove(self, kind: str, name: str) -> None:
        """Raises NotFoundError; UsageError when somebody still needs it."""
        with self._change():
            if not self._database.execute("delete from hosts_entries where kind = ? and name = ?", (kind, name)).rowcount:
                raise NotFoundError(f"{self._path}: there is no {entry_name(kind, name)}")
            check_hosts(self._document(), str(self._path))

    @contextmanager
    def _change(self) -> Iterator[None]:
        """All of it, or nothing."""
        with self._lock:
            try:
                self._database.execute("begin immediate")
                try:
                    yield
                except BaseException:
                    self._database.execute("rollback")
                    raise
                self._database.execute("commit")
            except sqlite3.Error as error:
                raise StorageError(f"{self._path}: the database cannot be changed: {error}") from error

    def _write(self, kind: str, name: str, contents: Mapping[str, object]) -> None:
        text = json.dumps(contents, ensure_ascii=False, default=str)        # a date stays a text
        self._database.execute(
            "insert into hosts_entries (kind, name, contents) values (?, ?, ?) on conflict do update set contents = excluded.contents", (kind, name, text)
        )

    def _document(self) -> Table:
        try:
            rows = self._database.execute("select kind, name, contents from hosts_entries order by rowid").fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: the database cannot be read: {error}") from error
        found: Table = {}
        for kind, name, text in rows:
            where = entry_name(kind, name)
            try:
                contents = json.loads(text)
            except (ValueError, RecursionError, TypeError) as error:
                raise UsageError(f"{self._path}: {where}: no JSON: {error}") from error
            if not isinstance(contents, dict):
                raise UsageError(f"{self._path}: {where} is no table, expected a JSON object")
            if kind == "top":
                found |= contents
            elif kind in SINGLE:
                found[kind] = contents
            else:
                group = found.setdefault(kind, {})
                assert isinstance(group, dict)
                group[name] = contents
        return found


def entry_name(kind: str, name: str) -> str:
    """A table as people write it: `hosts.pc12`, `defaults`."""
    return kind if kind in SINGLE else f"{kind}.{name}"


def parse_entry(text: str) -> tuple[str, str]:
    """Kind and name of a table. Raises UsageError."""
    kind, dot, name = text.partition(".")
    if (kind in SINGLE and not dot) or (kind in NAMED and name):
        return kind, name
    raise UsageError(f'"{text}" names no table of hosts', hint="hosts.NAME, groups.NAME, networks.NETWORK, defaults or top")


def as_toml(document: Mapping[str, object]) -> str:
    """The text of a hosts.toml; `read_hosts` understands it as the same hosts."""
    lines: list[str] = []
    for kind, name, contents in _rows(document):
        if lines:
            lines.append("")
        if kind != "top":
            lines.append(f"[{kind}]" if kind in SINGLE else f"[{kind}.{_key(name)}]")
        lines += [f"{_key(key)} = {_value(value)}" for key, value in contents.items()]
    return "\n".join(lines) + "\n" if lines else ""


def parse_value(text: str) -> object:
    """A value of a command line: a list, table, quoted text or truth value as TOML has it, else a text. Raises UsageError."""
    if not text.startswith(("[", "{", '"', "'")) and text not in {"true", "false"}:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{text}: no TOML value: {error}") from error


def _rows(document: Mapping[str, object]) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    top = {key: value for key, value in document.items() if key != "defaults" and key not in NAMED}
    if top:
        yield "top", "", top
    for kind in ("defaults", *NAMED):
        found = document.get(kind)
        if isinstance(found, Mapping):
            yield from (((kind, "", found),) if kind in SINGLE else ((kind, name, contents) for name, contents in found.items()))


def _table_of(document: Mapping[str, object], kind: str, name: str) -> Table | None:
    return next((dict(contents) for each, other, contents in _rows(document) if (each, other) == (kind, name)), None)


def _key(text: str) -> str:
    return text if text and all(each.isascii() and (each.isalnum() or each in "-_") for each in text) else _text(text)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")      # what TOML escapes more than JSON


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return str(value) if isinstance(value, int | float) else _text(str(value))
