"""How often a password may be guessed. Limits hold for the one who guesses, so that nobody can lock an owner out.

Failures are counted, in windows of 15 minutes, for a name from one address, for an address over all names, and for a name over all
addresses. A browser that has signed in before holds a device token and is counted on its own: however many others guess at a name,
its owner's browser gets in. (The idea is OWASP's "device cookies".)
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.errors import TooManyAttempts
from service.storage.protocol import Storage

WINDOW = timedelta(minutes=15)
DEVICE_LIFETIME = timedelta(days=180)
PER_DEVICE, PER_NAME_AND_ADDRESS, PER_ADDRESS, PER_NAME = 10, 10, 100, 50


@dataclass(frozen=True, slots=True)
class Source:
    """Where a guess comes from: an address, and the device token that the browser showed, if any."""

    address: str
    device: str | None = None


def begin(storage: Storage, name: str, source: Source, now: datetime) -> tuple[str, ...]:
    """Count a guess before it is checked, so that many at once do not slip through. Raises TooManyAttempts.

    The counters to give to `forgive` when the guess was right.
    """
    if source.device and storage.claimed(_device_key(source.device), now) == _key("name", name):
        limits = {_key("device", source.device): PER_DEVICE}
    else:
        limits = {
            _key("name and address", name, source.address): PER_NAME_AND_ADDRESS,
            _key("address", source.address): PER_ADDRESS,
            _key("name", name): PER_NAME,
        }
    for key, most in limits.items():
        if storage.count(key, until=now + WINDOW, now=now) > most:
            raise TooManyAttempts("too many wrong passwords; wait a quarter of an hour", retry_after=WINDOW.total_seconds())
    return tuple(limits)


def forgive(storage: Storage, counters: tuple[str, ...], now: datetime) -> None:
    """The guess was right: it does not count."""
    for key in counters:
        storage.count(key, until=now + WINDOW, now=now, by=-1)


def device_token(storage: Storage, name: str, source: Source, now: datetime) -> str:
    """The token for the browser that has just signed in: the one that it showed, or a new one."""
    if source.device and storage.claimed(_device_key(source.device), now) == _key("name", name):
        return source.device
    token = secrets.token_urlsafe(24)
    storage.claim(_device_key(token), _key("name", name), until=now + DEVICE_LIFETIME, now=now)
    return token


def _device_key(token: str) -> str:
    return _key("device of", token)


def _key(*parts: str) -> str:
    return "attempts:" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
