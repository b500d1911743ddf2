"""An event, the protocol of a store of events, and the questions that are answered by folding over them.

Nothing here writes a state down: what is live is computed from what happened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Protocol

from pipeline.errors import LedgerBroken
from pipeline.release import Release
from pipeline.verdict import Answer, Verdict

HOSTS, REGISTRY = "hosts", "registry"  # subjects of REMOVED
FIRST = "0" * 64  # what the first event names as the hash before it

ARRIVED = "arrived"  # subject: a commit; it began its way as the newest of `branch`
APPROVED = "approved"  # subject: a commit; somebody agreed that it goes to the environment
BUILT = "built"  # subject: the key of an image
RELEASED = "released"  # subject: a release
EVIDENCE = "evidence"  # subject: a commit (dependencies, tests) or a release (deploy, load)
ATTEMPTED = "attempted"  # subject: a release; a deploy to the environment began
DEPLOYED = "deployed"  # subject: a release; every host of the environment answers with it
WITHDRAWN = "withdrawn"  # subject: a release that a rollback took away
REMOVED = "removed"  # subject: `hosts` of an environment, or `registry`: what was there is gone
FAILED = "failed"  # subject: a release; the deploy ended and the release before it serves


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `detail` holds JSON values; `at` is in UTC."""

    kind: str
    subject: str
    at: datetime
    by: str
    environment: str = ""
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in its place in the chain; `hash` covers the event, its number and the hash before it."""

    number: int
    previous: str
    event: Event
    hash: str


class Ledger(Protocol):
    """Every implementation passes tests/pipeline/test_ledger.py."""

    def append(self, event: Event) -> Entry:
        """Durable when it returns. Concurrent writers are put in line."""

    def entries(self) -> tuple[Entry, ...]:
        """Everything, oldest first, verified. Raises LedgerBroken."""


def entry(number: int, previous: str, event: Event) -> Entry:
    """The event as entry `number` of the chain."""
    return Entry(number, previous, event, _digest(number, previous, event))


def to_json(item: Entry) -> dict[str, object]:
    """An entry as a flat JSON object."""
    values = asdict(item.event)
    values["at"] = item.event.at.isoformat()
    return {"number": item.number, "previous": item.previous, **values, "hash": item.hash}


def from_json(values: Mapping[str, object]) -> Entry:
    """The entry of a JSON object. Raises LedgerBroken when a field is missing or of the wrong kind."""
    try:
        detail = values["detail"]
        if not isinstance(detail, dict) or not isinstance(values["number"], int):
            raise ValueError("detail or number is of the wrong kind")
        event = Event(
            str(values["kind"]),
            str(values["subject"]),
            datetime.fromisoformat(str(values["at"])),
            str(values["by"]),
            str(values["environment"]),
            detail,
        )
        return Entry(values["number"], str(values["previous"]), event, str(values["hash"]))
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerBroken(f"a ledger entry cannot be read: {error}") from error


def verify(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The same entries, once the chain holds. Raises LedgerBroken at the first that was changed, moved or is missing."""
    previous, checked = FIRST, []
    for number, item in enumerate(entries, start=1):
        if (item.number, item.previous) != (number, previous) or item.hash != _digest(number, previous, item.event):
            raise LedgerBroken(
                f"entry {number} of the ledger is not what was written",
                hint="compare it with a copy; nothing is decided on a broken ledger",
            )
        checked.append(item)
        previous = item.hash
    return tuple(checked)


def served(events: Iterable[Event], environment: str) -> tuple[str, ...]:
    """Release ids in service on `environment`, oldest first; the last one is live now.

    A rollback takes off what came after the release that it went back to, and hosts that are removed take all.
    """
    stack: list[str] = []
    for event in events:
        if event.environment != environment:
            continue
        if event.kind == DEPLOYED and stack[-1:] != [event.subject]:
            stack.append(event.subject)
        elif event.kind == WITHDRAWN:
            withdrawn = event.detail.get("withdrawn")
            del stack[-len(withdrawn) if isinstance(withdrawn, list) else -1 :]
        elif event.kind == REMOVED:
            stack.clear()
    return tuple(stack)


def live(events: Iterable[Event], environment: str) -> str | None:
    """The release id that is live on `environment`."""
    return next(reversed(served(events, environment)), None)


def newest(events: Iterable[Event], branch: str) -> str | None:
    """The commit that arrived last on `branch`."""
    commit = None
    for event in events:
        if event.kind == ARRIVED and event.detail.get("branch") == branch:
            commit = event.subject
    return commit


def interrupted(events: Iterable[Event], environment: str) -> bool:
    """Whether the last deploy to `environment` began and never said how it ended."""
    kinds = [e.kind for e in events if e.environment == environment and e.kind in (ATTEMPTED, DEPLOYED, WITHDRAWN, FAILED, REMOVED)]
    return kinds[-1:] == [ATTEMPTED]


def releases(events: Iterable[Event]) -> dict[str, Release]:
    """All releases by id, in the order in which they were made."""
    return {e.subject: Release.from_record(e.detail) for e in events if e.kind == RELEASED}


def image_of_key(events: Iterable[Event], key: str) -> str | None:
    """The image that was built for this key and is still to be had: a registry that was removed took its images along."""
    image = None
    for e in events:
        if e.kind == BUILT and e.subject == key:
            image = str(e.detail["image"])
        elif e.kind == REMOVED and e.subject == REGISTRY:
            image = None
    return image


def evidence_event(
    gate: str, verdict: Verdict, subject: str, *, at: datetime, by: str, environment: str = "", **detail: object
) -> Event:
    """The event that records what a gate said."""
    said = {"gate": gate, "answer": verdict.answer.value, "reasons": list(verdict.reasons), **detail}
    return Event(EVIDENCE, subject, at, by, environment, said)


def latest_evidence(events: Iterable[Event], gate: str, subject: str, environment: str = "") -> Verdict | None:
    """What the gate said last of this subject; None when it never did."""
    verdict = None
    for e in events:
        if (e.kind, e.subject, e.environment, e.detail.get("gate")) == (EVIDENCE, subject, environment, gate):
            reasons = e.detail.get("reasons")
            verdict = Verdict(Answer(str(e.detail["answer"])), tuple(reasons) if isinstance(reasons, list) else ())
    return verdict


def _digest(number: int, previous: str, event: Event) -> str:
    values = asdict(event)
    values["at"] = event.at.isoformat()
    text = json.dumps([number, previous, values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
