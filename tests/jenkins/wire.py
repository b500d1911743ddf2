"""How the double of a Jenkins speaks HTTP: what comes and goes, its error pages as the real ones are, and faults on the way."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit

HTML = "text/html;charset=utf-8"


@dataclass
class Request:
    """One that came: `path` is as it was sent, without the query."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    address: str  # with the query, for what must not stand in it
    port: int = 0  # that it came from, which is its connection

    @property
    def form(self) -> dict[str, str]:
        kind = self.headers.get("content-type", "")
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True)) if kind.startswith("application/x-www-form") else {}


@dataclass
class Reply:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Fault:
    """What happens to the next `times` requests whose path has `part`: `after` the work was done, or in place of it.

    `kind`: `answer` with `status`, `reset` the connection, `slow` by `seconds`, or `truncate` the body.
    """

    part: str
    kind: str
    method: str = ""
    times: int = 1
    status: int = 502
    after: bool = False
    seconds: float = 1.0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<html>proxy</html>"

    def reply(self) -> Reply:
        return Reply(self.status, {"Content-Type": HTML, **self.headers}, self.body)

    def hits(self, request: Request) -> bool:
        return self.times > 0 and self.part in request.path and self.method in ("", request.method)


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def jetty(status: int, message: str, headers: dict[str, str] | None = None) -> Refused:
    """The page of the servlet container."""
    page = (
        f"<html><head><title>Error {status} {message}</title></head><body><h2>HTTP ERROR {status} {message}</h2><table>"
        f"<tr><th>STATUS:</th><td>{status}</td></tr><tr><th>MESSAGE:</th><td>{message}</td></tr></table></body></html>"
    )
    return Refused(Reply(status, {"Content-Type": HTML, **(headers or {})}, page.encode()))


def failure(message: str) -> Refused:
    """hudson.model.Failure."""
    body = f"<html><head><title>Jenkins</title></head><body><h1>Error</h1><p>{message}</p></body></html>".encode()
    return Refused(Reply(400, {"Content-Type": HTML, "X-Error": message}, body))


def oops(message: str) -> Refused:
    """An exception that nobody caught."""
    page = f"<html><title>Error</title><body><p>A problem occurred while processing the request</p><!--{message}--></body></html>"
    return Refused(Reply(500, {"Content-Type": HTML}, page.encode()))


class Answering(Protocol):
    connections: set[socket.socket]

    def answer(self, request: Request) -> tuple[Reply, Fault | None]: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


def handler(controller: Answering) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            controller.connections.add(self.connection)

        def finish(self) -> None:
            controller.connections.discard(self.connection)
            super().finish()

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            request = Request(self.command, parts.path, query, headers, self.rfile.read(length), self.path, self.client_address[1])
            self._send(*controller.answer(request))

        do_POST = do_HEAD = do_GET

        def _send(self, reply: Reply, fault: Fault | None) -> None:
            kind = fault.kind if fault else ""
            if kind == "reset":
                # Nothing is said, and the connection is not even closed politely.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            if kind == "slow" and fault:
                time.sleep(fault.seconds)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value.encode("latin-1", "replace").decode("latin-1"))
            if reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: len(reply.body) // 2] if kind == "truncate" else reply.body)
            self.close_connection = self.close_connection or kind == "truncate"

        def log_message(self, *_: object) -> None:
            """Tests look at `requests`."""

    return Handler
