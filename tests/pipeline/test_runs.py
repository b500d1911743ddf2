from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipeline.errors import UsageError
from pipeline.progress import State
from pipeline.runs import results
from pipeline.runs.record import Run, Runs, Walked, tree_of
from pipeline.runs.walk import Walker, telling
from pipeline.stages import Action, Situation, stages_of

COMMIT = "c" * 40
# Stands for `python -m pipeline`: does what plan.json says of a verb (an exit code, or seconds to hang), and writes down its calls.
STAGE = """
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
words = words[2:] if words[0] == "--attempts" else words
plan = json.loads((here / "plan.json").read_text())
todo = plan.get(" ".join(words[:2]), plan.get(words[0], 0))
with (here / "calls").open("a") as calls:
    calls.write(json.dumps([" ".join(words), time.time()]) + "\\n")
if isinstance(todo, float):
    time.sleep(todo)
print("error: as planned" if todo else f"done {words[0]}", flush=True)
sys.exit(0 if isinstance(todo, float) else todo)
"""


@dataclass
class Yard:
    """Runs in a folder, walked by real processes that do what `plan` says."""

    folder: Path
    runs: Runs

    def plan(self, **verbs: int | float) -> None:
        (self.folder / "plan.json").write_text(json.dumps({name.replace("_", " "): todo for name, todo in verbs.items()}))

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return [json.loads(line)[0] for line in path.read_text().splitlines()] if path.exists() else []

    def new(self, **changes: object) -> Run:
        situation = replace(Situation(COMMIT), **changes)  # type: ignore[arg-type]
        return self.runs.create(situation, by="ada", begin=0, now=datetime.now(UTC))

    def walk(self, run: Run, watch: Callable[[Run], None] = lambda run: None) -> Run:
        command = (sys.executable, "-IS", str(self.folder / "stage.py"))
        walker = Walker(self.runs, self.folder / "locks", command, self.folder, {}, watch, lambda: datetime.now(UTC), 0.005)
        return walker.walk(run.number)

    def state(self, run: Run, stage: str) -> State:
        return self.runs.load(run.number).walked[stage].state


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    (tmp_path / "stage.py").write_text(STAGE)
    yard = Yard(tmp_path, Runs(tmp_path / "runs"))
    yard.plan()
    return yard


def test_main_is_walked_to_the_approval_and_after_it_to_the_end(yard: Yard):
    run = yard.walk(yard.new())
    assert (run.state, run.walked["approve"].state) == (State.PAUSED, State.PAUSED)
    assert yard.calls()[-1] == "loadtest staging --shape steady"
    yard.runs.save(replace(run, approved="ada"))
    run = yard.walk(run)
    assert run.state is State.PASSED
    assert yard.calls()[-1] == "ask production"
    assert len(yard.calls()) == len(stages_of(run.situation)) + 1  # each once, and the set-up


def test_a_run_that_was_agreed_to_in_advance_does_not_wait(yard: Yard):
    run = yard.new()
    yard.runs.save(replace(run, approved="ada"))
    assert yard.walk(run).state is State.PASSED


def test_the_gates_are_asked_side_by_side(yard: Yard):
    yard.plan(check=0.4, test=0.4, lint=0.4)
    run = yard.walk(yard.new(branch="feature/x"))
    starts = [run.walked[name].started for name in ("dependencies", "tests", "lint")]
    assert (max(starts) - min(starts)).total_seconds() < 0.3


def test_a_gate_that_says_no_ends_the_run_once_the_others_beside_it_have_ended(yard: Yard):
    yard.plan(check=1, test=0.3)
    run = yard.walk(yard.new())
    assert (run.state, run.note) == (State.REFUSED, "dependencies: as planned")
    assert yard.state(run, "tests") is State.PASSED
    assert "build" not in " ".join(yard.calls())


def test_what_could_not_find_out_is_tried_again_by_the_next_run_and_what_passed_is_not(yard: Yard):
    yard.plan(deploy=3)
    run = yard.walk(yard.new())
    assert run.state is State.FAILED
    yard.plan()
    before = len(yard.calls())
    assert yard.walk(run).state is State.PAUSED
    assert [call.split()[0] for call in yard.calls()[before:]] == ["deploy", "loadtest"]


def test_a_superseded_commit_touches_no_environment_and_nobody_is_to_blame(yard: Yard):
    yard.plan(newest=1)
    run = yard.walk(yard.new())
    assert run.state is State.SUPERSEDED
    assert not [call for call in yard.calls() if call.startswith(("fleet", "deploy"))]


def test_a_run_that_is_overtaken_on_an_environment_stops_before_it(yard: Yard):
    older, newer = yard.new(), yard.new()
    yard.walk(newer)
    run = yard.walk(older)
    assert (run.state, run.note) == (State.SUPERSEDED, "a newer run has had its turn on staging")


def test_what_waits_for_approval_is_superseded_when_a_newer_run_takes_its_place(yard: Yard):
    older, other, newer = yard.new(), yard.new(environment="staging"), yard.new()
    assert yard.walk(older).state is State.PAUSED
    assert yard.walk(other).state is State.PASSED
    assert (yard.runs.load(older.number).state, yard.runs.load(older.number).note) == (
        State.SUPERSEDED, "run 2 has taken its place on staging",
    )  # fmt: skip
    assert yard.walk(newer).state is State.PAUSED


def test_a_promotion_that_waits_is_not_superseded_by_what_comes_to_staging(yard: Yard):
    promotion = yard.new(action=Action.PROMOTE, release="f00")
    yard.walk(promotion)
    yard.walk(yard.new())
    assert yard.runs.load(promotion.number).state is State.PAUSED


