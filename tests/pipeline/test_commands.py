from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline import commands
from pipeline.errors import GateClosed, PipelineError, UsageError
from pipeline.ledger import protocol as ledger
from pipeline.recording import opened
from pipeline.verdict import Verdict
from tests.fakes import Shop, load_stats
from tests.pipeline.conftest import made, shipped, staged


def live(shop: Shop, environment: str) -> str | None:
    return ledger.live(shop.tools.events(), environment)


def kinds(shop: Shop) -> list[str]:
    return [event.kind for event in shop.tools.events()]


# check, test


def test_a_refused_dependency_closes_the_gate_and_is_recorded(shop: Shop):
    shop.dependencies.append(Verdict.of(["numpy has no hash"]))
    with pytest.raises(GateClosed, match="numpy has no hash"):
        commands.check(shop.tools, "aaa")
    assert shop.tools.events()[-1].detail["answer"] == "refused"


def test_dependencies_that_could_not_be_judged_are_no_pass(shop: Shop):
    shop.dependencies.append(Verdict.unknown("nothing is installed"))
    with pytest.raises(PipelineError, match="could not judge") as caught:
        commands.check(shop.tools, "aaa")
    assert caught.value.exit_code == 3


def test_failing_tests_close_the_gate(shop: Shop):
    shop.tests.verdict = Verdict.of(["1 of 3 tests failed"])
    with pytest.raises(GateClosed, match="1 of 3 tests failed"):
        commands.test(shop.tools, "aaa")


# build


def test_the_same_tree_is_never_built_twice(shop: Shop):
    shop.commits.trees = {"aaa": "tree", "bbb": "tree"}
    first, second = made(shop, "aaa"), made(shop, "bbb")
    assert len(shop.images.built) == 1
    assert first.image == second.image
    assert first.id != second.id


def test_building_twice_makes_one_release(shop: Shop):
    made(shop, "aaa")
    made(shop, "aaa")
    assert kinds(shop).count("released") == 1


def test_a_rebuild_that_gives_another_digest_is_an_error(shop: Shop):
    release = made(shop, "aaa")
    shop.images.stored.discard(release.image)
    shop.images.rebuilds_differ = True
    with pytest.raises(PipelineError, match="was built before"):
        made(shop, "aaa")


def test_a_tree_is_built_anew_once_its_registry_was_removed(shop: Shop):
    made(shop, "aaa")
    commands.down(shop.tools)
    shop.images.stored.clear()
    shop.images.rebuilds_differ = True
    made(shop, "aaa")
    assert len(shop.images.built) == 2


# deploy


def test_a_deployed_release_is_live(shop: Shop):
    release = made(shop, "aaa")
    commands.deploy(shop.tools, "staging", release.id)
    assert live(shop, "staging") == release.id


def test_a_release_whose_tests_never_ran_is_not_deployed(shop: Shop):
    commands.check(shop.tools, "aaa")
    release = commands.build(shop.tools, "aaa", lambda files: "lock", lambda files: "model")
    with pytest.raises(GateClosed, match="tests was never asked"):
        commands.deploy(shop.tools, "staging", release.id)
    assert shop.hosts.serving == {}


def test_a_release_that_never_becomes_ready_leaves_the_live_one_alone(shop: Shop):
    good = shipped(shop, "aaa")
    bad = made(shop, "bbb")
    shop.hosts.never_ready.add(bad.commit)
    with pytest.raises(GateClosed, match=f"release {good.short} is still live"):
        commands.deploy(shop.tools, "staging", bad.id)
    assert live(shop, "staging") == good.id
    assert shop.hosts.settled == [(good.id, "staging")]


def test_a_host_that_answers_with_another_image_fails_the_deploy(shop: Shop):
    release = made(shop, "aaa")
    shop.hosts.lying = True
    with pytest.raises(GateClosed, match="which is not release"):
        commands.deploy(shop.tools, "staging", release.id)
    assert live(shop, "staging") is None


def test_a_deploy_that_was_cut_short_is_tidied_before_the_next(shop: Shop):
    good = shipped(shop, "aaa")
    shop.hosts.unreachable = True
    with pytest.raises(PipelineError):
        commands.deploy(shop.tools, "staging", made(shop, "bbb").id)
    shop.hosts.unreachable = False
    commands.deploy(shop.tools, "staging")
    assert shop.hosts.settled == [(good.id, "staging")]


def test_load_ends_with_a_deploy_that_could_not_reach_its_hosts(shop: Shop):
    shipped(shop, "aaa")
    shop.hosts.unreachable = True
    with pytest.raises(PipelineError):
        commands.deploy(shop.tools, "staging", made(shop, "bbb").id, under_load=True)
    assert shop.load.runs[-1].ended


