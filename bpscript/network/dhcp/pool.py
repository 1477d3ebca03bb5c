"""Who has which address: leases, offers and addresses in quarantine.

    free ──offer──> offered ──bind──> bound ──release──> released          offered, bound and declined end at `expires`;
                       │                │                                  an address whose time is over, or that was released,
                       └──> decline <───┘ ──> declined (nobody's)          is free, but its last owner gets it again if possible

Invariant: an address has at most one owner, and a client has at most one address of a network.
Kept in memory, and in SQLite (all but offers): a restarted server knows its leases. Times are seconds since 1970, given by the caller.
Write-ahead logging without a flush for each lease: a crash of the server loses nothing, a power cut perhaps the last leases.

Against starvation: offers are never written down, and when no address is free the oldest offer makes room; at most a quarter of the
addresses is in quarantine at a time (the oldest leave it first); clients that speak only BOOTP, whose leases would never end, get
addresses for a limited time, and at most half of them.
"""

import heapq
import sqlite3
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from threading import Lock

from ...base.errors import StorageError
from .subnet import Subnet

OFFER_S = 60.0
QUARANTINE_S = 600.0
_SCHEMA = """
create table if not exists leases (
    address text primary key,       -- dotted quad
    identity blob not null,         -- option 61, or hardware type and address; empty: in quarantine
    mac blob not null,
    state text not null,            -- bound, released, declined
    expires real not null,          -- seconds since 1970
    host text not null,             -- name of its entry in hosts.toml, or what it calls itself
    bootp integer not null          -- 1: a client that speaks no DHCP
) without rowid
"""
_FORMAT = 1     # pragma user_version


class State(StrEnum):
    """What an address is to its owner."""

    OFFERED = "offered"
    BOUND = "bound"
    RELEASED = "released"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class Lease:
    """One address and its owner; `expires` in seconds since 1970."""

    address: IPv4Address
    identity: bytes
    hardware_address: bytes
    state: State
    expires: float
    host: str = ""
    is_bootp: bool = False

    def holds(self, now: float) -> bool:
        """True while nobody else may have the address."""
        return self.state is not State.RELEASED and self.expires > now


