"""A server that speaks DynamoDB and S3: moto's, over HTTP, in a process of its own. It forgets everything when it stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


def aws_environment(url: str) -> dict[str, str]:
    """What leads boto3 to the server, and away from whatever AWS settings this machine has."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def moto_server() -> Iterator[str]:
    """The URL of a server that runs as long as the context does."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    quiet = subprocess.DEVNULL
    # Leaving the block closes its standard input, as would our own death: either ends it.
    with subprocess.Popen([sys.executable, __file__, str(port)], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as server:
        wait_for(url, server)
        yield url


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/moto-api/", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < end, "moto's server does not answer"
            time.sleep(0.05)
    raise AssertionError(f"moto's server ended with {server.returncode}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serve(port: int) -> None:
    """As moto.server does, but one request at a time: its transactions are not atomic beside other requests, as AWS's are."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    moto, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def in_turn(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with turn:
            return moto(environ, start_response)

    threading.Thread(target=run_simple, args=("127.0.0.1", port, in_turn), kwargs={"threaded": True}, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
