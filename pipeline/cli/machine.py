"""Verbs about machines: this one, and the hosts of the environments."""

from __future__ import annotations

from dataclasses import asdict

import click

from pipeline import commands, doctor, image, show
from pipeline.cli.session import Session, as_json, cli
from pipeline.errors import PipelineError


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
@click.pass_obj
def down(session: Session) -> None:
    """Remove every container, volume and process that was made here; the ledger stays."""
    if stopped := session.local.abort_all():
        session.story.note(f"stopped what was under way: {', '.join(f'run {number}' for number in stopped)}")
    session.story.step("removing", f"everything of the project {session.tools.settings.project!r}")
    if image.engine_answers():
        commands.down(session.tools)
    elif session.machine.has_hosts():
        raise PipelineError(
            "no Docker engine answers, so its containers cannot be removed", hint="python -m pipeline doctor --install"
        )
    ended = session.machine.engine.stop_ours()
    session.result(
        None, show.line("down", "the Docker engine that was started here too" if ended else "nothing is left"), as_json=False
    )
