"""What jenkinsapi does on the double, and what ours does in the same place: the defects that are worked around, each shown."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import jenkinsapi.custom_exceptions
import pytest
from jenkinsapi.jenkins import Jenkins

from pipeline.errors import PipelineError
from pipeline.jenkins.controller import Controller
from tests.jenkins.clients import JOB, PASSWORD, bare, begun, ours
from tests.jenkins.controller import Double, with_a_job
from tests.jenkins.controller_state import Asks, Job, Script, Stage, string

TEXT = "wörks → fine\n"


@pytest.fixture
def double() -> Iterator[Double]:
    with with_a_job() as (double, _job):
        yield double


@pytest.fixture
def job(double: Double) -> Job:
    return double.state.jobs[JOB]


@pytest.fixture
def theirs(double: Double) -> Iterator[Jenkins]:
    with bare(double) as jenkins:
        yield jenkins


@pytest.fixture
def mine(double: Double) -> Iterator[Controller]:
    with ours(double) as controller:
        yield controller


def test_a_log_that_is_cut_inside_a_character_breaks_theirs_and_not_ours(
    double: Double, job: Job, theirs: Jenkins, mine: Controller
):
    job.scripts = [Script((Stage("build", TEXT.encode()),))]
    job.begin({}, 1).go_on_to_the_end()
    double.chunk = 2
    with pytest.raises(UnicodeDecodeError):
        list(theirs[JOB].get_build(1).stream_logs())
    first = mine.console(mine.build(JOB, 1))
    assert (first.data, first.size, first.more) == (TEXT.encode()[:2], 2, True)


def test_a_log_that_does_not_come_is_a_key_error_of_theirs_and_a_sentence_of_ours(
    double: Double, job: Job, theirs: Jenkins, mine: Controller
):
    job.begin({}, 1)
    build = theirs[JOB].get_build(1)
    double.fault("progressiveText", "answer", status=500, times=99)
    with pytest.raises(KeyError, match="x-text-size"):
        list(build.stream_logs())
    with pytest.raises(PipelineError, match="jenkins answers 500 to GET /job/slipway/job/main/1/logText/progressiveText"):
        mine.console(mine.build(JOB, 1))


def test_the_stages_are_always_empty_for_them(job: Job, theirs: Jenkins, mine: Controller):
    job.begin({}, 1).go_on_to_the_end()
    assert theirs[JOB].get_build(1).get_stages() == []
    assert [step.name for step in mine.stages(mine.build(JOB, 1)).children] == ["build"]


@pytest.mark.parametrize("location", ["host", "https", "prefix", "bare"])
def test_a_queue_item_at_another_address_breaks_theirs_after_the_build_was_started(
    double: Double, theirs: Jenkins, mine: Controller, location: str
):
    double.location = location
    with pytest.raises(ValueError, match="Not a Queue URL"):
        theirs[JOB].invoke(build_params={"ACTION": "ship", "TRIGGER": "theirs"})
    assert len(double.state.items) == 1
    assert begun(mine, "mine").number == 1
    assert [item.parameters["TRIGGER"] for item in double.state.items.values()] == ["theirs", "mine"]


def test_a_name_with_a_word_of_python_in_it_is_misread_by_them_even_so_not_through_our_requester(
    double: Double, theirs: Jenkins, mine: Controller
):
    double.add_job("TrueNorth").begin({}, 1)
    url = f"{double.url}/job/TrueNorth"
    assert theirs.get_job_by_url(url, "TrueNorth")._data["fullName"] == "trueNorth"
    assert mine.jenkins.get_job_by_url(url, "TrueNorth")._data["fullName"] == "TrueNorth"
    assert [found.name for found in mine.jobs()] == ["TrueNorth", JOB]


def test_a_page_that_says_404_is_a_log_to_them(job: Job, theirs: Jenkins, mine: Controller):
    job.begin({}, 1)
    build, known = theirs[JOB].get_build(1), mine.build(JOB, 1)
    job.runs.clear()
    assert "HTTP ERROR 404" in build.get_console()
    with pytest.raises(PipelineError, match=r"jenkins has nothing at .*/progressiveText \(404\)"):
        mine.console(known)


def test_they_post_twice_what_is_not_allowed_and_we_once(double: Double):
    with bare(double, PASSWORD) as theirs, ours(double, PASSWORD) as mine:
        theirs[JOB].invoke(build_params={"TRIGGER": "theirs"})
        begun(mine, "mine")
        double.users["alice"].permissions = frozenset({"Job/Read"})
        double.requests.clear()
        with pytest.raises(jenkinsapi.custom_exceptions.JenkinsAPIException, match="status=403"):
            theirs[JOB].invoke(build_params={"TRIGGER": "again"})
        assert len(double.posts()) == 2
        with pytest.raises(PipelineError, match="does not let user 'alice' POST"):
            mine.trigger(JOB, {}, "again")
        assert len(double.posts()) == 3


def test_a_configuration_that_was_not_taken_is_no_news_to_them(double: Double, job: Job, theirs: Jenkins, mine: Controller):
    double.fault("config.xml", "answer", method="POST", status=500, times=2)
    before = job.config
    theirs[JOB].update_config("<flow-definition><new/></flow-definition>")
    assert job.config == before
    with pytest.raises(PipelineError, match=r"jenkins answers 500 to POST .*/config.xml"):
        mine.put_job(JOB, "<flow-definition><new/></flow-definition>")


def test_a_job_that_exists_is_not_changed_by_them(job: Job, theirs: Jenkins, mine: Controller):
    before = job.config
    theirs.create_job(JOB, "<flow-definition><new/></flow-definition>")
    assert job.config == before
    assert mine.put_job(JOB, "<flow-definition><new/></flow-definition>") == "updated"
    assert "<new/>" in job.config


def test_a_crumb_that_was_missing_once_is_missing_for_good_to_them(double: Double):
    double.crumbs = False
    with bare(double, PASSWORD) as theirs, ours(double, PASSWORD) as mine:
        theirs[JOB].invoke(build_params={"TRIGGER": "theirs"})
        begun(mine, "mine")
        double.crumbs = True
        with pytest.raises(jenkinsapi.custom_exceptions.JenkinsAPIException, match="No valid crumb"):
            theirs[JOB].invoke(build_params={"TRIGGER": "again"})
        begun(mine, "again")
    assert [item.parameters["TRIGGER"] for item in double.state.items.values()] == ["theirs", "mine", "again"]


def test_they_wait_for_ever_for_a_build_that_may_not_be_seen_any_more(
    double: Double, theirs: Jenkins, mine: Controller, monkeypatch: pytest.MonkeyPatch
):
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 50:
            raise TimeoutError

    monkeypatch.setattr("jenkinsapi.queue.time", SimpleNamespace(sleep=nap))
    double.state.jobs[JOB].scripts = [Script(reasons=(("WaitingItem", "wait"),) * 5)]
    item, queued = theirs[JOB].invoke(build_params={"TRIGGER": "theirs"}), mine.trigger(JOB, {}, "mine")
    double.users["alice"].token = "changed"
    with pytest.raises(TimeoutError):
        item.block_until_building()
    with pytest.raises(PipelineError, match="does not know user 'alice'"):
        mine.wait_for_build(queued, lambda reason: None, 60)


def test_what_an_input_asks_for_is_left_out_by_them_and_who_agreed_too(job: Job, theirs: Jenkins, mine: Controller):
    asks = Asks(parameters=(string("REASON"),))
    job.scripts = [Script((Stage("approve", asks=asks),))]
    first, second = job.begin({}, 1).go_on_to_the_end(), job.begin({}, 2).go_on_to_the_end()
    theirs[JOB].get_build(1).proceed_input("Approve")
    assert first.given["Approve"] == {}
    mine.approve(mine.build(JOB, 2), {"REASON": "because"})
    assert second.given["Approve"] == {"REASON": "because", "APPROVER": "alice"}
