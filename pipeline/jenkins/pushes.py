"""What a push starts on a Jenkins: its multibranch job looks at the branches, and builds every new revision once, by itself.

Starting the build ourselves would leave the revision unseen, and the next look would build it a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.errors import PipelineError
from pipeline.jenkins.answers import AnswerLost, NotThere
from pipeline.jenkins.connection import Connection, pauses
from pipeline.jenkins.names import job_path
from pipeline.jenkins.replies import Build
from pipeline.jenkins.trigger import build_of

RECENT = 30
REVISIONS_TREE = f"builds[number,building,actions[lastBuiltRevision[SHA1]]]{{0,{RECENT}}}"


def look(connection: Connection, project: str) -> None:
    """Have the multibranch job `project` look at its branches now. Looking twice does no harm, so a lost answer is let be."""
    try:
        connection.post(f"{job_path(project)}/build", params={"delay": "0"})
    except AnswerLost:
        return


def wait(connection: Connection, job: str, commit: str, on_reason: Callable[[str], None], seconds: float) -> Build:
    """The newest build of `commit`, once Jenkins has begun it. Raises PipelineError after `seconds`.

    A build names its revision once an agent has checked it out, so this may take as long as an agent takes to come.
    """
    clock, pause, known = connection.clock, pauses(), ""
    give_up = clock.now() + seconds
    while True:
        try:
            path = f"{job_path(job)}/api/json"
            number, unnamed = connection.read(path, lambda document: newest_of(document, commit), tree=REVISIONS_TREE)
            reason = (
                f"{job} #{unnamed} has begun, and no agent has checked it out yet" if unnamed else f"{job} has no build of it yet"
            )
        except NotThere:
            number, reason = 0, f"jenkins has no job {job} yet"
        if number:
            return build_of(connection, job, number)
        if reason != known:
            on_reason(reason)
        delay = pause(reason != known)
        known = reason
        if clock.now() + delay > give_up:
            raise PipelineError(f"no build of {commit[:12]} within {seconds:.0f} s: {reason}", hint="the log of its scan says why")
        clock.sleep(delay)


def newest_of(document: Mapping[str, Any], commit: str) -> tuple[int, int]:
    """The newest build of the commit, and the newest that is under way and has not said which it builds; 0 where there is none."""
    unnamed = 0
    for build in document["builds"]:
        revisions = {(action or {}).get("lastBuiltRevision", {}).get("SHA1") for action in build.get("actions") or ()} - {None}
        if commit in revisions:
            return int(build["number"]), 0
        if not revisions and build.get("building"):
            unnamed = unnamed or int(build["number"])
    return 0, unnamed
