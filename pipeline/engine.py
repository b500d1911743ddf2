"""The Docker engine of this machine: the one that answers, else the distribution's own, installed and started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline import process
from pipeline.collaborators import Story
from pipeline.errors import PipelineError

PACKAGES = ("docker.io", "iptables")
START_SECONDS = 30
PID_FILES = {"/var/run/docker.pid": "dockerd", "/var/run/docker/containerd/containerd.pid": "containerd"}
INSTALL_HINT = "install Docker (Debian, Ubuntu: `apt-get install docker.io`), start it, and let your user reach it"


class Engine:
    """`answers` asks the engine; `state` keeps the process id of an engine that we started, so that only ours is ever ended."""

    def __init__(self, answers: Callable[[], bool], state: Path) -> None:
        self._answers = answers
        self._record = state / "engine.json"
        self._log = state / "logs" / "dockerd.log"

    def ensure(self, story: Story) -> None:
        """Return with an engine that answers. Raises PipelineError that says what to install."""
        if self._answers():
            return
        if os.geteuid() != 0:
            raise PipelineError("no Docker engine answers, and only root can install one", hint=INSTALL_HINT)
        if shutil.which("dockerd") is None:
            self._install(story)
        if not self._answers():
            self._start(story)

    def stop_ours(self) -> bool:
        """End the engine that `ensure` started, if it did; True when there was one."""
        if not self._record.exists():
            return False
        pid = json.loads(self._record.read_text())["pid"]
        if _runs(pid, "dockerd"):
            os.kill(pid, signal.SIGTERM)
            if not _within(START_SECONDS, lambda: not _runs(pid, "dockerd")):
                raise PipelineError(f"the Docker engine with process id {pid} does not end")
        self._record.unlink()
        return True

    def _install(self, story: Story) -> None:
        if shutil.which("apt-get") is None:
            raise PipelineError("no Docker engine answers, and this is no Debian or Ubuntu", hint=INSTALL_HINT)
        story.note(f"no Docker engine here: installing {' and '.join(PACKAGES)} from the distribution")
        install_packages(PACKAGES, story)

    def _start(self, story: Story) -> None:
        if Path("/run/systemd/system").exists():
            process.must(["systemctl", "start", "docker"])
        else:
            story.progress("starting the Docker engine")
            remove_stale({Path(file): program for file, program in PID_FILES.items()})
            pid = process.spawn_daemon(["dockerd"], log=self._log)
            self._record.write_text(json.dumps({"pid": pid}))
        if not _within(START_SECONDS, self._answers):
            raise PipelineError("the Docker engine was started and does not answer", hint=f"its log is {self._log}")


def install_packages(packages: tuple[str, ...], story: Story) -> None:
    """Install Debian packages without what they merely recommend. Needs root; raises PipelineError.

    An installation that was cut short is finished first; another one that is running is waited for.
    """
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "--option=DPkg::Lock::Timeout=120", *packages]
    for argv in (["dpkg", "--configure", "-a"], ["apt-get", "update"], install):
        lines: list[str] = []

        def hear(line: str, lines: list[str] = lines) -> None:
            lines.append(line)
            story.progress(line)

        if process.follow(argv, hear, env=quiet) != 0:
            raise PipelineError(f"{' '.join(argv)} failed: {' '.join(lines[-1:])}", hint="is another apt running?")


def remove_stale(pid_files: Mapping[Path, str]) -> None:
    """Remove the files of an engine that was killed: it would take whatever process has the number now for its own."""
    for file, program in pid_files.items():
        try:
            pid = int(file.read_text())
        except (OSError, ValueError):
            continue
        if not _runs(pid, program):
            file.unlink(missing_ok=True)


def _runs(pid: int, program: str) -> bool:
    """Whether the process with this id is that program, and alive."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return f"Name:\t{program}\n" in status and "State:\tZ" not in status


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return condition()
