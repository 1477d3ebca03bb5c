"""Pages made by an ASGI application (Starlette), for our own server: a request in, an answer out, in a thread with an event loop.

There is no second HTTP server in between: our core has read the request already, and sends what comes back. Answers are collected
whole, which is right for pages; files never come this way. Source: the ASGI specification 3.0, "HTTP".
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from ..network.http.message import Answer, Request, text_answer
from ..network.http.server import Later

Message = MutableMapping[str, Any]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

MAX_AT_ONCE = 100       # requests
MAX_ANSWER = 32 << 20   # bytes
_SERVER_ERROR = text_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "the page cannot be made; the log says why")


class AsgiBridge:
    """Runs an application. `mistake` gets what it raises; `close` ends what is under way."""

    def __init__(self, application: Application, mistake: Callable[[Exception], None]) -> None:
        self._application = application
        self._mistake = mistake
        self._loop = asyncio.new_event_loop()
        self._running = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="pages", daemon=True)
        self._thread.start()

    def answer(self, request: Request, peer: str) -> Answer | Later:
        """The answer to a request, later."""
        if self._running >= MAX_AT_ONCE:
            return text_answer(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are being made", {"Retry-After": "1"})
        self._running += 1

        def later(give: Callable[[Answer], None]) -> None:
            asyncio.run_coroutine_threadsafe(self._answer(request, peer, give), self._loop)

        return later

    def close(self) -> None:
        """End the thread."""

        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._loop.shutdown_default_executor()
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join()
        self._loop.close()

    async def _answer(self, request: Request, peer: str, give: Callable[[Answer], None]) -> None:
        status, fields, pieces, size = HTTPStatus.INTERNAL_SERVER_ERROR, dict[str, str](), list[bytes](), 0
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                await asyncio.sleep(3600)       # until it is cancelled: the peer says nothing more
            asked = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, fields, size
            if message["type"] == "http.response.start":
                status = HTTPStatus(message["status"])
                found = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in message.get("headers", ())}
                found.pop("Connection", None)
                fields = found
            else:
                size += len(message.get("body", b""))
                if size > MAX_ANSWER:
                    raise ValueError(f"a page has more than {MAX_ANSWER} bytes")
                pieces.append(message.get("body", b""))

        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": request.method, "scheme": "http",
            "path": request.path.decode("utf-8", "replace"), "raw_path": request.path, "query_string": request.query, "root_path": "",
            "headers": [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.fields.items()],
            "client": (peer, 0), "server": None,
        }
        answer = _SERVER_ERROR
        try:
            await self._application(scope, receive, send)
            answer = Answer(status, fields, b"".join(pieces))
        except Exception as error:      # a page that cannot be made costs one answer, not the server
            self._mistake(error)
        finally:
            self._running -= 1
            give(answer)
