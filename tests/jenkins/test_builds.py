"""The rules of Jenkins that builds.py keeps to, each with the shortest pipeline that shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.jenkins.builds import Answer, Build, Jenkins, Run
from tests.jenkins.declarative import Stage, models

pytestmark = pytest.mark.groovy

FIRST = """
    agent none
    stages {
      stage('one') {
        FIRST
      }
      stage('two') { steps { echo '' } }
    }
"""
BESIDE = """
    agent none
    stages {
      stage('both') {
        failFast true
        parallel {
          stage('bad') {
            agent { label 'a' }
            steps { sh 'false' }
          }
          stage('slow') {
            agent { label 'b' }
            steps { sh 'hang' }
          }
        }
      }
    }
"""
# what the first of two stages says, one directive a line
STAGES = {
    "no agent": ("steps { sh 'true' }",),
    "failure": (
        "agent { label 'a' }", "steps { sh 'false' }", "post {", "failure { sh 'because' }", "success { sh 'never' }", "}",
    ),
    "timeout": (
        "agent { label 'a' }", "options { timeout(time: 1, unit: 'SECONDS') }", "steps { sh 'hang' }",
        "post { aborted { sh 'because' } }",
    ),
    "caught": ("agent { label 'a' }", "steps {", "catchError(buildResult: 'UNSTABLE') { sh 'false' }", "sh 'on'", "}"),
    "asked first": ("when { branch 'other' }", "input { message 'Go on?' }", "steps { echo '' }"),
    "agent first": ("when { branch 'other' }", "agent { label 'a' }", "steps { echo '' }"),
    "agent later": ("when {", "beforeAgent true", "branch 'other'", "}", "agent { label 'a' }", "steps { echo '' }"),
    "locked": ("options {", "lock('x')", "timeout(time: 1, unit: 'SECONDS')", "}", "steps { echo '' }"),
    "timed": ("options {", "timeout(time: 1, unit: 'SECONDS')", "lock('x')", "}", "steps { echo '' }"),
    "any case": ("when { branch 'MAI*' }", "steps { echo '' }"),
    "same case": ("when { branch pattern: 'MAIN', comparator: 'EQUALS' }", "steps { echo '' }"),
    "own environment": ("when { environment name: 'A', value: '1' }", "environment { A = '1' }", "steps { echo '' }"),
    "milestone": ("agent { label 'a' }", "steps {", "milestone(1)", "sh 'deploy'", "}"),
    "nothing kept": ("agent { label 'a' }", "steps { archiveArtifacts 'none/**' }"),
    "a failed report": ("agent { label 'a' }", "steps { junit 'report.xml' }"),
    "a report alone": ("agent { label 'a' }", "steps { junit testResults: 'report.xml', skipMarkingBuildUnstable: true }"),
}  # fmt: skip
PIPELINES = {"fast": BESIDE, **{name: FIRST.replace("FIRST", "\n".join(said)) for name, said in STAGES.items()}}


class Lines:
    """Agents that know `true`, `false` and `hang`, and keep what they were told; `deploy` does what a test wants."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said: list[str] = []
        self.deploy: Callable[[], None] = lambda: None

    def node(self, label: str) -> Path:
        (self.root / "report.xml").write_text("<testsuite><testcase><failure/></testcase></testsuite>")
        return self.root

    def checkout(self, folder: Path, commit: str) -> None: ...

    def sh(self, script: str, environment: Mapping[str, str], folder: Path, interrupted: Callable[[], str]) -> int:
        self.said.append(script)
        if script == "deploy":
            self.deploy()
        while script == "hang" and not interrupted():
            threading.Event().wait(0.01)
        return int(script == "false")


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    folder = tmp_path_factory.mktemp("pipelines")
    paths = [folder / f"{number}" for number in range(len(PIPELINES))]
    for path, text in zip(paths, PIPELINES.values(), strict=True):
        path.write_text(f"pipeline {{\n{text}\n}}\n")
    return {name: read() for name, read in zip(PIPELINES, models(paths), strict=True)}


