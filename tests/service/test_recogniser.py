"""The model from its description to its answers: what is checked before it is loaded, and what is said while it cannot answer."""

from __future__ import annotations

import asyncio
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.app import build_app
from service.errors import ConfigError, ModelUnavailable, Overloaded
from service.inference.description import MODELS, ModelDescription, read_description
from service.inference.recogniser import Recogniser
from service.records import Score
from tests.service.conftest import settings_in, wait_until_ready

MODEL = "efficientnet_lite0"
BLACK = -np.ones((3, 224, 224), np.float32)


@pytest.fixture(scope="module")
def description() -> ModelDescription:
    return read_description(MODEL)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models of this test's own, to be damaged."""
    shutil.copytree(MODELS / MODEL, tmp_path / MODEL)
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_description_is_addressed_by_its_own_hash(models: Path, description: ModelDescription):
    edit(models / MODEL / "model.toml", "# EfficientNet", "# Another EfficientNet")
    assert read_description(MODEL, models).labels == description.labels
    assert read_description(MODEL, models).sha256 != description.sha256


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('sha256 = "5793', 'sha256 = "0000', "its description says 0000"),
        ('sha256 = "ee4f', 'sha256 = "0000', "its description says 0000"),
        ('file = "labels.txt"', 'file = "names.txt"', "cannot read .*names.txt"),
        ("efficientnet-lite0-57934424.pth", "another.pth", "cannot read .*another.pth"),
        ('package = "eff', 'package = "no_such_eff', "is not installed"),
    ],
    ids=["weights", "labels", "no labels", "no weights", "no package"],
)
def test_a_model_that_is_not_the_described_one_is_refused(models: Path, old: str, new: str, message: str):
    edit(models / MODEL / "model.toml", old, new)
    with pytest.raises(ConfigError, match=message):
        read_description(MODEL, models)


def test_labels_that_were_edited_are_refused(models: Path):
    edit(models / MODEL / "labels.txt", "espresso", "cappuccino")
    with pytest.raises(ConfigError, match=r"labels\.txt has sha256"):
        read_description(MODEL, models)


@pytest.mark.parametrize("text", ["architecture =", "architecture = 'x'", "labels = 3"])
def test_a_description_that_cannot_be_read_is_refused(models: Path, text: str):
    (models / MODEL / "model.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"model\.toml cannot be read"):
        read_description(MODEL, models)


def test_a_missing_model_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="there is no model 'gpt'"):
        build_app(replace(settings_in(tmp_path), model="gpt"))


def test_a_model_that_is_not_loaded_answers_nobody(description: ModelDescription):
    with pytest.raises(ModelUnavailable):
        asyncio.run(Recogniser(description, threads=1, queue=1).recognise(BLACK))


def test_a_full_queue_refuses_and_takes_pictures_again_afterwards(description: ModelDescription):
    async def crowd() -> tuple[list[object], tuple[Score, ...]]:
        recogniser = Recogniser(description, threads=1, queue=2)
        await recogniser.start()
        answers = await asyncio.gather(*(recogniser.recognise(BLACK) for _ in range(5)), return_exceptions=True)
        later = await recogniser.recognise(BLACK, top=3)
        recogniser.stop()
        return answers, later

    answers, later = asyncio.run(crowd())
    assert [type(answer) for answer in answers] == [tuple, tuple, Overloaded, Overloaded, Overloaded]
    assert [score.index for score in later] == [score.index for score in answers[0][:3]]


def test_a_picture_beyond_the_queue_is_refused_before_it_is_decoded(client: TestClient, pictures: dict[str, bytes]):
    # To decode first and count afterwards would hold a crowd of large pictures in memory, and answer or blame this one.
    recogniser = client.app.state.tools.recogniser
    with recogniser.place(client.app.state.tools.settings.queue):
        answers = [client.post("/v1/predictions", content=body) for body in (pictures["cat"], b"rubbish")]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(429, "overloaded")] * 2


@pytest.mark.parametrize("damage", ["weights", "labels", "architecture"])
def test_a_model_that_cannot_be_loaded_is_reported_as_fatal(tmp_path: Path, description: ModelDescription, damage: str):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    damaged = {"weights": tmp_path / "weights.pth", "labels": description.labels[1:], "architecture": "another"}
    died = threading.Event()
    app = build_app(settings_in(tmp_path), on_fatal=died.set)
    app.state.tools.recogniser.description = replace(description, **{damage: damaged[damage]})
    with TestClient(app) as client:
        assert died.wait(30)
        assert client.get("/readyz").status_code == 503


def test_a_service_that_ends_takes_its_decoders_along(tmp_path: Path):
    app = build_app(replace(settings_in(tmp_path), decoders=2))
    with TestClient(app) as client:
        wait_until_ready(client)
        decoders = app.state.tools.decoders.pids()
    assert len(decoders) == 2
    assert [Path(f"/proc/{decoder}").exists() for decoder in decoders] == [False, False]
