"""What admins do with users: it holds from the user's next request on, and there is always an admin."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from service.records import Role
from service.storage.protocol import Storage
from tests.service.conftest import PASSWORD, Someone, add_run, opened, settings_in, someone, storage_of

Json = dict[str, object]
NEW = "a new battery staple"


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def change(client: TestClient, by: Someone, who: Someone, **fields: object) -> Response:
    return client.patch(f"/v1/users/{who.user.id}", json=fields, headers=by.headers)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[TestClient]:
    """A service of a test's own, so that its admins can be counted."""
    with opened(settings_in(tmp_path)) as client:
        yield client


def test_users_are_listed_by_name_in_pages(alone: TestClient):
    admin = someone(alone, Role.ADMIN, "m-admin")
    names = sorted([*(f"user-{number:03}" for number in range(104)), "m-admin"])
    for name in reversed(names):
        if name != "m-admin":
            someone(alone, name=name)
    pages, after = [], ""
    while after is not None:
        page = alone.get("/v1/users", params={"after": after}, headers=admin.headers).raise_for_status().json()
        pages.append([user["name"] for user in page["users"]])
        after = page["next"]
    assert ([len(page) for page in pages], [name for page in pages for name in page]) == ([50, 50, 5], names)


def test_a_page_of_exactly_fifty_users_is_the_last(alone: TestClient):
    admin = someone(alone, Role.ADMIN, "zz-admin")
    for number in range(49):
        someone(alone, name=f"user-{number:03}")
    page = alone.get("/v1/users", headers=admin.headers).json()
    assert (len(page["users"]), page["next"]) == (50, None)
    assert page["users"][-1] == alone.get("/v1/me", headers=admin.headers).json()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/users"), ("PATCH", "/v1/users/x"), ("DELETE", "/v1/users/x")])
def test_only_admins_see_and_change_users(client: TestClient, role: Role, method: str, path: str):
    answer = client.request(method, path, headers=someone(client, role).headers)
    assert refusal(answer) == (403, "not_allowed")


def test_a_role_holds_from_the_next_request_of_a_living_session(client: TestClient, admin: Someone, ada: Someone):
    def may() -> list[int]:
        return [client.get(path, headers=ada.headers).status_code for path in ("/v1/dashboard?scope=everybody", "/v1/users")]

    seen = [may()]
    for role in ("operator", "admin", "viewer"):
        assert change(client, admin, ada, role=role).json()["role"] == role
        seen.append(may())
    assert seen == [[403, 403], [200, 403], [200, 200], [403, 403]]


def test_a_disabled_user_can_do_nothing_from_the_next_request_on(client: TestClient, admin: Someone, ada: Someone):
    run = add_run(client, ada)
    token = client.post("/v1/tokens", json={"name": "t", "scopes": ["read"]}, headers=ada.headers).json()["secret"]
    assert change(client, admin, ada, disabled=True).json()["disabled"] is True
    for headers in (ada.headers, {"Authorization": f"Bearer {token}"}):
        assert refusal(client.get("/v1/runs", headers=headers)) == (401, "not_signed_in")
    assert refusal(client.post("/v1/sessions", json=ada.credentials)) == (401, "wrong_password")
    assert change(client, admin, ada, disabled=False).json()["disabled"] is False
    again = client.post("/v1/sessions", json=ada.credentials).json()["token"]
    client.cookies.clear()
    listed = client.get("/v1/runs", headers={"Authorization": f"Bearer {again}"}).json()["runs"]
    assert [one["id"] for one in listed] == [run.id]
    assert client.get("/v1/runs", headers=ada.headers).status_code == 401


def test_a_session_of_a_user_who_was_disabled_past_the_door_opens_nothing(client: TestClient, ada: Someone, storage: Storage):
    storage.change_user(ada.user.id, disabled=True)
    assert refusal(client.get("/v1/me", headers=ada.headers)) == (401, "not_signed_in")


def test_a_new_password_from_an_admin_ends_every_session(client: TestClient, admin: Someone, ada: Someone):
    assert change(client, admin, ada, password=NEW).status_code == 200
    assert client.get("/v1/me", headers=ada.headers).status_code == 401
    answers = [client.post("/v1/sessions", json={"name": ada.user.name, "password": word}) for word in (PASSWORD, NEW)]
    client.cookies.clear()
    assert [answer.status_code for answer in answers] == [401, 201]