@pytest.fixture
def agents(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


@pytest.fixture
def jenkins(agents: Lines, tmp_path: Path) -> Jenkins:
    return Jenkins(agents, tmp_path / "archive", lambda stage: Answer("grace"), seconds={"one": 0.1})


def statuses(run: Run) -> list[str]:
    return [run.result, *(it.status for it in run.stages.values())]


@pytest.mark.parametrize(
    ("name", "ended", "said"),
    [
        ("no agent", ["FAILURE", "FAILURE", "NOT_BUILT"], []),
        ("failure", ["FAILURE", "FAILURE", "NOT_BUILT"], ["false", "because"]),
        ("timeout", ["ABORTED", "ABORTED", "NOT_BUILT"], ["hang", "because"]),
        ("caught", ["UNSTABLE", "SUCCESS", "SUCCESS"], ["false", "on"]),
        ("any case", ["SUCCESS", "SUCCESS", "SUCCESS"], []),
        ("same case", ["SUCCESS", "SKIPPED", "SUCCESS"], []),
        ("own environment", ["SUCCESS", "SKIPPED", "SUCCESS"], []),
        ("nothing kept", ["FAILURE", "FAILURE", "NOT_BUILT"], []),
        ("a failed report", ["UNSTABLE", "SUCCESS", "SUCCESS"], []),
        ("a report alone", ["SUCCESS", "SUCCESS", "SUCCESS"], []),
    ],
)
def test_how_a_build_ends(
    name: str, ended: list[str], said: list[str], pipelines: dict[str, Stage], jenkins: Jenkins, agents: Lines
):
    assert statuses(jenkins.build(pipelines[name], Build())) == ended
    assert agents.said == said


def test_with_fail_fast_a_failure_ends_what_is_beside_it(pipelines: dict[str, Stage], jenkins: Jenkins):
    assert statuses(jenkins.build(pipelines["fast"], Build())) == ["FAILURE", "FAILURE", "FAILURE", "ABORTED"]


def test_a_question_is_asked_before_the_condition_unless_told_otherwise(pipelines: dict[str, Stage], jenkins: Jenkins):
    asked: list[str] = []
    jenkins.answer = lambda stage: asked.append(stage.name) or Answer("grace")
    assert statuses(jenkins.build(pipelines["asked first"], Build())) == ["SUCCESS", "SKIPPED", "SUCCESS"]
    assert asked == ["one"]


def test_an_agent_is_taken_before_the_condition_unless_told_otherwise(pipelines: dict[str, Stage], jenkins: Jenkins):
    agents = [jenkins.build(pipelines[name], Build()).stages["one"].agent for name in ("agent first", "agent later")]
    assert agents == ["a", ""]


@pytest.mark.parametrize(("name", "result"), [("locked", "SUCCESS"), ("timed", "ABORTED")])
def test_the_wait_for_a_lock_counts_where_the_timeout_is_around_it(
    name: str, result: str, pipelines: dict[str, Stage], jenkins: Jenkins
):
    lock = jenkins.locks["x"] = threading.Lock()
    lock.acquire()
    threading.Timer(0.4, lock.release).start()
    assert jenkins.build(pipelines[name], Build()).result == result


def test_a_newer_build_that_ends_after_a_milestone_cancels_the_older_ones(
    pipelines: dict[str, Stage], jenkins: Jenkins, agents: Lines
):
    newer: list[Run] = []

    def deploy() -> None:
        if len(jenkins.running) == 1:
            newer.append(jenkins.build(pipelines["milestone"], Build(number=2)))

    agents.deploy = deploy
    older = jenkins.build(pipelines["milestone"], Build(number=1))
    assert (statuses(newer[0]), statuses(older)) == (["SUCCESS"] * 3, ["NOT_BUILT"] * 3)


def test_a_milestone_that_a_newer_build_has_passed_is_closed(pipelines: dict[str, Stage], jenkins: Jenkins, agents: Lines):
    older: list[Run] = []

    def deploy() -> None:
        if len(jenkins.running) == 1:
            older.append(jenkins.build(pipelines["milestone"], Build(number=1)))

    agents.deploy = deploy
    newer = jenkins.build(pipelines["milestone"], Build(number=2))
    assert (statuses(newer), statuses(older[0]), agents.said) == (["SUCCESS"] * 3, ["NOT_BUILT"] * 3, ["deploy"])
