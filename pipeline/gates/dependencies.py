"""The dependency gate: every requirement exact and hashed, each lock in sync with its `.in`, installed = locked.

Sync is judged on the installed packages' own metadata: what the `.in` files ask for, followed through what each package
requires, must be exactly what the locks pin. That needs no index and no network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.gates.locks import LOCKS, SHA256, Pin, RequirementFile, read_requirements
from pipeline.verdict import Verdict

SEEDED = frozenset({"pip", "setuptools"})  # a new virtual environment may bring them


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed package."""

    version: str
    requires: tuple[Requirement, ...]


def check(requirements: Path, installed: Mapping[str, Installed]) -> Verdict:
    """Judge the locks in the folder `requirements` against their inputs and against what is installed.

    Raises UsageError when a file is missing or cannot be read.
    """
    if not installed:
        return Verdict.unknown("no installed package could be seen, so nothing can be compared with the locks")
    inputs = {name: read_requirements(requirements / f"{name}.in") for name in LOCKS}
    locks = {name: read_requirements(requirements / f"{name}.txt") for name in LOCKS}
    reasons: list[str] = []
    for name, lock in locks.items():
        reasons += [f"{name}.txt: {reason}" for reason in (*_not_exact(lock), *_not_met(inputs[name], lock))]
    pinned = {pin.name: pin for lock in locks.values() for pin in lock.pins}
    reasons += _contradictions(locks)
    reasons += _not_as_installed(pinned, installed)
    if not reasons:  # following metadata makes sense only where installed = locked
        for name in LOCKS:
            reasons += [f"{name}.txt: {reason}" for reason in _out_of_sync(inputs[name], locks[name], installed)]
    return Verdict.of(reasons)


def installed_packages(paths: list[str] | None = None) -> dict[str, Installed]:
    """What is installed in this environment (or in the given folders), by canonical name."""
    found = metadata.distributions(path=paths) if paths is not None else metadata.distributions()
    return {
        canonicalize_name(d.metadata["Name"]): Installed(d.version, tuple(Requirement(text) for text in d.requires or ()))
        for d in found
    }


def _not_exact(lock: RequirementFile) -> list[str]:
    reasons = [f"the option {option!r} ties it to one machine" for option in lock.options]
    if not lock.pins:
        reasons.append("it pins nothing")
    for pin in lock.pins:
        if pin.version is None:
            reasons.append(f"{pin.requirement} is not one exact version")
        if not pin.hashes:
            reasons.append(f"{pin.name} has no hash")
        reasons += [f"{pin.name} has {bad!r}, which is no sha256" for bad in pin.hashes if not SHA256.fullmatch(bad)]
    return reasons


def _not_met(wanted: RequirementFile, lock: RequirementFile) -> list[str]:
    """What the `.in` asks for and the lock does not give."""
    pinned = {pin.name: pin.version for pin in lock.pins}
    reasons = []
    for pin in wanted.pins:
        if pin.requirement.marker and not pin.requirement.marker.evaluate():
            continue
        version = pinned.get(pin.name)
        if version is None:
            reasons.append(f"{pin.requirement} is asked for and not locked; run `make lock`")
        elif not pin.requirement.specifier.contains(version, prereleases=True):
            reasons.append(f"{pin.requirement} is asked for and {version} is locked; run `make lock`")
    return reasons


def _contradictions(locks: Mapping[str, RequirementFile]) -> list[str]:
    """Packages that two locks pin differently: tests and image would not run the same."""
    reasons, first = [], dict[str, tuple[str, Pin]]()
    for lock_name, lock in locks.items():
        for pin in lock.pins:
            where, known = first.setdefault(pin.name, (lock_name, pin))
            if known.version != pin.version:
                reasons.append(f"{pin.name} is {known.version} in {where}.txt and {pin.version} in {lock_name}.txt")
    return reasons


def _not_as_installed(pinned: Mapping[str, Pin], installed: Mapping[str, Installed]) -> list[str]:
    reasons = []
    for name in sorted(pinned.keys() | (installed.keys() - SEEDED)):
        locked = pinned[name].version if name in pinned else None
        found = installed[name].version if name in installed else None
        if locked is None and name not in pinned:
            reasons.append(f"{name} {found} is installed and not locked")
        elif found is None:
            reasons.append(f"{name} {locked} is locked and not installed; run `make setup`")
        elif found != locked:
            reasons.append(f"{name} {locked} is locked and {found} is installed; run `make setup`")
    return reasons


def _out_of_sync(wanted: RequirementFile, lock: RequirementFile, installed: Mapping[str, Installed]) -> list[str]:
    needed = _closure((pin.requirement for pin in wanted.pins), installed)
    pinned = {pin.name for pin in lock.pins}
    missing = [f"{name} is needed and not locked; run `make lock`" for name in sorted(needed - pinned)]
    return missing + [f"{name} is locked and nothing asks for it; run `make lock`" for name in sorted(pinned - needed)]


def _closure(roots: Iterable[Requirement], installed: Mapping[str, Installed]) -> set[str]:
    """All packages that the roots need here, by following the installed packages' requirements, extras included."""
    seen: set[tuple[str, str]] = set()
    todo = list(roots)
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for needed in installed[name].requires if name in installed else ():
                if (needed.marker is None and not extra) or (needed.marker and needed.marker.evaluate({"extra": extra})):
                    todo.append(needed)
    return {name for name, _ in seen}
