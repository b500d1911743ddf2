"""One shipyard for all tests that ship: raising it takes minutes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shipyard import Shipyard, raise_shipyard, take_down


@pytest.fixture(scope="session")
def shipyard(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Shipyard]:
    """The files of this checkout as they are now; everything is taken down at the end."""
    shipyard = raise_shipyard(tmp_path_factory.mktemp("shipyard"), f"slipway-e2e-{os.getpid()}", root, load_seconds=10)
    try:
        yield shipyard
    finally:
        take_down(shipyard)
