"""Claims and counters in the table: one conditional write each."""

from __future__ import annotations

from datetime import datetime

from service.storage.aws import layout
from service.storage.aws.clients import Patience
from service.storage.aws.table import Table, delete, put, update
from service.storage.protocol import StoredClaim, StoredCount


class AwsClaims:
    """Whether one lives is part of the condition: DynamoDB clears away late what has expired."""

    _table: Table

    def claim(self, key: str, value: str, *, until: datetime, now: datetime) -> str:
        mine = layout.claim_item(StoredClaim(key, value, until))
        free = "attribute_not_exists(pk) OR ends <= :now"
        claimed, item = self._table.write_one(put(mine, free, now=layout.stamp(now)))
        return value if claimed else layout.claim(item).value

    def claimed(self, key: str, now: datetime) -> str | None:
        item = self._table.get(layout.claim_key(key))
        return layout.claim(item).value if item and layout.lives(item, now) else None

    def release(self, key: str, value: str, now: datetime) -> bool:
        stands = "held = :value AND ends > :now"
        return self._table.write(delete(layout.claim_key(key), stands, value=value, now=layout.stamp(now)))

    def count(self, key: str, *, until: datetime, now: datetime, by: int = 1) -> int:
        at, patience = layout.count_key(key), Patience()
        if by == 0:
            item = self._table.get(at)
            return layout.count(item).number if item and layout.lives(item, now) else 0
        # boto3 may send an ADD twice where the first answer is lost: a limit is then reached early.
        first = layout.count_item(StoredCount(key, by, until))
        while True:
            counted, item = self._table.write_one(update(at, "ADD amount :by", "ends > :now", by=by, now=layout.stamp(now)))
            if counted:
                return layout.count(item).number
            if self._table.write(put(first, "attribute_not_exists(pk) OR ends <= :now", now=layout.stamp(now))):
                return by
            patience.wait()
