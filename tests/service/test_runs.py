"""A prediction, kept and looked at again; nobody else's."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image
from starlette.responses import Response
from starlette.testclient import TestClient

from service.records import Run
from service.storage.protocol import Storage
from tests.service.conftest import DAY, HOUR, PICTURES, Clock, Someone, add_run, someone, storage_of

JANUARY = datetime(2026, 1, 10, 12, tzinfo=UTC)
Json = dict[str, object]


def save(client: TestClient, who: Someone, prediction: object, key: str | None = None, **said: object) -> Response:
    headers = who.headers if key is None else {**who.headers, "Idempotency-Key": key}
    return client.post("/v1/runs", json={"prediction": prediction, **said}, headers=headers)


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def counted(storage: Storage, who: Someone, key: str) -> int:
    today = datetime.now(UTC).date()
    return sum(tally.counts.get(key, 0) for tally in storage.tallies(who.user.id, today - DAY, today))


@pytest.fixture
def prediction(client: TestClient, ada: Someone, pictures: dict[str, bytes]) -> Json:
    """An answer to ada that waits to be saved."""
    return client.post("/v1/predictions", content=pictures["cat"], headers=ada.headers).raise_for_status().json()


@pytest.fixture
def saved(client: TestClient, ada: Someone, prediction: Json) -> Json:
    """A run that ada kept."""
    return save(client, ada, prediction["id"], note=" my cat ", truth="tiger cat").raise_for_status().json()


@pytest.fixture
def waiting(client: TestClient, ada: Someone) -> str:
    """A run of ada's that waits to be saved, and that no model made."""
    return add_run(client, ada, save=False).id


def test_a_saved_run_is_what_the_model_said(saved: Json, prediction: Json):
    same = ("id", "predictions", "release", "milliseconds")
    assert [saved[key] for key in same] == [prediction[key] for key in same]
    assert (saved["model"], saved["note"], saved["truth"]) == ("efficientnet_lite0", "my cat", "tiger cat")
    for key in ("made_at", "saved_at"):
        assert abs(datetime.fromisoformat(str(saved[key])) - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_save_leads_to_the_run(client: TestClient, ada: Someone, prediction: Json):
    answer = save(client, ada, prediction["id"])
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/runs/{prediction['id']}")
    assert client.get(answer.headers["Location"], headers=ada.headers).json() == answer.json()


def test_a_saved_run_is_listed_and_shown(client: TestClient, ada: Someone, saved: Json):
    assert client.get("/v1/runs", headers=ada.headers).json() == {"runs": [saved], "next": None}
    assert client.get(f"/v1/runs/{saved['id']}", headers=ada.headers).json() == saved


def test_note_and_truth_may_be_left_out_and_the_note_is_cut_at_500_characters(client: TestClient, ada: Someone, waiting: str):
    bare = save(client, ada, waiting).json()
    assert (bare["note"], bare["truth"]) == ("", None)
    assert save(client, ada, waiting, note="ö" * 501).json()["note"] == "ö" * 500


@pytest.mark.parametrize("truth", ["ESPRESSO", "espresso", "  Espresso "])
def test_a_true_label_is_known_whatever_its_case(client: TestClient, ada: Someone, waiting: str, truth: str):
    assert save(client, ada, waiting, truth=truth).json()["truth"] == "espresso"


def test_a_true_label_that_the_model_does_not_know_is_refused_with_near_ones(client: TestClient, ada: Someone, waiting: str):
    answer = save(client, ada, waiting, truth="expresso")
    assert refusal(answer) == (422, "unknown_label")
    assert answer.json()["detail"].startswith("the model has no label 'expresso'; near are espresso")
    assert refusal(client.get(f"/v1/runs/{waiting}", headers=ada.headers)) == (404, "run_not_found")


def test_an_answer_that_is_not_saved_is_neither_listed_nor_shown(client: TestClient, ada: Someone, waiting: str):
    assert client.get("/v1/runs", headers=ada.headers).json()["runs"] == []
    assert refusal(client.get(f"/v1/runs/{waiting}", headers=ada.headers)) == (404, "run_not_found")


@pytest.mark.parametrize("path", ["/v1/runs/{}", "/v1/runs/{}/picture", "/v1/runs/{}/thumbnail", "/runs/{}", "/pictures/{}"])
def test_a_run_is_not_there_for_anyone_else(client: TestClient, bob: Someone, saved: Json, path: str):
    assert refusal(client.get(path.format(saved["id"]), headers=bob.headers)) == (404, "run_not_found")


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"note": "mine"}), ("DELETE", None)])
def test_nobody_changes_the_run_of_someone_else(
    client: TestClient, ada: Someone, bob: Someone, saved: Json, method: str, body: Json | None
):
    path = f"/v1/runs/{saved['id']}"
    assert refusal(client.request(method, path, json=body, headers=bob.headers)) == (404, "run_not_found")
    assert client.get(path, headers=ada.headers).json() == saved


