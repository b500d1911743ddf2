"""What every request passes: an id, the stamp of the release, safe headers, its log line and metrics, and a limit on the body."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge
from service.logs import FIELDS, REQUEST_ID
from service.web.metrics import Metrics

FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries, part headers and the small fields around the files
log = logging.getLogger("service.requests")


class Account:
    """Gives each request an id and each response that id and `headers`, where the handler set no other; logs and counts it."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str], metrics: Metrics) -> None:
        self.app = app
        self.headers = headers
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, sent = time.perf_counter(), 500, 0
        scope["request_id"] = secrets.token_hex(8)
        scope["stamp"] = {**self.headers, "X-Request-Id": scope["request_id"]}
        if scope["scheme"] == "https":
            scope["stamp"]["Strict-Transport-Security"] = "max-age=31536000"
        REQUEST_ID.set(scope["request_id"])

        async def stamped(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in scope["stamp"].items():
                    headers.setdefault(name, value)
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        finally:
            seconds, route = time.perf_counter() - started, route_of(scope)
            self.metrics.answered(scope["method"] if route else "other", route or "none", status, seconds)
            about = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 1),
                "bytes": sent,
            }
            log.info("request", extra={FIELDS: about})


def route_of(scope: Scope) -> str:
    """The pattern of the route that took the request, such as /v1/runs/{id}; "" if none did."""
    route = scope.get("route")
    return getattr(route, "path", "") if route is not None else ""


class LimitBody:
    """Counts the body on its way in, whatever Content-Length says, and raises BodyTooLarge before anything is spooled.

    `limits` gives the bytes for the paths that take more than `most`. A body that may be larger and that nobody reads, as when its
    sender is refused, ends with the connection: the server would take it in for as long as it comes.
    """

    def __init__(self, app: ASGIApp, most: int, limits: Mapping[str, int]) -> None:
        self.app = app
        self.most = most
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most = self.limits.get(scope["path"], self.most)
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "0")
        too_large = announced.isdigit() and int(announced) > most
        endless = too_large or "transfer-encoding" in headers
        read = 0

        async def counted() -> Message:
            nonlocal read, endless
            if too_large:
                raise _refusal(most)
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise _refusal(most)
            endless = endless and message.get("more_body", False)
            return message

        async def ended(message: Message) -> None:
            if endless and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, counted, ended)


def _refusal(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the {most:,} bytes that are taken here")
