"""What each machine boots the next time it comes to this server: its disk, when a run on it said so, or once something else.

    nothing known ──run said HdBoot──> disk ──"again", or a new text of `again` in hosts.toml──> nothing known
                  └─run said TFTPBoot, FloppyBoot──> once ──the machine has fetched it──> nothing known

With `done = "once"` in hosts.toml the disk is booted once, too, and with "script" not at all. DHCP then gives iPXE the address of a
script made here, and UEFI a program that sends it on (next_efi.py); other firmware gets no boot file and goes on to its next boot device.

Machines are known by their hardware address: the one that DHCP gave the reporter's address to, else the one the report says. The
records are in the database of `--state`, beside the leases.
"""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from threading import Lock
from time import time
from urllib.parse import quote

from ..base.errors import StorageError
from ..network.dhcp.firmware import Client
from ..network.dhcp.plan import Directory, Plan
from ..network.dhcp.subnet import Subnet

PATH = "api/next/"
SUFFIX = ".ipxe"
FLOPPY_SUFFIX = ".img"      # of the floppy image that a machine boots next, when it must be unpacked first
ONCE_S = 15.0              # seconds in which what is booted once may be fetched again: connections break
DISK_ONCE_S = 180.0         # the same for a disk: UEFI comes back by IPv6 and HTTP before it goes on to the disk
_MOST = 20_000              # machines; more cannot be in the database
_LONGEST = 1000             # characters of a file's name
_KINDS = ("disk", "floppy", "file")
_PACKED = "packed floppy"       # a floppy, if the event says `packed`
_SCHEMA = """
create table if not exists next_boots (
    mac text primary key,       -- 12 hexadecimal digits
    boots text not null,        -- disk, floppy, packed floppy, file
    disk integer not null,
    file text not null,
    once integer not null,
    again text not null,        -- what hosts.toml said when this was written
    since real not null,        -- seconds since 1970
    taken real                  -- when the machine fetched it
) without rowid
"""


@dataclass(frozen=True, slots=True)
class NextBoot:
    """One record; times are seconds since 1970."""

    boots: str
    disk: int
    file: str
    once: bool
    again: str
    since: float
    taken: float | None = None

    @property
    def words(self) -> str:
        """For people."""
        what = f"disk {self.disk}" if self.boots == "disk" else f"{self.boots} {self.file}".strip()
        return f"{what}, once" if self.once else what

    def holds(self, now: float) -> bool:
        """False when it was for once, and that has been."""
        return not self.once or self.taken is None or now - self.taken < (DISK_ONCE_S if self.boots == "disk" else ONCE_S)


