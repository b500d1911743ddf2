"""The Jenkinsfile is the list of pipeline/stages.py, written for Jenkins: in every situation the same stages in the same way."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from itertools import pairwise, product
from pathlib import Path

import pytest

from pipeline.cli import cli
from pipeline.stages import WAY, Action, Approval, Group, Situation, argv_of, planned, stages_of
from pipeline.stages import Stage as Listed
from tests.jenkins.builds import Answer, Build, Jenkins, Run
from tests.jenkins.declarative import SECONDS, Call, Refused, Stage, Text, model, models

pytestmark = pytest.mark.groovy

JENKINSFILE = Path(__file__).parents[2] / "Jenkinsfile"
SITUATIONS = [
    Situation("c" * 40, branch, tag, action, environment, "5f2c", "ramp")
    for branch, tag, action, environment in product(
        ("main", "Main", "feature/x", "PR-5"), (False, True), Action, ("production", "staging")
    )
]
VARIABLES = {"{commit}": '"$GIT_COMMIT"', "{branch}": '"$BRANCH_NAME"', "{release}": '"$RELEASE"', "{load}": '"$LOAD"'}
APPROVER = Answer("grace", groups=("promoters",), values={"REASON": "it is time"})
EVIDENCE = 'python -m pipeline evidence --release "$RELEASE" --to evidence'


class Paper:
    """Agents that do nothing, and keep in which order they were asked to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.lines: list[str] = []

    def node(self, label: str) -> Path:
        (self._root / "evidence").mkdir(exist_ok=True)
        (self._root / "evidence" / "ledger.jsonl").touch()
        return self._root

    def checkout(self, folder: Path, commit: str) -> None: ...

    def sh(self, script: str, environment: Mapping[str, str], folder: Path, interrupted: Callable[[], str]) -> int:
        self.lines.append(script)
        return 0


@pytest.fixture(scope="module")
def pipeline() -> Stage:
    return model(JENKINSFILE)


def walked(pipeline: Stage, situation: Situation, root: Path) -> tuple[Run, list[str]]:
    """What a build in this situation did, and its shell lines in their order."""
    agents = Paper(root)
    chosen = {
        "ACTION": situation.action, "ENVIRONMENT": situation.environment, "RELEASE": situation.release, "LOAD": situation.load,
    }  # fmt: skip
    jenkins = Jenkins(
        agents, root / "archive", lambda stage: APPROVER, {"slipway-ssh-key": {"": "/key", "_USR": "ada", "_PSW": ""}}
    )
    build = Build(situation.branch, situation.commit, situation.tag, parameters=chosen)
    return jenkins.build(pipeline, build), agents.lines


def lines_of(stage: Listed) -> list[str]:
    """What the Jenkinsfile's shell steps say for a stage of the list: its verb, and before a quiet no whether there is one."""
    words = [VARIABLES.get(word, word) for word in stage.argv]
    line = " ".join(["python -m pipeline", *(["--attempts", str(stage.attempts)] if stage.attempts > 1 else []), *words])
    return [f"{line} --only-tell", line] if stage.ends_quietly else [line]


def expected(situation: Situation) -> Iterator[tuple[str, str, tuple[str, ...], list[str]]]:
    """By the list: name, agent, locks and shell lines of everything that is walked."""
    for node in planned(situation):
        locks = (f"environment-{node.environment}",) if isinstance(node, Group) and node.environment else ()
        if isinstance(node, Listed):
            yield node.name, node.agent, (), lines_of(node)
        elif isinstance(node, Approval):
            yield node.name, "", (), []
        else:
            yield node.name, "" if node.parallel else node.stages[0].agent, locks, []
            yield from ((stage.name, stage.agent, locks, lines_of(stage)) for stage in node.stages)


def leaves(stage: Stage, above: tuple[Stage, ...] = ()) -> Iterator[tuple[Stage, ...]]:
    """Every stage with steps, after the stages around it."""
    if not stage.stages:
        yield (*above, stage)
    for inner in stage.stages:
        yield from leaves(inner, (*above, stage))


def steps(stage: Stage) -> Iterator[Call]:
    """All steps of a stage, those in a block too."""
    waiting = list(stage.block("steps"))
    while waiting:
        call = waiting.pop(0)
        yield call
        waiting = [*call.body, *waiting]


