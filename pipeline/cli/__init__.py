"""The command line: parses, calls one use case, prints its result, and turns errors into exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from pipeline.cli import builds, hooks, machine, release, runs
from pipeline.cli.session import cli
from pipeline.console import ConsoleStory
from pipeline.errors import PipelineError, UsageError

__all__ = ["builds", "cli", "hooks", "machine", "main", "release", "runs"]
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and explain what went wrong, if it did; the exit code."""
    try:
        cli.main(sys.argv[1:] if argv is None else list(argv), prog_name="python -m pipeline", standalone_mode=False)
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
