from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins import stages
from pipeline.jenkins.artefacts import target
from pipeline.jenkins.configuration import canonical
from pipeline.jenkins.controller import Controller
from pipeline.jenkins.names import job_of, job_path, queue_item
from pipeline.jenkins.replies import Artefact, Build, Chunk, Job, Parameter, Question, Tally
from pipeline.progress import State, Step
from tests.jenkins.clients import JOB, TOKEN, Time, begun, ours
from tests.jenkins.controller import Double, User, with_a_job
from tests.jenkins.controller_state import MULTIBRANCH, Asks, Run, Script, Stage, boolean, case, choice, string
from tests.jenkins.wire import Request

CONFIG = """<?xml version='1.1' encoding='UTF-8'?>
<flow-definition plugin='workflow-job@1'>
  <script>echo 1</script>
</flow-definition>
"""
ASKS = Asks(parameters=(string("REASON", "none"), choice("HOW", "slow", "fast"), boolean("SURE", True)), submitter="promoters")


@pytest.fixture
def double() -> Iterator[Double]:
    with with_a_job() as (double, _job):
        yield double


@pytest.fixture
def jenkins(double: Double) -> Iterator[Controller]:
    with ours(double) as controller:
        yield controller


def run(double: Double, *stages: Stage, **script: object) -> Run:
    """A build as it stands when it is over, or waits."""
    job = double.state.jobs[JOB]
    job.scripts = [Script(stages or (Stage("build", b"Hello\n"),), **script)]  # type: ignore[arg-type]
    return job.begin({"TRIGGER": "id-0"}, 7).go_on_to_the_end()


@pytest.mark.parametrize(
    ("name", "path"), [(JOB, "job/slipway/job/main"), ("a/b%2Fc d", "job/a/job/b%252Fc%20d"), ("/x/", "job/x")]
)
def test_the_path_of_a_job_has_its_folders(name: str, path: str):
    assert job_path(name) == path
    assert job_of(f"https://elsewhere/jenkins/{path}/12/console?x#y") == name.strip("/")


@pytest.mark.parametrize("name", ["", "/", "a/../b"])
def test_what_is_no_name_is_refused(name: str):
    with pytest.raises(UsageError, match="is no name of a job"):
        job_path(name)


def test_an_address_that_is_of_no_job_has_no_job():
    assert job_of("http://jenkins/computer/a/") == ""
    assert job_of("") == ""


@pytest.mark.parametrize(
    "location", ["http://a/queue/item/7/", "https://b:1/x/queue/item/7", "/queue/item/7/", "http://a/queue/item/7/?x=1"]
)
def test_the_number_of_a_queue_item_is_found_in_any_form_of_its_address(location: str):
    assert queue_item(location) == 7


@pytest.mark.parametrize("location", ["", ".", "http://a/job/queue/item/", "http://a/login?from=/queue/item/7/"])
def test_no_queue_item_is_found_where_there_is_none(location: str):
    assert queue_item(location) is None


def test_jobs_are_found_in_folders_and_branches(double: Double, jenkins: Controller):
    double.add_job("team/service", kind=MULTIBRANCH)
    double.add_job("team/service/feature%2Fx")
    run(double, result="UNSTABLE")
    double.state.jobs[JOB].begin({}, 8)
    assert jenkins.jobs() == (
        Job(JOB, f"{double.url}/job/slipway/job/main/", 2, "", building=True),
        Job("team/service/feature%2Fx", f"{double.url}/job/team/job/service/job/feature%252Fx/"),
    )


def test_a_job_is_made_then_left_alone_then_changed(double: Double, jenkins: Controller):
    assert jenkins.put_job("slipway/new", CONFIG) == "created"
    assert jenkins.put_job("slipway/new", CONFIG.replace("@1", "@2").replace("\n  ", "")) == "unchanged"
    assert jenkins.put_job("slipway/new", CONFIG.replace("echo 1", "echo 2")) == "updated"
    assert "echo 2" in double.state.jobs["slipway/new"].config
    assert [post.path for post in double.posts()] == ["/job/slipway/createItem", "/job/slipway/job/new/config.xml"]
    assert {post.headers["content-type"] for post in double.posts()} == {"text/xml; charset=utf-8"}