def all_steps(pipeline: Stage) -> list[Call]:
    after = [Stage("", {"steps": condition}) for stage in (pipeline, *pipeline.all()) for condition in stage.block("post")]
    return [call for stage in (*pipeline.all(), *after) for call in steps(stage)]


def of_name(pipeline: Stage, name: str) -> Stage:
    found = [stage for stage in pipeline.all() if stage.name == name]
    assert found, f"there is no stage {name!r}"
    return found[0]


def test_a_build_walks_the_stages_of_the_list_in_every_situation(pipeline: Stage, tmp_path: Path):
    for situation in SITUATIONS:
        run, lines = walked(pipeline, situation, tmp_path)
        rows = [(name, it.agent, it.locks, it.lines) for name, it in run.stages.items() if it.status != "SKIPPED"]
        assert rows == list(expected(situation)), situation
        assert sorted(lines) == sorted([line for stage in stages_of(situation) for line in lines_of(stage)] + [EVIDENCE]), situation
        assert (run.result, lines[-1]) == ("SUCCESS", EVIDENCE), situation


def test_a_stage_that_is_skipped_waits_for_no_lock_and_no_agent(pipeline: Stage, tmp_path: Path):
    for situation in SITUATIONS:
        run, _ = walked(pipeline, situation, tmp_path)
        own = {node.name for node in WAY}
        waited = [name for name, it in run.stages.items() if it.status == "SKIPPED" and name in own and (it.locks or it.agent)]
        assert waited == [], situation


def test_stages_stand_together_as_in_the_list(pipeline: Stage):
    together = {
        node.name: ([stage.name for stage in node.stages], node.parallel) if isinstance(node, Group) else ([], False)
        for node in WAY
    }
    assert {stage.name: ([inner.name for inner in stage.stages], "parallel" in stage.said) for stage in pipeline.stages} == together


def test_the_shell_reads_every_line_as_the_list_means_it(pipeline: Stage, tmp_path: Path):
    for action in Action:
        for environment in ("production", "staging"):
            awkward = Situation("c" * 40, "a b;'\"", True, action, environment, "$(id) *", "ramp")
            run, _ = walked(pipeline, awkward, tmp_path)
            done = [it for name, it in run.stages.items() if it.lines]
            for stage, it in zip(stages_of(awkward), done, strict=True):
                script = f"python() {{ printf '%s\\0' \"$@\"; }}\n{it.lines[-1]}"
                said = subprocess.run(
                    ["/bin/sh", "-c", script], env=dict(it.environment), stdout=subprocess.PIPE, check=True
                ).stdout
                assert said.decode().split("\0")[:-1] == ["-m", "pipeline", *argv_of(stage, awkward)]


def test_no_agent_is_held_by_the_pipeline_itself(pipeline: Stage):
    assert pipeline.agent == "none"


def test_every_stage_has_a_timeout_and_an_agent_where_it_runs_something(pipeline: Stage):
    for path in leaves(pipeline):
        assert any(stage.option("timeout") for stage in path[1:]), path[-1].name
        runs = any(call.name == "sh" for call in steps(path[-1]))
        assert any(stage.agent not in ("", "none") for stage in path[1:]) == runs, path[-1].name


def test_a_whole_build_may_take_as_long_as_its_stages_together(pipeline: Stage):
    def seconds(stage: Stage) -> int:
        limit = stage.option("timeout")
        assert limit, f"{stage.name} has no timeout of its own"
        return int(limit["time"] * SECONDS[limit["unit"]])

    parts = [seconds(stage) if "parallel" not in stage.said else max(map(seconds, stage.stages)) for stage in pipeline.stages]
    assert seconds(pipeline) > sum(parts)


def test_the_approval_is_asked_as_the_list_says(pipeline: Stage):
    (approval,) = (node for node in WAY if isinstance(node, Approval))
    asking = [stage for stage in pipeline.all() if "input" in stage.said]
    assert [stage.name for stage in asking] == [approval.name]
    said = {call.name: call.given.get("text") for call in asking[0].block("input")}
    assert (said["message"], said.get("submitter")) == (approval.question, approval.submitters)
    assert said.get("submitterParameter")
    assert asking[0].option("timeout") == {"time": approval.hours, "unit": "HOURS"}
    assert asking[0].agent in ("", "none")


