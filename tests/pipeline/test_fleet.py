"""What every provider's fleet does; the local one on the machine's real Docker engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.collaborators import Fleet
from pipeline.errors import UsageError
from pipeline.fleet.local import LocalFleet
from pipeline.image import DockerImages
from pipeline.settings import Settings
from tests.fakes import STAGING, FakeFleet, Silence


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.docker)])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    if request.param == "fake":
        yield FakeFleet(tmp_path)
        return
    settings = Settings(project=f"slipway-contract-{os.getpid()}", environments=(STAGING,))
    images = DockerImages(settings, tmp_path, Silence())
    fleet = LocalFleet(settings, tmp_path, Silence(), images.base, provision=lambda inventory, name: None)
    yield fleet
    fleet.everything_down()


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
