"""hosts.toml: read, checked, and turned into what the servers ask for. The format is described in docs/hosts.md.

Everything that is wrong is one UsageError, `FILE:LINE:COLUMN: ...`, at the first place that is wrong.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import NoReturn, TypeVar

from ..base.errors import UsageError
from ..base.toml_places import Path, Place, places
from ..language.names import did_you_mean, is_variable_name
from ..network.dhcp.firmware import Firmware
from ..network.dhcp.options import OPTIONS
from ..network.dhcp.replies import parse_mac
from ..network.dhcp.subnet import DEFAULT_LEASE_S, AddressRange, Subnet, addresses
from ..network.dhcp.variables import parameters

_LARGEST = 4 << 20              # bytes of a file
_LONGEST_SCRIPT = 255           # bytes: one option
_LONGEST_VARIABLES = 1200       # bytes of one machine's variables in a reply: they must fit into a packet
_LEASE = re.compile(r"(\d+)\s*([smhd]?)\Z")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?\Z")
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\Z")
# Told by the server itself, or by a key of their own.
_NOT_FOR_HOSTS = {
    0: "", 1: 'the network says it', 12: 'use the key "name"', 50: "", 51: 'use the key "lease" of a network', 52: "", 53: "", 54: "", 55: "", 57: "",
    58: "", 59: "", 61: "", 66: "", 67: 'use the key "boot"', 82: "", 155: 'use the key "script"', 255: "",
}
_DONE = ("disk", "once", "script")
_LONGEST_AGAIN = 200
_FIELDS = {"bootp-client-id", "bootp-your-ip", "bootp-server-ip", "bootp-gateway-ip", "bootp-bootfile", "bootp-server-name"}


@dataclass(frozen=True, slots=True)
class Given:
    """What defaults, a group or a host says; None and empty: nothing."""

    script: str | None = None
    ignore: bool | None = None
    boot: Mapping[Firmware, str] = field(default_factory=dict)
    options: Mapping[int, bytes] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    done: str | None = None
    again: str | None = None
    classes: tuple[str, ...] = ()       # of a group: patterns of fnmatch in lower case; machines of such a class belong to it


@dataclass(frozen=True, slots=True)
class Host:
    """One machine. `macs` are bytes, `uuids` and `serials` in lower case."""

    name: str
    macs: tuple[bytes, ...] = ()
    uuids: tuple[str, ...] = ()
    serials: tuple[str, ...] = ()
    address: IPv4Address | None = None
    host_name: str = ""
    groups: tuple[str, ...] = ()
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, slots=True)
class HostsFile:
    """A whole file."""

    defaults: Given = field(default_factory=Given)
    groups: Mapping[str, Given] = field(default_factory=dict)
    hosts: tuple[Host, ...] = ()
    networks: tuple[Subnet, ...] = ()


def read_hosts(data: bytes, name: str) -> HostsFile:
    """The hosts in a file of this name. Raises UsageError with line and column."""
    if len(data) > _LARGEST:
        raise UsageError(f"{name}: too large for a hosts file ({len(data)} bytes, at most {_LARGEST})")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise UsageError(f"{name}:{line}:{column}: the byte {data[error.start]:02x} is not UTF-8") from error
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise UsageError(f"{name}:1:1: nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_syntax_error(str(error), text, name)) from error
    return _Reader(document, places(text), name).read()


def check_hosts(document: "Table", name: str) -> HostsFile:
    """The hosts of tables that come from a database of this name. Raises UsageError with table and key."""
    return _Reader(document, None, name).read()


def _syntax_error(message: str, text: str, name: str) -> str:
    match = re.search(r" \(at line (\d+), column (\d+)\)\Z", message)
    if match is not None:
        return f"{name}:{match[1]}:{match[2]}: no TOML: {_small(message[: match.start()])}"
    lines = text.split("\n")
    return f"{name}:{len(lines)}:{len(lines[-1]) + 1}: no TOML: {_small(message.removesuffix(' (at end of document)'))} at the end of the file"


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


Table = Mapping[str, object]
_T = TypeVar("_T")


class _Reader:
    def __init__(self, document: Table, where: Mapping[Path, Place] | None, name: str) -> None:
        self._document = document
        self._where = where
        self._name = name

    def read(self) -> HostsFile:
        top = self._table((), self._document, {"unknown", "defaults", "groups", "hosts", "networks"})
        defaults = self._given(("defaults",), self._table(("defaults",), top.get("defaults", {}), _GIVEN - {"ignore"}))
        unknown = top.get("unknown", "serve")
        if unknown not in {"serve", "ignore"}:
            self._fail(("unknown",), f'"unknown" is {_shown(unknown)}, expected "serve" or "ignore"')
        if unknown == "ignore":
            defaults = replace(defaults, ignore=True)
        groups = {name: self._group(("groups", name), table) for name, table in self._named("groups", top).items()}
        hosts = tuple(self._host(("hosts", name), name, table, groups) for name, table in self._named("hosts", top).items())
        self._each_once(hosts)
        networks = tuple(self._network(("networks", name), name, table) for name, table in self._named("networks", top).items())
        return HostsFile(defaults, groups, hosts, networks)

    # The tables.

    def _group(self, path: Path, value: object) -> Given:
        table = self._table(path, value, _GIVEN | {"class"})
        classes = tuple(text.lower().replace("[", "[[]") for _, text in self._texts(path, table, "class"))
        for key in ("done", "again"):
            if classes and key in table:
                self._fail((*path, key), f'"{key}" is not for a group with a class: a boot ROM and the system after it name different ones', "say it in another group, a host or the defaults")
        return replace(self._given(path, table), classes=classes)

    def _host(self, path: Path, name: str, value: object, groups: Mapping[str, Given]) -> Host:
        table = self._table(path, value, _GIVEN | {"mac", "uuid", "serial", "address", "name", "groups"})
        macs = tuple(self._parsed(place, text, parse_mac) for place, text in self._texts(path, table, "mac"))
        uuids = tuple(self._uuid(place, text) for place, text in self._texts(path, table, "uuid"))
        serials = tuple(text.strip().lower() for _, text in self._texts(path, table, "serial"))
        if not (macs or uuids or serials):
            self._fail(path, f'the host "{name}" has neither mac, uuid nor serial, so no machine can be it')
        members = self._texts(path, table, "groups")
        for place, group in members:
            if group not in groups:
                self._fail(place, f'there is no group "{group}"', did_you_mean(group, groups))
        address = next((self._parsed(place, text, IPv4Address) for place, text in self._texts(path, table, "address")), None)
        own_name = next((text for _, text in self._texts(path, table, "name")), name if _HOST_NAME.match(name) else "")
        if own_name and not _HOST_NAME.match(own_name):
            self._fail((*path, "name"), f'"{own_name}" cannot be the name of a machine', "letters, digits, dots and dashes, at most 63")
        return Host(name, macs, uuids, serials, address, own_name, tuple(group for _, group in members), self._given(path, table))

    def _given(self, path: Path, table: Table) -> Given:
        script = table.get("script")
        if script is not None and (not isinstance(script, str) or len(script.encode()) > _LONGEST_SCRIPT or "\0" in script):
            self._fail((*path, "script"), f"the script is {_shown(script)}, expected a text of at most {_LONGEST_SCRIPT} bytes")
        ignore = table.get("ignore")
        if ignore is not None and not isinstance(ignore, bool):
            self._fail((*path, "ignore"), f'"ignore" is {_shown(ignore)}, expected true or false')
        options, variables = self._variables((*path, "variables"), table.get("variables", {}))
        done, again = table.get("done"), table.get("again")
        if done is not None and done not in _DONE:
            self._fail((*path, "done"), f'"done" is {_shown(done)}, expected {", ".join(_DONE)}', did_you_mean(str(done), _DONE))
        if again is not None and (isinstance(again, bool | dict | list) or len(str(again)) > _LONGEST_AGAIN):
            self._fail((*path, "again"), f'"again" is {_shown(again)}, expected a text, a number or a date')
        return Given(
            script, ignore, self._boot((*path, "boot"), table.get("boot")), options, variables, done, None if again is None else str(again)
        )

    def _boot(self, path: Path, value: object) -> Mapping[Firmware, str]:
        """One name for every firmware that is no iPXE yet, or a table of firmware and name."""
        if value is None:
            return {}
        if isinstance(value, str):
            return {each: value for each in Firmware if each is not Firmware.IPXE}
        table = self._table(path, value, {each.value for each in Firmware})
        for key, name in table.items():
            if not isinstance(name, str) or not name or "\0" in name:
                self._fail((*path, key), f"the boot file is {_shown(name)}, expected the name of a file or a URL")
        return {Firmware(key): str(name) for key, name in table.items()}

    def _variables(self, path: Path, value: object) -> tuple[dict[int, bytes], dict[str, str]]:
        """Those of language.md section 7 are options of their own; the others travel together."""
        if not isinstance(value, dict):
            self._fail(path, f"the variables are {_shown(value)}, expected a table")
        options: dict[int, bytes] = {}
        variables: dict[str, str] = {}
        known = parameters()
        for name, content in value.items():
            place = (*path, name)
            text = self._text_of(place, name, content)
            parameter = known.get(name.lower())
            if name.lower() in _FIELDS:
                self._fail(place, f'"{name}" is a field of the reply and no variable that a hosts file can set')
            if parameter is None:
                if not is_variable_name(name):
                    self._fail(place, f'"{name}" cannot be the name of a variable')
                variables[name] = text
                continue
            code = int(parameter.names[-1].rpartition("-")[2])
            if code in _NOT_FOR_HOSTS:
                self._fail(place, f'"{name}" (option {code}) is not for a hosts file', _NOT_FOR_HOSTS[code] or None)
            options[code] = self._option(place, name, code, text)
        if sum(len(f"{name}={text}".encode()) + 1 for name, text in variables.items()) > _LONGEST_VARIABLES:
            self._fail(path, f"the variables are longer than {_LONGEST_VARIABLES} bytes together and do not fit into a packet")
        return options, variables

    def _option(self, place: Path, name: str, code: int, text: str) -> bytes:
        option = OPTIONS.get(code)
        try:
            data = option.type.encode(text) if option is not None else text.encode()
        except ValueError as error:
            self._fail(place, f'the value of "{name}" is wrong: {error}')
        if not 0 < len(data) <= 1024:
            self._fail(place, f'the value of "{name}" has {len(data)} bytes, expected 1 to 1024')
        return data

    def _network(self, path: Path, name: str, value: object) -> Subnet:
        table = self._table(path, value, {"pool", "routers", "dns", "domain", "lease", "variables"})
        network = self._parsed(path, name, IPv4Network)
        ranges = tuple(self._parsed(place, text, AddressRange.parse) for place, text in self._texts(path, table, "pool"))
        options, others = self._variables((*path, "variables"), table.get("variables", {}))
        if others:
            self._fail((*path, "variables", next(iter(others))), f'"{next(iter(others))}" is no option, so a network cannot set it')
        for key, code in (("routers", 3), ("dns", 6)):
            found = [self._parsed(place, text, IPv4Address) for place, text in self._texts(path, table, key)]
            if found:
                options[code] = addresses(found)
        domain = next((text for _, text in self._texts(path, table, "domain")), "")
        if domain:
            options[15] = domain.encode()
        lease_s = self._lease((*path, "lease"), table.get("lease", DEFAULT_LEASE_S))
        try:
            return Subnet(network, ranges, options, lease_s)
        except UsageError as error:
            self._fail((*path, "pool"), error.message)

    def _lease(self, path: Path, value: object) -> int:
        match = _LEASE.match(str(value))
        if isinstance(value, bool) or match is None or not 60 <= int(match[1]) * _UNITS[match[2]] <= 0xFFFFFFFF:
            self._fail(path, f'the lease is {_shown(value)}, expected a time of at least a minute', 'for example "12h", "30m" or 3600 (seconds)')
        return int(match[1]) * _UNITS[match[2]]

    def _each_once(self, hosts: Iterable[Host]) -> None:
        """No two hosts may be one machine, or have one address."""
        seen: dict[object, str] = {}
        for host in hosts:
            for key, values in (("mac", host.macs), ("uuid", host.uuids), ("serial", host.serials), ("address", (host.address,))):
                for number, value in enumerate(values):
                    if value is None:
                        continue
                    other = seen.setdefault((key, value), host.name)
                    if other != host.name:
                        element: Path = ("hosts", host.name, key, number)
                        place = element if self._where is None or element in self._where else ("hosts", host.name, key)
                        shown = value.hex(":") if isinstance(value, bytes) else value
                        self._fail(place, f'the {key} {shown} of host "{host.name}" belongs to host "{other}" already')

    # Their values.

    def _named(self, key: str, top: Table) -> Table:
        value = top.get(key, {})
        if not isinstance(value, dict):
            self._fail((key,), f'"{key}" is {_shown(value)}, expected tables [{key}.NAME]')
        return value

    def _table(self, path: Path, value: object, keys: Iterable[str]) -> Table:
        if not isinstance(value, dict):
            self._fail(path, f'"{path[-1]}" is {_shown(value)}, expected a table')
        known = sorted(keys)
        for key in value:
            if key not in known:
                self._fail((*path, key), f'there is no key "{key}" here', did_you_mean(key, known) or f"expected {', '.join(known)}")
        return value

    def _texts(self, path: Path, table: Table, key: str) -> list[tuple[Path, str]]:
        """The texts under a key, one or a list, each with its place."""
        value = table.get(key)
        if value is None:
            return []
        place = (*path, key)
        pairs: list[tuple[Path, object]] = (
            [((*place, number), each) for number, each in enumerate(value)] if isinstance(value, list) else [(place, value)]
        )
        found = []
        for where, each in pairs:
            if not isinstance(each, str) or not each:
                self._fail(where, f'"{key}" is {_shown(each)}, expected a text')
            found.append((where, each))
        return found

    def _text_of(self, place: Path, name: str, value: object) -> str:
        if isinstance(value, bool):
            return "ON" if value else "OFF"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, list):
            return " ".join(self._text_of(place, name, each) for each in value)
        if not isinstance(value, str) or "\0" in value:
            self._fail(place, f'the value of "{name}" is {_shown(value)}, expected a text, a number, true, false or a list of them')
        return value

    def _uuid(self, place: Path, text: str) -> str:
        if not _UUID.match(text.lower()):
            self._fail(place, f'"{text}" is no UUID', "for example 12345678-9abc-def0-1234-56789abcdef0")
        digits = text.lower().replace("-", "")
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _parsed(self, place: Path, text: str, parse: Callable[[str], _T]) -> _T:
        try:
            return parse(text)
        except UsageError as error:
            self._fail(place, error.message, error.hint)
        except ValueError:
            what = {IPv4Address: "IPv4 address", IPv4Network: "IPv4 network"}.get(parse, "value")  # type: ignore[call-overload]
            self._fail(place, f'"{text}" is no {what}')

    def _fail(self, path: Path, message: str, hint: str | None = None) -> NoReturn:
        if self._where is None:
            raise UsageError(f"{self._name}: {'.'.join(map(str, path)) or 'top'}: {message}", hint=hint)
        while path and path not in self._where:
            path = path[:-1]
        line, column = self._where.get(path, (1, 1))
        raise UsageError(f"{self._name}:{line}:{column}: {message}", hint=hint)


_GIVEN = {"script", "ignore", "boot", "variables", "done", "again"}


def _shown(value: object) -> str:
    """A value as a message names it."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value[:60]}"' if isinstance(value, str) else str(value)[:60]
