"""Whether items and pictures fit together. What only a look at one item shows is not looked for: transactions see to that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from service.storage.aws import layout
from service.storage.aws.bucket import KINDS, Bucket
from service.storage.aws.table import Attributes, Key, Table, check, chunks, delete, key_of, put
from service.storage.aws.users import clear_user

_AT_ONCE = 100


def find_problems(table: Table, bucket: Bucket, *, mend: bool) -> Iterator[str]:
    """A sentence for each; nothing that belongs to a user is deleted to mend it."""
    # Listed before the table is read: a picture is kept only of a run that is in the table already.
    kept, known = set(bucket.kept()), set()
    kinds = "kind IN (:user, :token, :run, :entry, :gone)"
    for items in chunks(table.scan(kinds, user="user", token="token", run="run", entry="entry", gone="gone"), _AT_ONCE):  # noqa: S106
        found = table.get_many(key for item in items for key in _others(item))
        for item in items:
            if item["kind"] == "run":
                known.add(str(item["id"]))
            wrong = _problem(item, found) or _lost(item, kept, bucket)
            if wrong and table.get(key_of(item)) == item:  # else it was changed while we looked
                yield wrong
                if mend:
                    _mend(item, table, bucket)
    for run_id in sorted({run_id for run_id, _ in kept} - known):
        yield f"the pictures {run_id} belong to no run"
        if mend:
            bucket.remove([run_id])


def _others(item: Attributes) -> set[Key]:
    """The items that there have to be because there is this one."""
    match item["kind"]:
        case "user":
            return {layout.name_key(str(item["name"]))}
        case "token":
            return {layout.user_key(str(item["owner"])), layout.owned_token_key(str(item["owner"]), str(item["id"]))}
        case "run" if "saved_at" in item:
            return {layout.user_key(str(item["owner"])), *layout.entries(layout.run(item))}
        case "entry":
            return {_run_of(item)}
    return set()


def _problem(item: Attributes, found: Mapping[Key, Attributes]) -> str:
    """What is wrong between an item and the others; "" if nothing is."""
    missing, wrong = _others(item) - found.keys(), ""
    match item["kind"]:
        case "user" if missing:
            wrong = f"user {item['id']} cannot be found by the name {item['name']!r}"
        case "token" | "run" if layout.user_key(str(item["owner"])) in missing:
            wrong = f"{item['kind']} {item['id']} belongs to {item['owner']}, who is no user"
        case "token" if missing:
            wrong = f"token {item['id']} cannot be found by its owner"
        case "run" if missing:
            wrong = f"run {item['id']} cannot be found by all of its labels"
        case "entry" if missing or key_of(item) not in layout.entries(layout.run(found[_run_of(item)])):
            wrong = f"run {layout.place_of(item).id} is listed where it does not belong"
        case "gone" if "unfinished" in item:
            wrong = f"user {item['id']} is deleted in part"
    return wrong


def _lost(item: Attributes, kept: set[tuple[str, str]], bucket: Bucket) -> str:
    if item["kind"] != "run" or "saved_at" not in item:
        return ""
    run_id = str(item["id"])
    lost = [kind for kind in KINDS if (run_id, kind) not in kept and bucket.read(run_id, kind, kept=True) is None]
    return f"run {run_id} has lost its {' and its '.join(lost)}" if lost else ""


def _mend(item: Attributes, table: Table, bucket: Bucket) -> None:
    match item["kind"]:
        case "user":
            table.write(put(layout.name_item(layout.user(item)), "attribute_not_exists(pk)"))
        case "token":
            table.write(put(layout.owned_token_item(layout.token(item), str(item["hash"]))))
        case "run":
            entries = [put(layout.item(key, "entry")) for key in sorted(layout.entries(layout.run(item)))]
            table.write(check(key_of(item), "version = :version", version=item["version"]), *entries)
        case "entry":
            table.write(delete(key_of(item)))
        case "gone":
            clear_user(table, bucket, str(item["id"]))


def _run_of(entry: Attributes) -> Key:
    return layout.run_key(layout.parted(str(entry["pk"]))[1], layout.place_of(entry).id)
