"""What every request passes: a request id, the stamp of the release, and a limit on the body before anything reads it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge

FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries, part headers and the small fields around one file


class Stamp:
    """Gives each request an id and each response that id and the given headers."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["request_id"] = secrets.token_hex(8)

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = scope["request_id"]
                headers.update(self.headers)
            await send(message)

        await self.app(scope, receive, stamped)


class LimitBody:
    """Counts the body on its way in, whatever Content-Length says, and raises BodyTooLarge before anything is spooled."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.max_bytes + FORM_OVERHEAD_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        too_large = announced.isdigit() and int(announced) > limit
        read = 0

        async def counted() -> Message:
            nonlocal read
            if too_large:
                raise self._refusal()
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise self._refusal()
            return message

        await self.app(scope, counted, send)

    def _refusal(self) -> BodyTooLarge:
        return BodyTooLarge(f"the body is larger than the {self.max_bytes:,} bytes that a picture may have")
