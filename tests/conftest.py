"""What all tests share: where things are."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Name -> bytes of the photographs that are shipped."""
    return {path.stem: path.read_bytes() for path in (ROOT / "loadtests" / "images").glob("*.jpg")}
