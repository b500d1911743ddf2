"""Pictures in, labels out: one at a time and several, with the real model."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.service.conftest import Someone, changed

# Answers of the published weights to these photographs (CC0), measured with Pillow's own resizing.
ESPRESSO = 967
CATS = {281, 282, 283, 284, 285}
ROCKET = 657  # ImageNet's "missile", which is all that it knows of rockets
File = tuple[str, tuple[str, bytes]]


def files(*pictures: bytes) -> list[File]:
    return [("image", ("picture", picture)) for picture in pictures]


def test_the_coffee_is_an_espresso(client: TestClient, pictures: dict[str, bytes]):
    answer = client.post("/v1/predictions", files={"image": ("coffee.jpg", pictures["coffee"])}).json()
    best = answer["predictions"][0]
    assert (best["index"], best["label"]) == (ESPRESSO, "espresso")
    assert best["probability"] == pytest.approx(0.957, abs=0.01)


def test_the_cat_is_one_of_the_cats(client: TestClient, pictures: dict[str, bytes]):
    answer = client.post("/v1/predictions", content=pictures["cat"]).json()
    assert answer["predictions"][0]["index"] in CATS


def test_an_answer_has_five_labels_best_first(client: TestClient, pictures: dict[str, bytes]):
    predictions = client.post("/v1/predictions", content=pictures["rocket"]).json()["predictions"]
    probabilities = [score["probability"] for score in predictions]
    assert [set(score) for score in predictions] == [{"label", "index", "probability"}] * 5
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < min(probabilities) <= sum(probabilities) <= 1


def test_labels_of_an_answer_belong_to_its_indices(client: TestClient, pictures: dict[str, bytes], root: Path):
    labels = (root / "service/models/efficientnet_lite0/labels.txt").read_text().splitlines()
    predictions = client.post("/v1/predictions", content=pictures["cat"]).json()["predictions"]
    assert [score["label"] for score in predictions] == [labels[score["index"]] for score in predictions]


def test_an_answer_names_the_model_and_the_release(client: TestClient, pictures: dict[str, bytes], root: Path):
    description = (root / "service/models/efficientnet_lite0/model.toml").read_bytes()
    answer = client.post("/v1/predictions", content=pictures["cat"]).json()
    assert answer["model"] == {"name": "efficientnet_lite0", "sha256": hashlib.sha256(description).hexdigest()}
    assert answer["release"] == "r" * 64
    assert answer["milliseconds"] > 0


def test_the_stamp_of_a_response_is_that_of_its_body(client: TestClient, pictures: dict[str, bytes]):
    responses = [client.post("/v1/predictions", content=body) for body in (pictures["cat"], b"rubbish")]
    ids = [response.headers["X-Request-Id"] for response in responses]
    assert [response.json()["request_id"] for response in responses] == ids
    assert ids[0] != ids[1]
    assert {response.headers["X-Release"] for response in responses} == {"r" * 64}


def test_a_form_and_a_raw_body_get_the_same_answer(client: TestClient, pictures: dict[str, bytes]):
    form = client.post("/v1/predictions", files={"image": ("cat.jpg", pictures["cat"], "image/jpeg")})
    raw = client.post("/v1/predictions", content=pictures["cat"])
    assert form.json()["predictions"] == raw.json()["predictions"]


def test_the_content_type_of_a_form_may_be_written_in_capitals(client: TestClient, pictures: dict[str, bytes]):
    head = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="cat.jpg"\r\n\r\n'
    body = head + pictures["cat"] + b"\r\n--edge--\r\n"
    response = client.post("/v1/predictions", content=body, headers={"Content-Type": "Multipart/Form-Data; boundary=edge"})
    assert response.status_code == 200


def test_answers_asked_for_at_once_belong_to_their_own_pictures(client: TestClient, pictures: dict[str, bytes]):
    def best(picture: bytes) -> int:
        return client.post("/v1/predictions", content=picture).json()["predictions"][0]["index"]

    alone = [best(picture) for picture in pictures.values()]
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(best, list(pictures.values()) * 2))
    assert together == alone * 2


def test_only_the_answer_to_someone_signed_in_has_an_id_to_save_it_by(client: TestClient, ada: Someone, pictures: dict[str, bytes]):
    known, stranger = (client.post("/v1/predictions", content=pictures["cat"], headers=who).json() for who in (ada.headers, {}))
    assert re.fullmatch(r"[0-9a-f]{32}", known["id"])
    assert stranger["id"] is None
    assert stranger["predictions"] == known["predictions"]


def test_sagemaker_gets_the_same_answer(client: TestClient, pictures: dict[str, bytes]):
    headers = {"Content-Type": "image/jpeg"}
    asked, plain = (client.post(path, content=pictures["cat"], headers=headers) for path in ("/invocations", "/v1/predictions"))
    assert (asked.status_code, asked.json()["predictions"]) == (200, plain.json()["predictions"])


def test_several_pictures_are_answered_in_their_order(client: TestClient, pictures: dict[str, bytes]):
    names = ["coffee", "rocket", "cat", "coffee"]
    answer = client.post("/v1/predictions/batch", files=files(*(pictures[name] for name in names)))
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [result["problem"] for result in results] == [None] * 4
    best = [result["prediction"]["predictions"][0]["index"] for result in results]
    assert (best[0], best[1], best[2] in CATS, best[3]) == (ESPRESSO, ROCKET, True, ESPRESSO)


def test_a_bad_picture_among_several_fails_alone(client: TestClient, pictures: dict[str, bytes]):
    bodies = (pictures["cat"], b"rubbish", b"", pictures["cat"][:9000], pictures["coffee"])
    answer = client.post("/v1/predictions/batch", files=files(*bodies))
    results = answer.json()["results"]
    assert answer.status_code == 200
    codes = [result["problem"] and result["problem"]["code"] for result in results]
    assert codes == [None, "bad_image", "empty_image", "truncated_image", None]
    assert [result["prediction"] is None for result in results] == [False, True, True, True, False]
    assert results[4]["prediction"]["predictions"][0]["index"] == ESPRESSO


def test_every_part_of_a_batch_carries_the_id_of_its_request(client: TestClient, pictures: dict[str, bytes]):
    answer = client.post("/v1/predictions/batch", files=files(pictures["cat"], b"rubbish"))
    good, bad = answer.json()["results"]
    told = {
        answer.headers["X-Request-Id"],
        answer.json()["request_id"],
        good["prediction"]["request_id"],
        bad["problem"]["request_id"],
    }
    assert len(told) == 1


def test_every_answer_of_a_batch_can_be_saved_by_who_is_signed_in(client: TestClient, ada: Someone, pictures: dict[str, bytes]):
    bodies = files(pictures["cat"], b"rubbish", pictures["coffee"])
    results = client.post("/v1/predictions/batch", files=bodies, headers=ada.headers).json()["results"]
    made = [result["prediction"]["id"] for result in results if result["prediction"]]
    kept = [client.post("/v1/runs", json={"prediction": id}, headers=ada.headers).json() for id in made]
    assert [run["predictions"][0]["index"] in {ESPRESSO, *CATS} for run in kept] == [True, True]
    assert [run["predictions"][0]["label"] for run in kept] == [
        results[number]["prediction"]["predictions"][0]["label"] for number in (0, 2)
    ]


def test_as_many_pictures_as_are_allowed_are_answered_and_one_more_is_refused(client: TestClient, pictures: dict[str, bytes]):
    with changed(client, settings={"max_images": 2}):
        fits, over = (client.post("/v1/predictions/batch", files=files(*[pictures["cat"]] * number)) for number in (2, 3))
    assert (fits.status_code, len(fits.json()["results"])) == (200, 2)
    assert (over.status_code, over.json()["code"]) == (413, "too_many_images")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"files": {"other": ("a.jpg", b"x")}}, 400, "image_missing"),
        ({"data": {"image": "text"}, "files": {"other": b"x"}}, 400, "image_missing"),
        ({"content": b"a raw body"}, 400, "malformed_request"),
        ({"files": [*files(b"x"), *files(bytes(10_000_001))]}, 413, "body_too_large"),
        ({"files": files(*[bytes(9_900_000)] * 5)}, 413, "body_too_large"),
    ],
    ids=["no file", "a text", "no form", "one too large", "all together too large"],
)
def test_a_batch_that_cannot_be_read_is_refused_whole(client: TestClient, request_: dict[str, object], status: int, code: str):
    answer = client.post("/v1/predictions/batch", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/v1/predictions", "/invocations", "/v1/predictions/batch"])
def test_where_guests_are_not_wanted_one_has_to_sign_in_first(
    client: TestClient, ada: Someone, pictures: dict[str, bytes], path: str
):
    with changed(client, settings={"guests": False}):
        guest, known = (client.post(path, files=files(pictures["cat"]), headers=who) for who in ({}, ada.headers))
    assert (guest.status_code, guest.json()["code"], known.status_code) == (401, "not_signed_in", 200)


def test_every_label_of_the_model_is_listed(client: TestClient, pictures: dict[str, bytes]):
    answer = client.get("/v1/labels")
    best = client.post("/v1/predictions", content=pictures["coffee"]).json()["predictions"][0]
    assert (len(answer.json()["labels"]), answer.json()["labels"][ESPRESSO]) == (1000, best["label"])
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
