"""Load on deployed hosts: Locust in a process of its own, and what it measured."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import process
from pipeline.errors import PipelineError
from pipeline.gates.load import LoadStats, Sample

STOP_SECONDS = 30  # how long the last answers may take
START_SECONDS = 30


def locust_argv(
    python: str, locustfile: Path, urls: Sequence[str], *, users: int, seconds: float | None, record: Path, shape: str = "steady"
) -> list[str]:
    """The command of one headless run; without `seconds` it goes on until it is told to stop."""
    length = ["--run-time", f"{seconds:g}s"] if seconds is not None else []
    shaped = ["--shape", shape] if shape != "steady" else []
    files = [locustfile, locustfile.with_name("shapes.py")] if shaped else [locustfile]
    return [
        python, "-m", "locust", "--locustfile", ",".join(map(str, files)), "--headless", "--only-summary", "--host", urls[0],
        "--targets", ",".join(urls), "--record", str(record), "--users", str(users), "--spawn-rate", str(users),
        "--stop-timeout", str(STOP_SECONDS), "--exit-code-on-error", "0", *length, *shaped,
    ]  # fmt: skip


def read_record(path: Path) -> LoadStats:
    """What the locustfile wrote. Raises PipelineError when it wrote nothing that can be read."""
    try:
        document = json.loads(path.read_text())
        samples = tuple(Sample(*sample) for sample in document["samples"])
        return LoadStats(document["sent"], samples, document["seconds"], document["warm_up"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError("the load test left no result", hint=f"its log is {path.with_suffix('.log')}") from error


@dataclass(frozen=True, slots=True)
class LocustRun:
    """One run of Locust."""

    child: process.Companion
    record: Path
    seconds: float | None

    def finish(self, after_seconds: float = 0) -> LoadStats:
        if self.seconds is not None:
            self.child.wait(self.seconds + START_SECONDS + STOP_SECONDS)
        else:
            time.sleep(after_seconds)
            self.child.stop(grace=STOP_SECONDS + 10)
        return read_record(self.record)

    def stop(self) -> None:
        self.child.stop(grace=STOP_SECONDS)


class LocustLoad:
    """Runs the locustfile in `loadtests`; records and logs are kept in `folder`."""

    def __init__(self, loadtests: Path, python: str, folder: Path) -> None:
        self._locustfile = loadtests / "locustfile.py"
        self._python = python
        self._folder = folder

    def start(self, urls: Sequence[str], *, users: int, seconds: float | None, shape: str = "steady") -> LocustRun:
        self._folder.mkdir(parents=True, exist_ok=True)
        record = self._folder / f"load-{time.time_ns()}.json"
        argv = locust_argv(self._python, self._locustfile, urls, users=users, seconds=seconds, record=record, shape=shape)
        child = process.Companion(argv, log=record.with_suffix(".log"))
        self._wait_for_first_request(child, record)
        return LocustRun(child, record, seconds)

    def _wait_for_first_request(self, child: process.Companion, record: Path) -> None:
        """Return once users are at work: the locustfile makes `<record>.started` with its first request."""
        started, end = record.with_suffix(".started"), time.monotonic() + START_SECONDS
        while not started.exists():
            if not child.running or time.monotonic() > end:
                child.stop(grace=5)
                raise PipelineError("the load test did not start", hint=f"its log is {record.with_suffix('.log')}")
            time.sleep(0.1)
        started.unlink()
