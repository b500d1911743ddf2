"""Who is asking, and what they may do: sessions all that the user's role covers, API tokens only what they were made for."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from service import accounts
from service.errors import MalformedRequest, NotAllowed, NotSignedIn, ScopeMissing, TokenNotFound
from service.records import ApiToken, Role, Scope, User
from service.storage.protocol import Storage

PREFIX = "slipway_"  # so that scanners recognise a token that was committed by accident
LONGEST_LIFETIME = timedelta(days=366)
MOST_TOKENS = 50
TOUCHED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, by session (`token` is None) or by API token."""

    user: User
    token: ApiToken | None = None

    def require(self, role: Role, scope: Scope | None) -> None:
        """Raises NotAllowed or ScopeMissing; a scope of None is one that no API token has."""
        if not self.user.role.covers(role):
            raise NotAllowed(f"this needs the role {role}; yours is {self.user.role}")
        if self.token and scope is None:
            raise ScopeMissing("this needs a session: no API token may do it")
        if self.token and scope not in self.token.scopes:
            raise ScopeMissing(f"this needs an API token with the scope {scope!r}; this one has {' '.join(self.token.scopes)}")


def caller_of(storage: Storage, token: str | None, *, now: datetime) -> Caller:
    """The one whose living session or API token it is. Raises NotSignedIn."""
    if token is None or not token.startswith(PREFIX):
        return Caller(accounts.session_user(storage, token, now=now))
    found = storage.find_token(accounts.digest(token), now)
    if found is None or found[1].disabled:
        raise NotSignedIn("this API token is unknown, was revoked, or has expired")
    if found[0].last_used_at is None or now - found[0].last_used_at > TOUCHED_EVERY:
        storage.touch_token(accounts.digest(token), now)
    return Caller(found[1], found[0])


def make_token(
    storage: Storage, owner: User, name: str, scopes: tuple[Scope, ...], lifetime: timedelta, *, now: datetime
) -> tuple[ApiToken, str]:
    """A new token and its secret, which is shown this once. Raises MalformedRequest."""
    if not 1 <= len(name) <= 60:
        raise MalformedRequest("a token has a name of 1 to 60 characters")
    if not scopes:
        raise MalformedRequest(f"a token has at least one scope of {', '.join(Scope)}")
    if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise MalformedRequest(f"a token lives at most {LONGEST_LIFETIME.days} days")
    if len(storage.tokens(owner.id)) >= MOST_TOKENS:
        raise MalformedRequest(f"a user has at most {MOST_TOKENS} tokens: revoke one first")
    secret = PREFIX + secrets.token_urlsafe(32)
    token = ApiToken(secrets.token_hex(8), owner.id, name, tuple(sorted(set(scopes))), now, now + lifetime)
    storage.add_token(token, accounts.digest(secret))
    return token, secret


def revoke_token(storage: Storage, owner: User, token_id: str) -> None:
    """End a token of this user. Raises TokenNotFound."""
    if not storage.revoke_token(owner.id, token_id):
        raise TokenNotFound(f"you have no API token {token_id!r}")
