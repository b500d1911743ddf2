"""How far a run has come: a tree of steps with their states and times, the same for a run on this machine and one on Jenkins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    WAITING = "waiting"  # its turn has not come
    RUNNING = "running"
    PAUSED = "paused"  # a person has to say something
    PASSED = "passed"
    REFUSED = "refused"  # a gate said no, or a person did
    FAILED = "failed"  # could not find out
    SUPERSEDED = "superseded"  # a newer commit takes its place
    ABORTED = "aborted"
    SKIPPED = "skipped"

    @property
    def over(self) -> bool:
        """Whether nothing more happens by itself or by anybody."""
        return self not in (State.WAITING, State.RUNNING, State.PAUSED)


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `seconds` is how long it has taken so far, `note` the last or most telling thing that it said."""

    name: str
    state: State
    seconds: float = 0.0
    note: str = ""
    children: tuple[Step, ...] = ()


def worst(states: Sequence[State]) -> State:
    """The state of something whose parts are in these states."""
    order = (
        State.REFUSED, State.FAILED, State.ABORTED, State.SUPERSEDED, State.RUNNING, State.PAUSED,
    )  # fmt: skip
    for state in order:
        if state in states:
            return state
    if State.WAITING in states:
        return State.WAITING if all(s in (State.WAITING, State.SKIPPED) for s in states) else State.RUNNING
    return State.PASSED if State.PASSED in states else State.SKIPPED
