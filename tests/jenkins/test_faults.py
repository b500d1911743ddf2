from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from itertools import islice

import pytest
import requests
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import MaxRetryError, NameResolutionError

from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins.answers import Answer, complaint, said
from pipeline.jenkins.controller import Controller
from pipeline.jenkins.requester import delays, never_sent, reason
from tests.jenkins.clients import JOB, PASSWORD, TOKEN, Time, begun, ours
from tests.jenkins.controller import Double, with_a_job
from tests.jenkins.controller_state import Asks, Script, Stage


@pytest.fixture
def double() -> Iterator[Double]:
    with with_a_job() as (double, _job):
        yield double


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def jenkins(double: Double, time: Time) -> Iterator[Controller]:
    with ours(double, time=time) as controller:
        yield controller


def problem(caught: pytest.ExceptionInfo[PipelineError]) -> tuple[str, str, int]:
    return str(caught.value), caught.value.hint, caught.value.exit_code


def test_401_says_whose_token_is_wrong_and_where_to_get_one(double: Double):
    with ours(double, ("alice", "wrong")) as jenkins, pytest.raises(PipelineError) as caught:
        jenkins.jobs()
    sentence, hint, code = problem(caught)
    assert (sentence, code) == ("jenkins does not know user 'alice' by that token (401 to GET /api/json)", 3)
    assert "SLIPWAY_JENKINS_TOKEN" in hint
    assert len(double.requests) == 1


def test_403_says_which_permission_is_missing_and_is_asked_for_once(double: Double, jenkins: Controller):
    double.users["alice"].permissions = frozenset({"Job/Read"})
    with pytest.raises(PipelineError) as caught:
        jenkins.trigger(JOB, {}, "id-1")
    assert problem(caught) == (
        "jenkins does not let user 'alice' POST /job/slipway/job/main/buildWithParameters (403): "
        "alice is missing the Job/Build permission",
        "somebody who administers Jenkins can give Item.Build",
        3,
    )
    assert len(double.posts()) == 1


def test_403_without_a_user_says_how_to_be_one(double: Double):
    with (
        ours(double, ("", "")) as jenkins,
        pytest.raises(PipelineError, match="let anybody without a user name") as caught,
    ):
        jenkins.jobs()
    assert caught.value.hint.startswith("set jenkins_user")


def test_429_is_a_no_when_something_was_to_be_changed(double: Double, jenkins: Controller):
    double.fault("buildWithParameters", "answer", status=429)
    with pytest.raises(PipelineError, match="jenkins answers 429 to POST"):
        jenkins.trigger(JOB, {}, "id-1")
    assert len(double.posts()) == 1


def test_404_says_what_is_not_there(jenkins: Controller):
    with pytest.raises(PipelineError) as caught:
        jenkins.trigger("slipway/none", {}, "id-1")
    sentence, hint, code = problem(caught)
    assert (sentence, code) == ("jenkins has nothing at /job/slipway/job/none/api/json (404)", 3)
    assert "as in slipway/main" in hint


def test_409_says_what_cannot_be_done(double: Double, jenkins: Controller):
    double.fault("buildWithParameters", "answer", status=409)
    with pytest.raises(PipelineError) as caught:
        jenkins.trigger(JOB, {}, "id-1")
    assert problem(caught)[1:] == ("is the job disabled?", 3)
    assert len(double.posts()) == 1


def test_400_says_why(double: Double, jenkins: Controller):
    double.fault("config.xml", "answer", method="GET", status=404)
    with pytest.raises(
        PipelineError, match=r"refuses POST .*/createItem \(400\): A job already exists with the name 'main'"
    ) as caught:
        jenkins.put_job(JOB, "<x/>")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("status", [502, 503, 504, 429])
def test_5xx_that_does_not_pass_is_said_after_some_patience(double: Double, jenkins: Controller, time: Time, status: int):
    jenkins.jobs()
    double.fault("/api/json", "answer", status=status, times=999)
    with pytest.raises(PipelineError, match=f"jenkins answers {status} to GET /api/json") as caught:
        jenkins.jobs()
    assert caught.value.exit_code == 3
    assert 280 < time.now <= 300


def test_500_is_given_less_patience_for_it_is_most_often_for_good(double: Double, jenkins: Controller, time: Time):
    jenkins.jobs()
    double.fault("/api/json", "answer", status=500, times=999)
    with pytest.raises(PipelineError, match="jenkins answers 500 to GET /api/json"):
        jenkins.jobs()
    assert time.now <= 10


