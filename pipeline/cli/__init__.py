"""The command line: parses, calls one use case, prints its result, and turns errors into exit codes."""

from __future__ import annotations

import sys
import traceback
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
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except (KeyboardInterrupt, Exception) as error:
        return explained(error)
    return 0


def explained(error: BaseException) -> int:
    """Say why a verb ended; the exit code. A fault of ours is no answer of a gate, which 1 would be."""
    story = ConsoleStory()
    match error:
        case PipelineError():
            story.complain(str(error), error.hint)
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            story.complain("interrupted", "run it again: it goes on where it can")
            return INTERRUPTED
        case click.ClickException():
            error.show()
            return UsageError.exit_code
        case OSError():
            place = error.filename or "this machine"
            story.complain(f"{place}: {error.strerror or error}", "is the disk full, or is it somebody else's?")
        case _:
            traceback.print_exception(error)
    return PipelineError.exit_code