def test_an_answer_to_someone_else_cannot_be_saved(client: TestClient, ada: Someone, bob: Someone, waiting: str):
    assert refusal(save(client, bob, waiting, note="mine")) == (404, "prediction_not_found")
    assert client.get("/v1/runs", headers=bob.headers).json()["runs"] == []
    assert save(client, ada, waiting).json()["note"] == ""


@pytest.mark.parametrize("fields", [{"note": 1}, {"truth": ["cat"]}, {"note": "half \ud800"}, {"more": "x"}])
def test_what_is_said_of_a_run_has_to_be_text(client: TestClient, ada: Someone, saved: Json, fields: Json):
    body = re.sub("\ud800", r"\\ud800", repr(fields).replace("'", '"'))
    answer = client.patch(f"/v1/runs/{saved['id']}", content=body, headers=ada.headers)
    assert refusal(answer) == (400, "malformed_request")


def test_saving_twice_is_one_run_with_the_later_note_and_the_first_time(client: TestClient, ada: Someone, saved: Json):
    again = save(client, ada, saved["id"], note="later")
    assert again.status_code == 201
    assert client.get("/v1/runs", headers=ada.headers).json()["runs"] == [{**saved, "note": "later"}]


def test_the_same_request_with_the_same_key_is_done_once(client: TestClient, ada: Someone, waiting: str, storage: Storage):
    first = save(client, ada, waiting, key="k", note="first")
    again = save(client, ada, waiting, key="k", note="first")
    assert (again.status_code, again.json(), again.headers["Location"]) == (201, first.json(), first.headers["Location"])
    assert (counted(storage, ada, "predictions"), counted(storage, ada, "saved")) == (1, 1)


def test_a_request_that_is_repeated_with_its_key_undoes_nothing_that_came_after_it(client: TestClient, ada: Someone, waiting: str):
    save(client, ada, waiting, key="k", note="first")
    client.patch(f"/v1/runs/{waiting}", json={"note": "second"}, headers=ada.headers)
    assert save(client, ada, waiting, key="k", note="first").json()["note"] == "second"
    assert save(client, ada, waiting, note="first").json()["note"] == "first"


@pytest.mark.parametrize("said", [{"note": "other"}, {"truth": "espresso"}, {}])
def test_another_request_with_the_same_key_is_refused(client: TestClient, ada: Someone, waiting: str, said: Json):
    save(client, ada, waiting, key="k", note="first")
    assert refusal(save(client, ada, waiting, key="k", **said)) == (422, "key_reused")
    assert refusal(save(client, ada, add_run(client, ada, save=False).id, key="k", note="first")) == (422, "key_reused")
    assert client.get(f"/v1/runs/{waiting}", headers=ada.headers).json()["note"] == "first"


def test_a_key_belongs_to_its_user_and_lives_for_a_day(client: TestClient, ada: Someone, bob: Someone, clock: Clock):
    mine, theirs, later = (add_run(client, who, save=False).id for who in (ada, bob, ada))
    assert [save(client, ada, mine, key="k").status_code, save(client, bob, theirs, key="k").status_code] == [201, 201]
    assert refusal(save(client, ada, later, key="k")) == (422, "key_reused")
    clock.ahead = DAY + HOUR
    assert save(client, ada, mine, key="k", note="another").json()["note"] == "another"


