"""Verbs that make a push start the way of its commit: git hooks, and a receiver for forges."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from pipeline import hooks, process, show
from pipeline.cli.session import Session, cli
from pipeline.errors import PipelineError, UsageError
from pipeline.hooks import Pushed
from pipeline.settings import read_secrets
from pipeline.webhook import Receiver

REMOTE_SECONDS = 120  # how long a push may take until the remote has it


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
@click.option("--remote", default="", help="Where a laptop pushes to.")
@click.pass_obj
def received(session: Session, kind: str, remote: str) -> None:
    """What the hooks call: read from git what was pushed, and start it."""
    for change in hooks.read_push(kind, sys.stdin):
        if kind == "post-receive":
            _deliver(session, change)
            continue
        # git pushes once this hook has ended, so what follows the push waits beside it
        argv = [sys.executable, "-m", "pipeline", "hook", "later", "--remote", remote, change.ref, change.commit]
        log = session.state / "logs" / "hook.log"
        process.spawn_daemon(argv, log=log, cwd=session.tools.root)
        session.result(None, show.line("starts", f"once {remote} has {change.commit[:12]}; its log is {log}"), as_json=False)


@hook.command()
@click.option("--remote", required=True, help="Where it is pushed to.")
@click.argument("ref")
@click.argument("commit")
@click.pass_obj
def later(session: Session, remote: str, ref: str, commit: str) -> None:
    """Start what a push starts once the remote has it; nothing where it never does."""
    change, end = hooks.pushed(ref, commit), time.monotonic() + REMOTE_SECONDS
    if change is None:
        raise UsageError(f"{ref} is no branch and no tag")
    while commit not in process.run(["git", "ls-remote", remote, ref], cwd=_repository(session)).output:
        if time.monotonic() > end:
            raise UsageError(f"{remote} does not have {commit[:12]} after {REMOTE_SECONDS} s, so nothing was started")
        time.sleep(1)
    _deliver(session, change)


@hook.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; a proxy with TLS belongs before it.")
@click.option("--port", type=click.IntRange(0, 65535), default=8077, show_default=True)
@click.pass_obj
def serve(session: Session, address: str, port: int) -> None:
    """Receive signed webhooks of GitHub, Gitea, Forgejo, GitLab and Bitbucket, each push once."""
    secret = read_secrets(os.environ, session.state / "secrets").hook_secret

    def deliver(change: Pushed) -> None:
        if not session.uses_jenkins:
            process.must(
                ["git", "fetch", "--quiet", "origin", f"+{change.ref}:refs/slipway/{change.name}"], cwd=_repository(session)
            )
        _deliver(session, change)

    receiver = Receiver((address, port), secret, deliver, session.story.note)
    session.story.step("listening", f"on http://{address}:{receiver.port}/")
    receiver.serve()


def _repository(session: Session) -> Path:
    return session.tools.root / session.tools.settings.repository


def _deliver(session: Session, change: Pushed) -> None:
    """Start what a push starts, and show it as it happens. Raises PipelineError when it cannot be started."""
    if session.uses_jenkins:
        argv, cwd = hooks.trigger_argv(change), session.tools.root
    else:
        commit = session.tools.commits.commit(change.commit)
        argv, cwd = hooks.run_argv(change), commit.files  # the commit's own pipeline walks it, as in a workspace of Jenkins
    session.story.step("received", f"{change.commit[:12]} on {change.name}")
    session.story.quiet()
    code = process.follow([sys.executable, "-m", "pipeline", *argv], lambda line: click.echo(line, err=True), cwd=cwd)
    if code not in (0, 1):
        raise PipelineError(f"the run of {change.commit[:12]} ended with {code}")
