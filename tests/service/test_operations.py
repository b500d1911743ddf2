"""What the service says of itself and how it behaves as a process: health, version, metrics, logs, and coming to an end."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from service.logs import JsonLines
from tests.service.conftest import Someone, add_run, eventually, opened, settings_in

Json = dict[str, object]


def sample(client: TestClient, name: str) -> float:
    """The number of a line of /metrics; 0 where there is none."""
    lines = re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(lines[0]) if lines else 0.0


@pytest.mark.parametrize(("path", "body"), [("/livez", {"live": True}), ("/readyz", {"ready": True}), ("/ping", {"ready": True})])
def test_a_service_whose_model_is_loaded_lives_and_is_ready(started: TestClient, path: str, body: Json):
    assert (started.get(path).status_code, started.get(path).json()) == (200, body)


def test_a_service_without_its_model_lives_and_is_not_ready(tmp_path: Path):
    with opened(settings_in(tmp_path)) as client:
        answers = [client.get(path) for path in ("/livez", "/version", "/", "/readyz", "/ping")]
        ready = sample(client, "slipway_ready")
    assert [answer.status_code for answer in answers] == [200, 200, 200, 503, 503]
    assert [(answer.json()["code"], answer.headers["Retry-After"]) for answer in answers[3:]] == [("model_unavailable", "2")] * 2
    assert ready == 0


def test_version_names_everything_that_runs(client: TestClient, root: Path):
    description = (root / "service/models/efficientnet_lite0/model.toml").read_bytes()
    assert client.get("/version").json() == {
        "release": "r" * 64,
        "commit": "c" * 40,
        "image": "none",
        "lock": "l" * 64,
        "model": {"name": "efficientnet_lite0", "sha256": hashlib.sha256(description).hexdigest()},
    }


def test_metrics_are_in_the_format_that_prometheus_reads(started: TestClient):
    answer = started.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert 'slipway_info{commit="' + "c" * 40 + '",model="efficientnet_lite0",model_sha256="' in answer.text
    assert f'release="{"r" * 64}"}} 1.0' in answer.text
    assert (sample(started, "slipway_ready"), sample(started, "slipway_waiting")) == (1, 0)


def test_a_prediction_is_measured_in_all_its_parts(client: TestClient, pictures: dict[str, bytes]):
    names = [
        "slipway_predictions_total",
        "slipway_queue_wait_seconds_count",
        "slipway_batch_size_count",
        "slipway_batch_size_sum",
        "slipway_inference_seconds_count",
        "slipway_decode_seconds_count",
        'slipway_requests_total{method="POST",route="/v1/predictions",status="200"}',
        'slipway_request_seconds_count{route="/v1/predictions"}',
    ]
    before = [sample(client, name) for name in names]
    client.post("/v1/predictions", content=pictures["cat"]).raise_for_status()
    eventually(lambda: [sample(client, name) for name in names] == [number + 1 for number in before])
    took = sample(client, "slipway_inference_seconds_sum") / sample(client, "slipway_inference_seconds_count")
    assert 0.0005 < took < 5


def test_requests_are_counted_by_route_and_never_by_what_was_asked(client: TestClient, ada: Someone):
    run = add_run(client, ada)
    for path in (f"/v1/runs/{run.id}?secret=canary", "/canary", "/static/canary.css"):
        client.get(path, headers=ada.headers)
    client.request("CANARY", "/canary")
    text = client.get("/metrics").text
    assert sample(client, 'slipway_requests_total{method="GET",route="/v1/runs/{id}",status="200"}') >= 1
    assert 'slipway_requests_total{method="other",route="none",status="404"}' in text
    assert [word in text for word in (run.id, "canary", "CANARY")] == [False] * 3


@pytest.mark.parametrize("path", ["/livez", "/nothing", "/v1/runs", "/", "/static/style.css"])
def test_every_answer_carries_an_id_the_release_and_safe_headers(client: TestClient, path: str):
    first, second = client.get(path), client.get(path)
    assert re.fullmatch(r"[0-9a-f]{16}", first.headers["X-Request-Id"])
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert (first.headers["X-Release"], first.headers["X-Content-Type-Options"]) == ("r" * 64, "nosniff")
    assert "default-src 'none'" in first.headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in first.headers
    assert "Strict-Transport-Security" in TestClient(client.app, base_url="https://testserver").get(path).headers


@dataclass(frozen=True, slots=True)
class Story:
    """What a real process did and said: `secrets` is what must not be found in it."""

    code: int
    printed: str
    log: list[str]
    late: bytes
    secrets: dict[str, bytes]
    ids: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, pictures: dict[str, bytes]) -> Story:
    """A process that is started, used in every way that has a secret in it, and told to end while it answers."""
    folder = tmp_path_factory.mktemp("process")
    port, ids = free_port(), list[str]()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SERVICE_")},
        "SERVICE_PORT": str(port), "SERVICE_DATABASE": str(folder / "service.db"), "SERVICE_DECODERS": "1",
        "SERVICE_SIGN_UP": "true", "SERVICE_RELEASE": "release-of-story",
    }  # fmt: skip
    with (
        open(folder / "log", "w") as log,
        subprocess.Popen([sys.executable, "-m", "service"], env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            printed = process.stdout.readline()
            token = printed.partition("token=")[2].split()[0]
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", event_hooks={"response": [noting(ids)]}) as client:
                secrets = use(client, token, pictures["coffee"])
                late = answer_of_one_who_is_late(port, pictures["cat"], lambda: process.send_signal(signal.SIGTERM))
            printed += process.communicate(timeout=30)[0]
        finally:
            process.kill()
    return Story(process.returncode, printed, (folder / "log").read_text().splitlines(), late, secrets, ids)


def noting(ids: list[str]) -> Callable[[httpx2.Response], None]:
    return lambda answer: ids.append(answer.headers["X-Request-Id"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def use(client: httpx2.Client, token: str, picture: bytes) -> dict[str, bytes]:
    """Go through everything in which there is a secret; the secrets by name."""
    end = time.monotonic() + 60
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                break
        except httpx2.ConnectError:
            assert time.monotonic() < end
        time.sleep(0.05)
    password = "canary of a password"
    client.get("/set-up", params={"token": token})
    client.post("/v1/set-up", json={"token": token, "name": "canary-name", "password": password}).raise_for_status()
    session = client.post("/v1/sessions", json={"name": "canary-name", "password": password}).raise_for_status().json()["token"]
    client.cookies.clear()
    client.headers["Authorization"] = f"Bearer {session}"
    made = client.post("/v1/tokens", json={"name": "canary-token-name", "scopes": ["predict"]}).raise_for_status().json()["secret"]
    run = client.post("/v1/predictions", content=picture, headers={"Authorization": f"Bearer {made}"}).json()["id"]
    note = "canary of a note"
    client.post("/v1/runs", json={"prediction": run, "note": note}, headers={"Idempotency-Key": "canary-key"}).raise_for_status()
    client.get("/v1/runs", params={"label": "canary-of-a-query"})
    client.get(f"/v1/runs/{run}/picture")
    client.get("/canary-of-a-path")
    client.post("/v1/predictions", content=b"canary of a picture")
    client.post("/v1/sessions", json={"name": "canary-name", "password": "canary of a wrong password"})
    client.post("/v1/sessions", content=b'{"canary of a body')
    texts = {"password": password, "session": session, "API token": made, "set-up token": token, "run": run, "word": "canary"}
    return {**{name: text.encode() for name, text in texts.items()}, "picture": picture[200:230]}


def answer_of_one_who_is_late(port: int, picture: bytes, tell_to_end: Callable[[], None]) -> bytes:
    """What is answered to a request that is half sent when the process is told to end."""
    head = f"POST /v1/predictions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(picture)}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as channel:
        channel.sendall(head + picture[:1000])
        wait_until_read(port)
        tell_to_end()
        wait_until_closed(port)
        time.sleep(0.3)  # the server looks about every 0.1 s: whom it would not wait for is gone by now
        channel.sendall(picture[1000:])
        answer = b""
        while part := channel.recv(65536):
            answer += part
    return answer


def wait_until_read(port: int) -> None:
    """An answer to a later request shows that the head of the earlier one was read."""
    assert httpx2.get(f"http://127.0.0.1:{port}/livez").status_code == 200


def wait_until_closed(port: int) -> None:
    """Nobody new is let in."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return
        assert time.monotonic() < end, "the process still takes connections"
        time.sleep(0.01)


