"""Other programs: run to their end, followed line by line, or kept running beside. The only place that imports subprocess.

A child dies with us, also when we are killed: nothing half-done goes on behind our back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

Environment = Mapping[str, str | None]  # on top of ours; None takes a variable away
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)
_DAEMONS: list[subprocess.Popen[bytes]] = []  # kept: Python complains of a child that lives on when nobody knows it any more


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished program left: exit code, standard output, and the end of standard error."""

    code: int
    output: str
    errors: str = ""


def run(argv: Sequence[str], *, cwd: Path | None = None, env: Environment | None = None, timeout: float = 600) -> Result:
    """Run to the end, quietly. Raises PipelineError when the program is missing or takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            argv, cwd=cwd, env=_environment(env), timeout=timeout, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise _missing(argv) from error
    except subprocess.TimeoutExpired as error:
        raise PipelineError(f"{shlex.join(argv[:3])} took longer than {timeout:.0f} s") from error
    return Result(done.returncode, done.stdout, done.stderr)


def must(argv: Sequence[str], **options: object) -> str:
    """Standard output of a program that has to succeed. Raises PipelineError with the last line that it complained."""
    result = run(argv, **options)  # type: ignore[arg-type]
    if result.code != 0:
        complaint = (result.errors or result.output).strip().splitlines()[-1:]
        raise PipelineError(f"{shlex.join(argv[:4])} ended with {result.code}: {' '.join(complaint)}")
    return result.output


def follow(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Environment | None = None,
) -> int:
    """Run to the end, handing over every line of output and errors as it comes; the exit code."""
    try:
        child = subprocess.Popen(
            argv, cwd=cwd, env=_environment(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise _missing(argv) from error
    with child:
        try:
            assert child.stdout is not None
            for line in child.stdout:
                on_line(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            _end(child, grace=5)
            raise


class Companion:
    """A program that runs beside us until it is told to stop; its output goes to `log`."""

    def __init__(self, argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Environment | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("wb") as file:
                self._child = subprocess.Popen(
                    argv, cwd=cwd, env=_environment(env), stdout=file, stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent,
                )  # fmt: skip
        except FileNotFoundError as error:
            raise _missing(argv) from error

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def wait(self, timeout: float) -> int:
        """The exit code. Raises PipelineError after `timeout` seconds, when the program has been ended."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired as error:
            _end(self._child, grace=5)
            raise PipelineError(f"{self._child.args!r} did not end within {timeout:.0f} s") from error
        except BaseException:
            _end(self._child, grace=5)
            raise

    def stop(self, grace: float) -> int:
        """Ask it to end (SIGTERM), and make it end after `grace` seconds; the exit code."""
        return _end(self._child, grace)


def spawn_daemon(argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Environment | None = None) -> int:
    """Start a program that outlives us; its process id."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        child = subprocess.Popen(
            argv, cwd=cwd, env=_environment(env), stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True
        )
    _DAEMONS.append(child)
    return child.pid


def _end(child: subprocess.Popen[str] | subprocess.Popen[bytes], grace: float) -> int:
    for sign, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5)):
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(patience)
    return child.returncode if child.returncode is not None else -signal.SIGKILL


def without(*prefixes: str) -> dict[str, None]:
    """An environment that takes away every variable of ours that begins so."""
    return {name: None for name in os.environ if name.startswith(prefixes)}


def _environment(extra: Environment | None) -> dict[str, str]:
    given = {**os.environ, **(extra or {})}
    return {name: value for name, value in given.items() if value is not None}


def _missing(argv: Sequence[str]) -> PipelineError:
    return PipelineError(f"the program {argv[0]!r} is not installed", hint="`python -m pipeline doctor` says what is missing")


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
