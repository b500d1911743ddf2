"""Counts that are kept as predictions are made, so that a dashboard costs the same however many there are.

One tally belongs to a scope (a user, or everybody), a day, a release and a model. Its counts are whole numbers under these keys:
`predictions`, `saved`, `bytes` (of saved pictures), `label:L` (most probable label), `confidence:N` (tenths of its probability),
`milliseconds:N` (see `bucket`), and where a true label was given `judged`, `top1`, `top5` and `confusion:TRUTH>L`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from service.records import GUEST, Run

EVERYBODY = "*"
RATIO = 1.1  # of neighbouring latency buckets: a percentile is off by at most 5 %


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one scope, day (UTC), release and model."""

    scope: str
    day: date
    release: str
    model: str
    counts: Mapping[str, int] = field(default_factory=dict)


def counts_of(run: Run) -> Counter[str]:
    """Everything that one run adds to its tallies, in the state that it is in."""
    counts = Counter({
        "predictions": 1,
        f"label:{run.top.label}": 1,
        f"confidence:{min(9, int(run.top.probability * 10))}": 1,
        f"milliseconds:{bucket(run.milliseconds)}": 1,
    })  # fmt: skip
    if run.saved:
        counts.update({"saved": 1, "bytes": run.size})
    if run.saved and run.truth:
        labels = [score.label for score in run.scores]
        counts.update({"judged": 1, f"confusion:{run.truth}>{run.top.label}": 1})
        counts.update({"top1": int(labels[0] == run.truth), "top5": int(run.truth in labels[:5])})
    return counts


def change(before: Run | None, after: Run | None) -> dict[str, int]:
    """What to add to the tallies when a run appears, changes, or (with None) goes; zeros are left out."""
    difference = Counter(counts_of(after)) if after else Counter[str]()
    difference.subtract(counts_of(before) if before else {})
    return {key: number for key, number in sorted(difference.items()) if number}


def scopes_of(run: Run) -> tuple[str, ...]:
    """Whose tallies a run counts in: a guest, who is soon forgotten, has none."""
    return (EVERYBODY,) if run.owner.startswith(GUEST) else (run.owner, EVERYBODY)


def bucket(milliseconds: float) -> int:
    """The latency bucket N holds what lies between RATIO**(N-1) and RATIO**N milliseconds; everything up to 1 ms is in 0."""
    return max(0, math.ceil(math.log(max(milliseconds, 1e-9), RATIO)))


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The latency below which `share` (0 to 1) of the counted answers lie, in milliseconds; None where nothing was counted.

    The geometric middle of the bucket in which it falls.
    """
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted, seen = share * total, 0
    for number in sorted(buckets):
        seen += buckets[number]
        if seen >= wanted and buckets[number] > 0:
            return float(RATIO ** (number - 0.5)) if number else 1.0
    return None
