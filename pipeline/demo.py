"""The whole way of a commit, for newcomers: a run like any other, a table of what is live, and what the deployed service sees."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import commands, console, show
from pipeline.collaborators import Tools
from pipeline.console import ConsoleStory
from pipeline.errors import GateClosed, PipelineError
from pipeline.ledger.protocol import EVIDENCE, Event
from pipeline.progress import State
from pipeline.runs.local import LocalRuns
from pipeline.runs.record import Run
from pipeline.stages import MAIN, Situation, Stage, always
from pipeline.switch import urls
from pipeline.tree import TreeView

AGAIN = Stage("switch under load", ("promote", "--from", "staging", "--to", "production", "--commit", "{commit}"), "deploy", always)


def run(tools: Tools, story: ConsoleStory, local: LocalRuns, commit_name: str) -> None:
    """Walk the way to production, agreed to in advance. Raises PipelineError or GateClosed when it ends before."""
    commit = tools.commits.commit(commit_name)
    story.step("shipping", f"{commit.id[:12]} {commit.subject!r} to production")
    story.quiet()
    if changed := tools.commits.changed_files():
        story.note(f"{changed} changed files are not part of it; only commits are shipped")
    found = local.begin(Situation(commit.id, MAIN))
    if found.walked:
        story.note(f"going on with run {found.number}, which was cut short")
    local.agree(found.number, "asking for the demo is to agree")

    def again(run: Run) -> Sequence[Stage]:
        """Production was empty, so no user could lose a request: switch it once more, under load."""
        return () if _met_load(tools.events()[run.begin :]) else (AGAIN,)

    with TreeView() as view:
        done = local.walk(found.number, view.show, again)
    page = local.page(done.number)
    if done.state is not State.PASSED:
        story.note(f"the report of this run is {page}")
        problem = PipelineError if done.state is State.FAILED else GateClosed
        raise problem(
            done.note or f"run {done.number} {done.state}", hint=f"its logs are in {local.records.folder(done.number)}/logs"
        )
    _show_end(tools, str(page), local.tree(done).seconds)


def _met_load(events: Sequence[Event]) -> bool:
    """Whether the last deploy to production was made under load."""
    deploys = [e for e in events if (e.kind, e.environment, e.detail.get("gate")) == (EVIDENCE, "production", "deploy")]
    return bool(deploys and deploys[-1].detail.get("load"))


def _show_end(tools: Tools, page: str, seconds: float) -> None:
    rows = commands.status(tools)
    address = urls(tools.settings.environment("production"))[0]
    for shown in ("", show.answer(commands.ask(tools, "production")), "", show.status(rows), ""):
        console.show(shown)
    console.show(
        show.lines(
            [
                ("open", f"{address}/"),
                ("api", f"{address}/api"),
                ("report", page),
                ("took", f"{seconds:.0f} s"),
                ("push", f"git push {tools.settings.state}/repository.git HEAD:{MAIN}   # ships your next commit to staging"),
                ("remove", "make down"),
            ]
        )
    )
