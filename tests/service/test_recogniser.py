"""The model from its description to its answers: what is checked before it is loaded, and what is said while it cannot answer."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.app import build_app
from service.errors import ConfigError, ModelUnavailable, Overloaded
from service.inference.description import MODELS, ModelDescription, read_description
from service.inference.recogniser import Recogniser
from service.records import Score
from service.settings import Settings
from tests.service.conftest import wait_until_ready

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
        build_app(Settings(model="gpt", database=str(tmp_path / "service.db")))


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
    assert later == answers[0][:3]


def test_a_picture_beyond_the_queue_is_refused_before_it_is_decoded(tmp_path: Path, pictures: dict[str, bytes]):
    # To decode first and count afterwards would hold a crowd of large pictures in memory, and answer the small one here.
    file = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(file, "PNG", compress_level=1)
    app = build_app(Settings(queue=1, database=str(tmp_path / "service.db")))
    with TestClient(app) as client, ThreadPoolExecutor(1) as thread:
        wait_until_ready(client)
        large = thread.submit(client.post, "/v1/predictions", content=file.getvalue())
        time.sleep(0.1)
        answer = client.post("/v1/predictions", content=pictures["cat"])
        assert (answer.status_code, answer.headers.get("Retry-After"), answer.json().get("code")) == (429, "1", "overloaded")
        assert large.result().status_code == 200


def test_a_service_without_its_model_lives_and_is_not_ready(tmp_path: Path, pictures: dict[str, bytes]):
    client = TestClient(build_app(Settings(database=str(tmp_path / "service.db"))))  # never entered, so nothing is loaded
    answer = client.post("/v1/predictions", content=pictures["cat"])
    assert (answer.status_code, answer.json()["code"], answer.headers["Retry-After"]) == (503, "model_unavailable", "1")
    assert [client.get(path).status_code for path in ("/livez", "/readyz", "/version", "/")] == [200, 503, 200, 200]


@pytest.mark.parametrize("damage", ["weights", "labels", "architecture"])
def test_a_model_that_cannot_be_loaded_is_reported_as_fatal(tmp_path: Path, description: ModelDescription, damage: str):
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    damaged = {"weights": tmp_path / "weights.pth", "labels": description.labels[1:], "architecture": "another"}
    died = threading.Event()
    app = build_app(Settings(database=str(tmp_path / "service.db")), on_fatal=died.set)
    app.state.tools.recogniser.description = replace(description, **{damage: damaged[damage]})
    with TestClient(app) as client:
        assert died.wait(30)
        assert client.get("/readyz").status_code == 503


def test_a_service_with_a_wrong_setting_ends_with_one_line(root: Path):
    environ = {"SERVICE_DATABSE": "x", "PYTHONPATH": str(root)}
    ended = subprocess.run([sys.executable, "-m", "service"], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == ["error: unknown setting SERVICE_DATABSE"]