def test_a_deleted_user_is_gone_with_everything(client: TestClient, admin: Someone, ada: Someone, storage: Storage):
    run = add_run(client, ada)
    assert client.delete(f"/v1/users/{ada.user.id}", headers=admin.headers).status_code == 204
    assert client.get("/v1/me", headers=ada.headers).status_code == 401
    assert [item for item in storage.items() if ada.user.id in repr(item)] == []
    assert storage.pictures(run) is None
    assert refusal(client.delete(f"/v1/users/{ada.user.id}", headers=admin.headers)) == (404, "user_not_found")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (400, "malformed_request")),
        ({"role": None, "disabled": None}, (400, "malformed_request")),
        ({"role": "wizard"}, (400, "malformed_request")),
        ({"disabled": "yes"}, (400, "malformed_request")),
        ({"disabled": 1}, (400, "malformed_request")),
        ({"name": "other"}, (400, "malformed_request")),
        ({"password": "short"}, (422, "weak_password")),
        ({"role": "admin", "password": "password1"}, (422, "weak_password")),
    ],
    ids=str,
)
def test_a_change_that_makes_no_sense_changes_nothing(
    client: TestClient, admin: Someone, ada: Someone, storage: Storage, fields: Json, expected: tuple[int, str]
):
    assert refusal(change(client, admin, ada, **fields)) == expected
    assert storage.user(ada.user.id) == ada.user
    assert client.get("/v1/me", headers=ada.headers).status_code == 200


def test_a_user_who_is_not_there_is_not_found(client: TestClient, admin: Someone):
    assert refusal(client.patch("/v1/users/x", json={"disabled": True}, headers=admin.headers)) == (404, "user_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/v1/users/{}", {"role": "viewer"}),
        ("PATCH", "/v1/users/{}", {"role": "operator", "disabled": False}),
        ("PATCH", "/v1/users/{}", {"disabled": True}),
        ("DELETE", "/v1/users/{}", None),
        ("DELETE", "/v1/me", {"password": PASSWORD}),
    ],
)
def test_the_last_admin_stays_until_there_is_another(alone: TestClient, method: str, path: str, body: Json | None):
    admin, ada = someone(alone, Role.ADMIN), someone(alone)
    ask = (method, path.format(admin.user.id))
    assert refusal(alone.request(*ask, json=body, headers=admin.headers)) == (409, "last_admin")
    assert (storage_of(alone).user(admin.user.id), storage_of(alone).admins()) == (admin.user, 1)
    change(alone, admin, ada, role="admin").raise_for_status()
    assert alone.request(*ask, json=body, headers=admin.headers).is_success
    assert storage_of(alone).admins() == 1


def test_a_disabled_admin_is_no_other_admin(alone: TestClient):
    admin, other = someone(alone, Role.ADMIN), someone(alone, Role.ADMIN)
    change(alone, admin, other, disabled=True).raise_for_status()
    assert refusal(change(alone, admin, admin, role="viewer")) == (409, "last_admin")


def test_a_disabled_admin_may_go_while_there_is_another(alone: TestClient):
    admin, *others = (someone(alone, Role.ADMIN) for _ in range(3))
    for other in others:
        change(alone, admin, other, disabled=True).raise_for_status()
    assert change(alone, admin, others[0], role="viewer").status_code == 200
    assert dismiss(alone, admin, others[1]).status_code == 204


def test_the_last_admin_may_take_another_password(alone: TestClient):
    admin = someone(alone, Role.ADMIN)
    assert change(alone, admin, admin, password=NEW, role="admin").status_code == 200
    assert storage_of(alone).admins() == 1


def demote(client: TestClient, by: Someone, who: Someone) -> Response:
    return change(client, by, who, role="viewer")


def dismiss(client: TestClient, by: Someone, who: Someone) -> Response:
    return client.delete(f"/v1/users/{who.user.id}", headers=by.headers)


def leave(client: TestClient, by: Someone, who: Someone) -> Response:
    return client.request("DELETE", "/v1/me", json={"password": PASSWORD}, headers=who.headers)


@pytest.mark.parametrize("go", [demote, dismiss, leave])
def test_of_two_admins_who_go_at_the_same_moment_one_stays(alone: TestClient, go: object):
    for _ in range(2):
        first, second = someone(alone, Role.ADMIN), someone(alone, Role.ADMIN)
        with ThreadPoolExecutor(2) as threads:
            pairs = ((first, second), (second, first))
            answers = list(threads.map(lambda pair: go(alone, *pair), pairs))  # type: ignore[operator]
        assert sum(answer.is_success for answer in answers) <= 1, [answer.text for answer in answers]
        assert storage_of(alone).admins() >= 1
        for who in (first, second):
            storage_of(alone).delete_user(who.user.id)
