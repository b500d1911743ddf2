"""The real command line over a fleet of paper: `python -m pipeline …` as a build calls it, without Docker, hosts or load.

Settings, verbs, gates, the ledger and git are the real ones. What tests/fakes.py stands in for is kept in the folder $PAPER, so
that the next process finds it, and goes as `plan.json` says there, call by call: {"tests": ["refuse"], "fleet staging": ["fail"]}.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import wiring
from pipeline.collaborators import Story, Tools
from pipeline.commit import Commit
from pipeline.errors import PipelineError
from pipeline.ledger.local import LocalLedger
from pipeline.release import Release
from pipeline.repository import Repository
from pipeline.settings import EnvironmentSettings, Settings
from pipeline.verdict import Verdict
from tests.fakes import FakeFleet, FakeHosts, FakeImages, FakeLoad, FakeLoadRun, FakeTests, load_stats, make_shop

WORLD = Path(os.environ["PAPER"])


def kept(name: str) -> Any:
    path = WORLD / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def keep(name: str, values: object) -> None:
    (WORLD / f"{name}.json").write_text(json.dumps(values))


def refuses(what: str) -> bool:
    """What the plan says of this call: it is refused, cannot be found out, or never ends."""
    with (WORLD / "plan.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        plan = kept("plan")
        said = plan[what].pop(0) if plan.get(what) else ""
        keep("plan", plan)
    if said == "hang":
        child = subprocess.Popen(["sleep", "1000"])
        keep("hanging", [os.getpid(), child.pid])
        child.wait()
    if said == "fail":
        raise PipelineError(f"{what}: the network does not answer")
    return bool(said == "refuse")


class PaperImages(FakeImages):
    def build(self, commit: Commit, key: str) -> str:
        refuses("build")
        image = super().build(commit, key)
        keep("images", {**kept("images"), image: key})
        return image

    def exists(self, image: str) -> bool:
        return image in kept("images")


class PaperFleet(FakeFleet):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._up = set(kept("up"))

    def up(self, environment: EnvironmentSettings) -> None:
        refuses(f"fleet {environment.name}")
        super().up(environment)
        keep("up", sorted(self._up))


class PaperHosts(FakeHosts):
    def deploy(self, release: Release, environment: EnvironmentSettings) -> None:
        self.never_ready = {release.commit} if refuses(f"deploy {environment.name}") else set()
        super().deploy(release, environment)
        keep("serving", {url: asdict(each) for url, each in self.serving.items()})

    def predict(self, url: str, picture: Path) -> dict[str, object]:
        refuses("ask")
        release = self.serving[url]
        seen = [{"label": "espresso", "probability": 0.9}]
        return {"release": release.id, "predictions": seen, "model": {"name": "paper", "sha256": release.model}, "milliseconds": 7}


class PaperLoad(FakeLoad):
    def start(self, urls: Sequence[str], *, users: int, seconds: float | None, shape: str = "steady") -> FakeLoadRun:
        self.stats = load_stats(300, failed=50 if refuses("load") else 0)
        return super().start(urls, users=users, seconds=seconds, shape=shape)


class PaperTests(FakeTests):
    """Leaves a report where pytest's is."""

    def run(self, commit: Commit) -> tuple[Verdict, dict[str, object]]:
        self.verdict = Verdict.of(["1 of 3 tests failed"] if refuses("tests") else [])
        reports = WORLD / "reports"
        reports.mkdir(exist_ok=True)
        case = "<failure/>" if self.verdict.reasons else ""
        (reports / f"tests-{commit.id[:12]}.xml").write_text(
            f'<testsuites><testsuite><testcase name="a">{case}</testcase></testsuite></testsuites>'
        )
        return super().run(commit)


def dependencies(folder: Path) -> Verdict:
    return Verdict.of(["a package has no hash"] if refuses("dependencies") else [])


def wire(settings: Settings, root: Path, story: Story) -> tuple[Tools, wiring.Machine]:
    shop = make_shop(WORLD)
    hosts = PaperHosts({url: Release(**values) for url, values in kept("serving").items()})
    tools = replace(
        shop.tools, settings=settings, root=root, ledger=LocalLedger(WORLD / "ledger.jsonl"), commits=Repository(Path.cwd(), WORLD),
        images=PaperImages(), fleet=PaperFleet(WORLD), deployer=hosts, hosts=hosts, load=PaperLoad(), tests=PaperTests(),
        check_dependencies=dependencies, story=story, who=wiring.who(os.environ), now=lambda: datetime.now(UTC),
    )  # fmt: skip
    machine = wiring.Machine(None, lambda: None, lambda: False, lambda: None)  # type: ignore[arg-type, return-value]
    return tools, machine


def main(argv: list[str]) -> int:
    if argv[:2] != ["-m", "pipeline"]:
        raise SystemExit(f"this python only knows the pipeline, not {argv}")
    with (WORLD / "calls").open("a") as calls:
        calls.write(json.dumps(argv[2:]) + "\n")
    wiring.wire = wire
    from pipeline.cli import main as command_line
    from pipeline.cli import session

    session.FIRST_PAUSE = 0.01
    return command_line(argv[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