def test_a_job_is_made_at_the_top_too(double: Double, jenkins: Controller):
    assert jenkins.put_job("new", CONFIG.replace("echo 1", "echo é")) == "created"
    assert "echo é" in double.state.jobs["new"].config


def test_a_job_without_its_folder_is_not_made(jenkins: Controller):
    with pytest.raises(PipelineError, match="jenkins has nothing at /job/none/createItem"):
        jenkins.put_job("none/new", CONFIG)


def test_a_configuration_that_is_no_xml_is_refused_before_anything_is_asked(double: Double, jenkins: Controller):
    with pytest.raises(UsageError, match=r"the configuration of slipway/main is no XML: .*line 1"):
        jenkins.put_job(JOB, "<flow-definition>")
    assert double.requests == []


def test_a_configuration_that_python_cannot_read_is_replaced(double: Double, jenkins: Controller):
    double.state.jobs[JOB].config = "<?xml version='1.1'?><a>&#x1b;</a>"
    assert jenkins.put_job(JOB, CONFIG) == "updated"


def test_configurations_that_mean_the_same_are_the_same():
    assert canonical("<?xml version='1.1'?>\n<a y='1' x='2' plugin='p@1'> t </a>") == canonical('<a x="2" y="1">t</a>')
    assert canonical("<a x='2'/>") != canonical("<a x='3'/>")


def test_a_build_is_started_once_with_its_parameters_in_the_body(double: Double, jenkins: Controller):
    build = begun(jenkins, RELEASE="a & b", ACTION="promote")
    assert build == Build(JOB, 1, f"{double.url}/job/slipway/job/main/1/")
    assert double.state.jobs[JOB].runs[0].parameters == {"ACTION": "promote", "RELEASE": "a & b", "TRIGGER": "id-1"}
    (post,) = double.posts()
    assert (post.path, post.query) == ("/job/slipway/job/main/buildWithParameters", {})


def test_the_same_id_starts_nothing_more_when_the_build_waits_runs_or_is_over(double: Double, jenkins: Controller):
    first = jenkins.trigger(JOB, {}, "id-1")
    assert jenkins.trigger(JOB, {}, "id-1") == first
    build = jenkins.wait_for_build(first, lambda reason: None, 60)
    assert jenkins.trigger(JOB, {}, "id-1").build == build
    double.state.jobs[JOB].runs[0].go_on_to_the_end()
    assert begun(jenkins, "id-1") == build
    assert (len(double.posts()), len(double.state.items)) == (1, 1)


@pytest.mark.parametrize("name", ["/slipway/main/", "slipway//main"])
def test_the_same_id_starts_nothing_more_however_the_job_is_written(double: Double, jenkins: Controller, name: str):
    first = jenkins.trigger(JOB, {}, "id-1")
    assert jenkins.trigger(name, {}, "id-1") == first
    assert len(double.posts()) == 1


def test_a_place_in_the_queue_is_found_in_any_case_of_the_name(double: Double, jenkins: Controller):
    queued = jenkins.trigger(JOB, {}, "id-1")
    found = jenkins.find("Slipway/MAIN", "id-1")
    assert found is not None
    assert found.item == queued.item


def test_another_id_starts_another_build(jenkins: Controller):
    assert [begun(jenkins, trigger).number for trigger in ("id-1", "id-2")] == [1, 2]


def test_a_build_that_begins_between_two_looks_is_found(double: Double, jenkins: Controller):
    jenkins.trigger(JOB, {}, "id-1")
    looks: list[str] = []

    def begin_before_the_second_look(request: Request) -> None:
        looks.append(request.path)
        if len(looks) == 2:
            double.state.items[41].move()

    double.meanwhile = begin_before_the_second_look
    assert jenkins.find(JOB, "id-1") is not None


def test_the_id_of_another_job_is_not_found(double: Double, jenkins: Controller):
    double.add_job("slipway/other", parameters=(string("TRIGGER"),))
    jenkins.trigger("slipway/other", {}, "id-1")
    assert jenkins.find(JOB, "id-1") is None


