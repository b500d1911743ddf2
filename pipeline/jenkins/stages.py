"""The stages of a build as a tree of steps. Jenkins gives them as one flat list; `groups` says which of them belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.progress import State, Step, worst

# com.cloudbees.workflow.rest.external.StatusExt
STATUS = {
    "NOT_EXECUTED": State.SKIPPED,
    "SKIPPED": State.SKIPPED,
    "ABORTED": State.ABORTED,
    "SUCCESS": State.PASSED,
    "IN_PROGRESS": State.RUNNING,
    "PAUSED_PENDING_INPUT": State.PAUSED,
    "FAILED": State.REFUSED,
    "UNSTABLE": State.REFUSED,
}
COULD_NOT_FIND_OUT = "exit code 3"  # how the `sh` step ends that ran a verb which could not


@dataclass(slots=True)
class _Row:
    step: Step
    began: float
    members: list[_Row] = field(default_factory=list)

    @property
    def ended(self) -> float:
        return self.began + self.step.seconds


def tree(document: Mapping[str, Any], name: str, groups: Mapping[str, Sequence[str]]) -> Step:
    """The build called `name` from its `wfapi/describe`. `groups` has name of a group -> names of its stages, in any order."""
    owners = {member: group for group, members in groups.items() for member in members}
    top: dict[str, _Row] = {}
    for entry in document["stages"]:
        row = _Row(_step(entry), float(entry.get("startTimeMillis") or 0) / 1000)
        group = owners.get(row.step.name)
        if group is None:
            # A name may stand twice, as that of a stage and of something that a library runs: both are kept.
            top[row.step.name if row.step.name not in top else f"{row.step.name} {entry.get('id', len(top))}"] = row
        else:
            top.setdefault(group, _Row(Step(group, State.WAITING), row.began)).members.append(row)
    status = str(document["status"])
    state = State.SUPERSEDED if status == "NOT_EXECUTED" else STATUS.get(status, State.RUNNING)
    return Step(name, state, _seconds(document), "", tuple(_grouped(row) for row in top.values()))


def _step(entry: Mapping[str, Any]) -> Step:
    note = str((entry.get("error") or {}).get("message") or "")
    state = STATUS.get(str(entry["status"]), State.RUNNING)
    if state is State.REFUSED and note.endswith(COULD_NOT_FIND_OUT):
        state = State.FAILED
    return Step(str(entry["name"]), state, _seconds(entry), note)


def _grouped(row: _Row) -> Step:
    if not row.members:
        return row.step
    steps = tuple(member.step for member in row.members)
    begun = [member for member in row.members if member.began]
    seconds = max(member.ended for member in begun) - min(member.began for member in begun) if begun else 0.0
    return Step(row.step.name, worst([step.state for step in steps]), round(seconds, 3), "", steps)


def _seconds(entry: Mapping[str, Any]) -> float:
    return max(float(entry.get("durationMillis") or 0), 0) / 1000
