"""The contract of every store. A new kind is one more entry in OPENERS; what is true of one kind alone has a file of its own."""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from service import tallies
from service.errors import NameTaken
from service.records import ApiToken, Pictures, Role, Run, Scope, Score, User
from service.search import Place, Query
from service.storage.aws import AwsStorage, create
from service.storage.protocol import Storage, StoredRun, StoredUser
from service.storage.sqlite import SqliteStorage
from service.tallies import EVERYBODY
from tests.service.aws_server import aws_environment, moto_server

Opener = Callable[[], Storage]
NUMBERS = itertools.count()

NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
LATER = NOW + timedelta(hours=1)
TODAY = NOW.date()
ADA, BOB = User("a1", "ada", Role.VIEWER, NOW), User("b1", "bob", Role.ADMIN, NOW)
SCORES = (Score("tabby cat", 281, 0.1 + 0.2), Score("kitten, \"tabby\" 'n' ü", 282, 1e-9))
RUN = Run("r1", "a1", NOW, SCORES, "release-1", "model", "image/png", 640, 480, 25600, 12.345678901)
PICTURES = Pictures(bytes(range(256)) * 100, b"\xff\xd8 a thumbnail", "image/png", 640, 480)
TOKEN = ApiToken("t1", "a1", "laptop", (Scope.PREDICT, Scope.READ), NOW, LATER)


@pytest.fixture(scope="module")
def aws(request: pytest.FixtureRequest) -> Iterator[None]:
    """A server that speaks DynamoDB and S3; the environment is all that leads boto3 there."""
    with moto_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(url).items():
            patch.setenv(name, value)
        yield


def open_sqlite(folder: Path) -> Opener:
    return lambda: SqliteStorage(str(folder / "new" / "service.db"))


def open_aws(folder: Path) -> Opener:
    name = f"contract-{os.getpid()}-{next(NUMBERS)}"
    create(name, name)
    return lambda: AwsStorage(name, name)


OPENERS: dict[str, Callable[[Path], Opener]] = {"sqlite": open_sqlite, "aws": open_aws}


