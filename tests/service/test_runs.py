"""A prediction, kept and looked at again; nobody else's."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from service import runs
from service.errors import RunNotFound
from service.records import Score, User

NOW = datetime(2020, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCORES = (Score("cat", 281, 0.9), Score("dog", 151, 0.1))


@dataclass(frozen=True, slots=True)
class Someone:
    """A user who is signed in, as the headers that say so."""

    user: User
    headers: dict[str, str]


def someone(client: TestClient, name: str) -> Someone:
    """Past the front door, where passwords are hashed slowly; test_accounts.py goes through it."""
    storage, user, token = client.app.state.tools.storage, User(f"id-of-{name}", name), f"token-of-{name}"
    storage.add_user(user, "no password has this hash")
    storage.add_session(hashlib.sha256(token.encode()).hexdigest(), user.id, datetime.now(UTC) + HOUR)
    return Someone(user, {"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def ada(client: TestClient) -> Someone:
    return someone(client, "ada")


@pytest.fixture(scope="module")
def bob(client: TestClient) -> Someone:
    return someone(client, "bob")


@pytest.fixture
def prediction(client: TestClient, ada: Someone, pictures: dict[str, bytes]) -> dict[str, object]:
    """An answer to ada that waits to be saved."""
    return client.post("/v1/predictions", content=pictures["cat"], headers=ada.headers).raise_for_status().json()


@pytest.fixture
def saved(client: TestClient, ada: Someone, prediction: dict[str, object]) -> dict[str, object]:
    """A run that ada kept."""
    body = {"prediction": prediction["id"], "note": " my cat "}
    return client.post("/v1/runs", json=body, headers=ada.headers).raise_for_status().json()


def test_only_the_answer_to_someone_signed_in_has_an_id(
    client: TestClient, prediction: dict[str, object], pictures: dict[str, bytes]
):
    stranger = client.post("/v1/predictions", content=pictures["cat"]).json()
    assert re.fullmatch(r"[0-9a-f]{16}", str(prediction["id"]))
    assert stranger["id"] is None


def test_a_saved_run_is_what_the_model_said(saved: dict[str, object], prediction: dict[str, object]):
    kept = ("id", "predictions", "release")
    assert [saved[key] for key in kept] == [prediction[key] for key in kept]
    assert (saved["model"], saved["note"], saved["saved"]) == ("efficientnet_lite0", "my cat", True)
    assert abs(datetime.fromisoformat(str(saved["made_at"])) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_saved_run_is_listed_and_shown(client: TestClient, ada: Someone, saved: dict[str, object]):
    assert client.get("/v1/runs", headers=ada.headers).json()["runs"][0] == saved
    assert client.get(f"/v1/runs/{saved['id']}", headers=ada.headers).json() == saved


def test_a_picture_comes_back_as_it_was_sent(
    client: TestClient, ada: Someone, saved: dict[str, object], pictures: dict[str, bytes]
):
    answer = client.get(str(saved["picture"]), headers=ada.headers)
    assert answer.content == pictures["cat"]
    assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert answer.headers["Cache-Control"] == "private"


def test_a_picture_has_the_type_of_its_bytes_whatever_its_sender_said(client: TestClient, ada: Someone, pictures: dict[str, bytes]):
    files = {"image": ("evil.html", pictures["cat"], "text/html")}
    made = client.post("/v1/predictions", files=files, headers=ada.headers).json()
    assert client.get(f"/v1/runs/{made['id']}/picture", headers=ada.headers).headers["Content-Type"] == "image/jpeg"


def test_saving_twice_is_one_run_with_the_later_note(client: TestClient, ada: Someone, saved: dict[str, object]):
    again = client.post("/v1/runs", json={"prediction": saved["id"], "note": "later"}, headers=ada.headers)
    listed = client.get("/v1/runs", headers=ada.headers).json()["runs"]
    assert again.status_code == 201
    assert [run["note"] for run in listed if run["id"] == saved["id"]] == ["later"]


def test_an_answer_that_is_not_saved_is_not_listed(client: TestClient, ada: Someone, prediction: dict[str, object]):
    listed = client.get("/v1/runs", headers=ada.headers).json()["runs"]
    assert prediction["id"] not in [run["id"] for run in listed]


def test_the_note_may_be_left_out_and_is_cut_at_500_characters(client: TestClient, ada: Someone, prediction: dict[str, object]):
    bare = client.post("/v1/runs", json={"prediction": prediction["id"]}, headers=ada.headers)
    long = client.post("/v1/runs", json={"prediction": prediction["id"], "note": "ö" * 501}, headers=ada.headers)
    assert bare.json()["note"] == ""
    assert long.json()["note"] == "ö" * 500


@pytest.mark.parametrize("path", ["/v1/runs/{}", "/v1/runs/{}/picture", "/runs/{}"])
def test_a_run_is_not_there_for_anyone_else(client: TestClient, bob: Someone, saved: dict[str, object], path: str):
    answer = client.get(path.format(saved["id"]), headers=bob.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "run_not_found")


def test_an_answer_to_someone_else_cannot_be_saved(client: TestClient, ada: Someone, bob: Someone, prediction: dict[str, object]):
    answer = client.post("/v1/runs", json={"prediction": prediction["id"], "note": "mine"}, headers=bob.headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "prediction_not_found")
    assert client.get("/v1/runs", headers=bob.headers).json() == {"runs": []}
    assert client.get(f"/v1/runs/{prediction['id']}", headers=ada.headers).json()["saved"] is False


@pytest.mark.parametrize("fields", [{}, {"prediction": 1}, {"prediction": "x", "note": None}])
def test_a_save_without_its_fields_is_refused(client: TestClient, ada: Someone, fields: dict[str, object]):
    answer = client.post("/v1/runs", json=fields, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


def test_a_note_of_half_a_character_is_refused(client: TestClient, ada: Someone, prediction: dict[str, object]):
    body = f'{{"prediction": "{prediction["id"]}", "note": "\\ud800"}}'
    answer = client.post("/v1/runs", content=body, headers=ada.headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/runs"), ("POST", "/v1/runs"), ("GET", "/v1/runs/x"), ("GET", "/v1/runs/x/picture"), ("DELETE", "/v1/sessions")],
)
def test_nothing_is_kept_or_shown_without_a_session(client: TestClient, method: str, path: str):
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


def test_an_answer_that_was_never_saved_is_forgotten_after_its_time(client: TestClient, bob: Someone):
    storage, identity = client.app.state.tools.storage, client.app.state.tools.identity

    def made(now: datetime) -> str:
        return runs.remember(storage, bob.user, b"x", "image/png", SCORES, identity, now=now, unsaved_for=HOUR).id

    old, kept = made(NOW), made(NOW)
    runs.save(storage, bob.user, kept, "")
    made(NOW + HOUR)
    assert runs.one(storage, bob.user, old)[1] == b"x"
    made(NOW + HOUR + timedelta(seconds=1))
    assert runs.one(storage, bob.user, kept)[1] == b"x"
    with pytest.raises(RunNotFound):
        runs.one(storage, bob.user, old)