class NextBoots:
    """All records; may be used by several threads. Without a path they live in memory. Raises StorageError."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time) -> None:
        self._clock = clock
        self._lock = Lock()
        try:
            self._database = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
            self._database.execute("pragma journal_mode = wal")
            # Unlike a lease, a lost record would cost a machine its disk's contents: it is on the medium before the machine restarts.
            self._database.execute("pragma synchronous = full")
            self._database.execute(_SCHEMA)
            rows = self._database.execute("select mac, boots, disk, file, once, again, since, taken from next_boots limit ?", (_MOST,)).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{path}: the database cannot be used: {error}") from error
        self._records = {mac: NextBoot(boots, disk, file, bool(once), again, since, taken) for mac, boots, disk, file, once, again, since, taken in rows}

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def of(self, mac: bytes, again: str | None = None) -> NextBoot | None:
        """The record that holds for a machine now; none when hosts.toml says another `again` than it did then."""
        with self._lock:
            found = self._records.get(mac.hex())
        if found is None or not found.holds(self._clock()) or (again is not None and again != found.again):
            return None
        return found

    def record(self, mac: bytes, facts: Mapping[str, object], plan: Plan) -> NextBoot | None:
        """What a run says that the machine boots (the `boot` event); None when it is nothing to be kept. Raises StorageError."""
        boots, disk, file = facts.get("boots"), facts.get("disk", 0), facts.get("file", "")
        if boots not in _KINDS or not mac or (boots == "disk" and plan.done == "script"):
            return None
        if not isinstance(disk, int) or isinstance(disk, bool) or not 0 <= disk < 128 or not isinstance(file, str) or len(file) > _LONGEST or not file.isprintable():
            return None
        kind = _PACKED if boots == "floppy" and file and facts.get("packed") is True else str(boots)
        found = NextBoot(kind, disk, file, boots != "disk" or plan.done == "once", plan.again, self._clock())
        with self._lock:
            if mac.hex() not in self._records and len(self._records) >= _MOST:
                return None
            self._write(mac, found)
        return found

    def take(self, mac: bytes) -> NextBoot | None:
        """The record of a machine that fetches its script now."""
        found = self.of(mac)
        if found is not None and found.once and found.taken is None:
            with self._lock:
                self._write(mac, replace(found, taken=self._clock()))
        return found

    def forget(self, mac: bytes) -> bool:
        """Image this machine again; False when nothing is known of it."""
        with self._lock:
            known = self._records.pop(mac.hex(), None)
            if known is not None:
                self._execute("delete from next_boots where mac = ?", (mac.hex(),))
        return known is not None and known.holds(self._clock())

    def _write(self, mac: bytes, found: NextBoot) -> None:
        self._execute(
            "insert or replace into next_boots values (?, ?, ?, ?, ?, ?, ?, ?)",
            (mac.hex(), found.boots, found.disk, found.file, int(found.once), found.again, found.since, found.taken),
        )
        self._records[mac.hex()] = found

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(f"what a machine boots next cannot be written: {error}") from error


class NextBootDirectory:
    """A directory in which machines that are to boot something else get the address of their script."""

    def __init__(self, directory: Directory, records: NextBoots) -> None:
        self._directory = directory
        self._records = records

    def plan_for(self, client: Client) -> Plan:
        """As the directory has it, with `onward` for those."""
        plan = self._directory.plan_for(client)
        found = self._records.of(client.hardware_address, plan.again)
        return plan if found is None else replace(plan, onward=f"{PATH}{client.hardware_address.hex()}{SUFFIX}", leaves=found.boots == "disk")

    def reserved(self) -> Mapping[IPv4Address, str]:
        """Those of the directory."""
        return self._directory.reserved()

    def networks(self) -> tuple[Subnet, ...]:
        """Those of the directory."""
        return self._directory.networks()


def machine_of(path: str, suffix: str = SUFFIX) -> bytes | None:
    """The hardware address in the path of a script, or with FLOPPY_SUFFIX of an image; None when there is none."""
    name = path.removeprefix(f"/{PATH}").removesuffix(suffix)
    try:
        return bytes.fromhex(name) if 0 < len(name) <= 40 and path == f"/{PATH}{name}{suffix}" and name.isalnum() else None
    except ValueError:
        return None


def packed_floppy_of(found: NextBoot | None) -> str | None:
    """The file whose contents a machine gets as its floppy image."""
    return found.file if found is not None and found.boots == _PACKED else None


def script_for(found: NextBoot | None, mac: bytes = b"") -> str:
    """What iPXE runs on the machine with that address. With `exit 1` the firmware goes on to its next boot device (iPXE as a driver of the card); UEFI cannot be told a disk.

    Sources: ipxe.org/cmd/sanboot, ipxe.org/cmd/exit; doc/memdisk.txt of Syslinux for `raw`, which works on every BIOS.
    """
    match found:
        case None:
            lines = ["chain --autofree /boot.ipxe || exit 1"]
        case NextBoot(boots="disk", disk=disk):
            lines = ["iseq ${platform} efi && exit 1 ||", f"sanboot --no-describe --drive {0x80 + disk:#x} || exit 1"]
        case NextBoot(boots="floppy", file=""):
            lines = ["iseq ${platform} efi && exit 1 ||", "sanboot --no-describe --drive 0x00 || exit 1"]
        case NextBoot(boots="floppy" | "packed floppy" as kind, file=file):
            image = quote(file) if kind == "floppy" else f"{PATH}{mac.hex()}{FLOPPY_SUFFIX}"
            lines = ["iseq ${platform} efi && exit 1 ||", "kernel /memdisk raw || exit 1", f"initrd /{image} || exit 1", "boot || exit 1"]
        case NextBoot(file=file):
            lines = [f"chain --autofree /{quote(file)} || exit 1"]
    # Names of files came from a report: they are quoted where they stand, and not said here, where iPXE would read them as commands.
    said = "starts as usual" if found is None else f"boots its {found.boots}"
    return "\n".join(["#!ipxe", f"echo bpscript: this machine {said}", *lines, ""])