def test_a_save_that_was_refused_may_be_sent_again_mended_with_another_key(client: TestClient, ada: Someone, waiting: str):
    assert refusal(save(client, ada, waiting, key="1", truth="nonsense")) == (422, "unknown_label")
    assert save(client, ada, waiting, key="1", truth="espresso").status_code == 201


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_1_to_255_characters(client: TestClient, ada: Someone, waiting: str, key: str):
    assert refusal(save(client, ada, waiting, key=key)) == (400, "malformed_request")
    assert save(client, ada, waiting, key="k" * 255).status_code == 201


@pytest.mark.parametrize("key", [None, "k"], ids=["no key", "one key"])
def test_one_prediction_that_is_saved_by_many_at_once_is_kept_once(
    client: TestClient, ada: Someone, waiting: str, storage: Storage, key: str | None
):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: save(client, ada, waiting, key=key, note="mine"), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert counted(storage, ada, "saved") == 1
    assert [run["id"] for run in client.get("/v1/runs", headers=ada.headers).json()["runs"]] == [waiting]


def test_of_many_requests_with_one_key_at_once_one_is_done(client: TestClient, ada: Someone, waiting: str):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: save(client, ada, waiting, key="k", note=str(number)), range(8)))
    done = [answer.json()["note"] for answer in answers if answer.status_code == 201]
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 7
    assert client.get(f"/v1/runs/{waiting}", headers=ada.headers).json()["note"] == done[0]


@pytest.mark.parametrize(
    ("change", "note", "truth"),
    [
        ({"note": "new"}, "new", "tiger cat"),
        ({"truth": "Espresso"}, "my cat", "espresso"),
        ({"truth": ""}, "my cat", None),
        ({"note": "", "truth": "espresso"}, "", "espresso"),
        ({}, "my cat", "tiger cat"),
    ],
)
def test_a_change_keeps_what_is_not_sent(client: TestClient, ada: Someone, saved: Json, change: Json, note: str, truth: str | None):
    answer = client.patch(f"/v1/runs/{saved['id']}", json=change, headers=ada.headers)
    assert (answer.status_code, answer.json()) == (200, {**saved, "note": note, "truth": truth})


def test_a_change_of_what_is_not_saved_or_not_there_is_refused(client: TestClient, ada: Someone, waiting: str):
    for run in (waiting, "0" * 32, "x"):
        assert refusal(client.patch(f"/v1/runs/{run}", json={"note": "x"}, headers=ada.headers)) == (404, "run_not_found")


def test_a_change_to_a_label_that_the_model_does_not_know_is_refused(client: TestClient, ada: Someone, saved: Json):
    answer = client.patch(f"/v1/runs/{saved['id']}", json={"truth": "catt", "note": "new"}, headers=ada.headers)
    assert refusal(answer) == (422, "unknown_label")
    assert client.get(f"/v1/runs/{saved['id']}", headers=ada.headers).json() == saved


@pytest.mark.parametrize("save_it", [True, False], ids=["saved", "waiting"])
def test_a_deleted_run_is_gone_with_its_pictures_and_its_counts(client: TestClient, ada: Someone, storage: Storage, save_it: bool):
    run = add_run(client, ada, save=save_it, truth="espresso" if save_it else None)
    assert client.delete(f"/v1/runs/{run.id}", headers=ada.headers).status_code == 204
    assert refusal(client.get(f"/v1/runs/{run.id}/picture", headers=ada.headers)) == (404, "run_not_found")
    assert refusal(save(client, ada, run.id)) == (404, "prediction_not_found")
    assert refusal(client.delete(f"/v1/runs/{run.id}", headers=ada.headers)) == (404, "run_not_found")
    assert (storage.pictures(run), counted(storage, ada, "predictions"), counted(storage, ada, "judged")) == (None, 0, 0)


def test_an_answer_that_was_never_saved_is_forgotten_after_its_time(
    client: TestClient, ada: Someone, prediction: Json, clock: Clock
):
    kept = add_run(client, ada)
    clock.ahead = HOUR + timedelta(seconds=1)
    assert refusal(save(client, ada, prediction["id"])) == (404, "prediction_not_found")
    assert refusal(client.get(f"/v1/runs/{prediction['id']}/picture", headers=ada.headers)) == (404, "run_not_found")
    assert client.get(f"/v1/runs/{kept.id}", headers=ada.headers).status_code == 200


