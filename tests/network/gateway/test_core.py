"""The gateway's protocol without a network: what is asked, and what whoever stands in between can do about it: nothing.

Invariant of the fuzz tests: whatever arrives, `read` answers with bytes or with None, a user base is asked only what a client asked, and
a client hears PASSED only when its own question was answered so.
"""

from collections.abc import Callable
from hashlib import shake_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpscript.base.errors import FormatError
from bpscript.crypto.signatures import PrivateKey, new_private_key
from bpscript.network.gateway.core import Ask, Gateway, Limits, Outcome, Told, plain_name
from bpscript.network.gateway.login import Login, UntrustedError
from bpscript.network.gateway.protocol import (
    CHECK,
    CHECK_SIZE,
    HELLO,
    HELLO_SIZE,
    MAX_TEXT,
    Check,
    Question,
    Verdict,
    from_name,
    to_name,
)
from bpscript.network.gateway.throttle import Buckets

KEY = new_private_key()
JOE = Question("joe", "Unix", "justdoit")
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def randomness(seed: bytes) -> Callable[[int], bytes]:
    """Bytes that are the same in every run, and new with every call."""
    count = iter(range(1 << 30))
    return lambda length: shake_256(seed + next(count).to_bytes(4, "big")).digest(length)


class House:
    """A gateway with one user base, and clients that reach it from addresses of their own."""

    def __init__(self, key: PrivateKey = KEY, limits: Limits | None = None) -> None:
        self.core = Gateway(key, randomness(b"gateway"), limits)
        self.seeds = randomness(b"clients")
        self.asked: list[Question] = []
        self.told: list[Told] = []
        self.now = 1000.0

    def read(self, name: str, machine: str = "10.0.0.5") -> bytes | None:
        answer = self.core.read(name, machine, self.now)
        self.work()
        return answer

    def work(self) -> None:
        while actions := self.core.take():
            for action in actions:
                if isinstance(action, Ask):
                    self.asked.append(action.question)
                    is_right = (action.question.user, action.question.password) == ("joe", "justdoit")
                    self.core.answer(action.number, Outcome.PASSED if is_right else Outcome.FAILED, "", self.now)
                else:
                    self.told.append(action)

    def prepare(self, question: Question = JOE, machine: str = "10.0.0.5", trusted: bytes | None = None) -> tuple[Login, str]:
        login = Login(question, self.seeds(32), trusted)
        hello = self.read(login.greet(), machine)
        assert hello is not None
        return login, login.ask(hello)

    def verdict(self, question: Question = JOE, machine: str = "10.0.0.5") -> Verdict:
        login, name = self.prepare(question, machine)
        for _ in range(3):
            answer = self.read(name, machine)
            if answer is None:
                return Verdict.WAITING
            if (verdict := login.hear(answer)) is not Verdict.WAITING:
                return verdict
            self.now += 1.0
        return Verdict.WAITING


def test_right_and_wrong() -> None:
    house = House()
    assert house.verdict() is Verdict.PASSED
    assert house.verdict(Question("joe", "Unix", "wrong")) is Verdict.FAILED
    assert [(each.user, each.passed) for each in house.told] == [("joe", True), ("joe", False)]
    assert "justdoit" not in repr(house.asked)


def test_a_failure_is_told_at_whole_seconds_and_a_success_at_once() -> None:
    house = House()
    login, name = house.prepare(Question("joe", "Unix", "wrong"))
    for later, expected in ((0.0, Verdict.WAITING), (0.99, Verdict.WAITING), (1.0, Verdict.FAILED), (50.0, Verdict.FAILED)):
        house.now = 1000.0 + later
        answer = house.read(name)
        assert answer is not None
        assert login.hear(answer) is expected
    house = House()
    login, name = house.prepare()
    house.read(name)
    answer = house.read(name)
    assert answer is not None
    assert login.hear(answer) is Verdict.PASSED


def test_a_question_is_asked_once_however_often_it_comes() -> None:
    house = House()
    _, name = house.prepare()
    answers = {house.read(name) for _ in range(5)}
    assert len(house.asked) == 1
    assert len(answers) == 5        # each sealed anew


def test_a_question_repeated_from_another_machine_or_later_is_not_answered() -> None:
    house = House()
    _, name = house.prepare()
    assert house.read(name, "10.0.0.66") is None
    assert house.read(name) is not None
    house.now += 121
    assert house.read(name) is None
    assert len(house.asked) == 1
    assert [each.reason for each in house.told if each.reason] == [
        "a question that was made for another machine", "a question of another time: repeated, or too slow",
    ]


def test_a_question_of_the_period_before_is_answered() -> None:
    house = House()
    login, name = house.prepare()
    house.now += 70
    house.read(name)
    answer = house.read(name)
    assert answer is not None
    assert login.hear(answer) is Verdict.PASSED
    house.now += 60
    assert house.read(name) is None


