"""One DynamoDB table of items under a partition key and a sort key. It knows conditions and retries, not what the items mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from botocore.exceptions import ClientError

from service.storage.aws.clients import Patience, asking, code_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

T = TypeVar("T")
Value = str | int | bool
Attributes = Mapping[str, Value]
LOWEST, HIGHEST = " ", "~"  # below and above all our sort keys, which start with a letter or a digit
_GET_AT_ONCE, _WRITE_AT_ONCE = 100, 25  # DynamoDB's limits
# Others are at the same item, or AWS is still making room; the codes of an answer, and of the reasons why it cancels a transaction.
_CONFLICTS = {
    "TransactionConflict", "TransactionConflictException", "TransactionInProgressException", "ThrottlingError",
    "ProvisionedThroughputExceeded",
}  # fmt: skip
_FAILED = {"ConditionalCheckFailed", "ConditionalCheckFailedException"}


class Key(NamedTuple):
    """Where an item lies."""

    pk: str
    sk: str


@dataclass(frozen=True, slots=True)
class Write:
    """A change of one item: `target` is the whole item for a Put, else its key. See put, delete, update and check."""

    operation: Literal["Put", "Delete", "Update", "ConditionCheck"]
    target: Attributes
    only_if: str
    values: Attributes
    change: str = ""
    names: Mapping[str, str] = field(default_factory=dict)


def put(item: Attributes, only_if: str = "", /, **values: Value) -> Write:
    """Keep the item, in place of what is there. The `values` stand in the condition as :name."""
    return Write("Put", item, only_if, values)


def delete(key: Key, only_if: str = "", /, **values: Value) -> Write:
    """Delete what is there, if anything is."""
    return Write("Delete", key._asdict(), only_if, values)


def update(key: Key, change: str, only_if: str = "", /, **values: Value) -> Write:
    """Change some attributes by an update expression."""
    return Write("Update", key._asdict(), only_if, values, change)


def check(key: Key, only_if: str, /, **values: Value) -> Write:
    """Change nothing, but hold everything else to a condition on this item."""
    return Write("ConditionCheck", key._asdict(), only_if, values)


def add(key: Key, numbers: Mapping[str, int], constants: Attributes) -> Write:
    """Add numbers to attributes of any name, and set the constants; an item that is not there is made."""
    sums = ", ".join(f"#n{place} :n{place}" for place in range(len(numbers)))
    sets = ", ".join(f"{name} = :{name}" for name in constants)
    names = {f"#n{place}": name for place, name in enumerate(numbers)}
    values = {f"n{place}": number for place, number in enumerate(numbers.values())}
    return Write("Update", key._asdict(), "", {**values, **constants}, f"SET {sets} ADD {sums}", names)


class Table:
    """Reads are strongly consistent. Every method raises StorageUnavailable."""

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self.client, self.name = client, name

    def get(self, key: Key) -> Attributes | None:
        with asking():
            answer = self.client.get_item(TableName=self.name, Key=_wire(key._asdict()), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Attributes]:
        """Those of the items that are there."""
        found: dict[Key, Attributes] = {}
        for some in chunks(dict.fromkeys(keys), _GET_AT_ONCE):  # each once, or DynamoDB refuses
            wanted: Any = {self.name: {"Keys": [_wire(key._asdict()) for key in some], "ConsistentRead": True}}
            patience = Patience()
            while True:
                with asking():
                    answer = self.client.batch_get_item(RequestItems=wanted)
                items = [_plain(item) for item in answer["Responses"].get(self.name, [])]
                found.update({key_of(item): item for item in items})
                wanted = answer["UnprocessedKeys"]
                if not wanted:
                    break
                patience.wait()
        return found

    def query(
        self, pk: str, low: str = LOWEST, high: str = HIGHEST, *, limit: int | None = None, newest_first: bool = False
    ) -> Iterator[Attributes]:
        """The items of a partition by sort key, `low` and `high` included, as many pages as that takes."""
        if low > high:  # which DynamoDB would refuse
            return
        with asking():
            pages = self.client.get_paginator("query").paginate(
                TableName=self.name,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
                ExpressionAttributeValues=_wire({":pk": pk, ":low": low, ":high": high}),
                ConsistentRead=True,
                ScanIndexForward=not newest_first,
                PaginationConfig={"PageSize": limit} if limit else {},
            )
            yield from islice((_plain(item) for page in pages for item in page["Items"]), limit)

    def scan(self, only: str, /, **values: Value) -> Iterator[Attributes]:
        """Every item for which the expression holds. It reads the whole table: not for what users do."""
        with asking():
            pages = self.client.get_paginator("scan").paginate(
                TableName=self.name,
                ConsistentRead=True,
                FilterExpression=only,
                ExpressionAttributeValues=_wire(_bound(values)),
            )
            yield from (_plain(item) for page in pages for item in page["Items"])

    def write(self, *writes: Write) -> bool:
        """Make all of the changes or, where one's condition does not hold, none. Whether they were made. At most 100."""
        if len(writes) == 1:
            return self.write_one(writes[0])[0]
        items: Any = [{write.operation: self._request(write)} for write in writes]
        return self._attempt(lambda: self.client.transact_write_items(TransactItems=items))[0]

    def write_one(self, write: Write) -> tuple[bool, Attributes]:
        """Whether the change was made, and the item: as updated, or as it was when the condition did not hold."""
        request = self._request(write) | ({"ReturnValuesOnConditionCheckFailure": "ALL_OLD"} if write.only_if else {})
        match write.operation:
            case "Put":
                return self._attempt(lambda: self.client.put_item(**request))
            case "Delete":
                return self._attempt(lambda: self.client.delete_item(**request))
            case _:
                return self._attempt(lambda: self.client.update_item(**request, ReturnValues="ALL_NEW"))

    def delete_many(self, keys: Iterable[Key]) -> None:
        """Delete items without condition; a kill in the middle leaves some."""
        for some in chunks(keys, _WRITE_AT_ONCE):
            wanted: Any = {self.name: [{"DeleteRequest": {"Key": _wire(key._asdict())}} for key in some]}
            patience = Patience()
            while True:
                with asking():
                    wanted = self.client.batch_write_item(RequestItems=wanted)["UnprocessedItems"]
                if not wanted:
                    break
                patience.wait()

    def _attempt(self, call: Callable[[], Any]) -> tuple[bool, Attributes]:
        """Call until nobody else is at the same items. Whether the conditions held, and the item that came back."""
        patience = Patience()
        while True:
            try:
                with asking("TransactionCanceledException", *_FAILED, *_CONFLICTS):
                    return True, _plain(call().get("Attributes", {}))
            except ClientError as error:
                answer: Any = error.response
                reasons = {code_of(error), *(reason["Code"] for reason in answer.get("CancellationReasons", ()))}
                if reasons & _FAILED:
                    return False, _plain(answer.get("Item", {}))
                if not reasons & _CONFLICTS:
                    raise
            patience.wait()

    def _request(self, write: Write) -> Any:
        """The part of a request that a single write and a write in a transaction have in common."""
        return {
            "TableName": self.name,
            "Item" if write.operation == "Put" else "Key": _wire(write.target),
            **({"ConditionExpression": write.only_if} if write.only_if else {}),
            **({"UpdateExpression": write.change} if write.change else {}),
            **({"ExpressionAttributeNames": write.names} if write.names else {}),
            **({"ExpressionAttributeValues": _wire(_bound(write.values))} if write.values else {}),
        }


def key_of(item: Attributes) -> Key:
    """Where an item that was read lies."""
    return Key(str(item["pk"]), str(item["sk"]))


def chunks(things: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """The things in their order, `size` at a time."""
    rest = iter(things)
    while some := tuple(islice(rest, size)):
        yield some


def _bound(values: Attributes) -> Attributes:
    return {f":{name}": value for name, value in values.items()}


def _wire(values: Attributes) -> dict[str, AttributeValueTypeDef]:
    def typed(value: Value) -> AttributeValueTypeDef:
        if isinstance(value, bool):
            return {"BOOL": value}
        return {"N": str(value)} if isinstance(value, int) else {"S": str(value)}

    return {name: typed(value) for name, value in values.items()}


def _plain(item: Mapping[str, Any]) -> Attributes:
    def value(typed: Mapping[str, Any]) -> Value:
        return int(typed["N"]) if "N" in typed else bool(typed["BOOL"]) if "BOOL" in typed else str(typed["S"])

    return {name: value(typed) for name, typed in item.items()}
