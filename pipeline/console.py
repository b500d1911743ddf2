"""What the person watching sees: the story on standard error, one line a step, and where a long step is."""

from __future__ import annotations

import os
import sys
import time

from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

PLAIN_WIDTH = 160  # columns of a table in a file or a log
PLAIN_SECONDS = float(os.environ.get("STORY_SECONDS", "10"))  # between two lines of progress where there is no terminal


class ConsoleStory:
    """On a terminal the last line moves; elsewhere (a log, Jenkins) a line is written now and then."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._moving: Progress | None = None
        self._started = self._said = time.monotonic()

    def step(self, verb: str, text: str) -> None:
        self.quiet()
        self._started = self._said = time.monotonic()
        self._console.print(Text.assemble((f"{verb:>10}", "bold cyan"), "  ", text))
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", style="dim", markup=False))
            self._moving = Progress(*columns, console=self._console, transient=True)
            self._moving.add_task("", total=None)
            self._moving.start()

    def progress(self, text: str) -> None:
        if self._moving:
            self._moving.update(self._moving.task_ids[0], description=text[: self._console.width - 16])
        elif time.monotonic() - self._said > PLAIN_SECONDS:
            self._said = time.monotonic()
            self._console.print(Text(f"{'':>10}  {self._said - self._started:4.0f} s  {text[:110]}", style="dim"))

    def note(self, text: str) -> None:
        self._console.print(Text.assemble((f"{'note':>10}", "yellow"), "  ", text))

    def quiet(self) -> None:
        """No step is running."""
        if self._moving:
            self._moving.stop()
            self._moving = None

    def complain(self, message: str, hint: str) -> None:
        """Why the command ends."""
        self.quiet()
        self._console.print(Text.assemble(("error", "bold red"), ": ", message))
        if hint:
            self._console.print(Text.assemble("  try: ", hint))


def show(renderable: RenderableType) -> None:
    """A result, on standard output."""
    Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(renderable)
