"""Runs, where they are listed, and what they count for, in the table; their pictures are in the bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from service.records import Pictures, Run
from service.search import Page, Query
from service.storage.aws import layout
from service.storage.aws.bucket import Bucket
from service.storage.aws.clients import Patience
from service.storage.aws.table import HIGHEST, LOWEST, Attributes, Table, Write, add, check, chunks, delete, key_of, put
from service.storage.protocol import Kind
from service.tallies import Tally, change, counts_of, scopes_of

READ_AT_ONCE = 200  # entries of a call
_GET_AT_ONCE = 20  # runs, at least
_ADOPTED_AT_ONCE = 20  # runs of a transaction, of which each needs up to four of the hundred writes
_LONGEST_BOUND = 250  # characters of a sort key that came from outside


class AwsRuns:
    """A run is one item, and where it is saved an entry under every term. One transaction changes them with the tallies."""

    _table: Table
    _bucket: Bucket

    def add_run(self, run: Run, pictures: Pictures, expires_at: datetime) -> None:
        self._bucket.write(run.id, pictures, kept=False)
        made = put(run_item(run, expires_at, 1), "attribute_not_exists(pk)")
        if not self._table.write(made, *counted(change(None, run), run)):
            raise ValueError(f"there is a run {run.id!r} already")

    def run(self, owner: str, run_id: str, now: datetime) -> Run | None:
        item = self._table.get(layout.run_key(owner, run_id))
        return layout.run(item) if item and layout.lives(item, now) else None

    def save_run(self, owner: str, run_id: str, *, note: str | None, truth: str | None, now: datetime) -> Run | None:
        key, gone = layout.run_key(owner, run_id), layout.gone_key(owner)
        patience, copied = Patience(), False
        while (item := self._table.get(key)) and layout.lives(item, now):
            before = layout.run(item)
            after = before.kept(now, note, truth)
            if after == before:
                return after
            # The pictures first, so that no saved run is without. Those of a save that comes to nothing are found by `problems`:
            # deleted here they could be those of another save that came to something.
            copied = copied or before.saved or self._bucket.keep(run_id)
            if not copied:
                return None
            if self._table.write(
                put(run_item(after, None, int(item["version"]) + 1), "version = :version", version=item["version"]),
                check(gone, "attribute_not_exists(pk)"),
                *relisted(before, after),
                *counted(change(before, after), after),
            ):
                return after
            if self._table.get(gone):
                return None
            patience.wait()
        return None

    def runs(self, owner: str, query: Query) -> Page:
        pk = layout.listing(owner, query.term)
        after = f"{layout.stamp(query.after.made_at)}#{query.after.id}"[:_LONGEST_BOUND] if query.after else HIGHEST
        # No entry has a bare time as its key: it is below the first one of that time.
        low = layout.stamp(query.since) if query.since else LOWEST
        high = min(after, layout.stamp(query.until) if query.until else HIGHEST)
        read = self._table.query(pk, low, high, limit=READ_AT_ONCE + 2, newest_first=True)
        entries = [entry for entry in read if entry["sk"] != after]
        found: list[Run] = []
        last = query.after
        for some in chunks(entries[:READ_AT_ONCE], max(_GET_AT_ONCE, query.limit)):
            places = [layout.place_of(entry) for entry in some]
            runs = self._table.get_many(layout.run_key(owner, place.id) for place in places)
            for place in places:
                if len(found) == query.limit:
                    break
                last = place
                item = runs.get(layout.run_key(owner, place.id))
                if item and query.wants(run := layout.run(item)):
                    found.append(run)
            if len(found) == query.limit:
                break
        more = bool(entries) and last != layout.place_of(entries[-1])
        return Page(tuple(found), last if more else None)

    def picture(self, owner: str, run_id: str, kind: Kind, now: datetime) -> bytes | None:
        run = self.run(owner, run_id, now)
        return self._bucket.read(run_id, kind, kept=run.saved) if run else None

    def picture_url(self, owner: str, run_id: str, kind: Kind, now: datetime) -> str | None:
        run = self.run(owner, run_id, now)
        if run is None:
            return None
        media_type = run.media_type if kind == "picture" else "image/jpeg"
        return self._bucket.address(run_id, kind, kept=run.saved, media_type=media_type)

    def picture_origins(self) -> tuple[str, ...]:
        return (self._bucket.origin(),)

    def delete_run(self, owner: str, run_id: str) -> bool:
        key, patience = layout.run_key(owner, run_id), Patience()
        while item := self._table.get(key):
            run = layout.run(item)
            gone = delete(key, "version = :version", version=item["version"])
            if self._table.write(gone, *relisted(run, None), *counted(change(run, None), run)):
                self._bucket.remove([run_id])
                return True
            patience.wait()
        return False

    def adopt_runs(self, guest: str, owner: str, now: datetime) -> int:
        # A kill between two transactions leaves runs with the guest, which the next call adopts.
        adopted, patience = 0, Patience()
        while waiting := [item for item in runs_of(self._table, guest) if layout.lives(item, now) and "saved_at" not in item]:
            some = waiting[:_ADOPTED_AT_ONCE]
            if self._table.write(*given(some, owner)):
                adopted += len(some)
            else:
                patience.wait()
        return adopted

    def tallies(self, scope: str, first: date, last: date) -> tuple[Tally, ...]:
        return tuple(merged_tallies(self._table, scope, first, last))


def run_item(run: Run, expires_at: datetime | None, version: int) -> Attributes:
    """The item that a run is kept as."""
    return layout.item(layout.run_key(run.owner, run.id), "run", run, version=version, **layout.ending(expires_at))


def runs_of(table: Table, owner: str) -> Iterator[Attributes]:
    """All of the owner's runs: waiting, expired and saved."""
    return table.query(layout.run_key(owner, "").pk)


