"""What the service asks of a store. Every implementation passes tests/service/test_storage.py."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from service.records import Run, User


class Storage(Protocol):
    """Safe to call from several threads and from several processes."""

    def add_user(self, user: User, password_hash: str) -> None:
        """Raises NameTaken."""

    def find_user(self, name: str) -> tuple[User, str] | None:
        """The user with this name and the stored password hash."""

    def add_session(self, token_hash: str, user_id: str, expires_at: datetime) -> None: ...

    def session_user(self, token_hash: str, now: datetime) -> User | None:
        """The user of a session that has not expired."""

    def end_session(self, token_hash: str) -> None: ...

    def end_expired_sessions(self, now: datetime) -> None: ...

    def add_run(self, run: Run, picture: bytes) -> None: ...

    def save_run(self, owner: str, run_id: str, note: str) -> Run | None:
        """The run, now saved; None when this owner has none of that id."""

    def saved_runs(self, owner: str, limit: int) -> tuple[Run, ...]:
        """Newest first."""

    def run(self, owner: str, run_id: str) -> tuple[Run, bytes] | None: ...

    def forget_unsaved(self, before: datetime) -> None:
        """Delete what was never saved and was made before that time."""

    def close(self) -> None: ...