def test_a_deploy_of_a_commit_takes_the_release_of_that_commit(shop: Shop):
    first = made(shop, "aaa")
    made(shop, "bbb")
    done = commands.deploy(shop.tools, "staging", commit_name="aaa")
    assert done.release == first


def test_a_deploy_of_a_release_that_nobody_made_names_it(shop: Shop):
    made(shop, "aaa")
    with pytest.raises(UsageError, match="no release with id feed"):
        commands.deploy(shop.tools, "staging", "feed")


# loadtest


def test_a_load_test_binds_its_evidence_to_the_live_release(shop: Shop):
    release = staged(shop, "aaa")
    said = ledger.latest_evidence(shop.tools.events(), "load", release.id, "staging")
    assert said is not None
    assert said.passed


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.of(["slow"]), 1), (Verdict.unknown("no data"), 3)])
def test_a_verdict_that_is_no_pass_opens_no_gate(verdict: Verdict, code: int):
    with pytest.raises(PipelineError) as caught:
        opened(verdict, "the load gate")
    assert caught.value.exit_code == code


def test_a_load_test_of_an_empty_environment_is_asked_wrongly(shop: Shop):
    with pytest.raises(UsageError, match="nothing is live on staging"):
        commands.loadtest(shop.tools, "staging")


# promote


def test_promote_moves_the_same_digest(shop: Shop):
    release = shipped(shop, "aaa")
    assert live(shop, "production") == release.id
    assert {served.image for served in shop.hosts.serving.values()} == {release.image}


def test_promote_without_a_load_test_is_refused(shop: Shop):
    release = made(shop, "aaa")
    commands.deploy(shop.tools, "staging", release.id)
    with pytest.raises(GateClosed, match="load@staging was never asked"):
        commands.promote(shop.tools, "staging", "production")
    assert live(shop, "production") is None


def test_promote_after_a_refused_load_test_is_refused(shop: Shop):
    release = made(shop, "aaa")
    commands.deploy(shop.tools, "staging", release.id)
    shop.load.stats = load_stats(300, failed=3)
    commands.loadtest(shop.tools, "staging")
    with pytest.raises(GateClosed, match="load@staging said refused"):
        commands.promote(shop.tools, "staging", "production")


def test_promote_counts_what_users_met_meanwhile(shop: Shop):
    shipped(shop, "aaa")
    staged(shop, "bbb")
    done = commands.promote(shop.tools, "staging", "production")
    assert done.load is not None
    assert (done.load["sent"], done.load["failed"], done.load["lost"]) == (300, 0, 0)


def test_promote_to_an_empty_environment_has_no_load_to_count(shop: Shop):
    staged(shop, "aaa")
    assert commands.promote(shop.tools, "staging", "production").load is None


def test_promote_from_an_empty_environment_is_asked_wrongly(shop: Shop):
    with pytest.raises(UsageError, match="nothing is live on staging"):
        commands.promote(shop.tools, "staging", "production")


# rollback


def test_rollback_puts_back_the_release_before(shop: Shop):
    first = shipped(shop, "aaa")
    shipped(shop, "bbb")
    commands.rollback(shop.tools, "production")
    assert live(shop, "production") == first.id
    assert shop.hosts.serving["http://127.0.9.3"] == first


def test_rolling_back_twice_goes_back_two_releases(shop: Shop):
    first = shipped(shop, "aaa")
    shipped(shop, "bbb")
    shipped(shop, "ccc")
    commands.rollback(shop.tools, "production")
    commands.rollback(shop.tools, "production")
    assert live(shop, "production") == first.id


def test_rollback_without_an_earlier_release_changes_nothing(shop: Shop):
    release = shipped(shop, "aaa")
    before = shop.tools.events()
    with pytest.raises(UsageError, match="no earlier release"):
        commands.rollback(shop.tools, "production")
    assert shop.tools.events() == before
    assert live(shop, "production") == release.id


def test_rollback_skips_a_release_that_was_only_put_on_again(shop: Shop):
    first = shipped(shop, "aaa")
    shipped(shop, "bbb")
    commands.promote(shop.tools, "staging", "production")
    commands.rollback(shop.tools, "production")
    assert live(shop, "production") == first.id


# status, history, down, ask


def test_status_shows_a_host_that_answers_with_something_else(shop: Shop):
    release = shipped(shop, "aaa")
    shop.hosts.serving["http://127.0.9.2"] = replace(release, commit="f" * 40)
    rows = {row["host"]: row for row in commands.status(shop.tools)}
    assert rows["127.0.9.2"]["answers"] != rows["127.0.9.2"]["live"]
    assert rows["127.0.9.3"]["answers"] == rows["127.0.9.3"]["live"] == release.id


def test_history_of_one_environment_leaves_the_others_out(shop: Shop):
    shipped(shop, "aaa")
    assert {entry.event.environment for entry in commands.history(shop.tools, "staging")} == {"staging"}


