"""What must not appear in anything that is kept or sent: passwords that were typed, keys, and what is made of them.

Commands that handle such texts name them (`add`); whoever writes a record asks for them. Texts of one or two characters are only
masked where they are the whole of a value, since every text has them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = re.compile(r"pass|pwd|secret|token|credential", re.IGNORECASE)
SECRET_NAME = rf"[\w+-]*(?:{_NAME.pattern})[\w+-]*"        # to be looked for in scripts
_SHORTEST = 3       # characters, to be looked for inside other texts
MASK = "***"


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds something to be kept quiet."""
    return _NAME.search(name) is not None


class Secrets:
    """The secret texts of one run."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._growing: dict[str, str] = {}      # by the name of the variable
        self.is_typing = False      # whether the keys that are pressed now are secret

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __contains__(self, text: object) -> bool:
        return text in self._texts

    def add(self, *texts: str) -> None:
        """Keep these quiet."""
        self._texts.update(text for text in texts if text)

    def assign(self, name: str, text: str) -> None:
        """Keep the value of a variable quiet. One that grows key by key is one secret, not as many as it has beginnings."""
        before = self._growing.get(name)
        if before is not None and text.startswith(before):
            self._texts.discard(before)
        if text and text not in self._texts:
            self._growing[name] = text
            self._texts.add(text)

    @contextmanager
    def typing(self) -> Iterator[None]:
        """Keys pressed inside are secret."""
        self.is_typing = True
        try:
            yield
        finally:
            self.is_typing = False

    def masked(self, text: str) -> str:
        """The text with a mask in place of every secret; it does not tell how long that is."""
        if text in self._texts:
            return MASK
        for secret in sorted(self._texts, key=len, reverse=True):
            if len(secret) >= _SHORTEST and secret in text:
                text = text.replace(secret, MASK)
        return text

    def typed(self, keys: str) -> set[int]:
        """Which of the keys that were pressed spell a secret: their indices. A short secret is only looked for as a whole line."""
        found: set[int] = set()
        for secret in self._texts:
            start = keys.find(secret) if len(secret) >= _SHORTEST else -1
            while start >= 0:
                found.update(range(start, start + len(secret)))
                start = keys.find(secret, start + 1)
        for line in re.finditer(r"[^\r]+", keys):
            text = line[0]
            while text != (shorter := re.sub("[^\b]\b|^\b+", "", text)):
                text = shorter      # what was taken back
            if text in self._texts:
                found.update(range(*line.span()))
        return found

    def masked_bytes(self, data: bytes) -> bytes:
        """The same for the bytes of a file, whatever their encoding; the mask has the length of the secret, so that columns stay."""
        for secret in sorted(self._texts, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                for encoding in ("utf-8", "cp850", "latin-1", "utf-16-le"):
                    try:
                        found = secret.encode(encoding)
                    except UnicodeEncodeError:
                        continue
                    data = data.replace(found, b"*" * len(found))
        return data
