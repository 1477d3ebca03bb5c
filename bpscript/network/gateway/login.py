"""A script's side of the protocol, without sockets: three steps, each gives the name of a file to read, and takes what it holds."""

from ...base.errors import FormatError, NetworkError
from ...crypto.signatures import is_valid
from .protocol import (
    CHECK,
    HELLO,
    PERIOD_SIZE,
    Check,
    Hello,
    Keys,
    Question,
    Verdict,
    exchange_key,
    public_bytes,
    to_name,
    to_sign,
)


class UntrustedError(NetworkError):
    """The gateway's key is not the one that was expected."""


class Login:
    """One question. `seed` are 32 random bytes that nothing else uses; `trusted` is the gateway's key, None to take any."""

    def __init__(self, question: Question, seed: bytes, trusted: bytes | None = None) -> None:
        self._question = question
        self._private = exchange_key(seed)
        self._public = public_bytes(self._private)
        self._trusted = trusted
        self._keys: Keys | None = None
        self._check: Check | None = None
        self.gateway_key = b""          # of the gateway that answered; it has proved that it has the private half

    def greet(self) -> str:
        """The first file to read."""
        return HELLO + to_name(self._public)

    def ask(self, data: bytes) -> str:
        """Given the greeting, the file to read until its contents are a verdict. Raises FormatError, UntrustedError."""
        if self._keys is not None:
            raise AssertionError("a key seals one question only")
        hello = Hello.parse(data)
        if not is_valid(hello.gateway_key, to_sign(self._public, hello), hello.signature):
            raise UntrustedError("the greeting was changed on its way: its signature is wrong")
        if self._trusted is not None and hello.gateway_key != self._trusted:
            raise UntrustedError(
                f"the gateway has the key {hello.gateway_key.hex()}; expected {self._trusted.hex()}",
                hint="somebody may stand in between; if the gateway has a new key, write it into $Gateway-Key or remove the old one",
            )
        self._keys = Keys(self._private, hello.period_key, self._public, hello)
        self._check = self._keys.seal(Check(self._public, hello.period_key[:PERIOD_SIZE], hello.cookie), self._question)
        self.gateway_key = hello.gateway_key
        return CHECK + to_name(self._check.build())

    def hear(self, data: bytes) -> Verdict:
        """What the file says. Raises FormatError when it is not the gateway's answer to this question."""
        if self._keys is None or self._check is None:
            raise FormatError("an answer before the question")
        return self._keys.open_answer(self._check, data)
