"""How the records lie in the table: their keys, and their attributes and back. Pure.

    USER#id    PROFILE            a user              SESSION#hash      SESSION            a session
    USER#id    TOKEN#id           where a token is    TOKEN#hash        TOKEN              a token
    NAMES      NAME#name          whose name it is    RUN#owner         RUN#id             a run
    ADMINS     ADMIN#id           an admin            RUNS#owner#term   time#id            a saved run under a term
    CLAIM#key  CLAIM              a claim             TALLY#scope       day#release#model  a tally (of everybody: in shards)
    COUNT#key  COUNT              a counter           GONE#id           GONE               a user who was deleted

What ends has `ends`, the very moment, and `expires`, the epoch second at which DynamoDB may clear it away, which it does late.
"""

from __future__ import annotations

import json
import math
from dataclasses import astuple, fields
from datetime import UTC, date, datetime
from hashlib import sha256
from zlib import crc32

from service.records import ApiToken, Role, Run, Scope, Score, User
from service.search import Place, terms_of
from service.storage.aws.table import Attributes, Key, Value
from service.storage.protocol import StoredClaim, StoredCount
from service.tallies import EVERYBODY, Tally

NAMES, ADMINS = "NAMES", "ADMINS"
ALL_SAVED = "*"  # in a key, which may not be empty, the term ""
SHARDS = 8  # of everybody's tallies: two transactions that change one item are one after the other
COUNT = "n:"  # before the names of counts, lest one is called pk. A tally holds some 8,000 of them, DynamoDB's 400 KB
_LONGEST = 800  # bytes of a key's part; a sort key may have 1,024


def joined(*parts: str) -> str:
    """The parts as one key, which no other parts have. What people make too long ends in its hash."""
    text = "#".join(part.replace("%", "%25").replace("#", "%23") for part in parts)
    return text if len(text.encode()) <= _LONGEST else f"{text[:100]}#{sha256(text.encode()).hexdigest()}"


def parted(text: str) -> list[str]:
    """What was joined."""
    return [part.replace("%23", "#").replace("%25", "%") for part in text.split("#")]


def user_key(user_id: str) -> Key:
    return Key(joined("USER", user_id), "PROFILE")


def name_key(name: str) -> Key:
    return Key(NAMES, joined("NAME", name))


def admin_key(user_id: str) -> Key:
    return Key(ADMINS, joined("ADMIN", user_id))


def gone_key(user_id: str) -> Key:
    return Key(joined("GONE", user_id), "GONE")


def session_key(token_hash: str) -> Key:
    return Key(joined("SESSION", token_hash), "SESSION")


def token_key(token_hash: str) -> Key:
    return Key(joined("TOKEN", token_hash), "TOKEN")


def owned_token_key(owner: str, token_id: str) -> Key:
    return Key(joined("USER", owner), joined("TOKEN", token_id))


def run_key(owner: str, run_id: str) -> Key:
    return Key(joined("RUN", owner), joined("RUN", run_id))


def listing(owner: str, term: str) -> str:
    """The partition of the owner's saved runs under a term."""
    return joined("RUNS", owner, term or ALL_SAVED)


def entries(run: Run | None) -> set[Key]:
    """Where a run is listed; nowhere until it is saved."""
    if run is None or not run.saved:
        return set()
    sk = f"{stamp(run.made_at)}#{run.id}"
    return {Key(listing(run.owner, term), sk) for term in {"", *terms_of(run)}}


def place_of(entry: Attributes) -> Place:
    """The place of the run that an entry stands for."""
    made_at, _, run_id = str(entry["sk"]).partition("#")
    return Place(datetime.fromisoformat(made_at), run_id)


def tallies_of(scope: str, shard: int) -> str:
    """The partition of a scope's tallies."""
    return joined("TALLY", scope, str(shard)) if scope == EVERYBODY else joined("TALLY", scope)


def key_of_tally(tally: Tally, shard: int) -> Key:
    return Key(tallies_of(tally.scope, shard), joined(tally.day.isoformat(), tally.release, tally.model))


def shards_of(scope: str) -> range:
    """The shards of a scope's tallies."""
    return range(SHARDS if scope == EVERYBODY else 1)


def shard_of(run: Run, scope: str) -> int:
    """Where a run counts, whenever it counts."""
    return crc32(run.id.encode()) % len(shards_of(scope))


def claim_key(key: str) -> Key:
    return Key(joined("CLAIM", key), "CLAIM")


