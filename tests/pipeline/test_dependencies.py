from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.errors import UsageError
from pipeline.gates.dependencies import Installed, check, installed_packages
from pipeline.verdict import Answer

HASH = "--hash=sha256:" + "0" * 64
INSTALLED = {
    "alpha": Installed("1.0", tuple(map(Requirement, ("beta>=2", "gamma; extra == 'fast'", "winonly; sys_platform == 'win32'")))),
    "beta": Installed("2.1", ()),
    "tool": Installed("9", ()),
    "pip": Installed("26", ()),
}  # fmt: skip


def folder(tmp_path: Path, **files: str) -> Path:
    """Requirement files that are in order, but for those given by name (`service_in`, `service_txt`, …)."""
    good = {
        "service_in": "alpha>=1  # the one thing",
        "service_txt": f"alpha==1.0 \\\n    {HASH}\n    # via -r service.in\nbeta==2.1 {HASH}",
        "bootstrap_in": "tool",
        "bootstrap_txt": f"tool==9 {HASH}",
    }
    for name in ("bootstrap", "service", "pipeline", "dev"):
        for ending in ("in", "txt"):
            default = "tool" if ending == "in" else f"tool==9 {HASH}"
            text = {**good, **files}.get(f"{name}_{ending}", default)
            (tmp_path / f"{name}.{ending}").write_text(text + "\n")
    return tmp_path


def reasons(path: Path, installed: dict[str, Installed] = INSTALLED) -> str:
    verdict = check(path, installed)
    assert verdict.answer is Answer.REFUSED
    return "; ".join(verdict.reasons)


def test_locks_that_are_exact_hashed_in_sync_and_installed_pass(tmp_path: Path):
    assert check(folder(tmp_path), INSTALLED).passed


def test_our_own_locks_pass_in_the_environment_that_runs_this(root: Path):
    assert check(root / "requirements", installed_packages()).reasons == ()


@pytest.mark.parametrize(("lock", "reason"), [
    (f"alpha>=1.0 {HASH}\nbeta==2.1 {HASH}", "alpha>=1.0 is not one exact version"),
    (f"alpha==1.* {HASH}\nbeta==2.1 {HASH}", "alpha==1.* is not one exact version"),
    (f"alpha==1.0\nbeta==2.1 {HASH}", "alpha has no hash"),
    (f"alpha==1.0 --hash=md5:{'0' * 32}\nbeta==2.1 {HASH}", "which is no sha256"),
    (f"alpha @ https://example.org/alpha.whl {HASH}\nbeta==2.1 {HASH}", "is not one exact version"),
    (f"--index-url https://example.org\nalpha==1.0 {HASH}\nbeta==2.1 {HASH}", "ties it to one machine"),
    ("# nothing", "it pins nothing"),
    (f"beta==2.1 {HASH}", "alpha>=1 is asked for and not locked"),
    (f"alpha==1.0 {HASH}", "beta is needed and not locked"),
    (f"alpha==1.0 {HASH}\nbeta==2.1 {HASH}\ntool==9 {HASH}", "tool is locked and nothing asks for it"),
])  # fmt: skip
def test_a_lock_that_is_not_right_is_refused(tmp_path: Path, lock: str, reason: str):
    installed = {name: package for name, package in INSTALLED.items() if name != "beta" or "beta" in lock}
    assert reason in reasons(folder(tmp_path, service_txt=lock), installed)


def test_a_requirement_that_the_lock_no_longer_meets_is_refused(tmp_path: Path):
    assert "alpha>=3 is asked for and 1.0 is locked" in reasons(folder(tmp_path, service_in="alpha>=3"))


def test_an_extra_that_is_asked_for_brings_its_packages(tmp_path: Path):
    assert "gamma is needed and not locked" in reasons(folder(tmp_path, service_in="alpha[fast]"))


@pytest.mark.parametrize(("change", "reason"), [
    ({"beta": Installed("2.0", ())}, "beta 2.1 is locked and 2.0 is installed"),
    ({"stray": Installed("1", ())}, "stray 1 is installed and not locked"),
])  # fmt: skip
def test_an_environment_that_is_not_the_lock_is_refused(tmp_path: Path, change: dict[str, Installed], reason: str):
    assert reason in reasons(folder(tmp_path), {**INSTALLED, **change})


def test_a_locked_package_that_is_not_installed_is_refused(tmp_path: Path):
    without = {name: package for name, package in INSTALLED.items() if name != "beta"}
    assert "beta 2.1 is locked and not installed" in reasons(folder(tmp_path), without)


def test_two_locks_that_contradict_each_other_are_refused(tmp_path: Path):
    path = folder(tmp_path, dev_txt=f"tool==8 {HASH}")
    assert "tool is 9 in bootstrap.txt and 8 in dev.txt" in reasons(path)


def test_an_environment_that_cannot_be_seen_is_inconclusive(tmp_path: Path):
    assert check(folder(tmp_path), {}).answer is Answer.INCONCLUSIVE


def test_a_missing_lock_is_asked_wrongly(tmp_path: Path):
    (folder(tmp_path) / "service.txt").unlink()
    with pytest.raises(UsageError, match=r"service\.txt cannot be read"):
        check(tmp_path, INSTALLED)


def test_a_line_that_is_no_requirement_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="is no requirement"):
        check(folder(tmp_path, service_txt="what is this?"), INSTALLED)
