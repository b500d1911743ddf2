"""Users: signing up, signing in and out, and who a session belongs to."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from service import attempts, passwords
from service.attempts import Source
from service.errors import InvalidName, NotSignedIn, WrongPassword
from service.records import GUEST, Role, User
from service.storage.protocol import Storage

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, the token of the new session, and the one by which the browser is known again."""

    user: User
    token: str
    device: str


def sign_up(storage: Storage, name: str, password: str, *, now: datetime, role: Role = Role.VIEWER) -> User:
    """A new user. Raises InvalidName, WeakPassword or NameTaken."""
    if not NAME.fullmatch(name):
        raise InvalidName("a name has 2 to 32 of the characters a-z 0-9 . _ - and starts with a letter or digit")
    passwords.require_strong(password, name)
    user = User(secrets.token_hex(8), name, role, now)
    storage.add_user(user, passwords.hashed(password))
    return user


def sign_in(storage: Storage, name: str, password: str, source: Source, *, now: datetime, lifetime: timedelta) -> SignedIn:
    """A session for the user. Raises TooManyAttempts, or WrongPassword in the same time for unknown names."""
    name = name[:64]
    counters = attempts.begin(storage, name, source, now)
    user, stored = storage.find_user(name) or (None, passwords.nobodys())
    right = passwords.belongs(password, stored)
    if user is None or not right or user.disabled:
        raise WrongPassword("this name and password do not belong together")
    attempts.forgive(storage, counters, now)
    if passwords.outdated(stored):
        storage.change_user(user.id, password_hash=passwords.hashed(password))
    return SignedIn(
        user, start_session(storage, user, now=now, lifetime=lifetime), attempts.device_token(storage, name, source, now)
    )


def start_session(storage: Storage, user: User, *, now: datetime, lifetime: timedelta) -> str:
    """The token of a new session."""
    token = secrets.token_urlsafe(32)
    storage.add_session(digest(token), user.id, now + lifetime)
    return token


def session_user(storage: Storage, token: str | None, *, now: datetime) -> User:
    """The user whose living session `token` is. Raises NotSignedIn."""
    user = storage.session_user(digest(token), now) if token else None
    if user is None or user.disabled:
        raise NotSignedIn("sign in first")
    return user


def sign_out(storage: Storage, token: str) -> None:
    """End the session; an unknown token changes nothing."""
    storage.end_session(digest(token))


def change_password(storage: Storage, user: User, old: str, new: str, source: Source, *, now: datetime) -> None:
    """Take the new password and end every session of the user. Raises WrongPassword, TooManyAttempts or WeakPassword."""
    require_password(storage, user, old, source, now=now)
    passwords.require_strong(new, user.name)
    storage.change_user(user.id, password_hash=passwords.hashed(new))
    storage.end_sessions(user.id)


def require_password(storage: Storage, user: User, password: str, source: Source, *, now: datetime) -> None:
    """What cannot be undone asks for the password once more. Raises WrongPassword or TooManyAttempts."""
    counters = attempts.begin(storage, user.name, source, now)
    found = storage.find_user(user.name)
    if found is None or not passwords.belongs(password, found[1]):
        raise WrongPassword("this is not your password")
    attempts.forgive(storage, counters, now)


def guest_id(token: str) -> str:
    """Whose the unsaved runs of a browser are that has not signed in, from its guest cookie."""
    return GUEST + digest(token)[:24]


def digest(token: str) -> str:
    """Tokens are stored by hash: a copy of the store opens none of them."""
    return hashlib.sha256(token.encode()).hexdigest()
