"""A run as a tree in the terminal: it moves on a terminal, and is one line for every change in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.console import PLAIN_SECONDS
from pipeline.progress import State, Step

LOOKS = {
    State.WAITING: ("·", "dim"),
    State.RUNNING: ("*", "cyan"),
    State.PAUSED: ("?", "yellow"),
    State.PASSED: ("✓", "green"),
    State.REFUSED: ("✗", "red"),
    State.FAILED: ("!", "red"),
    State.SUPERSEDED: ("-", "yellow"),
    State.ABORTED: ("✗", "yellow"),
    State.SKIPPED: ("-", "dim"),
}
NAME_WIDTH = 36
LONGEST_NOTE = 160
SILENT = (State.WAITING, State.RUNNING, State.SKIPPED)  # worth no line of their own when they begin


class TreeView:
    """Show a tree again and again as it grows; use it in a `with` block. On standard error, as every story is."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._spinner = Spinner("dots", style="cyan")
        self._live: Live | None = None
        self._known: dict[str, State] = {}
        self._told = time.monotonic()

    def __enter__(self) -> TreeView:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=10)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def line(self, text: str) -> None:
        """A line of a log, above the tree."""
        self._console.print(Text(text), soft_wrap=True)

    def show(self, tree: Step) -> None:
        """The tree as it is now."""
        if self._live:
            self._live.update(drawn(tree, self._console.width, self._spinner))
        else:
            self._tell(tree)

    def _tell(self, tree: Step) -> None:
        late = time.monotonic() - self._told > PLAIN_SECONDS
        for path, step in leaves(tree):
            changed = self._known.get(path) is not step.state
            self._known[path] = step.state
            if (changed and step.state not in SILENT) or (late and step.state is State.RUNNING):
                self._told = time.monotonic()
                print(
                    f"{step.state:>10}  {path:<{NAME_WIDTH}} {clock(step):>8}  {step.note[:LONGEST_NOTE]}".rstrip(),
                    file=sys.stderr,
                    flush=True,
                )


def drawn(tree: Step, width: int, spinner: Spinner | None = None) -> Table:
    """The tree as a table: mark, name, time, and the last thing each step said, cut to fit."""
    table = Table.grid(padding=(0, 1))
    for depth, step in flattened(tree):
        mark, style = LOOKS[step.state]
        name = Text(
            "  " * depth + step.name, style="bold" if depth == 0 else "dim" if step.state in (State.WAITING, State.SKIPPED) else ""
        )
        name.pad_right(max(NAME_WIDTH + 4 - len(name), 0))
        room = max(width - NAME_WIDTH - 20, 10)
        note = Text(step.note[:room], style=style if step.state not in (State.PASSED, State.RUNNING) else "dim")
        moving = spinner if spinner and step.state is State.RUNNING and not step.children else Text(mark, style=style)
        table.add_row(moving, name, Text(f"{clock(step):>8}", style="dim"), note)
    return table


def clock(step: Step) -> str:
    """How long it took, or takes."""
    if step.state in (State.WAITING, State.SKIPPED, State.PAUSED) or not step.seconds:
        return ""
    minutes, seconds = divmod(step.seconds, 60)
    return f"{int(minutes)}:{seconds:04.1f}" if minutes else f"{seconds:.1f} s"


def flattened(tree: Step, depth: int = 0) -> Iterator[tuple[int, Step]]:
    """Every step with its depth, parents first."""
    yield depth, tree
    for child in tree.children:
        yield from flattened(child, depth + 1)


def leaves(tree: Step, path: str = "") -> Iterator[tuple[str, Step]]:
    """Every step without children, and groups that wait for something, by the names on the way to it."""
    for child in tree.children:
        name = f"{path}{child.name}"
        if child.children:
            if child.note:
                yield name, Step(name, State.PAUSED, 0, child.note)
            yield from leaves(child, f"{name} / ")
        else:
            yield name, child