def relisted(before: Run | None, after: Run | None) -> list[Write]:
    """Writes that list a run where it now belongs, and there alone."""
    old, new = layout.entries(before), layout.entries(after)
    return [put(layout.item(key, "entry")) for key in sorted(new - old)] + [delete(key) for key in sorted(old - new)]


def counted(changes: Mapping[str, int], run: Run) -> list[Write]:
    """Writes that add the changes to the tallies that the run counts in."""
    tallies = [Tally(scope, *_place(run), changes) for scope in scopes_of(run)] if changes else []
    return [added(tally, layout.shard_of(run, tally.scope)) for tally in tallies]


def added(tally: Tally, shard: int) -> Write:
    """The write that adds a tally's counts to those that are kept."""
    numbers = {layout.COUNT + name: number for name, number in tally.counts.items()}
    return add(layout.key_of_tally(tally, shard), numbers, layout.about(tally))


def given(items: Iterable[Attributes], owner: str) -> list[Write]:
    """Writes that make a guest's waiting runs a user's, and count them there."""
    writes: list[Write] = []
    sums: dict[tuple[str, date, str, str], Counter[str]] = {}  # a transaction changes an item but once
    for item in items:
        before, version = layout.run(item), int(item["version"])
        after = replace(before, owner=owner)
        writes.append(delete(key_of(item), "version = :version", version=version))
        writes.append(put(run_item(after, layout.end_of(item), version + 1), "attribute_not_exists(pk)"))
        sums.setdefault((after.owner, *_place(after)), Counter()).update(counts_of(after))
    return writes + [added(Tally(*place, counts), shard=0) for place, counts in sums.items()]


def _place(run: Run) -> tuple[date, str, str]:
    return run.made_at.astimezone(UTC).date(), run.release, run.model


def merged_tallies(table: Table, scope: str, first: date, last: date) -> Iterator[Tally]:
    """The scope's tallies, each of all its shards."""
    sums: dict[tuple[date, str, str], Counter[str]] = {}
    for shard in layout.shards_of(scope):
        for item in table.query(layout.tallies_of(scope, shard), first.isoformat(), last.isoformat() + HIGHEST):
            tally = layout.tally(item)
            sums.setdefault((tally.day, tally.release, tally.model), Counter()).update(tally.counts)
    for place, counts in sorted(sums.items()):
        if any(counts.values()):
            yield Tally(scope, *place, {name: number for name, number in sorted(counts.items()) if number})


def clear_runs(table: Table, bucket: Bucket, owner: str) -> None:
    """Delete all of an owner's runs and tallies. The runs go last: after a kill they still say what else there is."""
    for items in chunks(runs_of(table, owner), 100):
        runs = [layout.run(item) for item in items]
        table.delete_many(key for run in runs for key in layout.entries(run))
        bucket.remove(run.id for run in runs)
        table.delete_many(map(key_of, items))
    tallies = layout.tallies_of(owner, 0)
    table.delete_many(key_of(item) for item in table.query(tallies))