def test_a_second_question_by_the_same_key_is_not_answered() -> None:
    house = House()
    seed = bytes(range(32))
    first, second = Login(JOE, seed), Login(Question("joe", "Unix", "other"), seed)
    hello = house.read(first.greet())
    assert hello is not None
    assert house.read(first.ask(hello)) is not None
    assert house.read(second.ask(hello)) is None
    assert len(house.asked) == 1


@given(at=st.integers(0, CHECK_SIZE - 1), bit=st.integers(0, 7))
def test_a_changed_question_is_not_asked(at: int, bit: int) -> None:
    house = House()
    _, name = house.prepare()
    data = bytearray(from_name(name[len(CHECK) :]))
    data[at] ^= 1 << bit
    assert house.read(CHECK + to_name(bytes(data))) is None
    assert house.asked == []
    assert [(each.user, each.passed) for each in house.told] == [("", False)]
    assert house.read(name) is not None     # and does not spoil the right one


@given(at=st.integers(0, HELLO_SIZE - 1), bit=st.integers(0, 7))
def test_a_changed_greeting_is_refused(at: int, bit: int) -> None:
    house = House()
    login = Login(JOE, house.seeds(32))
    hello = bytearray(house.read(login.greet()) or b"")
    hello[at] ^= 1 << bit
    with pytest.raises((FormatError, UntrustedError)):
        login.ask(bytes(hello))


@given(data=st.data())
def test_a_changed_answer_is_refused(data: st.DataObject) -> None:
    house = House()
    login, name = house.prepare()
    answer = bytearray(house.read(name) or b"")
    at = data.draw(st.integers(0, len(answer) - 1))
    answer[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(FormatError):
        login.hear(bytes(answer))
    with pytest.raises(FormatError):
        login.hear(bytes(answer[: data.draw(st.integers(0, len(answer) - 1))]))


def test_the_answer_to_another_question_is_refused() -> None:
    house = House()
    good, good_name = house.prepare()
    bad, bad_name = house.prepare(Question("joe", "Unix", "wrong"))
    for name in (good_name, bad_name):
        house.read(name)
    passed = house.read(good_name)
    assert passed is not None
    assert good.hear(passed) is Verdict.PASSED
    with pytest.raises(FormatError):
        bad.hear(passed)


def test_the_greeting_to_another_client_is_refused() -> None:
    house = House()
    hello = house.read(Login(JOE, house.seeds(32)).greet())
    assert hello is not None
    with pytest.raises(UntrustedError, match="signature is wrong"):
        Login(JOE, house.seeds(32)).ask(hello)


def test_a_stranger_in_between_is_refused_where_the_key_is_known() -> None:
    stranger = House(new_private_key())
    with pytest.raises(UntrustedError, match="expected"):
        stranger.prepare(trusted=KEY.public)
    assert stranger.asked == []


@given(st.one_of(st.text(max_size=700), st.builds(lambda data: CHECK + to_name(data), st.binary(max_size=400)), st.builds(lambda data: HELLO + to_name(data), st.binary(max_size=40))))
def test_any_name_is_answered_or_not(name: str) -> None:
    house = House()
    house.read(name)
    assert house.asked == []


@given(st.binary(min_size=CHECK_SIZE, max_size=CHECK_SIZE))
def test_any_question_of_the_right_size_with_a_right_cookie_is_opened_or_refused(junk: bytes) -> None:
    house = House()
    _, name = house.prepare()
    real = Check.parse(from_name(name[len(CHECK) :]))
    assert house.read(CHECK + to_name(Check(real.client_key, real.period, real.cookie, junk[56:]).build())) is None
    assert house.asked == []


@given(texts, texts, texts)
def test_a_question_survives(user: str, domain: str, password: str) -> None:
    question = Question(user, domain, password)
    if sum(len(each.encode()) for each in (user, domain, password)) > MAX_TEXT:
        with pytest.raises(FormatError, match="at most 253"):
            question.build()
    else:
        assert Question.parse(question.build()) == question


@given(st.binary(max_size=300))
def test_any_bytes_are_a_question_or_none(data: bytes) -> None:
    try:
        question = Question.parse(data)
    except FormatError:
        return
    assert question.build() == data.ljust(256, b"\0") or len(data) != 256


def test_failures_of_a_user_are_throttled_from_all_machines_and_only_his() -> None:
    house = House()
    for number in range(5):
        assert house.verdict(Question("Joe", "unix", "wrong"), f"10.0.1.{number}") is Verdict.FAILED
    assert house.verdict(JOE, "10.0.2.1") is Verdict.FAILED
    assert house.told[-1].reason == "too many failures of this user"
    assert house.asked[-1].password == "wrong"
    house.verdict(Question("ann", "Unix", "x"), "10.0.2.1")
    assert house.asked[-1].user == "ann"
    house.now += 12
    assert house.verdict(JOE, "10.0.2.1") is Verdict.PASSED


def test_failures_of_a_machine_are_throttled() -> None:
    house = House()
    for number in range(12):
        house.now -= 1.0        # failures take a second each
        house.verdict(Question(f"user{number}", "Unix", "x"))
    assert len(house.asked) in {10, 11}
    assert house.told[-1].reason == "too many failures of this machine"
    assert house.verdict(machine="10.0.0.6") is Verdict.PASSED


def test_successes_are_not_counted() -> None:
    house = House()
    for _ in range(40):
        assert house.verdict() is Verdict.PASSED
        house.now += 0.5


def test_a_user_base_without_an_answer_is_given_up_and_comes_too_late() -> None:
    core = Gateway(KEY, randomness(b"gateway"))
    login = Login(JOE, bytes(32))
    name = login.ask(core.read(login.greet(), "a", 0.0) or b"")
    assert login.hear(core.read(name, "a", 0.0) or b"") is Verdict.WAITING
    (ask,) = core.take()
    assert isinstance(ask, Ask)
    core.expire(8.0)
    core.answer(ask.number, Outcome.PASSED, "", 8.1)
    assert login.hear(core.read(name, "a", 8.1) or b"") is Verdict.FAILED
    assert [(each.passed, each.reason) for each in core.take() if isinstance(each, Told)] == [(False, "no answer within 8 s")]
    assert core.waiting == 0


@pytest.mark.parametrize(("question", "reason"), [
    (Question("", "Unix", "x"), "no user or no password"), (Question("joe", "Unix", ""), "no user or no password"),
    (Question(" joe", "Unix", "x"), "a name that is none"), (Question("joe\n", "Unix", "x"), "a name that is none"),
    (Question("joe", "Un\x1bix", "x"), "a name that is none"), (Question("joe", "Unix", "a\0b"), "a name that is none"),
], ids=["no-user", "no-password", "blank", "newline", "escape", "zero"])
def test_what_no_user_base_is_asked(question: Question, reason: str) -> None:
    house = House()
    assert house.verdict(question) is Verdict.FAILED
    assert house.asked == []
    assert house.told[-1].reason == reason


def test_state_is_bounded_whatever_comes() -> None:
    limits = Limits(requests=20, waiting=5)
    core = Gateway(KEY, randomness(b"gateway"), limits)
    seeds = randomness(b"clients")
    answered = 0
    for number in range(60):
        login = Login(Question(f"u{number}", "Unix", "x"), seeds(32))
        name = login.ask(core.read(login.greet(), f"m{number}", 0.0) or b"")
        answered += core.read(name, f"m{number}", 0.0) is not None
        assert core.waiting <= 5
    assert answered == 20


def test_a_machine_that_floods_is_not_answered_for_a_while() -> None:
    house = House()
    found = [house.read(Login(JOE, house.seeds(32)).greet()) is not None for _ in range(50)]
    assert found == [True] * 30 + [False] * 20
    assert house.verdict(machine="10.0.0.9") is Verdict.PASSED
    house.now += 1
    assert house.read(Login(JOE, house.seeds(32)).greet()) is not None


def test_a_greeting_is_good_for_a_question_however_busy_the_machine_is() -> None:
    house = House()
    prepared = [house.prepare() for _ in range(30)]
    assert house.read(Login(JOE, house.seeds(32)).greet()) is None
    assert all(house.read(name) is not None for _, name in prepared)


def test_questions_that_cannot_be_opened_cost_a_bounded_amount_of_work() -> None:
    house = House()
    _, name = house.prepare()
    real = Check.parse(from_name(name[len(CHECK) :]))
    for number in range(100):
        junk = Check(real.client_key, real.period, real.cookie, bytes([number]) * len(real.sealed))
        assert house.read(CHECK + to_name(junk.build())) is None
    assert len(house.told) == 10
    assert house.read(name) is None
    house.now += 1
    assert house.read(name) is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 5), st.booleans()), max_size=60))
