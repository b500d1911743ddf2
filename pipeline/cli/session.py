"""What all verbs share: the group that they belong to, what each is handed, and options that several have."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import RenderableType

from pipeline import console
from pipeline.collaborators import Tools
from pipeline.console import ConsoleStory
from pipeline.errors import PipelineError
from pipeline.runs.local import LocalRuns
from pipeline.settings import read_settings
from pipeline.wiring import Machine, repository_root, wire

FIRST_PAUSE = 5.0  # seconds before the second attempt; each later one waits twice as long


@dataclass(frozen=True, slots=True)
class Session:
    """What every verb gets."""

    tools: Tools
    machine: Machine
    story: ConsoleStory
    local: LocalRuns

    @property
    def uses_jenkins(self) -> bool:
        """Whether runs are builds of a Jenkins."""
        return bool(self.tools.settings.jenkins_url)

    @property
    def state(self) -> Path:
        """Where everything is kept that is not in git."""
        return (self.tools.root / self.tools.settings.state).resolve()

    def result(self, document: object, shown: RenderableType, *, as_json: bool) -> None:
        """Print the result: one JSON document, or what people like to see."""
        self.story.quiet()
        if as_json:
            click.echo(json.dumps(document, default=str))
        else:
            console.show(shown)


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
of_commit = click.option("--commit", default="HEAD", show_default=True, metavar="REV", help="The commit that is meant.")
of_branch = click.option("--branch", default="main", show_default=True, metavar="NAME", help="The branch or tag that was pushed.")


class Verbs(click.Group):
    """A group that tries its verb again while it ends with 3, could not find out. A no (1) or a wrong question (2) stays."""

    def invoke(self, context: click.Context) -> object:
        attempts, pause = context.params["attempts"], FIRST_PAUSE
        before = list(context._protected_args), list(context.args)
        for attempt in range(1, attempts + 1):
            context._protected_args[:], context.args = list(before[0]), list(before[1])
            try:
                return super().invoke(context)
            except PipelineError as error:
                if error.exit_code != PipelineError.exit_code or attempt == attempts:
                    raise
                story = context.obj.story if context.obj else ConsoleStory()
                story.quiet()
                story.note(f"{error}; trying again in {pause:g} s ({attempt + 1} of {attempts})")
                time.sleep(pause)
                pause *= 2
        raise AssertionError("there is at least one attempt")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--attempts",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="How often to try while it ends with 3, with pauses.",
)
@click.pass_context
def cli(context: click.Context, attempts: int) -> None:
    """Ship a release: from a commit, over evidence, to the hosts that serve it.

    Exit codes: 0 yes; 1 a gate said no; 2 asked wrongly; 3 could not find out; 130 interrupted.
    """
    story = ConsoleStory()
    context.call_on_close(story.quiet)
    root = repository_root()
    tools, machine = wire(read_settings(root, os.environ), root, story)
    local = LocalRuns(tools, (root / tools.settings.state).resolve())
    context.obj = Session(tools, machine, story, local)
