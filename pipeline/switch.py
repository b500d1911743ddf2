"""The one way in which a release comes to an environment: attempted, switched, verified, and put back where that fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.collaborators import LoadRun, Tools
from pipeline.errors import GateClosed
from pipeline.gates import load
from pipeline.ledger import protocol as ledger
from pipeline.ledger.protocol import Event
from pipeline.recording import append, record
from pipeline.release import Release
from pipeline.settings import EnvironmentSettings
from pipeline.verdict import Verdict

AFTER_SWITCH_SECONDS = 3.0  # load goes on for so long after a deploy under load has ended


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deploy that ended well; `load` is what users of the environment met meanwhile, when load was on."""

    release: Release
    environment: str
    seconds: float
    load: dict[str, object] | None = None


def switch(
    tools: Tools,
    events: Sequence[Event],
    environment: EnvironmentSettings,
    release: Release,
    *,
    under_load: bool,
    outcome: str,
    withdrawn: Sequence[str] = (),
) -> Deployed:
    """The one way in which a release comes to an environment. What was live stays live until every host has the new one ready."""
    before = ledger.live(events, environment.name) or ""
    if ledger.interrupted(events, environment.name):
        tools.story.note(f"the last deploy to {environment.name} was cut short: tidying up first")
        tools.deployer.settle(before, environment)
    tools.story.step("deploying", f"{release.short} to {environment.name}")
    started = tools.now()
    append(tools, ledger.ATTEMPTED, release.id, environment.name)
    if under_load and not before:
        tools.story.note(f"nothing is live on {environment.name} yet: there is no user to lose, and no load to send")
    refusal, stats = None, None
    with _load_on(tools, environment, wanted=under_load and bool(before)) as running:
        try:
            tools.deployer.deploy(release, environment)
            _verify(tools, release, environment)
        except GateClosed as error:
            refusal = error
            tools.deployer.settle(before, environment)
        if running:
            stats = running.finish(AFTER_SWITCH_SECONDS)
    met = stats.summary() if stats else {}
    if refusal:
        record(tools, "deploy", Verdict.of([str(refusal)]), release.id, environment.name, load=met)
        append(tools, ledger.FAILED, release.id, environment.name)
        raise GateClosed(f"{refusal}{_still_live(before)}", hint=refusal.hint) from refusal
    seconds = (tools.now() - started).total_seconds()
    seen = seen_by_second(stats) if stats else []
    record(tools, "deploy", Verdict.of([]), release.id, environment.name, seconds=seconds, load=met, seen=seen)
    detail: dict[str, object] = {"release": release.id, "image": release.image}
    if withdrawn:
        append(tools, outcome, withdrawn[0], environment.name, detail={**detail, "withdrawn": list(withdrawn)})
    else:
        append(tools, outcome, release.id, environment.name, detail=detail)
    return Deployed(release, environment.name, seconds, met or None)


@contextmanager
def _load_on(tools: Tools, environment: EnvironmentSettings, *, wanted: bool) -> Iterator[LoadRun | None]:
    """Load on the environment for the time of the block, when it is wanted; never longer, whatever happens in the block."""
    if not wanted:
        yield None
        return
    running = tools.load.start(urls(environment), users=tools.settings.load_users, seconds=None)
    try:
        yield running
    finally:
        running.stop()


def _verify(tools: Tools, release: Release, environment: EnvironmentSettings) -> None:
    """Every host answers its users with exactly this release. Raises GateClosed."""
    for url in urls(environment):
        answer = tools.hosts.version(url)
        model = answer.get("model")
        found = (
            answer.get("release"),
            answer.get("image"),
            answer.get("lock"),
            model.get("sha256") if isinstance(model, dict) else None,
        )
        if found != (release.id, release.image, release.lock, release.model):
            raise GateClosed(f"{url} answers with {found}, which is not release {release.short}")


def _still_live(before: str) -> str:
    return f"; release {before[:12]} is still live" if before else ""


def seen_by_second(stats: load.LoadStats) -> list[list[float]]:
    """For charts: [second, answered, failed, p95 in ms] for each second of a run."""
    buckets: dict[int, list[load.Sample]] = {}
    for sample in stats.samples:
        buckets.setdefault(max(int(sample.at), 0), []).append(sample)
    rows = []
    for second in range(max(buckets, default=-1) + 1):
        samples = buckets.get(second, [])
        good = [s.milliseconds for s in samples if not s.failure]
        p95 = load.nearest_rank(good, 0.95) if good else 0.0
        rows.append([float(second), float(len(good)), float(len(samples) - len(good)), round(p95, 1)])
    return rows


def urls(environment: EnvironmentSettings) -> tuple[str, ...]:
    """Where the users of an environment reach its hosts."""
    return tuple(f"http://{host}" for host in environment.hosts)
