from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.errors import PipelineError, UsageError
from pipeline.hooks import Pushed
from pipeline.webhook import MAX_BYTES, Receiver, changes

SECRET = "a secret of the team"
ONE, TWO, NONE = "1" * 40, "2" * 40, "0" * 40
PUSH = {"ref": "refs/heads/main", "before": ONE, "after": TWO, "repository": {"clone_url": "http://169.254.169.254/"}}


@dataclass
class Desk:
    """A receiver on a port of its own, and what it handed on."""

    receiver: Receiver
    delivered: list[Pushed]
    told: list[str]
    failures: list[PipelineError] = field(default_factory=list)

    def post(self, body: bytes, headers: dict[str, str], path: str = "/") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.receiver.port, timeout=5)
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        document = json.loads(reply.read())
        connection.close()
        return reply.status, document["detail"]


@pytest.fixture
def desk() -> Iterator[Desk]:
    delivered: list[Pushed] = []
    told: list[str] = []
    failures: list[PipelineError] = []

    def deliver(change: Pushed) -> None:
        if failures:
            raise failures.pop()
        delivered.append(change)

    receiver = Receiver(("127.0.0.1", 0), SECRET, deliver, told.append)
    thread = threading.Thread(target=receiver.serve)
    thread.start()
    yield Desk(receiver, delivered, told, failures)
    receiver.stop()
    thread.join(5)


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github(document: Any, **more: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(document).encode()
    return body, {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={signature(body)}", **more}


def settled(desk: Desk) -> list[Pushed]:
    """What was handed on, once nothing waits any more."""
    desk.receiver.stop()
    desk.receiver._worker.join(5)
    return desk.delivered


def test_a_signed_push_is_handed_on(desk: Desk):
    assert desk.post(*github(PUSH))[0] == 202
    assert settled(desk) == [Pushed("main", TWO)]


@pytest.mark.parametrize(("event", "header"), [("X-Gitea-Event", "X-Gitea-Signature"), ("X-Forgejo-Event", "X-Gitea-Signature")])
def test_gitea_and_forgejo_sign_without_a_prefix(desk: Desk, event: str, header: str):
    body = json.dumps(PUSH).encode()
    assert desk.post(body, {event: "push", header: signature(body)})[0] == 202


def test_gitlab_shows_a_token(desk: Desk):
    body = json.dumps({**PUSH, "ref": "refs/tags/v1", "checkout_sha": ONE}).encode()
    assert desk.post(body, {"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Token": SECRET})[0] == 202
    assert settled(desk) == [Pushed("v1", ONE, tag=True)]


def test_bitbucket_lists_what_changed(desk: Desk):
    moved = {"new": {"type": "branch", "name": "main", "target": {"hash": TWO}}}
    body = json.dumps({"push": {"changes": [moved, {"new": None, "old": {"name": "gone"}}]}}).encode()
    headers = {"X-Event-Key": "repo:push", "X-Hub-Signature": f"sha256={signature(body)}"}
    assert desk.post(body, headers)[0] == 202
    assert settled(desk) == [Pushed("main", TWO)]


@pytest.mark.parametrize("headers", [
    {},
    {"X-Hub-Signature-256": "sha256=" + "0" * 64},
    {"X-Hub-Signature-256": ""},
    {"X-Hub-Signature-256": "sha256="},
    {"X-Gitlab-Token": "a guess"},
    {"X-Gitlab-Token": ""},
    {"X-Hub-Signature-256": "sha256=" + signature(json.dumps(PUSH).encode(), "another secret")},
    {"X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), json.dumps(PUSH).encode(), "sha1").hexdigest()},
])  # fmt: skip
def test_without_a_proof_nothing_is_done(desk: Desk, headers: dict[str, str]):
    assert desk.post(json.dumps(PUSH).encode(), {"X-GitHub-Event": "push", **headers})[0] == 403
    assert settled(desk) == []


def test_a_proof_of_another_body_is_none(desk: Desk):
    _, headers = github(PUSH)
    assert desk.post(json.dumps({**PUSH, "after": ONE}).encode(), headers)[0] == 403


def test_a_push_that_is_delivered_again_is_taken_once(desk: Desk):
    for _ in range(3):
        assert desk.post(*github(PUSH))[0] == 202
    assert settled(desk) == [Pushed("main", TWO)]


def test_a_branch_that_goes_back_and_one_that_is_made_again_are_pushes_like_any_other(desk: Desk):
    back = [{**PUSH, "after": commit} for commit in (ONE, TWO, ONE)]
    again = [{**PUSH, "ref": "refs/heads/x", "after": after} for after in (TWO, NONE, TWO)]
    for document in (*back, *again):
        desk.post(*github(document))
    assert settled(desk) == [*(Pushed("main", commit) for commit in (ONE, TWO, ONE)), Pushed("x", TWO), Pushed("x", TWO)]


def test_a_fault_of_ours_does_not_end_the_receiver(desk: Desk):
    desk.failures.append(ValueError("not enough values"))  # type: ignore[arg-type]
    desk.post(*github(PUSH))
    desk.post(*github({**PUSH, "after": ONE}))
    assert settled(desk) == [Pushed("main", ONE)]


def test_a_push_that_could_not_be_handed_on_may_be_delivered_again(desk: Desk):
    desk.failures.append(PipelineError("the controller does not answer"))
    desk.post(*github(PUSH))
    for _ in range(100):
        if desk.told and "does not answer" in desk.told[-1]:
            break
        threading.Event().wait(0.02)
    desk.post(*github(PUSH))
    assert settled(desk) == [Pushed("main", TWO)]


@pytest.mark.parametrize(("document", "status"), [
    ({"ref": "refs/heads/main", "before": ONE, "after": NONE}, 202),
    ({**PUSH, "after": "HEAD"}, 400),
    ({**PUSH, "after": "--upload-pack=x" + "1" * 25}, 400),
    ({"zen": "hello"}, 400),
    ([1, 2], 400),
])  # fmt: skip
def test_what_names_no_commit_starts_nothing(desk: Desk, document: Any, status: int):
    assert desk.post(*github(document))[0] == status
    assert settled(desk) == []


def test_other_events_are_let_be(desk: Desk):
    assert desk.post(*github({"zen": "hello"}, **{"X-GitHub-Event": "ping"})) == (200, "nothing to do for 'ping'")


def test_what_is_no_json_is_refused(desk: Desk):
    body = b"ref=main"
    assert desk.post(body, {"X-Hub-Signature-256": f"sha256={signature(body)}"})[0] == 400


def test_a_body_that_is_too_large_is_refused_before_it_is_read(desk: Desk):
    connection = http.client.HTTPConnection("127.0.0.1", desk.receiver.port, timeout=5)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", str(MAX_BYTES + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(("method", "path", "headers", "status"), [
    ("GET", "/", {}, 405),
    ("POST", "/elsewhere", {"Content-Length": "0"}, 404),
    ("POST", "/", {"Transfer-Encoding": "chunked"}, 411),
])  # fmt: skip
def test_what_is_no_delivery_is_refused(desk: Desk, method: str, path: str, headers: dict[str, str], status: int):
    connection = http.client.HTTPConnection("127.0.0.1", desk.receiver.port, timeout=5)
    connection.putrequest(method, path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_a_receiver_without_a_secret_does_not_start():
    with pytest.raises(UsageError, match="without a secret"):
        Receiver(("127.0.0.1", 0), "", lambda change: None, print)


def test_a_push_of_a_branch_that_was_deleted_is_no_change():
    assert changes({"ref": "refs/heads/main", "after": NONE}) == ()
