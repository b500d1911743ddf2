"""The values that cross the service's modules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Score:
    """One label of an answer; `probability` is the softmax output, 0 to 1."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, slots=True)
class Identity:
    """What answers: stamped on every prediction, so that a saved run can be traced to the release that made it."""

    release: str
    commit: str
    image: str
    lock: str
    model: str
    model_sha256: str


@dataclass(frozen=True, slots=True)
class User:
    """Someone who signed up."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Run:
    """A prediction with its picture. `saved` is false until the user keeps it; unsaved ones are forgotten after a while."""

    id: str
    owner: str
    made_at: datetime
    scores: tuple[Score, ...]
    release: str
    model: str
    media_type: str
    note: str = ""
    saved: bool = False
