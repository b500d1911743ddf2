from __future__ import annotations

import pytest

from pipeline.stages import SET_UP, WAY, Action, Approval, Group, Situation, argv_of, planned, stages_of


def names(situation: Situation) -> list[str]:
    return [stage.name for stage in stages_of(situation)]


def approvals(situation: Situation) -> list[str]:
    return [node.name for node in planned(situation) if isinstance(node, Approval)]


def test_a_branch_stops_after_the_build():
    assert names(Situation("abc", "feature/x")) == ["arrive", "dependencies", "tests", "lint", "build"]


@pytest.mark.parametrize("action", [Action.PROMOTE, Action.ROLLBACK])
def test_nothing_of_another_branch_touches_an_environment(action: Action):
    assert names(Situation("abc", "feature/x", action=action)) == []


def test_main_goes_to_staging_and_asks_before_production():
    assert approvals(Situation("abc")) == ["approve"]
    assert names(Situation("abc"))[-3:] == ["production hosts", "promote to production", "ask production"]


def test_main_may_end_at_staging():
    situation = Situation("abc", environment="staging")
    assert names(situation)[-1] == "load staging"
    assert approvals(situation) == []


def test_a_tag_goes_to_production_without_being_asked():
    situation = Situation("abc", "v1", tag=True)
    assert approvals(situation) == []
    assert names(situation) == names(Situation("abc"))


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_rollback_is_as_short_as_can_be_and_asks_nobody(environment: str):
    situation = Situation("abc", action=Action.ROLLBACK, environment=environment)
    assert names(situation)[0] == f"roll {environment} back"
    assert approvals(situation) == []


def test_a_promotion_to_production_asks_and_touches_production_alone():
    situation = Situation("abc", action=Action.PROMOTE, release="f00")
    assert approvals(situation) == ["approve"]
    assert {node.environment for node in planned(situation) if isinstance(node, Group)} == {"production"}


def test_every_stage_that_reaches_hosts_is_inside_the_lock_of_its_environment():
    for node in WAY:
        stages = node.stages if isinstance(node, Group) else ()
        for stage in stages:
            assert (stage.agent == "deploy") == bool(isinstance(node, Group) and node.environment), stage.name
            assert stage.agent == "cpu" or node.environment in stage.argv, stage.name


def test_the_words_of_a_stage_are_filled_in_and_never_split():
    situation = Situation("abc", "a b; rm -rf /", release="", load="ramp")
    newest = next(s for node in WAY for s in ([node] if not isinstance(node, Group | Approval) else []) if s.name == "newest")
    assert argv_of(newest, situation) == ["newest", "--commit", "abc", "--branch", "a b; rm -rf /"]


def test_what_may_be_tried_again_says_how_often():
    build = next(stage for stage in stages_of(Situation("abc")) if stage.name == "build")
    assert argv_of(build, Situation("abc"))[:3] == ["--attempts", "2", "build"]


def test_names_of_stages_are_unique():
    every = [SET_UP.name] + [s.name for node in WAY for s in (node.stages if isinstance(node, Group) else (node,))]
    assert len(every) == len(set(every))
