"""`bpscript hosts`: a database of hosts, which `serve --hosts` reads in place of hosts.toml."""

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import StorageError, UsageError
from .main import DONE

if TYPE_CHECKING:
    from ..server.hosts_database import Table

_EXAMPLES = """examples:
  bpscript hosts import room.db hosts.toml                       make it, or put these hosts in place of all that are there
  bpscript hosts set room.db hosts.pc12 mac=00:a0:c9:11:22:33 address=10.0.0.12 'groups=["physics"]'
  bpscript hosts set room.db groups.physics variables.Printer=lj4 again=2026-11-28
  bpscript hosts set room.db hosts.pc12 address=                 no fixed address any more
  bpscript hosts remove room.db hosts.pc12
  bpscript hosts export room.db                                  as hosts.toml
  bpscript serve images/ --interface eth1 --proxy-dhcp --hosts room.db    changes count at once

Tables are hosts.NAME, groups.NAME, networks.NETWORK, defaults and top; their keys are those of hosts.toml.
"""


def add_to(verbs: Any, summary: str) -> None:  # noqa: ANN401 - argparse's own type is private
    """Declare the verb and its actions."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser(
        "hosts", help=summary, description="Change a database of hosts. Nothing is changed when what comes out would be wrong.", epilog=_EXAMPLES, formatter_class=raw,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, prog=parser.prog)

    def action(name: str, function: object, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_EXAMPLES, formatter_class=raw)
        sub.set_defaults(function=function)
        sub.add_argument("database", metavar="DB", help="an SQLite file; may be the one of `serve --state`")
        sub.add_argument("--debug", action="store_true", help="show tracebacks")
        return sub

    action("import", import_verb, "put the hosts of a hosts.toml in place of all that are there").add_argument("file", metavar="FILE", help="hosts.toml; - is standard input")
    action("export", export_verb, "write the hosts as hosts.toml").add_argument("file", metavar="FILE", nargs="?", default="-", help="where to (default: standard output)")
    action("list", list_verb, "list the hosts").add_argument("--json", action="store_true", help="everything, as the tables of hosts.toml in JSON")
    change = action("set", set_verb, "change keys of a host, a group, a network or the defaults, or add it")
    change.add_argument("entry", metavar="TABLE", help="hosts.NAME, groups.NAME, networks.NETWORK, defaults or top")
    change.add_argument("keys", metavar="KEY=VALUE", nargs="+", help="a text, or a list, table or truth value as in TOML; KEY= takes it away; variables.NAME=VALUE is one variable")
    action("remove", remove_verb, "remove a host, a group, a network or the defaults").add_argument("entry", metavar="TABLE", help="as of set")


def import_verb(options: argparse.Namespace) -> int:
    """`hosts import`."""
    import tomllib  # noqa: PLC0415 - for this alone

    from ..server.hosts_database import HostsDatabase  # noqa: PLC0415 - the server's parts are for those who use them
    from ..server.hosts_format import read_hosts  # noqa: PLC0415

    name = "standard input" if options.file == "-" else options.file
    try:
        data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    read_hosts(data, name)          # whose complaints have line and column
    with closing(HostsDatabase(Path(options.database), create=True)) as database:
        database.replace(tomllib.loads(data.decode()))
    return DONE


def export_verb(options: argparse.Namespace) -> int:
    """`hosts export`."""
    from ..server.hosts_database import as_toml  # noqa: PLC0415

    text = as_toml(_document(options.database))
    if options.file == "-":
        sys.stdout.write(text)
        return DONE
    try:
        Path(options.file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{options.file}: {error.strerror}") from error
    return DONE


def list_verb(options: argparse.Namespace) -> int:
    """`hosts list`."""
    document = _document(options.database)
    if options.json:
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return DONE
    hosts = document.get("hosts")
    for name, table in hosts.items() if isinstance(hosts, dict) else ():
        who = [str(each) for key in ("mac", "uuid", "serial", "address") for each in _listed(table.get(key))]
        print("  ".join((name, *who, *(f"[{each}]" for each in _listed(table.get("groups"))))))
    return DONE


def set_verb(options: argparse.Namespace) -> int:
    """`hosts set`."""
    from ..server.hosts_database import HostsDatabase, parse_entry, parse_value  # noqa: PLC0415

    kind, name = parse_entry(options.entry)
    changes: list[tuple[list[str], object]] = []
    for each in options.keys:
        key, equals, text = each.partition("=")
        if not key or not equals:
            raise UsageError(f'"{each}" is no change, expected KEY=VALUE')
        changes.append((key.split(".", 1), parse_value(text) if text else None))

    def change(table: "Table") -> None:
        for path, value in changes:
            inner = table.setdefault(path[0], {}) if len(path) > 1 else table
            if not isinstance(inner, dict):
                raise UsageError(f'"{path[0]}" is no table, so "{".".join(path)}" cannot be set')
            if value is None:
                inner.pop(path[-1], None)
            else:
                inner[path[-1]] = value

    with closing(HostsDatabase(Path(options.database))) as database:
        database.edit(kind, name, change)
    return DONE


def remove_verb(options: argparse.Namespace) -> int:
    """`hosts remove`."""
    from ..server.hosts_database import HostsDatabase, parse_entry  # noqa: PLC0415

    with closing(HostsDatabase(Path(options.database))) as database:
        database.remove(*parse_entry(options.entry))
    return DONE


def _document(name: str) -> "Table":
    from ..server.hosts_database import HostsDatabase  # noqa: PLC0415

    with closing(HostsDatabase(Path(name))) as database:
        return database.document()


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [] if value is None else [value]
