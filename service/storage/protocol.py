"""What the service asks of a store. Every implementation passes tests/service/test_storage.py.

Methods may be called from several threads and processes. Each one is atomic: a kill in the middle leaves it done or not done.
Times are aware datetimes in UTC; `now` is passed in, so that what has expired is not seen even before it is cleared away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from service.records import ApiToken, Pictures, Role, Run, User
from service.search import Page, Query
from service.tallies import Tally

Kind = Literal["picture", "thumbnail"]


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as kept."""

    user: User
    password_hash: str


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as kept: by the hash of its token."""

    token_hash: str
    user_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredToken:
    """An API token as kept."""

    token: ApiToken
    token_hash: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as kept; `expires_at` is None once it is saved."""

    run: Run
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """A claim as kept."""

    key: str
    value: str
    until: datetime


@dataclass(frozen=True, slots=True)
class StoredCount:
    """A counter as kept."""

    key: str
    number: int
    until: datetime


Item = StoredUser | StoredSession | StoredToken | StoredRun | StoredClaim | StoredCount | Tally


class Users(Protocol):
    """People, and how they are known again."""

    def add_user(self, user: User, password_hash: str) -> None:
        """Raises NameTaken."""

    def find_user(self, name: str) -> tuple[User, str] | None:
        """The user with exactly this name, and the stored password hash."""

    def user(self, user_id: str) -> User | None: ...

    def users(self, after: str, limit: int) -> tuple[User, ...]:
        """By name, those behind the name `after` ("" for the first)."""

    def change_user(
        self, user_id: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        """The user as changed; None means leave it. None comes back when there is no such user."""

    def admins(self) -> int:
        """How many users are admins and not disabled; need not be exact above 1."""

    def delete_user(self, user_id: str) -> bool:
        """Delete the user with sessions, tokens, runs, pictures and own tallies. What was counted for everybody stays."""

    def add_session(self, token_hash: str, user_id: str, expires_at: datetime) -> None: ...

    def session_user(self, token_hash: str, now: datetime) -> User | None:
        """The user of a session that has not expired, as the user is now."""

    def end_session(self, token_hash: str) -> None: ...

    def end_sessions(self, user_id: str) -> None:
        """End every session of the user."""

    def add_token(self, token: ApiToken, token_hash: str) -> None: ...

    def find_token(self, token_hash: str, now: datetime) -> tuple[ApiToken, User] | None:
        """The token that has not expired, and its owner as the owner is now."""

    def tokens(self, owner: str) -> tuple[ApiToken, ...]:
        """The owner's tokens, expired ones too, oldest first."""

    def touch_token(self, token_hash: str, at: datetime) -> None:
        """Note when the token was last used; an unknown one changes nothing."""

    def revoke_token(self, owner: str, token_id: str) -> bool: ...


class Runs(Protocol):
    """Predictions that wait or were saved, and their pictures."""

    def add_run(self, run: Run, pictures: Pictures, expires_at: datetime) -> None:
        """Keep an unsaved run until it expires, and add it to its tallies. The pictures are readable once this returns."""

    def run(self, owner: str, run_id: str, now: datetime) -> Run | None:
        """The owner's run; None for one that expired unsaved, or is somebody else's."""

    def save_run(self, owner: str, run_id: str, *, note: str | None, truth: str | None, now: datetime) -> Run | None:
        """The run, now saved and durable, with its index and tallies; see Run.kept. None as for `run`."""

    def runs(self, owner: str, query: Query) -> Page:
        """Saved runs of the owner, newest first. Reads at most some hundreds of index entries a call."""

    def picture(self, owner: str, run_id: str, kind: Kind, now: datetime) -> bytes | None: ...

    def picture_url(self, owner: str, run_id: str, kind: Kind, now: datetime) -> str | None:
        """An address from which a browser can read the picture for some minutes; None where the service has to send it itself."""

    def picture_origins(self) -> tuple[str, ...]:
        """Where `picture_url` leads, as origins for a Content-Security-Policy."""

    def delete_run(self, owner: str, run_id: str) -> bool:
        """Delete the run and its pictures, and take it out of every tally."""

    def adopt_runs(self, guest: str, owner: str, now: datetime) -> int:
        """Make the guest's waiting runs the owner's; tallies follow. How many there were."""

    def tallies(self, scope: str, first: date, last: date) -> tuple[Tally, ...]:
        """The tallies of a user or of EVERYBODY, both days included, by day, release and model; counts of 0 are left out."""


class Claims(Protocol):
    """Small facts with an end, for everything that must happen once: idempotency keys, one-time tokens, limits."""

    def claim(self, key: str, value: str, *, until: datetime, now: datetime) -> str:
        """The value that stands under the key: this one, if no other was claimed and lives."""

    def claimed(self, key: str, now: datetime) -> str | None: ...

    def release(self, key: str, value: str, now: datetime) -> bool:
        """Give the claim up. True for exactly one of those who release a living claim with its value."""

    def count(self, key: str, *, until: datetime, now: datetime, by: int = 1) -> int:
        """Add to a counter and give the sum. A new one, or one that has expired, starts at 0 and lives `until`; 0 only reads."""


class Upkeep(Protocol):
    """What operators do with a store as a whole."""

    def forget_expired(self, now: datetime) -> None:
        """Clear away what has expired: unsaved runs with pictures, sessions, claims, counters."""

    def items(self) -> Iterator[Item]:
        """Everything that is kept, users first; pictures are read with `pictures`."""

    def pictures(self, run: Run) -> Pictures | None:
        """The pictures of a run that `items` gave; None when it was deleted since."""

    def put(self, item: Item, pictures: Pictures | None = None) -> None:
        """Keep an item as it is, with a run's pictures and index; its tallies are items of their own."""

    def problems(self, *, mend: bool) -> Iterator[str]:
        """What does not fit together, a sentence each (a run without picture, a picture without run, …); mended if asked."""

    def close(self) -> None: ...


class Storage(Users, Runs, Claims, Upkeep, Protocol):
    """A whole store."""
