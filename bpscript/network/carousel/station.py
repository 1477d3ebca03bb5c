"""The sending side of carousels: who takes part, and what is sent when. No sockets, no files, no clock.

    join ──► running: bursts of blocks, round and round from where it stopped ──► the last one left, or was silent ──► stopped

A member that fetches what it missed elsewhere takes part without receiving: nothing is sent for it. The rate is that of the whole station: with several files at a time each gets its share, burst by burst in turn. A member says every
few seconds that it is still there; who was silent for `SILENT_S` is gone, and who takes part for `MAX_TURNS` turns is told to go:
it has had every byte often enough, and somebody who only wants to keep the network busy shall not.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from .packets import AROUND, BLOCK, HEAD, block_count, session_of

KEEP_ALIVE_S = 2.0      # members say that often that they are there
SILENT_S = 10.0
MAX_TURNS = 12
MAX_MEMBERS = 2_000     # of all sessions together
MAX_FILES = 32          # at a time
_AHEAD_S = 0.01         # what a sender that was held up for longer has missed is not made up for: it would come at once
_LONGEST = 44           # packets of a burst: 64 KB, one system call


class RefusedError(Exception):
    """Why somebody may not take part."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """A file in one state. `path` is as the client asked for it."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Burst:
    """Send `count` blocks from block number `first` on; the last of the file may be short."""

    key: FileKey
    session: bytes
    first: int
    count: int


@dataclass(slots=True)
class _Member:
    heard: float
    joined: float
    sent: int               # of the session when it joined, in blocks
    receiving: bool


@dataclass(slots=True)
class Ended:
    """A session that is over, for the log. Sizes are bytes, of the file's contents."""

    key: FileKey
    seconds: float
    sent: int
    turns: float
    complete: int = 0
    incomplete: int = 0     # said that they did not get it, or said nothing any more


@dataclass(slots=True)
class _Session:
    key: FileKey
    session: bytes
    blocks: int
    began: float
    position: int = 0       # the next block
    sent: int = 0           # blocks
    members: dict[str, _Member] = field(default_factory=dict)
    complete: int = 0
    incomplete: int = 0
    receiving: int = 0      # members

    def ended(self, now: float) -> Ended:
        return Ended(
            self.key, now - self.began, min(self.sent * BLOCK, self.sent * self.key.size // self.blocks), self.sent / self.blocks, self.complete, self.incomplete,
        )


class Station:
    """All carousels of a server. `rate` is bits a second on the wire, headers counted. `ended` is told of each session that is over."""

    def __init__(self, rate: int, ended: Callable[[Ended], None] = lambda _: None) -> None:
        self.rate = rate
        self._ended = ended
        self._sessions: dict[FileKey, _Session] = {}
        self._turn: list[FileKey] = []              # whose burst comes next
        self._positions: dict[FileKey, int] = {}    # where sessions stopped that are over; the last few
        self._next = -math.inf
        packet_s = (BLOCK + HEAD.size + AROUND) * 8 / rate
        self._packet_s = packet_s
        self._burst = max(1, min(_LONGEST, int(0.002 / packet_s)))
        self.deadline = math.inf                    # when `step` has something to send
        self.silence_ends = math.inf                # when `expire` may have somebody to strike off

    @property
    def members(self) -> int:
        """Of all sessions."""
        return sum(len(each.members) for each in self._sessions.values())

    def share(self) -> int:
        """Bits a second that each file gets now."""
        return self.rate // max(1, len(self._turn))

    def is_running(self, key: FileKey) -> bool:
        """Whether somebody takes part."""
        return key in self._sessions

    def join(self, key: FileKey, member: str, now: float, *, receiving: bool = True) -> bytes:
        """Somebody takes part, or still does; the session. Raises RefusedError."""
        self.expire(now)
        session = self._sessions.get(key)
        known = None if session is None else session.members.get(member)
        if known is not None and session is not None:
            if session.sent - known.sent > MAX_TURNS * session.blocks:
                self._remove(session, member)
                session.incomplete += 1
                self._settle(session, now)
                raise RefusedError(f"{MAX_TURNS} turns have passed")
            known.heard = now
            session.receiving += receiving - known.receiving
            known.receiving = receiving
            self._arrange(session, now)
            return session.session
        if not key.size:
            raise RefusedError("the file is empty")
        if self.members >= MAX_MEMBERS or (session is None and len(self._sessions) >= MAX_FILES):
            raise RefusedError("too many take part")
        if session is None:
            session = _Session(key, session_of(key.path, key.size, key.etag), block_count(key.size, BLOCK), now, self._positions.pop(key, 0))
            self._sessions[key] = session
        session.members[member] = _Member(now, now, session.sent, receiving)
        session.receiving += receiving
        self.silence_ends = min(self.silence_ends, now + SILENT_S)
        self._arrange(session, now)
        return session.session

    def leave(self, key: FileKey, member: str, now: float, *, complete: bool) -> float | None:
        """Somebody goes; seconds since it came, None when nobody knew it."""
        session = self._sessions.get(key)
        gone = None if session is None else self._remove(session, member)
        if session is None or gone is None:
            return None
        if complete:
            session.complete += 1
        else:
            session.incomplete += 1
        self._settle(session, now)
        return now - gone.joined

    def drop(self, key: FileKey, now: float) -> None:
        """The file cannot be sent any more: it changed, or cannot be read."""
        session = self._sessions.get(key)
        if session is not None:
            session.incomplete += len(session.members)
            session.members.clear()
            session.receiving = 0
            self._settle(session, now)
            self._positions.pop(key, None)

    def expire(self, now: float) -> None:
        """Strike off those who were silent too long."""
        if now < self.silence_ends:
            return
        for session in list(self._sessions.values()):
            silent = [name for name, each in session.members.items() if now - each.heard >= SILENT_S]
            for name in silent:
                self._remove(session, name)
            session.incomplete += len(silent)
            self._settle(session, now)
        heard = [each.heard for session in self._sessions.values() for each in session.members.values()]
        self.silence_ends = min(heard, default=math.inf) + SILENT_S

    def step(self, now: float) -> Burst | None:
        """The next burst when its time has come; call again at `deadline`."""
        self.expire(now)
        if not self._turn or now < self._next:
            return None
        key = self._turn.pop(0)
        self._turn.append(key)
        session = self._sessions[key]
        count = min(self._burst, session.blocks - session.position)
        burst = Burst(key, session.session, session.position, count)
        session.position = (session.position + count) % session.blocks
        session.sent += count
        self._next = (self._next if now - self._next <= _AHEAD_S else now) + count * self._packet_s
        self.deadline = self._next
        return burst

    def _remove(self, session: _Session, member: str) -> _Member | None:
        gone = session.members.pop(member, None)
        if gone is not None:
            session.receiving -= gone.receiving
        return gone

    def _arrange(self, session: _Session, now: float) -> None:
        """Send for those who receive, and for nobody else."""
        if session.receiving and session.key not in self._turn:
            self._turn.append(session.key)
            self.deadline = max(now, self._next)
        elif not session.receiving and session.key in self._turn:
            self._turn.remove(session.key)
            if not self._turn:
                self.deadline = math.inf

    def _settle(self, session: _Session, now: float) -> None:
        """Stop sending to nobody; end a session that nobody takes part in."""
        self._arrange(session, now)
        if session.members or session.key not in self._sessions:
            return
        del self._sessions[session.key]
        self._positions[session.key] = session.position
        while len(self._positions) > MAX_FILES:
            del self._positions[next(iter(self._positions))]
        if not self._sessions:
            self.silence_ends = math.inf
        self._ended(session.ended(now))
