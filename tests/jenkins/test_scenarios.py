"""Builds from their beginning to their end: the Jenkinsfile's shell steps are really run, and call the real command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.ledger import protocol as ledger
from pipeline.ledger.local import LocalLedger
from tests.jenkins.builds import Answer, Build, Jenkins, Run
from tests.jenkins.declarative import Stage, model

pytestmark = pytest.mark.groovy

ROOT = Path(__file__).parents[2]
NEEDED = ("requirements", "service/models/efficientnet_lite0/model.toml")
GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}
GIT |= {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org"}
GRACE = Answer("grace", groups=("promoters",), values={"REASON": "it is time"})


@dataclass(frozen=True, slots=True)
class Shell:
    """Agents on this machine: fresh clones, /bin/sh and a `python` of paper. `meanwhile` happens before a line with these words."""

    root: Path
    repository: Path
    meanwhile: dict[str, Callable[[], None]] = field(default_factory=dict)

    def node(self, label: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{label}-", dir=self.root))

    def checkout(self, folder: Path, commit: str) -> None:
        git("clone", "-q", "--no-checkout", str(self.repository), ".", cwd=folder)
        git("checkout", "-q", "--detach", commit, cwd=folder)

    def sh(self, script: str, environment: Mapping[str, str], folder: Path, interrupted: Callable[[], str]) -> int:
        for words, happens in self.meanwhile.items():
            if words in script:
                happens()
        with (self.root / "log").open("ab") as log:
            child = subprocess.Popen(
                ["/bin/sh", "-xe", "-c", script], cwd=folder, env={**environment, "PATH": f"{self.root}/bin:{os.environ['PATH']}"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        while child.poll() is None:
            for sign in (signal.SIGTERM, signal.SIGKILL) if interrupted() else ():
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, sign)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(2)
            time.sleep(0.01)
        return child.returncode


class Site:
    """One Jenkins with its agents, hosts of paper and a ledger, in a folder that can be copied."""

    def __init__(self, root: Path, repository: Path, pipeline: Stage) -> None:
        self.root, self.repository, self.pipeline = root, repository, pipeline
        self.world, self.agents = root / "world", Shell(root, repository)
        self.jenkins = Jenkins(self.agents, root / "archive", lambda stage: GRACE, {"slipway-ssh-key": {"": "/run/key"}})
        for folder in (root / "bin", self.world):
            folder.mkdir(parents=True, exist_ok=True)
        program = root / "bin" / "python"
        program.write_text(
            f"#!/bin/sh\nexport PAPER={self.world} SLIPWAY_STATE={self.world} PYTHONPATH={ROOT} PYTHONHASHSEED=0\n"
            f'exec {sys.executable} -P -m tests.jenkins.paper "$@"\n'
        )
        program.chmod(0o755)

    def build(self, commit: str, branch: str = "main", *, number: int = 1, tag: bool = False, **parameters: str) -> Run:
        return self.jenkins.build(self.pipeline, Build(branch, commit, tag, number, parameters))

    def plan(self, **what: list[str]) -> None:
        """How the next calls go, by what is asked; `_` stands for a blank."""
        (self.world / "plan.json").write_text(json.dumps({name.replace("_", " "): list(said) for name, said in what.items()}))

    def calls(self, *words: str) -> list[list[str]]:
        """The command lines that had all of these words."""
        path = self.world / "calls"
        lines = path.read_text().splitlines() if path.exists() else ()
        return [argv for argv in map(json.loads, lines) if {*words} <= {*argv}]

    def live(self, environment: str) -> str | None:
        """The commit that is live there."""
        events = [entry.event for entry in LocalLedger(self.world / "ledger.jsonl").entries()]
        live = ledger.live(events, environment)
        return ledger.releases(events)[live].commit if live else None

    def releases(self) -> dict[str, str]:
        """Commit -> the id of its release."""
        events = [entry.event for entry in LocalLedger(self.world / "ledger.jsonl").entries()]
        return {release.commit: id for id, release in ledger.releases(events).items()}

    def kept(self, number: int = 1) -> set[str]:
        """The names of what was archived."""
        return {path.name for path in (self.root / "archive" / str(number)).rglob("*") if path.is_file()}

    def log(self) -> str:
        return (self.root / "log").read_text()


def git(*argv: str, cwd: Path) -> str:
    environment = {**os.environ, **GIT}
    return subprocess.run(["git", *argv], cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def outcome(run: Run) -> dict[str, str]:
    """The stages that Jenkins did anything about, and how they ended."""
    return {name: it.status for name, it in run.stages.items() if it.status not in ("SKIPPED", "NOT_BUILT")}


def alive(process: int) -> bool:
    with suppress(FileNotFoundError):
        return (Path("/proc") / str(process) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits, with what a build reads of a tree."""
    root = tmp_path_factory.mktemp("repository")
    git("init", "-q", "-b", "main", cwd=root)
    for name in NEEDED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
    for subject in ("First", "Second"):
        (root / "change").write_text(subject)
        git("add", ".", cwd=root)
        git("commit", "-q", "-m", subject, cwd=root)
    return root


