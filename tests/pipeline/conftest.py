"""The pipeline's use cases over fakes, and short names for walking them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import commands
from pipeline.release import Release
from tests.fakes import Shop, make_shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Nothing shipped yet; the hosts are up."""
    shop = make_shop(tmp_path)
    commands.fleet_up(shop.tools, ())
    return shop


def made(shop: Shop, commit: str) -> Release:
    """A release of the commit, checked and tested."""
    commands.check(shop.tools, commit)
    commands.test(shop.tools, commit)
    return commands.build(shop.tools, commit, lambda files: "lock", lambda files: "model")


def staged(shop: Shop, commit: str) -> Release:
    """A release of the commit that is live on staging and passed its load test."""
    release = made(shop, commit)
    commands.deploy(shop.tools, "staging", release.id)
    commands.loadtest(shop.tools, "staging")
    return release


def shipped(shop: Shop, commit: str) -> Release:
    """A release of the commit that is live everywhere."""
    release = staged(shop, commit)
    commands.promote(shop.tools, "staging", "production")
    return release
