"""A whole store in one file, and back: a tar archive with every record as a JSON line and every picture as it is.

The archive holds password hashes and hashed tokens: keep it as safe as the store. It is written beside its name and
renamed when it is whole. Its last member lists the sha256 of every other: a damaged archive is found before it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from service.errors import ConfigError
from service.records import ApiToken, Pictures, Role, Run, Scope, Score, User
from service.storage.protocol import (
    Item,
    Storage,
    StoredClaim,
    StoredCount,
    StoredRun,
    StoredSession,
    StoredToken,
    StoredUser,
)
from service.tallies import Tally

ITEMS, MANIFEST = "items.jsonl", "manifest.json"
FORMAT = 1


def export(storage: Storage, path: Path, progress: Callable[[int], None] = lambda number: None) -> int:
    """Write everything to `path`; how many records. The service may be running: what is deleted meanwhile may be left out."""
    partial = path.with_name(path.name + ".partial")
    lines, sums, number = io.BytesIO(), dict[str, str](), 0
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
            for item in storage.items():
                if isinstance(item, StoredRun):
                    pictures = storage.pictures(item.run)
                    if pictures is None:
                        continue  # deleted since
                    _add(archive, f"{item.run.id}.picture", pictures.picture, sums)
                    _add(archive, f"{item.run.id}.thumbnail", pictures.thumbnail, sums)
                lines.write(json.dumps(_plain(item), ensure_ascii=False).encode() + b"\n")
                number += 1
                progress(number)
            _add(archive, ITEMS, lines.getvalue(), sums)
            _add(archive, MANIFEST, json.dumps({"format": FORMAT, "records": number, "sha256": sums}).encode(), {})
            archive.close()
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return number


def restore(storage: Storage, path: Path, progress: Callable[[int], None] = lambda number: None) -> int:
    """Put everything from `path` into an empty store; how many records. Raises ConfigError before anything is changed."""
    if next(iter(storage.items()), None) is not None:
        raise ConfigError("the store is not empty: import needs a fresh one")
    try:
        with tarfile.open(path) as archive:
            members = _verified(archive, path)
            records = _read(archive, members[ITEMS]).splitlines()
            for number, line in enumerate(records, start=1):
                item = _item(json.loads(line))
                storage.put(item, _pictures(archive, members, item.run) if isinstance(item, StoredRun) else None)
                progress(number)
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be imported: {error!r}") from error
    return len(records)


def _verified(archive: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    members = {member.name: member for member in archive.getmembers()}
    manifest = json.loads(_read(archive, members[MANIFEST]))
    if manifest["format"] != FORMAT:
        raise ConfigError(f"{path} has format {manifest['format']}; this release reads {FORMAT}")
    for name, expected in manifest["sha256"].items():
        if hashlib.sha256(_read(archive, members[name])).hexdigest() != expected:
            raise ConfigError(f"{path} is damaged: {name} is not what was exported")
    return members


def _pictures(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], run: Run) -> Pictures:
    picture, thumbnail = (_read(archive, members[f"{run.id}.{kind}"]) for kind in ("picture", "thumbnail"))
    return Pictures(picture, thumbnail, run.media_type, run.width, run.height)


def _add(archive: tarfile.TarFile, name: str, data: bytes, sums: dict[str, str]) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    archive.addfile(entry, io.BytesIO(data))
    sums[name] = hashlib.sha256(data).hexdigest()


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _plain(value: object) -> Any:
    """A record as JSON can hold it; its class is named at the top."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": type(value).__name__, **content} if isinstance(value, Item) else content
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return dict(value)
    return value


def _item(content: dict[str, Any]) -> Item:
    return MADE_FROM[content.pop("kind")](content)


def _user(content: dict[str, Any]) -> User:
    return User(**{**_timed(content, "created_at"), "role": Role(content["role"])})


def _token(content: dict[str, Any]) -> ApiToken:
    scopes = tuple(Scope(scope) for scope in content["scopes"])
    return ApiToken(**{**_timed(content, "created_at", "expires_at", "last_used_at"), "scopes": scopes})


def _run(content: dict[str, Any]) -> Run:
    scores = tuple(Score(**score) for score in content["scores"])
    return Run(**{**_timed(content, "made_at", "saved_at"), "scores": scores})


def _timed(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**content, **{name: datetime.fromisoformat(content[name]) if content[name] else None for name in names}}


MADE_FROM: dict[str, Callable[[dict[str, Any]], Item]] = {
    "StoredUser": lambda content: StoredUser(_user(content["user"]), content["password_hash"]),
    "StoredSession": lambda content: StoredSession(**_timed(content, "expires_at")),
    "StoredToken": lambda content: StoredToken(_token(content["token"]), content["token_hash"]),
    "StoredRun": lambda content: StoredRun(_run(content["run"]), _timed(content, "expires_at")["expires_at"]),
    "StoredClaim": lambda content: StoredClaim(**_timed(content, "until")),
    "StoredCount": lambda content: StoredCount(**_timed(content, "until")),
    "Tally": lambda content: Tally(**{**content, "day": date.fromisoformat(content["day"])}),
}