def test_nothing_is_live_once_everything_was_taken_down(shop: Shop):
    shipped(shop, "aaa")
    commands.down(shop.tools)
    assert live(shop, "production") is None
    assert shop.fleet.everything_down() == []


def test_asking_with_a_picture_that_is_not_there_says_so(shop: Shop, tmp_path):
    shipped(shop, "aaa")
    with pytest.raises(UsageError, match="there is no picture"):
        commands.ask(shop.tools, "production", tmp_path / "none.jpg")


def test_an_unknown_environment_is_named_with_the_known_ones(shop: Shop):
    with pytest.raises(UsageError, match="no environment 'prod'") as caught:
        commands.rollback(shop.tools, "prod")
    assert "staging, production" in caught.value.hint


# arrive, newest, lint


def test_a_commit_after_which_another_arrived_is_superseded(shop: Shop):
    for commit in ("aaa", "bbb"):
        commands.arrive(shop.tools, commit, "main")
    with pytest.raises(GateClosed, match=r"aaa.* is superseded: bbb"):
        commands.newest(shop.tools, "aaa", "main")
    assert commands.newest(shop.tools, "bbb", "main").id.startswith("bbb")


def test_a_commit_that_arrives_after_one_that_was_made_on_top_of_it_is_not_the_newest(shop: Shop):
    shop.commits.order = ["aaa", "bbb"]
    for commit in ("bbb", "aaa"):
        commands.arrive(shop.tools, commit, "main")
    commands.newest(shop.tools, "bbb", "main")
    with pytest.raises(GateClosed, match=r"aaa.* is superseded: bbb"):
        commands.newest(shop.tools, "aaa", "main")


def test_a_release_that_is_named_by_nothing_is_not_the_newest_one(shop: Shop):
    made(shop, "aaa")
    with pytest.raises(UsageError, match="nothing at all"):
        commands.deploy(shop.tools, "staging", "")


def test_a_commit_that_is_superseded_while_it_waits_for_its_turn_is_not_deployed(shop: Shop):
    made(shop, "aaa")
    commands.arrive(shop.tools, "aaa", "main")
    commands.arrive(shop.tools, "bbb", "main")
    with pytest.raises(GateClosed, match="superseded"):
        commands.deploy(shop.tools, "staging", commit_name="aaa", newest_of="main")
    assert live(shop, "staging") is None


def test_a_commit_of_another_branch_supersedes_nothing(shop: Shop):
    commands.arrive(shop.tools, "aaa", "main")
    commands.arrive(shop.tools, "bbb", "feature/x")
    assert commands.newest(shop.tools, "aaa", "main").id.startswith("aaa")


def test_an_old_commit_that_is_shipped_anew_is_the_newest_again(shop: Shop):
    for commit in ("aaa", "bbb", "aaa"):
        commands.arrive(shop.tools, commit, "main")
    commands.newest(shop.tools, "aaa", "main")


@pytest.mark.parametrize(("verdict", "code"), [(Verdict.of(["1 complaint"]), 1), (Verdict.unknown("mypy ended with 2"), 3)])
def test_a_lint_that_is_no_pass_closes_its_gate_and_is_recorded(shop: Shop, verdict: Verdict, code: int):
    shop.lint.verdict = verdict
    with pytest.raises(PipelineError) as caught:
        commands.lint(shop.tools, "aaa")
    assert caught.value.exit_code == code
    assert shop.tools.events()[-1].detail["answer"] == verdict.answer


# what was agreed to, and which release to go back to


def test_only_the_commit_that_was_agreed_to_is_promoted(shop: Shop):
    staged(shop, "aaa")
    staged(shop, "bbb")
    with pytest.raises(GateClosed, match="a release of commit bbb"):
        commands.promote(shop.tools, "staging", "production", commit_name="aaa")
    assert live(shop, "production") is None
    assert commands.promote(shop.tools, "staging", "production", commit_name="bbb").release.commit.startswith("bbb")


def test_a_rollback_goes_back_to_the_release_that_is_named(shop: Shop):
    first, _, _ = (shipped(shop, commit) for commit in ("aaa", "bbb", "ccc"))
    commands.rollback(shop.tools, "production", first.id[:8])
    assert live(shop, "production") == first.id
    assert ledger.served(shop.tools.events(), "production") == (first.id,)


@pytest.mark.parametrize("which", ["live", "never there"])
def test_a_rollback_to_what_was_not_live_before_is_asked_wrongly(shop: Shop, which: str):
    shipped(shop, "aaa")
    last = shipped(shop, "bbb")
    name = last.id if which == "live" else made(shop, "ccc").id
    with pytest.raises(UsageError, match="was not live on production before"):
        commands.rollback(shop.tools, "production", name)
    assert live(shop, "production") == last.id