def test_buckets_are_those_of_the_model(steps: list[tuple[str, float, bool]]) -> None:
    """Against one number per name that fills with time."""
    buckets, now = Buckets(3, 2.0, entries=10), 0.0
    level = dict.fromkeys("abc", 3.0)
    for name, wait, back in steps:
        now += wait
        level = {each: min(3.0, value + wait / 2.0) for each, value in level.items()}
        if back:
            buckets.give_back(name, now)
            level[name] = min(3.0, level[name] + 1)
        elif abs(level[name] - 1) > 1e-6:
            assert buckets.take(name, now) is (level[name] >= 1)
            level[name] -= level[name] >= 1
        assert len(buckets) <= 10


def test_buckets_keep_a_bounded_number_of_names() -> None:
    buckets = Buckets(1, 60.0, entries=100)
    assert all(buckets.take(number, 0.0) for number in range(1000))
    assert len(buckets) == 100
    assert not buckets.take(999, 0.0)


@pytest.mark.parametrize("user", ["joe", "JOE", "LAB\\joe", "joe@lab.example.org", " joe ", "ｊｏｅ"], ids=["plain", "upper", "domain", "realm", "blanks", "wide"])
def test_spellings_of_a_user(user: str) -> None:
    assert plain_name(user) == "joe"