@pytest.fixture(scope="module")
def commits(repository: Path) -> list[str]:
    return git("rev-list", "--reverse", "main", cwd=repository).split()


@pytest.fixture(scope="module")
def pipeline() -> Stage:
    return model(ROOT / "Jenkinsfile")


@pytest.fixture
def site(tmp_path: Path, repository: Path, pipeline: Stage) -> Site:
    """Where nothing was ever shipped."""
    return Site(tmp_path / "site", repository, pipeline)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, repository: Path, pipeline: Stage, commits: list[str]) -> tuple[Site, Run]:
    """The first commit, shipped to production with an approval."""
    site = Site(tmp_path_factory.mktemp("first") / "site", repository, pipeline)
    return site, site.build(commits[0])


@pytest.fixture
def shipped(first: tuple[Site, Run], tmp_path: Path) -> Site:
    """Where the first commit is in production."""
    earlier, run = first
    assert run.result == "SUCCESS", earlier.log()
    shutil.copytree(earlier.world, tmp_path / "site" / "world")
    (tmp_path / "site" / "world" / "calls").unlink()
    return Site(tmp_path / "site", earlier.repository, earlier.pipeline)


def test_a_commit_of_main_goes_to_production_when_it_is_approved(first: tuple[Site, Run], commits: list[str]):
    site, run = first
    assert run.result == "SUCCESS", site.log()
    assert list(outcome(run)) == [
        "arrive", "gates", "dependencies", "tests", "lint", "build", "newest", "staging", "staging hosts", "deploy to staging",
        "load staging", "approve", "production", "production hosts", "promote to production", "ask production",
    ]  # fmt: skip
    assert set(outcome(run).values()) == {"SUCCESS"}
    assert (site.live("staging"), site.live("production")) == (commits[0], commits[0])
    assert site.calls("promote") == [
        ["--attempts", "2", "promote", "--from", "staging", "--to", "production", "--commit", commits[0]]
    ]
    assert site.kept() >= {"ledger.jsonl", "sbom.cdx.json", "report.html", "tests.xml"}


def test_what_was_done_can_be_traced_to_the_build(first: tuple[Site, Run]):
    site, _ = first
    entries = LocalLedger(site.world / "ledger.jsonl").entries()
    assert {entry.event.by for entry in entries} == {"https://jenkins.example/job/1/"}


def test_a_tag_goes_to_production_without_being_asked_about(site: Site, commits: list[str]):
    def nobody(stage: Stage) -> Answer:
        raise AssertionError("a tag is an approval itself")

    site.jenkins.answer = nobody
    run = site.build(commits[0], "v1.0", tag=True)
    assert (run.result, site.live("production")) == ("SUCCESS", commits[0]), site.log()


def test_another_branch_ends_with_its_build(site: Site, commits: list[str]):
    run = site.build(commits[0], "feature/x")
    assert run.result == "SUCCESS", site.log()
    assert list(outcome(run)) == ["arrive", "gates", "dependencies", "tests", "lint", "build"]
    assert list(site.releases()) == [commits[0]]
    assert (site.live("staging"), site.kept() & {"tests.xml"}) == (None, {"tests.xml"})


def test_tests_that_fail_end_the_build_and_their_report_is_kept(site: Site, commits: list[str]):
    site.plan(tests=["refuse"])
    run = site.build(commits[0])
    assert run.result == "FAILURE"
    assert {name: it.status for name, it in run.stages.items() if name in ("dependencies", "tests", "lint", "gates", "build")} == {
        "dependencies": "SUCCESS", "tests": "FAILURE", "lint": "SUCCESS", "gates": "FAILURE", "build": "NOT_BUILT",
    }  # fmt: skip
    assert (site.calls("build"), len(site.calls("test"))) == ([], 1)
    assert site.kept() >= {"tests.xml", "ledger.jsonl"}


def test_a_load_test_that_is_refused_is_not_tried_again_and_nobody_is_asked_about_production(shipped: Site, commits: list[str]):
    asked: list[str] = []
    shipped.jenkins.answer = lambda stage: asked.append(stage.name)
    shipped.plan(load=["refuse"])
    run = shipped.build(commits[1], number=2)
    assert (run.result, run.stages["load staging"].why, len(shipped.calls("loadtest"))) == ("FAILURE", "exit code 1", 1)
    assert (run.stages["approve"].status, run.stages["production"].status, asked) == ("NOT_BUILT", "NOT_BUILT", [])
    assert (shipped.live("staging"), shipped.live("production")) == (commits[1], commits[0])


@pytest.mark.parametrize(
    "answer",
    [Answer("grace", ("promoters",), proceed=False), None, Answer("mallory", ("developers",))],
    ids=["rejected", "nobody", "somebody else"],
)
def test_without_an_approval_the_build_is_aborted_and_production_is_left_alone(
    shipped: Site, commits: list[str], answer: Answer | None
):
    shipped.jenkins.answer = lambda stage: answer
    run = shipped.build(commits[0], number=2, ACTION="promote", RELEASE=shipped.releases()[commits[0]])
    assert (run.result, outcome(run)) == ("ABORTED", {"approve": "ABORTED"})
    assert (shipped.calls("production"), shipped.kept(2) >= {"ledger.jsonl"}) == ([], True)


