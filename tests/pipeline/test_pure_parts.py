"""The commands, files and texts that are computed before anything is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.base_image import debootstrap_argv
from pipeline.deploy import deploy_variables
from pipeline.dockerfile import stage_of
from pipeline.errors import PipelineError, UsageError
from pipeline.image import _archive as archive
from pipeline.loadtest import locust_argv, read_record
from pipeline.playbook import Outcome, listen, playbook_argv
from pipeline.release import Release
from pipeline.report.chart import chart
from pipeline.stages import Situation, argv_of, stages_of
from pipeline.testrun import judge
from pipeline.verdict import Answer, Verdict
from pipeline.wheelhouse import download_argv
from tests.fakes import Silence

RELEASE = Release("c" * 40, "registry/service@sha256:" + "d" * 64, "m" * 64, "l" * 64)


def test_a_release_is_named_by_its_record():
    assert RELEASE.id == Release.from_record(RELEASE.record()).id
    assert RELEASE.id != Release("c" * 40, RELEASE.image, "m" * 64, "k" * 64).id


def test_a_verdict_that_is_no_pass_needs_a_reason():
    with pytest.raises(ValueError, match="needs a reason"):
        Verdict(Answer.INCONCLUSIVE)


def test_one_stage_of_a_dockerfile_leaves_the_others_out():
    text = "ARG A=1\nFROM x AS one\nRUN 1\nFROM ${A} AS two\nRUN 2\n"
    assert stage_of(text, "two") == "ARG A=1\nFROM ${A} AS two\nRUN 2\n"
    with pytest.raises(UsageError, match="no stage 'three'"):
        stage_of(text, "three")


def test_our_dockerfile_has_both_stages(root: Path):
    text = (root / "Dockerfile").read_text()
    assert "uv pip install" in stage_of(text, "runtime")
    assert "COPY service/" in stage_of(text, "service")
    assert "uv pip install" not in stage_of(text, "service")


def test_a_build_context_depends_on_names_and_contents_alone():
    assert archive({"b": b"2", "a": b"1"}).read() == archive({"a": b"1", "b": b"2"}).read()
    assert archive({"a": b"1"}).read() != archive({"a": b"2"}).read()


def test_a_playbook_gets_its_variables_as_one_json_argument():
    argv = playbook_argv("py", "deploy", inventory=Path("i.json"), variables=deploy_variables(RELEASE, 60))
    assert json.loads(argv[-1])["service_image"] == RELEASE.image
    assert argv[3:6] == ["playbook", "deploy.yml", "--inventory"]


def test_wheels_are_downloaded_by_hash_and_never_built():
    argv = download_argv("py", [Path("a.txt"), Path("b.txt")], Path("wheels"))
    assert {"--require-hashes", "--only-binary=:all:", "--no-deps"} < set(argv)
    assert argv[-4:] == ["--requirement", "a.txt", "--requirement", "b.txt"]


def test_the_base_is_made_from_the_mirror_that_is_set():
    assert debootstrap_argv(Path("/t"), "http://mirror")[-2:] == ["/t", "http://mirror"]


def test_load_without_an_end_has_no_run_time():
    endless = locust_argv("py", Path("l.py"), ["http://a", "http://b"], users=4, seconds=None, record=Path("r.json"))
    assert "--run-time" not in endless
    assert endless[endless.index("--targets") + 1] == "http://a,http://b"


@pytest.mark.parametrize("text", [None, "", "{}", '{"sent": 1, "seconds": 1, "samples": [[1]]}'])
def test_a_load_test_that_left_no_result_could_not_find_out(tmp_path: Path, text: str | None):
    path = tmp_path / "record.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PipelineError, match="left no result"):
        read_record(path)


def test_every_stage_can_name_the_commit():
    ship = Situation("abc")
    assert argv_of(stages_of(ship)[1], ship) == ["check", "--commit", "abc"]


# What Ansible says


def heard(*events: dict) -> Outcome:
    outcome = Outcome()
    for event in events:
        listen(json.dumps(event), outcome, Silence())
    return outcome


TASK = {"task": {"name": "service : Pull the image"}}


def test_a_failed_task_becomes_one_sentence_with_the_host():
    outcome = heard({"_event": "v2_runner_on_failed", "hosts": {"web-1": {"msg": "no\n such image"}}, **TASK})
    assert outcome.failures == ["web-1: pull the image: no such image"]
    assert not outcome.unreachable


def test_a_host_that_cannot_be_reached_is_told_from_one_that_failed():
    assert heard({"_event": "v2_runner_on_unreachable", "hosts": {"web-1": {"msg": "timed out"}}, **TASK}).unreachable


def test_a_failure_that_the_playbook_ignores_is_none():
    outcome = heard({"_event": "v2_runner_on_failed", "hosts": {"web-1": {"ignore_errors": True}}, **TASK})
    assert outcome.failures == []


def test_the_logs_that_a_failed_task_hands_back_are_kept():
    outcome = heard({"_event": "v2_runner_on_failed", "hosts": {"web-1": {"msg": "x", "log": ["Traceback", "boom"]}}, **TASK})
    assert outcome.logs == {"web-1": ["Traceback", "boom"]}


def test_what_is_not_json_is_kept_for_a_last_word():
    outcome = Outcome()
    listen("ERROR! no such playbook", outcome, Silence())
    assert outcome.noise == ["ERROR! no such playbook"]


# What pytest says


def junit(tmp_path: Path, cases: str, **counts: int) -> Path:
    path = tmp_path / "report.xml"
    attributes = " ".join(f'{name}="{value}"' for name, value in counts.items())
    path.write_text(f"<testsuites><testsuite {attributes}>{cases}</testsuite></testsuites>")
    return path


def test_tests_that_ran_and_passed_pass(tmp_path: Path):
    assert judge(0, junit(tmp_path, "", tests=3, failures=0, errors=0, skipped=1))[0].passed


def test_a_failed_test_is_named(tmp_path: Path):
    case = '<testcase classname="tests.a" name="test_b"><failure/></testcase>'
    verdict, counts = judge(1, junit(tmp_path, case, tests=3, failures=1, errors=0, skipped=0))
    assert verdict.reasons == ("1 of 3 tests failed", "tests.a.test_b failed")
    assert counts["tests"] == 3


@pytest.mark.parametrize(("code", "counts"), [(5, {"tests": 0}), (0, {"tests": 2, "skipped": 2}), (2, {"tests": 0, "errors": 1})])
def test_a_run_in_which_no_test_ran_is_no_pass(tmp_path: Path, code: int, counts: dict[str, int]):
    assert judge(code, junit(tmp_path, "", **counts))[0].answer is Answer.INCONCLUSIVE


def test_a_run_without_a_report_is_no_pass(tmp_path: Path):
    assert judge(0, tmp_path / "none.xml")[0].answer is Answer.INCONCLUSIVE


# Charts


def test_a_chart_ends_at_a_round_value_above_the_highest_point():
    drawn = chart("t", [0, 10, 20], {"a": [0, 47, 12]})
    assert [label for _, label in drawn.y_ticks] == ["0", "20", "40", "60"]
    assert drawn.lines["a"].startswith("0.0,160.0 320.0,")


def test_a_chart_without_points_can_be_drawn():
    assert chart("t", [], {"a": []}).lines == {"a": ""}
