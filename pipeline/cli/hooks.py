"""Verbs that make a push start the way of its commit: git hooks, and a receiver for forges."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from pipeline import hooks, process, show
from pipeline.cli.session import Session, cli
from pipeline.errors import PipelineError, UsageError
from pipeline.hooks import Pushed
from pipeline.settings import located, read_secrets
from pipeline.webhook import Receiver

REMOTE_SECONDS = 120  # how long a push may take until the remote has it
NUMBER = re.compile(r"run (\d+)$")


@cli.group()
def hook() -> None:
    """What a push starts: install, received, later, serve."""


@hook.command()
@click.option("--kind", type=click.Choice(hooks.KINDS), default="post-receive", show_default=True, help="Server side, or laptop.")
@click.option("--repository", type=click.Path(path_type=Path), help="Where (default: STATE/repository.git, made if need be).")
@click.option("--print", "only_print", is_flag=True, help="Print the hook instead.")
@click.pass_obj
def install(session: Session, kind: str, repository: Path | None, only_print: bool) -> None:
    """Put a hook into a git repository: a push starts Jenkins where one is configured, else a run on this machine."""
    target, text = hooks.prepared(kind, session.tools.root, session.tools.settings, repository)
    if only_print:
        click.echo(text, nl=False)
        return
    path = hooks.install(kind, target, text)
    session.result(None, show.lines([("installed", str(path)), ("push to", str(target))]), as_json=False)


@hook.command()
@click.option("--kind", type=click.Choice(hooks.KINDS), required=True)
@click.pass_obj
def received(session: Session, kind: str) -> None:
    """What the hooks call: read from git what was pushed, and start it."""
    changes = hooks.read_push(kind, sys.stdin)
    if kind == "post-receive":
        deliver(session, changes)
        return
    for change in changes:
        # git pushes once this hook has ended, so what follows the push waits beside it; the remote goes along in the environment
        argv = [sys.executable, "-m", "pipeline", "hook", "later", change.ref, change.commit]
        log = session.state / "logs" / "hook.log"
        process.spawn_daemon(argv, log=log, cwd=session.tools.root)
        session.result(None, show.line("starts", f"{change.commit[:12]} once it is pushed; its log is {log}"), as_json=False)


@hook.command()
@click.argument("ref")
@click.argument("commit")
@click.pass_obj
def later(session: Session, ref: str, commit: str) -> None:
    """Start what a push starts once the remote in PUSHED_TO has it; nothing where it never does."""
    change, end, remote = hooks.pushed(ref, commit), time.monotonic() + REMOTE_SECONDS, os.environ.get(hooks.REMOTE, "")
    if change is None or not remote:
        raise UsageError(f"{ref} is no branch and no tag, or {hooks.REMOTE} does not say where it is pushed to")
    while commit not in process.run(["git", "ls-remote", remote, ref], cwd=repository(session)).output:
        if time.monotonic() > end:
            raise UsageError(f"the remote does not have {commit[:12]} after {REMOTE_SECONDS} s, so nothing was started")
        time.sleep(1)
    deliver(session, [change])


@hook.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; a proxy with TLS belongs before it.")
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True)
@click.pass_obj
def serve(session: Session, address: str, port: int) -> None:
    """Receive signed webhooks of GitHub, Gitea, Forgejo, GitLab and Bitbucket, each push once; start it, and wait for nothing."""
    secret = read_secrets(os.environ, session.state / "secrets").hook_secret

    def take(change: Pushed) -> None:
        # by the commit, as two branches may have names that no folder can have at once
        fetch = ["git", "fetch", "--quiet", "origin", f"+{change.ref}:refs/slipway/{change.commit}"]
        process.must(fetch, cwd=repository(session))
        start(session, change, follow=False)

    receiver = Receiver((address, port), secret, take, session.story.note)
    session.story.step("listening", f"on http://{address}:{receiver.port}/")
    session.story.quiet()
    receiver.serve()


def deliver(session: Session, changes: Sequence[Pushed]) -> None:
    """Start what each change starts, then show one after the other as it happens. What cannot be started stops none of the others.

    Raises PipelineError in the end when something could not be started.
    """
    started, problems = list[tuple[Pushed, int | None]](), list[str]()
    for change in changes:
        try:
            now = process.run(["git", "rev-parse", "--verify", "--quiet", change.ref], cwd=repository(session)).output.strip()
            if now not in ("", change.commit):
                session.story.note(f"{change.name} has moved on from {change.commit[:12]} to {now[:12]}: nothing to do")
                continue
            started.append((change, start(session, change, follow=session.uses_jenkins)))
        except PipelineError as error:
            problems.append(f"{change.name} at {change.commit[:12]}: {error}")
    for change, number in started:
        if number is not None:
            follow = [sys.executable, "-m", "pipeline", "follow", str(number)]
            process.follow(follow, _tell, cwd=_home(session, change), env=_variables(session))
    if problems:
        raise PipelineError("; ".join(problems), hint="`python -m pipeline run --commit COMMIT --branch NAME` starts one by hand")


def start(session: Session, change: Pushed, *, follow: bool) -> int | None:
    """Let Jenkins see the push, or begin a run that goes on by itself; the run's number. Raises PipelineError."""
    session.story.step("received", f"{change.commit[:12]} on {change.name}")
    session.story.quiet()
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if session.uses_jenkins:
            _tell(line)

    watch = [] if follow or not session.uses_jenkins else ["--no-follow"]
    verb = [*hooks.trigger_argv(change), *watch] if session.uses_jenkins else hooks.run_argv(change)
    argv = [sys.executable, "-m", "pipeline", *verb]
    code = process.follow(argv, hear, cwd=_home(session, change), env=_variables(session))
    if code not in (0, 1):
        reasons = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
        raise PipelineError("; ".join(reasons) or f"ended with {code}")
    found = [NUMBER.search(line.strip()) for line in said]
    return next((int(match[1]) for match in reversed(found) if match), None) if not session.uses_jenkins else None


def repository(session: Session) -> Path:
    """Where the commits are."""
    return session.tools.root / session.tools.settings.repository


def _home(session: Session, change: Pushed) -> Path:
    """Whose code walks it: the commit's own, as in a workspace of Jenkins; only asking a Jenkins is done by this checkout."""
    return session.tools.root if session.uses_jenkins else session.tools.commits.commit(change.commit).files


def _variables(session: Session) -> dict[str, str | None]:
    return {**located(session.tools.root, session.tools.settings, os.environ)}


def _tell(line: str) -> None:
    click.echo(line, err=True)
