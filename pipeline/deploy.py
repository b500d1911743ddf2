"""Puts a release on the hosts of an environment, through the playbooks and in no other way."""

from __future__ import annotations

from pipeline.collaborators import Fleet
from pipeline.playbook import Playbooks
from pipeline.release import Release
from pipeline.settings import EnvironmentSettings


def deploy_variables(release: Release, ready_seconds: int) -> dict[str, object]:
    """What deploy.yml is told of a release."""
    return {
        "service_image": release.image,
        "service_release": release.id,
        "service_commit": release.commit,
        "service_ready_seconds": ready_seconds,
    }


class AnsibleDeployer:
    """Runs deploy.yml and settle.yml against the fleet's inventory."""

    def __init__(self, playbooks: Playbooks, fleet: Fleet, ready_seconds: int) -> None:
        self._playbooks = playbooks
        self._fleet = fleet
        self._ready_seconds = ready_seconds

    def deploy(self, release: Release, environment: EnvironmentSettings) -> None:
        inventory = self._fleet.inventory(environment)
        self._playbooks.run("deploy", inventory=inventory, variables=deploy_variables(release, self._ready_seconds))

    def settle(self, release_id: str, environment: EnvironmentSettings) -> None:
        inventory = self._fleet.inventory(environment)
        self._playbooks.run("settle", inventory=inventory, variables={"service_kept_release": release_id})
