"""Users, sessions and tokens in the table."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from service.errors import NameTaken
from service.records import ApiToken, Role, User
from service.storage.aws import layout
from service.storage.aws.bucket import Bucket
from service.storage.aws.clients import Patience
from service.storage.aws.runs import clear_runs
from service.storage.aws.table import HIGHEST, Attributes, Table, Value, Write, delete, put, update


class AwsUsers:
    """A session lives as long as its user is of the generation in which it began: one write ends them all."""

    _table: Table
    _bucket: Bucket

    def add_user(self, user: User, password_hash: str) -> None:
        if not self._table.write(*new_user(user, password_hash, "attribute_not_exists(pk)")):
            raise NameTaken(f"the name {user.name!r} is taken")

    def find_user(self, name: str) -> tuple[User, str] | None:
        entry = self._table.get(layout.name_key(name))
        item = self._table.get(layout.user_key(str(entry["id"]))) if entry else None
        return (layout.user(item), str(item["password_hash"])) if item else None

    def user(self, user_id: str) -> User | None:
        item = self._table.get(layout.user_key(user_id))
        return layout.user(item) if item else None

    def users(self, after: str, limit: int) -> tuple[User, ...]:
        low = layout.name_key(after)
        entries = self._table.query(low.pk, low.sk, limit=limit + 1)
        keys = [layout.user_key(str(entry["id"])) for entry in entries if entry["sk"] != low.sk][:limit]
        found = self._table.get_many(keys)
        return tuple(layout.user(found[key]) for key in keys if key in found)

    def change_user(
        self, user_id: str, *, role: Role | None = None, disabled: bool | None = None, password_hash: str | None = None
    ) -> User | None:
        key, patience = layout.user_key(user_id), Patience()
        while item := self._table.get(key):
            user = layout.user(item)
            user = replace(user, role=user.role if role is None else role, disabled=user.disabled if disabled is None else disabled)
            changed = profile(user, password_hash or str(item["password_hash"]), str(item["generation"]), int(item["version"]) + 1)
            if self._table.write(put(changed, "version = :version", version=item["version"]), listed_admin(user)):
                return user
            patience.wait()
        return None

    def admins(self) -> int:
        return sum(1 for _ in self._table.query(layout.ADMINS))

    def delete_user(self, user_id: str) -> bool:
        key, gone, patience = layout.user_key(user_id), layout.gone_key(user_id), Patience()
        while item := self._table.get(key):
            # More items than a transaction takes belong to a user. With the first the user is gone; what is left of a kill
            # after it no one can reach, and forget_expired clears it away.
            if self._table.write(
                delete(key, "version = :version", version=item["version"]),
                delete(layout.name_key(str(item["name"]))),
                delete(layout.admin_key(user_id)),
                put(layout.item(gone, "gone", id=user_id, unfinished=True)),
            ):
                clear_user(self._table, self._bucket, user_id)
                return True
            patience.wait()
        left = self._table.get(gone)
        if left and "unfinished" in left:
            clear_user(self._table, self._bucket, user_id)
        return False

    def add_session(self, token_hash: str, user_id: str, expires_at: datetime) -> None:
        keep_session(self._table, token_hash, user_id, expires_at)

    def session_user(self, token_hash: str, now: datetime) -> User | None:
        session = self._table.get(layout.session_key(token_hash))
        if session is None or not layout.lives(session, now):
            return None
        item = self._table.get(layout.user_key(str(session["user_id"])))
        return layout.user(item) if item and item["generation"] == session["generation"] else None

    def end_session(self, token_hash: str) -> None:
        self._table.write(delete(layout.session_key(token_hash)))

    def end_sessions(self, user_id: str) -> None:
        change = "SET generation = :generation ADD version :one"
        self._table.write(update(layout.user_key(user_id), change, "attribute_exists(pk)", generation=secrets.token_hex(8), one=1))

    def add_token(self, token: ApiToken, token_hash: str) -> None:
        self._table.write(*kept_token(token, token_hash))

    def find_token(self, token_hash: str, now: datetime) -> tuple[ApiToken, User] | None:
        item = self._table.get(layout.token_key(token_hash))
        token = layout.token(item) if item else None
        if token is None or token.expires_at <= now:
            return None
        owner = self.user(token.owner)
        return (token, owner) if owner else None

    def tokens(self, owner: str) -> tuple[ApiToken, ...]:
        found = self._table.get_many(layout.token_key(str(pointer["hash"])) for pointer in owned_tokens(self._table, owner))
        return tuple(sorted(map(layout.token, found.values()), key=lambda token: (token.created_at, token.id)))

    def touch_token(self, token_hash: str, at: datetime) -> None:
        key = layout.token_key(token_hash)
        self._table.write(update(key, "SET last_used_at = :at", "attribute_exists(pk)", at=layout.stamp(at)))

    def revoke_token(self, owner: str, token_id: str) -> bool:
        key = layout.owned_token_key(owner, token_id)
        pointer = self._table.get(key)
        if pointer is None:
            return False
        return self._table.write(delete(key, "attribute_exists(pk)"), delete(layout.token_key(str(pointer["hash"]))))


def clear_user(table: Table, bucket: Bucket, user_id: str) -> None:
    """Delete what is left of a user who is gone. A mark stays, so that no request that is under way saves a run."""
    clear_runs(table, bucket, user_id)
    pointers = owned_tokens(table, user_id)
    table.delete_many(layout.token_key(str(pointer["hash"])) for pointer in pointers)
    table.delete_many(layout.owned_token_key(user_id, str(pointer["id"])) for pointer in pointers)
    table.write(update(layout.gone_key(user_id), "REMOVE unfinished", "attribute_exists(pk)"))


def owned_tokens(table: Table, owner: str) -> list[Attributes]:
    """Id and hash of the owner's tokens."""
    pk, sk = layout.owned_token_key(owner, "")
    return list(table.query(pk, sk, sk + HIGHEST))


def new_user(user: User, password_hash: str, only_if: str, /, **values: Value) -> list[Write]:
    """Writes that make a user; `only_if` is asked of name and profile. A deleted one of this id has to be cleared away."""
    made = profile(user, password_hash, secrets.token_hex(8), 1)
    return [
        put(layout.name_item(user), only_if, **values), put(made, only_if, **values), listed_admin(user),
        delete(layout.gone_key(user.id), "attribute_not_exists(unfinished)"),
    ]  # fmt: skip


def profile(user: User, password_hash: str, generation: str, version: int) -> Attributes:
    key = layout.user_key(user.id)
    return layout.item(key, "user", user, password_hash=password_hash, generation=generation, version=version)


def listed_admin(user: User) -> Write:
    """The admins have a partition, so that counting them reads nobody else."""
    key = layout.admin_key(user.id)
    return put(layout.item(key, "admin", id=user.id)) if user.role == Role.ADMIN and not user.disabled else delete(key)


def keep_session(table: Table, token_hash: str, user_id: str, expires_at: datetime) -> None:
    """Write a session of the user's generation; none where there is no such user."""
    user = table.get(layout.user_key(user_id))
    if user:
        generation, end = user["generation"], layout.ending(expires_at)
        key = layout.session_key(token_hash)
        table.write(put(layout.item(key, "session", id=token_hash, user_id=user_id, generation=generation, **end)))


def kept_token(token: ApiToken, token_hash: str) -> list[Write]:
    """Writes that keep a token, and where its owner finds it."""
    return [
        put(layout.item(layout.token_key(token_hash), "token", token, hash=token_hash)),
        put(layout.owned_token_item(token, token_hash)),
    ]
