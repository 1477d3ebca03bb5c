"""The gateway's side of the protocol, without sockets, threads and user bases: names of files in, bytes and questions out.

    hello    nothing is kept: the answer follows from the key of the period and the client's address
    check    the first time: opened, throttled, and asked of a user base (`take` gives it out); the same bytes again: how it stands
             any other bytes by the same key of a client: not answered

    period 1 |---- current ----|---- still valid ----|
    period 2                   |---- current --------|---- still valid ----|

A question is remembered as long as the key that it was sealed for, so that none is ever asked twice; then it cannot be opened.
A failure is told a second after the question, or whole seconds after it when the user base took longer: neither its words nor
its moment tell what was wrong.
"""

import hmac
import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from ...base.errors import FormatError
from ...crypto.signatures import PrivateKey
from .protocol import (
    CHECK,
    COOKIE_SIZE,
    HELLO,
    KEY_SIZE,
    PERIOD_SIZE,
    Check,
    Hello,
    Keys,
    Question,
    Verdict,
    exchange_key,
    from_name,
    public_bytes,
    to_sign,
)
from .throttle import Buckets


class Outcome(StrEnum):
    """What a user base says."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"         # it gave no answer: no attempt was made, so none is counted


@dataclass(frozen=True, slots=True)
class Limits:
    """What a gateway takes upon itself, whatever is sent to it."""

    period_s: float = 60.0              # a key is used that long, and answered for as long again
    failure_s: float = 1.0              # failures are told at multiples of this
    patience_s: float = 8.0             # a user base that has not answered then has failed
    requests: int = 4096                # of a period
    waiting: int = 256                  # questions that user bases have not answered
    user_attempts: float = 5            # failures of a user before waiting ...
    user_refill_s: float = 12.0         # ... that long for each more
    machine_attempts: float = 10
    machine_refill_s: float = 6.0
    machine_work: float = 30            # greetings of a machine at once, and then
    machine_work_s: float = 0.2         # one every so many seconds
    work: float = 300                   # of all machines together
    work_s: float = 0.004
    mistakes: float = 10                # questions of a machine that cannot be opened, and lines of the log about it, and then
    mistakes_s: float = 1.0             # one every so many seconds


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for a user base; `answer` takes what it says, under that number."""

    number: int
    machine: str
    question: Question


@dataclass(frozen=True, slots=True)
class Told:
    """For the log: an answer was found. `user` and `domain` are empty where the question could not be read."""

    machine: str
    user: str
    domain: str
    passed: bool
    reason: str = ""


@dataclass(slots=True)
class _Request:
    check: Check
    keys: Keys
    question: Question
    machine: str
    asked: float
    number: int = 0
    verdict: Verdict = Verdict.WAITING
    tell_at: float = math.inf


class _Period:
    """A key of the gateway, and what was asked under it."""

    def __init__(self, random: Callable[[int], bytes], started: float) -> None:
        self.private = exchange_key(random(32))
        self.key = public_bytes(self.private)
        self.cookie_secret = random(32)
        self.started = started
        self.requests: dict[bytes, _Request] = {}       # by the client's key


