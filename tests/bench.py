"""`make bench`: what is promised in figures, measured here and now, as a table and as var/bench/NAME.json.

`second` and `fresh` ship real commits from a checkout of their own; `fresh` first removes Slipway's images, so that everything
that a new machine makes is made.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import docker
from rich.console import Console
from rich.table import Table

from tests.bench_storage import listing, saves_per_second
from tests.shipyard import PRODUCTION, Shipyard, git, raise_shipyard, take_down

ROOT = Path(__file__).parent.parent
OUR_IMAGES = ("slipway/", "127.0.0.1:5020/slipway/", "127.0.0.1:5010/slipway/")


@dataclass(frozen=True)
class Row:
    """One figure. `to_reach` is a limit that it must not exceed, or not fall below where `at_least` says so."""

    name: str
    value: float
    unit: str
    to_reach: float
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.value >= self.to_reach if self.at_least else self.value <= self.to_reach


def second() -> list[Row]:
    """A second commit that changes only code, on its way to production; then what the running fleet costs."""
    with shipyard() as yard:
        yard.must("demo")
        yard.change_code("Ask another way")
        started = time.monotonic()
        yard.must("demo")
        took = time.monotonic() - started
        newest = max((yard.state / "runs").glob("*/evidence/report.json"), key=lambda path: path.stat().st_mtime)
        steps = json.loads(newest.read_text())
        print("; ".join(f"{step['name']} {step['seconds']:.1f} s" for step in steps), file=sys.stderr)
        met = yard.events("evidence", "production")[-1]["detail"]["load"]
        return [
            Row("second commit that changes only code, to production, 20 s of load included", round(took, 1), "s", 90),
            Row("requests sent while promoting under load", met["sent"], "requests", 500, at_least=True),
            Row("of them failed or lost", met["failed"] + met["lost"], "requests", 0),
            Row("build of an unchanged tree", unchanged_build(yard), "s", 2),
            Row("memory of a serving container, idle after warm-up", container_memory(yard), "MB", 900),
        ]


def fresh() -> list[Row]:
    """From a clone to an answer, with no environment, no wheels and no images; the engine itself is there."""
    engine = docker.from_env()
    if any("slipway.project" in container.labels for container in engine.containers.list(all=True)):
        sys.exit("error: a fleet is up, and its images would be removed\n  try: make down")
    for image in engine.images.list():
        if any(tag.startswith(OUR_IMAGES) for tag in image.tags):
            engine.images.remove(image.id, force=True)
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "slipway")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        started = time.monotonic()
        try:
            subprocess.run(["make", "demo"], cwd=clone, check=True)
            took = time.monotonic() - started
        finally:
            subprocess.run(["make", "down"], cwd=clone, check=True)
    return [Row("fresh clone, no wheels, no images: `make demo` to its answer", round(took, 1), "s", 720)]


def storage() -> list[Row]:
    """What the embedded store does in a second, and what a page costs in a store of a million runs."""
    found = [
        Row(f"saves a second, {n} at a time, durable, with picture and thumbnail", round(saves_per_second(n)), "/s", 100, True)
        for n in (1, 8)
    ]
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        for name, milliseconds in listing(Path(folder)):
            found.append(Row(f"p99: {name}", round(milliseconds, 2), "ms", 20))
    return found


BENCHMARKS: dict[str, Callable[[], list[Row]]] = {"storage": storage, "second": second, "fresh": fresh}


@contextmanager
def shipyard() -> Iterator[Shipyard]:
    """A checkout with hosts of its own, with the load of the demo; taken down at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yard = raise_shipyard(Path(folder), "slipway-bench", ROOT, load_seconds=20)
        try:
            yield yard
        finally:
            take_down(yard)


def unchanged_build(yard: Shipyard) -> float:
    """Seconds of `build` when there is nothing to do: the median of five."""
    times = []
    for _ in range(5):
        started = time.monotonic()
        yard.must("build")
        times.append(time.monotonic() - started)
    return round(sorted(times)[2], 2)


def container_memory(yard: Shipyard) -> float:
    """Megabytes that the largest of production's containers uses, as `docker stats` counts: without files that could be dropped."""
    time.sleep(5)
    names = [f"{yard.project}-production-{n}-{slot}" for n in range(1, len(PRODUCTION) + 1) for slot in ("blue", "green")]
    used = []
    for container in docker.from_env().containers.list():
        if container.name in names:
            memory = container.stats(stream=False)["memory_stats"]
            cache = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
            used.append((memory["usage"] - cache) / 1e6)
    return round(max(used), 0)


def machine() -> dict[str, object]:
    """Where this was measured."""
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    free = shutil.disk_usage(ROOT).free / 1e9
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "disk_free_gb": round(free),
        "system": platform.platform(),
        "python": platform.python_version(),
        "docker": docker.from_env().version()["Version"],
        "date": time.strftime("%Y-%m-%d"),
        "commit": git(ROOT, "rev-parse", "--short", "HEAD").strip(),
    }


def main(names: list[str]) -> int:
    """Run the benchmarks of these names, or all; 2 for a name that there is not."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"error: there is no benchmark {unknown[0]!r}\n  try: one of {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or list(BENCHMARKS):
        rows = BENCHMARKS[name]()
        described = [{**asdict(row), "reached": row.reached} for row in rows]
        path = ROOT / "var" / "bench" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"machine": machine(), "rows": described}, indent=2) + "\n")
        show(name, rows)
    return 0


def show(name: str, rows: list[Row]) -> None:
    table = Table("what", "measured", "to reach", "", title=f"{name}: {json.dumps(machine())}", title_justify="left", box=None)
    for row in rows:
        sign = "≥" if row.at_least else "≤"
        mark = "reached" if row.reached else "missed"
        table.add_row(row.name, f"{row.value:g} {row.unit}", f"{sign} {row.to_reach:g} {row.unit}", mark)
    Console(width=150).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
