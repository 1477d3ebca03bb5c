"""The client's half of the talk with a carousel's server: joins, says that it is still there, leaves, asks for the digests."""

import threading
from contextlib import suppress
from dataclasses import replace

from ...base.errors import NetworkError
from ..http.client import BrokenError, Fetcher, Reply
from ..http.urls import Url
from .digests import digest_length
from .talk import COMPLETE, DIGESTS, INCOMPLETE, MAX_REPLY, PATH, REPAIR, Invitation, Word


class NoCarouselError(NetworkError):
    """The file has to come another way: there is no carousel, or no place in it."""


class Membership:
    """A place in the carousel of one file. While `keep` runs in a thread the place stays ours.

    `ended` is why the place was lost, `changed` whether the file is another one now.
    """

    def __init__(self, fetcher: Fetcher, url: Url, member: str) -> None:
        """Joins. Raises NoCarouselError, NetworkError."""
        self._fetcher = fetcher
        self._url = url
        self._word = Word(url.target, member)
        self._leaving = threading.Event()
        self.ended: str | None = None
        self.changed = False
        self.invitation = self._join()

    def keep(self) -> None:
        """Say again and again that we are there, until `leave`; a server that is started again takes us in again."""
        while not self._leaving.wait(self.invitation.keep_alive_s):
            try:
                invitation = self._join()
            except BrokenError:
                continue            # who receives notices when nothing comes
            except NetworkError as error:
                self.ended = error.message
                return
            if (invitation.session, invitation.etag, invitation.size) != (self.invitation.session, self.invitation.etag, self.invitation.size):
                self.changed = True
                return

    def passed(self) -> None:
        """The carousel has passed; from now on nothing needs to be sent for us."""
        self._word = replace(self._word, state=REPAIR)
        with suppress(NetworkError):        # said again soon
            self._join()

    def stop(self) -> None:
        """End `keep`."""
        self._leaving.set()

    def leave(self, *, complete: bool, received: int, repaired: int) -> None:
        """Say how it went; a server that does not hear it finds out by itself."""
        self.stop()
        word = replace(self._word, state=COMPLETE if complete else INCOMPLETE, received=received, repaired=repaired)
        with suppress(NetworkError):
            self._say(word).close()

    def digests(self) -> bytes | None:
        """What the bytes should be; None when the server has not read the whole file yet. Raises NetworkError."""
        reply = self._say(replace(self._word, state=DIGESTS))
        if reply.status == 202:
            reply.close()
            return None
        length = digest_length(self.invitation.size)
        if reply.status != 200 or reply.field("etag") != self.invitation.etag:
            reply.close()
            if reply.status == 200:
                raise changed(self._url)
            raise NetworkError(f"{self._url}: the server answers {_shown(reply)} to a question for the digests of the file")
        found = _body(reply, length)
        if len(found) != length:
            raise NetworkError(f"{self._url}: the server sends digests of {len(found)} bytes, expected {length}")
        return found

    def _join(self) -> Invitation:
        reply = self._say(self._word)
        if reply.status != 200:
            reply.close()
            raise NoCarouselError(f"the server has no carousel for {self._url} ({_shown(reply)})")
        return Invitation.parse(_body(reply, MAX_REPLY))

    def _say(self, word: Word) -> Reply:
        return self._fetcher.fetch("POST", replace(self._url, target=PATH), {"Content-Type": "application/json"}, word.build())


def changed(url: Url) -> NetworkError:
    """The file is another one now."""
    return NetworkError(f"{url} changed on the server while it was received", hint="start again")


def _body(reply: Reply, most: int) -> bytes:
    """The body, at most one byte more than `most`."""
    buffer = memoryview(bytearray(most + 1))
    done = 0
    try:
        while done < len(buffer) and (count := reply.readinto(buffer[done:])):
            done += count
    finally:
        reply.close()
    return bytes(buffer[:done])


def _shown(reply: Reply) -> str:
    return f"{reply.status} {reply.reason}".rstrip()
