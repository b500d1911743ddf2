"""Users: signing up, signing in, and who a session token belongs to."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta

from service.errors import InvalidName, NotSignedIn, WeakPassword, WrongPassword
from service.records import User
from service.storage.protocol import Storage

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 256
# scrypt with 32 MiB and p = 3, which OWASP's password storage cheat sheet names as one of its equal choices
SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_BYTES = 2**15, 8, 3, 32
_NOBODY = "00" * 16 + "$" + "00" * SCRYPT_BYTES


def sign_up(storage: Storage, name: str, password: str) -> User:
    """A new user. Raises InvalidName, WeakPassword or NameTaken."""
    if not NAME.fullmatch(name):
        raise InvalidName("a name has 2 to 32 of the characters a-z 0-9 . _ - and starts with a letter or digit")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise WeakPassword(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    user = User(secrets.token_hex(8), name)
    storage.add_user(user, _hashed(password, secrets.token_bytes(16)))
    return user


def sign_in(storage: Storage, name: str, password: str, *, now: datetime, lifetime: timedelta) -> str:
    """A session token for the user. Raises WrongPassword, in the same time for unknown names."""
    user, stored = storage.find_user(name) or (None, _NOBODY)
    salt = bytes.fromhex(stored.partition("$")[0])
    right = hmac.compare_digest(_hashed(password[:LONGEST_PASSWORD], salt), stored)
    if user is None or not right or len(password) > LONGEST_PASSWORD:
        raise WrongPassword("this name and password do not belong together")
    token = secrets.token_urlsafe(32)
    storage.end_expired_sessions(now)
    storage.add_session(_digest(token), user.id, now + lifetime)
    return token


def user_of(storage: Storage, token: str | None, *, now: datetime) -> User:
    """The user whose living session `token` is. Raises NotSignedIn."""
    user = storage.session_user(_digest(token), now) if token else None
    if user is None:
        raise NotSignedIn("sign in first")
    return user


def sign_out(storage: Storage, token: str) -> None:
    """End the session; an unknown token changes nothing."""
    storage.end_session(_digest(token))


def _hashed(password: str, salt: bytes) -> str:
    key = hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=SCRYPT_BYTES, maxmem=2**27)
    return f"{salt.hex()}${key.hex()}"


def _digest(token: str) -> str:
    """Sessions are stored by hash: a copy of the database opens none of them."""
    return hashlib.sha256(token.encode()).hexdigest()
