"""Ids and random bytes as inputs: with a seed the same script makes the same disk, byte for byte."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class Entropy:
    """A source of random bytes; a seeded one gives the same bytes for the same sequence of requests."""

    def __init__(self, seed: str | None = None) -> None:
        self.seed = seed
        self._count = 0

    def bytes(self, length: int, purpose: str) -> bytes:
        """`length` bytes for `purpose`; two requests never share theirs."""
        if self.seed is None:
            return os.urandom(length)       # what `secrets` gives, without the 4 ms of loading OpenSSL
        import hashlib  # noqa: PLC0415 - loads OpenSSL

        self._count += 1
        key = f"{self.seed}\0{purpose}\0{self._count}".encode()
        return hashlib.shake_256(key).digest(length)

    def uuid(self, purpose: str) -> "UUID":
        """A random (version 4) UUID."""
        from uuid import UUID  # noqa: PLC0415 - slow to load

        return UUID(bytes=self.bytes(16, purpose), version=4)