def test_what_has_expired_is_cleared_away_and_what_was_saved_stays(client: TestClient, ada: Someone, storage: Storage):
    old, kept = add_run(client, ada, save=False, made_at=JANUARY), add_run(client, ada, made_at=JANUARY)
    storage.forget_expired(JANUARY + HOUR + timedelta(seconds=1))
    assert storage.pictures(old) is None
    assert storage.pictures(kept) == PICTURES


@pytest.fixture
def photograph(pictures: dict[str, bytes]) -> bytes:
    """A picture with everything in it that tells of its maker."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x010F], exif[0x8298], exif[0x0112] = "a secret camera", "a secret owner", 6
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)
    picture = Image.open(io.BytesIO(pictures["coffee"]))
    picture.save(file, "JPEG", exif=exif, comment=b"a secret comment", icc_profile=b"a secret profile")
    assert file.getvalue().count(b"a secret") == 4
    return file.getvalue()


def test_a_stored_picture_has_the_pixels_upright_and_nothing_else(client: TestClient, ada: Someone, photograph: bytes):
    made = client.post("/v1/predictions", content=photograph, headers=ada.headers).json()["id"]
    run = save(client, ada, made).json()["picture"]
    answers = [client.get(run[kind], headers=ada.headers) for kind in ("url", "thumbnail")]
    shown = [Image.open(io.BytesIO(answer.content)) for answer in answers]
    sent = Image.open(io.BytesIO(photograph)).size
    assert (shown[0].size, sent) == ((run["width"], run["height"]), (run["height"], run["width"]))
    assert (240 <= max(shown[1].size) <= 320, len(answers[0].content)) == (True, run["bytes"])
    assert [b"secret" in answer.content for answer in answers] == [False, False]
    assert [(dict(picture.getexif()), "icc_profile" in picture.info, "comment" in picture.info) for picture in shown] == [
        ({}, False, False)
    ] * 2


def test_pictures_of_waiting_and_saved_runs_are_shown_to_their_owner_alone(client: TestClient, ada: Someone, waiting: str):
    for run in (waiting, add_run(client, ada).id):
        picture, thumbnail = (client.get(f"/v1/runs/{run}/{kind}", headers=ada.headers) for kind in ("picture", "thumbnail"))
        assert (picture.content, picture.headers["Content-Type"]) == (PICTURES.picture, "image/png")
        assert (thumbnail.content, thumbnail.headers["Content-Type"]) == (PICTURES.thumbnail, "image/jpeg")
        for answer in (picture, thumbnail):
            assert (answer.headers["X-Content-Type-Options"], answer.headers["Vary"]) == ("nosniff", "Cookie")
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
            assert answer.headers["Cache-Control"].startswith("private")


def test_a_picture_has_the_type_of_its_bytes_whatever_its_sender_said(client: TestClient, ada: Someone, pictures: dict[str, bytes]):
    files = {"image": ("evil.html", pictures["cat"], "text/html")}
    made = client.post("/v1/predictions", files=files, headers=ada.headers).json()
    assert client.get(f"/v1/runs/{made['id']}/picture", headers=ada.headers).headers["Content-Type"] == "image/jpeg"


@pytest.fixture(scope="module")
def collector(client: TestClient) -> Someone:
    return someone(client)


@pytest.fixture(scope="module")
def collection(client: TestClient, collector: Someone) -> list[Run]:
    """Twenty runs, newest first: two a day, made at the same moment."""
    labels = [
        ("tabby, tabby cat", "lynx"),
        ("espresso", "cup"),
        ("coffee mug", "espresso"),
        ("Egyptian cat", "tabby"),
        ("cup", "mug"),
    ]
    runs = [
        add_run(
            client, collector, labels[number % 5], made_at=JANUARY + DAY * (number // 2), release=f"release-{number % 3}",
            truth="espresso" if number in (9, 14) else "",
        )
        for number in range(20)
    ]  # fmt: skip
    add_run(client, collector, save=False, made_at=JANUARY)
    return sorted(runs, key=lambda run: (run.made_at, run.id), reverse=True)


def found(client: TestClient, who: Someone, **query: object) -> list[str]:
    """The ids of every page."""
    ids, after = [], {}
    while True:
        answer = client.get("/v1/runs", params={**query, **after}, headers=who.headers).raise_for_status().json()
        assert len(answer["runs"]) <= int(str(query.get("limit", 50)))
        assert len(ids) < 1000, "the pages have no end"
        ids += [run["id"] for run in answer["runs"]]
        if answer["next"] is None:
            return ids
        after = {"after": answer["next"]}


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 200])
def test_pages_follow_each_other_without_loss_or_double(client: TestClient, collector: Someone, collection: list[Run], limit: int):
    assert found(client, collector, limit=limit) == [run.id for run in collection]


def test_a_run_that_is_saved_between_two_pages_moves_nothing(client: TestClient, ada: Someone):
    runs = [add_run(client, ada, made_at=JANUARY - DAY * number) for number in range(4)]
    first = client.get("/v1/runs", params={"limit": 2}, headers=ada.headers).json()
    add_run(client, ada)
    storage_of(client).delete_run(ada.user.id, runs[1].id)
    second = client.get("/v1/runs", params={"limit": 2, "after": first["next"]}, headers=ada.headers).json()
    assert [run["id"] for run in (*first["runs"], *second["runs"])] == [run.id for run in runs]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({"label": "tabby"}, lambda run: "tabby" in run.top.label),
        ({"label": "CAT"}, lambda run: "cat" in run.top.label),
        ({"label": "cat egyptian"}, lambda run: run.top.label == "Egyptian cat"),
        ({"label": "espresso"}, lambda run: "espresso" in (run.top.label, run.truth)),
        ({"label": "lynx"}, lambda run: False),
        ({"release": "release-1"}, lambda run: run.release == "release-1"),
        ({"release": "release"}, lambda run: False),
        ({"label": "cup", "release": "release-1"}, lambda run: run.top.label == "cup" and run.release == "release-1"),
        ({"since": "2026-01-12"}, lambda run: run.made_at >= JANUARY + DAY * 2),
        ({"until": "2026-01-12"}, lambda run: run.made_at <= JANUARY + DAY * 2),
        ({"since": "2026-01-12", "until": "2026-01-12"}, lambda run: run.made_at == JANUARY + DAY * 2),
        ({"since": "2026-01-12T12:00:00Z"}, lambda run: run.made_at >= JANUARY + DAY * 2),
        ({"until": "2026-01-12T12:00:00+00:00"}, lambda run: run.made_at < JANUARY + DAY * 2),
        ({"since": "2026-01-12T13:00:00+01:00"}, lambda run: run.made_at >= JANUARY + DAY * 2),
        ({"label": "", "release": "", "since": "", "until": "", "after": ""}, lambda run: True),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("limit", [2, 50])
def test_a_search_finds_what_was_asked_for(
    client: TestClient, collector: Someone, collection: list[Run], query: dict[str, str], wanted: object, limit: int
):
    assert found(client, collector, **query, limit=limit) == [run.id for run in collection if wanted(run)]  # type: ignore[operator]


def test_a_corrected_run_is_found_by_its_new_label_and_no_longer_by_the_old(client: TestClient, ada: Someone):
    run = add_run(client, ada, ("coffee mug",), truth="lemon")
    client.patch(f"/v1/runs/{run.id}", json={"truth": "teapot"}, headers=ada.headers)
    assert [found(client, ada, label=label) for label in ("lemon", "teapot", "mug")] == [[], [run.id], [run.id]]


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "-1", "201", "1.5", "many", "²", "", "1" * 5000)),
        *(
            {name: date}
            for name in ("since", "until")
            for date in ("yesterday", "2026-13-01", "1.1.2026", "0001-01-01T00:00:00+14:00")
        ),
        *({"after": cursor} for cursor in ("x", "ä", "MjAyNg", "e30=", "MjAyNi0wMS0wMSBhYmM", "!" * 3000)),
        {"label": "a\0b"},
        {"release": "\0"},
    ],
    ids=lambda query: str(query)[:40],
)
def test_a_nonsensical_search_is_refused(client: TestClient, ada: Someone, query: dict[str, str]):
    assert refusal(client.get("/v1/runs", params=query, headers=ada.headers)) == (400, "malformed_request")


@pytest.fixture(autouse=True)
def nobody_stays_signed_in(client: TestClient) -> Iterator[None]:
    yield
    assert not client.cookies
