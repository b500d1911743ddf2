from __future__ import annotations

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
