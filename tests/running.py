"""The service as users meet it: a process of its own on a free loopback port, ended when the block ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
READY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Running:
    """Where it answers, its process, and where its output goes."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def call(self, method: str, path: str, document: object = None, token: str = "") -> Any:
        """One JSON request; raises HTTPError."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        with urllib.request.urlopen(urllib.request.Request(self.url + path, body, headers, method=method), timeout=20) as answer:
            return json.loads(answer.read() or b"null")


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Running]:
    """The service with a store in `folder`; `settings` are SERVICE_* variables by their short names."""
    given = {"port": str(free_port()), "database": str(folder / "service.db"), "sign_up": "true", **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")}
    environment |= {f"SERVICE_{name.upper()}": value for name, value in given.items()}
    output = folder / "service.log"
    with output.open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "service"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    service = Running(f"http://127.0.0.1:{given['port']}", process, output)
    try:
        _wait(service)
        yield service
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait(service: Running) -> None:
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            service.call("GET", "/readyz")
            return
        except OSError:
            if service.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the service is not ready:\n{service.output.read_text()}") from None
            time.sleep(0.1)
