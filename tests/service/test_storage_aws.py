"""What is true of the store on AWS alone; what is true of every store is in test_storage.py."""

from __future__ import annotations

import itertools
import os
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from service.errors import ConfigError, StorageUnavailable
from service.records import ApiToken, Pictures, Role, Run, Scope, Score, User
from service.search import Query
from service.storage.aws import AwsStorage, clients, create, layout, runs
from service.storage.aws.table import Key, Table
from service.storage.protocol import StoredRun, StoredSession
from service.tallies import EVERYBODY, Tally, counts_of
from tests.service.aws_server import aws_environment, free_port, moto_server

pytestmark = pytest.mark.aws
NUMBERS = itertools.count()
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(hours=1)
ADA = User("a1", "ada", Role.ADMIN, NOW)
SCORES = (Score("tabby cat", 281, 0.1 + 0.2), Score("lynx", 282, 1e-9))
RUN = Run("r1", "a1", NOW, SCORES, "release-1", "model", "image/png", 640, 480, 25600, 12.345678901)
PICTURES = Pictures(bytes(range(256)) * 100, b"\xff\xd8 a thumbnail", "image/png", 640, 480)
TOKEN = ApiToken("t1", "a1", "laptop", (Scope.PREDICT,), NOW, LATER)


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    with moto_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(url).items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def storage(aws: None) -> Iterator[AwsStorage]:
    """A new store that knows ada."""
    name = f"alone-{os.getpid()}-{next(NUMBERS)}"
    create(name, name)
    storage = AwsStorage(name, name)
    storage.add_user(ADA, "hash of ada")
    yield storage
    storage.close()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_LONGEST_PAUSE", 0.001)


def add(storage: AwsStorage, run: Run, *, truth: str = "") -> Run:
    storage.add_run(run, PICTURES, LATER)
    saved = storage.save_run(run.owner, run.id, note="", truth=truth, now=NOW)
    assert saved
    return saved


def asked(storage: AwsStorage) -> list[str]:
    """The operations that are asked of DynamoDB from now on."""
    names: list[str] = []
    storage._dynamodb.meta.events.register("before-call.dynamodb", lambda model, **_: names.append(model.name))
    return names


def answer(storage: AwsStorage, operation: str, answers: Iterator[BaseException | dict[str, Any] | None]) -> None:
    """What befalls one after another call of an operation: an exception, an answer of AWS's, or (None) nothing unusual."""

    def befall(**_: object) -> Any:
        what = next(answers, None)
        if isinstance(what, BaseException):
            raise what
        return (SimpleNamespace(status_code=400), what) if what else None

    storage._dynamodb.meta.events.register(f"before-call.dynamodb.{operation}", befall)


CONFLICT = {
    "Error": {"Code": "TransactionCanceledException", "Message": "conflict"},
    "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
}


class Killed(BaseException):
    """The process ends here."""


def test_pictures_are_encrypted_and_say_what_they_are(storage: AwsStorage):
    add(storage, RUN)
    for kind, media_type in (("picture", "image/png"), ("thumbnail", "image/jpeg")):
        for state in ("waiting", "kept"):
            head = storage._s3.head_object(Bucket=storage._bucket.name, Key=f"{state}/r1/{kind}")
            assert (head["ServerSideEncryption"], head["ContentType"]) == ("AES256", media_type)


