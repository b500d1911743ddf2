"""What admins do with users, and how the first of them comes to be."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta

from service import accounts, passwords
from service.errors import LastAdmin, SetUpTokenUsed, StorageUnavailable, UserNotFound
from service.records import Role, User
from service.storage.protocol import Storage

SET_UP = "set-up token"
SET_UP_LIFETIME = timedelta(minutes=15)
LOCK, LOCK_LIFETIME = "changing admins", timedelta(seconds=10)


def offer_set_up(storage: Storage, *, now: datetime, renew: bool = False) -> str | None:
    """A one-time token for making the first admin, good for 15 minutes; None when there is an admin, or one is already offered.

    `renew` takes back the one that is offered.
    """
    if storage.admins():
        return None
    if renew and (offered := storage.claimed(SET_UP, now)):
        storage.release(SET_UP, offered, now)
    token = secrets.token_urlsafe(24)
    mine = accounts.digest(token)
    return token if storage.claim(SET_UP, mine, until=now + SET_UP_LIFETIME, now=now) == mine else None


def use_set_up(storage: Storage, token: str, name: str, password: str, *, now: datetime) -> User:
    """The first admin. Raises SetUpTokenUsed, or what `sign_up` raises; the token then stays good."""
    offered = accounts.digest(token)
    if storage.admins() or storage.claimed(SET_UP, now) != offered:
        raise SetUpTokenUsed("this set-up token is wrong, was used, or is older than 15 minutes")
    user = accounts.sign_up(storage, name, password, now=now)
    if not storage.release(SET_UP, offered, now):
        storage.delete_user(user.id)
        raise SetUpTokenUsed("this set-up token was used just now")
    return _changed(storage, user.id, role=Role.ADMIN)


def change_user(
    storage: Storage,
    user_id: str,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
    password: str | None = None,
    now: datetime,
) -> User:
    """The user as changed; a disabled one, or one with a new password, is signed out everywhere.

    Raises UserNotFound, WeakPassword, or LastAdmin.
    """
    user = _found(storage, user_id)
    if password is not None:
        passwords.require_strong(password, user.name)
    kept = passwords.hashed(password) if password is not None else None
    leaves = _is_active_admin(user) and ((role or user.role) is not Role.ADMIN or disabled)
    with _admins_locked(storage, now) if leaves else nullcontext():
        if leaves:
            _require_another_admin(storage)
        changed = _changed(storage, user_id, role=role, disabled=disabled, password_hash=kept)
    if disabled or password is not None:
        storage.end_sessions(user_id)
    return changed


def delete_user(storage: Storage, user_id: str, *, now: datetime) -> None:
    """Delete a user with everything that is theirs. Raises UserNotFound or LastAdmin."""
    if not _is_active_admin(_found(storage, user_id)):
        storage.delete_user(user_id)  # many may leave at a time
        return
    with _admins_locked(storage, now):
        _require_another_admin(storage)
        storage.delete_user(user_id)


def _is_active_admin(user: User) -> bool:
    return user.role is Role.ADMIN and not user.disabled


def _require_another_admin(storage: Storage) -> None:
    if storage.admins() <= 1:
        raise LastAdmin("this is the last admin: make somebody else one first")


@contextmanager
def _admins_locked(storage: Storage, now: datetime) -> Iterator[None]:
    """Two admins who demote each other at the same moment must not both succeed."""
    mine = secrets.token_hex(8)
    if storage.claim(LOCK, mine, until=now + LOCK_LIFETIME, now=now) != mine:
        raise StorageUnavailable("another admin is changing users just now", retry_after=2)
    try:
        yield
    finally:
        storage.release(LOCK, mine, now)


def _found(storage: Storage, user_id: str) -> User:
    user = storage.user(user_id)
    if user is None:
        raise UserNotFound(f"there is no user {user_id!r}")
    return user


def _changed(
    storage: Storage, user_id: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
) -> User:
    changed = storage.change_user(user_id, role=role, disabled=disabled, password_hash=password_hash)
    if changed is None:
        raise UserNotFound(f"there is no user {user_id!r}")
    return changed
