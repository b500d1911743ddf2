"""What the tests need of the machine beside Python and Docker: a browser, curl, Groovy (`python -m tests.machine` brings them)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAMS = {"curl": ["curl"], "groovy": ["groovy", "default-jre-headless"]}  # program -> Debian packages
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def browser() -> str | None:
    """Where a Chromium is: the one that is there, else the distribution's own."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def install() -> int:
    """Bring what is missing, when we may; the exit code."""
    missing = [] if browser() else ["chromium"]
    missing += [package for program, packages in PROGRAMS.items() if not shutil.which(program) for package in packages]
    if not missing:
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"error: there is no {' and no '.join(missing)}\n  try: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 3
    print(f"     tests  installing {' and '.join(missing)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["update", "-qq"], ["install", "-qq", "--yes", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", *argv], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            print(f"error: apt-get {argv[0]} ended with {done.returncode}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(install())
