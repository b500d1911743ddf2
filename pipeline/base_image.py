"""The base of all images when none can be pulled: a minimal Debian, made from the distribution's mirror."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline import process
from pipeline.collaborators import Story
from pipeline.engine import install_packages
from pipeline.errors import PipelineError
from pipeline.scratch import scratch

SUITE = "bookworm"
PACKAGES = ("debootstrap", "debian-archive-keyring")  # Ubuntu's debootstrap comes without Debian's keys


def debootstrap_argv(target: Path, mirror: str) -> list[str]:
    """The command that unpacks a minimal system into `target`. What it mounts there is gone with it, however it ends."""
    return ["unshare", "--mount", "debootstrap", "--force-check-gpg", "--variant=minbase", SUITE, str(target), mirror]


def make(mirror: str, take: Callable[[Path], str], folder: Path, story: Story) -> str:
    """Make the base below `folder`, hand its archive to `take`, and answer with the image that `take` made of it. Needs root."""
    if os.geteuid() != 0:
        raise PipelineError("no base image can be pulled, and only root can make one", hint="run as root, or open a registry")
    if shutil.which("debootstrap") is None:
        install_packages(PACKAGES, story)
    with scratch(folder) as work:
        system, archive = work / "system", work / "base.tar"
        if process.follow(debootstrap_argv(system, mirror), story.progress) != 0:
            raise PipelineError(f"no base image can be made from {mirror}", hint="set SLIPWAY_DEBIAN_MIRROR")
        shutil.rmtree(system / "var/cache/apt/archives", ignore_errors=True)
        process.must(["tar", "-C", str(system), "--sort=name", "-cf", str(archive), "."])
        return take(archive)
