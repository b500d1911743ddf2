from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import LedgerBroken
from pipeline.ledger.local import LocalLedger
from pipeline.ledger.memory import MemoryLedger
from pipeline.ledger.protocol import (
    ATTEMPTED,
    DEPLOYED,
    FAILED,
    FIRST,
    REMOVED,
    WITHDRAWN,
    Event,
    Ledger,
    entry,
    interrupted,
    served,
    verify,
)  # fmt: skip

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=["memory", "local"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    return MemoryLedger() if request.param == "memory" else LocalLedger(tmp_path / "deep" / "ledger.jsonl")


def event(subject: str, kind: str = "released", environment: str = "") -> Event:
    return Event(kind, subject, NOW, "ada@test", environment, {"n": 1, "list": [1.5, None, "ü"]})


# Every store of events


def test_a_new_ledger_is_empty(ledger: Ledger):
    assert ledger.entries() == ()


def test_what_was_appended_comes_back_equal_and_in_order(ledger: Ledger):
    added = [ledger.append(event(subject)) for subject in ("a", "b", "c")]
    assert list(ledger.entries()) == added
    assert [item.event.subject for item in added] == ["a", "b", "c"]


def test_each_entry_names_the_hash_before_it(ledger: Ledger):
    first, second = ledger.append(event("a")), ledger.append(event("b"))
    assert (first.previous, second.previous) == (FIRST, first.hash)


# The chain


@pytest.mark.parametrize("harm", [
    lambda e: [replace(e[0], event=replace(e[0].event, subject="x")), *e[1:]],
    lambda e: [replace(e[0], event=replace(e[0].event, at=NOW.replace(hour=4))), *e[1:]],
    lambda e: e[1:],
    lambda e: [e[0], *e[2:]],
    lambda e: [e[1], e[0], e[2]],
    lambda e: [e[0], e[0], *e[1:]],
    lambda e: [e[0], entry(2, FIRST, e[1].event), e[2]],
])  # fmt: skip
def test_a_changed_missing_moved_or_repeated_entry_is_found(harm: Callable[[list], list]):
    ledger = MemoryLedger()
    entries = [ledger.append(event(subject)) for subject in ("a", "b", "c")]
    with pytest.raises(LedgerBroken, match="is not what was written"):
        verify(harm(entries))


# The file


def written(path: Path) -> LocalLedger:
    ledger = LocalLedger(path)
    for subject in ("a", "b"):
        ledger.append(event(subject))
    return ledger


def test_every_flipped_byte_of_the_file_is_found(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    ledger, whole = written(path), (tmp_path / "ledger.jsonl").read_bytes()
    missed = []
    for at in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            ledger.entries()
            missed.append(at)
        except LedgerBroken:
            pass
    assert missed == []


def test_a_line_that_a_crash_cut_short_is_set_aside_and_the_rest_goes_on(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    ledger = written(path)
    path.write_bytes(path.read_bytes() + b'{"number": 3, "prev')
    assert len(ledger.entries()) == 2
    ledger.append(event("c"))
    assert [item.event.subject for item in ledger.entries()] == ["a", "b", "c"]
    assert b'{"number": 3, "prev' in path.with_suffix(".torn").read_bytes()


def test_nothing_is_appended_to_a_broken_ledger(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    ledger = written(path)
    path.write_text(path.read_text().replace('"a"', '"z"'))
    before = path.read_bytes()
    with pytest.raises(LedgerBroken):
        ledger.append(event("c"))
    assert path.read_bytes() == before


def test_a_line_that_is_no_object_is_a_broken_ledger(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps([1]) + "\n")
    with pytest.raises(LedgerBroken):
        LocalLedger(path).entries()


def test_writers_in_several_processes_make_one_chain(tmp_path: Path, root: Path):
    path = tmp_path / "ledger.jsonl"
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from pipeline.ledger.local import LocalLedger; from pipeline.ledger.protocol import Event\n"
        "ledger = LocalLedger(Path(sys.argv[1]))\n"
        "for i in range(20): ledger.append(Event('released', sys.argv[2], datetime.now(UTC), 'x'))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], cwd=root) for n in range(4)]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    assert len(LocalLedger(path).entries()) == 80


# Folding


def happened(*kinds_and_subjects: tuple[str, str]) -> list[Event]:
    return [event(subject, kind, "production") for kind, subject in kinds_and_subjects]


def test_the_last_deployed_release_is_live_and_a_rollback_takes_it_off():
    events = happened((DEPLOYED, "a"), (DEPLOYED, "b"), (DEPLOYED, "c"), (WITHDRAWN, "c"))
    assert served(events, "production") == ("a", "b")


def test_attempts_and_failures_change_nothing_of_what_is_served():
    assert served(happened((DEPLOYED, "a"), (ATTEMPTED, "b"), (FAILED, "b")), "production") == ("a",)


def test_what_happened_elsewhere_does_not_count():
    assert served([event("a", DEPLOYED, "staging")], "production") == ()


def test_removed_hosts_serve_nothing():
    assert served(happened((DEPLOYED, "a"), (REMOVED, "hosts"), (DEPLOYED, "b")), "production") == ("b",)


@pytest.mark.parametrize(("last", "expected"), [(ATTEMPTED, True), (DEPLOYED, False), (FAILED, False), (REMOVED, False)])
def test_a_deploy_is_interrupted_when_nothing_says_how_it_ended(last: str, expected: bool):
    assert interrupted(happened((DEPLOYED, "a"), (ATTEMPTED, "b"), (last, "b")), "production") is expected
