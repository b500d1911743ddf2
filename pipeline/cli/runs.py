"""Verbs that walk the way of a commit on this machine, and keep what it leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from pipeline import demo as whole_way
from pipeline import evidence as leaving
from pipeline import hooks, show
from pipeline.cli.release import SHAPES
from pipeline.cli.session import Session, as_json, cli, of_branch, of_commit
from pipeline.commands import find_release
from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.progress import State
from pipeline.runs.record import Run
from pipeline.stages import Action, Situation
from pipeline.tree import TreeView

tagged = click.option("--tag", is_flag=True, help="What was pushed is a tag, which goes to production without being asked.")
of_action = click.option(
    "--action", type=click.Choice([a.value for a in Action]), default=Action.SHIP.value, show_default=True, help="What it is for."
)
how_far = click.option("--environment", default="production", show_default=True, metavar="ENV", help="How far, or where to.")
of_release = click.option("--release", default="", metavar="ID", help="The release to promote or to go back to.")
of_load = click.option("--load", type=click.Choice(SHAPES), default="steady", show_default=True, help="The shape of the load test.")


@cli.command()
@of_commit
@of_branch
@tagged
@of_action
@how_far
@of_release
@of_load
@click.option("--number", type=int, help="Go on with this run.")
@click.option("--fresh", is_flag=True, help="Begin anew, also where an earlier run was cut short.")
@click.option("--detach", is_flag=True, help="Let it go on by itself, and watch: an interrupt then ends only the watching.")
@click.option("--begin", "only_begin", is_flag=True, help="Let it go on by itself, and do not even watch.")
@as_json
@click.pass_obj
def run(session: Session, /, number: int | None, fresh: bool, detach: bool, only_begin: bool, as_json: bool, **asked: str) -> None:
    """Walk the stages of a commit on this machine, as Jenkins does."""
    local = session.local
    if number is None:
        found = local.begin(situation(session, **asked), fresh=fresh)
        if found.walked:
            session.story.note(f"going on with run {found.number}, which was cut short")
        number = found.number
    if only_begin:
        local.start(number)
        session.result({"run": number}, show.line("began", f"run {number}"), as_json=as_json)
        return
    ended(session, go_on(session, number, detach=detach), as_json=as_json)


def go_on(session: Session, number: int, *, detach: bool) -> Run:
    """Walk a run in this terminal, or watch the process that does: the code that began it, where that is not this checkout's."""
    local = session.local
    beside = detach or not local.ours(local.records.load(number))
    with TreeView() as view:
        if beside:
            local.start(number)
        return local.follow(number, view.show) if beside else local.walk(number, view.show)


@cli.command()
@of_commit
@click.option("--release", default="", metavar="ID", help="The commit of this release instead.")
@click.option("--to", "folder", type=click.Path(path_type=Path), default=Path("evidence"), show_default=True, help="Where to.")
@click.pass_obj
def evidence(session: Session, commit: str, release: str, folder: Path) -> None:
    """Collect what is known of a commit into a folder, and say who must act."""
    if release:
        commit = find_release(session.tools.events(), release).commit
    files, acts = leaving.gather(session.tools, commit, folder)
    session.result(None, show.lines([("kept", str(file)) for file in files] + [("act", act) for act in acts]), as_json=False)


@cli.command()
@of_commit
@click.pass_obj
def demo(session: Session, commit: str) -> None:
    """Ship a commit all the way to production, and ask the deployed service what it sees."""
    target, text = hooks.prepared("post-receive", session.tools.root, session.tools.settings)
    hooks.install("post-receive", target, text)
    whole_way.run(session.tools, session.story, session.local, commit)


def situation(session: Session, *, commit: str, branch: str, action: str, **rest: object) -> Situation:
    """What was asked, with the commit found. Raises UsageError."""
    found = session.tools.commits.commit(commit)
    wanted = Situation(found.id, branch, action=Action(action))
    wanted = replace(wanted, **rest)  # type: ignore[arg-type]
    session.tools.settings.environment(wanted.environment)
    if wanted.action is Action.PROMOTE and not wanted.release:
        raise UsageError(
            "a promotion names its release, so that what is agreed to is what goes", hint="--release ID; `history` lists them"
        )
    session.story.step(
        "shipping" if wanted.action is Action.SHIP else wanted.action, f"{found.id[:12]} {found.subject!r} of {branch}"
    )
    session.story.quiet()
    return wanted


def ended(session: Session, run: Run, *, as_json: bool) -> None:
    """Say how a run stands; raises what its end means."""
    page = session.local.page(run.number)
    document = {"run": run.number, "state": run.state, "note": run.note, "report": str(page)}
    lines = [(str(run.state), f"run {run.number} of {run.situation.commit[:12]}")]
    lines += [("report", str(page))] if page.exists() else []
    lines += [("to go on", f"python -m pipeline approve {run.number}")] if run.state is State.PAUSED else []
    session.result(document, show.lines(lines), as_json=as_json)
    if run.state in (State.PASSED, State.PAUSED):
        return
    problem = PipelineError if run.state is State.FAILED else GateClosed
    raise problem(
        f"run {run.number} {run.state}: {run.note}", hint=f"its logs are in {session.local.records.folder(run.number)}/logs"
    )
