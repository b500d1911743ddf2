"""Verbs that ask the Jenkins of the settings; where none is configured, they mean runs on this machine."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from pipeline import show
from pipeline.cli import runs
from pipeline.cli.session import Session, as_json, cli, of_branch, of_commit
from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.jenkins.desk import Desk
from pipeline.jenkins.replies import Build, Question
from pipeline.progress import State, Step
from pipeline.tree import TreeView

of_number = click.argument("number", required=False, type=int)
with_log = click.option("--log/--no-log", default=True, show_default=True, help="Show the log of a build, too.")


class Screen:
    """Shows a build as it goes on; ends the watching where a person has to agree."""

    def __init__(self, view: TreeView, *, log: bool) -> None:
        self._view = view
        self._log = log
        self.asked: Question | None = None

    def line(self, text: str) -> None:
        if self._log:
            self._view.line(text)

    def tree(self, tree: Step) -> None:
        self._view.show(tree)

    def asks(self, question: Question) -> bool:
        self.asked = question
        return False


@cli.command()
@of_commit
@of_branch
@runs.tagged
@runs.of_action
@runs.how_far
@runs.of_release
@runs.of_load
@click.option("--id", "trigger_id", default="", help="Find the build again by this id, and never start a second one with it.")
@click.option("--pushed", is_flag=True, help="The commit was pushed: let Jenkins see it, and follow the build that it starts.")
@click.option("--follow/--no-follow", "watched", default=True, show_default=True, help="Watch it to its end, or go at once.")
@with_log
@click.pass_obj
def trigger(session: Session, /, trigger_id: str, pushed: bool, watched: bool, log: bool, **asked: str) -> None:
    """Start a build of a branch on Jenkins, exactly once, and follow it; without a Jenkins, a run on this machine."""
    wanted = runs.situation(session, **asked)
    if not session.uses_jenkins:
        run = session.local.begin(wanted)
        if watched:
            return runs.ended(session, runs.go_on(session, run.number, detach=True), as_json=False)
        session.local.start(run.number)
        return session.result(None, show.line("began", f"run {run.number}"), as_json=False)
    with desk(session) as jenkins:
        id = trigger_id or str(uuid.uuid4())
        if pushed and not watched:
            jenkins.look()
            return session.result(None, show.line("seen", f"{wanted.commit[:12]} of {wanted.branch}"), as_json=False)
        if not pushed:
            session.story.note(f"the id of this build is {id}")
        build = jenkins.pushed(wanted) if pushed else jenkins.trigger(wanted, id)
        if not watched:
            return session.result(None, show.line("began", str(build)), as_json=False)
        return watch(session, jenkins, build, log=log)


@cli.command()
@of_number
@of_branch
@with_log
@as_json
@click.pass_obj
def follow(session: Session, number: int | None, branch: str, log: bool, as_json: bool) -> None:
    """Watch a run until it is over, or waits for somebody (default: the newest)."""
    if session.uses_jenkins:
        with desk(session) as jenkins:
            return watch(session, jenkins, jenkins.find(branch, number), log=log)
    with TreeView() as view:
        done = session.local.follow(number, view.show)
    return runs.ended(session, done, as_json=as_json)


@cli.command()
@of_number
@of_branch
@click.option("--reason", default="", help="Why now; it is kept.")
@click.option("--detach", is_flag=True, help="Let a run on this machine go on by itself, and watch.")
@with_log
@as_json
@click.pass_obj
def approve(session: Session, number: int | None, branch: str, reason: str, detach: bool, log: bool, as_json: bool) -> None:
    """Agree to a run that waits, and see it go on (default: the newest that waits)."""
    if session.uses_jenkins:
        with desk(session) as jenkins:
            build = jenkins.waiting(branch) if number is None else jenkins.find(branch, number)
            jenkins.approve(build, reason)
            return watch(session, jenkins, build, log=log)
    agreed = session.local.approve(number, reason)
    return runs.ended(session, runs.go_on(session, agreed.number, detach=detach), as_json=as_json)


@cli.command()
@of_number
@of_branch
@click.pass_obj
def abort(session: Session, number: int | None, branch: str) -> None:
    """Stop a run, or reject one that waits (default: the newest that is not over)."""
    if session.uses_jenkins:
        with desk(session) as jenkins:
            build = jenkins.find(branch, number)
            jenkins.abort(build)
        stopped = str(build)
    else:
        stopped = f"run {session.local.abort(number).number}"
    session.result(None, show.line("aborted", stopped), as_json=False)


@cli.group(invoke_without_command=True)
@as_json
@click.pass_context
def jobs(context: click.Context, as_json: bool) -> None:
    """List the jobs of Jenkins, or the runs of this machine; `put` makes or changes a job."""
    session: Session = context.obj
    if context.invoked_subcommand:
        return
    if session.uses_jenkins:
        with desk(session) as jenkins:
            found = jenkins.jobs()
        session.result([asdict(job) for job in found], show.jobs(found), as_json=as_json)
    else:
        listed = session.local.records.all()
        rows = [{"run": r.number, "state": r.state, **asdict(r.situation), "by": r.by, "started": r.started} for r in listed]
        session.result(rows, show.runs(listed), as_json=as_json)


@jobs.command()
@click.argument("name")
@click.argument("config", type=click.Path(path_type=Path))
@click.pass_obj
def put(session: Session, name: str, config: Path) -> None:
    """Let the job NAME have the configuration in the XML file CONFIG."""
    with desk(session) as jenkins:
        done = jenkins.put(name, config)
    session.result(None, show.line(done, name), as_json=False)


@contextlib.contextmanager
def desk(session: Session) -> Iterator[Desk]:
    """The Jenkins of the settings. Raises UsageError when there is none."""
    if not session.uses_jenkins:
        raise UsageError("no Jenkins is configured", hint="set jenkins_url, or SLIPWAY_JENKINS_URL")
    jenkins = session.machine.jenkins()
    try:
        yield jenkins
    finally:
        jenkins.close()


def watch(session: Session, jenkins: Desk, build: Build, *, log: bool) -> None:
    """Show a build to its end; raises what its end means."""
    with TreeView() as view:
        screen = Screen(view, log=log)
        state = jenkins.follow(build, screen)
    lines = [(str(state), str(build))]
    if state is State.PAUSED:
        asked = screen.asked.message if screen.asked else "it waits"
        lines += [("asks", asked), ("to go on", f"python -m pipeline approve {build.number}")]
    else:
        lines += jenkins.keep(build)
    session.result(None, show.lines(lines), as_json=False)
    if state in (State.PASSED, State.PAUSED):
        return
    problem = PipelineError if state is State.FAILED else GateClosed
    raise problem(f"{build} {state}", hint=f"its page is {build.url}")
