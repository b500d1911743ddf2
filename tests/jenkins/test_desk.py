from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins.desk import GROUPS, Desk
from pipeline.jenkins.pushes import newest_of
from pipeline.progress import State
from pipeline.stages import Action, Situation
from tests.fakes import Silence
from tests.jenkins.clients import Notes, Time, ours
from tests.jenkins.controller import Double
from tests.jenkins.controller_state import MULTIBRANCH, Asks, Script, Stage, case, choice, string

ONE, TWO = "1" * 40, "2" * 40
PROJECT = "slipway/slipway"
PARAMETERS = (
    choice("ACTION", "ship", "promote", "rollback"), choice("ENVIRONMENT", "production", "staging"), string("RELEASE"),
    choice("LOAD", "steady", "ramp", "spike"), string("TRIGGER"),
)  # fmt: skip
ASKS = Asks(parameters=(string("REASON"),), submitter="promoters")
KEPT = {"evidence/report.html": b"<html>", "evidence/ledger.jsonl": b"{}"}
SHIPS = Script(
    (Stage("dependencies", b"checked\n"), Stage("tests"), Stage("build"), Stage("approve", asks=ASKS)),
    artefacts=KEPT,
    cases=(case("a"),),
)


@pytest.fixture
def double() -> Iterator[Double]:
    with Double() as double:
        double.add_job(PROJECT, kind=MULTIBRANCH, parameters=PARAMETERS)
        yield double


@pytest.fixture
def story() -> Silence:
    return Silence()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def desk(double: Double, story: Silence, time: Time, tmp_path: Path) -> Iterator[Desk]:
    with ours(double, time=time, groups=GROUPS) as controller:
        yield Desk(controller, PROJECT, tmp_path, story)


@pytest.fixture
def main(double: Double):
    """The job of the branch main, which has been built before."""
    return double.add_job(f"{PROJECT}/main", parameters=PARAMETERS, scripts=[SHIPS])


def moving(double: Double, name: str) -> None:
    """Builds move as often as the queue is asked."""
    for run in double.state.jobs[name].runs if name in double.state.jobs else ():
        run.advance()


def test_a_push_is_built_once_and_its_build_is_found_by_its_commit(double: Double, desk: Desk, main, time: Time):
    main.begin({}, 0).revision = ONE
    main.runs[0].go_on_to_the_end()
    double.branches = {"main": TWO}
    time.meanwhile = lambda now: moving(double, f"{PROJECT}/main")
    builds = [desk.pushed(Situation(TWO)) for _ in range(2)]
    assert [build.number for build in builds] == [2, 2]
    assert len(main.runs) == 2


def test_a_push_of_a_new_branch_waits_until_jenkins_has_a_job_for_it(double: Double, desk: Desk, story: Silence, time: Time):
    def discovered(now: float) -> None:
        double.branches = {"feature%2Fx": ONE}
        if now > 5:
            double._look(double.state.jobs[PROJECT], double.posts("build")[0], double.users["alice"])
        moving(double, f"{PROJECT}/feature%2Fx")

    time.meanwhile = discovered
    build = desk.pushed(Situation(ONE, "feature/x"))
    assert (build.job, build.number) == (f"{PROJECT}/feature%2Fx", 1)
    assert any("has no job slipway/slipway/feature%2Fx yet" in note for note in story.notes)


def test_a_push_whose_build_never_comes_is_given_up(desk: Desk, main, double: Double):
    double.branches = {"main": TWO}
    with pytest.raises(PipelineError, match="no build of 111111111111 within"):
        desk.pushed(Situation(ONE))


def test_a_lost_answer_to_a_look_does_no_harm(double: Double, desk: Desk, main, time: Time):
    double.branches = {"main": TWO}
    double.fault("/build", "reset", after=True)
    time.meanwhile = lambda now: moving(double, f"{PROJECT}/main")
    assert desk.pushed(Situation(TWO)).number == 1
    assert len(main.runs) == 1


