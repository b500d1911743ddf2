"""The report of one way of a commit: steps with their times, verdicts, load charts, and what is live."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.commit import Commit
from pipeline.ledger.protocol import APPROVED, EVIDENCE, Event
from pipeline.report.chart import Chart, chart

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One stage that was walked; `at` is when it began in seconds of work, `problem` says why it failed, if it did."""

    name: str
    argv: tuple[str, ...]
    seconds: float
    problem: str = ""
    at: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problem


@dataclass(frozen=True, slots=True)
class LoadView:
    """A load that was met, as the page shows it."""

    title: str
    summary: Mapping[str, object]
    requests: Chart
    latency: Chart


def write_report(
    path: Path,
    commit: Commit,
    steps: Sequence[Step],
    events: Sequence[Event],
    status: Sequence[Mapping[str, object]],
    *,
    now: datetime,
    acts: Sequence[str] = (),
) -> Path:
    """Write the page, and its steps as JSON beside it; the path of the page. `acts` says who must act."""
    page = TEMPLATES.get_template("run.html").render(
        commit=commit,
        steps=steps,
        total=max((step.at + step.seconds for step in steps), default=0.0),
        verdicts=[e for e in events if e.kind == EVIDENCE],
        approvals=[e for e in events if e.kind == APPROVED],
        loads=[_load_view(e) for e in events if _has_load(e)],
        status=status,
        now=now,
        acts=acts,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)
    path.with_suffix(".json").write_text(json.dumps([asdict(step) for step in steps], indent=2) + "\n")
    return path


def _has_load(event: Event) -> bool:
    return event.kind == EVIDENCE and bool(event.detail.get("seen"))


def _load_view(event: Event) -> LoadView:
    """The figures of a load test, or of a deploy under load."""
    detail = event.detail
    nested = detail.get("load")
    summary = nested if isinstance(nested, Mapping) else detail
    title = f"Load while switching {event.environment}" if nested else f"Load test of {event.environment}"
    rows = detail["seen"]
    assert isinstance(rows, list)
    seconds = [row[0] for row in rows]
    return LoadView(
        title,
        summary,
        chart("answers per second", seconds, {"answered": [row[1] for row in rows], "failed": [row[2] for row in rows]}),
        chart("p95 of each second, ms", seconds, {"p95": [row[3] for row in rows]}),
    )
