"""Makes `.venv` from the hashed locks. Runs on a bare Python 3.11, before anything is installed; standard library only.

The wheels are downloaded once into the wheelhouse, from which the image is built too: laptop, test and host run the same files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "slipway.json"  # present only when everything is installed; holds what it was made from
UNFINISHED = VENV / "slipway.unfinished"
LOCKS = ("bootstrap", "service", "pipeline", "dev")
WHEELHOUSE = ROOT / os.environ.get("SLIPWAY_WHEELHOUSE", "var/wheelhouse")
COMPILED = (
    "torch", "torchvision", "numpy", "sympy", "PIL", "starlette", "uvicorn", "anyio", "locust", "ansible", "docker", "rich",
    "click", "gevent", "flask", "werkzeug", "jinja2", "httpx2", "pytest", "_pytest", "requests", "urllib3",
    "ansible_collections/ansible/posix", "ansible_collections/community/docker",
)  # fmt: skip
EXIT_COULD_NOT = 3


class SetupError(Exception):
    """Something is missing that this script may not or cannot provide."""


def main() -> int:
    """Make the environment, or do nothing when it is up to date; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--locks", nargs="+", choices=LOCKS, default=list(LOCKS), help="which locks to install; bootstrap is one of them"
    )
    names = parser.parse_args().locks
    locks = [ROOT / "requirements" / f"{name}.txt" for name in LOCKS if name in {*names, "bootstrap"}]
    try:
        if sys.version_info[:2] != (3, 11):
            found = sys.version.split()[0]
            raise SetupError(f"Python 3.11 is needed, and this is {found}: try `make setup PYTHON=python3.11`")
        if _stamp() != _wanted(locks):
            _make(locks)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_COULD_NOT
    except KeyboardInterrupt:
        return 130
    return 0


def _make(locks: list[Path]) -> None:
    if UNFINISHED.exists():
        _say("an earlier set-up was cut short: starting again")
        shutil.rmtree(VENV)
    if not (VENV / "bin" / "python").exists():
        _say("making the virtual environment .venv")
        _make_venv()
    UNFINISHED.touch()
    STAMP.unlink(missing_ok=True)
    python = str(VENV / "bin" / "python")
    _say("downloading the locked wheels (3 GB the first time)")
    WHEELHOUSE.mkdir(parents=True, exist_ok=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    wheels = ["--require-hashes", "--only-binary=:all:", f"--find-links={WHEELHOUSE}"]
    quiet = ["-qq", "--progress-bar=off"]
    _run([*pip, "install", *quiet, *wheels, "--no-deps", f"--requirement={locks[0]}"])
    for lock in locks:
        _run([*pip, "download", *quiet, *wheels, "--no-deps", f"--dest={WHEELHOUSE}", f"--requirement={lock}"])
    _say("installing them")
    sync = [python, "-m", "uv", "--quiet", "pip", "sync", f"--python={python}", "--offline", "--no-index", "--require-hashes"]
    _run([*sync, f"--find-links={WHEELHOUSE}", f"--cache-dir={ROOT / 'var' / 'uv'}", "--link-mode=hardlink", *map(str, locks)])
    _say("compiling them")
    _run([python, "-m", "compileall", "-qq", "-j", "0", *(str(p) for p in _imported_packages())], may_fail=True)
    STAMP.write_text(json.dumps(_wanted(locks)))
    UNFINISHED.unlink()
    _say("done")


def _make_venv() -> None:
    """Debian splits `venv` off from python3; bring it when we may."""
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode != 0:
        package = "python3.11-venv"
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise SetupError(f"this Python cannot make virtual environments: try `apt-get install {package}`")
        _run(["apt-get", "update", "-qq"])
        _run(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", package])
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    _run([sys.executable, "-m", "venv", str(VENV)])


def _imported_packages() -> list[Path]:
    """The packages whose first import is slow enough to be worth compiling ahead."""
    site = VENV / "lib" / "python3.11" / "site-packages"
    return [path for name in COMPILED if (path := site / name).exists()]


def _stamp() -> object:
    try:
        return json.loads(STAMP.read_text()) if not UNFINISHED.exists() else None
    except (OSError, ValueError):
        return None


def _wanted(used: list[Path]) -> dict[str, str]:
    """What the environment depends on: the locks, and the interpreter it was made with."""
    locks = {lock.name: hashlib.sha256(lock.read_bytes()).hexdigest() for lock in used}
    return {**locks, "python": os.path.realpath(sys.base_prefix)}


def _run(argv: list[str], *, may_fail: bool = False) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, cwd=ROOT, check=False)
    if done.returncode != 0 and not may_fail:
        raise SetupError(f"{' '.join(argv[:4])} … ended with {done.returncode}; what it said is above")


def _say(text: str) -> None:
    print(f"     setup  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
