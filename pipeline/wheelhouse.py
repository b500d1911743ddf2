"""The wheelhouse: every locked wheel, downloaded once, checked by hash, and handed to image builds over loopback HTTP."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from pipeline import process
from pipeline.collaborators import Story
from pipeline.errors import PipelineError
from pipeline.gates.locks import Pin, read_requirements


def download_argv(python: str, locks: Sequence[Path], wheelhouse: Path) -> list[str]:
    """The command that fills the wheelhouse: only wheels, only what the locks name, every hash checked."""
    files = [word for lock in locks for word in ("--requirement", str(lock))]
    return [
        python, "-m", "pip", "download", "--disable-pip-version-check", "--progress-bar=off", "--no-deps", "--require-hashes",
        "--only-binary=:all:", f"--dest={wheelhouse}", f"--find-links={wheelhouse}", *files,
    ]  # fmt: skip


def complete(pins: Iterable[Pin], wheelhouse: Path) -> bool:
    """Whether there is a wheel for every pin."""
    there = {parse_wheel_filename(path.name)[:2] for path in wheelhouse.glob("*.whl")}
    return all((pin.name, Version(pin.version or "0")) in there for pin in pins)


def fill(python: str, locks: Sequence[Path], wheelhouse: Path, story: Story) -> None:
    """Download what is missing. Raises PipelineError with pip's last word."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    if complete((pin for lock in locks for pin in read_requirements(lock).pins), wheelhouse):
        return
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line.startswith(("Collecting", "Downloading", "  Downloading")):
            story.progress(line.strip())

    if process.follow(download_argv(python, locks, wheelhouse), hear) != 0:
        said = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise PipelineError(f"the wheels cannot be downloaded: {' '.join(said[-1:])}", hint="is a package index reachable?")


@contextmanager
def served(wheelhouse: Path, port: int) -> Iterator[str]:
    """The wheelhouse on http://127.0.0.1:port/ for the time of a build; its URL.

    The port is fixed because the URL is part of a build's cache key. Raises PipelineError when it is taken.
    """
    handler = functools.partial(_Quiet, directory=str(wheelhouse))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise PipelineError(f"port {port} on 127.0.0.1 is taken", hint="set SLIPWAY_WHEELHOUSE_PORT to a free one") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
