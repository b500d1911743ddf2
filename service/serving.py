"""The application on its port, until it is told to stop: the only place that knows uvicorn."""

from __future__ import annotations

import logging
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.app import build_app
from service.logs import set_up
from service.settings import Settings

# Longer than any proxy in front keeps an idle connection, so that it is never our side that closes one just as it is reused.
KEEP_ALIVE_SECONDS = 120
DRAIN_SECONDS = 30
MOST_HEADER_BYTES = 32 * 1024


class BoundedHead(HttpToolsProtocol):
    """HTTP as uvicorn speaks it with httptools, which by itself takes heads and trailers of any size into memory."""

    head, silent = 0, 0  # bytes of the address and the headers; bytes from which the parser has made nothing yet

    def data_received(self, data: bytes) -> None:
        self.silent += len(data)
        super().data_received(data)
        if self.silent > MOST_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        self.head = self.silent = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self.silent = 0
        super().on_body(body)

    def count(self, number: int) -> None:
        self.head, self.silent = self.head + number, 0
        if self.head > MOST_HEADER_BYTES:
            raise ValueError("the head is too large")  # the parser stops, and uvicorn answers 400


def serve(settings: Settings, announce: Callable[[str], None]) -> int:
    """Serve; requests under way at the end are finished first. The exit code: 3 when the model could not be loaded."""
    failures: list[int] = []
    app = build_app(settings, on_fatal=lambda: stop(3), announce=announce)
    identity = app.state.tools.identity
    set_up({"release": identity.release, "model": identity.model})
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            http=BoundedHead,
            log_config=None,
            ws="none",
        )
    )

    def stop(code: int) -> None:
        failures.append(code)
        server.should_exit = True

    logging.getLogger("service").info("serving on %s:%d", settings.host, settings.port)
    server.run()
    return failures[0] if failures else 0
