"""API tokens: what programs sign in with, each for what it was made for and no longer than it was made for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from service.records import Role, Scope
from service.storage.protocol import Storage
from tests.service.conftest import DAY, HOUR, Clock, Someone, add_run, someone

Json = dict[str, object]


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def make(client: TestClient, owner: Someone, *scopes: Scope, days: int = 90) -> Json:
    body = {"name": "laptop", "scopes": list(scopes) or ["read"], "days": days}
    return client.post("/v1/tokens", json=body, headers=owner.headers).raise_for_status().json()


def bearer(token: Json) -> dict[str, str]:
    return {"Authorization": f"Bearer {token['secret']}"}


def opens(client: TestClient, token: Json) -> bool:
    answer = client.get("/v1/me", headers=bearer(token))
    assert answer.status_code == 200 or refusal(answer) == (401, "not_signed_in")
    return answer.status_code == 200


def test_a_token_acts_for_its_owner(client: TestClient, ada: Someone):
    body = {"name": "my laptop", "scopes": ["write", "read", "read"]}
    answer = client.post("/v1/tokens", json=body, headers=ada.headers)
    made = answer.json()
    assert (answer.status_code, made["name"], made["scopes"], made["last_used_at"]) == (201, "my laptop", ["read", "write"], None)
    assert made["secret"].startswith("slipway_")
    assert client.get("/v1/me", headers=bearer(made)).json()["name"] == ada.user.name


def test_a_token_lives_90_days_when_nothing_is_said(client: TestClient, ada: Someone):
    made = client.post("/v1/tokens", json={"name": "t", "scopes": ["read"]}, headers=ada.headers).json()
    assert datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"]) == timedelta(days=90)


def test_a_secret_is_shown_once_and_kept_nowhere(client: TestClient, ada: Someone, storage: Storage):
    made = make(client, ada)
    listed = client.get("/v1/tokens", headers=ada.headers)
    assert listed.json() == {"tokens": [{key: value for key, value in made.items() if key != "secret"}]}
    stored = b"".join(
        path.read_bytes() for path in Path(client.app.state.tools.settings.database).parent.glob("service.db*") if path.is_file()
    )
    assert str(made["id"]).encode() in stored
    assert str(made["secret"]).encode() not in stored
    assert str(made["secret"]) not in repr(list(storage.items()))


def test_tokens_are_listed_to_their_owner_alone_oldest_first(client: TestClient, ada: Someone, bob: Someone):
    made = [make(client, ada)["id"] for _ in range(3)]
    assert [token["id"] for token in client.get("/v1/tokens", headers=ada.headers).json()["tokens"]] == made
    assert client.get("/v1/tokens", headers=bob.headers).json() == {"tokens": []}


# Everything that needs a scope, with that scope. What needs none but a session is in the test after.
SCOPED = [
    ("POST", "/v1/predictions", Scope.PREDICT),
    ("POST", "/v1/predictions/batch", Scope.PREDICT),
    ("POST", "/invocations", Scope.PREDICT),
    ("POST", "/", Scope.PREDICT),
    ("GET", "/v1/me", Scope.READ),
    ("GET", "/v1/labels", Scope.READ),
    ("GET", "/v1/runs", Scope.READ),
    ("GET", "/v1/runs/{}", Scope.READ),
    ("GET", "/v1/runs/{}/picture", Scope.READ),
    ("GET", "/v1/runs/{}/thumbnail", Scope.READ),
    ("GET", "/v1/exports/runs.json", Scope.READ),
    ("GET", "/v1/exports/runs.csv", Scope.READ),
    ("GET", "/v1/dashboard", Scope.READ),
    ("GET", "/runs", Scope.READ),
    ("GET", "/dashboard", Scope.READ),
    ("POST", "/v1/runs", Scope.WRITE),
    ("PATCH", "/v1/runs/{}", Scope.WRITE),
    ("DELETE", "/v1/runs/{}", Scope.WRITE),
    ("POST", "/runs/{}", Scope.WRITE),
    ("GET", "/v1/users", Scope.ADMIN),
    ("POST", "/v1/users", Scope.ADMIN),
    ("PATCH", "/v1/users/x", Scope.ADMIN),
    ("DELETE", "/v1/users/x", Scope.ADMIN),
]


@pytest.fixture(scope="module")
def robot(client: TestClient) -> Someone:
    """An admin, whose tokens may so do all that their scopes name."""
    return someone(client, Role.ADMIN)


@pytest.fixture(scope="module")
def tokens(client: TestClient, robot: Someone) -> dict[Scope, Json]:
    """One for each scope."""
    return {scope: make(client, robot, scope) for scope in Scope}


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_a_token_does_what_its_scope_names_and_nothing_else(
    client: TestClient, robot: Someone, tokens: dict[Scope, Json], method: str, path: str, scope: Scope
):
    run = add_run(client, robot)
    refused = set()
    for mine, token in tokens.items():
        answer = client.request(method, path.format(run.id), headers=bearer(token), follow_redirects=False)
        refused |= {(mine, *refusal(answer))} if answer.status_code == 403 else set()
    assert refused == {(other, 403, "scope_missing") for other in Scope if other is not scope}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/sessions"),
        ("DELETE", "/v1/me"),
        ("PUT", "/v1/me/password"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/x"),
        ("GET", "/account"),
        ("POST", "/account/tokens"),
        ("POST", "/account/delete"),
    ],
)
def test_no_token_touches_the_account(client: TestClient, ada: Someone, method: str, path: str):
    token = make(client, ada, *Scope)
    assert refusal(client.request(method, path, headers=bearer(token))) == (403, "scope_missing")


def test_a_scope_gives_no_role(client: TestClient, ada: Someone):
    token = make(client, ada, *Scope)
    assert refusal(client.get("/v1/users", headers=bearer(token))) == (403, "not_allowed")
    assert refusal(client.get("/v1/dashboard?scope=everybody", headers=bearer(token))) == (403, "not_allowed")


def test_a_token_needs_no_origin_but_a_cookie_with_one_in_it_does(client: TestClient, ada: Someone):
    token = make(client, ada, Scope.WRITE)
    evil = {"Origin": "https://evil.example"}
    assert refusal(client.post("/v1/runs", json={"prediction": "x"}, headers={**bearer(token), **evil}))[0] == 404
    cookie = {"Cookie": f"session={token['secret']}"}
    assert refusal(client.post("/v1/runs", json={"prediction": "x"}, headers={**cookie, **evil}))[0] == 403


def test_a_token_opens_nothing_after_its_time(client: TestClient, ada: Someone, clock: Clock):
    token = make(client, ada, days=1)
    clock.ahead = DAY - HOUR
    assert opens(client, token)
    clock.ahead = DAY + timedelta(seconds=1)
    assert not opens(client, token)
    assert refusal(client.post("/v1/predictions", content=b"x", headers=bearer(token))) == (401, "not_signed_in")
    assert [listed["id"] for listed in client.get("/v1/tokens", headers=ada.headers).json()["tokens"]] == [token["id"]]


def test_a_revoked_token_opens_nothing_and_others_go_on(client: TestClient, ada: Someone):
    token, other = make(client, ada), make(client, ada)
    assert client.delete(f"/v1/tokens/{token['id']}", headers=ada.headers).status_code == 204
    assert (opens(client, token), opens(client, other)) == (False, True)
    assert refusal(client.delete(f"/v1/tokens/{token['id']}", headers=ada.headers)) == (404, "token_not_found")


def test_nobody_revokes_the_token_of_someone_else(client: TestClient, ada: Someone, bob: Someone):
    token = make(client, ada)
    assert refusal(client.delete(f"/v1/tokens/{token['id']}", headers=bob.headers)) == (404, "token_not_found")
    assert opens(client, token)


def test_a_token_opens_nothing_while_its_owner_is_disabled(client: TestClient, ada: Someone, storage: Storage):
    token = make(client, ada)
    storage.change_user(ada.user.id, disabled=True)
    assert not opens(client, token)
    storage.change_user(ada.user.id, disabled=False)
    assert opens(client, token)


def test_a_new_password_leaves_tokens_alone(client: TestClient, ada: Someone):
    token = make(client, ada)
    change = {"old": ada.credentials["password"], "new": "a new battery staple"}
    client.put("/v1/me/password", json=change, headers=ada.headers).raise_for_status()
    assert opens(client, token)


def test_it_is_noted_to_the_hour_when_a_token_was_last_used(client: TestClient, ada: Someone, clock: Clock):
    def last_used() -> datetime:
        return datetime.fromisoformat(client.get("/v1/tokens", headers=ada.headers).json()["tokens"][0]["last_used_at"])

    token = make(client, ada)
    assert opens(client, token)
    first = last_used()
    assert abs(first - datetime.now(UTC)) < timedelta(minutes=1)
    for ahead, noted in ((timedelta(minutes=59), timedelta(0)), (timedelta(minutes=61), timedelta(minutes=61))):
        clock.ahead = ahead
        assert opens(client, token)
        assert abs(last_used() - first - noted) < timedelta(seconds=30)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "x" * 61},
        {"name": 1},
        {"scopes": []},
        {"scopes": ["read", "wizardry"]},
        {"scopes": "read"},
        {"scopes": [["read"]]},
        {"days": 0},
        {"days": -1},
        {"days": 367},
        {"days": 1.5},
        {"days": True},
        {"days": 10**30},
        {"owner": "bob"},
    ],
    ids=str,
)
def test_a_token_that_makes_no_sense_is_refused(client: TestClient, ada: Someone, change: Json):
    body = {"name": "t", "scopes": ["read"], **change}
    assert refusal(client.post("/v1/tokens", json=body, headers=ada.headers)) == (400, "malformed_request")
    assert client.get("/v1/tokens", headers=ada.headers).json() == {"tokens": []}


def test_fifty_tokens_are_the_most(client: TestClient, ada: Someone):
    ids = [make(client, ada)["id"] for _ in range(50)]
    body = {"name": "t", "scopes": ["read"]}
    assert refusal(client.post("/v1/tokens", json=body, headers=ada.headers)) == (400, "malformed_request")
    client.delete(f"/v1/tokens/{ids[0]}", headers=ada.headers)
    assert client.post("/v1/tokens", json=body, headers=ada.headers).status_code == 201