def test_a_place_in_the_queue_that_is_shared_with_the_same_id_is_followed(double: Double, jenkins: Controller):
    same = {"ACTION": "ship", "RELEASE": "", "TRIGGER": "id-1"}
    double.meanwhile = lambda request: request.method == "POST" and double.state.schedule(double.state.jobs[JOB], same)
    assert jenkins.trigger(JOB, {}, "id-1").item == 41
    assert len(double.state.items) == 1


@pytest.mark.parametrize("trigger", ["", "a b", "x" * 101, "é→"])
def test_an_id_that_jenkins_might_change_is_refused(double: Double, jenkins: Controller, trigger: str):
    with pytest.raises(UsageError, match="is no id for a build"):
        jenkins.trigger(JOB, {}, trigger)
    assert double.requests == []


def test_a_parameter_that_the_job_does_not_have_is_refused_with_those_that_it_has(double: Double, jenkins: Controller):
    with pytest.raises(UsageError, match="slipway/main has no parameter COLOR") as caught:
        jenkins.trigger(JOB, {"COLOR": "red"}, "id-1")
    assert caught.value.hint == "it has ACTION, RELEASE, TRIGGER"
    assert double.posts() == []


def test_a_value_that_is_no_choice_is_refused_with_the_choices(jenkins: Controller):
    with pytest.raises(UsageError, match="ACTION = 'sink' is not a choice of slipway/main") as caught:
        jenkins.trigger(JOB, {"ACTION": "sink"}, "id-1")
    assert caught.value.hint == "it takes ship, promote, rollback"


def test_a_branch_that_was_never_built_has_no_parameters_yet(double: Double, jenkins: Controller):
    double.add_job("slipway/fresh")
    with pytest.raises(PipelineError, match="slipway/fresh has no parameter TRIGGER yet") as caught:
        jenkins.trigger("slipway/fresh", {}, "id-1")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["slipway/off", "slipway"])
def test_what_is_disabled_or_a_folder_is_not_started(double: Double, jenkins: Controller, name: str):
    double.add_job("slipway/off", parameters=(string("TRIGGER"),), buildable=False)
    with pytest.raises(PipelineError):
        jenkins.trigger(name, {}, "id-1")
    assert double.posts() == []


def test_why_it_waits_is_told_when_that_changes(double: Double, jenkins: Controller):
    double.state.jobs[JOB].scripts = [
        Script(
            reasons=(
                ("WaitingItem", "asked"), ("WaitingItem", "In the quiet period. Expires in 4.6 sec"),
                ("WaitingItem", "In the quiet period. Expires in 1.2 sec"), ("BlockedItem", "Build #1 is already in progress"),
            )
        )
    ]  # fmt: skip
    reasons: list[str] = []
    jenkins.wait_for_build(jenkins.trigger(JOB, {}, "id-1"), reasons.append, 60)
    assert reasons == ["In the quiet period. Expires in 4.6 sec", "Build #1 is already in progress"]


def test_a_build_is_found_by_its_id_when_the_queue_has_forgotten_it(double: Double, jenkins: Controller):
    double.forgets_items = True
    assert begun(jenkins).number == 1


def test_a_build_that_was_cancelled_and_forgotten_is_said_to_be(double: Double, jenkins: Controller):
    queued = jenkins.trigger(JOB, {}, "id-1")
    double.state.items.clear()
    with pytest.raises(PipelineError, match="queue item 41 is gone, and no build of slipway/main has the id id-1"):
        jenkins.wait_for_build(queued, lambda reason: None, 60)


def test_a_build_that_was_cancelled_is_not_waited_for(double: Double, jenkins: Controller):
    queued = jenkins.trigger(JOB, {}, "id-1")
    jenkins.abort(queued)
    with pytest.raises(PipelineError, match=r"was cancelled before it began \(queue item 41\)"):
        jenkins.wait_for_build(queued, lambda reason: None, 60)


def test_waiting_ends_with_the_reason_when_it_takes_too_long(double: Double):
    double.state.jobs[JOB].scripts = [Script(reasons=(("BuildableItem", "Waiting for next available executor"),) * 99)]
    time = Time()
    with ours(double, time=time) as jenkins, pytest.raises(PipelineError, match="within 60 s: Waiting for next available executor"):
        begun(jenkins)
    assert 50 < time.now <= 60