def test_a_question_is_not_asked_where_its_stage_is_skipped(pipeline: Stage, tmp_path: Path):
    asked: list[str] = []

    def answer(stage: Stage) -> Answer:
        asked.append(stage.name)
        return APPROVER

    for situation in SITUATIONS:
        jenkins = Jenkins(Paper(tmp_path), tmp_path / "archive", answer, {"slipway-ssh-key": {"": "/key"}})
        chosen = {"ACTION": situation.action, "ENVIRONMENT": situation.environment}
        asked.clear()
        jenkins.build(pipeline, Build(situation.branch, tag=situation.tag, parameters=chosen))
        assert asked == [node.name for node in planned(situation) if isinstance(node, Approval)], situation


def test_a_lock_is_taken_before_the_time_of_its_stage_runs(pipeline: Stage):
    locked = [stage for stage in pipeline.all() if stage.option("lock")]
    assert [stage.name for stage in locked] == [node.name for node in WAY if isinstance(node, Group) and node.environment]
    for stage in locked:
        assert [call.name for call in stage.block("options")] == ["lock", "timeout"], stage.name


def test_milestones_come_in_order_on_every_way_and_after_the_lock(pipeline: Stage, tmp_path: Path):
    for situation in SITUATIONS:
        run, _ = walked(pipeline, situation, tmp_path)
        assert all(earlier < later for earlier, later in pairwise(run.milestones)), situation
        deep = [node for node in planned(situation) if isinstance(node, Group) and node.environment == "production"]
        assert not deep or run.milestones, situation
    for path in leaves(pipeline):
        marks = [call for call in steps(path[-1]) if call.name == "milestone"]
        assert not marks or not any("parallel" in stage.said for stage in path), path[-1].name
        assert not marks or path[-1].name == "approve" or any(stage.option("lock") for stage in path), path[-1].name


def test_every_stage_is_one_call_of_the_pipeline(pipeline: Stage):
    for path in leaves(pipeline):
        calls = [call for call in steps(path[-1]) if call.name == "sh"]
        quiet = any(call.name == "catchError" for call in steps(path[-1]))
        assert len(calls) == (0 if "input" in path[-1].said else 2 if quiet else 1), path[-1].name
        assert {call.name for call in steps(path[-1])} <= {"sh", "echo", "milestone", "catchError"}, path[-1].name


def test_a_no_is_taken_quietly_where_the_list_says_so_and_nowhere_else(pipeline: Stage):
    quiet = [path[-1].name for path in leaves(pipeline) if any(call.name == "catchError" for call in steps(path[-1]))]
    stages = [stage for node in WAY for stage in (node.stages if isinstance(node, Group) else [node])]
    assert quiet == [stage.name for stage in stages if isinstance(stage, Listed) and stage.ends_quietly]
    for call in (call for path in leaves(pipeline) for call in steps(path[-1]) if call.name == "catchError"):
        assert (call.given["buildResult"], call.given["stageResult"]) == ("NOT_BUILT", "NOT_BUILT")


def test_groovy_puts_nothing_into_a_step(pipeline: Stage):
    said = [value for call in all_steps(pipeline) for value in call.given.values()]
    assert said
    assert not any(isinstance(value, Text) for value in said)


def test_secrets_come_only_from_credentials_and_only_where_hosts_are_reached(pipeline: Stage):
    for stage in (pipeline, *pipeline.all()):
        secret = [call.given["value"] for call in stage.block("environment") if isinstance(call.given["value"], Call)]
        assert all(call.name == "credentials" and set(call.given) == {"0"} for call in secret), stage.name
        assert bool(secret) == (stage.agent == "deploy"), stage.name
        assert all(isinstance(call.given["value"], Call | Text) for call in stage.block("environment")), stage.name


def test_the_parameters_are_what_a_situation_is_made_of(pipeline: Stage):
    given = {call.given["name"]: call.given for call in pipeline.block("parameters")}
    situation = Situation("")
    fields = {
        "ACTION": situation.action,
        "ENVIRONMENT": situation.environment,
        "RELEASE": situation.release,
        "LOAD": situation.load,
    }
    assert given.keys() == {*fields, "TRIGGER"}
    assert {name: given[name].get("choices", (given[name].get("defaultValue"),))[0] for name in fields} == fields
    assert given["ACTION"]["choices"] == tuple(Action)
    assert set(given["ENVIRONMENT"]["choices"]) == {
        node.environment for node in WAY if isinstance(node, Group) and node.environment
    }
    (shape,) = (option for option in cli.commands["loadtest"].params if option.name == "shape")
    assert given["LOAD"]["choices"] == tuple(shape.type.choices)
    exported = {call.name: call.given["value"] for call in pipeline.block("environment")}
    assert exported.keys() == fields.keys()
    for name, value in exported.items():
        assert value.strings == ("", "")
        assert [code.text for code in value.values] == [f"params.{name}"]


