"""Passwords: which are taken, how they are kept and checked. Argon2id; what older releases kept with scrypt still opens."""

from __future__ import annotations

import hashlib
import hmac
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.errors import WeakPassword

SHORTEST, LONGEST = 8, 256
# OWASP's password storage cheat sheet names 46 MiB and one pass as enough; two passes take some 60 ms on one of our cores.
HASHER = PasswordHasher(time_cost=2, memory_cost=46 * 1024, parallelism=1)
SCRYPT_N, SCRYPT_R, SCRYPT_P, SCRYPT_BYTES = 2**15, 8, 3, 32  # of releases before schema 2


def require_strong(password: str, name: str) -> None:
    """Length, and nothing that attackers try first; no rules about kinds of characters. Raises WeakPassword."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPassword(f"a password has {SHORTEST} to {LONGEST} characters")
    if password.casefold() in _well_known():
        raise WeakPassword("this password is one of those that are tried first; take another, a few words for example")
    if name in password.casefold() and not password.casefold().replace(name, "").strip("0123456789!.-_ "):
        raise WeakPassword("the password is hardly more than the name")


def hashed(password: str) -> str:
    """What to keep of a password."""
    return HASHER.hash(password)


def belongs(password: str, stored: str) -> bool:
    """Whether `stored` was made from exactly this password; as slow for a stored hash that is none."""
    if len(password) > LONGEST:
        return False
    if not stored.startswith("$argon2"):
        salt, _, key = stored.partition("$")
        return bool(key) and hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), key)
    try:
        return HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def outdated(stored: str) -> bool:
    """Whether a stored hash was made with less than what is made now."""
    return not stored.startswith("$argon2") or HASHER.check_needs_rehash(stored)


@cache
def nobodys() -> str:
    """A hash to check against for names that nobody has, so that they take as long as others."""
    return hashed("nobody has this password, and nobody has this name")


@cache
def _well_known() -> frozenset[str]:
    """30,000 passwords that people use most, from the leaks that zxcvbn's authors ranked."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415  0.1 s that only who makes a password waits for

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= SHORTEST)


def _scrypt(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, dklen=SCRYPT_BYTES, maxmem=2**27).hex()