@pytest.fixture(params=["sqlite", pytest.param("aws", marks=pytest.mark.aws)])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store again, as another process would."""
    if request.param == "aws":
        request.getfixturevalue("aws")
    opener = OPENERS[request.param](tmp_path)
    with ExitStack() as stack:

        def reopen() -> Storage:
            storage = opener()
            stack.callback(storage.close)
            return storage

        yield reopen


@pytest.fixture
def empty(reopen: Opener) -> Storage:
    return reopen()


@pytest.fixture
def storage(empty: Storage) -> Storage:
    """A store that knows ada and bob."""
    empty.add_user(ADA, "hash of ada")
    empty.add_user(BOB, "hash of bob")
    return empty


def add(storage: Storage, run: Run, *, save: bool = True, truth: str = "") -> Run:
    storage.add_run(run, PICTURES, LATER)
    return storage.save_run(run.owner, run.id, note="", truth=truth, now=NOW) if save else run


def listed(storage: Storage, owner: str = "a1", **query: object) -> list[str]:
    """The ids of every page."""
    found, after = [], None
    while True:
        page = storage.runs(owner, Query(**query, after=after))
        found += [run.id for run in page.runs]
        assert len(found) == len(set(found)), "the pages go round in a circle"
        if page.after is None:
            return found
        after = page.after


def counted(storage: Storage, scope: str) -> dict[tuple[date, str], dict[str, int]]:
    return {(t.day, t.release): dict(t.counts) for t in storage.tallies(scope, TODAY - DAY, TODAY + DAY)}


def test_an_empty_store_has_nothing(empty: Storage):
    assert empty.find_user("ada") is None
    assert empty.user("a1") is None
    assert empty.users("", 10) == ()
    assert empty.session_user("token", NOW) is None
    assert empty.find_token("hash", NOW) is None
    assert empty.runs("a1", Query()).runs == ()
    assert empty.run("a1", "r1", NOW) is None
    assert empty.save_run("a1", "r1", note="note", truth=None, now=NOW) is None
    assert empty.picture("a1", "r1", "picture", NOW) is None
    assert empty.tallies("a1", TODAY, TODAY) == ()
    assert empty.claimed("key", NOW) is None
    assert list(empty.items()) == []
    assert list(empty.problems(mend=False)) == []


def test_what_changes_nothing_is_no_error(empty: Storage):
    empty.end_session("token")
    empty.end_sessions("a1")
    empty.touch_token("hash", NOW)
    empty.forget_expired(NOW)
    assert empty.change_user("a1", disabled=True) is None
    assert not empty.delete_user("a1")
    assert not empty.delete_run("a1", "r1")
    assert not empty.revoke_token("a1", "t1")
    assert not empty.release("key", "value", NOW)
    assert empty.adopt_runs("guest-1", "a1", NOW) == 0


def test_a_user_is_found_by_the_exact_name_and_by_id(storage: Storage):
    assert storage.find_user("ada") == (ADA, "hash of ada")
    assert storage.find_user("bob") == (BOB, "hash of bob")
    assert storage.user("b1") == BOB
    assert [storage.find_user(name) for name in ("ADA", "ad", "ada ", "%", "a1")] == [None] * 5


def test_a_name_is_taken_once(storage: Storage):
    with pytest.raises(NameTaken, match="ada"):
        storage.add_user(replace(ADA, id="c1"), "another hash")
    assert storage.find_user("ada") == (ADA, "hash of ada")
    assert storage.user("c1") is None


def test_a_name_is_taken_once_when_many_ask_at_the_same_moment(empty: Storage):
    start = threading.Barrier(8)

    def ask(number: int) -> bool:
        start.wait()
        try:
            empty.add_user(replace(ADA, id=f"u{number}"), "hash")
        except NameTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(ask, range(8))) == [False] * 7 + [True]


def test_users_are_listed_by_name_page_by_page(storage: Storage):
    for name in ("zoe", "carl", "a"):
        storage.add_user(User(f"id-{name}", name, Role.VIEWER, NOW), "hash")
    first = storage.users("", 3)
    assert [user.name for user in first] == ["a", "ada", "bob"]
    assert [user.name for user in storage.users("bob", 3)] == ["carl", "zoe"]
    assert first[1:] == (ADA, BOB)


def test_each_field_of_a_user_changes_alone(storage: Storage):
    assert storage.change_user("a1", role=Role.OPERATOR) == replace(ADA, role=Role.OPERATOR)
    assert storage.change_user("a1", disabled=True) == replace(ADA, role=Role.OPERATOR, disabled=True)
    assert storage.change_user("a1", password_hash="new") == replace(ADA, role=Role.OPERATOR, disabled=True)
    assert storage.change_user("a1", disabled=False) == replace(ADA, role=Role.OPERATOR)
    assert storage.find_user("ada") == (replace(ADA, role=Role.OPERATOR), "new")
    assert storage.find_user("bob") == (BOB, "hash of bob")


def test_admins_are_those_who_can_act(storage: Storage):
    assert storage.admins() == 1
    storage.change_user("a1", role=Role.ADMIN)
    assert storage.admins() == 2
    storage.change_user("b1", disabled=True)
    assert storage.admins() == 1
    storage.change_user("a1", role=Role.VIEWER)
    assert storage.admins() == 0


def test_a_session_belongs_to_its_user_until_it_expires(storage: Storage):
    storage.add_session("token", "a1", NOW + SECOND)
    assert storage.session_user("token", NOW) == ADA
    assert storage.session_user("token", NOW + SECOND * 0.999999) == ADA
    assert storage.session_user("token", NOW + SECOND) is None
    assert storage.session_user("toke", NOW) is None


def test_a_session_expires_to_the_microsecond(storage: Storage):
    whole = NOW.replace(microsecond=0)  # whose usual text is shorter
    storage.add_session("token", "a1", whole)
    assert storage.session_user("token", whole - timedelta(microseconds=1)) == ADA
    assert storage.session_user("token", whole + timedelta(microseconds=1)) is None


def test_a_session_that_ended_is_no_more_and_others_stay(storage: Storage):
    storage.add_session("phone", "a1", NOW + SECOND)
    storage.add_session("laptop", "a1", NOW + SECOND)
    storage.end_session("phone")
    assert storage.session_user("phone", NOW) is None
    assert storage.session_user("laptop", NOW) == ADA


def test_all_sessions_of_a_user_end_and_no_others(storage: Storage):
    for name, owner in (("phone", "a1"), ("laptop", "a1"), ("bobs", "b1")):
        storage.add_session(name, owner, LATER)
    storage.end_sessions("a1")
    assert [bool(storage.session_user(name, NOW)) for name in ("phone", "laptop", "bobs")] == [False, False, True]


def test_a_session_shows_its_user_as_the_user_is_now(storage: Storage):
    storage.add_session("token", "a1", LATER)
    storage.change_user("a1", role=Role.OPERATOR, disabled=True)
    assert storage.session_user("token", NOW) == replace(ADA, role=Role.OPERATOR, disabled=True)


def test_a_token_acts_for_its_owner_until_it_expires(storage: Storage):
    storage.add_token(TOKEN, "hash")
    assert storage.find_token("hash", NOW) == (TOKEN, ADA)
    assert storage.find_token("hash", LATER) is None
    assert storage.find_token("other", NOW) is None
    assert storage.tokens("a1") == (TOKEN,)
    assert storage.tokens("b1") == ()


def test_a_token_remembers_when_it_was_used(storage: Storage):
    storage.add_token(TOKEN, "hash")
    storage.touch_token("hash", NOW + SECOND)
    assert storage.tokens("a1") == (replace(TOKEN, last_used_at=NOW + SECOND),)


def test_tokens_are_listed_oldest_first_and_revoked_by_their_owner_alone(storage: Storage):
    newer = replace(TOKEN, id="t0", created_at=NOW + SECOND)
    storage.add_token(newer, "hash of newer")
    storage.add_token(TOKEN, "hash")
    assert storage.tokens("a1") == (TOKEN, newer)
    assert not storage.revoke_token("b1", "t1")
    assert storage.revoke_token("a1", "t1")
    assert storage.find_token("hash", NOW) is None
    assert storage.tokens("a1") == (newer,)


def test_a_run_comes_back_equal_with_its_pictures(storage: Storage):
    add(storage, RUN, save=False)
    assert storage.run("a1", "r1", NOW) == RUN
    assert storage.picture("a1", "r1", "picture", NOW) == PICTURES.picture
    assert storage.picture("a1", "r1", "thumbnail", NOW) == PICTURES.thumbnail
    assert storage.pictures(RUN) == PICTURES


def test_pictures_are_the_same_after_saving(storage: Storage):
    kept = add(storage, RUN)
    assert storage.picture("a1", "r1", "picture", NOW + DAY) == PICTURES.picture
    assert storage.pictures(kept) == PICTURES


def test_a_run_is_there_for_its_owner_only(storage: Storage):
    add(storage, RUN, save=False)
    assert storage.run("b1", "r1", NOW) is None
    assert storage.save_run("b1", "r1", note="mine", truth=None, now=NOW) is None
    assert storage.picture("b1", "r1", "picture", NOW) is None
    assert storage.picture_url("b1", "r1", "picture", NOW) is None
    assert not storage.delete_run("b1", "r1")
    assert storage.run("a1", "r1", NOW) == RUN


def test_a_run_is_listed_once_it_is_saved(storage: Storage):
    add(storage, RUN, save=False)
    assert listed(storage) == []
    kept = replace(RUN, note="my cat", saved_at=NOW + SECOND)
    assert storage.save_run("a1", "r1", note="my cat", truth=None, now=NOW + SECOND) == kept
    assert storage.runs("a1", Query()).runs == (kept,)
    assert storage.run("a1", "r1", NOW + DAY) == kept
    assert listed(storage, "b1") == []


def test_saving_again_changes_what_is_said_and_not_when(storage: Storage):
    first = add(storage, RUN)
    assert storage.save_run("a1", "r1", note="second", truth=None, now=LATER) == replace(first, note="second")
    assert storage.save_run("a1", "r1", note=None, truth="lynx", now=LATER) == replace(first, note="second", truth="lynx")
    assert listed(storage) == ["r1"]


def test_saved_runs_are_the_newest_first_and_equal_times_keep_one_order(storage: Storage):
    for number in (2, 0, 3, 1):
        add(storage, replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND))
    add(storage, replace(RUN, id="r4", made_at=NOW + 3 * SECOND))
    assert listed(storage) == ["r4", "r3", "r2", "r1", "r0"]
    assert listed(storage, limit=2) == ["r4", "r3", "r2", "r1", "r0"]


def test_times_without_microseconds_keep_their_place(storage: Storage):
    whole = NOW.replace(microsecond=0)
    for number, at in enumerate((whole - timedelta(microseconds=1), whole, whole + timedelta(microseconds=1))):
        add(storage, replace(RUN, id=f"r{number}", made_at=at))
    assert listed(storage, limit=1) == ["r2", "r1", "r0"]
    assert listed(storage, since=whole) == ["r2", "r1"]
    assert listed(storage, until=whole) == ["r0"]


def test_a_full_last_page_is_the_last(storage: Storage):
    for number in range(4):
        add(storage, replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND))
    first = storage.runs("a1", Query(limit=2))
    assert first.after == Place(NOW + 2 * SECOND, "r2")
    assert storage.runs("a1", Query(limit=2, after=first.after)).after is None


def test_a_run_saved_meanwhile_moves_no_later_page(storage: Storage):
    for number in range(4):
        add(storage, replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND))
    first = storage.runs("a1", Query(limit=2))
    add(storage, replace(RUN, id="new", made_at=NOW + 9 * SECOND))
    storage.delete_run("a1", "r2")
    assert [run.id for run in storage.runs("a1", Query(limit=2, after=first.after)).runs] == ["r1", "r0"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"label": "tabby"}, ["both", "cat"]),
        ({"label": "TABBY Cat"}, ["both", "cat"]),
        ({"label": "cat tiger"}, ["both"]),
        ({"label": "tab"}, []),
        ({"label": "lynx"}, ["lynx"]),
        ({"label": "kitten"}, []),
        ({"release": "release-2"}, ["lynx"]),
        ({"release": "release-1", "label": "tiger"}, ["both"]),
        ({"release": "release-2", "label": "tabby"}, []),
        ({"label": "tabby", "since": NOW + SECOND}, ["both"]),
        ({"label": "tabby", "until": NOW + SECOND}, ["cat"]),
        ({"label": "release:release-2"}, []),
    ],
)
def test_runs_are_found_by_words_release_and_time(storage: Storage, query: dict[str, object], found: list[str]):
    add(storage, replace(RUN, id="cat"))
    add(storage, replace(RUN, id="both", made_at=NOW + SECOND), truth="tiger cat")
    seen = (Score("dog", 1, 0.5), *SCORES)
    add(storage, replace(RUN, id="lynx", made_at=NOW + 2 * SECOND, scores=seen, release="release-2"), truth="lynx")
    assert listed(storage, **query) == found
    assert listed(storage, **query, limit=1) == found


def test_a_changed_label_is_found_by_the_new_one_alone(storage: Storage):
    add(storage, RUN, truth="lynx")
    storage.save_run("a1", "r1", note=None, truth="puma", now=NOW)
    assert (listed(storage, label="puma"), listed(storage, label="lynx")) == (["r1"], [])
    assert listed(storage, label="tabby") == ["r1"]


def test_a_rare_run_is_found_behind_many_others(storage: Storage):
    for number in range(30):
        add(storage, replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND, release="rare" if number == 3 else "usual"))
    assert listed(storage, label="tabby", release="rare", limit=2) == ["r3"]


def test_an_unsaved_run_is_gone_when_it_expires(storage: Storage):
    add(storage, RUN, save=False)
    assert storage.run("a1", "r1", LATER - SECOND)
    assert storage.run("a1", "r1", LATER) is None
    assert storage.picture("a1", "r1", "picture", LATER) is None
    assert storage.save_run("a1", "r1", note="", truth=None, now=LATER) is None


def test_what_expired_is_cleared_away_and_nothing_else(storage: Storage):
    add(storage, replace(RUN, id="saved"))
    add(storage, replace(RUN, id="old"), save=False)
    storage.add_run(replace(RUN, id="young"), PICTURES, LATER + SECOND)
    storage.add_session("old", "a1", LATER)
    storage.add_session("young", "a1", LATER + SECOND)
    storage.claim("old", "value", until=LATER, now=NOW)
    storage.count("young", until=LATER + SECOND, now=NOW)
    storage.forget_expired(LATER)
    left = [getattr(item, "key", None) or getattr(item, "token_hash", None) or item.run.id for item in small(storage)]
    assert sorted(left) == ["saved", "young", "young", "young"]
    assert storage.pictures(replace(RUN, id="old")) is None
    assert storage.pictures(replace(RUN, id="young")) == PICTURES


def small(storage: Storage) -> list[object]:
    return [item for item in storage.items() if not isinstance(item, StoredUser | tallies.Tally)]


def test_a_deleted_run_leaves_nothing(storage: Storage):
    add(storage, RUN, truth="lynx")
    add(storage, replace(RUN, id="other"))
    assert storage.delete_run("a1", "r1")
    assert storage.run("a1", "r1", NOW) is None
    assert storage.pictures(RUN) is None
    assert listed(storage, label="lynx") == []
    assert listed(storage) == ["other"]
    assert not storage.delete_run("a1", "r1")


def test_a_guests_waiting_runs_become_the_users(storage: Storage):
    add(storage, replace(RUN, id="waiting", owner="guest-1"), save=False)
    storage.add_run(replace(RUN, id="expired", owner="guest-1"), PICTURES, NOW)
    assert storage.adopt_runs("guest-1", "a1", NOW) == 1
    assert storage.run("guest-1", "waiting", NOW) is None
    assert storage.run("a1", "waiting", NOW) == replace(RUN, id="waiting")
    assert storage.save_run("a1", "waiting", note="", truth=None, now=NOW)
    assert storage.picture("a1", "waiting", "picture", NOW + DAY) == PICTURES.picture
    assert storage.run("a1", "expired", NOW) is None
    assert counted(storage, "a1")[TODAY, "release-1"]["predictions"] == 1
    assert counted(storage, "guest-1") == {}
    assert counted(storage, EVERYBODY)[TODAY, "release-1"]["predictions"] == 2


def test_a_deleted_user_leaves_nothing_but_anonymous_counts(storage: Storage):
    for owner in ("a1", "b1"):
        add(storage, replace(RUN, id=f"run-{owner}", owner=owner))
        add(storage, replace(RUN, id=f"wait-{owner}", owner=owner), save=False)
        storage.add_session(f"session-{owner}", owner, LATER)
        storage.add_token(replace(TOKEN, id=f"token-{owner}", owner=owner), f"hash-{owner}")
    assert storage.delete_user("a1")
    assert "a1" not in repr(list(storage.items()))
    assert storage.pictures(replace(RUN, id="run-a1")) is None
    assert storage.find_user("ada") is None
    assert storage.find_user("bob") == (BOB, "hash of bob")
    assert storage.picture("b1", "run-b1", "picture", NOW) == PICTURES.picture
    assert storage.find_token("hash-b1", NOW)
    assert storage.session_user("session-b1", NOW) == BOB
    assert counted(storage, EVERYBODY)[TODAY, "release-1"]["predictions"] == 4
    storage.add_user(replace(ADA, id="a2"), "hash")  # the name is free again


def test_tallies_are_what_counting_all_runs_gives(storage: Storage):
    runs = [
        replace(RUN, id="r1"),
        replace(RUN, id="r2", release="release-2", milliseconds=700.0),
        replace(RUN, id="r3", made_at=NOW + DAY, scores=(Score("dog", 2, 1.0),)),
        replace(RUN, id="r4", owner="b1"),
    ]
    for run in runs:
        add(storage, run, save=False)
    kept = [storage.save_run("a1", "r1", note="", truth="kitten, \"tabby\" 'n' ü", now=NOW)]
    kept += [storage.save_run("a1", "r3", note="", truth="dog", now=NOW), runs[1], runs[3]]
    for scope in ("a1", "b1", EVERYBODY):
        expected: dict[tuple[date, str], Counter[str]] = {}
        for run in kept:
            if scope in tallies.scopes_of(run):
                expected.setdefault((run.made_at.date(), run.release), Counter()).update(tallies.counts_of(run))
        assert counted(storage, scope) == {place: {k: n for k, n in c.items() if n} for place, c in expected.items()}


def test_tallies_follow_a_changed_mind_and_a_deletion(storage: Storage):
    add(storage, RUN, truth="lynx")
    storage.save_run("a1", "r1", note=None, truth="tabby cat", now=NOW)
    counts = counted(storage, "a1")[TODAY, "release-1"]
    assert (counts["judged"], counts["top1"], counts["saved"], counts["bytes"]) == (1, 1, 1, 25600)
    assert [key for key in counts if key.startswith("confusion")] == ["confusion:tabby cat>tabby cat"]
    storage.save_run("a1", "r1", note=None, truth="", now=NOW)
    assert "judged" not in counted(storage, "a1")[TODAY, "release-1"]
    storage.delete_run("a1", "r1")
    assert counted(storage, "a1") == {}
    assert counted(storage, EVERYBODY) == {}


def test_tallies_are_given_for_the_days_asked(storage: Storage):
    for number in range(4):
        add(storage, replace(RUN, id=f"r{number}", made_at=NOW + number * DAY), save=False)
    assert [t.day for t in storage.tallies("a1", TODAY + DAY, TODAY + 2 * DAY)] == [TODAY + DAY, TODAY + 2 * DAY]


def test_a_claim_stands_until_it_expires(empty: Storage):
    assert empty.claim("key", "mine", until=LATER, now=NOW) == "mine"
    assert empty.claim("key", "yours", until=LATER, now=NOW) == "mine"
    assert empty.claimed("key", NOW) == "mine"
    assert empty.claimed("key", LATER) is None
    assert empty.claim("key", "yours", until=LATER + SECOND, now=LATER) == "yours"


def test_a_claim_is_released_once_and_by_its_value_alone(empty: Storage):
    empty.claim("key", "mine", until=LATER, now=NOW)
    assert not empty.release("key", "yours", NOW)
    assert not empty.release("key", "mine", LATER)
    assert empty.release("key", "mine", NOW)
    assert not empty.release("key", "mine", NOW)


def test_one_of_many_wins_a_claim_and_one_its_release(empty: Storage):
    with ThreadPoolExecutor(8) as threads:
        stands = set(threads.map(lambda n: empty.claim("key", str(n), until=LATER, now=NOW), range(8)))
        assert len(stands) == 1
        (winner,) = stands
        assert sum(threads.map(lambda _: empty.release("key", winner, NOW), range(8))) == 1


def test_a_counter_loses_no_count_and_starts_again_when_it_expires(empty: Storage):
    with ThreadPoolExecutor(8) as threads:
        sums = list(threads.map(lambda _: empty.count("key", until=LATER, now=NOW), range(16)))
    assert sorted(sums) == list(range(1, 17))
    assert empty.count("key", until=LATER, now=NOW, by=0) == 16
    assert empty.count("key", until=LATER, now=NOW, by=4) == 20
    assert empty.count("key", until=LATER + DAY, now=LATER, by=0) == 0
    assert empty.count("key", until=LATER + DAY, now=LATER) == 1


def test_everything_is_there_after_opening_again(storage: Storage, reopen: Opener):
    storage.add_session("token", "a1", NOW + SECOND)
    add(storage, RUN, save=False)
    storage.close()
    again = reopen()
    assert (again.find_user("ada"), again.session_user("token", NOW)) == ((ADA, "hash of ada"), ADA)
    assert again.run("a1", "r1", NOW) == RUN


def test_what_one_process_writes_another_sees_at_once(storage: Storage, reopen: Opener):
    other = reopen()
    add(storage, RUN, save=False)
    kept = other.save_run("a1", "r1", note="from the other", truth=None, now=NOW)
    assert storage.runs("a1", Query()).runs == (kept,)


def test_writing_from_many_threads_loses_nothing(storage: Storage, reopen: Opener):
    stores = (storage, reopen())

    def keep(number: int) -> None:
        stores[number % 2].add_run(replace(RUN, id=f"r{number}"), PICTURES, LATER)
        assert stores[number % 2].save_run("a1", f"r{number}", note=str(number), truth=None, now=NOW)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(keep, range(40)))
    assert {run.id: run.note for run in storage.runs("a1", Query(limit=100)).runs} == {f"r{n}": str(n) for n in range(40)}
    assert counted(storage, EVERYBODY)[TODAY, "release-1"]["saved"] == 40


def test_saving_the_same_run_at_the_same_moment_counts_once(storage: Storage):
    add(storage, RUN, save=False)
    with ThreadPoolExecutor(8) as threads:
        saved = list(threads.map(lambda n: storage.save_run("a1", "r1", note=str(n), truth=None, now=NOW), range(8)))
    assert all(saved)
    assert counted(storage, "a1")[TODAY, "release-1"]["saved"] == 1
    assert listed(storage) == ["r1"]


def test_what_was_put_back_is_what_was_there(storage: Storage, reopen: Opener):
    add(storage, RUN, truth="lynx")
    add(storage, replace(RUN, id="wait"), save=False)
    storage.add_session("session", "a1", LATER)
    storage.add_token(replace(TOKEN, last_used_at=NOW), "hash")
    storage.claim("key", "value", until=LATER, now=NOW)
    storage.count("key", until=LATER, now=NOW, by=3)
    items = list(storage.items())
    pictures = {item.run.id: storage.pictures(item.run) for item in items if isinstance(item, StoredRun)}
    storage.delete_user("a1")
    storage.delete_user("b1")
    left = list(storage.items())
    for item in items:
        if item not in left and not (isinstance(item, tallies.Tally) and item.scope == EVERYBODY):
            storage.put(item, pictures[item.run.id] if isinstance(item, StoredRun) else None)
    assert sorted(map(repr, storage.items())) == sorted(map(repr, items))
    assert listed(storage, label="lynx") == ["r1"]
    assert storage.picture("a1", "r1", "thumbnail", NOW) == PICTURES.thumbnail
    assert list(storage.problems(mend=False)) == []
    assert storage.run("a1", "wait", LATER) is None


def test_threads_that_ended_hold_nothing_open(storage: Storage):
    # Starlette's pool ends idle threads and starts new ones for as long as the service runs.
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(40):
        thread = threading.Thread(target=storage.find_user, args=("ada",))
        thread.start()
        thread.join()
    assert len(os.listdir("/proc/self/fd")) - before < 10