def test_old_builds_are_discarded_and_lines_have_a_time(pipeline: Stage):
    assert {"buildDiscarder", "timestamps", "timeout"} <= {call.name for call in pipeline.block("options")}


def test_evidence_is_kept_however_a_build_ends(pipeline: Stage):
    (always,) = pipeline.block("post")
    (node,) = always.body
    assert (always.name, node.name, node.given) == ("always", "node", {"label": "cpu"})
    assert [call.name for call in node.body] == ["checkout", "sh", "junit", "archiveArtifacts"]
    assert node.body[1].given == {"script": EVIDENCE}


Edit = Callable[[str], str]


def put(new: str, *, for_: str) -> Edit:
    return lambda text: text.replace(for_, new)


def exchange(one: str, other: str) -> Edit:
    """Of two stages, one after the other, the second first."""
    block = r"( *stage\('{}'\) {{\n.*?\n)"
    return lambda text: re.sub(f"{block.format(one)}{block.format(other)}(?= *stage\\()", r"\2\1", text, flags=re.DOTALL)


WAY_IS_WALKED = test_a_build_walks_the_stages_of_the_list_in_every_situation
# what is wrong: how it comes into the file, and the test above that says so; None where it is no Declarative pipeline any more
CHANGES: dict[str, tuple[Edit, Callable[..., None] | None]] = {
    "an unknown option": (put("timestamp()", for_="timestamps()"), None),
    "an unknown condition": (put("buildingTags()", for_="buildingTag()"), None),
    "an unknown directive": (put("failSlow false", for_="failFast false"), None),
    "an unknown argument": (put("milestone(number: 1", for_="milestone(ordinal: 1"), None),
    "a block of script": (put("script { currentBuild.result = 'SUCCESS' }", for_="echo 'approved'"), None),
    "a loop": (put("for (i in 1..2) { }\n  stages {\n    stage('arrive')", for_="stages {\n    stage('arrive')"), None),
    "a function beside the pipeline": (put("def deploy() { 1 }\npipeline {", for_="pipeline {"), None),
    "a label before a step": (put("approved: echo 'approved'", for_="echo 'approved'"), None),
    "two directives on one line": (put("} steps {", for_="}\n      steps {"), None),
    "a stage without steps": (lambda text: re.sub(r"steps \{[^}]* ask production'\n *\}", "", text), None),
    "a name for two stages": (put("stage('ask production')", for_="stage('production hosts')"), None),
    "a brace too many": (put("agent none }", for_="agent none"), None),
    "an agent for the whole build": (put("agent any", for_="agent none"), test_no_agent_is_held_by_the_pipeline_itself),
    "a stage of another name": (put("stage('latest')", for_="stage('newest')"), WAY_IS_WALKED),
    "a stage before its time": (exchange("staging hosts", "deploy to staging"), WAY_IS_WALKED),
    "another verb": (put("pipeline check --commit", for_="pipeline lint --commit"), WAY_IS_WALKED),
    "fewer attempts": (put("--attempts 2 ask", for_="--attempts 3 ask"), WAY_IS_WALKED),
    "another agent": (put("label 'cpu'", for_="label 'deploy'"), WAY_IS_WALKED),
    "a lock that is not there": (
        put("", for_="        lock(resource: 'environment-staging', inversePrecedence: true)\n"), WAY_IS_WALKED,
    ),
    "the lock of another environment": (put("'environment-production'", for_="'environment-staging'"), WAY_IS_WALKED),
    "a condition that is not there": (
        put("", for_="          when {\n            environment name: 'ACTION', value: 'promote'\n          }\n"), WAY_IS_WALKED,
    ),
    "a milestone that is not there": (
        put("", for_="            milestone(ordinal: 1, label: 'production')\n"),
        test_milestones_come_in_order_on_every_way_and_after_the_lock,
    ),
    "a lock whose wait is counted": (
        lambda text: re.sub(r"( *lock\(.*\n)( *timeout\(.*\n)", r"\2\1", text),
        test_a_lock_is_taken_before_the_time_of_its_stage_runs,
    ),
    "a lock that skipped stages wait for": (
        put("", for_="        beforeOptions true\n"), test_a_stage_that_is_skipped_waits_for_no_lock_and_no_agent,
    ),
    "an agent that skipped stages wait for": (
        put("", for_="        beforeAgent true\n"), test_a_stage_that_is_skipped_waits_for_no_lock_and_no_agent,
    ),
    "gates one after the other, and failFast": (put("stages {", for_="parallel {"), None),
    "gates that are no group": (
        lambda text: text.replace("      failFast false\n", "").replace("parallel {", "stages {"),
        test_stages_stand_together_as_in_the_list,
    ),
    "a question before its condition": (
        lambda text: re.sub(r"        before(Input|Options) true\n", "", text),
        test_a_question_is_not_asked_where_its_stage_is_skipped,
    ),
    "an approval by anybody": (put("", for_="        submitter 'promoters'\n"), test_the_approval_is_asked_as_the_list_says),
    "an approval that waits for ever": (
        put("", for_="      options { timeout(time: 24, unit: 'HOURS') }\n"), test_the_approval_is_asked_as_the_list_says,
    ),
    "an approval that holds an agent": (
        put("agent { label 'cpu' }\n      input {", for_="input {"), test_the_approval_is_asked_as_the_list_says,
    ),
    "a build that ends before its approval may": (
        put("time: 20, unit", for_="time: 30, unit"), test_a_whole_build_may_take_as_long_as_its_stages_together,
    ),
    "a timeout that is not there": (
        put("", for_="options { timeout(time: 45, unit: 'MINUTES') }"),
        test_every_stage_has_a_timeout_and_an_agent_where_it_runs_something,
    ),
    "a variable without quotes": (
        put("rollback staging --release $RELEASE", for_='rollback staging --release "$RELEASE"'),
        test_the_shell_reads_every_line_as_the_list_means_it,
    ),
    "a string that Groovy fills in": (
        lambda text: re.sub(r"sh '(.*) newest .*'", r'sh "\1 newest --branch ${env.BRANCH_NAME}"', text),
        test_groovy_puts_nothing_into_a_step,
    ),
    "a second line in a stage": (
        put("sh 'true'\n        sh 'python", for_="sh 'python"), test_every_stage_is_one_call_of_the_pipeline,
    ),
    "a no that counts as a yes": (
        put("buildResult: 'SUCCESS'", for_="buildResult: 'NOT_BUILT'"),
        test_a_no_is_taken_quietly_where_the_list_says_so_and_nowhere_else,
    ),
    "a secret in the file": (
        put("SLIPWAY_SSH_KEY = 'secret'", for_="SLIPWAY_SSH_KEY = credentials('slipway-ssh-key')"),
        test_secrets_come_only_from_credentials_and_only_where_hosts_are_reached,
    ),
    "an action less": (put("'promote']", for_="'promote', 'rollback']"), test_the_parameters_are_what_a_situation_is_made_of),
    "evidence of successes alone": (put("    success {\n", for_="    always {\n"), test_evidence_is_kept_however_a_build_ends),
}  # fmt: skip


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Stage]]:
    """The Jenkinsfile with one change each, read by one start of Groovy."""
    folder, text = tmp_path_factory.mktemp("changed"), JENKINSFILE.read_text()
    paths = [folder / f"Jenkinsfile-{number}" for number in range(len(CHANGES))]
    for path, (edit, _) in zip(paths, CHANGES.values(), strict=True):
        path.write_text(edit(text))
    return dict(zip(CHANGES, models(paths), strict=True))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_for_the_worse_is_noticed(name: str, changed: dict[str, Callable[[], Stage]], tmp_path: Path):
    edit, says = CHANGES[name]
    assert edit(JENKINSFILE.read_text()) != JENKINSFILE.read_text(), "the Jenkinsfile does not say any more what is changed here"
    if says is None:
        with pytest.raises(Refused):
            changed[name]()
        return
    wanted = {"pipeline": changed[name](), "tmp_path": tmp_path}
    with pytest.raises(AssertionError):
        says(**{argument: wanted[argument] for argument in signature(says).parameters})
