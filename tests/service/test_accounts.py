"""Signing up, in and out, changing the password and leaving, through the front door."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from service import accounts, attempts, passwords
from service.attempts import Source
from service.errors import TooManyAttempts, WrongPassword
from service.records import Role, User
from service.storage.protocol import Storage
from service.tallies import EVERYBODY
from tests.service.conftest import OWN_PAGE, PASSWORD, Clock, Someone, add_run, changed, someone

NEW = "a new battery staple"


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def sign_in(client: TestClient, name: str, password: str = PASSWORD, **headers: str) -> Response:
    client.cookies.clear()
    answer = client.post("/v1/sessions", json={"name": name, "password": password}, headers=headers)
    client.cookies.clear()
    return answer


def opens(client: TestClient, token: str) -> bool:
    answers = (
        client.get("/v1/me", headers=header) for header in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"session={token}"})
    )
    bearer, cookie = (answer.status_code for answer in answers)
    assert bearer == cookie
    return bearer == 200


@pytest.fixture(autouse=True)
def without_cookies(client: TestClient) -> Iterator[None]:
    yield
    client.cookies.clear()


def test_a_new_user_is_a_viewer_with_an_id_and_a_salt_of_their_own(client: TestClient, storage: Storage):
    answers = [client.post("/v1/users", json={"name": name, "password": PASSWORD}) for name in ("grace", "lin")]
    (grace, of_grace), (_, of_lin) = storage.find_user("grace"), storage.find_user("lin")
    created_at = grace.created_at.isoformat()
    shown = {"id": grace.id, "name": "grace", "role": "viewer", "disabled": False, "created_at": created_at}
    assert (answers[0].status_code, answers[0].json()) == (201, shown)
    assert abs(grace.created_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert of_grace != of_lin


def test_who_signed_up_signs_in_and_is_known(client: TestClient):
    made = client.post("/v1/users", json={"name": "alan", "password": PASSWORD}).json()
    answer = sign_in(client, "alan")
    known = client.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['token']}"})
    assert (answer.status_code, known.json()) == (201, made)


def test_a_name_belongs_to_the_first_who_took_it(client: TestClient, ada: Someone):
    answer = client.post("/v1/users", json={"name": ada.user.name, "password": "another password"})
    assert refusal(answer) == (409, "name_taken")


def test_of_two_who_take_a_name_at_once_one_gets_it(client: TestClient):
    body = {"name": "twins", "password": PASSWORD}
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: client.post("/v1/users", json=body).status_code, range(2)))
    assert sorted(answers) == [201, 409]


@pytest.mark.parametrize("name", ["", "a", "Ada", "a b", "-ada", "ada\n", "a" * 33, "<b>ada</b>", "ädå", "../ada"])
def test_a_bad_name_is_refused(client: TestClient, name: str):
    assert refusal(client.post("/v1/users", json={"name": name, "password": PASSWORD})) == (422, "invalid_name")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257, "password1", "PASSWORD1", "marie-curie", "Marie-Curie1867!"])
def test_a_password_that_is_short_long_well_known_or_the_name_is_refused(client: TestClient, password: str):
    answer = client.post("/v1/users", json={"name": "marie-curie", "password": password})
    assert refusal(answer) == (422, "weak_password")
    assert not password or password not in answer.text


def test_where_sign_up_is_closed_only_admins_make_accounts(client: TestClient, ada: Someone, admin: Someone):
    with changed(client, settings={"sign_up": False}):
        answers = [
            client.post("/v1/users", json={"name": name, "password": PASSWORD}, headers=who)
            for name, who in (("by-nobody", {}), ("by-ada", ada.headers), ("by-admin", admin.headers))
        ]
    assert [refusal(answer) for answer in answers[:2]] == [(403, "sign_up_closed")] * 2
    assert answers[2].status_code == 201


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_nobody_gives_themselves_a_role(client: TestClient, operator: Someone, role: str):
    for who in ({}, operator.headers):
        answer = client.post("/v1/users", json={"name": "mighty", "password": PASSWORD, "role": role}, headers=who)
        assert refusal(answer) == (403, "not_allowed")


def test_an_admin_makes_an_account_with_a_role(client: TestClient, admin: Someone):
    body = {"name": "watcher", "password": PASSWORD, "role": "operator"}
    answer = client.post("/v1/users", json=body, headers=admin.headers)
    assert (answer.status_code, answer.json()["role"]) == (201, "operator")
    assert refusal(client.post("/v1/users", json={**body, "role": "wizard"}, headers=admin.headers)) == (400, "malformed_request")


def test_a_wrong_password_and_an_unknown_name_look_alike(client: TestClient, ada: Someone):
    wrong, unknown = sign_in(client, ada.user.name, "correct horsf"), sign_in(client, "nobody")
    assert [refusal(wrong), refusal(unknown)] == [(401, "wrong_password")] * 2
    assert {**wrong.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert "Set-Cookie" not in wrong.headers


def test_a_disabled_user_does_not_sign_in(client: TestClient, storage: Storage, ada: Someone):
    storage.change_user(ada.user.id, disabled=True)
    assert refusal(sign_in(client, ada.user.name)) == (401, "wrong_password")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic YWRhOnB3", "bearer \xe9", "Token {}", "Bearer slipway_x"])
def test_what_is_no_token_opens_nothing(client: TestClient, ada: Someone, header: str):
    answer = client.get("/v1/me", headers={"Authorization": header.format(ada.token).encode("latin-1")})
    assert refusal(answer) == (401, "not_signed_in")


def test_a_bad_token_is_refused_even_where_guests_are_welcome(client: TestClient, pictures: dict[str, bytes]):
    headers = {"Authorization": "Bearer expired"}
    assert refusal(client.post("/v1/predictions", content=pictures["cat"], headers=headers)) == (401, "not_signed_in")
    assert client.post("/v1/predictions", content=pictures["cat"], headers={"Cookie": "session=expired", **OWN_PAGE}).is_success


def test_a_session_ends_when_it_is_deleted_and_others_go_on(client: TestClient, ada: Someone):
    client.post("/v1/sessions", json=ada.credentials).raise_for_status()
    ended = client.cookies["session"]
    assert opens(client, ended)
    assert client.delete("/v1/sessions", headers=OWN_PAGE).status_code == 204
    assert "session" not in client.cookies
    assert (opens(client, ended), opens(client, ada.token)) == (False, True)


def test_signing_in_again_in_a_browser_ends_its_session_before(client: TestClient, ada: Someone):
    first, second = (client.post("/v1/sessions", json=ada.credentials, headers=OWN_PAGE).json()["token"] for _ in range(2))
    assert (opens(client, first), opens(client, second), opens(client, ada.token)) == (False, True, True)


def test_a_session_cookie_is_kept_from_scripts_other_sites_and_plain_http(client: TestClient, ada: Someone):
    with changed(client, settings={"secure_cookies": True}):
        cookies = sign_in(client, ada.user.name).headers.get_list("Set-Cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == ["session", "device"]
    for cookie, seconds in zip(cookies, (14 * 24 * 3600, 180 * 24 * 3600), strict=True):
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"httponly", "samesite=lax", "secure", "path=/", f"max-age={seconds}"} <= parts


def test_a_session_opens_nothing_after_two_weeks(client: TestClient, ada: Someone, clock: Clock):
    token = sign_in(client, ada.user.name).json()["token"]
    clock.ahead = timedelta(days=13, hours=23)
    assert opens(client, token)
    clock.ahead = timedelta(days=14, hours=1)
    assert not opens(client, token)


def test_passwords_and_tokens_are_not_stored_in_clear(client: TestClient, ada: Someone):
    token = sign_in(client, ada.user.name).json()["token"]
    database = Path(client.app.state.tools.settings.database)
    stored = b"".join(path.read_bytes() for path in database.parent.iterdir() if path.is_file())
    assert ada.user.name.encode() in stored
    assert hashlib.sha256(token.encode()).hexdigest().encode() in stored
    assert PASSWORD.encode() not in stored
    assert token.encode() not in stored


def test_a_password_does_not_open_with_something_appended(storage: Storage):
    accounts.sign_up(storage, "long", "x" * 256, now=datetime.now(UTC))
    with pytest.raises(WrongPassword):
        accounts.sign_in(storage, "long", "x" * 257, Source("here"), now=datetime.now(UTC), lifetime=timedelta(hours=1))


def test_a_password_that_an_older_release_kept_opens_and_is_kept_anew(client: TestClient, storage: Storage):
    salt = bytes(16)
    key = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=2**15, r=8, p=3, dklen=32, maxmem=2**27).hex()
    storage.add_user(User("0ld", "elder", Role.VIEWER, datetime.now(UTC)), f"{salt.hex()}${key}")
    assert [sign_in(client, "elder").status_code for _ in range(2)] == [201, 201]
    kept = storage.find_user("elder")[1]
    assert (kept.startswith("$argon2id$"), passwords.outdated(kept)) == (True, False)


def guessed(storage: Storage, name: str, times: int, address: str = "testclient") -> None:
    """So many wrong passwords for the name, without the time that hashing them takes."""
    for _ in range(times):
        with suppress(TooManyAttempts):
            attempts.begin(storage, name, Source(address), datetime.now(UTC))


def test_ten_wrong_passwords_are_the_most_for_a_name_from_one_address(
    client: TestClient, storage: Storage, ada: Someone, bob: Someone
):
    guessed(storage, ada.user.name, 9)
    assert refusal(sign_in(client, ada.user.name, "wrong password")) == (401, "wrong_password")
    blocked = sign_in(client, ada.user.name)
    assert (*refusal(blocked), blocked.headers["Retry-After"]) == (429, "too_many_attempts", "900")
    assert sign_in(client, bob.user.name).status_code == 201


def test_wrong_passwords_are_forgotten_after_a_quarter_of_an_hour(client: TestClient, storage: Storage, ada: Someone, clock: Clock):
    guessed(storage, ada.user.name, 11)
    assert refusal(sign_in(client, ada.user.name)) == (429, "too_many_attempts")
    clock.ahead = timedelta(minutes=15, seconds=1)
    assert sign_in(client, ada.user.name).status_code == 201


def test_right_passwords_are_not_counted(client: TestClient, storage: Storage, ada: Someone):
    guessed(storage, ada.user.name, 9)
    assert [sign_in(client, ada.user.name).status_code for _ in range(2)] == [201, 201]


def test_however_many_guess_at_a_name_its_owners_browser_gets_in(client: TestClient, storage: Storage, ada: Someone, bob: Someone):
    device = sign_in(client, ada.user.name).cookies["device"]
    for address in range(6):
        guessed(storage, ada.user.name, 9, f"10.0.0.{address}")
    assert refusal(sign_in(client, ada.user.name)) == (429, "too_many_attempts")
    known = {"Cookie": f"device={device}", **OWN_PAGE}
    assert sign_in(client, ada.user.name, **known).status_code == 201
    guessed(storage, bob.user.name, 11)
    assert refusal(sign_in(client, bob.user.name, **known)) == (429, "too_many_attempts")


def test_a_hundred_wrong_passwords_are_the_most_from_one_address(client: TestClient, storage: Storage, ada: Someone):
    for number in range(11):
        guessed(storage, f"name-{number}", 10, "10.1.0.1")
    there, elsewhere = (TestClient(client.app, client=(address, 50000)) for address in ("10.1.0.1", "10.1.0.2"))
    assert refusal(sign_in(there, ada.user.name)) == (429, "too_many_attempts")
    assert sign_in(elsewhere, ada.user.name).status_code == 201


def test_a_changed_password_ends_every_session(client: TestClient, ada: Someone, bob: Someone):
    other = sign_in(client, ada.user.name).json()["token"]
    answer = client.put("/v1/me/password", json={"old": PASSWORD, "new": NEW}, headers=ada.headers)
    assert answer.status_code == 204
    assert [opens(client, token) for token in (other, ada.token, bob.token)] == [False, False, True]
    assert [sign_in(client, ada.user.name, password).status_code for password in (PASSWORD, NEW)] == [401, 201]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [("wrong password", NEW, (401, "wrong_password")), (PASSWORD, "password1", (422, "weak_password"))],
    ids=["old", "new"],
)
def test_a_password_that_cannot_be_changed_stays(
    client: TestClient, storage: Storage, ada: Someone, old: str, new: str, expected: tuple[int, str]
):
    before = storage.find_user(ada.user.name)
    assert refusal(client.put("/v1/me/password", json={"old": old, "new": new}, headers=ada.headers)) == expected
    assert storage.find_user(ada.user.name) == before
    assert opens(client, ada.token)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("PUT", "/v1/me/password", {"old": PASSWORD, "new": NEW}), ("DELETE", "/v1/me", {"password": PASSWORD})],
)
def test_a_stolen_session_does_not_guess_the_password(
    client: TestClient, storage: Storage, ada: Someone, method: str, path: str, body: dict[str, str]
):
    guessed(storage, ada.user.name, 10)
    assert refusal(client.request(method, path, json=body, headers=ada.headers)) == (429, "too_many_attempts")
    assert storage.user(ada.user.id)


def test_who_leaves_leaves_nothing(client: TestClient, storage: Storage, bob: Someone, pictures: dict[str, bytes]):
    zoe = someone(client, name="zoe-who-leaves")
    sign_in(client, zoe.user.name)
    client.post("/v1/tokens", json={"name": "t", "scopes": ["read"]}, headers=zoe.headers).raise_for_status()
    made = client.post("/v1/predictions", content=pictures["cat"], headers=zoe.headers).json()["id"]
    key = {**zoe.headers, "Idempotency-Key": "k"}
    client.post("/v1/runs", json={"prediction": made, "note": "zoe's"}, headers=key).raise_for_status()
    runs = [add_run(client, zoe, save=False), add_run(client, zoe)]
    assert sum("zoe" in repr(item) or zoe.user.id in repr(item) for item in storage.items()) >= 7
    assert client.request("DELETE", "/v1/me", json={"password": PASSWORD}, headers=zoe.headers).status_code == 204
    left = list(storage.items())
    assert [item for item in left if "zoe" in repr(item) or zoe.user.id in repr(item) or made in repr(item)] == []
    assert [storage.pictures(run) for run in runs] == [None, None]
    assert list(storage.problems(mend=False)) == []
    assert not opens(client, zoe.token)


def test_who_has_left_still_counts_for_everybody_and_the_name_is_free(client: TestClient, storage: Storage):
    yan = someone(client, name="yan")
    today = add_run(client, yan).made_at.date()
    before = storage.tallies(EVERYBODY, today, today)
    client.request("DELETE", "/v1/me", json={"password": PASSWORD}, headers=yan.headers).raise_for_status()
    assert storage.tallies(EVERYBODY, today, today) == before
    assert client.post("/v1/users", json={"name": "yan", "password": PASSWORD}).status_code == 201


def test_leaving_takes_the_password(client: TestClient, ada: Someone):
    answer = client.request("DELETE", "/v1/me", json={"password": "wrong password"}, headers=ada.headers)
    assert refusal(answer) == (401, "wrong_password")
    assert opens(client, ada.token)


def test_leaving_takes_the_cookie_away(client: TestClient, ada: Someone):
    client.post("/v1/sessions", json=ada.credentials)
    assert client.request("DELETE", "/v1/me", json={"password": PASSWORD}, headers=OWN_PAGE).status_code == 204
    assert "session" not in client.cookies


UNSAFE = (
    "POST /v1/predictions", "POST /v1/predictions/batch", "POST /invocations", "POST /v1/sessions", "DELETE /v1/sessions",
    "POST /v1/users", "PATCH /v1/users/x", "DELETE /v1/users/x", "POST /v1/set-up", "DELETE /v1/me", "PUT /v1/me/password",
    "POST /v1/tokens", "DELETE /v1/tokens/x", "POST /v1/runs", "PATCH /v1/runs/x", "DELETE /v1/runs/x", "POST /", "POST /runs",
    "POST /runs/x", "POST /runs/x/delete", "POST /sign-in", "POST /sign-up", "POST /set-up", "POST /sign-out",
    "POST /account/password", "POST /account/tokens", "POST /account/tokens/x/revoke", "POST /account/delete", "POST /users",
    "POST /users/x",
)  # fmt: skip


@pytest.mark.parametrize(
    "sent_by",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}, {}],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing(client: TestClient, admin: Someone, sent_by: dict[str, str]):
    headers = {"Cookie": f"session={admin.token}", **sent_by}
    answers = {door: client.request(*door.split(), headers=headers, content=b"{}") for door in UNSAFE}
    assert {door: refusal(answer) for door, answer in answers.items()} == dict.fromkeys(UNSAFE, (403, "foreign_origin"))
    assert opens(client, admin.token)


@pytest.mark.parametrize("sent_by", [OWN_PAGE, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}], ids=str)
def test_a_page_of_this_site_may_act(client: TestClient, ada: Someone, sent_by: dict[str, str]):
    headers = {"Cookie": f"session={ada.token}", **sent_by}
    assert refusal(client.post("/v1/runs", headers=headers, json={"prediction": "none"})) == (404, "prediction_not_found")
