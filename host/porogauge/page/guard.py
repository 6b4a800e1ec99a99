"""Who may read and who may change: host, origin and token of every request; policy of answers.

    app = Guard(app, Access(token="...", local=True))

- The `Host` of a request is an address or this computer's name: a page elsewhere whose name was
  bent to this address (DNS rebinding) reaches nothing.
- What changes something needs the token, and an `Origin` that is this page's where one is sent.
- Reading needs the token only where the page is served to other computers, and not from this one.
- Answers forbid what the page does not need: foreign and inline scripts, frames, forms.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SUBPROTOCOL", "Access", "Guard"]

SUBPROTOCOL = "porogauge"  # of the WebSocket; a token follows it as a second one
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self' ws://{host}; font-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """`local`: only this computer can reach the page, so that all may read."""

    local: bool = True
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    def knows(self, token: str) -> bool:
        """Whether a token is the page's, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())


def _own(host: str) -> bool:
    """Whether a Host header names this computer, or an address: not a name of somebody else's."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    if name in (
        "localhost",
        socket.gethostname().lower(),
        f"{socket.gethostname().lower()}.local",
    ):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI around the page's application; `scope["porogauge.may_change"]` says who asks."""

    def __init__(self, app: Any, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        host = headers.get("host", "")
        may = self._access.knows(_token(scope, headers))
        refusal = self._refusal(scope, headers, host, may)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return
        scope["porogauge.may_change"] = may
        extra = [("content-security-policy", _POLICY.format(host=host)), *_HEADERS]

        async def sending(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                more = [(key.encode(), value.encode()) for key, value in extra]
                message = message | {"headers": [*message.get("headers", ()), *more]}
            await send(message)

        await self._app(scope, receive, sending)

    def _refusal(
        self, scope: dict[str, Any], headers: dict[str, str], host: str, may: bool
    ) -> tuple[int, str] | None:
        if not _own(host):
            return 421, "Host: ask for this page by the address that 'porogauge serve' printed"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "Origin: another site's page may not use this one"
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            if not may:
                return 401, "token: open the page by the address that 'porogauge serve' printed"
            if headers.get("content-type", "").partition(";")[0] != "application/json":
                return 415, "content-type: has to be application/json"
        data = scope["path"].startswith("/api/")
        if data and not may and not self._access.local and not _loopback(scope):
            return 401, "token: open the page by the address that 'porogauge serve' printed"
        return None


def _token(scope: dict[str, Any], headers: dict[str, str]) -> str:
    if scope["type"] == "websocket":
        offered = [part for part in scope.get("subprotocols", ()) if part != SUBPROTOCOL]
        return offered[0] if offered else ""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


def _loopback(scope: dict[str, Any]) -> bool:
    client = scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


async def _refuse(scope: dict[str, Any], receive: Any, send: Any, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4000 + status, "reason": why[:100]})
        return
    body = json.dumps({"error": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(key.encode(), value.encode()) for key, value in _HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