class Gateway:
    """All clients of a gateway. `random(n)` gives n random bytes."""

    def __init__(self, key: PrivateKey, random: Callable[[int], bytes], limits: Limits | None = None) -> None:
        self.key = key
        self.limits = limits or Limits()
        self._random = random
        self._current: _Period | None = None
        self._previous: _Period | None = None
        self._asked: dict[int, _Request] = {}
        self._count = 0
        self._out: list[Ask | Told] = []
        most = self.limits
        self._users = Buckets(most.user_attempts, most.user_refill_s)
        self._machines = Buckets(most.machine_attempts, most.machine_refill_s)
        self._work = Buckets(most.machine_work, most.machine_work_s)
        self._all_work = Buckets(most.work, most.work_s)
        self._mistakes = Buckets(most.mistakes, most.mistakes_s)
        self._lines = Buckets(most.mistakes, most.mistakes_s)

    @property
    def waiting(self) -> int:
        """How many questions have no answer yet."""
        return len(self._asked)

    def take(self) -> list[Ask | Told]:
        """What is to be asked and written since the last call."""
        out, self._out = self._out, []
        return out

    def read(self, name: str, machine: str, now: float) -> bytes | None:
        """The answer to a file name; None for what is not answered: there is no such file."""
        self._roll(now)
        self.expire(now)
        try:
            if name.startswith(HELLO):
                return self._hello(from_name(name[len(HELLO) :]), machine, now)
            if name.startswith(CHECK):
                return self._check(Check.parse(from_name(name[len(CHECK) :])), machine, now)
        except FormatError as error:
            if self._lines.take(machine, now):
                self._out.append(Told(machine, "", "", passed=False, reason=error.message))
        return None

    def answer(self, number: int, outcome: Outcome, reason: str, now: float) -> None:
        """What a user base says; nothing happens when it is too late."""
        request = self._asked.pop(number, None)
        if request is None:
            return
        if outcome is not Outcome.FAILED:
            self._users.give_back(_who(request.question), now)
            self._machines.give_back(request.machine, now)
        self._decide(request, outcome is Outcome.PASSED, reason, now)

    def expire(self, now: float) -> None:
        """Give up user bases that do not answer."""
        while self._asked:
            number, request = next(iter(self._asked.items()))       # the oldest first
            if now - request.asked < self.limits.patience_s:
                return
            self.answer(number, Outcome.UNKNOWN, f"no answer within {self.limits.patience_s:g} s", now)

    # --- the two requests --------------------------------------------------------------------------------------------

    def _hello(self, client_key: bytes, machine: str, now: float) -> bytes | None:
        if len(client_key) != KEY_SIZE:
            raise FormatError("a greeting without a key")
        if not (self._work.take(machine, now) and self._all_work.take("", now)):
            return None
        assert self._current is not None
        hello = self._greeting(self._current, client_key, machine)
        return Hello(hello.gateway_key, hello.period_key, hello.cookie, self.key.sign(to_sign(client_key, hello))).build()

    def _check(self, check: Check, machine: str, now: float) -> bytes | None:
        period = next((each for each in (self._current, self._previous) if each is not None and each.key[:PERIOD_SIZE] == check.period), None)
        if period is None:
            raise FormatError("a question of another time: repeated, or too slow")
        hello = self._greeting(period, check.client_key, machine)
        if not hmac.compare_digest(hello.cookie, check.cookie):
            raise FormatError("a question that was made for another machine")
        request = period.requests.get(check.client_key)
        if request is None:
            # The greeting was counted, and is good for one question; only what cannot be opened costs more.
            if not self._mistakes.has(machine, now):
                return None
            try:
                keys = Keys(period.private, check.client_key, check.client_key, hello)
                request = _Request(check, keys, keys.open(check), machine, now)
            except FormatError:
                self._mistakes.take(machine, now)
                raise
            if len(period.requests) >= self.limits.requests:
                self._out.append(Told(machine, request.question.user, request.question.domain, passed=False, reason="too many questions"))
                return None
            period.requests[check.client_key] = request
            self._begin(request, now)
        elif request.check != check:
            raise FormatError("a second question by the same key")
        verdict = request.verdict if now >= request.tell_at else Verdict.WAITING
        return request.keys.seal_answer(check, verdict, self._random(24))

    def _begin(self, request: _Request, now: float) -> None:
        question = request.question
        if not question.user or not question.password:
            return self._decide(request, False, "no user or no password", now)
        if any(not each.isprintable() for each in question.user + question.domain) or question.user != question.user.strip() or "\0" in question.password:
            return self._decide(request, False, "a name that is none", now)
        if len(self._asked) >= self.limits.waiting:
            return self._decide(request, False, "too many questions wait", now)
        who = _who(question)
        if not self._machines.take(request.machine, now):
            return self._decide(request, False, "too many failures of this machine", now)
        if not self._users.take(who, now):
            self._machines.give_back(request.machine, now)
            return self._decide(request, False, "too many failures of this user", now)
        self._count += 1
        request.number = self._count
        self._asked[self._count] = request
        self._out.append(Ask(self._count, request.machine, question))
        return None

    def _decide(self, request: _Request, passed: bool, reason: str, now: float) -> None:
        request.verdict = Verdict.PASSED if passed else Verdict.FAILED
        steps = max(1, math.ceil((now - request.asked) / self.limits.failure_s))
        request.tell_at = now if passed else request.asked + steps * self.limits.failure_s
        self._out.append(Told(request.machine, request.question.user, request.question.domain, passed, reason))
        # The password is needed no more.
        request.question = Question(request.question.user, request.question.domain, "")

    # --- periods -----------------------------------------------------------------------------------------------------

    def _roll(self, now: float) -> None:
        if self._current is None or now - self._current.started >= self.limits.period_s:
            is_recent = self._current is not None and now - self._current.started < 2 * self.limits.period_s
            self._previous = self._current if is_recent else None
            self._current = _Period(self._random, now)

    def _greeting(self, period: _Period, client_key: bytes, machine: str) -> Hello:
        """What was or will be said to a client, without the signature."""
        cookie = hmac.digest(period.cookie_secret, client_key + machine.encode("utf-8", "replace"), "sha256")[:COOKIE_SIZE]
        return Hello(self.key.public, period.key, cookie)


def _who(question: Question) -> tuple[str, str]:
    return question.domain.casefold(), plain_name(question.user)


def plain_name(user: str) -> str:
    r"""A user's name for comparisons: the spellings that one user base or another takes for the same (JOE, LAB\joe, joe@lab)."""
    text = unicodedata.normalize("NFKC", user).casefold()
    text = " ".join(text.split())
    return text.rpartition("\\")[2].partition("@")[0].strip() or text