def test_the_newest_build_is_found_when_there_is_one(double: Double, jenkins: Controller):
    assert jenkins.newest_build(JOB) is None
    run(double)
    run(double)
    assert jenkins.newest_build(JOB) == jenkins.build(JOB, 2)


def test_a_build_that_is_not_there_is_named(jenkins: Controller):
    with pytest.raises(PipelineError, match="slipway/main has no build 9"):
        jenkins.build(JOB, 9)


def test_a_build_has_a_result_once_it_is_over(double: Double, jenkins: Controller):
    build = begun(jenkins)
    assert (jenkins.state(build).building, jenkins.state(build).result) == (True, "")
    double.state.jobs[JOB].runs[0].go_on_to_the_end()
    assert (jenkins.state(build).building, jenkins.state(build).result) == (False, "SUCCESS")


@pytest.mark.parametrize(
    ("status", "error", "state"),
    [
        ("SUCCESS", "", State.PASSED),
        ("UNSTABLE", "", State.REFUSED),
        ("FAILED", "script returned exit code 1", State.REFUSED),
        ("FAILED", "script returned exit code 3", State.FAILED),
        ("ABORTED", "", State.ABORTED),
        ("NOT_EXECUTED", "", State.SKIPPED),
        ("SKIPPED", "", State.SKIPPED),
    ],
)
def test_a_stage_is_in_the_state_that_jenkins_says(double: Double, jenkins: Controller, status: str, error: str, state: State):
    run(double, Stage("tests", status=status, error=error))
    (step,) = jenkins.stages(jenkins.build(JOB, 1)).children
    assert step == Step("tests", state, 1.5, error)


@pytest.mark.parametrize(
    ("result", "state"),
    [("SUCCESS", State.PASSED), ("FAILURE", State.REFUSED), ("ABORTED", State.ABORTED), ("NOT_BUILT", State.SUPERSEDED)],
)
def test_the_tree_is_in_the_state_of_the_build(double: Double, jenkins: Controller, result: str, state: State):
    run(double, result=result)
    assert jenkins.stages(jenkins.build(JOB, 1)).state is state


def test_a_tree_says_that_somebody_is_asked(double: Double, jenkins: Controller):
    run(double, Stage("build"), Stage("approve", asks=ASKS))
    tree = jenkins.stages(jenkins.build(JOB, 1))
    assert (tree.state, [step.state for step in tree.children]) == (State.PAUSED, [State.PASSED, State.PAUSED])


def test_stages_stand_together_in_their_groups(double: Double):
    run(double, Stage("arrive"), Stage("gates", millis=0), Stage("tests"), Stage("lint", status="UNSTABLE"), Stage("arrive"))
    with ours(double, groups={"gates": ("lint", "tests")}) as jenkins:
        tree = jenkins.stages(jenkins.build(JOB, 1))
    assert [step.name for step in tree.children] == ["arrive", "gates", "arrive"]
    gates = tree.children[1]
    assert (gates.state, gates.seconds, [step.name for step in gates.children]) == (State.REFUSED, 3.0, ["tests", "lint"])


def test_a_group_is_there_when_jenkins_names_only_its_stages(double: Double):
    run(double, Stage("tests"))
    with ours(double, groups={"gates": ("lint", "tests")}) as jenkins:
        (gates,) = jenkins.stages(jenkins.build(JOB, 1)).children
    assert (gates.name, gates.state) == ("gates", State.PASSED)


def test_a_group_whose_stages_go_side_by_side_takes_as_long_as_they_do_together():
    def stage(name: str, began: int, millis: int) -> dict[str, object]:
        return {"name": name, "status": "SUCCESS", "startTimeMillis": began, "durationMillis": millis}

    document = {"status": "SUCCESS", "stages": [stage("tests", 1000, 5000), stage("lint", 2000, 1500), stage("docs", 0, 0)]}
    (gates,) = stages.tree(document, "slipway/main #1", {"gates": ("tests", "lint", "docs")}).children
    assert gates.seconds == 5.0


def test_a_log_is_read_on_from_where_it_stopped(double: Double, jenkins: Controller):
    run(double)
    build = jenkins.build(JOB, 1)
    assert jenkins.console(build) == Chunk(b"Hello\r\nFinished: SUCCESS\r\n", 24, more=False)
    assert jenkins.console(build, 6).data == b"Finished: SUCCESS\r\n"


