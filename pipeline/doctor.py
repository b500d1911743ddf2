"""What the pipeline needs of a machine, whether it is there, and how it gets there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.collaborators import Story
from pipeline.engine import Engine, install_packages

PROGRAMS = {"git": "git", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "tar": "tar"}  # program -> Debian package


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is needed. `remedy` says how to get it."""

    name: str
    present: bool
    remedy: str


def examine(engine_answers: Callable[[], bool]) -> tuple[Finding, ...]:
    """Everything that is needed, in the order in which it is used."""
    programs = [Finding(name, shutil.which(name) is not None, f"apt-get install {package}") for name, package in PROGRAMS.items()]
    return (*programs, Finding("a Docker engine", engine_answers(), "apt-get install docker.io"))


def install(engine: Engine, story: Story) -> None:
    """Mend what can be mended. Raises PipelineError with what to install where we may not."""
    missing = tuple(sorted({package for name, package in PROGRAMS.items() if shutil.which(name) is None}))
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install_packages(missing, story)
    engine.ensure(story)
