"""A receiver of pushes from a forge, over HTTP: GitHub, Gitea and Forgejo, GitLab, Bitbucket. Nothing is done without a proof.

A payload says only which branch moved to which commit; where to fetch it from is this machine's own knowledge, never the sender's.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.errors import UsageError
from pipeline.hooks import Pushed, pushed

MAX_BYTES = 5_000_000
SECONDS = 10.0  # for one request
WAITING = 100  # pushes that wait for their turn; more are told to come again
REMEMBERED = 1000
DIGESTS = ("x-hub-signature-256", "x-gitea-signature", "x-hub-signature")  # all three HMAC-SHA256 where we take them
EVENTS = ("x-github-event", "x-gitea-event", "x-forgejo-event", "x-gitlab-event", "x-event-key")
PUSHES = ("push", "Push Hook", "Tag Push Hook", "repo:push")


def proven(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the sender knows the secret: an HMAC-SHA256 of the body, or GitLab's token. Names of headers are in lower case."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    for name in DIGESTS:
        if said := headers.get(name, ""):
            return hmac.compare_digest(said.removeprefix("sha256=").encode(), expected.encode())
    return hmac.compare_digest(headers.get("x-gitlab-token", "").encode(), secret.encode())


def changes(document: object) -> tuple[Pushed, ...]:
    """The branches and tags that a push moved. Raises UsageError when the payload is none that we know."""
    if not isinstance(document, dict):
        raise UsageError("the payload is no object")
    if isinstance(ref := document.get("ref"), str) and isinstance(after := document.get("after"), str):
        found = [pushed(ref, str(document.get("checkout_sha") or after) if after.strip("0") else after)]
    elif isinstance(push := document.get("push"), dict) and isinstance(push.get("changes"), list):
        found = [_bitbucket(change) for change in push["changes"]]
    else:
        raise UsageError("the payload has neither `ref` and `after` nor `push.changes`")
    moved = tuple(change for change in found if change)
    for change in moved:
        if not change.name or not set(change.commit) <= set("0123456789abcdef") or len(change.commit) not in (40, 64):
            raise UsageError("the payload names no commit")
    return moved


def deleted(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The ref that a push removed: when it comes back, it is new."""
    ref, after = document.get("ref"), document.get("after")
    return (ref,) if isinstance(ref, str) and isinstance(after, str) and not after.strip("0") else ()


def _bitbucket(change: object) -> Pushed | None:
    new = change.get("new") if isinstance(change, dict) else None
    if not isinstance(new, dict):
        return None  # deleted
    target = new.get("target")
    return Pushed(str(new.get("name")), str(target.get("hash") if isinstance(target, dict) else ""), tag=new.get("type") == "tag")


class Receiver:
    """Takes deliveries at `/`, answers at once, and hands each push to `deliver`, one after the other, on a thread of its own."""

    def __init__(
        self, address: tuple[str, int], secret: str, deliver: Callable[[Pushed], None], tell: Callable[[str], None]
    ) -> None:
        if not secret:
            raise UsageError("a receiver without a secret would take pushes from anybody", hint="set SLIPWAY_HOOK_SECRET")
        self._secret = secret
        self._deliver = deliver
        self._tell = tell
        self._todo: queue.Queue[Pushed | None] = queue.Queue(WAITING)
        self._last: dict[str, str] = {}  # ref -> the commit that was handed on last
        self._guard = threading.Lock()
        self._server = ThreadingHTTPServer(address, _handler(self))
        self._server.daemon_threads = True
        self._worker = threading.Thread(target=self._work, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def serve(self) -> None:
        """Until `stop` is called from another thread, or an interrupt."""
        self._worker.start()
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()
            self._todo.put(None)
            self._worker.join(timeout=SECONDS)

    def stop(self) -> None:
        self._server.shutdown()

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The status and the sentence for one delivery. The same push is taken once, however often it is delivered."""
        if not proven(self._secret, headers, body):
            return 403, "the signature does not fit the secret"
        event = next((headers[name] for name in EVENTS if name in headers), "push")
        if event not in PUSHES:
            return 200, f"nothing to do for {event[:40]!r}"
        try:
            moved, gone = changes(document := json.loads(body)), deleted(document)
        except (UsageError, ValueError) as error:
            return 400, f"the payload cannot be read: {error}"
        with self._guard:
            for ref in gone:
                self._last.pop(ref, None)
            new = [change for change in moved if self._last.get(change.ref) != change.commit]
            if self._todo.qsize() + len(new) > WAITING:
                return 503, "too many pushes are waiting; deliver it again later"
            for change in new:
                self._last[change.ref] = change.commit
                self._todo.put(change)
            while len(self._last) > REMEMBERED:
                del self._last[next(iter(self._last))]
        return 202, f"{len(new)} of {len(moved)} are new here"

    def _work(self) -> None:
        while change := self._todo.get():
            try:
                self._deliver(change)
            except Exception as error:  # whatever it is, the next push is taken
                self._tell(f"{change.ref} at {change.commit[:12]}: {error or type(error).__name__}")
                with self._guard:  # a delivery that is repeated gets another chance
                    self._last.pop(change.ref, None)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS
        server_version, sys_version = "slipway", ""

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path.split("?")[0] != "/":
                return self._answer(404, "deliveries go to /")
            if not length.isdecimal():
                return self._answer(411, "the length of the body is needed")
            if int(length) > MAX_BYTES:
                return self._answer(413, f"a delivery has at most {MAX_BYTES} bytes")
            body = self.rfile.read(int(length))
            if len(body) != int(length):
                return self._answer(400, "the body is shorter than it says")
            return self._answer(*receiver.receive({name.lower(): value for name, value in self.headers.items()}, body))

        def do_GET(self) -> None:
            self._answer(405, "deliveries are posted")

        def _answer(self, status: int, sentence: str) -> None:
            content = json.dumps({"detail": sentence}).encode()
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            receiver._tell(f"{self.address_string()} {format % args}")

    return Handler