def test_tests_are_counted_when_there_is_a_report(double: Double, jenkins: Controller):
    run(double)
    run(double, cases=(case("a"), case("b", "FAILED"), case("c", "SKIPPED")))
    assert jenkins.tests(jenkins.build(JOB, 1)) is None
    assert jenkins.tests(jenkins.build(JOB, 2)) == Tally(1, 1, 1, ("tests.test_it.b",))


def test_what_a_build_asks_is_read_with_its_parameters(double: Double, jenkins: Controller):
    run(double, Stage("approve", asks=ASKS))
    assert jenkins.pending_input(jenkins.build(JOB, 1)) == Question(
        "Approve",
        "Promote to production?",
        "Promote",
        (
            Parameter("REASON", "StringParameterDefinition", "what REASON is for", "none"),
            Parameter("HOW", "ChoiceParameterDefinition", "what HOW is for", "slow", ("slow", "fast")),
            Parameter("SURE", "BooleanParameterDefinition", "what SURE is for", True),
        ),
    )


def test_agreeing_gives_all_parameters_those_not_named_by_their_defaults(double: Double, jenkins: Controller):
    build = run(double, Stage("approve", asks=ASKS))
    jenkins.approve(jenkins.build(JOB, 1), {"HOW": "fast", "SURE": "false"})
    assert build.given["Approve"] == {"REASON": "none", "HOW": "fast", "SURE": False, "APPROVER": "alice"}
    assert build.go_on_to_the_end().result == "SUCCESS"
    assert jenkins.pending_input(jenkins.build(JOB, 1)) is None


@pytest.mark.parametrize(
    ("given", "says"), [({"COLOR": "x"}, "does not ask for COLOR"), ({"HOW": "x"}, "HOW = 'x' is not a choice")]
)
def test_an_answer_that_does_not_fit_is_not_sent(double: Double, jenkins: Controller, given: dict[str, str], says: str):
    run(double, Stage("approve", asks=ASKS))
    with pytest.raises(UsageError, match=says):
        jenkins.approve(jenkins.build(JOB, 1), given)
    assert double.posts() == []


def test_a_question_with_any_id_can_be_answered(double: Double, jenkins: Controller):
    build = run(double, Stage("approve", asks=Asks(id="Go on/50%?")))
    jenkins.approve(jenkins.build(JOB, 1))
    assert build.given == {"Go on/50%?": {"APPROVER": "alice"}}


def test_agreeing_to_nothing_is_refused(double: Double, jenkins: Controller):
    run(double)
    with pytest.raises(UsageError, match="slipway/main #1 does not wait for anybody"):
        jenkins.approve(jenkins.build(JOB, 1))


def test_a_question_that_somebody_else_has_answered_is_said_to_be(double: Double, jenkins: Controller):
    run(double, Stage("approve", asks=ASKS))
    build = jenkins.build(JOB, 1)
    question = jenkins.pending_input(build)
    jenkins.approve(build)
    with pytest.raises(PipelineError, match=r"jenkins refuses POST .*/submit \(400\): This input has been already given"):
        jenkins.approve(build, question=question)
    double.state.jobs[JOB].runs[0].advance()
    double.state.jobs[JOB].runs[0].answered.clear()  # Jenkins forgets a question a moment after its answer
    with pytest.raises(PipelineError, match="slipway/main #1 does not wait for 'Approve' any more"):
        jenkins.approve(build, question=question)


def test_somebody_who_may_not_agree_is_told_who_may(double: Double):
    run(double, Stage("approve", asks=ASKS))
    double.users["bob"] = User("bob", token="22bb")
    with ours(double, ("bob", "22bb")) as jenkins, pytest.raises(PipelineError, match=r"You need to be promoters to submit this$"):
        jenkins.approve(jenkins.build(JOB, 1))


def test_rejecting_ends_the_build(double: Double, jenkins: Controller):
    build = run(double, Stage("approve", asks=ASKS))
    jenkins.reject(jenkins.build(JOB, 1))
    assert build.result == "ABORTED"


def test_a_build_that_runs_is_stopped(double: Double, jenkins: Controller):
    jenkins.abort(begun(jenkins))
    assert double.state.jobs[JOB].runs[0].result == "ABORTED"