def test_a_process_that_is_told_to_end_answers_what_it_has_begun(story: Story):
    head, _, body = story.late.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(json.loads(body)["predictions"]) == 5
    assert story.code == -signal.SIGTERM  # once all is done, the server ends as whoever sent the signal expects


def test_a_process_prints_the_set_up_token_and_nothing_else(story: Story):
    token = story.secrets["set-up token"].decode()
    assert story.printed == f"no admin yet: within 15 minutes, open /set-up?token={token} on this service to make the first one\n"


def test_every_line_of_the_log_is_json_with_release_and_model(story: Story):
    lines = [json.loads(line) for line in story.log]
    assert len(lines) > 15
    assert {(line["release"], line["model"]) for line in lines} == {("release-of-story", "efficientnet_lite0")}
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert {line["level"] for line in lines} == {"info"}


def test_every_request_has_a_line_with_its_id_its_route_and_how_it_went(story: Story):
    lines = {line["request_id"]: line for line in map(json.loads, story.log) if line["message"] == "request"}
    assert set(story.ids) <= set(lines)
    assert all({"method", "route", "status", "milliseconds", "bytes"} <= line.keys() for line in lines.values())
    seen = {(line["method"], line["route"], line["status"]) for line in lines.values()}
    assert {("POST", "/v1/predictions", 200), ("POST", "/v1/predictions", 422), ("GET", "/v1/runs/{id}/picture", 200)} <= seen
    assert ("GET", "", 404) in seen


def test_no_secret_is_ever_logged(story: Story):
    log = "\n".join(story.log).encode(errors="surrogateescape")
    assert [name for name, secret in story.secrets.items() if secret in log or secret.lower() in log.lower()] == []


def test_the_log_of_a_crash_is_one_line_with_the_trace():
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("service", logging.ERROR, "file", 1, "it is %s", ("broken",), sys.exc_info())
    text = JsonLines({"release": "r", "model": "m"}).format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["level"], line["message"], line["release"], line["model"]) == ("error", "it is broken", "r", "m")
    assert line["trace"].endswith("ValueError: two\nlines")


def test_a_service_with_a_wrong_setting_ends_with_one_line(root: Path):
    environ = {"SERVICE_DATABSE": "x", "PYTHONPATH": str(root)}
    ended = subprocess.run([sys.executable, "-m", "service"], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == ["error: unknown setting SERVICE_DATABSE"]
