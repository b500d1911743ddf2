"""A ledger that is gone with the process: for tests and rehearsals."""

from __future__ import annotations

from pipeline.ledger.protocol import FIRST, Entry, Event, entry, verify


class MemoryLedger:
    """Keeps the chain like the real ones."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def append(self, event: Event) -> Entry:
        last = self._entries[-1].hash if self._entries else FIRST
        self._entries.append(entry(len(self._entries) + 1, last, event))
        return self._entries[-1]

    def entries(self) -> tuple[Entry, ...]:
        return verify(self._entries)
