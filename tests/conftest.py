"""What all tests share: where things are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A file whose every test is left out by `-m` is not even imported: that is a third of what the fast tests take."""
    if collection_path.suffix != ".py":
        return None
    marked = re.search(r"^pytestmark = pytest\.mark\.(\w+)$", collection_path.read_text(), re.MULTILINE)
    return True if marked and re.search(rf"\bnot {marked[1]}\b", config.option.markexpr) else None


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Name -> bytes of the photographs that are shipped."""
    return {path.stem: path.read_bytes() for path in (ROOT / "loadtests" / "images").glob("*.jpg")}
