"""Unix password formats: DES crypt, `$1$` (MD5), `$5$` (SHA-256) and `$6$` (SHA-512), as `Crypt` and `Match-Passwd` use them.

The digests are libpass's; the rules for salts are language.md 8.6 and, for the `$` forms, those of crypt(5):

    DES         ss............          2 characters of salt, only the first 8 bytes of the text count
    $1$         $1$salt$hash            up to 8 characters of salt
    $5$, $6$    $5$[rounds=N$]salt$hash up to 16; N is brought into 1000 ... 999999999, without it 5000
"""

import re
from dataclasses import dataclass

from ..base.errors import FormatError

_SALT_LETTERS = re.compile(r"[./0-9A-Za-z]*\Z")
_SALT_LENGTHS = {"1": 8, "5": 16, "6": 16}      # crypt(5); more is cut off
_ROUNDS = re.compile(r"rounds=(\d{1,12})\Z")
_FEWEST_ROUNDS = 1000                           # crypt(5): fewer are raised to this
_DEFAULT_ROUNDS = 5000                          # crypt(5): without `rounds=`
# crypt(5) allows 999999999, which is a quarter of an hour of work; a password file must not be able to ask for that.
_MOST_ROUNDS = 5_000_000
_LONGEST_TEXT = 4096                            # bytes; what libpass takes


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a salt says: the method ("" for DES), the salt proper and the rounds as written (None without)."""

    method: str
    salt: str
    rounds: int | None = None

    @property
    def prefix(self) -> str:
        """What stands in front of the hash."""
        if not self.method:
            return self.salt
        rounds = "" if self.rounds is None else f"rounds={self.rounds}$"
        return f"${self.method}${rounds}{self.salt}$"


def crypt(text: bytes, salt: str) -> str:
    """`text` encrypted with `salt`, which may be a whole encrypted password too; the text ends at a NUL, as in crypt(3).

    Raises FormatError when the salt has fewer than two valid characters, is of an unknown format or asks for too much work,
    or when the text is longer than 4096 bytes.
    """
    setting = _parse(salt)
    text = text.partition(b"\0")[0]
    if not setting.method:
        text = text[:8]
    elif len(text) > _LONGEST_TEXT:
        raise FormatError(f"a password of {len(text)} bytes is too long, at most {_LONGEST_TEXT} can be encrypted")
    return setting.prefix + _digest(text, setting)


def matches(text: bytes, crypted: str) -> bool:
    """True when `text` is the password that `crypted` was made from; a `crypted` in no known format never matches.

    How long the comparison takes does not tell how much of it is equal.
    """
    from hmac import compare_digest  # noqa: PLC0415 - loads OpenSSL, which most scripts do not need

    try:
        ours = crypt(text, crypted)
    except FormatError:
        return False
    return compare_digest(ours.encode(), crypted.encode(errors="replace"))


def is_known(crypted: str) -> bool:
    """Whether an encrypted password is in a format that `matches` can compare."""
    try:
        _parse(crypted)
    except FormatError:
        return False
    return True


def _parse(salt: str) -> _Setting:
    if not salt.startswith("$"):
        letters = salt[:2]
        if len(letters) < 2 or not _SALT_LETTERS.match(letters):
            raise FormatError(f'"{salt[:2]}" is no salt: it needs two characters of a-z, A-Z, 0-9, "." and "/"')
        return _Setting("", letters)
    method, _, rest = salt[1:].partition("$")
    if method not in _SALT_LENGTHS or salt.count("$") < 2:
        raise FormatError(
            f'"${method[:8]}$" is no password format we know', hint="known are DES (two characters), $1$, $5$ and $6$"
        )
    rounds = None
    if method != "1" and rest.startswith("rounds="):
        count, _, rest = rest.partition("$")
        match = _ROUNDS.match(count)
        if match is None:
            raise FormatError(f'"{count[:24]}" is no number of rounds')
        rounds = max(int(match[1]), _FEWEST_ROUNDS)
        if rounds > _MOST_ROUNDS:
            raise FormatError(f"a salt that asks for {rounds} rounds is refused, at most {_MOST_ROUNDS} are allowed")
    letters = rest.partition("$")[0][: _SALT_LENGTHS[method]]
    if not _SALT_LETTERS.match(letters):
        raise FormatError(f'"{letters}" is no salt: it may hold a-z, A-Z, 0-9, "." and "/" only')
    return _Setting(method, letters, rounds)


def _digest(text: bytes, setting: _Setting) -> str:
    """The hash alone, in the letters of crypt(3). libpass is loaded here: it takes 50 ms."""
    if not setting.method:
        from passlib.handlers.des_crypt import des_crypt  # noqa: PLC0415

        return str(des_crypt.using(salt=setting.salt).hash(text))[2:]
    if setting.method == "1":
        from passlib.handlers.md5_crypt import md5_crypt  # noqa: PLC0415

        handler = md5_crypt.using(salt=setting.salt)
    else:
        from passlib.handlers.sha2_crypt import sha256_crypt, sha512_crypt  # noqa: PLC0415

        method = sha256_crypt if setting.method == "5" else sha512_crypt
        handler = method.using(salt=setting.salt, rounds=setting.rounds or _DEFAULT_ROUNDS)
    return str(handler.hash(text)).rpartition("$")[2]
