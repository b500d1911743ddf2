from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.progress import State
from pipeline.runs import tidy as tidying
from pipeline.runs.record import Runs
from pipeline.runs.tidy import tidy
from pipeline.stages import Situation

DAY = 24 * 3600


def aged(path: Path, days: float) -> Path:
    used = time.time() - days * DAY
    os.utime(path, (used, used))
    return path


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch):
    for name in ("KEPT_TREES", "KEPT_RUNS", "KEPT_LOADS"):
        monkeypatch.setattr(tidying, name, 2)


def trees(state: Path, *days: float) -> list[Path]:
    made = []
    for number, age in enumerate(days):
        (state / "trees" / str(number) / "pipeline").mkdir(parents=True)
        made.append(aged(state / "trees" / str(number), age))
    return made


def test_the_newest_trees_stay_and_old_ones_go(tmp_path: Path):
    made = trees(tmp_path, 2, 3, 4, 5)
    assert sorted(tidy(tmp_path, Runs(tmp_path / "runs"))) == made[2:]
    assert [path.exists() for path in made] == [True, True, False, False]


def test_what_was_used_today_stays_however_much_there_is(tmp_path: Path):
    trees(tmp_path, 0, 0.1, 0.2, 0.9)
    assert tidy(tmp_path, Runs(tmp_path / "runs")) == []


def test_what_a_run_that_waits_needs_stays_however_old(tmp_path: Path):
    made, runs = trees(tmp_path, 2, 3, 4, 5), Runs(tmp_path / "runs")
    for state in (State.PAUSED, State.PASSED, State.PASSED, State.PASSED, State.PASSED):
        run = runs.create(Situation("c"), by="ada", begin=0, now=datetime.now(UTC), root=str(made[3]))
        runs.save(replace(run, state=state))
        aged(runs.folder(run.number), 10 - run.number)
    removed = tidy(tmp_path, runs)
    assert made[3] not in removed
    assert made[2] in removed
    assert [run.number for run in runs.all()] == [5, 4, 1]


def test_records_of_load_go_and_nothing_else_does(tmp_path: Path):
    (tmp_path / "load").mkdir()
    for number in range(4):
        aged_file = tmp_path / "load" / f"load-{number}.json"
        aged_file.write_text("{}")
        aged(aged_file, 5 + number)
    (tmp_path / "ledger.jsonl").write_text("kept")
    aged(tmp_path / "ledger.jsonl", 900)
    assert [path.name for path in tidy(tmp_path, Runs(tmp_path / "runs"))] == ["load-2.json", "load-3.json"]
    assert (tmp_path / "ledger.jsonl").exists()
