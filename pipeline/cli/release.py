"""The verbs that a commit and its release go through, in the order of their way, and the questions about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pipeline import commands, image, show
from pipeline.cli.session import Session, as_json, cli, of_branch, of_commit
from pipeline.errors import Superseded
from pipeline.ledger.protocol import to_json
from pipeline.recording import opened
from pipeline.release import SHORT

SHAPES = ("steady", "ramp", "spike")


@cli.command()
@of_commit
@of_branch
@click.pass_obj
def arrive(session: Session, commit: str, branch: str) -> None:
    """Write down that a commit begins its way as the newest of its branch."""
    arrived = commands.arrive(session.tools, commit, branch)
    session.result(None, show.line("arrived", f"{arrived.id[:SHORT]} on {branch}, by {arrived.author}"), as_json=False)


@cli.command()
@of_commit
@as_json
@click.pass_obj
def check(session: Session, commit: str, as_json: bool) -> None:
    """Judge the dependencies: exact, hashed, in sync, installed = locked."""
    verdict = commands.check(session.tools, commit)
    session.result(asdict(verdict), show.verdict("dependencies", verdict), as_json=as_json)


@cli.command()
@of_commit
@as_json
@click.pass_obj
def test(session: Session, commit: str, as_json: bool) -> None:
    """Run the fast tests of a commit."""
    counts = commands.test(session.tools, commit)
    session.result(counts, show.line("passed", f"{counts['tests']} tests, {counts['skipped']} skipped"), as_json=as_json)


@cli.command()
@of_commit
@as_json
@click.pass_obj
def lint(session: Session, commit: str, as_json: bool) -> None:
    """Judge style and types of a commit."""
    verdict = commands.lint(session.tools, commit)
    session.result(asdict(verdict), show.verdict("lint", verdict), as_json=as_json)


@cli.command()
@of_commit
@as_json
@click.pass_obj
def build(session: Session, commit: str, as_json: bool) -> None:
    """Build a commit's image once, push it, and make a release of it."""
    tools = session.tools
    session.machine.registry_up()
    release = commands.build(tools, commit, image.lock_sha256, lambda files: image.model_sha256(files, tools.settings))
    session.result({"release": release.id, **release.record()}, show.release(release), as_json=as_json)


@cli.command()
@of_commit
@of_branch
@click.option("--only-tell", is_flag=True, help="Find out and say it, and refuse nothing.")
@click.pass_obj
def newest(session: Session, commit: str, branch: str, only_tell: bool) -> None:
    """Refuse a commit after which another one arrived on its branch."""
    try:
        found = commands.newest(session.tools, commit, branch)
        session.result(None, show.line("newest", f"{found.id[:SHORT]} on {branch}"), as_json=False)
    except Superseded as error:
        if not only_tell:
            raise
        session.result(None, show.line("superseded", str(error)), as_json=False)


@cli.command()
@click.argument("environment")
@click.option("--release", metavar="ID", help="The release, by the beginning of its id (default: the newest).")
@click.option("--commit", metavar="REV", help="The newest release of this commit.")
@click.option("--newest-of", default="", metavar="BRANCH", help="Only while no newer commit has arrived on BRANCH.")
@click.option("--under-load", is_flag=True, help="Send load meanwhile, and count what users would have lost.")
@as_json
@click.pass_obj
def deploy(
    session: Session, environment: str, release: str | None, commit: str | None, newest_of: str, under_load: bool, as_json: bool
) -> None:
    """Put a release on every host of ENVIRONMENT."""
    done = commands.deploy(session.tools, environment, release, commit_name=commit, newest_of=newest_of, under_load=under_load)
    session.result(show.deployed_json(done), show.deployed(done), as_json=as_json)


@cli.command()
@click.argument("environment")
@click.option("--seconds", type=click.FloatRange(1, 3600), help="How long (default: the setting load_seconds).")
@click.option("--shape", type=click.Choice(SHAPES), default="steady", show_default=True, help="How the number of users changes.")
@as_json
@click.pass_obj
def loadtest(session: Session, environment: str, seconds: float | None, shape: str, as_json: bool) -> None:
    """Load ENVIRONMENT and judge it by loadtests/budget.toml."""
    verdict, stats = commands.loadtest(session.tools, environment, seconds, shape)
    session.result({**asdict(verdict), **stats.summary()}, show.load(verdict, stats.summary()), as_json=as_json)
    opened(verdict, "the load gate")


@cli.command()
@click.option("--from", "source", required=True, metavar="ENV", help="Where the release is live.")
@click.option("--to", "target", required=True, metavar="ENV", help="Where it goes.")
@click.option("--commit", metavar="REV", help="Only if what is live there is a release of this commit.")
@click.option("--under-load/--without-load", default=True, show_default=True, help="Send load meanwhile, and count.")
@as_json
@click.pass_obj
def promote(session: Session, source: str, target: str, commit: str | None, under_load: bool, as_json: bool) -> None:
    """Put what is live on one environment on another: the same digest."""
    done = commands.promote(session.tools, source, target, commit_name=commit, under_load=under_load)
    session.result(show.deployed_json(done), show.deployed(done), as_json=as_json)


@cli.command()
@click.argument("environment")
@click.option("--release", default="", metavar="ID", help="Which one, by the beginning of its id (default: the one before).")
@as_json
@click.pass_obj
def rollback(session: Session, environment: str, release: str, as_json: bool) -> None:
    """Go back to a release that was live on ENVIRONMENT before."""
    done = commands.rollback(session.tools, environment, release)
    session.result(show.deployed_json(done), show.deployed(done), as_json=as_json)


@cli.command()
@as_json
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """What is live where, by the ledger and by the hosts' own answers."""
    rows = commands.status(session.tools)
    session.result(rows, show.status(rows), as_json=as_json)


@cli.command()
@click.argument("environment", required=False)
@as_json
@click.pass_obj
def history(session: Session, environment: str | None, as_json: bool) -> None:
    """What happened, on ENVIRONMENT or everywhere; the ledger is verified first."""
    entries = commands.history(session.tools, environment)
    session.result([to_json(entry) for entry in entries], show.history(entries), as_json=as_json)


@cli.command()
@click.argument("environment")
@click.argument("picture", required=False, type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def ask(session: Session, environment: str, picture: Path | None, as_json: bool) -> None:
    """Show PICTURE to the service on ENVIRONMENT, and print what it sees."""
    session.story.step("asking", f"{environment} about {(picture or Path(commands.EXAMPLE)).name}")
    answer = commands.ask(session.tools, environment, picture)
    session.result(answer, show.answer(answer), as_json=as_json)
