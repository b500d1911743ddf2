"""The way of a commit, once: every stage is one verb of the CLI, and says when, where and under whose lock it is walked.

The local runner walks this list, and `make demo` with it; tests hold the Jenkinsfile against it in every situation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum

MAIN = "main"  # the branch whose commits go to environments


class Action(StrEnum):
    """What a run is for."""

    SHIP = "ship"  # walk the whole way with a commit
    PROMOTE = "promote"  # put a release that exists on an environment
    ROLLBACK = "rollback"  # go back to a release that was live before


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which stages are walked. `environment` is how far a commit is shipped, or where a release is put.

    `branch` is what was pushed: the name of a branch, or of a tag when `tag` says so.
    """

    commit: str
    branch: str = MAIN
    tag: bool = False
    action: Action = Action.SHIP
    environment: str = "production"
    release: str = ""
    load: str = "steady"


Condition = Callable[[Situation], bool]


@dataclass(frozen=True, slots=True)
class Stage:
    """One call of the CLI. `argv` is what follows `python -m pipeline`; words in braces are fields of the situation.

    `agent` is the kind of machine that it needs: `cpu` builds, `deploy` reaches the hosts. `attempts` is how often it is tried
    while it ends with 3, could not find out. `ends_quietly`: its no ends the run without anybody being to blame.
    """

    name: str
    argv: tuple[str, ...]
    agent: str
    when: Condition
    attempts: int = 1
    ends_quietly: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """A person of `submitters` has to agree; nobody waits longer than `hours`."""

    name: str
    question: str
    submitters: str
    hours: int
    when: Condition


@dataclass(frozen=True, slots=True)
class Group:
    """Stages that belong together: walked side by side, or one after the other while nobody else may touch `environment`."""

    name: str
    when: Condition
    stages: tuple[Stage, ...]
    parallel: bool = False
    environment: str = ""


Node = Stage | Approval | Group


def ships(s: Situation) -> bool:
    return s.action == Action.SHIP


def promotes(s: Situation) -> bool:
    return s.action == Action.PROMOTE


def rolls_back(s: Situation) -> bool:
    return s.action == Action.ROLLBACK


def may_leave(s: Situation) -> bool:
    """Other branches stop after the build."""
    return s.branch == MAIN or s.tag


def ships_from_here(s: Situation) -> bool:
    return ships(s) and may_leave(s)


def touches_staging(s: Situation) -> bool:
    return may_leave(s) and (ships(s) or s.environment == "staging")


def touches_production(s: Situation) -> bool:
    return may_leave(s) and s.environment == "production"


def needs_approval(s: Situation) -> bool:
    """A tag is an approval itself, and the way back has to be short."""
    return touches_production(s) and not s.tag and not rolls_back(s)


def forward(s: Situation) -> bool:
    return not rolls_back(s)


def always(_: Situation) -> bool:
    return True


OF_COMMIT = ("--commit", "{commit}")
WAY: tuple[Node, ...] = (
    Stage("arrive", ("arrive", *OF_COMMIT, "--branch", "{branch}"), "cpu", ships),
    Group(
        "gates",
        ships,
        (
            Stage("dependencies", ("check", *OF_COMMIT), "cpu", always),
            Stage("tests", ("test", *OF_COMMIT), "cpu", always),
            Stage("lint", ("lint", *OF_COMMIT), "cpu", always),
        ),
        parallel=True,
    ),
    Stage("build", ("build", *OF_COMMIT), "cpu", ships, attempts=2),
    Stage("newest", ("newest", *OF_COMMIT, "--branch", "{branch}"), "cpu", ships_from_here, ends_quietly=True),
    Group(
        "staging",
        touches_staging,
        (
            Stage("staging hosts", ("fleet", "up", "staging"), "deploy", forward, attempts=3),
            Stage("deploy to staging", ("deploy", "staging", *OF_COMMIT, "--newest-of", "{branch}"), "deploy", ships, attempts=2),
            Stage("put a release on staging", ("deploy", "staging", "--release", "{release}"), "deploy", promotes, attempts=2),
            Stage("roll staging back", ("rollback", "staging", "--release", "{release}"), "deploy", rolls_back, attempts=2),
            Stage("load staging", ("loadtest", "staging", "--shape", "{load}"), "deploy", forward, attempts=2),
        ),
        environment="staging",
    ),
    Approval("approve", "Promote to production?", "promoters", 24, needs_approval),
    Group(
        "production",
        touches_production,
        (
            Stage("production hosts", ("fleet", "up", "production"), "deploy", forward, attempts=3),
            Stage(
                "promote to production",
                ("promote", "--from", "staging", "--to", "production", *OF_COMMIT),
                "deploy",
                ships,
                attempts=2,
            ),
            Stage(
                "put a release on production",
                ("deploy", "production", "--release", "{release}", "--under-load"),
                "deploy",
                promotes,
                attempts=2,
            ),
            Stage("roll production back", ("rollback", "production", "--release", "{release}"), "deploy", rolls_back, attempts=2),
            Stage("ask production", ("ask", "production"), "deploy", always, attempts=3),
        ),
        environment="production",
    ),
)


SET_UP = Stage("set up", ("doctor", "--install"), "cpu", always)  # on a machine of one's own; an agent is an image that has it all


def argv_of(stage: Stage, situation: Situation) -> list[str]:
    """What follows `python -m pipeline` for this stage in this situation."""
    values = {
        "commit": situation.commit, "branch": situation.branch, "release": situation.release, "load": situation.load,
    }  # fmt: skip
    words = [word.format_map(values) for word in stage.argv]
    return ["--attempts", str(stage.attempts), *words] if stage.attempts > 1 else words


def planned(situation: Situation) -> Iterator[Node]:
    """The nodes that are walked in this situation, in order; groups with only the stages that are."""
    for node in WAY:
        if not node.when(situation):
            continue
        if isinstance(node, Group):
            stages = tuple(stage for stage in node.stages if stage.when(situation))
            yield Group(node.name, node.when, stages, node.parallel, node.environment)
        else:
            yield node


def stages_of(situation: Situation) -> tuple[Stage, ...]:
    """All stages that are walked in this situation, groups opened."""
    found: list[Stage] = []
    for node in planned(situation):
        found += node.stages if isinstance(node, Group) else [node] if isinstance(node, Stage) else []
    return tuple(found)


def from_json(values: object) -> Situation:
    """The situation of a JSON object. Raises KeyError, TypeError or ValueError."""
    if not isinstance(values, dict):
        raise TypeError("a situation is an object")
    found = {f.name: values[f.name] for f in fields(Situation)}
    return Situation(**{**found, "action": Action(found["action"])})
