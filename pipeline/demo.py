"""The whole way of a commit, for newcomers: every stage as Jenkins will call it, a table of what is live, and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline import commands, console, show
from pipeline.collaborators import Tools
from pipeline.console import ConsoleStory
from pipeline.errors import PipelineError
from pipeline.ledger.protocol import EVIDENCE, Event
from pipeline.report.run import Step, write_report
from pipeline.stages import STAGES, Stage, argv_of

AGAIN = Stage("switch production under load", ("promote", "--from", "staging", "--to", "production"))


def run(tools: Tools, story: ConsoleStory, commit_name: str, invoke: Callable[[Sequence[str]], None]) -> None:
    """Walk the stages, stop at the first that fails, and write the report either way. Raises what the stage raised."""
    commit = tools.commits.commit(commit_name)
    story.step("shipping", f"{commit.id[:12]} {commit.subject!r} to production")
    if changed := tools.commits.changed_files():
        story.note(f"{changed} changed files are not part of it; only commits are shipped")
    story.quiet()
    begin, steps = len(tools.ledger.entries()), list[Step]()
    try:
        for stage in STAGES:
            _walk(stage, commit.id, invoke, steps)
            if stage.name == "promote to production" and not _met_load(tools.events()[begin:]):
                story.note("production was empty, so no user could lose a request; switching it once more, under load")
                _walk(AGAIN, commit.id, invoke, steps)
    finally:
        report = write_report(
            tools.root / tools.settings.state / "reports" / f"{commit.id[:12]}.html",
            commit,
            steps,
            tools.events()[begin:],
            commands.status(tools) if steps and steps[0].ok else [],
            now=tools.now(),
        )
        story.note(f"the report of this run is {report}")
    _show_end(tools, steps, report)


def _walk(stage: Stage, commit: str, invoke: Callable[[Sequence[str]], None], steps: list[Step]) -> None:
    argv, started = argv_of(stage, commit), time.monotonic()
    try:
        invoke(argv)
    except BaseException as error:
        reason = str(error) or type(error).__name__
        steps.append(Step(stage.name, tuple(argv), time.monotonic() - started, reason))
        if isinstance(error, PipelineError):
            error.args = (f"{stage.name}: {error}",)
        raise
    steps.append(Step(stage.name, tuple(argv), time.monotonic() - started))


def _met_load(events: Sequence[Event]) -> bool:
    """Whether the last deploy to production was made under load."""
    deploys = [e for e in events if (e.kind, e.environment, e.detail.get("gate")) == (EVIDENCE, "production", "deploy")]
    return bool(deploys and deploys[-1].detail.get("load"))


def _show_end(tools: Tools, steps: Sequence[Step], report: Path) -> None:
    rows = commands.status(tools)
    console.show("")
    console.show(show.status(rows))
    console.show("")
    address = commands.urls(tools.settings.environment("production"))[0]
    console.show(show.line("open", f"{address}/"))
    console.show(show.line("api", f"{address}/api"))
    console.show(show.line("report", str(report.resolve())))
    console.show(show.line("took", f"{sum(step.seconds for step in steps):.0f} s"))
    console.show(show.line("remove", "make down"))
