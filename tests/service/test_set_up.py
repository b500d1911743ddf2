"""The first admin: made once, by whoever reads what the service printed, within a quarter of an hour."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from service.administration import offer_set_up
from service.app import build_app
from service.records import Role
from tests.service.conftest import PASSWORD, Clock, browser_of, changed, opened, settings_in, someone, storage_of

QUARTER = timedelta(minutes=15)


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def use(client: TestClient, token: str, name: str = "grace", password: str = PASSWORD) -> Response:
    return client.post("/v1/set-up", json={"token": token, "name": name, "password": password})


def offered(client: TestClient, **options: bool) -> str | None:
    return offer_set_up(storage_of(client), now=datetime.now(UTC), **options)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """A service of a test's own that has no admin."""
    with opened(settings_in(tmp_path)) as client, changed(client, settings={"sign_up": False}):
        yield client


@pytest.fixture
def token(client: TestClient) -> str:
    token = offered(client)
    assert token
    return token


def test_a_service_that_starts_without_an_admin_offers_one_token_to_all_its_processes(tmp_path: Path):
    tokens: list[str] = []
    for _ in range(2):
        with TestClient(build_app(settings_in(tmp_path), announce=tokens.append)) as client:
            assert client.get("/livez").status_code == 200
    assert len(tokens) == 1
    with opened(settings_in(tmp_path)) as client:
        assert use(client, tokens[0]).status_code == 201


def test_the_token_makes_one_admin(client: TestClient, token: str):
    answer = use(client, token)
    assert (answer.status_code, answer.json()["name"], answer.json()["role"]) == (201, "grace", "admin")
    assert refusal(use(client, token, "late-comer")) == (403, "set_up_token_used")
    assert [user.name for user in storage_of(client).users("", 10)] == ["grace"]
    session = client.post("/v1/sessions", json={"name": "grace", "password": PASSWORD}).json()["token"]
    assert client.get("/v1/users", headers={"Authorization": f"Bearer {session}"}).status_code == 200


def test_of_many_who_use_the_token_at_once_one_becomes_admin(client: TestClient, token: str):
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: use(client, token, f"grace-{number}"), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]
    assert [user.role for user in storage_of(client).users("", 10)] == [Role.ADMIN]


def test_a_wrong_token_makes_nobody(client: TestClient, token: str):
    for wrong in ("", "x", token + "x", token[:-1]):
        assert refusal(use(client, wrong)) == (403, "set_up_token_used")
    assert storage_of(client).users("", 10) == ()
    assert use(client, token).status_code == 201


@pytest.mark.parametrize(
    ("name", "password", "expected"),
    [
        ("No Name", PASSWORD, (422, "invalid_name")),
        ("grace", "password1", (422, "weak_password")),
        ("taken", PASSWORD, (409, "name_taken")),
    ],
)
def test_a_token_stays_good_when_name_or_password_are_refused(
    client: TestClient, token: str, name: str, password: str, expected: tuple[int, str]
):
    someone(client, name="taken")
    assert refusal(use(client, token, name, password)) == expected
    assert use(client, token).status_code == 201


def test_a_token_is_good_for_a_quarter_of_an_hour(client: TestClient, token: str, clock: Clock):
    clock.ahead = QUARTER + timedelta(seconds=1)
    assert refusal(use(client, token)) == (403, "set_up_token_used")
    clock.ahead = QUARTER - timedelta(seconds=30)
    assert use(client, token).status_code == 201


def test_another_token_is_offered_once_the_first_has_died_or_was_taken_back(client: TestClient, token: str):
    assert offered(client) is None
    renewed = offered(client, renew=True)
    assert refusal(use(client, token)) == (403, "set_up_token_used")
    later = offer_set_up(storage_of(client), now=datetime.now(UTC) + QUARTER)
    assert len({token, renewed, later}) == 3
    assert None not in (renewed, later)


def test_where_there_is_an_admin_no_token_is_offered_or_taken(client: TestClient, token: str):
    someone(client, Role.ADMIN)
    assert (offered(client), offered(client, renew=True)) == (None, None)
    assert refusal(use(client, token)) == (403, "set_up_token_used")


def test_the_token_is_not_stored_in_clear(client: TestClient, token: str):
    database = Path(client.app.state.tools.settings.database)
    assert token.encode() not in b"".join(path.read_bytes() for path in database.parent.glob("service.db*") if path.is_file())


def test_the_page_makes_the_admin_and_signs_in(client: TestClient, token: str):
    browser = browser_of(client)
    form = browser.get("/set-up", params={"token": token})
    assert f'name="token" value="{token}"' in form.text
    page = browser.post("/set-up", data={"token": f" {token} ", "name": "grace", "password": PASSWORD})
    assert (page.url.path, page.status_code, "grace" in page.text) == ("/users", 200, True)


def test_the_page_says_what_is_wrong_and_keeps_what_was_typed(client: TestClient, token: str):
    browser = browser_of(client)
    weak = browser.post("/set-up", data={"token": token, "name": "grace", "password": "password1"})
    wrong = browser.post("/set-up", data={"token": "wrong", "name": "grace", "password": PASSWORD})
    assert (weak.status_code, wrong.status_code) == (422, 403)
    assert f'name="token" value="{token}"' in weak.text
    assert 'name="name" value="grace"' in weak.text
    assert "password1" not in weak.text
    assert "This set-up token is wrong, was used, or is older than 15 minutes." in wrong.text


def test_the_command_prints_a_token_that_replaces_the_one_before_until_there_is_an_admin(
    client: TestClient, token: str, tmp_path: Path
):
    def command() -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "SERVICE_DATABASE": str(tmp_path / "service.db")}
        return subprocess.run(
            [sys.executable, "-m", "service", "set-up"], env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    first = command()
    printed = re.fullmatch(r"no admin yet: .*/set-up\?token=(\S+) on this service .*\n", first.stdout)
    assert (first.returncode, first.stderr) == (0, "")
    assert printed
    assert [use(client, one).status_code for one in (token, printed[1])] == [403, 201]
    second = command()
    assert (second.returncode, second.stdout) == (1, "there is an admin already; admins make others at /users\n")
