from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.progress import State, Step, worst
from pipeline.tree import TreeView, drawn

GATES = Step(
    "gates", State.RUNNING, 3.0, "", (Step("tests", State.RUNNING, 3.0, "[ 41%]"), Step("lint", State.PASSED, 2.0, "lint"))
)
TREE = Step(
    "run 1", State.RUNNING, 65.25, "", (Step("arrive", State.PASSED, 0.5, "abc on main"), GATES, Step("build", State.WAITING))
)


def test_a_log_has_one_line_for_what_has_ended(capfd: pytest.CaptureFixture[str]):
    with TreeView() as view:
        for _ in range(3):
            view.show(TREE)
    lines = [" ".join(line.split()) for line in capfd.readouterr().err.splitlines()]
    assert lines == ["passed arrive 0.5 s abc on main", "passed gates / lint 2.0 s lint"]


def test_a_log_has_no_control_characters_and_markup_stays_text(capfd: pytest.CaptureFixture[str]):
    with TreeView() as view:
        view.line("[bold]as it is[/bold]")
        view.show(Step("run 1", State.REFUSED, 1, "", (Step("tests", State.REFUSED, 1.0, "[red]no[/red]"),)))
    said = capfd.readouterr().err
    assert "\x1b" not in said
    assert "[bold]as it is[/bold]" in said
    assert "[red]no[/red]" in said


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_tree_fits_its_terminal(width: int):
    page = io.StringIO()
    Console(file=page, width=width).print(drawn(TREE, width))
    lines = page.getvalue().splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= width


def test_a_tree_shows_names_times_and_the_last_thing_said():
    page = io.StringIO()
    Console(file=page, width=120).print(drawn(TREE, 120))
    rows = [line.split() for line in page.getvalue().splitlines()]
    assert rows[0][1:] == ["run", "1", "1:05.2"]
    assert rows[3] == ["*", "tests", "3.0", "s", "[", "41%]"]
    assert rows[5] == ["·", "build"]


@pytest.mark.parametrize(("states", "whole"), [
    ([State.PASSED, State.REFUSED, State.RUNNING], State.REFUSED),
    ([State.PASSED, State.WAITING], State.RUNNING),
    ([State.WAITING, State.SKIPPED], State.WAITING),
    ([State.PASSED, State.SKIPPED], State.PASSED),
    ([State.SKIPPED], State.SKIPPED),
    ([], State.SKIPPED),
])  # fmt: skip
def test_a_whole_is_in_the_state_that_its_parts_make(states: list[State], whole: State):
    assert worst(states) is whole
