"""The load gate: what a load test measured, against a budget. Too little traffic is no pass."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was sent (seconds since the run began), how long its whole answer took, and why it failed, if it did."""

    at: float
    milliseconds: float
    name: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class LoadStats:
    """A finished run: requests `sent`, and a sample for each that ended; `seconds` is its length.

    Until `warm_up` seconds have passed users were still signing in: what failed then counts, how long it took does not.
    """

    sent: int
    samples: tuple[Sample, ...]
    seconds: float
    warm_up: float = 0.0

    @property
    def answered(self) -> int:
        return sum(1 for sample in self.samples if not sample.failure)

    @property
    def failed(self) -> int:
        return len(self.samples) - self.answered

    @property
    def lost(self) -> int:
        """Requests that were sent and never ended, one way or the other."""
        return self.sent - len(self.samples)

    def percentile(self, share: float) -> float:
        """The latency in ms that `share` (0 to 1) of the requests answered after the warm-up kept; NaN without any."""
        return nearest_rank([s.milliseconds for s in self.samples if not s.failure and s.at >= self.warm_up], share)

    def summary(self) -> dict[str, object]:
        """The figures that go into the ledger and the report."""
        rates = {f"p{round(share * 100)}_ms": _rounded(self.percentile(share)) for share in (0.5, 0.95, 0.99)}
        counts = {"sent": self.sent, "answered": self.answered, "failed": self.failed, "lost": self.lost}
        return {**counts, "seconds": round(self.seconds, 1), "per_second": self._rate(), **rates}

    def _rate(self) -> float:
        return round(self.answered / self.seconds, 1) if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What a release may cost its users. Ratios are 0 to 1, latencies in ms."""

    min_requests: int
    max_failure_ratio: float
    max_p95_ms: float


def judge(stats: LoadStats, budget: Budget) -> Verdict:
    """Compare a finished run with its budget."""
    if stats.sent < budget.min_requests:
        return Verdict.of([f"only {stats.sent} requests were sent; the budget needs {budget.min_requests}"])
    reasons = []
    ratio = (stats.failed + stats.lost) / stats.sent
    if ratio > budget.max_failure_ratio:
        reasons.append(f"{ratio:.2%} of {stats.sent} requests failed; the budget allows {budget.max_failure_ratio:.2%}")
        reasons += _most_frequent(stats.samples)
    p95 = stats.percentile(0.95)
    if not p95 <= budget.max_p95_ms:
        reasons.append(f"p95 is {p95:.0f} ms; the budget allows {budget.max_p95_ms:.0f} ms")
    return Verdict.of(reasons)


def read_budget(path: Path) -> Budget:
    """The budget in a TOML file. Raises UsageError when a limit is missing, unknown, or no number."""
    try:
        limits = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"the load budget {path} cannot be read") from error
    names = {field.name for field in fields(Budget)}
    if wrong := sorted(limits.keys() ^ names):
        raise UsageError(f"{path.name}: {', '.join(wrong)} is unknown or missing")
    if bad := sorted(name for name, value in limits.items() if type(value) not in (int, float) or not 0 <= value < math.inf):
        raise UsageError(f"{path.name}: {', '.join(bad)} is no number from 0 up")
    return Budget(**limits)


def nearest_rank(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed; NaN for no values."""
    ordered: Sequence[float] = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan


def _most_frequent(samples: Iterable[Sample]) -> list[str]:
    failures = [sample.failure for sample in samples if sample.failure]
    common = sorted(set(failures), key=failures.count, reverse=True)[:3]
    return [f"{failures.count(text)} x {text}" for text in common]


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 1)
