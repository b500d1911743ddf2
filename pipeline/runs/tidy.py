"""What lies about after many runs: trees of commits, folders of runs, records of load. The newest stay, and the ledger does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pipeline.runs.record import Runs

KEPT_TREES, KEPT_RUNS, KEPT_LOADS = 30, 300, 600
YOUNG_SECONDS = 24 * 3600.0  # whatever was used since may be in use now


def tidy(state: Path, runs: Runs) -> list[Path]:
    """Remove what is neither among the newest of its kind, nor young, nor needed by a run that may go on; what was removed."""
    unfinished = [run for run in runs.all() if not run.state.over]
    needed = {Path(run.root) for run in unfinished} | {runs.folder(run.number) for run in unfinished}
    trees = (path for path in (state / "trees").glob("*") if path.is_dir() and path.name != "partial")
    old = [
        *_beyond(KEPT_TREES, trees),
        *_beyond(KEPT_RUNS, (path.parent for path in (state / "runs").glob("*/run.json"))),
        *_beyond(KEPT_LOADS, (path for path in (state / "load").glob("*") if path.is_file())),
    ]
    removed = [path for path in old if path not in needed]
    for path in removed:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return removed


def _beyond(kept: int, paths: Iterable[Path]) -> list[Path]:
    """Those that are older than a day and than the newest `kept`."""
    dated = []
    for path in paths:
        with suppress(FileNotFoundError):  # somebody else tidies up, too
            dated.append((path.stat().st_mtime, path))
    limit = time.time() - YOUNG_SECONDS
    return [path for used, path in sorted(dated, reverse=True)[kept:] if used < limit]
