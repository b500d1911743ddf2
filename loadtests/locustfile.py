"""What users of the service do: show it pictures, save some of what it says, look back. Speaks HTTP and knows only URLs.

Beside Locust's own options: `--targets URL,URL` spreads users over several hosts, `--record FILE` keeps every request, and
`--shape NAME` names one of shapes.py, which is then handed in beside this file. Where accounts are made by admins, LOADTEST_TOKENS
holds API tokens (predict, read, write) that users take in turn instead of signing up.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import gevent
from locust import between, events, task
from locust.contrib.fasthttp import FastHttpUser

PICTURES = {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "images").glob("*.jpg"))}
SECONDS_PER_REQUEST = 20.0


class Recorder:
    """Counts each request when it is sent and again when it has ended, so that a lost one shows."""

    def __init__(self) -> None:
        self.sent = 0
        self.samples: list[tuple[float, float, str, str]] = []
        self.started = time.time()
        self.warm_up = 0.0
        self.first_users = 0
        self.file: Path | None = None

    def sending(self) -> None:
        self.sent += 1
        if self.sent == 1 and self.file:
            self.file.with_suffix(".started").touch()

    def ended(self, request_type: str, name: str, response_time: float, exception: BaseException | None, **_: Any) -> None:
        at = time.time() - response_time / 1000 - self.started
        self.samples.append((round(at, 4), round(response_time, 2), f"{request_type} {name}", str(exception or "")))

    def signed_in(self) -> None:
        """One more user is at work; the last of those who begin together ends the warm-up."""
        self.first_users -= 1
        if self.first_users >= 0:
            self.warm_up = time.time() - self.started

    def write(self) -> None:
        if self.file:
            seconds = time.time() - self.started
            record = {"sent": self.sent, "seconds": seconds, "warm_up": self.warm_up, "samples": self.samples}
            partial = self.file.with_suffix(".partial")
            partial.write_text(json.dumps(record))
            partial.rename(self.file)


RECORDER = Recorder()
TARGETS: list[str] = []
TOKENS = [token for token in os.environ.get("LOADTEST_TOKENS", "").split(",") if token]
NEXT = itertools.count()


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    parser.add_argument("--targets", default="", help="comma-separated URLs; users take them in turn (default: --host)")
    parser.add_argument("--shape", default="steady", help="how the number of users changes")
    parser.add_argument("--record", default="", help="write every request to this JSON file")


@events.init.add_listener
def read_options(environment: Any, **_: Any) -> None:
    options = environment.parsed_options
    TARGETS[:] = [url for url in options.targets.split(",") if url]
    RECORDER.file = Path(options.record) if options.record else None
    RECORDER.first_users = options.num_users if options.shape == "steady" else 1
    events.request.add_listener(RECORDER.ended)


@events.test_start.add_listener
def start_clock(**_: Any) -> None:
    RECORDER.started = time.time()


@events.test_stop.add_listener
def write_record(**_: Any) -> None:
    RECORDER.write()


class Visitor(FastHttpUser):
    """A signed-in user with a few pictures."""

    wait_time = between(0.02, 0.2)
    network_timeout = SECONDS_PER_REQUEST
    connection_timeout = SECONDS_PER_REQUEST
    prediction: str | None = None
    token = ""

    def __init__(self, environment: Any) -> None:
        if TARGETS:
            self.host = TARGETS[next(NEXT) % len(TARGETS)]
        super().__init__(environment)

    def on_start(self) -> None:
        if TOKENS:
            self.token = TOKENS[next(NEXT) % len(TOKENS)]
            RECORDER.signed_in()
            return
        account = {"name": f"load-{os.urandom(6).hex()}", "password": os.urandom(12).hex()}
        self.send("POST", "/v1/users", json=account)
        self.token = self.send("POST", "/v1/sessions", json=account).get("token", "")
        RECORDER.signed_in()

    @task(6)
    def recognise(self) -> None:
        answer = self.send("POST", "/v1/predictions", data=random.choice(list(PICTURES.values())))
        self.prediction = answer.get("id")

    @task(2)
    def look_back(self) -> None:
        self.send("GET", "/v1/runs")

    @task(1)
    def save(self) -> None:
        if self.prediction:
            self.send("POST", "/v1/runs", json={"prediction": self.prediction, "note": "seen under load"})
            self.prediction = None

    def send(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        """One request as this user; the JSON object that came back, empty when it failed.

        It runs beside the user: Locust may end a user just as it begins a request, and a request that was sent has to be counted.
        """
        request = gevent.spawn(self.exchange, method, path, content)
        try:
            answer: dict[str, Any] = request.get()
            return answer
        except gevent.GreenletExit:
            request.join()
            raise

    def exchange(self, method: str, path: str, content: dict[str, Any]) -> dict[str, Any]:
        """Send, judge, and count."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        RECORDER.sending()
        with self.client.request(method, path, headers=headers, catch_response=True, **content) as reply:
            if reply.status_code == 0 or reply.status_code >= 400:
                said = " ".join(str(reply.text or reply.error or "").split())
                reply.failure(f"{reply.status_code} {said[:120]}")
                return {}
            try:
                document = reply.json()
            except ValueError:
                document = None
            if not isinstance(document, dict):
                reply.failure("the answer is no JSON object")
                return {}
            if path == "/v1/predictions" and len(document.get("predictions", ())) != 5:
                reply.failure("no five predictions")
            return document
