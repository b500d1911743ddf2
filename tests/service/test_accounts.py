"""Signing up, in and out through the front door. Passwords are hashed slowly on purpose, so most tests share one account."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service import accounts
from service.app import build_app
from service.errors import NotSignedIn, WrongPassword
from service.storage.protocol import Storage

ADA = {"name": "ada", "password": "correct horse"}


@pytest.fixture(scope="module")
def token(client: TestClient) -> str:
    """Of a session of ada, who signed up for this module."""
    client.post("/v1/users", json=ADA).raise_for_status()
    answer = client.post("/v1/sessions", json=ADA)
    client.cookies.clear()
    assert answer.status_code == 201
    return answer.json()["token"]


@pytest.fixture(autouse=True)
def without_cookies(client: TestClient) -> Iterator[None]:
    yield
    client.cookies.clear()


@pytest.fixture
def storage(client: TestClient) -> Storage:
    return client.app.state.tools.storage


def test_a_new_user_gets_an_id_and_a_salt_of_their_own(client: TestClient, storage: Storage, token: str):
    answer = client.post("/v1/users", json={**ADA, "name": "grace"})
    (_, of_ada), (grace, of_grace) = storage.find_user("ada"), storage.find_user("grace")
    assert (answer.status_code, answer.json()) == (201, {"id": grace.id, "name": "grace"})
    assert of_ada != of_grace


def test_a_name_belongs_to_the_first_who_took_it(client: TestClient, token: str):
    answer = client.post("/v1/users", json={"name": "ada", "password": "another password"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


@pytest.mark.parametrize("name", ["", "a", "Ada", "a b", "-ada", "ada\n", "a" * 33, "<b>ada</b>", "ädå", "../ada"])
def test_a_bad_name_is_refused(client: TestClient, name: str):
    answer = client.post("/v1/users", json={"name": name, "password": "correct horse"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_name")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257])
def test_a_password_that_is_too_short_or_too_long_is_refused(client: TestClient, password: str):
    answer = client.post("/v1/users", json={"name": "lin", "password": password})
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert not password or password not in answer.text


def test_a_wrong_password_and_an_unknown_name_look_alike(client: TestClient, token: str):
    wrong = client.post("/v1/sessions", json={**ADA, "password": "correct horsf"})
    unknown = client.post("/v1/sessions", json={**ADA, "name": "nobody"})
    assert [wrong.status_code, unknown.status_code] == [401, 401]
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert "Set-Cookie" not in wrong.headers


def test_a_token_opens_as_bearer_and_as_cookie(client: TestClient, token: str):
    bearer = client.get("/v1/runs", headers={"Authorization": f"Bearer {token}"})
    cookie = client.get("/v1/runs", headers={"Cookie": f"session={token}"})
    assert [bearer.status_code, cookie.status_code] == [200, 200]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic YWRhOnB3", "bearer \xe9", "Token {}"])
def test_what_is_no_token_opens_nothing(client: TestClient, token: str, header: str):
    answer = client.get("/v1/runs", headers={"Authorization": header.format(token).encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_a_session_ends_when_it_is_deleted(client: TestClient, token: str):
    client.post("/v1/sessions", json=ADA).raise_for_status()
    assert client.get("/v1/runs").status_code == 200
    ended = client.cookies["session"]
    assert client.delete("/v1/sessions").status_code == 204
    assert not client.cookies
    assert client.get("/v1/runs", headers={"Cookie": f"session={ended}"}).status_code == 401
    assert client.get("/v1/runs", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_session_cookie_is_kept_from_scripts_and_other_sites(client: TestClient, token: str):
    settings = replace(client.app.state.tools.settings, secure_cookies=True)
    answer = TestClient(build_app(settings)).post("/v1/sessions", json=ADA)
    parts = {part.strip().lower() for part in answer.headers["Set-Cookie"].split(";")}
    assert {"httponly", "samesite=lax", "secure", "path=/", "max-age=1209600"} <= parts


def test_a_session_opens_nothing_after_two_weeks(storage: Storage, token: str):
    assert accounts.user_of(storage, token, now=datetime.now(UTC) + timedelta(days=13)).name == "ada"
    with pytest.raises(NotSignedIn):
        accounts.user_of(storage, token, now=datetime.now(UTC) + timedelta(days=15))


def test_passwords_and_tokens_are_not_stored_in_clear(client: TestClient, token: str):
    database = Path(client.app.state.tools.settings.database)
    stored = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert b"ada" in stored
    assert hashlib.sha256(token.encode()).hexdigest().encode() in stored
    assert ADA["password"].encode() not in stored
    assert token.encode() not in stored


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/predictions"),
        ("POST", "/v1/sessions"),
        ("DELETE", "/v1/sessions"),
        ("POST", "/v1/runs"),
        ("POST", "/"),
        ("POST", "/runs"),
        ("POST", "/sign-in"),
        ("POST", "/sign-out"),
    ],
)
def test_a_page_of_another_site_changes_nothing(client: TestClient, token: str, method: str, path: str):
    headers = {"Origin": "https://evil.example", "Cookie": f"session={token}"}
    answer = client.request(method, path, headers=headers, content=b"{}")
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    assert client.get("/v1/runs", headers={"Cookie": f"session={token}"}).status_code == 200


def test_a_page_of_this_site_may_act(client: TestClient, token: str):
    headers = {"Origin": "http://testserver", "Cookie": f"session={token}"}
    assert client.post("/v1/runs", headers=headers, json={"prediction": "none"}).json()["code"] == "prediction_not_found"


def test_a_password_does_not_open_with_something_appended(storage: Storage):
    accounts.sign_up(storage, "long", "x" * 256)
    with pytest.raises(WrongPassword):
        accounts.sign_in(storage, "long", "x" * 257, now=datetime.now(UTC), lifetime=timedelta(hours=1))
