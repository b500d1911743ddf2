"""What operators do with the whole table and bucket. This and `problems` alone scan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from service.errors import NameTaken
from service.records import Pictures, Run
from service.storage.aws import layout
from service.storage.aws.bucket import KINDS, Bucket
from service.storage.aws.problems import find_problems
from service.storage.aws.runs import merged_tallies, relisted, run_item
from service.storage.aws.table import Table, delete, key_of, put
from service.storage.aws.users import clear_user, keep_session, kept_token, new_user
from service.storage.protocol import Item, StoredClaim, StoredCount, StoredRun, StoredSession, StoredToken, StoredUser
from service.tallies import EVERYBODY, Tally


class AwsUpkeep:
    """A scan sees each item as it is when it comes by."""

    _table: Table
    _bucket: Bucket

    def forget_expired(self, now: datetime) -> None:
        at = layout.stamp(now)
        for item in self._table.scan("ends <= :now OR attribute_exists(unfinished)", now=at):
            if item["kind"] == "gone":
                clear_user(self._table, self._bucket, str(item["id"]))
            # It may have been saved, claimed or counted on since it was read.
            elif self._table.write(delete(key_of(item), "ends <= :now", now=at)) and item["kind"] == "run":
                self._bucket.remove([str(item["id"])])

    def items(self) -> Iterator[Item]:
        generations = {}
        for item in self._table.scan("kind = :kind", kind="user"):
            generations[item["id"]] = item["generation"]
            yield StoredUser(layout.user(item), str(item["password_hash"]))
        for item in self._table.scan("kind = :kind", kind="session"):
            if generations.get(item["user_id"]) == item["generation"]:
                yield StoredSession(str(item["id"]), str(item["user_id"]), datetime.fromisoformat(str(item["ends"])))
        kinds = "kind IN (:token, :run, :claim, :count, :tally)"
        for item in self._table.scan(kinds, token="token", run="run", claim="claim", count="count", tally="tally"):  # noqa: S106
            match item["kind"]:
                case "token":
                    yield StoredToken(layout.token(item), str(item["hash"]))
                case "run":
                    yield StoredRun(layout.run(item), layout.end_of(item))
                case "claim":
                    yield layout.claim(item)
                case "count":
                    yield layout.count(item)
                case _ if (tally := layout.tally(item)).counts and tally.scope != EVERYBODY:
                    yield tally
        yield from merged_tallies(self._table, EVERYBODY, date.min, date.max)

    def pictures(self, run: Run) -> Pictures | None:
        picture, thumbnail = (self._bucket.read(run.id, kind, kept=run.saved) for kind in KINDS)
        if picture is None or thumbnail is None:
            return None
        return Pictures(picture, thumbnail, run.media_type, run.width, run.height)

    def put(self, item: Item, pictures: Pictures | None = None) -> None:
        match item:
            case StoredUser(user, password_hash):
                if not self._table.write(*new_user(user, password_hash, "attribute_not_exists(pk) OR id = :id", id=user.id)):
                    raise NameTaken(f"the name {user.name!r} is taken")
            case StoredSession(token_hash, user_id, expires_at):
                keep_session(self._table, token_hash, user_id, expires_at)
            case StoredToken(token, token_hash):
                self._table.write(*kept_token(token, token_hash))
            case StoredRun(run, expires_at):
                if pictures:
                    self._bucket.write(run.id, pictures, kept=run.saved)
                before = self._table.get(layout.run_key(run.owner, run.id))
                self._table.write(put(run_item(run, expires_at, 1)), *relisted(layout.run(before) if before else None, run))
            case StoredClaim():
                self._table.write(put(layout.claim_item(item)))
            case StoredCount():
                self._table.write(put(layout.count_item(item)))
            case Tally():
                others = (delete(layout.key_of_tally(item, shard)) for shard in layout.shards_of(item.scope)[1:])
                self._table.write(put(layout.tally_item(item)), *others)

    def problems(self, *, mend: bool) -> Iterator[str]:
        return find_problems(self._table, self._bucket, mend=mend)
