"""Another client drives the same double: it is not shaped to ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import api4jenkins
import pytest
from api4jenkins.exceptions import AuthenticationError, BadRequestError, ItemNotFoundError
from api4jenkins.item import Item as ApiItem

from tests.jenkins.controller import Double, with_a_job
from tests.jenkins.controller_state import MULTIBRANCH, Asks, Job, Script, Stage, case, string
from tests.jenkins.remote_api import prune, python_literal, without_depth

BLOCKED = (("BlockedItem", "Build #1 is already in progress (ETA: 3 min)"),)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Double, Job]]:
    monkeypatch.setattr("api4jenkins.build.time", SimpleNamespace(sleep=lambda seconds: None))
    with with_a_job() as (double, job):
        yield double, job


@pytest.fixture(params=["11aa-token", "sesame"])
def other(place: tuple[Double, Job], request: pytest.FixtureRequest) -> Iterator[api4jenkins.Jenkins]:
    jenkins = api4jenkins.Jenkins(place[0].url, auth=("alice", request.param))
    yield jenkins
    jenkins.http_client.close()
    for kind in (ApiItem, *ApiItem.__subclasses__()):
        kind._attr_names = []  # it keeps them for the next server


def test_another_client_lists_the_jobs_of_all_folders(place: tuple[Double, Job], other: api4jenkins.Jenkins):
    place[0].add_job("team/service", kind=MULTIBRANCH)
    place[0].add_job("team/service/feature%2Fx")
    assert [job.full_name for job in other.iter(3)] == [
        "slipway", "slipway/main", "team", "team/service", "team/service/feature%2Fx",
    ]  # fmt: skip
    assert type(other["team/service"]).__name__ == "WorkflowMultiBranchProject"


def test_another_client_starts_a_build_and_follows_it(place: tuple[Double, Job], other: api4jenkins.Jenkins):
    job = place[1]
    job.scripts = [Script((Stage("build", "wörks\n".encode()), Stage("rest")), reasons=BLOCKED)]
    item = other.build_job("slipway/main", ACTION="promote")
    build = item.get_build() or item.get_build()
    assert [line for line in build.progressive_output() if line] == ["wörks", "Finished: SUCCESS"]
    assert (build.building, build.result, build.number) == (False, "SUCCESS", 1)
    assert [(one.name, one.value) for one in build.get_parameters()][:1] == [("ACTION", "promote")]


def test_another_client_sees_stages_and_answers_with_parameters(place: tuple[Double, Job], other: api4jenkins.Jenkins):
    job = place[1]
    job.scripts = [Script((Stage("build"), Stage("approve", asks=Asks(parameters=(string("REASON"),)))))]
    run = job.begin({"TRIGGER": "x"}, 7).go_on_to_the_end()
    build = other["slipway/main"].get_last_build()
    build.get_pending_input().submit(REASON="because")
    assert run.given["Approve"] == {"REASON": "because", "APPROVER": "alice"}
    assert run.go_on_to_the_end().result == "SUCCESS"
    assert build.get_pending_input() is None


def test_another_client_keeps_artefacts_and_reads_tests(place: tuple[Double, Job], other: api4jenkins.Jenkins, tmp_path: Path):
    job = place[1]
    job.scripts = [Script(artefacts={"evidence/a b.txt": b"kept"}, cases=(case("one"), case("two", "FAILED")))]
    job.begin({}, 7).go_on_to_the_end()
    build = other["slipway/main"].get_last_build()
    build.artifacts[0].save(str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == b"kept"
    assert [one.status for suite in build.get_test_report() for one in suite] == ["PASSED", "FAILED"]


def test_another_client_makes_changes_and_stops(place: tuple[Double, Job], other: api4jenkins.Jenkins):
    double, job = place
    other.create_job("slipway/new", "<flow-definition/>")
    with pytest.raises(BadRequestError, match="A job already exists with the name 'new'"):
        other.create_job("slipway/new", "<flow-definition/>")
    other["slipway/new"].configure("<flow-definition><x/></flow-definition>")
    assert "<x/>" in double.state.jobs["slipway/new"].config
    job.begin({}, 7).advance()
    other["slipway/main"].get_last_build().stop()
    assert job.runs[0].result == "ABORTED"


def test_another_client_is_refused_as_by_the_real_server(place: tuple[Double, Job], other: api4jenkins.Jenkins):
    double = place[0]
    double.users["alice"].permissions = frozenset({"Job/Read"})
    build = other["slipway/main"].build
    with pytest.raises(PermissionError):
        build(ACTION="ship")
    with pytest.raises(ItemNotFoundError):
        ApiItem(other, f"{double.url}/job/none").api_json()
    double.users["alice"].password = double.users["alice"].token = "changed"
    with pytest.raises(AuthenticationError):
        other["slipway/main"]


def test_a_tree_takes_what_it_names_and_cuts_lists():
    document = {"_class": "C", "a": 1, "b": [{"_class": "D", "c": 1, "d": 2}, {"c": 3}, {"c": 4}], "e": None}
    assert prune(document, "b[c]{0,2},e") == {"_class": "C", "b": [{"_class": "D", "c": 1}, {"c": 3}], "e": None}
    assert prune(document, "b[d],none[x[y]],a") == {"_class": "C", "b": [{"_class": "D", "d": 2}, {}, {}], "a": 1}


def test_a_document_without_a_tree_is_shallow():
    assert without_depth({"builds": [{"number": 1, "url": "u", "result": None}]}) == {"builds": [{"number": 1, "url": "u"}]}


def test_python_is_json_with_other_words():
    assert python_literal({"a": [True, None, 1], "b": 'q"\n'}) == '{"a":[True,None,1],"b":"q\\"\\n"}'
