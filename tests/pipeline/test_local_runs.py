from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.ledger import protocol as ledger
from pipeline.progress import State
from pipeline.runs.local import LocalRuns
from pipeline.runs.record import Run, Walked
from pipeline.stages import Situation
from tests.fakes import Shop
from tests.pipeline.test_evidence import RealFiles
from tests.pipeline.test_runs import STAGE, until

COMMIT = "c" * 40


@pytest.fixture
def local(shop: Shop, tmp_path: Path, root: Path) -> LocalRuns:
    """Runs of a checkout whose pipeline does what plan.json says."""
    checkout = tmp_path / "checkout"
    (checkout / "pipeline").mkdir(parents=True)
    (checkout / "pipeline" / "__main__.py").write_text(STAGE)
    (checkout / "pipeline" / "plan.json").write_text("{}")
    object.__setattr__(shop.tools, "root", checkout)
    object.__setattr__(shop.tools, "commits", RealFiles(root))
    object.__setattr__(shop.tools, "now", lambda: datetime.now(UTC))
    return LocalRuns(shop.tools, tmp_path / "state")


def plan(local: LocalRuns, text: str) -> None:
    (local._tools.root / "pipeline" / "plan.json").write_text(text)


def waiting(local: LocalRuns, *, hours: float = 0, commit: str = COMMIT) -> Run:
    """A run that waits for approval, for so long already."""
    run = local.begin(Situation(commit), fresh=True)
    asked = datetime.now(UTC) - timedelta(hours=hours)
    run = replace(run.with_walked("approve", Walked(State.PAUSED, asked)), state=State.PAUSED, entered=("staging",))
    local.records.save(run)
    return run


def test_a_run_leaves_what_jenkins_would_keep(local: LocalRuns):
    run = local.walk(local.begin(Situation(COMMIT, "feature/x")).number, lambda tree: None)
    folder = local.records.folder(run.number)
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"junit.xml", "evidence/report.html", "evidence/ledger.jsonl", "evidence/sbom.cdx.json", "logs/tests.log"} <= left


def test_a_run_that_was_cut_short_or_could_not_find_out_is_taken_up_and_every_other_is_not(local: LocalRuns):
    first = local.begin(Situation(COMMIT))
    assert local.begin(Situation(COMMIT)).number == first.number
    assert local.begin(Situation(COMMIT), fresh=True).number == 2
    for state, number in ((State.FAILED, 2), (State.REFUSED, 3)):
        local.records.save(replace(local.records.load(2), state=state))
        assert local.begin(Situation(COMMIT)).number == number
    assert local.begin(Situation("d" * 40)).number == 4


def test_an_approval_is_written_down_and_the_run_goes_on(local: LocalRuns, shop: Shop):
    waiting(local)
    run = local.approve(None, "it looks good")
    (event,) = [e for e in shop.tools.events() if e.kind == ledger.APPROVED]
    assert (event.subject, event.environment, event.detail["reason"]) == (COMMIT, "production", "it looks good")
    assert local.walk(run.number, lambda tree: None).state is State.PASSED
    with pytest.raises(UsageError, match="no run waits"):
        local.approve(None, "")


def test_who_waits_too_long_is_not_approved_any_more(local: LocalRuns, shop: Shop):
    run = waiting(local, hours=25)
    with pytest.raises(GateClosed, match="longer than 24 h"):
        local.approve(run.number, "")
    assert local.records.load(run.number).state is State.ABORTED
    assert [e for e in shop.tools.events() if e.kind == ledger.APPROVED] == []


def test_a_run_that_a_newer_one_overtook_is_not_approved_any_more(local: LocalRuns):
    older, newer = waiting(local), waiting(local, commit="d" * 40)
    local.records.save(replace(newer, entered=("staging", "production")))
    with pytest.raises(GateClosed, match="run 1 is superseded: run 2"):
        local.approve(older.number, "")
    assert local.records.load(older.number).state is State.SUPERSEDED


def test_a_run_that_waits_is_rejected(local: LocalRuns):
    run = waiting(local)
    assert local.abort(None).state is State.ABORTED
    with pytest.raises(UsageError, match="run 1 is over: aborted"):
        local.abort(run.number)


def test_a_run_under_way_is_stopped_with_everything_it_started(local: LocalRuns, tmp_path: Path):
    plan(local, '{"build": 60.0}')
    number = local.begin(Situation(COMMIT, "feature/x")).number
    code = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from pipeline.runs.local import LocalRuns; from tests.fakes import make_shop\n"
        "from tests.pipeline.test_evidence import RealFiles\n"
        f"folder = Path({str(tmp_path)!r}); tools = make_shop(folder).tools\n"
        "object.__setattr__(tools, 'root', folder / 'checkout'); object.__setattr__(tools, 'now', lambda: datetime.now(UTC))\n"
        f"object.__setattr__(tools, 'commits', RealFiles(Path({str(Path(__file__).parents[2])!r})))\n"
        f"LocalRuns(tools, folder / 'state').walk({number}, lambda tree: None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as child:
        until(lambda: "build" in local.records.load(number).walked)
        assert local.abort_all() == [number]
        child.wait(10)
    run = local.records.load(number)
    assert (run.state, run.note, run.pid) == (State.ABORTED, "somebody stopped it", 0)
    assert (local.records.folder(number) / "junit.xml").exists()


def test_a_run_of_another_process_is_watched_to_its_end(local: LocalRuns):
    plan(local, '{"build": 0.5}')
    number = local.begin(Situation(COMMIT, "feature/x")).number
    seen: list[State] = []
    with local.records.hold(number):
        thread = threading.Thread(target=lambda: seen.append(local.follow(number, lambda tree: None).state))
        thread.start()
        time.sleep(0.1)
    local.records.save(replace(local.records.load(number), state=State.PASSED))
    thread.join(5)
    assert seen == [State.PASSED]


def test_a_run_that_could_not_find_out_is_watched_as_it_goes_on_and_not_as_it_was(local: LocalRuns):
    run = local.begin(Situation(COMMIT, "feature/x"))
    local.records.save(replace(run, state=State.FAILED, note="no engine"))
    local.start(run.number)
    assert local.records.load(run.number).state is State.RUNNING


def test_a_run_whose_code_is_gone_says_so(local: LocalRuns):
    run = local.begin(Situation(COMMIT))
    local.records.save(replace(run, root="/gone"))
    with pytest.raises(UsageError, match="the code that began run 1 is gone from /gone"):
        local.start(run.number)


def test_watching_a_run_that_was_cut_short_ends_and_says_how_to_go_on(local: LocalRuns, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.runs.local.CUT_SHORT_SECONDS", 0.1)
    local.begin(Situation(COMMIT))
    with pytest.raises(PipelineError, match="run 1 was cut short") as caught:
        local.follow(None, lambda tree: None)
    assert caught.value.hint == "python -m pipeline run --number 1"
