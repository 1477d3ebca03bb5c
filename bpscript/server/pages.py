"""The status page and the JSON API, by Starlette and Jinja2 (extra `serve`). The manual has the paths and keys.

    GET  /                              the page
    GET  /api/status                    version, up time, counts
    GET  /api/machines[/ADDRESS]        each machine
    GET  /api/images                    each image with its state
    POST /api/report                    what a run on a machine says of itself; concerns the line of the sender only
    POST /api/record                    the record of a run that failed on the sender
    GET  /api/machines/ADDRESS/record   the last record of a machine, for `bpscript replay`
    POST /api/machines/ADDRESS/forget   with a token
    POST /api/images/NAME/verify        with a token
"""

import hmac
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from time import time
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from ..base.errors import StorageError, UsageError
from ..base.units import format_size
from ..network.dhcp.replies import parse_mac
from .fleet import Fleet
from .next_boot import NextBoots
from .shelf import Shelf

_HEADERS = {
    "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
}


class Pages:
    """The application. `token` None: nothing can be changed over the network."""

    def __init__(
        self, fleet: Fleet, shelf: Shelf, next_boots: NextBoots, *, root: str, token: str | None, facts: Callable[[], dict[str, Any]],
        reported: Callable[[str, Mapping[str, Any]], None], clock: Callable[[], float] = time,
    ) -> None:
        self._fleet = fleet
        self._next = next_boots
        self._reported = reported
        self._shelf = shelf
        self._root = root
        self._token = token
        self._facts = facts
        self._clock = clock
        self._started = clock()
        text = (files("bpscript.server") / "status.html").read_text(encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {"size": lambda value: "" if value is None else format_size(value), "ago": self._ago}
        self._page = environment.from_string(text)
        self.application = Starlette(routes=[
            Route("/", self._status_page), Route("/api/status", self._status), Route("/api/machines", self._machines),
            Route("/api/machines/{address}", self._machine), Route("/api/images", self._images), Route("/api/report", self._report, methods=["POST"]),
            Route("/api/record", self._keep_record, methods=["POST"]), Route("/api/machines/{address}/record", self._record),
            Route("/api/machines/{address}/forget", self._forget, methods=["POST"]),
            Route("/api/machines/{address}/again", self._again, methods=["POST"]),
            Route("/api/images/{name:path}/verify", self._verify, methods=["POST"]),
        ])

    async def _status_page(self, _: Request) -> Response:
        images = await run_in_threadpool(self._shelf.images)
        text = self._page.render(machines=self._with_next(), images=images, status=self._status_facts(), root=self._root)
        return HTMLResponse(text, headers=_HEADERS)

    async def _status(self, _: Request) -> Response:
        return _json(self._status_facts())

    async def _machines(self, _: Request) -> Response:
        return _json(self._with_next())

    async def _machine(self, request: Request) -> Response:
        found = self._fleet.machine(request.path_params["address"])
        return _error(404, "there is no such machine") if found is None else _json({**found, "next": self._next_of(found["mac"])})

    async def _images(self, _: Request) -> Response:
        return _json(await run_in_threadpool(self._shelf.images))

    async def _report(self, request: Request) -> Response:
        try:
            content = json.loads(await request.body())
        except (ValueError, RecursionError):
            return _error(400, "a report is JSON")
        if not isinstance(content, dict) or request.client is None:
            return _error(400, "a report is a JSON object")
        self._fleet.report(request.client.host, content)
        try:
            await run_in_threadpool(self._reported, request.client.host, content)
        except StorageError as error:
            return _error(500, error.message)
        return Response(status_code=204)

    async def _keep_record(self, request: Request) -> Response:
        bundle = await request.body()
        if not bundle.startswith(b"PK") or request.client is None:
            return _error(400, "a record is a zip file")
        self._fleet.keep_record(request.client.host, bundle)
        return Response(status_code=204)

    async def _record(self, request: Request) -> Response:
        address = request.path_params["address"]
        found = self._fleet.record(address)
        if found is None:
            return _error(404, "there is no record of this machine")
        name = "".join(each if each.isalnum() else "-" for each in address)
        return Response(found, headers={**_HEADERS, "Content-Type": "application/zip", "Content-Disposition": f'attachment; filename="{name}.record"'})

    async def _forget(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is None and not self._fleet.forget(request.path_params["address"]):
            refused = _error(404, "there is no such machine")
        return refused or Response(status_code=204)

    async def _again(self, request: Request) -> Response:
        """Image a machine again: by its address, or its hardware address."""
        refused = self._refused(request)
        if refused is None and not await run_in_threadpool(self._next.forget, self._mac_of(request.path_params["address"])):
            refused = _error(404, "this machine boots nothing else than our boot environment as it is")
        return refused or Response(status_code=204)

    def _mac_of(self, address: str) -> bytes:
        known = self._fleet.machine(address)
        try:
            return parse_mac(address if known is None else known["mac"])
        except UsageError:
            return b""

    def _with_next(self) -> list[dict[str, Any]]:
        return [{**machine, "next": self._next_of(machine["mac"])} for machine in self._fleet.machines()]

    def _next_of(self, mac: str) -> str | None:
        """What a machine boots the next time, in words; None: our boot environment."""
        try:
            found = self._next.of(parse_mac(mac)) if mac else None
        except UsageError:
            return None
        return None if found is None else found.words

    async def _verify(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is None and not await run_in_threadpool(self._shelf.check, request.path_params["name"]):
            refused = _error(404, "there is no such image, or too many wait to be checked")
        return refused or Response(status_code=202)

    def _refused(self, request: Request) -> Response | None:
        """Why this request may change nothing; None when it may."""
        if self._token is None:
            return _error(403, "nothing can be changed here: the server was started without BPSCRIPT_TOKEN")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return JSONResponse({"error": "a token is needed: Authorization: Bearer TOKEN"}, 401, {**_HEADERS, "WWW-Authenticate": "Bearer"})
        return None

    def _status_facts(self) -> dict[str, Any]:
        return {"version": __version__, "started": self._started, "uptime": round(self._clock() - self._started, 3), **self._facts()}

    def _ago(self, moment: float | None) -> str:
        if moment is None:
            return ""
        seconds = max(0, int(self._clock() - moment))
        for limit, unit, length in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
            if seconds < limit:
                return f"{seconds // length} {unit} ago"
        return f"{seconds // 86_400} days ago"


def _json(value: object) -> Response:
    return JSONResponse(value, headers=_HEADERS)


def _error(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status, _HEADERS)
