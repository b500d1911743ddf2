"""What every provider's fleet does. The local one runs only where a Docker engine is; see tests/e2e."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.collaborators import Fleet
from pipeline.errors import UsageError
from tests.fakes import STAGING, FakeFleet


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return FakeFleet(tmp_path)


def test_hosts_that_were_never_made_are_missing(fleet: Fleet):
    assert fleet.status(STAGING) == {"127.0.9.1": "missing"}


def test_hosts_that_are_up_run_and_have_an_inventory(fleet: Fleet):
    fleet.up(STAGING)
    assert fleet.status(STAGING) == {"127.0.9.1": "running"}
    assert fleet.inventory(STAGING).exists()


def test_hosts_that_are_up_stay_as_they_are(fleet: Fleet):
    fleet.up(STAGING)
    fleet.up(STAGING)
    assert fleet.status(STAGING) == {"127.0.9.1": "running"}


def test_hosts_that_were_removed_are_missing_and_have_no_inventory(fleet: Fleet):
    fleet.up(STAGING)
    fleet.down(STAGING)
    assert fleet.status(STAGING) == {"127.0.9.1": "missing"}
    with pytest.raises(UsageError, match="are not up"):
        fleet.inventory(STAGING)
