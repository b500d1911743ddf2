"""The values that cross the service's modules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

GUEST = "guest-"  # how the owner of a guest's unsaved runs begins; no user's id begins so


class Role(StrEnum):
    """What a user may do. Each role may do what the ones before it may."""

    VIEWER = "viewer"  # recognise pictures, keep runs, see their own dashboard
    OPERATOR = "operator"  # see the dashboard of everybody's predictions
    ADMIN = "admin"  # manage users

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Scope(StrEnum):
    """What an API token may be used for; a session may be used for everything."""

    PREDICT = "predict"
    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


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
    """Someone with an account. A disabled user keeps the data and can do nothing."""

    id: str
    name: str
    role: Role
    created_at: datetime
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A key for programs: it acts for its owner, within its scopes, until it expires or is revoked."""

    id: str
    owner: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is kept of an upload: upright, without metadata, re-encoded. `media_type` is the picture's; a thumbnail is a JPEG."""

    picture: bytes
    thumbnail: bytes
    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Run:
    """A prediction that its user may save, or has saved. `owner` is a user's id, or a guest's until that guest signs in.

    `milliseconds` is the time from the picture's arrival to its answer; `truth` is what the user says it shows, "" for nothing.
    """

    id: str
    owner: str
    made_at: datetime
    scores: tuple[Score, ...]
    release: str
    model: str
    media_type: str
    width: int
    height: int
    size: int
    milliseconds: float
    note: str = ""
    truth: str = ""
    saved_at: datetime | None = None

    @property
    def saved(self) -> bool:
        """Whether the user has kept it; unsaved ones are forgotten after a while."""
        return self.saved_at is not None

    @property
    def top(self) -> Score:
        """The most probable label."""
        return self.scores[0]

    def kept(self, at: datetime, note: str | None, truth: str | None) -> Run:
        """This run, saved; None leaves note or truth as it is, and the first save's time stays."""
        return replace(
            self,
            saved_at=self.saved_at or at,
            note=self.note if note is None else note,
            truth=self.truth if truth is None else truth,
        )