def count_key(key: str) -> Key:
    return Key(joined("COUNT", key), "COUNT")


def stamp(at: datetime) -> str:
    """A time as text of one width, which sorts as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def ending(at: datetime | None) -> Attributes:
    """What says when an item ends, if it does."""
    return {"ends": stamp(at), "expires": math.ceil(at.timestamp())} if at else {}


def end_of(item: Attributes) -> datetime | None:
    return datetime.fromisoformat(str(item["ends"])) if "ends" in item else None


def lives(item: Attributes, now: datetime) -> bool:
    return "ends" not in item or str(item["ends"]) > stamp(now)


def item(key: Key, kind: str, record: User | ApiToken | Run | None = None, /, **more: Value) -> Attributes:
    """An item of a kind that holds the record's fields; what is None is left out."""
    values = {field.name: getattr(record, field.name) for field in fields(record)} if record else {}
    held = {name: _plain(value) for name, value in values.items() if value is not None}
    return {**key._asdict(), "kind": kind, **held, **more}


def name_item(user: User) -> Attributes:
    """The name is taken, and whose it is."""
    return item(name_key(user.name), "name", id=user.id)


def user(item: Attributes) -> User:
    made = datetime.fromisoformat(str(item["created_at"]))
    return User(str(item["id"]), str(item["name"]), Role(str(item["role"])), made, bool(item["disabled"]))


def token(item: Attributes) -> ApiToken:
    created, expires = (datetime.fromisoformat(str(item[name])) for name in ("created_at", "expires_at"))
    used = datetime.fromisoformat(str(item["last_used_at"])) if "last_used_at" in item else None
    scopes = tuple(Scope(scope) for scope in json.loads(str(item["scopes"])))
    return ApiToken(str(item["id"]), str(item["owner"]), str(item["name"]), scopes, created, expires, used)


def owned_token_item(token: ApiToken, token_hash: str) -> Attributes:
    """The token is the owner's, and where it lies."""
    return item(owned_token_key(token.owner, token.id), "owned token", id=token.id, hash=token_hash)


def run(item: Attributes) -> Run:
    return Run(
        id=str(item["id"]),
        owner=str(item["owner"]),
        made_at=datetime.fromisoformat(str(item["made_at"])),
        scores=tuple(Score(*score) for score in json.loads(str(item["scores"]))),
        release=str(item["release"]),
        model=str(item["model"]),
        media_type=str(item["media_type"]),
        width=int(item["width"]),
        height=int(item["height"]),
        size=int(item["size"]),
        milliseconds=float(item["milliseconds"]),
        note=str(item["note"]),
        truth=str(item["truth"]),
        saved_at=datetime.fromisoformat(str(item["saved_at"])) if "saved_at" in item else None,
    )


def tally(item: Attributes) -> Tally:
    scope, day, release, model = json.loads(str(item["about"]))
    counts = {name.removeprefix(COUNT): int(n) for name, n in sorted(item.items()) if name.startswith(COUNT) and n}
    return Tally(scope, date.fromisoformat(day), release, model, counts)


def tally_item(tally: Tally) -> Attributes:
    """The tally in one shard."""
    return {**key_of_tally(tally, 0)._asdict(), **about(tally), **{COUNT + name: n for name, n in tally.counts.items()}}


def about(tally: Tally) -> Attributes:
    """What a tally's item says beside its counts."""
    return {"kind": "tally", "about": json.dumps([tally.scope, tally.day.isoformat(), tally.release, tally.model])}


def claim_item(claim: StoredClaim) -> Attributes:
    return item(claim_key(claim.key), "claim", id=claim.key, held=claim.value, **ending(claim.until))


def claim(item: Attributes) -> StoredClaim:
    return StoredClaim(str(item["id"]), str(item["held"]), datetime.fromisoformat(str(item["ends"])))


def count_item(count: StoredCount) -> Attributes:
    return item(count_key(count.key), "count", id=count.key, amount=count.number, **ending(count.until))


def count(item: Attributes) -> StoredCount:
    return StoredCount(str(item["id"]), int(item["amount"]), datetime.fromisoformat(str(item["ends"])))


def _plain(value: object) -> Value:
    """DynamoDB's numbers are decimal: a double comes back the same from JSON alone."""
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, float | tuple):
        return json.dumps(value, default=astuple)
    assert isinstance(value, str | int)
    return value
