"""Finding runs again: what they are indexed under, and what a query asks.

A query reads the index of one term, newest first, and filters the rest of what it asks on the way. So a page costs the same however
many runs there are, in every kind of store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from service.records import Run

WORD = re.compile(r"[^\W_]+")
RELEASE = "release:"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a run stands in the order of listing: by time, then id."""

    made_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Query:
    """Which saved runs: all words of `label` in the predicted or true label, made by `release`, from `since`, before `until`."""

    label: str = ""
    release: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: Place | None = None
    limit: int = 50

    @property
    def term(self) -> str:
        """The index to read: the longest word, else the release, else "" for all saved runs."""
        words = words_of(self.label)
        if words:
            return max(words, key=lambda word: (len(word), word))
        return RELEASE + self.release if self.release else ""

    def wants(self, run: Run) -> bool:
        """Whether the run is one that was asked for, wherever it stands."""
        return (
            run.saved
            and terms_of(run) >= words_of(self.label) | ({RELEASE + self.release} if self.release else set())
            and (self.since is None or run.made_at >= self.since)
            and (self.until is None or run.made_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some runs, newest first; `after` is where to go on, None at the end. A page may be short, even empty, before the end."""

    runs: tuple[Run, ...]
    after: Place | None


def words_of(text: str) -> frozenset[str]:
    """The words of a label, case folded: "Tabby, tabby cat" has two."""
    return frozenset(WORD.findall(text.casefold()))


def terms_of(run: Run) -> frozenset[str]:
    """What a saved run is indexed under, beside its owner and time."""
    return words_of(run.top.label) | words_of(run.truth) | {RELEASE + run.release}


def place_of(run: Run) -> Place:
    """The run's place in every listing."""
    return Place(run.made_at, run.id)
