"""The page's application: addresses, answers as JSON, live windows over a WebSocket.

Work on the database is done in threads; live windows go to every page that is open. A page that
cannot keep up is told only of the newest, and how many it was spared.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from .. import __version__
from ..errors import DeviceError, PorogaugeError, UsageError
from ..keys import KeyDenied
from . import libraries, views
from .answers import Answers
from .changes import Changes
from .feed import Feed
from .guard import SUBPROTOCOL, Access, Guard
from .statistics import Statistics

__all__ = ["Live", "application"]

_STATIC = Path(__file__).with_name("static")
_BEHIND = 20  # messages that a page may be behind before it is spared some
_BODY = 16_384  # bytes of a request


class Live:
    """Hands live windows to every open page; `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queues: set[asyncio.Queue[dict[str, Any]]] = set()

    def tell(self, device: str, windows: list[dict[str, Any]]) -> None:
        """Tell of new windows of a device, oldest first."""
        loop = self._loop
        if loop is not None and self._queues and not loop.is_closed():
            loop.call_soon_threadsafe(self._put, {"device": device, "windows": windows})

    def _put(self, message: dict[str, Any]) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    async def serve(self, socket: WebSocket) -> None:
        """One page, until it goes."""
        self._loop = asyncio.get_running_loop()
        offered = socket.scope.get("subprotocols", ())
        await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_BEHIND)
        self._queues.add(queue)
        gone = asyncio.ensure_future(_gone(socket))
        try:
            while not gone.done():
                get = asyncio.ensure_future(queue.get())
                await asyncio.wait((get, gone), return_when=asyncio.FIRST_COMPLETED)
                if not get.done():
                    get.cancel()
                    break
                await socket.send_text(_json(get.result()))
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._queues.discard(queue)
            gone.cancel()


async def _gone(socket: WebSocket) -> None:
    """Ends when the page goes; what it sends is not listened to."""
    try:
        while True:
            await socket.receive_text()
    except (WebSocketDisconnect, RuntimeError, KeyError):
        return


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


class _Api:
    """Requests become calls, errors become statuses."""

    def __init__(self, feed: Feed, answers: Answers, changes: Changes) -> None:
        self._feed = feed
        self._answers = answers
        self._changes = changes
        self._statistics = Statistics(feed.reader.path)
        self._quick = ThreadPoolExecutor(2, "page")
        self._slow = ThreadPoolExecutor(1, "page-slow")

    def routes(self) -> list[Route]:
        a = self._answers
        slow = {
            "verdict": lambda q: a.verdict(_need(q, "roll")),
            "lab": lambda q: a.laboratory(_need(q, "roll")),
            "statistics": lambda q: self._statistics.of(
                q.get("roll"), a.device(q.get("device")), q.get("value", "thickness")
            ),
        }
        quick = {
            "now": lambda q: a.now(q.get("device")),
            "lines": lambda q: a.lines(q.get("device")),
            "rolls": lambda q: {"rolls": a.rolls(q.get("search", ""))},
            "history": lambda q: {"history": a.history()},
            "gauge": lambda q: a.gauge(q.get("device")),
            "trend": self._trend,
            "map": self._map,
        }
        return [
            Route(f"/api/{name}", partial(self._get, job, pool))
            for jobs, pool in ((quick, self._quick), (slow, self._slow))
            for name, job in jobs.items()
        ] + [
            Route("/api/access", self._access),
            Route("/api/{what:path}", self._post, methods=["POST"]),
        ]

    def _place(self, query: Any) -> views.Place:
        roll = self._answers.roll(query.get("roll"))
        device = roll.device if roll else self._answers.device(query.get("device"))
        return views.place_of(self._feed, device, roll)

    def _trend(self, query: Any) -> dict[str, Any]:
        return views.trend(
            self._feed,
            self._place(query),
            query.get("axis", "metres"),
            _number(query, "from"),
            _number(query, "to"),
            int(_number(query, "columns") or 1000),
        )

    def _map(self, query: Any) -> bytes:
        return views.roll_map(
            self._feed,
            self._place(query),
            query.get("axis", "metres"),
            _number(query, "from"),
            _number(query, "row") or 100.0,
            int(_number(query, "rows") or 100),
            int(_number(query, "columns") or 500),
            query.get("value", "thickness"),
            query.get("what", "mean"),
        )

    async def _get(
        self, job: Callable[[Any], Any], pool: ThreadPoolExecutor, request: Request
    ) -> Response:
        return await self._done(pool, partial(job, request.query_params))

    async def _access(self, request: Request) -> Response:
        return JSONResponse(
            {
                "may_change": request.scope["porogauge.may_change"],
                "version": __version__,
                "libraries": libraries.missing(),
            }
        )

    async def _post(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _BODY:
                return JSONResponse({"error": f"more than {_BODY} bytes"}, 413)
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            return JSONResponse({"error": "the request has to be a JSON object"}, 400)
        what = request.path_params["what"]
        return await self._done(self._slow, partial(self._changes.do, what, fields))

    async def _done(self, pool: ThreadPoolExecutor, job: Callable[[], Any]) -> Response:
        try:
            found = await asyncio.get_running_loop().run_in_executor(pool, job)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        except KeyDenied as error:
            return JSONResponse({"error": str(error)}, 403)
        except DeviceError as error:
            return JSONResponse({"error": str(error)}, 409)
        except PorogaugeError as error:
            return JSONResponse({"error": str(error)}, 422)
        if isinstance(found, bytes):
            return Response(found, media_type="application/octet-stream")
        return Response(_json(_finite(found)), media_type="application/json")


def _finite(value: Any) -> Any:
    """Without the numbers that JSON has not: they are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def _need(query: Any, name: str) -> str:
    value = query.get(name)
    if not value:
        raise UsageError(f"{name}: is missing")
    return value


def _number(query: Any, name: str) -> float | None:
    text = query.get(name)
    if text in (None, ""):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name}: {text[:40]!r} is not a number")
    return value


def application(feed: Feed, live: Live, answers: Answers, changes: Changes, access: Access) -> Any:
    """The ASGI application, guarded."""

    async def index(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html")

    async def library(request: Request) -> Response:
        file = libraries.FILES.get(request.path_params["name"])
        path = libraries.folder() / "node_modules" / file if file else None
        if path is None or not path.is_file():
            return JSONResponse({"error": libraries.missing()}, 404)
        return FileResponse(path)

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/library/{name}", library),
            WebSocketRoute("/api/live", live.serve),
            *_Api(feed, answers, changes).routes(),
        ]
    )
    app.mount("/static", StaticFiles(directory=_STATIC))
    return Guard(app, access)
