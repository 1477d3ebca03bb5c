"""`--hosts hosts.toml` or a database: which machine is which, and what it is given. The format is in docs/hosts.md.

Lookup, also written there: the entry with the machine's hardware address, else with its UUID, else with its serial number. What an
entry does not say is taken from its groups in the order they are listed, then from the groups of the machine's class in the order of
the file, then from the defaults; a machine without an entry gets these two. Variables and boot files are looked up one by one, so a host may change one and keep the others.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from pathlib import Path
from threading import Lock

from ..base.errors import BpscriptError, UsageError
from ..base.events import Event, Kind, Sink, ignore
from ..network.dhcp.firmware import Client, Firmware
from ..network.dhcp.plan import Plan
from ..network.dhcp.subnet import Subnet
from .hosts_database import HostsDatabase, is_database
from .hosts_format import Given, Host, HostsFile, read_hosts

_NOBODY = Given()


class HostBook:
    """The hosts of one file, as it was read."""

    def __init__(self, file: HostsFile | None = None) -> None:
        self._file = file if file is not None else HostsFile()
        self._by_mac: dict[bytes, Plan] = {}
        self._by_uuid: dict[str, Plan] = {}
        self._by_serial: dict[str, Plan] = {}
        self._reserved: dict[IPv4Address, str] = {}
        self._strangers = _merged(None, self._file)
        self._classes = {name: given.classes for name, given in self._file.groups.items() if given.classes}
        self._named = {host.name: host for host in self._file.hosts}
        for host in self._file.hosts:
            plan = _merged(host, self._file)
            self._by_mac |= dict.fromkeys(host.macs, plan)
            self._by_uuid |= dict.fromkeys(host.uuids, plan)
            self._by_serial |= dict.fromkeys(host.serials, plan)
            if host.address is not None:
                self._reserved[host.address] = host.name

    @classmethod
    def read(cls, path: Path) -> "HostBook":
        """The hosts of a file. Raises UsageError that names line and column of what is wrong."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        return cls(read_hosts(data, str(path)))

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Every entry, in the order of the file."""
        return self._file.hosts

    def find(self, *, mac: bytes = b"", uuid: str = "", serials: tuple[str, ...] = ()) -> Plan:
        """What a machine of which this is known is to get."""
        found = self._by_mac.get(mac)
        if found is None and uuid:
            # Firmware disagrees about the byte order of the first three fields (SMBIOS 2.6 7.2.1).
            found = self._by_uuid.get(uuid.lower()) or self._by_uuid.get(swapped(uuid.lower()))
        if found is None:
            found = next((self._by_serial[each.lower()] for each in serials if each.lower() in self._by_serial), None)
        return found or self._strangers

    # What a DHCP server asks (network.dhcp.plan.Directory).

    def plan_for(self, client: Client) -> Plan:
        """What this client is to get."""
        plan = self.find(mac=client.hardware_address, uuid=client.uuid, serials=client.serials)
        groups = self._groups_of((client.vendor_class, *client.user_classes)) if self._classes else []
        return _merged(self._named.get(plan.name), self._file, groups) if groups else plan

    def _groups_of(self, classes: Sequence[str]) -> list[str]:
        """The groups of machines that name these classes."""
        told = [each.lower() for each in classes if each]
        return [name for name, patterns in self._classes.items() if any(fnmatchcase(each, pattern) for each in told for pattern in patterns)]

    def reserved(self) -> Mapping[IPv4Address, str]:
        """Addresses that belong to entries."""
        return self._reserved

    def networks(self) -> tuple[Subnet, ...]:
        """Networks described in the file."""
        return self._file.networks


class WatchedHosts:
    """The hosts of a file or database that may change while the server runs: it is read again when it did.

    One that is broken, or gone, is reported once to `sink`; what was read before stays in force.
    Raises UsageError when it is broken at the start.
    """

    def __init__(self, path: Path, sink: Sink = ignore) -> None:
        self._path = path
        self._sink = sink
        self._lock = Lock()
        self._database: HostsDatabase | None = None
        self._number = -1           # of the database's inode
        self._state = self._look()
        self._book = self._read()

    @property
    def book(self) -> HostBook:
        """The hosts as they are now."""
        with self._lock:
            state = self._look()
            if state != self._state:
                self._state = state
                try:
                    self._book = self._read()
                except BpscriptError as error:
                    hint = f" ({error.hint})" if error.hint else ""
                    self._sink(Event(Kind.ERROR, {"text": f"{error.message}{hint}; the hosts of before stay in force"}))
                else:
                    self._sink(Event(Kind.NOTE, {"text": f"{self._path}: read again, {len(self._book.hosts)} hosts"}))
            return self._book

    def look(self) -> None:
        """Read them again if they have changed."""
        _ = self.book

    def _look(self) -> tuple[int, ...] | None:
        """Another one whenever the hosts may be others; None when nothing can be read."""
        stamp = _stamp(self._path)
        if self._database is None or stamp is None or stamp[2] != self._number:
            return stamp
        try:
            return self._number, self._database.revision()
        except BpscriptError:
            return None         # what is wrong is told when it is read

    def _read(self) -> HostBook:
        stamp = _stamp(self._path)
        if self._database is None or stamp is None or stamp[2] != self._number:
            if self._database is not None:
                self._database.close()
                self._database = None
            if stamp is None or not is_database(self._path):
                return HostBook.read(self._path)
            self._database, self._number = HostsDatabase(self._path), stamp[2]
            self._state = self._look()
        return HostBook(self._database.read())

    def plan_for(self, client: Client) -> Plan:
        """What this client is to get."""
        return self.book.plan_for(client)

    def reserved(self) -> Mapping[IPv4Address, str]:
        """Addresses that belong to entries."""
        return self._book.reserved()

    def networks(self) -> tuple[Subnet, ...]:
        """Networks described in the file."""
        return self._book.networks()


def swapped(uuid: str) -> str:
    """A UUID with the first three fields in the other byte order."""
    first, second, third, *rest = uuid.split("-") if uuid.count("-") == 4 else ("", "", "", uuid)
    return "-".join((*(_reversed(each) for each in (first, second, third)), *rest))


def _reversed(digits: str) -> str:
    return "".join(digits[start : start + 2] for start in range(len(digits) - 2, -1, -2))


def _merged(host: Host | None, file: HostsFile, also: Sequence[str] = ()) -> Plan:
    """An entry with what its groups, those in `also`, and the defaults add."""
    own = host.given if host is not None else _NOBODY
    order = [own, *(file.groups[each] for each in (*(host.groups if host is not None else ()), *also)), file.defaults]
    boot: dict[Firmware, str] = {}
    options: dict[int, bytes] = {}
    variables: dict[str, str] = {}
    for given in reversed(order):
        boot |= given.boot
        options |= given.options
        variables |= given.variables
    script = next((given.script for given in order if given.script is not None), "")
    done = next((given.done for given in order if given.done is not None), "disk")
    again = next((given.again for given in order if given.again is not None), "")
    # `unknown = "ignore"` is about machines without an entry.
    named = order if host is None else order[:-1]
    ignored = next((given.ignore for given in named if given.ignore is not None), False)
    if host is None:
        return Plan("", None, "", script, boot, options, variables, ignored, done, again)
    return Plan(host.name, host.address, host.host_name, script, boot, options, variables, ignored, done, again)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file does; None when it is not there."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
