"""Reading from a Docker engine over its socket, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=10)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def get(engine, path):
    """Status and body of a GET on the engine whose socket is `engine`."""
    connection = _Connection(engine)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def inspect(engine, container):
    """What the engine knows of a container; None when there is none."""
    status, body = get(engine, "/containers/%s/json" % container)
    return json.loads(body) if status == 200 else None


def log_of(engine, container, lines):
    """The last lines of a container's output; each frame of the stream begins with 8 bytes, the last 4 of them its size."""
    _, body = get(engine, "/containers/%s/logs?stdout=1&stderr=1&tail=%d" % (container, lines))
    text, at = b"", 0
    while at + 8 <= len(body):
        size = int.from_bytes(body[at + 4 : at + 8], "big")
        text += body[at + 8 : at + 8 + size]
        at += 8 + size
    return text.decode(errors="replace").splitlines()
