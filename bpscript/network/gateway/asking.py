"""Asking a gateway over TFTP, and which of its keys are trusted."""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ...base.errors import FormatError, NetworkError, NotFoundError
from ..tftp.packets import DEFAULT_BLOCK_SIZE
from ..tftp.source import TftpSource
from .login import Login
from .protocol import HELLO_SIZE, KEY_SIZE, Question, Verdict

_PATIENCE_S = 12.0              # for a verdict
_GREETINGS = 3                  # a gateway that was restarted, or a key whose time was over, is greeted again
_GREET_AGAIN_S = 1.0           # a machine that asks too much is not answered
_REPETITIONS = 2                # of a request that is not answered
_AT_ONCE_S = 2.0
_PAUSES_S = (0.02, 0.05, 0.1, 0.2)      # between two looks at a question; then the last one


@dataclass(frozen=True, slots=True)
class Reply:
    """A verdict, and the key of the gateway that gave it."""

    passed: bool
    gateway_key: bytes


def ask_gateway(host: str, port: int, question: Question, trusted: bytes | None, *, random: Callable[[int], bytes] = os.urandom) -> Reply:
    """Ask a gateway whether a password is right. Raises NetworkError, FormatError (too long, or no gateway's answer)."""
    question.build()
    source = TftpSource(host, port, block_size=DEFAULT_BLOCK_SIZE, window=1, repetitions=_REPETITIONS)
    end = monotonic() + _PATIENCE_S
    for last in (False,) * (_GREETINGS - 1) + (True,):
        login = Login(question, random(KEY_SIZE), trusted)
        try:
            name = login.ask(_read(source, login.greet()))
        except NotFoundError as error:
            if last:
                raise NetworkError(f"{host}@{port} is no login gateway, or takes no questions of this machine for now") from error
            sleep(_GREET_AGAIN_S)
            continue
        with suppress(NotFoundError):
            return Reply(_verdict(source, login, name, end) is Verdict.PASSED, login.gateway_key)
    raise NetworkError("the gateway does not take the question")


def _verdict(source: TftpSource, login: Login, name: str, end: float) -> Verdict:
    looks = 0
    while monotonic() < end:
        verdict = login.hear(_read(source, name))
        if verdict is not Verdict.WAITING:
            return verdict
        sleep(_PAUSES_S[min(looks, len(_PAUSES_S) - 1)])
        looks += 1
    raise NetworkError(f"the gateway has no answer within {_PATIENCE_S:g} s")


def _read(source: TftpSource, name: str) -> bytes:
    """A small file. What breaks off at once (a packet of somebody else) is read again; that asks nothing twice."""
    began = monotonic()
    for last in (False, False, True):
        try:
            with closing(source.open(name)) as reader:
                return reader.read(HELLO_SIZE + 1)
        except NetworkError as error:
            if last or monotonic() - began > _AT_ONCE_S:
                # Without the name of the file, which tells nobody anything.
                reason = error.message.rpartition("cannot be fetched: ")[2]
                raise NetworkError(f"the login gateway {source.host}@{source.port} cannot be asked: {reason}", hint=error.hint) from error
    raise AssertionError("the last one is told")


class Pins:
    """Keys of gateways that were met, by `host@port`: a line each in a file, as ssh keeps those of its hosts.

    Where there is no file, or it cannot be written, they are kept as long as this object.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._met: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """The key of a gateway; None for a stranger. Raises FormatError for a line of that name without a key, OSError."""
        if name in self._met or self._path is None or not self._path.is_file():
            return self._met.get(name)
        for number, line in enumerate(self._path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            words = line.split()
            if words[:1] == [name]:
                key = _hex(words[1]) if len(words) == 2 else b""
                if len(key) != KEY_SIZE:
                    raise FormatError(f"{self._path}:{number}: no key for {name}; expected {2 * KEY_SIZE} hexadecimal digits")
                return key
        return None

    def put(self, name: str, key: bytes) -> bool:
        """Trust this one from now on; False when that is forgotten after this run."""
        self._met[name] = key
        if self._path is None:
            return False
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{name} {key.hex()}\n")
        except OSError:
            return False
        return True


def pins_of_user() -> Pins:
    """Those of the user who runs the script: `bpscript/gateways` in the folder of the environment variable XDG_STATE_HOME, or in ~/.local/state."""
    state = os.environ.get("XDG_STATE_HOME")
    try:
        return Pins((Path(state) if state else Path.home() / ".local" / "state") / "bpscript" / "gateways")
    except RuntimeError:        # the boot environment: nobody is at home
        return Pins(None)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