def test_the_newest_build_of_a_commit_is_the_one_that_is_meant():
    def build(number: int, commit: str, building: bool = False) -> dict[str, object]:
        actions = [{}, {"lastBuiltRevision": {"SHA1": commit}}] if commit else [{}]
        return {"number": number, "building": building, "actions": actions}

    assert newest_of({"builds": [build(4, TWO), build(3, ONE), build(2, ONE)]}, ONE) == (3, 0)
    assert newest_of({"builds": [build(4, "", True), build(3, TWO)]}, ONE) == (0, 4)
    assert newest_of({"builds": [build(4, "", False)]}, ONE) == (0, 0)


def test_a_situation_goes_along_as_parameters(double: Double, desk: Desk, main):
    situation = Situation(ONE, action=Action.ROLLBACK, environment="staging", release="f00", load="spike")
    build = desk.trigger(situation, "id-1")
    given = {"ACTION": "rollback", "ENVIRONMENT": "staging", "RELEASE": "f00", "LOAD": "spike", "TRIGGER": "id-1"}
    assert (build.number, main.runs[0].parameters) == (1, given)


def followed(desk: Desk, build) -> tuple[State, Notes]:
    notes = Notes()
    return desk.follow(build, notes), notes


def test_a_build_is_watched_to_its_question_agreed_to_and_watched_to_its_end(desk: Desk, main, tmp_path: Path):
    build = desk.trigger(Situation(ONE), "id-1")
    state, notes = followed(desk, build)
    assert (state, notes.questions[0].message) == (State.PAUSED, "Promote to production?")
    assert [step.name for step in notes.trees[-1].children] == ["gates", "build", "approve"]
    desk.approve(build, "it looks good")
    assert main.runs[0].given["Approve"]["REASON"] == "it looks good"
    assert followed(desk, build)[0] is State.PASSED
    kept = dict(desk.keep(build))
    assert (kept["tests"], Path(kept["report"]).read_bytes()) == ("1 passed, 0 failed, 0 skipped", b"<html>")


def test_a_question_that_asks_for_no_reason_is_given_none(desk: Desk, main):
    main.scripts = [replace(SHIPS, stages=(Stage("approve", asks=Asks()),))]
    build = desk.trigger(Situation(ONE), "id-1")
    followed(desk, build)
    desk.approve(build, "it looks good")
    assert followed(desk, build)[0] is State.PASSED


def test_a_build_that_waits_is_rejected_and_one_that_runs_is_stopped(desk: Desk, main, double: Double):
    waiting = desk.trigger(Situation(ONE), "id-1")
    followed(desk, waiting)
    desk.abort(waiting)
    assert double.posts("/input/Approve/abort")
    running = desk.trigger(Situation(ONE), "id-2")
    desk.abort(running)
    assert [followed(desk, build)[0] for build in (waiting, running)] == [State.ABORTED, State.ABORTED]
    with pytest.raises(UsageError, match="#1 is over"):
        desk.abort(waiting)


def test_who_agrees_to_what_nobody_asks_is_told_so(desk: Desk, main):
    build = desk.trigger(Situation(ONE), "id-1")
    with pytest.raises(UsageError, match="waits for nobody"):
        desk.approve(build, "")


def test_a_job_without_builds_is_told_so(desk: Desk, main):
    with pytest.raises(UsageError, match="has no build yet"):
        desk.find("main", None)


def test_what_cannot_be_fetched_is_said_and_changes_nothing(desk: Desk, main, double: Double):
    build = desk.trigger(Situation(ONE), "id-1")
    followed(desk, build)
    double.fault("wfapi/artifacts", "answer", status=403, times=9)
    assert "could not be fetched" in dict(desk.keep(build))["note"]


def test_a_configuration_that_is_not_there_is_asked_wrongly(desk: Desk, tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read"):
        desk.put("slipway", tmp_path / "none.xml")


def test_the_job_of_the_repository_is_made_and_then_left_alone(desk: Desk, root: Path, double: Double):
    config = root / "jenkins" / "jobs" / "slipway.xml"
    assert [desk.put("slipway/another", config) for _ in range(2)] == ["created", "unchanged"]
