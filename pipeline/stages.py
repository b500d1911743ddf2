"""The way of a commit, once: each stage is one verb of the CLI. The demo walks it, and Jenkins will."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stage:
    """`argv` is what follows `python -m pipeline`; `{commit}` stands for the commit that is shipped."""

    name: str
    argv: tuple[str, ...]


STAGES = (
    Stage("set up", ("doctor", "--install")),
    Stage("check", ("check", "--commit", "{commit}")),
    Stage("test", ("test", "--commit", "{commit}")),
    Stage("build", ("build", "--commit", "{commit}")),
    Stage("fleet", ("fleet", "up")),
    Stage("deploy to staging", ("deploy", "staging", "--commit", "{commit}")),
    Stage("load staging", ("loadtest", "staging")),
    Stage("promote to production", ("promote", "--from", "staging", "--to", "production")),
    Stage("ask production", ("ask", "production")),
)


def argv_of(stage: Stage, commit: str) -> list[str]:
    """The stage's arguments for this commit."""
    return [word.format(commit=commit) for word in stage.argv]
