"""What must not appear in anything that is kept or sent: passwords that were typed, keys, and what is made of them.

Commands that handle such texts name them (`add`); whoever writes a record asks for them. Texts of one or two characters are only
masked where they are the whole of a value, since every text has them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

_NAME = re.compile(r"pass|pwd|secret|token|credential", re.IGNORECASE)
_SHORTEST = 3       # characters, to be looked for inside other texts
MASK = "***"


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds something to be kept quiet."""
    return _NAME.search(name) is not None


class Secrets:
    """The secret texts of one run."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self.is_typing = False      # whether the keys that are pressed now are secret

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def add(self, *texts: str) -> None:
        """Keep these quiet."""
        self._texts.update(text for text in texts if text)

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