def test_a_build_that_waits_is_taken_out_of_the_queue(double: Double, jenkins: Controller):
    jenkins.abort(jenkins.trigger(JOB, {}, "id-1"))
    assert (double.state.items[41].cancelled, double.state.jobs[JOB].runs) == (True, [])


def test_a_build_that_has_begun_meanwhile_is_stopped(double: Double, jenkins: Controller):
    queued = jenkins.trigger(JOB, {}, "id-1")
    jenkins.wait_for_build(queued, lambda reason: None, 60)
    jenkins.abort(queued)
    assert double.state.jobs[JOB].runs[0].result == "ABORTED"


def test_a_build_that_was_cancelled_already_cannot_be_stopped(double: Double, jenkins: Controller):
    queued = jenkins.trigger(JOB, {}, "id-1")
    jenkins.abort(queued)
    with pytest.raises(PipelineError, match="there is no build of slipway/main to stop"):
        jenkins.abort(queued)


def test_everything_that_a_build_keeps_is_brought_with_its_folders(double: Double, jenkins: Controller, tmp_path: Path):
    kept = {"evidence/a b%.txt": b"x" * 200_000, "é.txt": b"", "evidence/deep/c": b"c"}
    run(double, artefacts=kept)
    build = jenkins.build(JOB, 1)
    assert jenkins.artefacts(build) == tuple(Artefact(path, len(body)) for path, body in kept.items())
    assert jenkins.fetch(build, tmp_path) == tuple(tmp_path / path for path in kept)
    assert {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == kept


def test_what_is_there_already_is_not_brought_again(double: Double, jenkins: Controller, tmp_path: Path):
    run(double, artefacts={"a": b"aaa", "b": b"bbb"})
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "b").write_bytes(b"half of it")
    jenkins.fetch(jenkins.build(JOB, 1), tmp_path)
    assert [(tmp_path / name).read_bytes() for name in "ab"] == [b"old", b"bbb"]
    assert [one.path for one in double.asked("/artifact/")] == ["/job/slipway/job/main/1/artifact/b"]


def test_a_file_that_breaks_off_is_brought_again(double: Double, jenkins: Controller, tmp_path: Path):
    run(double, artefacts={"a": b"x" * 1000})
    double.fault("/artifact/", "truncate", times=2)
    jenkins.fetch(jenkins.build(JOB, 1), tmp_path)
    assert (tmp_path / "a").stat().st_size == 1000


def test_a_file_that_keeps_breaking_off_leaves_nothing_behind(double: Double, jenkins: Controller, tmp_path: Path):
    run(double, artefacts={"a": b"x" * 1000})
    double.fault("/artifact/", "truncate", times=99)
    with pytest.raises(PipelineError, match=r"the download of /job/slipway/job/main/1/artifact/a broke off"):
        jenkins.fetch(jenkins.build(JOB, 1), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(double.asked("/artifact/")) == 4


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/../x", "/etc/x", "", ".", "a\\..\\x", "link/x"])
def test_a_path_that_leads_out_of_the_folder_is_refused_before_anything_is_brought(
    double: Double, jenkins: Controller, tmp_path: Path, path: str
):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    run(double, artefacts={"good": b"g", path: b"x"})
    with pytest.raises(PipelineError, match="which leads out of"):
        jenkins.fetch(jenkins.build(JOB, 1), folder)
    assert not (folder / "good").exists()


def test_a_path_with_a_null_byte_is_refused(tmp_path: Path):
    with pytest.raises(PipelineError, match="which leads out of"):
        target(tmp_path, "a\0b")


def test_a_controller_below_a_path_is_used_as_one_at_the_top(tmp_path: Path):
    with with_a_job(prefix="/jenkins") as (double, job), ours(double, TOKEN) as jenkins:
        job.scripts = [Script((Stage("approve", asks=ASKS),), artefacts={"a": b"a"})]
        build = begun(jenkins)
        job.runs[0].go_on_to_the_end()
        jenkins.approve(build)
        assert job.runs[0].go_on_to_the_end().result == "SUCCESS"
        assert jenkins.fetch(build, tmp_path) == (tmp_path / "a",)
        assert jenkins.jobs()[0].url == f"{double.url}/job/slipway/job/main/"