def test_5xx_that_passes_is_no_news_but_to_who_wants_to_know(double: Double):
    troubles: list[str] = []
    double.fault("/api/json", "answer", status=503, times=2)
    with ours(double, on_trouble=troubles.append) as jenkins:
        assert [job.name for job in jenkins.jobs()] == [JOB]
    assert troubles == ["jenkins answers 503 to GET /api/json; trying again"] * 2


def test_nobody_there_is_said_soon_when_nobody_ever_was(double: Double, jenkins: Controller, time: Time):
    double.down()
    with pytest.raises(
        PipelineError, match=r"jenkins at http://127.0.0.1:\d+ cannot be reached for GET /api/json: connection refused"
    ):
        jenkins.jobs()
    assert time.now <= 15


def test_no_answer_in_time_is_said(double: Double, time: Time):
    double.fault("/api/json", "slow", seconds=0.4, times=99)
    with (
        ours(double, time=time, seconds=0.05) as jenkins,
        pytest.raises(PipelineError, match="did not answer GET /api/json in time"),
    ):
        jenkins.jobs()


def test_only_what_never_had_a_connection_was_surely_not_sent():
    unknown = socket.gaierror(-2, "Name or service not known")
    nowhere = NameResolutionError("jenkins.invalid", HTTPConnection("jenkins.invalid"), unknown)
    nowhere.__cause__ = unknown
    unresolved = requests.ConnectionError(MaxRetryError(HTTPConnectionPool("jenkins.invalid"), "/", nowhere))
    assert (never_sent(unresolved), reason(unresolved)) == (True, "name or service not known")
    assert never_sent(requests.ConnectTimeout())
    assert not never_sent(requests.ConnectionError("connection aborted"))
    assert not never_sent(requests.ReadTimeout())


def test_what_is_no_address_is_a_mistake_of_the_settings():
    with (
        Controller("jenkins:8080", *TOKEN) as jenkins,
        pytest.raises(UsageError, match="'jenkins:8080' is no address of a Jenkins"),
    ):
        jenkins.jobs()


@pytest.mark.parametrize(("user", "token", "missing"), [("alice", "", "a token"), ("", "x", "a user name")])
def test_half_a_login_is_a_mistake_of_the_settings(user: str, token: str, missing: str):
    with pytest.raises(UsageError, match=f"jenkins needs {missing} too"):
        Controller("http://127.0.0.1", user, token)


def test_a_page_in_place_of_what_was_asked_for_is_said(double: Double, jenkins: Controller):
    double.fault("/api/json", "answer", status=200)
    with pytest.raises(PipelineError, match="/api/json says cannot be read: JSONDecodeError") as caught:
        jenkins.jobs()
    assert "page to sign in" in caught.value.hint


def test_an_answer_without_what_it_should_have_is_said(double: Double, jenkins: Controller):
    double.fault("/api/json", "answer", status=200, body=b'{"views": []}')
    with pytest.raises(PipelineError, match="/api/json says cannot be read: KeyError 'jobs'"):
        jenkins.jobs()


def test_a_log_without_its_length_is_said(double: Double, jenkins: Controller):
    build = begun(jenkins)
    double.fault("progressiveText", "answer", status=200)
    with pytest.raises(PipelineError, match="does not say how long the log is"):
        jenkins.console(build)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(400, {"X-Error": "No mode given"}), "No mode given"),
        (
            Answer(403, {}, b"<p class='error'>al.ice is missing the Overall/Read permission</p>"),
            "al.ice is missing the Overall/Read permission",
        ),
        (Answer(409, {}, b"<title>Error 409 a&amp;b is\n not buildable</title>"), "a&b is not buildable"),
        (
            Answer(409, {"Content-Type": "text/plain"}, b"java.io.IOException: a is not buildable!\n\tat hudson"),
            "a is not buildable",
        ),
        (Answer(503, {}, b"Please wait while Jenkins is getting ready to work"), "jenkins is getting ready to work"),
        (Answer(500, {"Content-Type": "text/html"}, b"<html>Oops"), ""),
        (Answer(400, {"X-Error": "x" * 999}), "x" * 200),
    ],
)
def test_the_reason_is_found_where_jenkins_puts_it(answer: Answer, reason: str):
    assert said(answer) == reason


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 418, 429, 500, 502, 503, 504])
def test_every_refusal_ends_with_3_in_one_lower_case_sentence(status: int):
    error = complaint("POST", "/job/a", Answer(status, {}, b"<title>Error 1 no!</title>"), "alice")
    assert (error.exit_code, str(error)[:7], str(error)[-1] in ".!\n") == (3, "jenkins", False)


def test_delays_double_up_to_a_limit_and_differ_from_client_to_client():
    assert list(islice(delays(lambda: 1.0), 8)) == [0.5, 1, 2, 4, 8, 15, 15, 15]
    assert list(islice(delays(lambda: 0.0), 3)) == [0.25, 0.5, 1]