def test_the_bucket_is_closed_and_forgets_what_waits(storage: AwsStorage):
    s3, name = storage._s3, storage._bucket.name
    assert set(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert (rule["Status"], rule["Filter"], rule["Expiration"]) == ("Enabled", {"Prefix": "waiting/"}, {"Days": 1})
    (encryption,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert "Status" not in s3.get_bucket_versioning(Bucket=name)


def test_the_table_is_billed_by_request_forgets_and_can_be_restored(storage: AwsStorage):
    dynamodb, name = storage._dynamodb, storage._table.name
    assert dynamodb.describe_table(TableName=name)["Table"]["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"


def test_making_table_and_bucket_again_changes_nothing(storage: AwsStorage):
    kept = add(storage, RUN)
    create(storage._table.name, storage._bucket.name)
    assert storage.run("a1", "r1", NOW) == kept
    assert storage.pictures(kept) == PICTURES


def test_an_expiring_item_is_never_cleared_away_early(storage: AwsStorage):
    storage.add_run(RUN, PICTURES, LATER)
    item = storage._table.get(layout.run_key("a1", "r1"))
    assert item
    assert LATER.timestamp() <= int(item["expires"]) < LATER.timestamp() + 1
    storage.save_run("a1", "r1", note=None, truth=None, now=NOW)
    item = storage._table.get(layout.run_key("a1", "r1"))
    assert item
    assert "expires" not in item


def test_a_browser_reads_a_picture_at_its_address(storage: AwsStorage):
    storage.add_run(RUN, PICTURES, LATER)
    for _ in ("waiting", "kept"):
        for kind, media_type, blob in (
            ("picture", "image/png", PICTURES.picture),
            ("thumbnail", "image/jpeg", PICTURES.thumbnail),
        ):
            url = storage.picture_url("a1", "r1", kind, NOW)
            assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["300"]
            assert storage.picture_origins() == (f"http://{urlsplit(url).netloc}",)
            with urllib.request.urlopen(url) as response:
                assert (response.headers["Content-Type"], response.read()) == (media_type, blob)
        storage.save_run("a1", "r1", note=None, truth=None, now=NOW)


def test_nothing_that_users_do_scans(storage: AwsStorage):
    names = asked(storage)
    storage.add_user(User("b1", "bob", Role.VIEWER, NOW), "hash")
    storage.find_user("bob"), storage.user("b1"), storage.users("", 9), storage.admins()
    storage.change_user("b1", role=Role.OPERATOR)
    storage.add_session("session", "b1", LATER), storage.session_user("session", NOW)
    storage.end_session("session"), storage.end_sessions("b1")
    storage.add_token(TOKEN, "hash"), storage.find_token("hash", NOW), storage.tokens("a1"), storage.touch_token("hash", NOW)
    storage.revoke_token("a1", "t1")
    storage.add_run(replace(RUN, owner="guest"), PICTURES, LATER), storage.adopt_runs("guest", "b1", NOW)
    storage.save_run("b1", "r1", note="n", truth="lynx", now=NOW), storage.run("b1", "r1", NOW)
    storage.runs("b1", Query()), storage.runs("b1", Query(label="lynx", release="release-1"))
    storage.picture("b1", "r1", "picture", NOW), storage.picture_url("b1", "r1", "picture", NOW)
    storage.tallies("b1", NOW.date(), NOW.date()), storage.tallies(EVERYBODY, NOW.date(), NOW.date())
    storage.delete_run("b1", "r1")
    storage.claim("k", "v", until=LATER, now=NOW), storage.claimed("k", NOW), storage.release("k", "v", NOW)
    storage.count("k", until=LATER, now=NOW), storage.count("k", until=LATER, now=NOW, by=0)
    storage.delete_user("b1")
    assert "Query" in names
    assert "Scan" not in names
    list(storage.items())
    assert "Scan" in names


def test_a_page_costs_two_requests_however_many_runs_there_are(storage: AwsStorage):
    for number in range(12):
        storage.put(StoredRun(replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND, saved_at=NOW), None))
    names = asked(storage)
    page = storage.runs("a1", Query(limit=5))
    assert [run.id for run in page.runs] == ["r11", "r10", "r9", "r8", "r7"]
    assert names == ["Query", "BatchGetItem"]


def test_a_long_index_is_read_some_entries_at_a_time(storage: AwsStorage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "READ_AT_ONCE", 5)
    for number in range(12):
        release = "rare" if number == 1 else "usual"
        run = replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND, release=release, saved_at=NOW)
        storage.put(StoredRun(run, None))
    first = storage.runs("a1", Query(label="cat", release="rare"))
    second = storage.runs("a1", Query(label="cat", release="rare", after=first.after))
    third = storage.runs("a1", Query(label="cat", release="rare", after=second.after))
    assert [[run.id for run in page.runs] for page in (first, second, third)] == [[], [], ["r1"]]
    assert (first.after.id, second.after.id, third.after) == ("r7", "r2", None)


def test_what_is_more_than_one_answer_of_dynamodb_is_read_on(storage: AwsStorage):
    for number in range(5):
        storage.put(StoredRun(replace(RUN, id=f"r{number}", owner="guest", note="n" * 300_000), LATER))
    names = asked(storage)
    assert storage.adopt_runs("guest", "a1", NOW) == 5
    assert names.count("Query") > 2


def test_keys_that_dynamodb_leaves_out_are_asked_again(hasty: None):
    class Busy:
        """Answers for one key at a time."""

        def batch_get_item(self, RequestItems: Any) -> Any:
            first, *rest = RequestItems["t"]["Keys"]
            return {"Responses": {"t": [first]}, "UnprocessedKeys": {"t": {"Keys": rest}} if rest else {}}

        def batch_write_item(self, RequestItems: Any) -> Any:
            written.append(RequestItems["t"][0])
            return {"UnprocessedItems": {"t": RequestItems["t"][1:]} if RequestItems["t"][1:] else {}}

    written: list[object] = []
    table: Any = Table(Busy(), "t")  # type: ignore[arg-type]
    keys = [Key("pk", str(number)) for number in range(4)]
    assert list(table.get_many(keys)) == keys
    table.delete_many(keys)
    assert len(written) == 4


def test_threads_lose_no_count_and_double_none(storage: AwsStorage):
    def live(number: int) -> Run | None:
        run = add(storage, replace(RUN, id=f"r{number}", made_at=NOW + number * SECOND), truth="lynx" if number % 2 else "")
        if number % 3:
            return run
        assert storage.delete_run("a1", run.id)
        return None

    with ThreadPoolExecutor(8) as threads:
        left = [run for run in threads.map(live, range(24)) if run]
    assert {run.id for run in storage.runs("a1", Query()).runs} == {run.id for run in left}
    expected = sum((counts_of(run) for run in left), start=counts_of(left[0]) - counts_of(left[0]))
    for scope in ("a1", EVERYBODY):
        (tally,) = storage.tallies(scope, NOW.date(), NOW.date())
        assert tally.counts == expected


def test_everybodys_tallies_lie_in_many_items_and_come_out_as_one(storage: AwsStorage):
    for number in range(8):
        add(storage, replace(RUN, id=f"r{number}"))
    shards = [list(storage._table.query(layout.tallies_of(EVERYBODY, shard))) for shard in range(layout.SHARDS)]
    assert sum(map(bool, shards)) > 1
    (tally,) = [item for item in storage.items() if isinstance(item, Tally) and item.scope == EVERYBODY]
    assert tally.counts["saved"] == 8
    storage.put(tally)
    assert storage.tallies(EVERYBODY, NOW.date(), NOW.date()) == (tally,)


def test_a_change_at_the_moment_of_another_is_made_after_it(storage: AwsStorage):
    storage.add_run(RUN, PICTURES, LATER)
    answer(storage, "TransactWriteItems", iter([CONFLICT, CONFLICT]))
    assert storage.save_run("a1", "r1", note="mine", truth=None, now=NOW)
    assert [run.note for run in storage.runs("a1", Query()).runs] == ["mine"]


def test_a_change_that_never_gets_its_turn_says_so(storage: AwsStorage, hasty: None):
    storage.add_run(RUN, PICTURES, LATER)
    answer(storage, "TransactWriteItems", itertools.repeat(CONFLICT))
    with pytest.raises(StorageUnavailable, match="at once"):
        storage.save_run("a1", "r1", note="mine", truth=None, now=NOW)
    assert storage.run("a1", "r1", NOW) == RUN


def test_a_kill_between_pictures_and_table_leaves_the_run_unsaved(storage: AwsStorage):
    storage.add_run(RUN, PICTURES, LATER)
    before = list(storage.items())
    answer(storage, "TransactWriteItems", iter([Killed()]))
    with pytest.raises(Killed):
        storage.save_run("a1", "r1", note="mine", truth=None, now=NOW)
    assert list(storage.items()) == before
    assert storage.runs("a1", Query()).runs == ()
    assert list(storage.problems(mend=False)) == []
    kept = storage.save_run("a1", "r1", note="mine", truth=None, now=NOW)
    assert storage.pictures(kept) == PICTURES


def test_a_user_whose_deletion_was_killed_is_gone_and_the_rest_is_cleared_away(storage: AwsStorage):
    add(storage, RUN)
    storage.add_token(TOKEN, "hash")
    answer(storage, "BatchWriteItem", iter([Killed()]))
    with pytest.raises(Killed):
        storage.delete_user("a1")
    assert (storage.user("a1"), storage.find_user("ada"), storage.find_token("hash", NOW)) == (None, None, None)
    assert "user a1 is deleted in part" in list(storage.problems(mend=False))
    storage.forget_expired(NOW)
    assert [item.scope for item in storage.items() if isinstance(item, Tally)] == [EVERYBODY]
    assert "a1" not in repr(list(storage.items()))
    assert storage.pictures(RUN) is None


def test_a_run_under_way_while_its_user_is_deleted_is_not_saved(storage: AwsStorage):
    storage.delete_user("a1")
    storage.add_run(RUN, PICTURES, LATER)
    assert storage.save_run("a1", "r1", note=None, truth=None, now=NOW) is None
    assert storage.runs("a1", Query()).runs == ()


def test_sessions_that_were_ended_do_not_come_back_with_their_user(storage: AwsStorage):
    storage.add_session("ended", "a1", LATER)
    storage.end_sessions("a1")
    storage.add_session("living", "a1", LATER)
    assert [item.token_hash for item in storage.items() if isinstance(item, StoredSession)] == ["living"]
    user = next(storage.items())
    storage.delete_user("a1")
    storage.put(user)
    assert storage.session_user("living", NOW) is None


def test_what_does_not_fit_together_is_named_and_mended(storage: AwsStorage):
    for number in range(3):
        add(storage, replace(RUN, id=f"r{number}"))
    table, entries = storage._table, layout.entries(replace(RUN, id="r0", saved_at=NOW))
    table.delete_many([min(entries), layout.name_key("ada"), layout.run_key("a1", "r1")])
    storage._s3.delete_object(Bucket=storage._bucket.name, Key="kept/r2/picture")
    wrong = {
        "user a1 cannot be found by the name 'ada'",
        "run r0 cannot be found by all of its labels",
        "run r1 is listed where it does not belong",
        "run r2 has lost its picture",
        "the pictures r1 belong to no run",
    }
    assert set(storage.problems(mend=False)) == wrong
    assert set(storage.problems(mend=True)) == wrong
    assert list(storage.problems(mend=False)) == ["run r2 has lost its picture"]
    assert storage.find_user("ada") == (ADA, "hash of ada")


def test_runs_of_nobody_are_named_and_left(storage: AwsStorage):
    storage.put(StoredRun(replace(RUN, owner="nobody", saved_at=NOW), None), PICTURES)
    assert list(storage.problems(mend=True)) == ["run r1 belongs to nobody, who is no user"]
    assert list(storage.problems(mend=True)) == ["run r1 belongs to nobody, who is no user"]


def test_keys_from_outside_may_be_of_any_length(storage: AwsStorage):
    for text in ("", "#", "%23", "x" * 5000, "ü" * 900):
        assert storage.find_user(text) is None
        assert storage.run("a1", text, NOW) is None
        assert storage.runs("a1", Query(label=text, release=text)).runs == ()
        assert storage.claim(text, "value", until=LATER, now=NOW) == "value"
    assert len({item.key for item in storage.items() if hasattr(item, "key")}) == 5


def test_a_table_that_is_not_there_is_made_by_storage_init(storage: AwsStorage):
    with pytest.raises(ConfigError, match=r"no table 'nowhere'.*python -m service storage init"):
        AwsStorage("nowhere", storage._bucket.name)
    with pytest.raises(ConfigError, match=r"no bucket 'nowhere'.*python -m service storage init"):
        AwsStorage(storage._table.name, "nowhere")


def test_a_name_that_aws_refuses_is_a_wrong_setting(storage: AwsStorage):
    with pytest.raises(ConfigError, match="Invalid bucket name"):
        create(storage._table.name, "no bucket is called this!")


def test_without_credentials_the_store_does_not_open(aws: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigError, match="credentials"):
        AwsStorage("table", "bucket")


def test_without_a_region_the_store_does_not_open(aws: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigError, match="region"):
        AwsStorage("table", "bucket")


def test_without_a_server_the_store_does_not_open(aws: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ConfigError, match="endpoint"):
        AwsStorage("table", "bucket")


def test_a_store_whose_server_goes_away_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    with moto_server() as url:
        for name, value in aws_environment(url).items():
            monkeypatch.setenv(name, value)
        create("table", "bucket")
        storage = AwsStorage("table", "bucket")
    for ask in (lambda: storage.user("a1"), lambda: storage.add_run(RUN, PICTURES, LATER)):
        with pytest.raises(StorageUnavailable, match="EndpointConnectionError"):
            ask()
    storage.close()
