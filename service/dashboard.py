"""What the tallies of a time say: how much, what, how sure, how right and how fast, for each release and model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from service.tallies import Tally, percentile

TOP_LABELS = 12
CONFUSED_LABELS = 8


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of one release and model, or of all of them. Shares are None where nothing was judged."""

    release: str
    model: str
    first: date
    last: date
    predictions: int
    saved: int
    judged: int
    top1: float | None
    top5: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    confidence: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often pictures of `labels[row]` were taken for `labels[column]`; the last column stands for every other label."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything that the page shows; `series` has one number a day for each release, first seen first."""

    days: tuple[date, ...]
    total: Summary
    releases: tuple[Summary, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]
    labels: tuple[tuple[str, int], ...]
    confusion: Confusion
    known: tuple[str, ...]  # every release of these days, the newest first, also those that were not asked for


def summarise(counted: Sequence[Tally], first: date, last: date, release: str = "") -> Dashboard:
    """The dashboard of the days from `first` to `last`, both included, and of one release or (with "") of all, newest first."""
    tallies = [tally for tally in counted if release in ("", tally.release)]
    days = tuple(first + timedelta(days=n) for n in range((last - first).days + 1))
    grouped: dict[tuple[str, str], list[Tally]] = defaultdict(list)
    for tally in tallies:
        grouped[tally.release, tally.model].append(tally)
    summaries = [_summary(release, model, group) for (release, model), group in grouped.items()]
    by_release: dict[str, Counter[date]] = defaultdict(Counter)
    for tally in tallies:
        by_release[tally.release][tally.day] += tally.counts.get("predictions", 0)
    everything = _added(tallies)
    return Dashboard(
        days,
        _summary("", "", tallies) if tallies else _summary("", "", [Tally("", first, "", "")]),
        tuple(sorted(summaries, key=lambda s: (s.last, s.first, s.release), reverse=True)),
        tuple((release, tuple(counts[day] for day in days)) for release, counts in by_release.items()),
        tuple(_under(everything, "label:").most_common(TOP_LABELS)),
        _confusion(_under(everything, "confusion:")),
        tuple(dict.fromkeys(tally.release for tally in sorted(counted, key=lambda tally: tally.day, reverse=True))),
    )


def _summary(release: str, model: str, tallies: Sequence[Tally]) -> Summary:
    counts = _added(tallies)
    judged = counts["judged"]
    latencies = {int(number): n for number, n in _under(counts, "milliseconds:").items()}
    tenths = _under(counts, "confidence:")
    days = [tally.day for tally in tallies]
    return Summary(
        release, model, min(days), max(days), counts["predictions"], counts["saved"], judged,
        counts["top1"] / judged if judged else None, counts["top5"] / judged if judged else None,
        percentile(latencies, 0.50), percentile(latencies, 0.95), percentile(latencies, 0.99),
        tuple(tenths[str(n)] for n in range(10)),
    )  # fmt: skip


def _added(tallies: Iterable[Tally]) -> Counter[str]:
    total = Counter[str]()
    for tally in tallies:
        total.update(tally.counts)
    return total


def _under(counts: Counter[str], prefix: str) -> Counter[str]:
    return Counter({key.removeprefix(prefix): number for key, number in counts.items() if key.startswith(prefix) and number > 0})


def _confusion(pairs: Counter[str]) -> Confusion:
    seen = Counter[str]()
    for pair, number in pairs.items():
        seen[pair.partition(">")[0]] += number
    labels = tuple(label for label, _ in seen.most_common(CONFUSED_LABELS))
    rows = []
    for truth in labels:
        known = [pairs[f"{truth}>{label}"] for label in labels]
        rows.append((*known, seen[truth] - sum(known)))
    return Confusion(labels, tuple(rows))