def test_a_reason_is_the_innermost_one():
    error = requests.ConnectionError("outer")
    error.__cause__ = OSError(111, "Connection refused")
    assert reason(error) == "connection refused"


def test_a_token_needs_no_crumb(double: Double, jenkins: Controller):
    begun(jenkins)
    assert double.asked("crumbIssuer") == []
    assert len(double.posts()) == 1


def test_a_password_gets_a_crumb_and_uses_it_again_with_its_session(double: Double):
    with ours(double, PASSWORD) as jenkins:
        begun(jenkins, "id-1")
        begun(jenkins, "id-2")
    assert len(double.asked("crumbIssuer")) == 1
    assert len(double.state.items) == 2
    assert [("jenkins-crumb" in post.headers) for post in double.posts()] == [False, True, True]


def test_a_crumb_that_has_expired_is_fetched_anew_once(double: Double):
    with ours(double, PASSWORD) as jenkins:
        begun(jenkins, "id-1")
        double.expire_sessions()
        begun(jenkins, "id-2")
    assert len(double.asked("crumbIssuer")) == 2
    assert len(double.state.jobs[JOB].runs) == 2


def test_a_crumb_that_is_never_good_is_given_up(double: Double, monkeypatch: pytest.MonkeyPatch):
    with ours(double, PASSWORD) as jenkins:
        jenkins.jobs()
        crumbs = iter(range(99))
        monkeypatch.setattr("tests.jenkins.controller._crumb", lambda user, session: str(next(crumbs)))
        with pytest.raises(PipelineError, match="with a crumb that it has just given") as caught:
            jenkins.trigger(JOB, {}, "id-1")
    assert len(double.posts()) == 2
    assert "an API token" in caught.value.hint


def test_a_crumb_that_is_wanted_and_not_given_is_said(double: Double):
    double.fault("crumbIssuer", "answer", status=404)
    with ours(double, PASSWORD) as jenkins, pytest.raises(PipelineError, match="jenkins wants a crumb and gives none"):
        jenkins.trigger(JOB, {}, "id-1")


def test_a_crumb_that_cannot_be_read_is_said(double: Double):
    double.fault("crumbIssuer", "answer", status=200)
    with ours(double, PASSWORD) as jenkins, pytest.raises(PipelineError, match="gives a crumb that cannot be read"):
        jenkins.trigger(JOB, {}, "id-1")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset"},
        {"kind": "answer", "status": 500},
        {"kind": "answer", "status": 502},
        {"kind": "answer", "status": 503},
        {"kind": "answer", "status": 200},
        {"kind": "answer", "status": 302},
        {"kind": "slow", "seconds": 0.4},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_a_build_whose_answer_was_lost_is_found_by_its_id(double: Double, fault: dict[str, object]):
    double.fault("buildWithParameters", after=True, **fault)
    with ours(double, seconds=0.1) as jenkins:
        queued = jenkins.trigger(JOB, {}, "id-1")
    assert (queued.item, len(double.posts()), len(double.state.items)) == (41, 1, 1)


def test_a_queue_item_that_is_named_nowhere_is_found_by_its_id(double: Double, jenkins: Controller):
    double.location = "nowhere"
    assert jenkins.trigger(JOB, {}, "id-1").item == 41
    assert len(double.posts()) == 1


@pytest.mark.parametrize("fault", [{"kind": "reset"}, {"kind": "answer", "status": 502}])
def test_a_start_that_nobody_saw_is_not_repeated_and_said_to_be_unknown(
    double: Double, jenkins: Controller, time: Time, fault: dict[str, object]
):
    double.fault("buildWithParameters", **fault)
    with pytest.raises(PipelineError) as caught:
        jenkins.trigger(JOB, {}, "id-1")
    sentence, hint, code = problem(caught)
    assert sentence.startswith("it is not known whether a build of slipway/main was started: jenkins ")
    assert (hint.startswith("repeat it with the same id id-1"), code) == (True, 3)
    assert (len(double.posts()), double.state.items) == (1, {})
    assert 50 < time.now <= 60


def test_a_repetition_with_the_same_id_starts_what_was_not_started(double: Double, jenkins: Controller):
    double.fault("buildWithParameters", "reset")
    with pytest.raises(PipelineError, match="it is not known"):
        jenkins.trigger(JOB, {}, "id-1")
    assert begun(jenkins, "id-1").number == 1
    assert len(double.state.items) == 1


