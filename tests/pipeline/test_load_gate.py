from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.gates.load import Budget, LoadStats, Sample, judge, nearest_rank, read_budget
from pipeline.switch import seen_by_second
from tests.fakes import load_stats

BUDGET = Budget(min_requests=200, max_failure_ratio=0.01, max_p95_ms=800)


def test_a_run_within_its_budget_passes():
    assert judge(load_stats(300), BUDGET).passed


@pytest.mark.parametrize(("stats", "reason"), [
    (load_stats(199), "only 199 requests were sent; the budget needs 200"),
    (LoadStats(0, (), 20.0), "only 0 requests were sent"),
    (load_stats(300, failed=6), "2.00% of 300 requests failed; the budget allows 1.00%"),
    (load_stats(300, lost=6), "2.00% of 300 requests failed"),
    (load_stats(300, milliseconds=801), "p95 is 801 ms; the budget allows 800 ms"),
    (load_stats(300, failed=300), "100.00% of 300 requests failed"),
])  # fmt: skip
def test_a_run_outside_its_budget_is_refused(stats: LoadStats, reason: str):
    assert reason in "; ".join(judge(stats, BUDGET).reasons)


def test_a_run_without_one_answer_is_refused_even_where_all_may_fail():
    assert not judge(load_stats(300, failed=300), Budget(200, 1.0, 800)).passed


def test_a_refusal_names_the_most_frequent_failures():
    assert "6 x 500 oops" in judge(load_stats(300, failed=6), BUDGET).reasons


def test_latencies_of_the_warm_up_do_not_count_but_its_failures_do():
    slow = (Sample(0.5, 5000, "POST /v1/users"), Sample(0.6, 5000, "POST /v1/users", "500 oops"))
    stats = LoadStats(302, (*slow, *(Sample(2 + i / 100, 50, "GET /") for i in range(300))), 5.0, warm_up=1.0)
    assert stats.percentile(0.99) == 50
    assert not judge(stats, Budget(200, 0.0, 800)).passed


def test_a_run_that_was_all_warm_up_is_refused():
    assert not judge(LoadStats(300, load_stats(300).samples, 20.0, warm_up=30.0), BUDGET).passed


def test_a_lost_request_is_neither_answered_nor_failed():
    stats = load_stats(300, failed=2, lost=3)
    assert (stats.answered, stats.failed, stats.lost) == (295, 2, 3)


def test_the_nearest_rank_is_a_value_that_was_seen():
    assert nearest_rank(range(1, 101), 0.95) == 95
    assert nearest_rank([7.0], 0.5) == 7.0
    assert math.isnan(nearest_rank([], 0.5))


def test_each_second_of_a_run_is_counted_once():
    samples = (Sample(0.1, 10, "a"), Sample(0.9, 30, "a"), Sample(2.5, 20, "a", "500"))
    assert seen_by_second(LoadStats(3, samples, 3.0)) == [[0, 2, 0, 30], [1, 0, 0, 0], [2, 0, 1, 0]]


def test_the_budget_of_the_repository_can_be_read(root: Path):
    assert read_budget(root / "loadtests" / "budget.toml").min_requests >= 200


@pytest.mark.parametrize(("text", "reason"), [
    ("min_requests = 1\nmax_failure_ratio = 0", "max_p95_ms is unknown or missing"),
    ("min_requests = 1\nmax_failure_ratio = 0\nmax_p95_ms = 1\nmax_p59_ms = 1", "max_p59_ms is unknown or missing"),
    ("min_requests = 1\nmax_failure_ratio = 0\nmax_p95_ms = nan", "max_p95_ms is no number"),
    ("min_requests = true\nmax_failure_ratio = 0\nmax_p95_ms = 1", "min_requests is no number"),
    ("min_requests =", "cannot be read"),
])  # fmt: skip
def test_a_budget_that_cannot_be_used_is_asked_wrongly(tmp_path: Path, text: str, reason: str):
    path = tmp_path / "budget.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_budget(path)
