from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

# Answers of the published weights to these photographs (CC0), measured with Pillow's own resizing.
ESPRESSO = 967
CATS = {281, 282, 283, 284, 285}


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


def test_version_names_everything_that_runs(client: TestClient, root: Path):
    description = (root / "service/models/efficientnet_lite0/model.toml").read_bytes()
    assert client.get("/version").json() == {
        "release": "r" * 64,
        "commit": "c" * 40,
        "image": "none",
        "lock": "l" * 64,
        "model": {"name": "efficientnet_lite0", "sha256": hashlib.sha256(description).hexdigest()},
    }


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