def test_one_run_at_a_time_has_an_environment(yard: Yard):
    yard.plan(fleet=0.6)
    first, second = yard.new(), yard.new()
    notes: list[str] = []

    def hear(run: Run) -> None:
        notes.extend(w.note for name, w in run.walked.items() if name == "staging")

    threads = [threading.Thread(target=yard.walk, args=(first,)), threading.Thread(target=yard.walk, args=(second, hear))]
    for thread in threads:
        thread.start()
        time.sleep(0.15)
    for thread in threads:
        thread.join()
    spans = []
    for run in (first, second):
        walked = yard.runs.load(run.number).walked
        spans.append((walked["staging hosts"].started, walked["load staging"].started))
    assert spans[0][1] <= spans[1][0]
    assert "waiting for staging, which run 1 has" in notes


def test_a_run_is_walked_by_one_process_at_a_time(yard: Yard):
    run = yard.new()
    with yard.runs.hold(run.number), pytest.raises(UsageError, match="run 1 is under way"):
        yard.walk(run)
    assert not yard.runs.held(run.number)


def walking(yard: Yard, run: Run) -> subprocess.Popen[bytes]:
    """The run, walked by a process of its own."""
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path\n"
        "from pipeline.runs.record import Runs; from pipeline.runs.walk import Walker\n"
        f"folder = Path({str(yard.folder)!r})\n"
        "command = (sys.executable, '-IS', str(folder / 'stage.py'))\n"
        "Walker(Runs(folder / 'runs'), folder / 'locks', command, folder, {}, lambda run: None, lambda: datetime.now(UTC))"
        f".walk({run.number})"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_run_leaves_nothing_at_work_and_goes_on_where_it_stood(yard: Yard):
    yard.plan(build=30.0)
    run = yard.new(branch="feature/x")
    with walking(yard, run) as child:
        until(lambda: any(call.startswith("build") for call in yard.calls()))
        os.kill(child.pid, signal.SIGKILL)
    until(lambda: not list_of(str(yard.folder / "stage.py")))
    tree = tree_of(yard.runs.load(run.number), held=yard.runs.held(run.number), now=datetime.now(UTC), last_line={})
    assert tree.note == "cut short"
    yard.plan()
    before = len(yard.calls())
    assert yard.walk(run).state is State.PASSED
    assert yard.calls()[before:] == [f"build --commit {COMMIT}"]


def list_of(word: str) -> list[str]:
    return subprocess.run(["pgrep", "-f", word], capture_output=True, text=True, check=False).stdout.split()


@pytest.mark.parametrize("state", [State.PASSED, State.REFUSED, State.ABORTED, State.SUPERSEDED])
def test_a_run_that_is_over_is_not_walked_again(yard: Yard, state: State):
    run = yard.new()
    yard.runs.save(replace(run, state=state))
    with pytest.raises(UsageError, match=f"run 1 is over: {state}"):
        yard.walk(run)
    assert yard.calls() == []


def test_the_page_shows_when_each_stage_ran_and_not_how_long_people_thought(yard: Yard):
    yard.plan(check=0.2, test=0.4, build=0.2)
    run = yard.walk(yard.new())
    asked = run.walked["approve"].started - timedelta(hours=5)
    yard.runs.save(replace(run.with_walked("approve", Walked(State.PAUSED, asked)), approved="ada"))
    steps = {step.name: step for step in results.steps(yard.walk(run))}
    gates = [steps[name].at for name in ("dependencies", "tests", "lint")]
    assert len(set(gates)) == 1
    assert steps["build"].at == pytest.approx(gates[0] + steps["tests"].seconds)
    assert steps["newest"].at == pytest.approx(steps["build"].at + steps["build"].seconds)
    promoted = steps["promote to production"]
    assert steps["ask production"].at == pytest.approx(promoted.at + promoted.seconds)
    assert steps["ask production"].at < 60


def test_numbers_are_never_given_twice(yard: Yard):
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(yard.new().number)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))


def test_a_run_that_there_is_not_is_asked_wrongly(yard: Yard):
    with pytest.raises(UsageError, match="there is no run 7"):
        yard.runs.load(7)


def test_the_tree_has_every_stage_with_its_state_and_time(yard: Yard):
    yard.plan(test=1)
    run = yard.walk(yard.new())
    tree = tree_of(run, held=False, now=datetime.now(UTC), last_line={})
    gates = next(step for step in tree.children if step.name == "gates")
    assert (tree.state, gates.state) == (State.REFUSED, State.REFUSED)
    assert [child.state for child in gates.children] == [State.PASSED, State.REFUSED, State.PASSED]
    assert gates.seconds == max(child.seconds for child in gates.children) > 0
    assert tree.children[-1].children[-1].state is State.SKIPPED


def test_junit_and_the_page_are_told_what_failed_and_what_had_no_turn(yard: Yard, tmp_path: Path):
    yard.plan(test=1)
    run = yard.walk(yard.new())
    suite = ElementTree.parse(results.write_junit(run, tmp_path / "junit.xml")).getroot()
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert (cases["dependencies"], cases["tests"], cases["build"]) == ([], ["failure"], ["skipped"])
    assert (suite.get("failures"), suite.get("skipped")) == ("1", str(len(cases) - 5))
    assert [step.name for step in results.steps(run) if not step.ok] == ["tests"]


@pytest.mark.parametrize(("text", "failed", "told"), [
    ("checking  x\n    passed  dependencies\n", False, "dependencies"),
    ("working\nerror: the gate refuses\n  try: again\n", True, "the gate refuses"),
    ("only this\n", True, "only this"),
    ("", True, ""),
])  # fmt: skip
def test_the_line_of_a_log_that_tells_most_is_shown(tmp_path: Path, text: str, failed: bool, told: str):
    (tmp_path / "log").write_text(text)
    assert telling(tmp_path / "log", failed=failed) == told
