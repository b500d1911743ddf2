"""Starting a build exactly once. Every build is started with an id; what is not known is looked up by it, never done again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pipeline.errors import PipelineError, UsageError
from pipeline.jenkins import replies
from pipeline.jenkins.answers import AnswerLost, NotThere
from pipeline.jenkins.connection import Connection, pauses
from pipeline.jenkins.names import full_name, job_path, queue_item
from pipeline.jenkins.replies import TRIGGER, Build, Definition, Queued

LOST_SECONDS = 60.0  # that a build whose start was not confirmed is looked for: the queue is there at once, unless Jenkins is busy
ID = re.compile(r"[\w.-]{1,100}")  # no spaces at its ends, which Jenkins would cut off


def trigger(connection: Connection, job: str, parameters: Mapping[str, str], trigger_id: str) -> Queued:
    """Start a build of `job`, unless there is one with that id. Raises UsageError, PipelineError.

    The parameters go in the body: addresses are written to logs.
    """
    if not ID.fullmatch(trigger_id):
        raise UsageError(f"{trigger_id!r} is no id for a build", hint="letters, digits, dots and dashes")
    job = full_name(job)
    if found := find(connection, job, trigger_id):
        return found
    given = {**parameters, TRIGGER: trigger_id}
    check(job, connection.read(f"{job_path(job)}/api/json", replies.definition, tree=replies.DEFINITION_TREE), given)
    try:
        answer = connection.post(f"{job_path(job)}/buildWithParameters", given)
    except AnswerLost as error:
        return _sought(connection, job, trigger_id, str(error))
    # 201 is a new place in the queue, 303 one that had the same parameters already: the same id, so the same build.
    item = queue_item(answer.headers.get("Location", "")) if answer.status in (201, 303) else None
    if item is None:
        return _sought(connection, job, trigger_id, f"jenkins answered {answer.status} and named no place in the queue")
    return Queued(job, trigger_id, item)


def find(connection: Connection, job: str, trigger_id: str) -> Queued | None:
    """The build that was started with the id, if there is one in the queue or among the recent builds."""
    job = full_name(job)
    # The queue first: what leaves it in between is a build by then, for Jenkins does both under one lock (hudson.model.Executor).
    for item in connection.read("queue/api/json", replies.queue, tree=replies.QUEUE_TREE):
        # Jenkins finds a job in any case of its letters.
        if item.job.casefold() == job.casefold() and item.parameters.get(TRIGGER) == trigger_id and not item.cancelled:
            return Queued(job, trigger_id, item.id)
    numbers = connection.read(f"{job_path(job)}/api/json", replies.numbers_by_trigger, tree=replies.BUILDS_TREE)
    return Queued(job, trigger_id, build=build_of(connection, job, numbers[trigger_id])) if trigger_id in numbers else None


def wait(connection: Connection, queued: Queued, on_reason: Callable[[str], None], seconds: float) -> Build:
    """The build, once it has begun; `on_reason` hears why it waits. Raises PipelineError when cancelled, or after `seconds`."""
    clock, pause, known = connection.clock, pauses(), ""
    give_up = clock.now() + seconds
    while queued.build is None:
        try:
            item = connection.read(f"queue/item/{queued.item}/api/json", replies.item, tree=replies.ITEM_TREE)
        except NotThere:
            return _after_the_queue(connection, queued)
        if item.cancelled:
            raise PipelineError(f"the build of {queued.job} was cancelled before it began (queue item {queued.item})")
        if item.number:
            return build_of(connection, queued.job, item.number)
        # Reasons count down ("Expires in 4.6 sec"): only another sentence is news.
        words = re.sub(r"[\d.,]+", "", item.why)
        if words != known:
            on_reason(item.why)
        delay = pause(words != known)
        known = words
        if clock.now() + delay > give_up:
            raise PipelineError(
                f"the build of {queued.job} has not begun within {seconds:.0f} s: {item.why or 'jenkins does not say why'}",
                hint=f"it stays in the queue; the id {queued.trigger} finds it again",
            )
        clock.sleep(delay)
    return queued.build


def build_of(connection: Connection, job: str, number: int) -> Build:
    """The build under the address that we use, which need not be the one that Jenkins thinks it has."""
    return Build(job, number, connection.address(f"{job_path(job)}/{number}/"))


def check(job: str, definition: Definition, given: Mapping[str, str]) -> None:
    """Raises PipelineError when the job cannot be started now, UsageError for values it does not take.

    Jenkins itself ignores a parameter that a job does not have, the id too: the build could not be found again.
    """
    known = definition.parameters
    if not definition.buildable:
        raise PipelineError(f"{job} cannot be built: it is disabled, or a folder", hint="Jenkins shows on its page which of both")
    if TRIGGER not in known:
        untaught = "Jenkins learns the parameters from the first build of a branch: start one there"
        raise PipelineError(f"{job} has no parameter {TRIGGER} yet", hint=untaught)
    if unknown := sorted(given.keys() - known.keys()):
        raise UsageError(f"{job} has no parameter {', '.join(unknown)}", hint=f"it has {', '.join(known)}")
    for name, value in given.items():
        if known[name] and value not in known[name]:
            raise UsageError(f"{name} = {value!r} is not a choice of {job}", hint=f"it takes {', '.join(known[name])}")


def _sought(connection: Connection, job: str, trigger_id: str, lost: str) -> Queued:
    clock, pause = connection.clock, pauses()
    give_up = clock.now() + LOST_SECONDS
    unknown = PipelineError(
        f"it is not known whether a build of {job} was started: {lost}",
        hint=f"repeat it with the same id {trigger_id}: a build that has it is found, and not started twice",
    )
    while True:
        try:
            if found := find(connection, job, trigger_id):
                return found
        except PipelineError as error:
            raise unknown from error
        delay = pause(False)
        if clock.now() + delay > give_up:
            raise unknown
        clock.sleep(delay)


def _after_the_queue(connection: Connection, queued: Queued) -> Build:
    """Jenkins forgets a place in the queue five minutes after it was left."""
    found = find(connection, queued.job, queued.trigger)
    if found and found.build:
        return found.build
    raise PipelineError(
        f"queue item {queued.item} is gone, and no build of {queued.job} has the id {queued.trigger}: it was cancelled or deleted"
    )
