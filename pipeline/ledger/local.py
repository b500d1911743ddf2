"""The ledger as one file of JSON lines: appended under a lock, flushed to the disk, verified whenever it is read."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import LedgerBroken
from pipeline.ledger.protocol import FIRST, Entry, Event, entry, from_json, to_json, verify


class LocalLedger:
    """`path` is made with the first event. A line that a crash cut short was never acknowledged and is set aside."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, event: Event) -> Entry:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as file:
            whole, torn = _split(file.read())
            if torn:
                self._set_aside(torn)
                file.truncate(len(whole))
            known = _parse(whole)
            last = known[-1].hash if known else FIRST
            added = entry(len(known) + 1, last, event)
            file.seek(0, os.SEEK_END)
            file.write(json.dumps(to_json(added), sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return added

    def entries(self) -> tuple[Entry, ...]:
        if not self._path.exists():
            return ()
        whole, _ = _split(self._path.read_bytes())
        return _parse(whole)

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        with self._path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            yield file

    def _set_aside(self, torn: bytes) -> None:
        with self._path.with_suffix(".torn").open("ab") as file:
            file.write(torn + b"\n")


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The whole lines, and what a crash left of an unfinished one."""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _parse(data: bytes) -> tuple[Entry, ...]:
    try:
        return verify(from_json(json.loads(line)) for line in data.splitlines())
    except (ValueError, AttributeError) as error:
        raise LedgerBroken("a line of the ledger is not what was written") from error