def test_a_step_that_hangs_is_ended_with_its_children_when_its_time_is_over(site: Site, commits: list[str]):
    site.plan(tests=["hang"])
    site.jenkins.seconds = {"tests": 6.0}
    run = site.build(commits[0])
    assert (run.result, run.stages["tests"].status, run.stages["build"].status) == ("ABORTED", "ABORTED", "NOT_BUILT")
    processes = json.loads((site.world / "hanging.json").read_text())
    assert (len(processes), [process for process in processes if alive(process)]) == (2, [])
    assert site.kept() >= {"ledger.jsonl"}


def test_what_could_not_be_found_out_once_is_tried_again_and_the_build_goes_on(shipped: Site, commits: list[str]):
    shipped.plan(fleet_staging=["fail", "fail"], load=["fail"])
    run = shipped.build(commits[0], number=2, ACTION="promote", ENVIRONMENT="staging", RELEASE=shipped.releases()[commits[0]])
    assert run.result == "SUCCESS", shipped.log()
    assert shipped.log().count("trying again") == 3


def test_what_could_not_be_found_out_in_all_attempts_fails_the_build(shipped: Site, commits: list[str]):
    shipped.plan(fleet_staging=["fail"] * 3)
    run = shipped.build(commits[0], number=2, ACTION="promote", ENVIRONMENT="staging", RELEASE=shipped.releases()[commits[0]])
    assert (run.result, run.stages["staging hosts"].why, shipped.calls("deploy")) == ("FAILURE", "exit code 3", [])


def test_a_commit_that_is_superseded_comes_to_no_environment_and_nobody_is_to_blame(site: Site, commits: list[str]):
    def a_newer_one_arrives() -> None:
        folder = site.agents.node("cpu")
        site.agents.checkout(folder, commits[1])
        site.agents.sh(f"python -m pipeline arrive --commit {commits[1]} --branch main", {}, folder, lambda: "")

    site.agents.meanwhile["pipeline newest"] = a_newer_one_arrives
    run = site.build(commits[0])
    assert (run.result, run.stages["newest"].status) == ("NOT_BUILT", "NOT_BUILT")
    assert [run.stages[name].status for name in ("staging", "approve", "production")] == ["SKIPPED"] * 3
    assert (site.calls("fleet"), site.calls("deploy"), list(site.releases())) == ([], [], [commits[0]])


def test_a_rollback_needs_nobody_and_goes_back_to_the_release_before(shipped: Site, commits: list[str]):
    asked: list[str] = []
    run = shipped.build(commits[1], number=2, ENVIRONMENT="staging")
    assert (run.result, shipped.live("staging"), shipped.live("production")) == ("SUCCESS", commits[1], commits[0]), shipped.log()
    shipped.jenkins.answer = lambda stage: asked.append(stage.name)
    run = shipped.build(commits[1], number=3, ACTION="rollback", ENVIRONMENT="staging")
    assert (run.result, list(outcome(run)), asked) == ("SUCCESS", ["staging", "roll staging back"], []), shipped.log()
    assert shipped.live("staging") == commits[0]
    assert shipped.calls("rollback") == [["--attempts", "2", "rollback", "staging", "--release", ""]]


def test_a_release_that_exists_is_put_on_production_by_its_id_once_it_is_approved(shipped: Site, commits: list[str]):
    release = shipped.releases()[commits[0]]
    run = shipped.build(commits[1], number=2, ACTION="promote", RELEASE=f" {release[:12]} ")
    assert run.result == "SUCCESS", shipped.log()
    assert list(outcome(run)) == ["approve", "production", "production hosts", "put a release on production", "ask production"]
    assert shipped.calls("deploy") == [["--attempts", "2", "deploy", "production", "--release", release[:12], "--under-load"]]


def test_the_tests_of_an_earlier_build_say_nothing_about_this_one(shipped: Site, commits: list[str]):
    shipped.plan(tests=["refuse"])
    assert shipped.build(commits[1], number=2).result == "FAILURE"
    release = shipped.releases()[commits[0]]
    run = shipped.build(commits[1], number=3, ACTION="promote", ENVIRONMENT="staging", RELEASE=release)
    assert run.result == "SUCCESS", shipped.log()


def test_a_build_that_waits_is_cancelled_when_a_newer_one_passes_it(shipped: Site, commits: list[str]):
    release, newer = shipped.releases()[commits[0]], list[Run]()

    def after_another_build(stage: Stage) -> Answer:
        newer.append(shipped.build(commits[0], number=3, ACTION="rollback", RELEASE="none"))
        return GRACE

    shipped.jenkins.answer = after_another_build
    run = shipped.build(commits[0], number=2, ACTION="promote", RELEASE=release)
    assert (newer[0].result, newer[0].milestones) == ("FAILURE", [1])
    assert (run.result, run.stages["approve"].status) == ("NOT_BUILT", "NOT_BUILT")
    assert shipped.calls("deploy", "production") == []
