"""What the person watching sees: the story on standard error, one line a step, and where a long step is."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.status import Status
from rich.text import Text

PLAIN_WIDTH = 160  # columns of a table in a file or a log
PLAIN_SECONDS = 10.0  # between two lines of progress where there is no terminal


class ConsoleStory:
    """On a terminal the last line moves; elsewhere (a log, Jenkins) a line is written now and then."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._step = ""
        self._started = time.monotonic()
        self._said = 0.0

    def step(self, verb: str, text: str) -> None:
        self.quiet()
        self._step, self._started, self._said = f"{verb}  {text}", time.monotonic(), time.monotonic()
        line = Text.assemble((f"{verb:>10}", "bold cyan"), "  ", text)
        self._console.print(line)
        if self._console.is_terminal:
            self._status = self._console.status("", spinner="dots")
            self._status.start()

    def progress(self, text: str) -> None:
        seconds = time.monotonic() - self._started
        if self._status:
            self._status.update(Text(f"{seconds:4.0f} s  {text[: self._console.width - 12]}", style="dim"))
        elif time.monotonic() - self._said > PLAIN_SECONDS:
            self._said = time.monotonic()
            self._console.print(Text(f"{'':>10}  {seconds:4.0f} s  {text[:110]}", style="dim"))

    def note(self, text: str) -> None:
        self._console.print(Text.assemble((f"{'note':>10}", "yellow"), "  ", text))

    def quiet(self) -> None:
        """No step is running."""
        if self._status:
            self._status.stop()
            self._status = None

    def complain(self, message: str, hint: str) -> None:
        """Why the command ends."""
        self.quiet()
        self._console.print(Text.assemble(("error", "bold red"), ": ", message))
        if hint:
            self._console.print(Text.assemble("  try: ", hint))

    def show(self, renderable: object) -> None:
        """A table or chart."""
        self.quiet()
        self._console.print(renderable)


def stdout_console() -> Console:
    """Where results go."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