def test_a_build_that_shows_late_is_found_all_the_same(double: Double, time: Time, jenkins: Controller):
    double.fault("buildWithParameters", "reset")
    late = {"ACTION": "ship", "RELEASE": "", "TRIGGER": "id-1"}
    time.meanwhile = lambda now: now > 20 and double.state.schedule(double.state.jobs[JOB], late)
    assert jenkins.trigger(JOB, {}, "id-1").item == 41


def test_what_is_unknown_stays_so_when_nobody_answers_any_more(double: Double, jenkins: Controller):
    double.fault("buildWithParameters", "reset", after=True)
    double.meanwhile = lambda request: request.method == "POST" and double.down(cut=False)
    with pytest.raises(PipelineError, match="it is not known whether a build of slipway/main was started") as caught:
        jenkins.trigger(JOB, {}, "id-1")
    assert "id-1" in caught.value.hint
    assert len(double.state.items) == 1


def test_what_changes_something_is_never_sent_on_a_connection_that_may_have_died(double: Double, jenkins: Controller):
    jenkins.trigger(JOB, {}, "id-1")
    *before, post = double.requests
    assert post.method == "POST"
    assert post.port not in {one.port for one in before}


def test_a_start_is_sent_again_only_while_no_connection_comes_about(double: Double, time: Time, jenkins: Controller):
    double.meanwhile = lambda request: "parameterDefinitions" in request.address and double.down(cut=False)
    time.meanwhile = lambda now: double.listens or double.up()
    assert begun(jenkins).number == 1
    assert (len(double.posts()), time.now) == (1, 0.5)


def test_an_agreement_whose_answer_was_lost_counts_when_the_question_is_gone(double: Double, jenkins: Controller):
    double.state.jobs[JOB].scripts = [Script((Stage("approve", asks=Asks()),))]
    run = double.state.jobs[JOB].begin({}, 1).go_on_to_the_end()
    double.fault("/submit", "reset", after=True)
    jenkins.approve(jenkins.build(JOB, 1))
    assert (run.given["Approve"], len(double.posts())) == ({"APPROVER": "alice"}, 1)


def test_an_agreement_that_never_came_is_said_to_be_missing(double: Double, jenkins: Controller):
    double.state.jobs[JOB].scripts = [Script((Stage("approve", asks=Asks()),))]
    double.state.jobs[JOB].begin({}, 1).go_on_to_the_end()
    double.fault("/submit", "reset")
    with pytest.raises(PipelineError, match=r"slipway/main #1 still waits: jenkins at .* cannot be reached") as caught:
        jenkins.approve(jenkins.build(JOB, 1))
    assert caught.value.hint == "say it again"
    assert len(double.posts()) == 1


def test_a_configuration_whose_answer_was_lost_counts_when_it_is_there(double: Double, jenkins: Controller):
    double.fault("createItem", "reset", after=True)
    assert jenkins.put_job("slipway/new", "<flow-definition/>") == "created"
    double.fault("createItem", "reset")
    with pytest.raises(PipelineError, match="cannot be reached for POST /job/slipway/createItem"):
        jenkins.put_job("slipway/newer", "<flow-definition/>")
    assert len(double.posts()) == 2


def test_an_address_that_sends_on_is_named(double: Double, jenkins: Controller):
    build = begun(jenkins)
    double.fault("/stop", "answer", status=301, headers={"Location": "https://jenkins.example/job/slipway/job/main/1/stop"})
    with pytest.raises(PipelineError, match=r"jenkins sends http://.*/1/stop on to https://jenkins.example/") as caught:
        jenkins.abort(build)
    assert "set jenkins_url" in caught.value.hint


@pytest.mark.parametrize("login", [TOKEN, PASSWORD])
def test_no_secret_is_logged_said_or_put_into_an_address(double: Double, login: tuple[str, str], caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with ours(double, login) as jenkins:
        begun(jenkins, RELEASE="parameter-value")
        double.users["alice"].permissions = frozenset({"Job/Read"})
        with pytest.raises(PipelineError) as caught:
            jenkins.trigger(JOB, {}, "id-2")
    crumbs = [post.headers.get("jenkins-crumb", "no crumb") for post in double.posts()]
    seen = "\n".join([caplog.text, *(one.address for one in double.requests), str(caught.value), caught.value.hint])
    assert "parameter-value" not in seen
    assert not [secret for secret in (login[1], *crumbs) if secret in seen]


def test_a_controller_sets_up_no_logging(double: Double):
    names = ("", "jenkinsapi", "urllib3")
    before = [(list(logging.getLogger(name).handlers), logging.getLogger(name).level) for name in names]
    with ours(double) as jenkins:
        jenkins.jobs()
    assert [(list(logging.getLogger(name).handlers), logging.getLogger(name).level) for name in names] == before
