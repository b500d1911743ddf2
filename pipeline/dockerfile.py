"""Reading a Dockerfile: one stage of it, so that an engine without BuildKit builds that stage and not the ones before."""

from __future__ import annotations

import re

from pipeline.errors import UsageError

FROM = re.compile(r"^FROM\s+\S+\s+AS\s+(\S+)\s*$", re.IGNORECASE)


def stage_of(dockerfile: str, stage: str) -> str:
    """The lines before the first FROM, and the stage called `stage`. Raises UsageError when there is none."""
    head: list[str] = []
    stages: dict[str, list[str]] = {}
    lines = head
    for line in dockerfile.splitlines():
        if match := FROM.match(line):
            lines = stages.setdefault(match[1].lower(), [])
        lines.append(line)
    if stage.lower() not in stages:
        raise UsageError(f"the Dockerfile has no stage {stage!r}")
    return "\n".join([*head, *stages[stage.lower()], ""])
