"""From one kind of store to the other and back, and the whole service on AWS's APIs: the endpoint is all that is different."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.records import ApiToken, Pictures, Role, Run, Scope, Score, User
from service.storage.protocol import Item, Storage, StoredRun
from service.storage.sqlite import SqliteStorage
from tests.running import running
from tests.service.aws_server import aws_environment, moto_server

pytestmark = pytest.mark.aws
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
FUTURE = NOW + timedelta(days=3650)  # DynamoDB would forget what has expired
PLACE = {"SERVICE_STORAGE": "aws", "SERVICE_TABLE": "moved", "SERVICE_BUCKET": "moved"}


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    with moto_server() as url:
        yield aws_environment(url)


def fill(storage: Storage) -> None:
    """Something of everything, with text and numbers that do not survive carelessness."""
    storage.add_user(User("a1", "ada", Role.ADMIN, NOW), "hash of ada")
    storage.add_user(User("b1", "bob", Role.VIEWER, NOW, disabled=True), "hash of bob")
    storage.add_session("hash of a session", "a1", FUTURE)
    storage.add_token(ApiToken("t1", "a1", "laptop ☕", (Scope.PREDICT, Scope.READ), NOW, FUTURE, NOW), "hash of a token")
    for number in range(12):
        scores = (Score('"cup" ü\n', number, 0.1 + 0.2), Score("espresso", 967, 1e-9))
        owner = "guest-1" if number == 11 else "a1"
        run = Run(
            f"r{number}",
            owner,
            NOW + timedelta(hours=7 * number),
            scores,
            f"release-{number % 2}",
            "m",
            "image/png",
            9,
            8,
            7,
            1 / 3,
        )
        storage.add_run(run, Pictures(os.urandom(5000), os.urandom(500), "image/png", 9, 8), FUTURE)
        if number % 3:
            storage.save_run("a1", run.id, note=f"note {number} ☕", truth="espresso" if number % 2 else "", now=NOW)
    storage.claim("key", "value", until=FUTURE, now=NOW)
    storage.count("counter", until=FUTURE, now=NOW, by=3)


def kept(storage: Storage) -> list[tuple[str, Pictures | None]]:
    """Every item with its pictures, in an order of its own."""

    def pictures(item: Item) -> Pictures | None:
        return storage.pictures(item.run) if isinstance(item, StoredRun) else None

    return sorted(((repr(item), pictures(item)) for item in storage.items()), key=lambda pair: pair[0])


def test_a_store_moves_to_aws_and_back_with_every_record_and_picture_byte_for_byte(aws: dict[str, str], tmp_path: Path, root: Path):
    with closing(SqliteStorage(str(tmp_path / "here.db"))) as here:
        fill(here)
        before = kept(here)
    local = {"SERVICE_DATABASE": str(tmp_path / "here.db")}
    back = {"SERVICE_DATABASE": str(tmp_path / "back.db")}

    def storage(place: dict[str, str], *arguments: str) -> str:
        argv = [sys.executable, "-m", "service", "storage", *arguments]
        done = subprocess.run(argv, cwd=root, env={**os.environ, **aws, **place}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    storage(PLACE, "init")
    storage(local, "export", str(tmp_path / "one.tar"))
    storage(PLACE, "import", str(tmp_path / "one.tar"))
    assert storage(PLACE, "check") == "everything fits together\n"
    storage(PLACE, "export", str(tmp_path / "two.tar"))
    storage(back, "import", str(tmp_path / "two.tar"))
    with closing(SqliteStorage(str(tmp_path / "back.db"))) as there:
        assert kept(there) == before
        assert len(before) > 20


def test_the_whole_service_runs_on_aws(aws: dict[str, str], tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in aws.items():
        monkeypatch.setenv(name, value)
    names = {"storage": "aws", "table": "running", "bucket": "running"}
    settings = {f"SERVICE_{name.upper()}": value for name, value in names.items()}
    subprocess.run([sys.executable, "-m", "service", "storage", "init"], cwd=root, env={**os.environ, **settings}, check=True)
    account = {"name": "ada", "password": "a cup of coffee"}
    with running(tmp_path, **names) as service:
        service.call("POST", "/v1/users", account)
        token = service.call("POST", "/v1/sessions", account)["token"]
        picture = (root / "loadtests" / "images" / "coffee.jpg").read_bytes()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "image/jpeg"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{service.url}/v1/predictions", picture, headers), timeout=20
        ) as answer:
            prediction = json.load(answer)
        run = service.call("POST", "/v1/runs", {"prediction": prediction["id"], "truth": "espresso"}, token)
        assert service.call("GET", "/v1/runs?label=espresso", token=token)["runs"] == [run]
        assert service.call("GET", "/v1/dashboard", token=token)["total"]["top1"] == 1
        # urllib follows the redirect to where S3 has the picture, as a browser does
        asked = urllib.request.Request(service.url + run["picture"]["url"], headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.url.startswith(aws["AWS_ENDPOINT_URL"])
            assert len(answer.read()) == run["picture"]["bytes"]
