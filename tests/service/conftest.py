"""The service behind its front door, with the real model and a store of each test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from service.app import build_app
from service.settings import Settings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A running application whose model is ready."""
    database = tmp_path_factory.mktemp("service") / "service.db"
    settings = Settings(database=str(database), release="r" * 64, commit="c" * 40, lock="l" * 64)
    with TestClient(build_app(settings), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def wait_until_ready(client: TestClient) -> None:
    end = time.monotonic() + 30
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < end, "the model never became ready"
        time.sleep(0.05)
