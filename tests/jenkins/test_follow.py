from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.errors import PipelineError
from pipeline.jenkins.controller import Controller
from pipeline.jenkins.follow import follow
from pipeline.progress import State
from tests.jenkins.clients import JOB, PASSWORD, Notes, Time, begun, ours
from tests.jenkins.controller import Double, with_a_job
from tests.jenkins.controller_state import Asks, Script, Stage, string
from tests.jenkins.wire import Request

LOG = ["first", "wörks →", "second", "Finished: SUCCESS"]
NOTE = b"\x1b[8mha:////4AAAA==\x1b[0m"
STAGES = (Stage("build", f"first\nwörks {NOTE.decode()}→\n".encode()), Stage("deploy", b"second\n"))


@pytest.fixture
def double() -> Iterator[Double]:
    with with_a_job() as (double, job):
        job.scripts = [Script(STAGES)]
        yield double


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def jenkins(double: Double, time: Time) -> Iterator[Controller]:
    with ours(double, time=time) as controller:
        yield controller


def states(notes: Notes) -> list[list[str]]:
    return [[step.state for step in tree.children] for tree in notes.trees]


def test_a_build_is_followed_to_its_end(jenkins: Controller):
    notes = Notes()
    assert follow(jenkins, begun(jenkins), notes, 600) is State.PASSED
    assert notes.lines == LOG
    assert states(notes) == [["running"], ["passed"], ["passed", "running"], ["passed", "passed"], ["passed", "passed"]]
    assert notes.trees[-1].state is State.PASSED


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_a_log_is_whole_wherever_it_is_cut(double: Double, jenkins: Controller, chunk: int):
    double.chunk = chunk
    notes = Notes()
    follow(jenkins, begun(jenkins), notes, 6000)
    assert notes.lines == LOG


def test_a_build_that_is_over_is_told_from_its_beginning(double: Double, jenkins: Controller):
    build, notes = begun(jenkins), Notes()
    double.state.jobs[JOB].runs[0].go_on_to_the_end()
    assert follow(jenkins, build, notes, 600) is State.PASSED
    assert (notes.lines, len(notes.trees)) == (LOG, 1)


@pytest.mark.parametrize(
    ("result", "state"),
    [
        ("SUCCESS", State.PASSED),
        ("FAILURE", State.REFUSED),
        ("UNSTABLE", State.REFUSED),
        ("ABORTED", State.ABORTED),
        ("NOT_BUILT", State.SUPERSEDED),
    ],
)
def test_a_build_ends_in_the_state_of_its_result(double: Double, jenkins: Controller, result: str, state: State):
    double.state.jobs[JOB].scripts = [Script(STAGES, result=result)]
    assert follow(jenkins, begun(jenkins), Notes(), 600) is state


def test_following_ends_where_somebody_is_asked_and_the_watcher_leaves_it_at_that(double: Double, jenkins: Controller):
    double.state.jobs[JOB].scripts = [Script((*STAGES, Stage("approve", b"yes\n", asks=Asks(parameters=(string("REASON"),)))))]
    build, notes = begun(jenkins), Notes()
    assert follow(jenkins, build, notes, 600) is State.PAUSED
    assert [question.message for question in notes.questions] == ["Promote to production?"]
    jenkins.approve(build, {"REASON": "because"}, notes.questions[0])
    again = Notes()
    assert follow(jenkins, build, again, 600) is State.PASSED
    assert again.lines == [*LOG[:3], "Approved by alice", "yes", LOG[-1]]


def test_following_goes_on_while_somebody_else_is_asked_and_asks_only_once(double: Double, jenkins: Controller, time: Time):
    job = double.state.jobs[JOB]
    job.scripts = [Script((Stage("approve", b"yes\n", asks=Asks()),))]
    build, notes = begun(jenkins), Notes(decide=lambda question: True)
    time.meanwhile = lambda now: now > 60 and job.runs[0].asks and job.runs[0].answered.add("Approve")
    assert follow(jenkins, build, notes, 600) is State.PASSED
    assert len(notes.questions) == 1


def test_a_quiet_build_is_looked_at_less_and_less_often(double: Double, time: Time, jenkins: Controller):
    build = begun(jenkins)
    double.moves = False
    naps: list[float] = []
    before = [time.now]

    def nap(now: float) -> None:
        naps.append(now - before[0])
        before[0] = now

    time.meanwhile = nap
    with pytest.raises(PipelineError, match="slipway/main #1 is not over after 30 s") as caught:
        follow(jenkins, build, Notes(), 30)
    assert naps[:6] == [1, 1.5, 2.25, 3.375, 5, 5]
    assert caught.value.hint == f"it goes on by itself: {build.url}"


def test_a_restart_in_the_middle_is_ridden_out(double: Double, time: Time):
    troubles: list[str] = []
    with ours(double, PASSWORD, time, on_trouble=troubles.append) as jenkins:
        build, notes = begun(jenkins), Notes()
        time.meanwhile = lambda now: now < 3 and double.restart(starting=4)
        assert follow(jenkins, build, notes, 600) is State.PASSED
    assert notes.lines == LOG
    assert "jenkins is getting ready to work" in troubles[0]


def test_a_controller_that_is_gone_for_a_while_is_waited_for(double: Double, time: Time):
    troubles: list[str] = []
    with ours(double, time=time, on_trouble=troubles.append) as jenkins:
        build, notes = begun(jenkins), Notes()

        def outage(now: float) -> None:
            if now < 60:
                double.down()
            elif not double.listens:
                double.up()

        time.meanwhile = outage
        assert follow(jenkins, build, notes, 600) is State.PASSED
    assert notes.lines == LOG
    assert "connection refused" in troubles[-1]


def test_a_controller_that_stays_away_ends_the_following_with_a_sentence(double: Double, time: Time, jenkins: Controller):
    build = begun(jenkins)
    time.meanwhile = lambda now: double.down()
    with pytest.raises(PipelineError, match="cannot be reached for GET /job/slipway/job/main/1/logText/progressiveText"):
        follow(jenkins, build, Notes(), 6000)
    assert time.now > 280


def test_a_log_that_began_anew_is_read_from_its_beginning(double: Double, jenkins: Controller, time: Time):
    build, notes = begun(jenkins), Notes()
    run = double.state.jobs[JOB].runs[0]

    def lose(now: float) -> None:
        if b"second" in run.log:
            run.log[:] = b"anew\n"
            time.meanwhile = lambda now: None

    time.meanwhile = lose
    assert follow(jenkins, build, notes, 600) is State.PASSED
    assert notes.lines == [*LOG[:3], "anew", LOG[-1]]


def test_a_line_without_an_end_is_told_when_nothing_more_comes_and_not_put_before_what_began_anew(
    double: Double, jenkins: Controller
):
    build, notes = begun(jenkins), Notes()
    run = double.state.jobs[JOB].runs[0]
    double.moves = False
    run.log += b"a long line that is cut sho"

    def go_on(request: Request) -> None:
        if request.path.endswith("/describe") and run.building:
            run.result = "FAILURE"
            run.log[:] = b"anew\nand its end"

    double.meanwhile = go_on
    assert follow(jenkins, build, notes, 600) is State.REFUSED
    assert notes.lines == ["a long line that is cut sho", "anew", "and its end"]
