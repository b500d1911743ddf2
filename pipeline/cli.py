"""The command line: parses, calls one use case, prints its result, and turns errors into exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import RenderableType

from pipeline import commands, console, doctor, image, show
from pipeline import demo as whole_way
from pipeline.collaborators import Tools
from pipeline.console import ConsoleStory
from pipeline.errors import PipelineError, UsageError
from pipeline.ledger.protocol import to_json
from pipeline.settings import read_settings
from pipeline.wiring import Machine, repository_root, wire

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Session:
    """What every verb gets."""

    tools: Tools
    machine: Machine
    story: ConsoleStory

    def result(self, document: object, shown: RenderableType, *, as_json: bool) -> None:
        """Print the result: one JSON document, or what people like to see."""
        self.story.quiet()
        if as_json:
            click.echo(json.dumps(document, default=str))
        else:
            console.show(shown)


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
of_commit = click.option("--commit", default="HEAD", show_default=True, metavar="REV", help="The commit that is meant.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> None:
    """Ship a release: from a commit, over evidence, to the hosts that serve it.

    Exit codes: 0 yes; 1 a gate said no; 2 asked wrongly; 3 could not find out; 130 interrupted.
    """
    story = ConsoleStory()
    context.call_on_close(story.quiet)
    root = repository_root()
    tools, machine = wire(read_settings(root, os.environ), root, story)
    context.obj = Session(tools, machine, story)


@cli.command("doctor")
@click.option("--install", is_flag=True, help="Set up a Docker engine and SSH where they are missing (Debian family, as root).")
@as_json
@click.pass_obj
def doctor_verb(session: Session, install: bool, as_json: bool) -> None:
    """Say what this machine lacks, and mend it if asked."""
    if install:
        session.story.step("setting up", "what this machine lacks")
        doctor.install(session.machine.engine, session.story)
    findings = doctor.examine(image.engine_answers)
    session.result([asdict(f) for f in findings], show.findings(findings), as_json=as_json)
    if missing := [f.name for f in findings if not f.present]:
        raise PipelineError(f"this machine lacks {', '.join(missing)}", hint="python -m pipeline doctor --install")


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
def build(session: Session, commit: str, as_json: bool) -> None:
    """Build a commit's image once, push it, and make a release of it."""
    tools = session.tools
    session.machine.registry_up()
    release = commands.build(tools, commit, image.lock_sha256, lambda files: image.model_sha256(files, tools.settings))
    session.result({"release": release.id, **release.record()}, show.release(release), as_json=as_json)


@cli.group()
def fleet() -> None:
    """The hosts of the environments: up, down, status."""


@fleet.command("up")
@click.argument("environments", nargs=-1)
@click.pass_obj
def fleet_up(session: Session, environments: tuple[str, ...]) -> None:
    """Make and provision the hosts of ENVIRONMENTS (default: all)."""
    session.machine.registry_up()
    commands.fleet_up(session.tools, environments)
    session.result(
        None, show.line("up", ", ".join(e.name for e in commands.environments(session.tools, environments))), as_json=False
    )


@fleet.command("down")
@click.argument("environments", nargs=-1)
@click.pass_obj
def fleet_down(session: Session, environments: tuple[str, ...]) -> None:
    """Remove the hosts of ENVIRONMENTS (default: all)."""
    commands.fleet_down(session.tools, environments)


@fleet.command("status")
@as_json
@click.pass_obj
def fleet_status(session: Session, as_json: bool) -> None:
    """Each host, and whether it runs."""
    hosts = {e.name: session.tools.fleet.status(e) for e in session.tools.settings.environments}
    session.result(hosts, show.machines(hosts), as_json=as_json)


@cli.command()
@click.argument("environment")
@click.option("--release", metavar="ID", help="The release, by the beginning of its id (default: the newest).")
@click.option("--commit", metavar="REV", help="The newest release of this commit.")
@click.option("--under-load", is_flag=True, help="Send load meanwhile, and count what users would have lost.")
@as_json
@click.pass_obj
def deploy(session: Session, environment: str, release: str | None, commit: str | None, under_load: bool, as_json: bool) -> None:
    """Put a release on every host of ENVIRONMENT."""
    done = commands.deploy(session.tools, environment, release, commit_name=commit, under_load=under_load)
    session.result(show.deployed_json(done), show.deployed(done), as_json=as_json)


@cli.command()
@click.argument("environment")
@click.option("--seconds", type=click.FloatRange(1, 3600), help="How long (default: the setting load_seconds).")
@as_json
@click.pass_obj
def loadtest(session: Session, environment: str, seconds: float | None, as_json: bool) -> None:
    """Load ENVIRONMENT and judge it by loadtests/budget.toml."""
    verdict, stats = commands.loadtest(session.tools, environment, seconds)
    session.result({**asdict(verdict), **stats.summary()}, show.load(verdict, stats.summary()), as_json=as_json)
    commands.opened(verdict, "the load gate")


@cli.command()
@click.option("--from", "source", required=True, metavar="ENV", help="Where the release is live.")
@click.option("--to", "target", required=True, metavar="ENV", help="Where it goes.")
@click.option("--under-load/--without-load", default=True, show_default=True, help="Send load meanwhile, and count.")
@as_json
@click.pass_obj
def promote(session: Session, source: str, target: str, under_load: bool, as_json: bool) -> None:
    """Put what is live on one environment on another: the same digest."""
    done = commands.promote(session.tools, source, target, under_load=under_load)
    session.result(show.deployed_json(done), show.deployed(done), as_json=as_json)


@cli.command()
@click.argument("environment")
@as_json
@click.pass_obj
def rollback(session: Session, environment: str, as_json: bool) -> None:
    """Go back to the release that was live on ENVIRONMENT before."""
    done = commands.rollback(session.tools, environment)
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


@cli.command()
@of_commit
@click.pass_obj
def demo(session: Session, commit: str) -> None:
    """Ship a commit all the way to production, and ask the deployed service what it sees."""
    whole_way.run(session.tools, session.story, commit, invoke)


@cli.command()
@click.pass_obj
def down(session: Session) -> None:
    """Remove every container, volume and process that was made here; the ledger stays."""
    session.story.step("removing", f"everything of the project {session.tools.settings.project!r}")
    if image.engine_answers():
        commands.down(session.tools)
    elif session.machine.has_hosts():
        raise PipelineError(
            "no Docker engine answers, so its containers cannot be removed", hint="python -m pipeline doctor --install"
        )
    stopped = session.machine.engine.stop_ours()
    session.result(
        None, show.line("down", "the Docker engine that was started here too" if stopped else "nothing is left"), as_json=False
    )


def invoke(argv: Sequence[str]) -> None:
    """Run one verb. Raises PipelineError, or click's own exceptions."""
    cli.main(list(argv), prog_name="python -m pipeline", standalone_mode=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and explain what went wrong, if it did; the exit code."""
    try:
        invoke(sys.argv[1:] if argv is None else argv)
    except PipelineError as error:
        ConsoleStory().complain(str(error), error.hint)
        return error.exit_code
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        ConsoleStory().complain("interrupted", "run it again: it goes on where it can")
        return INTERRUPTED
    return 0
