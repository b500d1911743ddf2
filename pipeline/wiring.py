"""From settings to concrete adapters: the only module that knows them all."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline import image
from pipeline.collaborators import Story, Tools
from pipeline.deploy import AnsibleDeployer
from pipeline.engine import Engine
from pipeline.fleet.local import LocalFleet
from pipeline.gates import dependencies
from pipeline.gates.load import read_budget
from pipeline.hosts import HttpHosts
from pipeline.jenkins.controller import Controller
from pipeline.jenkins.desk import GROUPS, Desk
from pipeline.ledger.local import LocalLedger
from pipeline.lint import Linters
from pipeline.loadtest import LocustLoad
from pipeline.playbook import Playbooks
from pipeline.repository import Repository
from pipeline.settings import Settings, read_secrets
from pipeline.testrun import PytestRunner


@dataclass(frozen=True, slots=True)
class Machine:
    """What belongs to this machine rather than to a release: its engine, the local registry, the way to a Jenkins."""

    engine: Engine
    registry_up: Callable[[], None]
    has_hosts: Callable[[], bool]
    jenkins: Callable[[], Desk]


def wire(settings: Settings, root: Path, story: Story) -> tuple[Tools, Machine]:
    """The collaborators of every use case, for this machine and these settings."""
    state = (root / settings.state).resolve()
    state.mkdir(parents=True, exist_ok=True)
    images = image.DockerImages(settings, root, story)

    def playbooks(name: str) -> Playbooks:
        return Playbooks(root / "ansible", sys.executable, state / "logs" / f"{name}.jsonl", story)

    def provision(inventory: Path, name: str) -> None:
        playbooks(f"provision-{name}").run("provision", inventory=inventory)

    fleet = LocalFleet(settings, root, story, images.base, provision)
    tools = Tools(
        settings=settings,
        root=root,
        ledger=LocalLedger(state / "ledger.jsonl"),
        commits=Repository(root / settings.repository, state),
        images=images,
        fleet=fleet,
        deployer=AnsibleDeployer(playbooks("deploy"), fleet, settings.ready_seconds),
        load=LocustLoad(root / "loadtests", sys.executable, state / "load"),
        tests=PytestRunner(sys.executable, state / "reports", story),
        lint=Linters(sys.executable, state / "reports", state / "mypy", story),
        hosts=HttpHosts(),
        check_dependencies=lambda folder: dependencies.check(folder, dependencies.installed_packages()),
        budget=read_budget,
        story=story,
        who=who(os.environ),
        now=lambda: datetime.now(UTC),
    )

    def jenkins() -> Desk:
        token = read_secrets(os.environ, state / "secrets").jenkins_token
        controller = Controller(settings.jenkins_url, settings.jenkins_user, token, groups=GROUPS, on_trouble=story.note)
        return Desk(controller, settings.jenkins_job, state / "builds", story)

    return tools, Machine(Engine(image.engine_answers, state), fleet.registry_up, fleet.made, jenkins)


def who(environ: Mapping[str, str]) -> str:
    """Who acts: a build of Jenkins by its address, which says who started and who approved it, else the person at this machine."""
    return environ.get("BUILD_URL") or f"{getpass.getuser()}@{socket.gethostname()}"


def repository_root() -> Path:
    """The checkout that this code is in."""
    return Path(__file__).resolve().parent.parent
