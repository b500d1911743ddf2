"""A release: what exactly is put on hosts. Its id is the hash of its record, so two records that differ never share one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

SHORT = 12  # characters of an id or hash that people are shown


@dataclass(frozen=True, slots=True)
class Release:
    """`commit` is a git commit id; `image` a pullable `registry/repository@sha256:…`; `model` and `lock` are sha256 in hex."""

    commit: str
    image: str
    model: str
    lock: str

    @property
    def id(self) -> str:
        record = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(record.encode()).hexdigest()

    @property
    def short(self) -> str:
        return self.id[:SHORT]

    def record(self) -> dict[str, str]:
        """As it stands in the ledger."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Release:
        """The release of a ledger record."""
        return cls(**{name: str(record[name]) for name in ("commit", "image", "model", "lock")})