class Pool:
    """All leases of a server. Safe to read from other threads."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the database; without a path leases live in memory. Raises StorageError."""
        self._lock = Lock()
        self._leases: dict[IPv4Address, Lease] = {}
        self._owned: dict[bytes, set[IPv4Address]] = {}
        self._ends: list[tuple[float, IPv4Address]] = []        # a heap; entries that are out of date are passed over
        self._next: dict[IPv4Address, int] = {}                 # first address of a range: the next one that nobody ever had
        self._quarantine: dict[IPv4Address, None] = {}          # oldest first
        self._database = _open(path)
        for lease in _load(self._database, path):
            self._remember(lease)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def leases(self) -> list[Lease]:
        """Every address that somebody has or had, by address."""
        with self._lock:
            return sorted(self._leases.values(), key=lambda lease: lease.address)

    def lease(self, address: IPv4Address) -> Lease | None:
        """What is known of an address."""
        return self._leases.get(address)

    def lease_of(self, identity: bytes, subnet: Subnet) -> Lease | None:
        """The address that a client has, or had last, in a network."""
        owned = [self._leases[each] for each in self._owned.get(identity, ()) if each in subnet.network]
        return max(owned, key=lambda lease: (lease.state is not State.RELEASED, lease.expires), default=None)

    def is_free_for(self, address: IPv4Address, identity: bytes, now: float) -> bool:
        """True when nobody else has the address at `now`."""
        lease = self._leases.get(address)
        return lease is None or lease.identity == identity or not lease.holds(now)

    def find(
        self, subnet: Subnet, identity: bytes, wanted: IPv4Address | None, taken: Container[IPv4Address], now: float,
    ) -> IPv4Address | None:
        """An address for a client (RFC 2131 4.3.1): the one it has or had, the one it asks for, one that nobody had, the one free for longest.

        `taken` are addresses of others that have no lease. None when all are in use.
        """
        mine = self.lease_of(identity, subnet)
        for address in (mine.address if mine is not None else None, wanted):
            if address is not None and subnet.may_give(address) and address not in taken and self.is_free_for(address, identity, now):
                return address
        return self._never_used(subnet, taken) or self._free_again(subnet, taken, now)

    def offer(self, lease: Lease) -> None:
        """Keep an address for a client until `lease.expires`."""
        self._settle(replace(lease, state=State.OFFERED), is_kept=False)

    def bind(self, lease: Lease) -> None:
        """A client has an address; it is in the database when this returns. Raises StorageError when it cannot be written."""
        self._settle(replace(lease, state=State.BOUND), is_kept=True)

    def release(self, lease: Lease, now: float) -> None:
        """A client gave its address back."""
        self._settle(replace(lease, state=State.RELEASED, expires=now), is_kept=True)

    def decline(self, address: IPv4Address, subnet: Subnet, now: float) -> None:
        """Somebody unknown uses an address: nobody gets it for a while."""
        self._settle(Lease(address, b"", b"", State.DECLINED, now + QUARANTINE_S), is_kept=True)
        most = max(1, sum(map(len, subnet.ranges)) // 4)
        held = [each for each in self._quarantine if each in subnet.network]
        for each in held[: max(0, len(held) - most)]:
            self._settle(replace(self._leases[each], state=State.RELEASED, expires=now), is_kept=True)

    def drop_offers(self, identity: bytes, now: float, but: IPv4Address | None = None) -> None:
        """The client took an offer of another server, or another of ours."""
        for address in list(self._owned.get(identity, ())):
            lease = self._leases[address]
            if lease.state is State.OFFERED and address != but:
                self._settle(replace(lease, state=State.RELEASED, expires=now), is_kept=False)

    def bootp_count(self, subnet: Subnet, now: float) -> int:
        """How many addresses of a network clients without DHCP have."""
        return sum(1 for lease in self._leases.values() if lease.is_bootp and lease.holds(now) and lease.address in subnet.network)

    def _never_used(self, subnet: Subnet, taken: Container[IPv4Address]) -> IPv4Address | None:
        for each in subnet.ranges:
            number = self._next.get(each.first, int(each.first))
            while number <= int(each.last) and IPv4Address(number) in self._leases:
                number += 1
            self._next[each.first] = number
            for candidate in range(number, int(each.last) + 1):
                address = IPv4Address(candidate)
                if address not in self._leases and address not in taken and not subnet.is_special(address):
                    return address
        return None

    def _free_again(self, subnet: Subnet, taken: Container[IPv4Address], now: float) -> IPv4Address | None:
        """The address whose time was over first; else the oldest offer."""
        put_back: list[tuple[float, IPv4Address]] = []
        found: IPv4Address | None = None
        oldest_offer: IPv4Address | None = None
        while self._ends:
            end = heapq.heappop(self._ends)
            expires, address = end
            lease = self._leases.get(address)
            if lease is None or lease.expires != expires:
                continue                            # this lease was renewed: it has another entry
            put_back.append(end)
            if not subnet.may_give(address) or address in taken:
                continue
            if not lease.holds(now):
                found = address
                break
            if lease.state is State.OFFERED:        # nothing behind it is free
                oldest_offer = address
                break
            if expires > now + OFFER_S:             # no offers behind it
                break
        for end in put_back:
            heapq.heappush(self._ends, end)
        return found or oldest_offer

    def _settle(self, lease: Lease, *, is_kept: bool) -> None:
        if is_kept:
            self._write(lease)
        with self._lock:
            self._remember(lease)

    def _remember(self, lease: Lease) -> None:
        before = self._leases.get(lease.address)
        if before is not None and before.identity != lease.identity:
            owned = self._owned.get(before.identity, set())
            owned.discard(lease.address)
            if not owned:
                self._owned.pop(before.identity, None)
        self._leases[lease.address] = lease
        self._quarantine.pop(lease.address, None)
        if lease.state is State.DECLINED:
            self._quarantine[lease.address] = None
        elif lease.identity:
            self._owned.setdefault(lease.identity, set()).add(lease.address)
        heapq.heappush(self._ends, (lease.expires, lease.address))
        if len(self._ends) > 4 * len(self._leases) + 64:        # entries out of date are swept out
            self._ends = [(each.expires, each.address) for each in self._leases.values()]
            heapq.heapify(self._ends)

    def _write(self, lease: Lease) -> None:
        try:
            self._database.execute(
                "insert or replace into leases values (?, ?, ?, ?, ?, ?, ?)",
                (
                    str(lease.address), lease.identity, lease.hardware_address, lease.state.value, lease.expires, lease.host,
                    int(lease.is_bootp),
                ),
            )
        except sqlite3.Error as error:
            raise StorageError(f"the lease of {lease.address} cannot be written: {error}") from error


def _open(path: Path | None) -> sqlite3.Connection:
    try:
        database = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        version = database.execute("pragma user_version").fetchone()[0]
        if version not in {0, _FORMAT}:
            raise StorageError(f"{path}: a lease database of format {version}, expected {_FORMAT}", hint="a newer bpscript made it")
        database.execute(_SCHEMA)
        database.execute(f"pragma user_version = {_FORMAT}")
    except sqlite3.Error as error:
        raise StorageError(f"{path}: the lease database cannot be opened: {error}") from error
    return database


def _load(database: sqlite3.Connection, path: Path | None) -> Iterable[Lease]:
    try:
        rows = database.execute("select address, identity, mac, state, expires, host, bootp from leases order by expires").fetchall()
    except sqlite3.Error as error:
        raise StorageError(f"{path}: the lease database cannot be read: {error}") from error
    for address, identity, mac, state, expires, host, bootp in rows:
        with suppress(ValueError, TypeError):       # a row that somebody edited by hand
            yield Lease(IPv4Address(address), bytes(identity), bytes(mac), State(state), float(expires), str(host), bool(bootp))
